"""The eight orientations of EXIF and TIFF: converts between stored and upright coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Sample = TypeVar("_Sample", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """The transformation from the stored to the upright picture: transpose first, then flip."""

    transpose: bool = False
    flip_y: bool = False
    flip_x: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Converts width and height from stored to upright, or back."""
        return (height, width) if self.transpose else (width, height)

    def stored_window(
        self, x: int, y: int, width: int, height: int, *, stored_width: int, stored_height: int
    ) -> tuple[int, int, int, int]:
        """Converts the upright window ``x, y, width, height`` to the stored picture's coordinates."""
        upright_width, upright_height = self.size(stored_width, stored_height)
        if self.flip_x:
            x = upright_width - x - width
        if self.flip_y:
            y = upright_height - y - height
        return (y, x, height, width) if self.transpose else (x, y, width, height)

    def upright(self, stored: NDArray[_Sample]) -> NDArray[_Sample]:
        """An upright view of ``stored``, (h, w, samples)."""
        turned = stored.swapaxes(0, 1) if self.transpose else stored
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


UPRIGHT = Orientation()

_BY_TAG = {
    1: UPRIGHT,
    2: Orientation(flip_x=True),
    3: Orientation(flip_y=True, flip_x=True),
    4: Orientation(flip_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_x=True),
    7: Orientation(transpose=True, flip_y=True, flip_x=True),
    8: Orientation(transpose=True, flip_y=True),
}


def from_tag(value: object) -> tuple[Orientation, tuple[str, ...]]:
    """The orientation for the ``value`` of tag 274 (None if there is no tag), and any problem with the value."""
    if value is None:
        return UPRIGHT, ()
    if isinstance(value, int) and value in _BY_TAG:
        return _BY_TAG[value], ()
    return UPRIGHT, (f"the orientation {value!r} isn't one of 1 to 8: the picture is taken as it is stored",)
