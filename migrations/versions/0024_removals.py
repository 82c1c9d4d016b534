"""Event type of removed masters; on SQLite, the id of a removed row is never given to a new one."""

from __future__ import annotations

from typing import Literal

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TYPES_BEFORE = (
    "ingestion",
    "metadata modification",
    "relocation",
    "fixity check",
    "derivation",
    "review",
    "model registration",
    "alias change",
    "reproduction",
    "deletion",
    "withdrawal lifted",
    "digital signature generation",
)
TYPE = "deaccession"
INDEX = "ix_tasks_derivative_id"
CHECK = "ck_events_eventtype"
# The tables with rows that a removal deletes and ids that people or other programs may have kept.
REMOVABLE = ("roots", "items", "masters", "derivatives", "tasks", "reviews", "comments", "events")


def upgrade() -> None:
    _change_tables((*TYPES_BEFORE, TYPE), never_reuses_ids=True)
    # Without it, the removal of each derivative would read all tasks.
    op.create_index(INDEX, "tasks", ["derivative_id"])


def downgrade() -> None:
    op.drop_index(INDEX, "tasks")
    # Keeps the history: the detail describes the former event type.
    told = f"type = 'metadata modification', detail = '{TYPE}: ' || coalesce(detail, '')"
    op.execute(f"UPDATE events SET {told} WHERE type = '{TYPE}'")  # noqa: S608
    _change_tables(TYPES_BEFORE, never_reuses_ids=False)


def _change_tables(types: tuple[str, ...], *, never_reuses_ids: bool) -> None:
    """Limits the types of events. On SQLite, copies the tables with or without AUTOINCREMENT.

    PostgreSQL's sequences never go back.
    """
    names = ", ".join(f"'{name}'" for name in types)
    recreate: Literal["always", "never"] = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    for name in REMOVABLE:
        with op.batch_alter_table(
            name, recreate=recreate, table_kwargs={"sqlite_autoincrement": never_reuses_ids}
        ) as table:
            if name == "events":
                table.drop_constraint(op.f(CHECK), type_="check")
                table.create_check_constraint(op.f(CHECK), f"type IN ({names})")
