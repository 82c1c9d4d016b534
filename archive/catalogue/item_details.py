"""Item details: everything in the catalogue about one item, as one object."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from archive.catalogue.other_identifiers import get_identifiers
from archive.catalogue.query.status_predicates import RESTORABLE_FIRST, STATUS
from archive.catalogue.schema.tables import Derivative, Event, Item, Master, QualityScore, Review
from archive.catalogue.schema.vocabularies import Decision
from archive.catalogue.schema.web_review_tables import Comment
from archive.catalogue.sessions import Catalogue
from archive.errors import NotFoundError

ITEM_FIELDS = (
    "title",
    "creator",
    "date",
    "date_text",
    "description",
    "place",
    "process",
    "polarity",
    "rights",
    "access",
    "collection",
)
"""The descriptive fields of an item, as the spreadsheet names them."""
_MASTER_FIELDS = ("size", "format", "width", "height", "bits_per_sample", "samples_per_pixel", "ppi", "icc_profile")
_STAGE_FIELDS = ("task", "model", "version", "weights_sha256", "parameters")
_ENVIRONMENT_FIELDS = (
    "software_version",
    "torch_version",
    "device",
    "instruction_set",
    "precision",
    "tile_size",
    "threads",
    "seed",
)
_SCORE_FIELDS = (
    "metric",
    "value",
    "image",
    "stage",
    "compared_with",
    "colour_space",
    "data_range",
    "implementation",
    "detail",
)


def get_item_details(catalogue: Catalogue, session: Session, accession_number: str) -> dict[str, Any]:
    """Returns the item with its masters by sequence, derivatives by id, and events in chronological order.

    Its status is that of its first restorable master. Paths are absolute, times UTC in ISO 8601.

    Raises:
        NotFoundError: there is no such item.
    """
    item = session.scalars(select(Item).where(Item.accession_number == accession_number)).one_or_none()
    if item is None:
        raise NotFoundError(f"No item {accession_number!r}. Run `archive list` to see the items.")
    masters = session.scalars(select(Master).where(Master.item_id == item.id).order_by(Master.sequence)).all()
    derivatives = session.scalars(
        select(Derivative)
        .join(Master, Master.id == Derivative.master_id)
        .where(Master.item_id == item.id)
        .order_by(Derivative.id)
        .options(
            joinedload(Derivative.master),
            joinedload(Derivative.recipe),
            joinedload(Derivative.operator),
            selectinload(Derivative.scores),
            selectinload(Derivative.reviews).joinedload(Review.agent),
        )
    ).all()
    comments = list_comments(session, [derivative.id for derivative in derivatives])
    return {
        "id": item.id,
        "accession_number": item.accession_number,
        **{name: getattr(item, name) for name in ITEM_FIELDS},
        "identifiers": {
            scheme: list(values) for scheme, values in get_identifiers(session, [item.id])[item.id].items()
        },
        "extra": item.extra,
        "status": session.scalars(
            select(STATUS).where(Master.item_id == item.id).order_by(RESTORABLE_FIRST, Master.sequence).limit(1)
        ).one_or_none(),
        "masters": [describe_master(catalogue, master) for master in masters],
        "derivatives": [
            describe_derivative(catalogue, derivative, comments[derivative.id]) for derivative in derivatives
        ],
        "events": _events(session, item, masters, derivatives),
    }


def describe_master(catalogue: Catalogue, master: Master) -> dict[str, Any]:
    """One of the masters in :func:`get_item_details`."""
    area = master.picture_area
    return {
        "id": master.id,
        "sequence": master.sequence,
        "view": master.view,
        "path": str(catalogue.path_of(master.path)),
        "page": master.page,
        "sha256": master.sha256,
        **{name: getattr(master, name) for name in _MASTER_FIELDS},
        "picture_area": None if area is None else area._asdict(),
        "captured_at": master.captured_at,
        "captured_by": master.captured_by,
        "file": master.file_fault,
    }


def list_comments(session: Session, derivative_ids: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """The comments on each derivative in chronological order: place (px), text, author, at."""
    found = session.scalars(
        select(Comment)
        .where(Comment.derivative_id.in_(derivative_ids))
        .order_by(Comment.id)
        .options(joinedload(Comment.agent))
    )
    comments: dict[int, list[dict[str, Any]]] = {derivative_id: [] for derivative_id in derivative_ids}
    for comment in found:
        comments[comment.derivative_id].append(
            {
                **{name: getattr(comment, name) for name in ("x", "y", "width", "height", "text")},
                "author": comment.agent.name,
                "at": comment.at.isoformat(timespec="seconds"),
            }
        )
    return comments


def describe_derivative(catalogue: Catalogue, derivative: Derivative, comments: list[dict[str, Any]]) -> dict[str, Any]:
    """One of the derivatives in :func:`get_item_details`, with its comments from :func:`list_comments`."""
    master = derivative.master
    recipe = json.loads(derivative.recipe.canonical_json)
    return {
        "id": derivative.id,
        "master": master.sequence,
        "kind": derivative.kind,
        "path": str(catalogue.path_of(derivative.path)),
        "sha256": derivative.sha256,
        "pixel_sha256": derivative.pixel_sha256,
        "created_at": derivative.created_at.isoformat(timespec="seconds"),
        "stage_records": derivative.stage_records,
        "notes": derivative.notes,
        "current": derivative.id in (master.current_restored_id, master.current_styled_id),
        "file": derivative.file_fault,
        "trial": derivative.is_trial,
        "batch": derivative.batch_id,
        "operator": derivative.operator.name if derivative.operator else None,
        "withdrawn": _withdrawal(derivative),
        "review": _newest_review(derivative.reviews),
        "comments": comments,
        "recipe": {
            "sha256": derivative.recipe.sha256,
            "pipeline_version": recipe["pipeline_version"],
            "stages": [{name: stage[name] for name in _STAGE_FIELDS} for stage in recipe["stages"]],
            **{name: recipe[name] for name in ("mask_sha256",) if name in recipe},  # only if the recipe has it
        },
        "environment": {name: derivative.environment.get(name) for name in _ENVIRONMENT_FIELDS},
        "quality": [_score(score) for score in derivative.scores],
    }


def _withdrawal(derivative: Derivative) -> dict[str, Any] | None:
    if derivative.withdrawn_at is None:
        return None
    return {
        "reason": derivative.withdrawal_reason,
        "person": None if derivative.withdrawn_by is None else derivative.withdrawn_by.name,
        "at": derivative.withdrawn_at.isoformat(timespec="seconds"),
    }


def _newest_review(reviews: Sequence[Review]) -> dict[str, Any] | None:
    if not reviews or reviews[-1].decision is Decision.UNDONE:
        return None
    return _review(reviews[-1])


def _review(review: Review) -> dict[str, Any]:
    return {
        "decision": review.decision,
        "reason": review.reason,
        "reviewer": review.agent.name,
        "at": review.at.isoformat(timespec="seconds"),
    }


def _score(score: QualityScore) -> dict[str, Any]:
    return {name: getattr(score, name) for name in _SCORE_FIELDS}


def _events(
    session: Session, item: Item, masters: Sequence[Master], derivatives: Sequence[Derivative]
) -> list[dict[str, Any]]:
    events = session.scalars(
        select(Event)
        .where(
            or_(
                Event.item_id == item.id,
                Event.master_id.in_([master.id for master in masters]),
                Event.derivative_id.in_([derivative.id for derivative in derivatives]),
            )
        )
        .order_by(Event.id)
        .options(joinedload(Event.agent), joinedload(Event.operator))
    )
    return [
        {
            "type": event.type,
            "at": event.at.isoformat(timespec="seconds"),
            "outcome": event.outcome,
            "detail": event.detail,
            "agent": {"type": event.agent.type, "name": event.agent.name, "version": event.agent.version},
            "operator": event.operator.name if event.operator else None,
        }
        for event in events
    ]
