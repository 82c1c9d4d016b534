"""Event types of reproduction, withdrawal and signed copies; withdrawn derivatives keep their row without a file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TYPES_BEFORE = (
    "ingestion",
    "metadata modification",
    "relocation",
    "fixity check",
    "derivation",
    "review",
    "model registration",
    "alias change",
)
TYPES = ("reproduction", "deletion", "withdrawal lifted", "digital signature generation")
CHECK = "ck_events_eventtype"
WITHDRAWN_INDEX = "ix_derivatives_withdrawn_master_id"
WITHDRAWN_BY = "fk_derivatives_withdrawn_by_id_agents"


def upgrade() -> None:
    _limit_types(TYPES_BEFORE + TYPES)
    with op.batch_alter_table("derivatives") as derivatives:
        derivatives.add_column(sa.Column("withdrawn_at", sa.DateTime(timezone=True)))
        derivatives.add_column(sa.Column("withdrawn_by_id", ID))
        derivatives.add_column(sa.Column("withdrawal_reason", sa.Text()))
        derivatives.create_foreign_key(op.f(WITHDRAWN_BY), "agents", ["withdrawn_by_id"], ["id"])
    condition = sa.text("withdrawn_at IS NOT NULL")
    op.create_index(WITHDRAWN_INDEX, "derivatives", ["master_id"], sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    withdrawn = op.get_bind().scalar(sa.text("SELECT count(*) FROM derivatives WHERE withdrawn_at IS NOT NULL"))
    if withdrawn:
        raise RuntimeError(
            f"{withdrawn} derivatives are withdrawn, which the older schema can't hold: lift them, or keep this one"
        )
    op.drop_index(WITHDRAWN_INDEX, "derivatives")
    with op.batch_alter_table("derivatives") as derivatives:
        derivatives.drop_constraint(op.f(WITHDRAWN_BY), type_="foreignkey")
        for column in ("withdrawal_reason", "withdrawn_by_id", "withdrawn_at"):
            derivatives.drop_column(column)
    # Keeps the history: the detail describes the former event type.
    told = "type = 'metadata modification', detail = type || ': ' || coalesce(detail, '')"
    op.execute(f"UPDATE events SET {told} WHERE {_is_one_of(TYPES)}")  # noqa: S608
    _limit_types(TYPES_BEFORE)


def _limit_types(types: tuple[str, ...]) -> None:
    with op.batch_alter_table("events") as events:
        events.drop_constraint(op.f(CHECK), type_="check")
        events.create_check_constraint(op.f(CHECK), _is_one_of(types))


def _is_one_of(types: tuple[str, ...]) -> str:
    names = ", ".join(f"'{name}'" for name in types)
    return f"type IN ({names})"
