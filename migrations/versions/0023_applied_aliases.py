"""Whether all masters are judged by the approved version of a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_aliases", sa.Column("is_applied", sa.Boolean(), nullable=False, server_default=sa.true()))
    if op.get_bind().dialect.name != "sqlite":  # which could remove the default only by copying the table
        op.alter_column("model_aliases", "is_applied", server_default=None)


def downgrade() -> None:
    op.drop_column("model_aliases", "is_applied")
