"""The person on whose behalf events, batches and derivatives were recorded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = ("batches", "derivatives", "events")


def upgrade() -> None:
    for name in TABLES:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("operator_id", ID))
            table.create_foreign_key(op.f(f"fk_{name}_operator_id_agents"), "agents", ["operator_id"], ["id"])
    op.create_index("ix_derivatives_operator_id", "derivatives", ["operator_id"])


def downgrade() -> None:
    op.drop_index("ix_derivatives_operator_id", "derivatives")
    for name in TABLES:
        with op.batch_alter_table(name) as table:
            table.drop_constraint(op.f(f"fk_{name}_operator_id_agents"), type_="foreignkey")
            table.drop_column("operator_id")
