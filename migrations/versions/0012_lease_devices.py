"""The device that processes a task, and when its lease was last renewed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("lease_device", sa.Text()))
    op.add_column("tasks", sa.Column("lease_renewed_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("tasks", "lease_renewed_at")
    op.drop_column("tasks", "lease_device")
