"""Indexes for lists of large catalogues: recipes of current derivatives on masters, and indexes in list order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KINDS = ("restored", "styled")
HEADLINE_SCORES = ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")

# Table and columns; they determine the index's name.
REPLACED = (
    ("items", "access"),
    ("items", "collection"),
    ("items", "date_earliest"),
    ("item_words", "item_id"),
    ("masters", "view"),
    ("masters", "last_task_status"),
    ("masters", "current_restored_id"),
    ("masters", "verified_at"),
    *(("masters", score) for score in HEADLINE_SCORES),
    ("derivatives", "verified_at"),
)
NEW = (
    ("items", "access", "accession_number"),
    ("items", "collection", "accession_number"),
    ("items", "date_earliest", "date_latest"),
    ("item_words", "item_id", "field", "word"),
    ("masters", "view", "item_id"),
    ("masters", "last_task_status", "item_id"),
    ("masters", "current_restored_id", "item_id"),
    ("masters", "current_restored_recipe_id", "item_id"),
    ("masters", "current_styled_recipe_id", "item_id"),
    ("masters", "verified_at", "id"),
    ("derivatives", "verified_at", "id"),
    ("reviews", "decision", "derivative_id"),
)
SCORES, SCORE_COLUMNS = "ix_quality_scores_metric_value_derivative_id", ["metric", "value", "derivative_id"]
# Name, columns, and the column that isn't NULL in the indexed rows.
PARTIAL = (
    ("restored_item_id", ("item_id",), "current_restored_id"),
    ("styled_item_id", ("item_id",), "current_styled_id"),
    ("refused_item_id", ("item_id",), "refusal"),
    *((f"{score}_item_id", (score, "item_id"), score) for score in HEADLINE_SCORES),
)


def upgrade() -> None:
    for kind in KINDS:
        _add_recipe_column(kind)
    for table, column in REPLACED:
        op.drop_index(f"ix_{table}_{column}", table)
    for table, *columns in NEW:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    rows = sa.text("image = 'derivative' AND stage IS NULL")
    op.create_index(SCORES, "quality_scores", SCORE_COLUMNS, sqlite_where=rows, postgresql_where=rows)
    for name, known_columns, known in PARTIAL:
        rows = sa.text(f"{known} IS NOT NULL")
        op.create_index(f"ix_masters_{name}", "masters", known_columns, sqlite_where=rows, postgresql_where=rows)


def downgrade() -> None:
    for name, _, _ in PARTIAL:
        op.drop_index(f"ix_masters_{name}", "masters")
    op.drop_index(SCORES, "quality_scores")
    for table, *columns in NEW:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
    for table, column in REPLACED:
        op.create_index(f"ix_{table}_{column}", table, [column])
    for kind in KINDS:
        op.drop_column("masters", f"current_{kind}_recipe_id")


def _add_recipe_column(kind: str) -> None:
    op.add_column("masters", sa.Column(f"current_{kind}_recipe_id", ID))
    current = f"SELECT recipe_id FROM derivatives WHERE derivatives.id = masters.current_{kind}_id"  # noqa: S608
    known = f"current_{kind}_id IS NOT NULL"
    op.execute(f"UPDATE masters SET current_{kind}_recipe_id = ({current}) WHERE {known}")  # noqa: S608
