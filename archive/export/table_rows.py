"""The rows of a table export: one per item, master or derivative, each a flat mapping of fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from archive.catalogue import Catalogue
from archive.catalogue.item_details import ITEM_FIELDS, describe_derivative, describe_master
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import ComparedWith, DerivativeKind, ScoredImage, StageTask
from archive.display_labels import LIST_FIELDS
from archive.export.derivative_copies import NO_FILES, HandedOverFiles
from archive.export.item_records import ItemRecord, current_derivative, is_current, restored_derivatives

RowKind = Literal["items", "masters", "derivatives"]

_SCORES = ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")
_PEOPLE = ("operator", "reviewer", "reviewed_at")
_SHARES = ("smoothed_share", "filled_share", "filled_places")
_OF_THE_ITEM = ("title", "creator", "date", "rights", "access", "collection")
_MASTER_FIELDS = (
    *("id", "accession_number", *_OF_THE_ITEM, "sequence", "view"),
    *("path", "page", "sha256", "size", "format", "width", "height", "bits_per_sample", "samples_per_pixel", "ppi"),
    *("icc_profile", "picture_area", "captured_at", "captured_by", "ingested_at", "verified_at", "status", "model"),
    *("version", *_SCORES, "review", *_PEOPLE, "derivatives"),
)
_DERIVATIVE_FIELDS = (
    *("id", "accession_number", "master", "master_sha256", "kind", "path", "sha256", "pixel_sha256", "created_at"),
    *_OF_THE_ITEM,
    *("current", "batch", "operator", "model", "version", *_SCORES, *_SHARES, "review", "reviewer", "reviewed_at"),
    *("withdrawn", "file", "trial", "comments", "recipe", "environment", "stage_records", "notes", "quality"),
)

FIELDS: dict[RowKind, tuple[str, ...]] = {
    "items": (
        *LIST_FIELDS,
        *_PEOPLE,
        *(name for name in (*ITEM_FIELDS, "identifiers", "extra") if name not in LIST_FIELDS),
    ),
    "masters": _MASTER_FIELDS,
    "derivatives": _DERIVATIVE_FIELDS,
}
"""The fields of each kind of row, in their order."""
COPY_FIELDS = ("copy", "copy_sha256")
"""Further fields of an export whose derivatives are handed over with it: the copy's path beside the table."""

_OWN_START = 6
"""How many of the first fields tell that a table with all fields is from here, also if later versions have more."""


def are_own_fields(found: Sequence[str], chosen: Sequence[str]) -> bool:
    """Whether an existing table with the fields ``found`` is an earlier export: of all fields, or of the ``chosen``."""
    starts = [fields[:_OWN_START] for fields in FIELDS.values()]
    return tuple(found) == tuple(chosen) or tuple(found[:_OWN_START]) in starts


def make_rows(
    catalogue: Catalogue, record: ItemRecord, kind: RowKind, copies: HandedOverFiles = NO_FILES
) -> Iterator[dict[str, Any]]:
    """The rows of one item: itself, or the masters that the query found, or the derivatives of these."""
    if kind == "items":
        shown = current_derivative(record.first_match, DerivativeKind.RESTORED)
        yield {**_item_row(catalogue, record), **_copy_fields(copies, shown)}
        return
    for master in record.matching_masters:
        if kind == "masters":
            shown = current_derivative(master, DerivativeKind.RESTORED)
            yield {**_master_row(catalogue, record, master), **_copy_fields(copies, shown)}
        else:
            for derivative in master.derivatives:
                yield {**_derivative_row(catalogue, record, derivative), **_copy_fields(copies, derivative)}


def derivatives_in_rows(record: ItemRecord, kind: RowKind) -> Iterator[Derivative]:
    """The current derivatives that the rows of an item are about, or say of the item or master how it is restored."""
    if kind == "derivatives":
        for master in record.matching_masters:
            yield from filter(is_current, master.derivatives)
        return
    yield from restored_derivatives([record.first_match] if kind == "items" else record.matching_masters)


