"""Lists of large catalogues are read by index: recipes of current derivatives on masters, and indexes in list order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KINDS = ("restored", "styled")
HEADLINE_SCORES = ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")

# Table and columns; an index is named after them.
REPLACED = (
    ("items", "access"),
    ("items", "collection"),
    ("items", "date_earliest"),
    ("masters", "verified_at"),
    ("derivatives", "verified_at"),
)
NEW = (
    ("items", "access", "accession_number"),
    ("items", "collection", "accession_number"),
    ("items", "date_earliest", "date_latest"),
    ("masters", "verified_at", "id"),
    ("derivatives", "verified_at", "id"),
    ("masters", "current_restored_recipe_id"),
    ("masters", "current_styled_recipe_id"),
    ("quality_scores", "metric", "value"),
    ("reviews", "decision", "derivative_id"),
)
# What is named in the index, and the column that isn't NULL in its rows.
PARTIAL = (("restored", "current_restored_id"), ("styled", "current_styled_id"), ("refused", "refusal"))


def upgrade() -> None:
    for kind in KINDS:
        _add_recipe_column(kind)
    for table, column in REPLACED:
        op.drop_index(f"ix_{table}_{column}", table)
    for table, *columns in NEW:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    for name, known in PARTIAL:
        _create_where_known(f"ix_masters_{name}_item_id", "item_id", known)
    for score in HEADLINE_SCORES:
        op.drop_index(f"ix_masters_{score}", "masters")
        _create_where_known(f"ix_masters_{score}", score, score)


def downgrade() -> None:
    for score in HEADLINE_SCORES:
        op.drop_index(f"ix_masters_{score}", "masters")
        op.create_index(f"ix_masters_{score}", "masters", [score])
    for name, _ in PARTIAL:
        op.drop_index(f"ix_masters_{name}_item_id", "masters")
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


def _create_where_known(name: str, column: str, known: str) -> None:
    rows = sa.text(f"{known} IS NOT NULL")
    op.create_index(name, "masters", [column], sqlite_where=rows, postgresql_where=rows)
