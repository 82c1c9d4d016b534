"""Since when not all masters are judged by the approved version of a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_aliases", sa.Column("unapplied_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("model_aliases", "unapplied_since")
