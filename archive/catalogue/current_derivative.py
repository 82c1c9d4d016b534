"""The current derivative of a master, stored on the master's row so that queries are fast."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ScalarSelect, SQLColumnExpression, func, select, type_coerce
from sqlalchemy.orm import Session

from archive.catalogue.schema.tables import Derivative, Master, QualityScore, Review
from archive.catalogue.schema.vocabularies import ComparedWith, Decision, DerivativeKind, ScoredImage


def newest_decision(derivative_id: SQLColumnExpression[Any]) -> ScalarSelect[Decision]:
    """The decision of the newest review of a derivative; NULL without one, or where that one was undone."""
    return (
        select(type_coerce(func.nullif(Review.decision, Decision.UNDONE.value), Review.decision.type))
        .where(Review.derivative_id == derivative_id)
        .order_by(Review.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def update_current_derivatives(session: Session, master: Master) -> None:
    """Sets the master's current derivatives and headline scores after a derivative or a review was added.

    Per kind, the current one is the newest accepted, else the newest unreviewed; a rejected or withdrawn one is never
    current. The scores are those of the current restored derivative.
    """
    reviewed = session.execute(
        select(Derivative.id, Derivative.kind, Derivative.recipe_id, newest_decision(Derivative.id))
        .where(Derivative.master_id == master.id, Derivative.withdrawn_at.is_(None))
        .order_by(Derivative.id.desc())
    ).all()
    current: dict[DerivativeKind, tuple[int | None, int | None]] = {}
    for kind in DerivativeKind:
        of_kind = [(decision, (id_, recipe_id)) for id_, its_kind, recipe_id, decision in reviewed if its_kind is kind]
        accepted = [found for decision, found in of_kind if decision is Decision.ACCEPTED]
        unreviewed = [found for decision, found in of_kind if decision is None]
        current[kind] = next(iter(accepted + unreviewed), (None, None))
    master.current_restored_id, master.current_restored_recipe_id = current[DerivativeKind.RESTORED]
    master.current_styled_id, master.current_styled_recipe_id = current[DerivativeKind.STYLED]
    scores = _headline_scores(session, master.current_restored_id)
    for metric in ("psnr", "ssim"):
        for compared_with in (ComparedWith.SOURCE, ComparedWith.REFERENCE):
            setattr(master, f"{metric}_{compared_with}", scores.get((metric, compared_with)))
    session.flush()


def _headline_scores(
    session: Session, derivative_id: int | None
) -> dict[tuple[str, ComparedWith | None], float | None]:
    whole = select(QualityScore.metric, QualityScore.compared_with, QualityScore.value).where(
        QualityScore.derivative_id == derivative_id,
        QualityScore.image == ScoredImage.DERIVATIVE,
        QualityScore.stage.is_(None),
    )
    return {(metric, compared_with): value for metric, compared_with, value in session.execute(whole)}
