"""The priority of a batch, when it was begun, and how long each step of a task took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("batches") as batches:
        batches.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
        batches.add_column(sa.Column("begun_at", sa.DateTime(timezone=True)))
    with op.batch_alter_table("batches") as batches:
        batches.alter_column("priority", server_default=None)
    op.add_column("tasks", sa.Column("step_seconds", sa.JSON()))


def downgrade() -> None:
    op.drop_column("tasks", "step_seconds")
    with op.batch_alter_table("batches") as batches:
        batches.drop_column("begun_at")
        batches.drop_column("priority")
