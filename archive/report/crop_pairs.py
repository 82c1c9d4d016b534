"""Crop pairs: the same places of a master and its derivative at 100 %, before and after."""

from __future__ import annotations

from dataclasses import dataclass

from archive.display_labels import Record
from archive.report.crop_selection import CropLocation, select_crops
from archive.report.preview_images import crop_data_url
from restoration.image import Area, Picture


@dataclass(frozen=True, kw_only=True)
class CropPair:
    """A place in a master, and the same place in its derivative."""

    place: CropLocation
    before: str  # data URLs of PNGs
    after: str


def read_crop_pairs(before: Picture, after: Picture, picture_area: Record | None) -> list[CropPair]:
    """Crops of both at places that depend on the master only, so that they are the same for several recipes.

    Raises:
        ImageError: the two differ in size, or can't be decoded.
        OSError: one can't be read.
    """
    area = picture_area or {"x": 0, "y": 0, "width": before.info.width, "height": before.info.height}
    return [
        CropPair(place=place, before=crop_data_url(before, place.area), after=crop_data_url(after, place.area))
        for place in select_crops(before, Area(**area))
    ]
