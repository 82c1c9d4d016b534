"""The change map of a derivative, as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from archive.catalogue.schema.vocabularies import StageTask
from archive.display_labels import Record
from archive.report.preview_images import png_data_url
from restoration.image import Source
from restoration.quality.change_detection import (
    CHANGE_COLOURS,
    CHANGE_COVER,
    CHANGE_STEPS,
    DARKEST_GREY,
    FILLED_COLOUR,
    FILLED_THRESHOLD,
    change_map,
)

LEGEND = {
    "change_steps": dict(zip(CHANGE_STEPS, CHANGE_COLOURS, strict=True)),
    "change_cover": f"{CHANGE_COVER:.0%}",
    "darkest_grey": f"{DARKEST_GREY:.0%}",
    "filled_by": FILLED_THRESHOLD,
    "filled_colour": FILLED_COLOUR,
}
"""What the template tells of the map's colours."""


@dataclass(frozen=True, kw_only=True)
class ChangeMapView:
    """The change map of one derivative, and its figures."""

    url: str
    """A data URL of a PNG."""
    changed: float
    """The share of the picture area whose luma changed by more than 8/255."""
    filled: float
    """The share of it that was filled in."""
    is_asked_for: bool
    """Whether the recipe repairs damage."""


def render_change_map(scan: Source, restored: Source, picture_area: Record | None, recipe: Record) -> ChangeMapView:
    """Renders the changes between a scan and its derivative, made by ``recipe`` within ``picture_area``.

    Raises:
        ImageError: the two differ in size, or can't be decoded.
        OSError: one can't be read.
    """
    found = change_map(scan, restored)
    area = picture_area or {"width": scan.info.width, "height": scan.info.height}
    pixels = area["width"] * area["height"]
    return ChangeMapView(
        url=png_data_url(found.image()),
        changed=found.changed_pixels / pixels,
        filled=found.filled_pixels / pixels,
        is_asked_for=repairs_damage(recipe),
    )


def repairs_damage(recipe: Record) -> bool:
    """Whether a stage of ``recipe``, one of ``archive show``'s, repairs damage; a stage without a request may."""
    return any(
        "damage" in stage["parameters"].get("repair", ["damage"])
        for stage in recipe["stages"]
        if stage["task"] == StageTask.RESTORATION
    )
