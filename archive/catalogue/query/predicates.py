"""Predicates on masters: the only definition of each status, used by queries, lists and plans.

A predicate is true or false for every row of ``masters``, never NULL, so that its negation selects exactly the others.
"""

from __future__ import annotations

from sqlalchemy import Case, ColumnElement, and_, case, exists, select
from sqlalchemy.orm import aliased

from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.schema.tables import Derivative, Master, ModelAlias, ModelVersion, RecipeStage
from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, Decision, DerivativeKind, StageTask, TaskStatus

APPROVED = "approved"
"""The alias of the version in use."""


def _stale() -> ColumnElement[bool]:
    """True if the current restored recipe uses another version than the approved one of the same model.

    False if the master already has a restored derivative by the approved version, even a rejected one.
    """
    stage, version, approved = aliased(RecipeStage), aliased(ModelVersion), aliased(ModelAlias)
    derivative, its_stage = aliased(Derivative), aliased(RecipeStage)
    outdated = (
        select(stage.recipe_id)
        .join(version, version.id == stage.version_id)
        .join(approved, and_(approved.model_id == version.model_id, approved.alias == APPROVED))
        .where(stage.task == StageTask.RESTORATION, approved.version_id != version.id)
    )
    by_approved = (
        exists()
        .where(
            derivative.master_id == Master.id,
            derivative.kind == DerivativeKind.RESTORED,
            its_stage.recipe_id == derivative.recipe_id,
            its_stage.version_id == approved.version_id,
        )
        .correlate(Master, approved)
    )
    without_approved = outdated.where(stage.recipe_id == Master.current_restored_recipe_id, ~by_approved).correlate(
        Master
    )
    # The first condition follows from the second, but lets the database find the masters by index: there are few
    # outdated recipes.
    return and_(Master.current_restored_recipe_id.in_(outdated), without_approved.exists())


RESTORED: ColumnElement[bool] = Master.current_restored_id.is_not(None)
UNRESTORED: ColumnElement[bool] = Master.current_restored_id.is_(None)
STYLED: ColumnElement[bool] = Master.current_styled_id.is_not(None)
FAILED: ColumnElement[bool] = and_(Master.last_task_status.is_not(None), Master.last_task_status == TaskStatus.FAILED)
REFUSED: ColumnElement[bool] = Master.refusal.is_not(None)
WITHDRAWN: ColumnElement[bool] = Master.id.in_(select(Derivative.master_id).where(Derivative.withdrawn_at.is_not(None)))
STALE: ColumnElement[bool] = and_(Master.current_restored_recipe_id.is_not(None), _stale())

STATUSES: dict[str, ColumnElement[bool]] = {
    "unrestored": UNRESTORED,
    "restored": RESTORED,
    "stale": STALE,
    "styled": STYLED,
    "failed": FAILED,
    "refused": REFUSED,
    "withdrawn": WITHDRAWN,
}
"""The values of the query field ``status``."""

STATUS: Case[str] = case(
    (FAILED, "failed"),
    (STALE, "stale"),
    (RESTORED, "restored"),
    (WITHDRAWN, "withdrawn"),
    (REFUSED, "refused"),
    else_="unrestored",
)
"""The status of a master as a column: the first one that is true."""

REVIEW: Case[Decision] = case(
    (RESTORED, newest_decision(Master.current_restored_id)),
    (
        # Not an EXISTS: PostgreSQL would evaluate it for all masters before it returns the first row.
        select(Derivative.id)
        .where(Derivative.master_id == Master.id, Derivative.kind == DerivativeKind.RESTORED)
        .limit(1)
        .scalar_subquery()
        .is_not(None),
        Decision.REJECTED.value,
    ),
)
"""The newest review of a master's current restored derivative; ``rejected`` if rejections leave none current."""

RESTORABLE_FIRST: Case[int] = case((Master.view.in_(RESTORABLE_VIEWS), 0), else_=1)
"""Sort key of an item's masters, before their sequence: the first one represents the item in a list."""
