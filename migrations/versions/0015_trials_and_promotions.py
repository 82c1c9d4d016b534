"""Trials, promotions, missing or changed files, strengths for queries; current derivatives by the new rule.

Samples of older catalogues count as trials. Downgrading applies the former rule: the newest accepted derivative, else
the newest one without a review.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
FAULTS = "file_fault IN ('missing', 'changed', 'lost')"
UNIQUE = "uq_derivatives_master_id_recipe_id"
# Table, columns, condition.
INDEXES = (
    ("derivatives", ("created_at", "master_id"), None),
    ("derivatives", ("master_id", "recipe_id"), None),
    ("derivatives", ("file_fault", "master_id"), "file_fault IS NOT NULL"),
    ("masters", ("file_fault", "item_id"), "file_fault IS NOT NULL"),
    ("reviews", ("agent_id", "derivative_id"), None),
    ("reviews", ("at", "derivative_id"), None),
)
DECISION = "(SELECT r.decision FROM reviews r WHERE r.derivative_id = d.id ORDER BY r.id DESC LIMIT 1)"
OUTDATED = (
    "SELECT s.recipe_id FROM recipe_stages s JOIN model_versions v ON v.id = s.version_id "
    "JOIN model_aliases a ON a.model_id = v.model_id AND a.alias = 'approved' "
    "WHERE s.task = 'restoration' AND a.version_id <> v.id"
)
NEW_ORDER = (
    f"CASE WHEN coalesce({DECISION}, '') = 'accepted' "  # noqa: S608
    "THEN (SELECT max(r.id) FROM reviews r WHERE r.derivative_id = d.id) ELSE 0 END DESC, "
    f"CASE WHEN d.recipe_id IN ({OUTDATED}) THEN 1 ELSE 0 END, d.created_at DESC, d.id DESC"
)
NEW_RULE = f"(NOT d.is_trial OR coalesce({DECISION}, '') = 'accepted')"
OLD_ORDER = f"CASE WHEN coalesce({DECISION}, '') = 'accepted' THEN 0 ELSE 1 END, d.id DESC"
SCORES = ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")


def upgrade() -> None:
    _limit_batch_kinds("'restore', 'rerun', 'repair'")
    op.add_column("recipe_stages", sa.Column("strength", sa.Float(53)))
    with op.batch_alter_table("derivatives") as derivatives:
        derivatives.add_column(sa.Column("file_fault", sa.String(32)))
        derivatives.add_column(sa.Column("is_trial", sa.Boolean(), nullable=False, server_default=sa.false()))
        derivatives.add_column(sa.Column("promoted_at", MOMENT))
        derivatives.create_check_constraint(op.f("ck_derivatives_filefault"), FAULTS)
        derivatives.drop_constraint(op.f(UNIQUE), type_="unique")
    with op.batch_alter_table("derivatives") as derivatives:
        derivatives.alter_column("is_trial", server_default=None)
    with op.batch_alter_table("masters") as masters:
        masters.add_column(sa.Column("file_fault", sa.String(32)))
        masters.create_check_constraint(op.f("ck_masters_filefault"), FAULTS)
    rows = sa.text("file_fault IS NULL OR file_fault <> 'lost'")
    op.create_index(
        UNIQUE, "derivatives", ["master_id", "recipe_id"], unique=True, sqlite_where=rows, postgresql_where=rows
    )
    for table, columns, condition in INDEXES:
        where = None if condition is None else sa.text(condition)
        op.create_index(
            f"ix_{table}_{'_'.join(columns)}", table, list(columns), sqlite_where=where, postgresql_where=where
        )
    _mark_samples_as_trials()
    _write_strengths()
    _apply(NEW_RULE, NEW_ORDER)


def downgrade() -> None:
    connection = op.get_bind()
    for table, condition, what in (
        ("derivatives", "file_fault = 'lost'", "derivatives were lost and recreated with other bytes"),
        ("batches", "kind = 'repair'", "batches are repairs"),
    ):
        if count := connection.scalar(sa.text(f"SELECT count(*) FROM {table} WHERE {condition}")):  # noqa: S608
            raise RuntimeError(f"{count} {what}, which the older schema can't hold: keep this one")
    _apply("1 = 1", OLD_ORDER)
    for table, columns, _ in INDEXES:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
    op.drop_index(UNIQUE, "derivatives")
    with op.batch_alter_table("masters") as masters:
        masters.drop_constraint(op.f("ck_masters_filefault"), type_="check")
        masters.drop_column("file_fault")
    with op.batch_alter_table("derivatives") as derivatives:
        derivatives.drop_constraint(op.f("ck_derivatives_filefault"), type_="check")
        for column in ("promoted_at", "is_trial", "file_fault"):
            derivatives.drop_column(column)
        derivatives.create_unique_constraint(op.f(UNIQUE), ["master_id", "recipe_id"])
    op.drop_column("recipe_stages", "strength")
    _limit_batch_kinds("'restore', 'rerun'")


def _limit_batch_kinds(values: str) -> None:
    with op.batch_alter_table("batches") as batches:
        batches.drop_constraint(op.f("ck_batches_batchkind"), type_="check")
        batches.create_check_constraint(op.f("ck_batches_batchkind"), f"kind IN ({values})")


def _mark_samples_as_trials() -> None:
    connection = op.get_bind()
    batches = sa.table("batches", sa.column("id"), sa.column("options", sa.JSON()))
    derivatives = sa.table("derivatives", sa.column("batch_id"), sa.column("is_trial", sa.Boolean()))
    samples = [row.id for row in connection.execute(sa.select(batches)) if "sample" in row.options]
    for batch_id in samples:
        connection.execute(sa.update(derivatives).where(derivatives.c.batch_id == batch_id).values(is_trial=True))


def _write_strengths() -> None:
    connection = op.get_bind()
    stages = sa.table("recipe_stages", *map(sa.column, ("recipe_id", "position", "strength")))
    for recipe_id, content in connection.execute(sa.text("SELECT id, canonical_json FROM recipes")).all():
        for position, stage in enumerate(json.loads(content).get("stages", ())):
            strength = stage["parameters"].get("strength")
            if isinstance(strength, int | float):
                of_stage = sa.and_(stages.c.recipe_id == recipe_id, stages.c.position == position)
                connection.execute(sa.update(stages).where(of_stage).values(strength=float(strength)))


def _apply(rule: str, order: str) -> None:
    """Writes the current derivatives, and the scores of the restored one, to the masters whose values change."""
    for kind in ("restored", "styled"):
        best = (
            "SELECT master_id, id, recipe_id FROM (SELECT d.master_id, d.id, d.recipe_id, row_number() OVER "  # noqa: S608
            f"(PARTITION BY d.master_id ORDER BY {order}) AS place FROM derivatives d "
            f"WHERE d.kind = '{kind}' AND d.withdrawn_at IS NULL AND coalesce({DECISION}, '') <> 'rejected' "
            f"AND {rule}) ranked WHERE place = 1"
        )
        scores = "".join(
            f", {score} = (SELECT q.value FROM quality_scores q WHERE q.derivative_id = best.id "  # noqa: S608
            f"AND q.metric = '{score[:4]}' AND q.compared_with = '{score[5:]}' AND q.image = 'derivative' "
            "AND q.stage IS NULL LIMIT 1)"
            for score in SCORES
            if kind == "restored"
        )
        none = "".join(f", {score} = NULL" for score in SCORES if kind == "restored")
        op.execute(
            f"UPDATE masters SET current_{kind}_id = best.id, current_{kind}_recipe_id = best.recipe_id{scores} "  # noqa: S608
            f"FROM ({best}) AS best WHERE best.master_id = masters.id "
            f"AND (masters.current_{kind}_id IS NULL OR masters.current_{kind}_id <> best.id)"
        )
        op.execute(
            f"UPDATE masters SET current_{kind}_id = NULL, current_{kind}_recipe_id = NULL{none} "  # noqa: S608
            f"WHERE current_{kind}_id IS NOT NULL AND id NOT IN (SELECT master_id FROM ({best}) AS best)"
        )
