"""Whether a master is stale, stored on its row, so that a query doesn't look up the derivatives of each candidate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

INDEX = "ix_masters_is_stale_item_id"
STALE = """
    EXISTS (
        SELECT 1 FROM recipe_stages s
        JOIN model_versions v ON v.id = s.version_id
        JOIN model_aliases a ON a.model_id = v.model_id AND a.alias = 'approved'
        WHERE s.recipe_id = masters.current_restored_recipe_id AND s.task = 'restoration' AND a.version_id <> v.id
        AND NOT EXISTS (
            SELECT 1 FROM derivatives d JOIN recipe_stages t ON t.recipe_id = d.recipe_id
            WHERE d.master_id = masters.id AND d.kind = 'restored' AND d.file_fault IS NULL AND NOT d.is_trial
            AND t.version_id = a.version_id
        )
    )
"""


def upgrade() -> None:
    # In place: to copy the table of masters, as batch operations do on SQLite, takes minutes for a million rows.
    op.add_column("masters", sa.Column("is_stale", sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_bind().dialect.name != "sqlite":  # which could remove the default only by copying the table
        op.alter_column("masters", "is_stale", server_default=None)
    op.execute(f"UPDATE masters SET is_stale = {_true()} WHERE {STALE}")  # noqa: S608
    op.create_index(
        INDEX,
        "masters",
        ["is_stale", "item_id"],
        sqlite_where=sa.text("is_stale = 1"),
        postgresql_where=sa.text("is_stale"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "masters")
    op.drop_column("masters", "is_stale")


def _true() -> str:
    return "1" if op.get_bind().dialect.name == "sqlite" else "true"
