"""Display labels and formatting: list fields, scores and recipes in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

LIST_FIELDS = (
    "id",
    "accession_number",
    "title",
    "creator",
    "date",
    "status",
    "model",
    "version",
    "psnr_source",
    "ssim_source",
    "psnr_reference",
    "ssim_reference",
    "review",
    "derivatives",
    "path",
)
"""The default keys of ``archive list`` and :func:`archive.catalogue.listings.list_items`, in this order."""

EXTRA_PREFIX = "extra."
FURTHER_LIST_FIELDS = (
    *("date_text", "description", "place", "process", "polarity", "rights", "access", "collection", "extra"),
    "identifiers",
    *("sequence", "view", "format", "width", "height", "bits_per_sample", "samples_per_pixel", "ppi", "icc_profile"),
    *(
        "captured_at",
        "captured_by",
        "ingested_at",
        "verified_at",
        "master_path",
        "master_sha256",
        "master_size",
        "page",
    ),
    *("derivative_id", "derivative_sha256", "pixel_sha256", "created_at", "batch", "notes", "recipe"),
    *("noise_sigma", "blur_effect", "contrast", "colourfulness", "changed_share", "smoothed_share", "filled_share"),
    *("filled_places", "review_reason", "reviewer", "reviewed_at"),
)
"""What ``archive list --fields`` knows besides, about the same master and its current restored derivative."""

DERIVATIVE_KEYS = ("derivative", "batch", "current")
"""What a row about an item has further if the query selects derivatives: its id, its batch, whether it is current."""

MASTER_ROW_FIELDS = (
    *("accession_number", "title", "sequence", "view", "status", "review", "derivative", "derivatives", "file"),
    *("refusal", "width", "height", "size", "path"),
)
"""The keys of ``archive list --rows masters``."""

DERIVATIVE_ROW_FIELDS = (
    *("accession_number", "title", "sequence", "derivative", "kind", "batch", "made", "operator", "model", "version"),
    *("strength", "recipe", "current", "trial", "file", "decision", "reason", "reviewer", "reviewed"),
    *("psnr_source", "ssim_source", "psnr_reference", "ssim_reference", "sha256", "size", "notes"),
    "path",
)
"""The keys of ``archive list --rows derivatives``."""

DECISION_FIELDS = ("accession_number", "sequence", "derivative", "decision", "reason", "reviewer")
"""The columns of a file of decisions, which ``archive review --from`` reads: some of the above."""

_IMAGES = {"source": "master", "derivative": "derivative"}
_COMPARED_WITH = {
    None: "",
    "source": " against the master (how much was changed)",
    "reference": " against the clean reference (how good it is)",
    "stage_input": " against the stage's input",
    "style": " against the style",
}
_UNITS = {"psnr": " dB"}
_COUNTS = ("filled_places",)
_GRAIN_NAME = re.compile(r"grain_(?P<chroma>chroma_)?(?P<scale>\d+px)(_\d+)?")


def describe_score(score: Record) -> str:
    """The metric, its image and the comparison image; ``score`` is an entry of ``quality`` in ``archive show``."""
    stage = "" if score["stage"] is None else f" after stage {score['stage'] + 1}"
    return f"{score['metric']} of the {_IMAGES[score['image']]}{stage}{_COMPARED_WITH[score['compared_with']]}"


def format_score_value(score: Record) -> str:
    """The value with its unit, or the reason why there is none."""
    if score["value"] is None:
        return score["detail"] or "none"
    shown = format_number(score["metric"], score["value"])
    detail = f" ({score['detail']})" if score["detail"] else ""
    return f"{shown}{score_unit(score)}{detail}"


def format_number(name: str, value: float) -> str:
    """A metric's value: counts without decimals, shares with four, larger numbers with two."""
    return f"{value:.{metric_decimals(name, value)}f}"


def metric_decimals(name: str, value: float) -> int:
    """The decimals that the value of a metric is shown with."""
    return 0 if name in _COUNTS else 4 if abs(value) <= 1 else 2


def score_unit(score: Record) -> str:
    """The unit of the score's metric after a space; empty without a unit."""
    return _UNITS.get(score["metric"], "")


def describe_recipe(recipe: Record) -> str:
    """The recipe's stages as text, such as ``denoise-deblur 0.1 (strength 1)``; styles are marked as simulated looks.

    ``recipe`` is an entry of ``archive show`` or another recipe as JSON values.
    """
    parts = [_stage_in_words(stage) for stage in recipe["stages"] if stage["task"] != "style"]
    if styles := [_stage_in_words(stage) for stage in recipe["stages"] if stage["task"] == "style"]:
        where = " within a mask" if recipe.get("mask_sha256") else ""
        parts.append(f"a simulated look{where}: {', blended with '.join(styles)}")
    return ", then ".join(parts)


def describe_grain(statistics: Mapping[str, float]) -> str | None:
    """A grain profile in words, in levels of 255; None if ``statistics`` holds none."""
    levels: dict[str, list[str]] = {}
    for name, value in statistics.items():
        if (found := _GRAIN_NAME.fullmatch(name)) is not None:
            scale = f"{'chroma ' if found['chroma'] else ''}{found['scale']}"
            levels.setdefault(scale, []).append(f"{value * 255:.1f}")
    described = "; ".join(f"{scale} {' '.join(values)}" for scale, values in levels.items())
    return f"grain of the source, of 255 levels, from dark to light: {described}" if levels else None


def describe_kind(kind: str) -> str:
    """The display label of a kind of derivative."""
    return {"restored": "digitally restored", "styled": "a look was simulated"}[kind]


def _stage_in_words(stage: Record) -> str:
    parameters = ", ".join(f"{name} {_plain(value)}" for name, value in sorted(stage["parameters"].items()))
    return f"{stage['model']} {stage['version']}" + (f" ({parameters})" if parameters else "")


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "+".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def format_bytes(number_of_bytes: float) -> str:
    """``1.5 GB``."""
    power = 0
    while number_of_bytes >= 1000 and power < len(_BYTE_UNITS) - 1:
        number_of_bytes, power = number_of_bytes / 1000, power + 1
    return f"{number_of_bytes:.1f} {_BYTE_UNITS[power]}" if power else f"{number_of_bytes:.0f} {_BYTE_UNITS[0]}"
