"""Requests of the IIIF Image API 3.0 (https://iiif.io/api/image/3.0/): parsed, and converted to pixels of a picture.

Supported are all features of level 2, and mirroring. No answer has more pixels than :data:`MAXIMUM_AREA`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from archive.views.pyramid import TILE_PX

MAXIMUM_AREA = 16_000_000
"""The most pixels of an answer."""
FORMATS = {"jpg": "image/jpeg", "png": "image/png"}
QUALITIES = ("default", "color", "gray", "bitonal")
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_FOUR = re.compile(rf"(pct:)?({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")
_SIZE = re.compile(r"(!)?([0-9]{1,9})?,([0-9]{1,9})?")
_PERCENT = re.compile(rf"pct:({_NUMBER})")
_ROTATION = re.compile(rf"(!)?({_NUMBER})")
Rotation = Literal[0, 90, 180, 270]


class RequestError(ValueError):
    """A request that can't be answered: ``status`` is 400 if it is invalid, 501 if a feature isn't supported."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A region of one picture in whole pixels, and how to return it."""

    x: int
    y: int
    width: int
    height: int
    size: tuple[int, int]
    """Before the rotation."""
    is_mirrored: bool
    rotation: Rotation
    quality: str
    format: str


def parse_request(
    region: str, size: str, rotation: str, quality: str, form: str, *, width: int, height: int
) -> ImageRequest:
    """Parses a request for a picture of ``width`` x ``height`` px.

    Raises:
        RequestError: it is invalid, or needs a feature that isn't supported.
    """
    if quality not in QUALITIES or form not in FORMATS:
        raise RequestError(f"{quality}.{form} is not supported. Use {', '.join(QUALITIES)} as jpg or png")
    x, y, region_width, region_height = _region(region, width, height)
    mirrored, turned = _rotation(rotation)
    return ImageRequest(
        x=x,
        y=y,
        width=region_width,
        height=region_height,
        size=_size(size, region_width, region_height),
        is_mirrored=mirrored,
        rotation=turned,
        quality=quality,
        format=form,
    )


def describe_image(service: str, width: int, height: int) -> dict[str, Any]:
    """``info.json`` of a picture whose image service is ``service``, an absolute URL."""
    factors = [1]
    while max(width, height) > TILE_PX * factors[-1]:
        factors.append(2 * factors[-1])
    sizes = [(-(-width // factor), -(-height // factor)) for factor in reversed(factors)]
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": service,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": width,
        "height": height,
        "maxArea": MAXIMUM_AREA,
        "sizes": [{"width": each[0], "height": each[1]} for each in sizes if each[0] * each[1] <= MAXIMUM_AREA],
        "tiles": [{"width": TILE_PX, "height": TILE_PX, "scaleFactors": factors}],
        "extraQualities": ["color", "gray", "bitonal"],
        "extraFeatures": ["mirroring"],
    }


def _region(text: str, width: int, height: int) -> tuple[int, int, int, int]:
    if text == "full":
        return 0, 0, width, height
    if text == "square":
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side
    match = _FOUR.fullmatch(text)
    if match is None:
        raise RequestError(f"{text!r} is not a region. Use full, square, x,y,w,h or pct:x,y,w,h")
    if match[1]:
        shares = [float(each) / 100 for each in match.groups()[1:]]
        x, y, w, h = (round(share * side) for share, side in zip(shares, (width, height) * 2, strict=True))
    else:
        if "." in text:
            raise RequestError(f"the region {text!r} must be in whole pixels")
        x, y, w, h = (int(each) for each in match.groups()[1:])
    w, h = min(w, width - x), min(h, height - y)
    if w < 1 or h < 1:
        raise RequestError(f"the region {text!r} is empty or outside the picture of {width}x{height} px")
    return x, y, w, h


def _size(text: str, width: int, height: int) -> tuple[int, int]:
    if text.startswith("^"):
        raise RequestError("enlarging is not supported. Ask for at most the size of the region", 501)
    if text == "max":
        scale = min(1.0, (MAXIMUM_AREA / (width * height)) ** 0.5)
        return max(1, int(width * scale)), max(1, int(height * scale))
    if (percent := _PERCENT.fullmatch(text)) is not None:
        share = float(percent[1]) / 100
        if share > 1:
            raise RequestError("a size above 100 % needs ^, and enlarging is not supported")
        found = round(width * share), round(height * share)
    else:
        found = _size_in_pixels(text, width, height)
    if found[0] < 1 or found[1] < 1:
        raise RequestError(f"the size {text!r} is less than one pixel")
    if found[0] > width or found[1] > height:
        raise RequestError(f"the size {text!r} is larger than the region of {width}x{height} px")
    if found[0] * found[1] > MAXIMUM_AREA:
        raise RequestError(f"the size {text!r} has more than {MAXIMUM_AREA} pixels. Ask for tiles")
    return found


def _size_in_pixels(text: str, width: int, height: int) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if match is None or (match[2] is None and match[3] is None):
        raise RequestError(f"{text!r} is not a size. Use max, w, ,h pct:n w,h or !w,h")
    confined, w, h = match[1], match[2], match[3]
    if w is not None and h is not None:
        if not confined:
            return int(w), int(h)
        scale = min(int(w) / width, int(h) / height, 1.0)
        return max(1, round(width * scale)), max(1, round(height * scale))
    if confined:
        raise RequestError(f"{text!r} is not a size. !w,h needs both numbers")
    if w is not None:
        return int(w), max(1, round(height * int(w) / width)) if int(w) else 0
    return max(1, round(width * int(h) / height)) if int(h) else 0, int(h)


def _rotation(text: str) -> tuple[bool, Rotation]:
    match = _ROTATION.fullmatch(text)
    degrees = float(match[2]) if match else -1.0
    if match is None or degrees > 360:
        raise RequestError(f"{text!r} is not a rotation. Use 0, 90, 180 or 270")
    for turned in (0, 90, 180, 270):
        if degrees % 360 == turned:
            return match[1] is not None, turned
    raise RequestError("only rotations by 0, 90, 180 or 270 degrees are supported", 501)
