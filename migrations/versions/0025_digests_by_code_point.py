"""On PostgreSQL, digests and the schemes of identifiers are compared and ordered by code point.

By a language's order, ``recipe:ab12`` found nothing. SQLite compares by code point anyway. No table is rewritten, only
the indexes of these columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

COLUMNS = (
    ("masters", "sha256"),
    ("model_versions", "weights_sha256"),
    ("recipes", "sha256"),
    ("derivatives", "sha256"),
    ("derivatives", "pixel_sha256"),
    ("derivatives", "master_sha256"),
    ("reviews", "sha256"),
    ("column_mappings", "sha256"),
    ("item_identifiers", "scheme"),
)


def upgrade() -> None:
    _set_collation("C")


def downgrade() -> None:
    _set_collation("default")


def _set_collation(collation: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column in COLUMNS:
            op.alter_column(table, column, type_=sa.String(64, collation=collation), existing_nullable=False)
        for table in sorted({table for table, _ in COLUMNS}):
            op.execute(f"ANALYZE {table}")  # the change dropped the columns' statistics