def _copy_fields(copies: HandedOverFiles, derivative: Derivative | None) -> dict[str, str | None]:
    return dict(zip(COPY_FIELDS, copies.describe(derivative), strict=True))


def _item_row(catalogue: Catalogue, record: ItemRecord) -> dict[str, Any]:
    item, master = record.item, record.first_match
    current = current_derivative(master, DerivativeKind.RESTORED)
    return {
        "id": item.id,
        "accession_number": item.accession_number,
        **{name: getattr(item, name) for name in ITEM_FIELDS},
        "identifiers": record.identifiers,
        "extra": item.extra,
        **_outcome(record, master),
        "derivatives": sum(1 for _ in record.derivatives),
        "path": None if current is None else str(catalogue.path_of(current.path)),
    }


def _master_row(catalogue: Catalogue, record: ItemRecord, master: Master) -> dict[str, Any]:
    item = record.item
    return {
        **describe_master(catalogue, master),
        "id": master.id,
        **{name: getattr(item, name) for name in _MASTER_FIELDS if name in ("accession_number", *ITEM_FIELDS)},
        "ingested_at": master.ingested_at.isoformat(timespec="seconds"),
        "verified_at": None if master.verified_at is None else master.verified_at.isoformat(timespec="seconds"),
        **_outcome(record, master),
        "derivatives": len(master.derivatives),
    }


def _derivative_row(catalogue: Catalogue, record: ItemRecord, derivative: Derivative) -> dict[str, Any]:
    described = describe_derivative(catalogue, derivative, record.comments[derivative.id])
    review = described.pop("review")
    return {
        **described,
        "accession_number": record.item.accession_number,
        **{name: getattr(record.item, name) for name in _OF_THE_ITEM},
        "master_sha256": derivative.master_sha256,
        **_first_model(derivative),
        **_scores(derivative),
        "review": review and review["decision"],
        "reviewer": review and review["reviewer"],
        "reviewed_at": review and review["at"],
    }


def _outcome(record: ItemRecord, master: Master) -> dict[str, Any]:
    """Status of a master; model, scores, review and people of its current restored derivative."""
    restored = current_derivative(master, DerivativeKind.RESTORED)
    return {
        "status": record.statuses[master.id],
        **_first_model(restored),
        **{name: getattr(master, name) for name in _SCORES},
        "review": record.reviews[master.id],
        **_people(restored, decided=record.reviews[master.id] is not None),
    }


def _people(derivative: Derivative | None, *, decided: bool) -> dict[str, str | None]:
    """Who ran the restoration, and who made the decision about it, if there is one."""
    if derivative is None:
        return dict.fromkeys(_PEOPLE)
    operator = derivative.operator or derivative.batch.operator
    newest = derivative.reviews[-1] if decided else None
    return {
        "operator": operator.name if operator else None,
        "reviewer": newest.agent.name if newest else None,
        "reviewed_at": newest.at.isoformat(timespec="seconds") if newest else None,
    }


def _first_model(derivative: Derivative | None) -> dict[str, str | None]:
    """Name and version of the first restoration stage, else of the first stage."""
    if derivative is None or not derivative.recipe.stages:
        return {"model": None, "version": None}
    stages = derivative.recipe.stages
    stage = next((each for each in stages if each.task is StageTask.RESTORATION), stages[0])
    return {"model": stage.version.model.name, "version": stage.version.version}


def _scores(derivative: Derivative) -> dict[str, float | None]:
    """The headline scores of a derivative, named like the query fields; None where one is missing."""
    values: dict[str, float | None] = dict.fromkeys((*_SCORES, *_SHARES))
    for score in derivative.scores:
        if score.image is not ScoredImage.DERIVATIVE or score.stage is not None:
            continue
        versus_source = score.compared_with in (None, ComparedWith.SOURCE)
        name = score.metric if score.metric in _SHARES and versus_source else f"{score.metric}_{score.compared_with}"
        if name in values:
            values[name] = score.value
    return values
