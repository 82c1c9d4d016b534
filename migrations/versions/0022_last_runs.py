"""When the last run of a batch began and ended, and why it left tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("last_run", sa.JSON()))


def downgrade() -> None:
    op.drop_column("batches", "last_run")
