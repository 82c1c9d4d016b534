"""Leases of tasks: their expiry, and the process that holds them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("lease_expires_at", sa.DateTime(timezone=True)))
        tasks.add_column(sa.Column("lease_host", EXACT))
        tasks.add_column(sa.Column("lease_pid", sa.Integer()))
        tasks.add_column(sa.Column("lease_started", sa.BigInteger()))
        tasks.drop_index("ix_tasks_batch_id_status")
        # The order in which tasks are claimed.
        tasks.create_index("ix_tasks_batch_id_status_attempts_id", ["batch_id", "status", "attempts", "id"])


def downgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_index("ix_tasks_batch_id_status_attempts_id")
        tasks.create_index("ix_tasks_batch_id_status", ["batch_id", "status"])
        for column in ("lease_started", "lease_pid", "lease_host", "lease_expires_at"):
            tasks.drop_column(column)
