"""The word after each word of a text field, with which phrases are found by index."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from archive.catalogue.schema.column_types import ExactText, Id

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_INDEX = "ix_item_words_item_id_field_word"
_PRIMARY_KEY = "pk_item_words"
_FOREIGN_KEY = "fk_item_words_item_id_items"


def upgrade() -> None:
    next_word = "coalesce(lead(word) OVER (PARTITION BY item_id, field ORDER BY position), '')"
    _copy({"field": "field", "word": "word", "next_word": next_word, "item_id": "item_id", "position": "position"})


def downgrade() -> None:
    _copy({name: name for name in ("field", "word", "item_id", "position")}, sqlite_with_rowid=True)


def _copy(columns: dict[str, str], *, sqlite_with_rowid: bool = False) -> None:
    """Replaces the table by one with these columns, whose values are computed by SQL from the old rows.

    PostgreSQL builds indexes and checks foreign keys much faster once the rows are there; SQLite needs the primary key
    first, and rows in its order.
    """
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    types: dict[str, Any] = {"field": sa.String(16), "item_id": Id, "position": sa.Integer()}
    names = ", ".join(columns)
    values = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    constraints = (
        sa.PrimaryKeyConstraint(*columns, name=op.f(_PRIMARY_KEY)),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f(_FOREIGN_KEY)),
    )
    op.drop_index(_INDEX, "item_words")
    op.rename_table("item_words", "older_item_words")
    op.create_table(
        "item_words",
        *(sa.Column(name, types.get(name, ExactText), nullable=False) for name in columns),
        *(constraints if on_sqlite else ()),
        sqlite_with_rowid=sqlite_with_rowid,
    )
    op.execute(f"INSERT INTO item_words ({names}) SELECT {values} FROM older_item_words ORDER BY {names}")  # noqa: S608
    op.drop_table("older_item_words")
    if not on_sqlite:
        op.create_primary_key(_PRIMARY_KEY, "item_words", list(columns))
        op.create_foreign_key(_FOREIGN_KEY, "item_words", "items", ["item_id"], ["id"])
    op.create_index(_INDEX, "item_words", ["item_id", "field", "word"])
