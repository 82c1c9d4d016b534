"""Additional fields of lists, which are read only on request."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from archive.catalogue.current_derivative import image_score
from archive.catalogue.query.fields import OTHER_METRICS
from archive.catalogue.query.text_index import fold_words
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Agent, Item, Master, Recipe, Review
from archive.catalogue.schema.vocabularies import Decision
from archive.display_labels import EXTRA_PREFIX

_ITEM = ("date_text", "description", "place", "process", "polarity", "rights", "access", "collection", "extra")
_MASTER = (
    *("sequence", "view", "format", "width", "height", "bits_per_sample", "samples_per_pixel", "ppi"),
    *("icc_profile", "captured_at", "captured_by", "ingested_at", "verified_at"),
)
_MASTER_RENAMED = {"master_path": "path", "master_sha256": "sha256", "master_size": "size", "page": "page"}
_DERIVATIVE = {
    "derivative_id": "id",
    "derivative_sha256": "sha256",
    "pixel_sha256": "pixel_sha256",
    "created_at": "created_at",
    "batch": "batch_id",
    "notes": "notes",
}
_PLAIN_TYPES = frozenset({str, int, float, bool, NoneType})  # of values that a list shows as they are


def further_columns(names: Collection[str], shown: Any) -> list[ColumnElement[Any]]:
    """The labelled columns of additional fields; ``shown`` is the derivative of the row, or its alias."""
    known = _known_columns(shown) if names else {}  # to build them all takes several milliseconds
    wanted = ["extra" if name.startswith(EXTRA_PREFIX) else name for name in names]
    return [known[name].label(name) for name in dict.fromkeys(wanted) if name in known]


def plain_values(row: Mapping[Any, Any], names: Collection[str], path_of: Callable[[str], Path]) -> dict[str, Any]:
    """The row's values for a list: absolute paths, times in ISO 8601, the museum's own columns by their names."""
    values = {name: value if type(value) in _PLAIN_TYPES else _plain(value) for name, value in row.items()}
    for name in ("path", "master_path"):
        if values.get(name) is not None:
            values[name] = str(path_of(values[name]))
    if names:
        own = {tuple(fold_words(name)): value for name, value in (row.get("extra") or {}).items()}
        for name in names:
            if name.startswith(EXTRA_PREFIX):
                values[name] = own.get(tuple(fold_words(name.removeprefix(EXTRA_PREFIX))))
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _known_columns(shown: Any) -> dict[str, Any]:
    identifiers = (
        select(func.aggregate_strings(ItemIdentifier.value, "; "))
        .where(ItemIdentifier.item_id == Item.id)
        .scalar_subquery()
    )
    recipe = select(Recipe.sha256).where(Recipe.id == shown.recipe_id).scalar_subquery()
    return {
        **{name: getattr(Item, name) for name in _ITEM},
        "identifiers": identifiers,
        **{name: getattr(Master, name) for name in _MASTER},
        **{name: getattr(Master, column) for name, column in _MASTER_RENAMED.items()},
        **{name: getattr(shown, column) for name, column in _DERIVATIVE.items()},
        "recipe": recipe,
        **{name: image_score(shown.id, name) for name in OTHER_METRICS},
        **_newest_review(shown),
    }


def _newest_review(shown: Any) -> dict[str, Any]:
    newer = aliased(Review)
    newest = select(func.max(newer.id)).where(newer.derivative_id == shown.id).correlate(shown).scalar_subquery()
    last = select(Review.reason).where(Review.id == newest, Review.decision != Decision.UNDONE)
    return {
        "review_reason": last.scalar_subquery(),
        "reviewer": last.join(Agent, Agent.id == Review.agent_id).with_only_columns(Agent.name).scalar_subquery(),
        "reviewed_at": last.with_only_columns(Review.at).scalar_subquery(),
    }
