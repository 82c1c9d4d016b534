"""Long iterables in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Element = TypeVar("Element")


def chunks(elements: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """Lists of ``size`` elements, the last one shorter if necessary. ``elements`` is read chunk by chunk."""
    remaining = iter(elements)
    while chunk := list(islice(remaining, size)):
        yield chunk
