"""Indexes by which PostgreSQL finds reviews and a master's derivatives without reading the tables' rows.

SQLite's indexes hold the id of each row anyway.
"""

from __future__ import annotations

from typing import Any

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_reviews_derivative_id", "reviews", ["derivative_id"]),
    ("ix_reviews_decision_derivative_id", "reviews", ["decision", "derivative_id"]),
    ("ix_derivatives_master_id_recipe_id", "derivatives", ["master_id", "recipe_id"]),
)


def upgrade() -> None:
    _replace(postgresql_include=["id"])


def downgrade() -> None:
    _replace()


def _replace(**options: Any) -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    for name, table, columns in _INDEXES:
        op.drop_index(name, table)
        op.create_index(name, table, columns, **options)
