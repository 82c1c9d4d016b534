"""The museum's own description: dates as text, identifiers, mappings of its spreadsheets, and searchable columns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from archive.catalogue.query.text_index import extra_word_field, fold_words

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROWS_AT_A_TIME = 500


def upgrade() -> None:
    op.add_column("items", sa.Column("date_text", sa.Text()))
    op.execute("UPDATE items SET date_text = date WHERE date IS NOT NULL")
    op.create_table(
        "item_identifiers",
        sa.Column(
            "item_id", ID, sa.ForeignKey("items.id", name=op.f("fk_item_identifiers_item_id_items")), nullable=False
        ),
        sa.Column("scheme", sa.String(64), nullable=False),
        sa.Column("value", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("item_id", "scheme", "value", name=op.f("pk_item_identifiers")),
    )
    op.create_index("ix_item_identifiers_value_item_id", "item_identifiers", ["value", "item_id"])
    op.create_table(
        "column_mappings",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_mappings")),
        sa.UniqueConstraint("sha256", name=op.f("uq_column_mappings_sha256")),
    )
    _index_words()


def downgrade() -> None:
    op.execute("DELETE FROM item_words WHERE field = 'date_text' OR field LIKE 'x:%'")
    op.drop_table("column_mappings")
    op.drop_table("item_identifiers")
    op.drop_column("items", "date_text")


def _index_words() -> None:
    """Indexes the words of dates and of extra metadata, which were not searchable before."""
    connection = op.get_bind()
    items = sa.table("items", sa.column("id", ID), sa.column("date_text", sa.Text()), sa.column("extra", sa.JSON()))
    words = sa.table(
        "item_words",
        sa.column("field", sa.Text()),
        sa.column("word", sa.Text()),
        sa.column("item_id", ID),
        sa.column("position", sa.Integer()),
    )
    ids = connection.scalars(sa.select(items.c.id).order_by(items.c.id)).all()
    for start in range(0, len(ids), ROWS_AT_A_TIME):
        chunk = ids[start : start + ROWS_AT_A_TIME]
        rows = []
        for item in connection.execute(sa.select(items).where(items.c.id.in_(chunk))):
            texts = {extra_word_field(name): str(value) for name, value in (item.extra or {}).items()}
            for field, text in ({"date_text": item.date_text or ""} | texts).items():
                rows += [
                    {"field": field, "word": word, "item_id": item.id, "position": position}
                    for position, word in enumerate(fold_words(text))
                ]
        if rows:
            connection.execute(words.insert(), rows)
