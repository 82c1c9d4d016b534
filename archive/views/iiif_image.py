"""Renders the pictures of IIIF requests from view pyramids, with work that depends on the size of the answer only."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from archive.views.iiif_request import MAXIMUM_AREA, ImageRequest
from archive.views.pyramid import TILE_PX, Pixels, Pyramid, encode_jpeg

_JPEG_QUALITY = 92
_MOST_READ = 4 * MAXIMUM_AREA  # pixels of a level for one answer


def render(pyramid: Pyramid, request: ImageRequest) -> bytes:
    """The encoded picture of a request."""
    level = _level(pyramid, request)
    if (stored := _stored_tile(pyramid, request, level)) is not None:
        return stored
    image = Image.fromarray(_without_channel(pyramid.read(level, *_bounds(request, level))))
    image = _resized(image, request, level)
    if request.is_mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if request.rotation:
        turns = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
        image = image.transpose(turns[request.rotation])
    if request.quality == "gray":
        image = image.convert("L")
    elif request.quality == "bitonal":
        image = image.convert("1").convert("L")
    if request.format == "png":
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    pixels = np.asarray(image)
    return encode_jpeg(pixels.reshape(*pixels.shape[:2], -1), _JPEG_QUALITY)


def _level(pyramid: Pyramid, request: ImageRequest) -> int:
    """The smallest level that is not smaller than the answer, or the largest of which few enough pixels are read."""
    reduction = min(request.width / request.size[0], request.height / request.size[1])
    last = len(pyramid.levels) - 1
    level = min(last, max(0, int(np.log2(reduction * 1.001))))
    while level < last and (request.width >> level) * (request.height >> level) > _MOST_READ:
        level += 1
    return level


def _stored_tile(pyramid: Pyramid, request: ImageRequest, level: int) -> bytes | None:
    """The stored tile, if the request asks for exactly this."""
    side = TILE_PX << level
    column, row = request.x // side, request.y // side
    is_tile = (
        request.size == (TILE_PX, TILE_PX)
        and request.width == request.height == side
        and (request.x, request.y) == (column * side, row * side)
        and not (request.is_mirrored or request.rotation)
        and request.format == "jpg"
        and (request.quality in ("default", "color") or (request.quality == "gray" and pyramid.is_grey))
    )
    return pyramid.tile(level, column, row) if is_tile else None


def _box(request: ImageRequest, level: int) -> tuple[float, float, float, float]:
    """The region in pixels of a level: left, top, right, bottom."""
    scale = 1 << level
    return (
        request.x / scale,
        request.y / scale,
        (request.x + request.width) / scale,
        (request.y + request.height) / scale,
    )


def _bounds(request: ImageRequest, level: int) -> tuple[int, int, int, int]:
    """The whole pixels of a level that the region touches: x, y, width, height."""
    left, top, right, bottom = _box(request, level)
    x, y = int(left), int(top)
    return x, y, math.ceil(right) - x, math.ceil(bottom) - y


def _resized(image: Image.Image, request: ImageRequest, level: int) -> Image.Image:
    if image.size == request.size:
        return image
    left, top, right, bottom = _box(request, level)
    x, y, _, _ = _bounds(request, level)
    return image.resize(request.size, Image.Resampling.LANCZOS, box=(left - x, top - y, right - x, bottom - y))


def _without_channel(pixels: Pixels) -> Pixels:
    """(height, width) of a grey picture; others as they are."""
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
