"""The distinct words of text fields, with which patterns that start with a wildcard are matched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from archive.catalogue.schema.column_types import ExactText

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "distinct_words",
        sa.Column("field", sa.String(16), nullable=False),
        sa.Column("word", ExactText, nullable=False),
        sa.PrimaryKeyConstraint("field", "word", name=op.f("pk_distinct_words")),
    )
    op.execute("INSERT INTO distinct_words (field, word) SELECT DISTINCT field, word FROM item_words")


def downgrade() -> None:
    op.drop_table("distinct_words")
