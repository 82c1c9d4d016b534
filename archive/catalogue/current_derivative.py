"""The current derivative of a master, and whether it is stale, both stored on the master's row: rules and application.

The current derivative, per master and kind (restored, styled); docs/explanation/current-derivative.md has the table:

1. A derivative that was rejected or withdrawn, or whose file is missing or changed, is never current.
2. An accepted one comes before one that was not reviewed; of several, the one that was accepted last.
3. A derivative of a trial is not current by itself: only acceptance, promotion or a full run of its recipe counts it.
4. Of those not reviewed, one by the approved version of each restoration model comes first.
5. Then the newest, by the time since when it counts: its promotion, else its creation.

A master is stale if its current restored derivative comes from another version than the approved one of the same model,
and it has no restored derivative by that one, not counting those of trials and those whose file is missing, changed or
lost. A rejected one counts: there is nothing to run again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    Subquery,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.selectable import ScalarSelect

from archive.catalogue.schema.tables import (
    Derivative,
    Master,
    ModelAlias,
    ModelVersion,
    QualityScore,
    RecipeStage,
    Review,
)
from archive.catalogue.schema.vocabularies import (
    APPROVED,
    ComparedWith,
    Decision,
    DerivativeKind,
    ScoredImage,
    StageTask,
)

_CURRENT = (
    (DerivativeKind.RESTORED, Master.current_restored_id, Master.current_restored_recipe_id),
    (DerivativeKind.STYLED, Master.current_styled_id, Master.current_styled_recipe_id),
)
"""Of each kind, the columns of a master that hold the current derivative and its recipe."""


# Made once, because SQLAlchemy builds their columns slowly and then keeps them.
_STAGE, _VERSION, _APPROVED = aliased(RecipeStage), aliased(ModelVersion), aliased(ModelAlias)
_ITS_DERIVATIVE, _ITS_STAGE = aliased(Derivative), aliased(RecipeStage)


def is_current(derivative: type[Derivative]) -> ColumnElement[bool]:
    """Whether a derivative, or an alias of it, is one of the current ones of its master; never NULL."""
    return or_(*(derivative.id == func.coalesce(current_id, 0) for _, current_id, _ in _CURRENT))


def newest_decision(derivative_id: SQLColumnExpression[Any]) -> ScalarSelect[Decision]:
    """The decision of the newest review of a derivative; NULL without one, or where that one was undone."""
    return (
        select(type_coerce(func.nullif(Review.decision, Decision.UNDONE.value), Review.decision.type))
        .where(Review.derivative_id == derivative_id)
        .order_by(Review.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def image_score(
    derivative_id: SQLColumnExpression[Any], metric: str, image: ScoredImage = ScoredImage.DERIVATIVE
) -> ScalarSelect[float]:
    """A score of a whole derivative or of its source, by itself or against the source; NULL if there is none."""
    return (
        select(QualityScore.value)
        .where(
            QualityScore.derivative_id == derivative_id,
            QualityScore.metric == metric,
            QualityScore.image == image,
            QualityScore.stage.is_(None),
        )
        .limit(1)
        .scalar_subquery()
    )


def outdated_recipes() -> Select[int]:
    """Selects the recipes with a restoration stage by another version than the approved one of its model."""
    stage, version, approved = _STAGE, _VERSION, _APPROVED
    return (
        select(stage.recipe_id)
        .join(version, version.id == stage.version_id)
        .join(approved, and_(approved.model_id == version.model_id, approved.alias == APPROVED))
        .where(stage.task == StageTask.RESTORATION, approved.version_id != version.id)
    )


def lock_masters(session: Session, which: ColumnElement[bool]) -> None:
    """Locks the masters that ``which`` selects, with the state of their derivatives, until the transaction ends.

    All writers take these locks before those of derivatives, and in the order of ids, so that no deadlock occurs.
    SQLite has one writer at a time and needs no locks.
    """
    session.execute(select(Master.id).where(which).order_by(Master.id).with_for_update(of=Master)).all()


def update_current_derivatives(session: Session, master: Master) -> None:
    """Locks one master and applies the rule to it, after its derivatives, their reviews or their files changed."""
    session.flush()
    lock_masters(session, Master.id == master.id)
    update_current_where(session, Master.id == master.id)
    session.refresh(master)


def update_current_where(session: Session, which: ColumnElement[bool]) -> None:
    """Applies the rules to the masters that ``which`` selects, in the database; writes only rows that change.

    The headline scores on a master's row are those of its current restored derivative. If ``which`` selects few
    masters, lock them first, so that concurrent changes to them are visible.
    """
    session.flush()
    for kind, current_id, current_recipe_id in _CURRENT:
        first = _first_of_each_master(kind, which)
        scores: dict[Any, Any] = {}
        if kind is DerivativeKind.RESTORED:
            scores = {
                getattr(Master, f"{metric}_{against}"): score_of(first.c.id, metric, against)
                for metric in ("psnr", "ssim")
                for against in (ComparedWith.SOURCE, ComparedWith.REFERENCE)
            }
        session.execute(
            update(Master)
            .where(Master.id == first.c.master_id, current_id.is_distinct_from(first.c.id))
            .values({current_id: first.c.id, current_recipe_id: first.c.recipe_id, **scores}),
            execution_options={"synchronize_session": False},
        )
        has_none = ~exists().where(first.c.master_id == Master.id)
        session.execute(
            update(Master)
            .where(which, current_id.is_not(None), has_none)
            .values({current_id: None, current_recipe_id: None, **dict.fromkeys(scores)}),
            execution_options={"synchronize_session": False},
        )
    session.execute(
        update(Master).where(which, Master.is_stale != _is_stale()).values(is_stale=~Master.is_stale),
        execution_options={"synchronize_session": False},
    )


def count_from_now(session: Session, which: ColumnElement[bool], at: datetime) -> None:
    """Marks the derivatives that ``which`` selects as counting from ``at``, as if a full run had made them then.

    Locks their masters first, and applies the rule to them.
    """
    of_these = Master.id.in_(select(Derivative.master_id).where(which.self_group()))
    lock_masters(session, of_these)
    session.execute(
        update(Derivative).where(which).values(is_trial=False, promoted_at=at),
        execution_options={"synchronize_session": "fetch"},
    )
    update_current_where(session, of_these)


def _first_of_each_master(kind: DerivativeKind, which: ColumnElement[bool]) -> Subquery:
    """The derivative that the rule makes current: master_id, id, recipe_id."""
    decision = newest_decision(Derivative.id)
    is_accepted = func.coalesce(decision, "") == Decision.ACCEPTED.value
    newest_review = select(func.max(Review.id)).where(Review.derivative_id == Derivative.id).scalar_subquery()
    place = func.row_number().over(
        partition_by=Derivative.master_id,
        order_by=(
            case((is_accepted, newest_review), else_=0).desc(),
            case((Derivative.recipe_id.in_(outdated_recipes()), 1), else_=0),
            func.coalesce(Derivative.promoted_at, Derivative.created_at).desc(),
            Derivative.id.desc(),
        ),
    )
    ranked = (
        select(Derivative.master_id, Derivative.id, Derivative.recipe_id, place.label("place"))
        .where(
            Derivative.kind == kind,
            Derivative.file_fault.is_(None),
            Derivative.withdrawn_at.is_(None),
            func.coalesce(decision, "") != Decision.REJECTED.value,
            or_(~Derivative.is_trial, is_accepted),
            Derivative.master_id.in_(select(Master.id).where(which)),
        )
        .subquery()
    )
    return select(ranked.c.master_id, ranked.c.id, ranked.c.recipe_id).where(ranked.c.place == 1).subquery()


def _is_stale() -> ColumnElement[bool]:
    """Whether a master is stale by its present current derivative."""
    stage, version, approved, derivative, its_stage = _STAGE, _VERSION, _APPROVED, _ITS_DERIVATIVE, _ITS_STAGE
    by_approved = (
        exists()
        .where(
            derivative.master_id == Master.id,
            derivative.kind == DerivativeKind.RESTORED,
            derivative.file_fault.is_(None),
            ~derivative.is_trial,
            its_stage.recipe_id == derivative.recipe_id,
            its_stage.version_id == approved.version_id,
        )
        .correlate(Master, approved)
    )
    return (
        exists()
        .where(
            stage.recipe_id == Master.current_restored_recipe_id,
            stage.task == StageTask.RESTORATION,
            version.id == stage.version_id,
            approved.model_id == version.model_id,
            approved.alias == APPROVED,
            approved.version_id != version.id,
            ~by_approved,
        )
        .correlate(Master)
    )


def score_of(derivative_id: SQLColumnExpression[Any], metric: str, against: ComparedWith) -> ScalarSelect[float | None]:
    """The score of a whole derivative by ``metric`` against another image, as a subquery."""
    return (
        select(QualityScore.value)
        .where(
            QualityScore.derivative_id == derivative_id,
            QualityScore.metric == metric,
            QualityScore.compared_with == against,
            QualityScore.image == ScoredImage.DERIVATIVE,
            QualityScore.stage.is_(None),
        )
        .limit(1)
        .scalar_subquery()
    )
