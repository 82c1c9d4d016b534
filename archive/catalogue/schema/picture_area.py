"""The picture area of a master, which lies in four columns."""

from __future__ import annotations

from typing import NamedTuple


class PictureArea(NamedTuple):
    """Where the picture lies in a scan: a rectangle in the upright scan, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of_columns(cls, x: int | None, y: int | None, width: int | None, height: int | None) -> PictureArea | None:
        """The area in the four columns of a row; None if they are empty."""
        if x is None or y is None or width is None or height is None:
            return None
        return cls(x, y, width, height)

    def __composite_values__(self) -> tuple[int, int, int, int]:
        """The values of the four columns, for SQLAlchemy."""
        return self

    def __str__(self) -> str:
        """As in a table of scans: ``x y width height``."""
        return f"{self.x} {self.y} {self.width} {self.height}"
