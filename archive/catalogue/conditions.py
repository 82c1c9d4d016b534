"""What is true of a master: the one definition of each status, used by queries, lists and plans alike.

Every condition is either true or false of a row, never NULL, so that its negation holds of exactly the others.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, and_, case, exists, or_, select
from sqlalchemy.orm import aliased

from archive.catalogue.current import newest_decision
from archive.catalogue.tables import Derivative, Master, ModelAlias, ModelVersion, RecipeStage
from archive.catalogue.vocabulary import RESTORABLE_VIEWS, Decision, DerivativeKind, StageTask, TaskStatus

APPROVED = "approved"


def _outdated() -> tuple[ColumnElement[bool], Select[tuple[int]]]:
    """Whether a derivative is outdated, as a condition on :class:`Derivative`, and the ids of all that are.

    It is where a stage of its recipe uses a version other than its model's approved one, and its master has no restored
    derivative by the approved one, rejected ones included.
    """
    stage, version, alias = aliased(RecipeStage), aliased(ModelVersion), aliased(ModelAlias)
    replaced = (
        select(stage.recipe_id, alias.version_id)
        .join(version, version.id == stage.version_id)
        .join(alias, and_(alias.model_id == version.model_id, alias.alias == APPROVED))
        .where(stage.task == StageTask.RESTORATION, alias.version_id != version.id)
    )
    return replaced
