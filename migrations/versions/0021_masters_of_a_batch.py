"""An index that tells whether a batch made a derivative of a master, without reading all derivatives of the batch."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_derivatives_batch_id_master_id", "derivatives", ["batch_id", "master_id"])
    op.drop_index(op.f("ix_derivatives_batch_id"), "derivatives")


def downgrade() -> None:
    op.create_index(op.f("ix_derivatives_batch_id"), "derivatives", ["batch_id"])
    op.drop_index("ix_derivatives_batch_id_master_id", "derivatives")
