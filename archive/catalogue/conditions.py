"""What is true of a master: the one definition of each status, used by queries, lists and plans alike.

Every condition is true or false of a row of ``masters``, never NULL, so that its negation holds of exactly the others.
"""

from __future__ import annotations

from sqlalchemy import Case, ColumnElement, Select, and_, case, exists, select
from sqlalchemy.orm import aliased

from archive.catalogue.current import newest_decision
from archive.catalogue.tables import Derivative, Master, ModelAlias, ModelVersion, RecipeStage
from archive.catalogue.vocabulary import RESTORABLE_VIEWS, Decision, DerivativeKind, StageTask, TaskStatus

APPROVED = "approved"
"""The alias of the version that a museum runs."""


def _outdated(derivative: type[Derivative]) -> Select[int]:
    """The ids of the derivatives whose master is to be restored again, were they its current ones.

    A stage of the recipe uses another version than its model's approved one, and the master has no restored derivative
    by that one, rejected ones included.
    """
    stage, version, approved = aliased(RecipeStage), aliased(ModelVersion), aliased(ModelAlias)
    other, other_stage = aliased(Derivative), aliased(RecipeStage)
    by_approved = (
        exists()
        .where(
            other.master_id == derivative.master_id,
            other.kind == DerivativeKind.RESTORED,
            other_stage.recipe_id == other.recipe_id,
            other_stage.version_id == approved.version_id,
        )
        .correlate(derivative, approved)
    )
    return (
        select(derivative.id)
        .join(stage, and_(stage.recipe_id == derivative.recipe_id, stage.task == StageTask.RESTORATION))
        .join(version, version.id == stage.version_id)
        .join(approved, and_(approved.model_id == version.model_id, approved.alias == APPROVED))
        .where(approved.version_id != version.id, ~by_approved)
    )


def _stale_row() -> ColumnElement[bool]:
    derivative = aliased(Derivative)
    return _outdated(derivative).where(derivative.id == Master.current_restored_id).correlate(Master).exists()


RESTORED: ColumnElement[bool] = Master.current_restored_id.is_not(None)
UNRESTORED: ColumnElement[bool] = Master.current_restored_id.is_(None)
STYLED: ColumnElement[bool] = Master.current_styled_id.is_not(None)
FAILED: ColumnElement[bool] = and_(Master.last_task_status.is_not(None), Master.last_task_status == TaskStatus.FAILED)
REFUSED: ColumnElement[bool] = Master.refusal.is_not(None)
# As a condition that picks masters it is asked of all outdated derivatives at once, which mostly are none.
STALE: ColumnElement[bool] = and_(RESTORED, Master.current_restored_id.in_(_outdated(aliased(Derivative))))

STATUSES: dict[str, ColumnElement[bool]] = {
    "unrestored": UNRESTORED,
    "restored": RESTORED,
    "stale": STALE,
    "styled": STYLED,
    "failed": FAILED,
    "refused": REFUSED,
}
"""What ``status:`` takes in a query."""

STATUS: Case[str] = case(
    (FAILED, "failed"),
    (_stale_row(), "stale"),
    (RESTORED, "restored"),
    (REFUSED, "refused"),
    else_="unrestored",
)
"""The status of a master as a column: the first that holds."""

REVIEW: Case[Decision] = case(
    (RESTORED, newest_decision(Master.current_restored_id)),
    (
        exists().where(Derivative.master_id == Master.id, Derivative.kind == DerivativeKind.RESTORED),
        Decision.REJECTED.value,
    ),
)
"""What a person decided about a master's current restored derivative; ``rejected`` where that leaves none current."""

RESTORABLE_FIRST: Case[int] = case((Master.view.in_(RESTORABLE_VIEWS), 0), else_=1)
"""Orders an item's masters together with their sequence: the first is the one that a list tells of."""
