"""Samples: a few masters of a plan that have as little in common as may be, to judge settings by."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archive.batches.planning.candidates import Candidate


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How many masters are drawn, and by which seed; the contact sheet shows open items only, unless told otherwise."""

    size: int
    seed: int = 0
    include_restricted: bool = False

    def as_options(self) -> dict[str, Any]:
        """What the batch keeps of it, from which its contact sheet is made."""
        return {"sample": self.size, "seed": self.seed, "include_restricted": self.include_restricted}


@dataclass(frozen=True, kw_only=True)
class DrawnSample:
    """What was drawn, in the order of lists."""

    masters: tuple[Candidate, ...]
    offered: int  # what the plan would take without the sample
    seed: int


def draw_sample(offered: Sequence[Candidate], sample: Sample) -> list[int]:
    """The places in ``offered``, which is in the order of lists, of the masters that ``sample`` takes, in that order.

    Each master drawn is one that shares the fewest traits with those before it: collection, process, decade, size in
    doublings, kind of pixels, and the part of the list (of as many parts as masters are drawn). So what is rare in one
    respect is not missed, and masters of which nothing is known are spread over the list. It is a spread and no
    proportional sample: its mean says nothing of the whole.

    Among equals the digest of seed and number decides, so that a draw depends neither on the database nor on versions.
    """
    traits = [
        tuple(enumerate((*_traits(master), place * sample.size // len(offered))))
        for place, master in enumerate(offered)
    ]
    bearers: defaultdict[tuple[int, Hashable], list[int]] = defaultdict(list)
    for place, of_master in enumerate(traits):
        for trait in of_master:
            bearers[trait].append(place)
    by_lot = sorted(range(len(offered)), key=lambda place: _lot(offered[place], sample.seed))
    shared = [0.0] * len(offered)  # traits with those drawn so far
    drawn = []
    for _ in range(min(sample.size, len(offered))):
        place = min(by_lot, key=shared.__getitem__)  # of equals the first
        drawn.append(place)
        for trait in traits[place]:
            for bearer in bearers[trait]:
                shared[bearer] += 1
        shared[place] = inf
    return sorted(drawn)


def describe_traits(master: Candidate) -> Iterator[str]:
    """What draws tell a master by, as far as it is known."""
    collection, process, decade, _size, (samples, bits) = _traits(master)
    yield from filter(None, (collection, process))
    if decade is not None:
        yield f"{decade}0s"
    yield f"{master.width * master.height / 1e6:.1f} Mpx"
    yield f"{bits}-bit {'grey' if samples == 1 else 'colour'}"


def _traits(master: Candidate) -> tuple[str | None, str | None, int | None, int, tuple[int, int]]:
    """Collection, process, decade, size in doublings of the pixels, and samples a pixel with their bits."""
    decade = None if master.date_earliest is None else master.date_earliest // 100_000  # of yyyymmdd
    size = (master.width * master.height).bit_length()
    return master.collection, master.process, decade, size, (master.samples_per_pixel, master.bits_per_sample)


def _lot(master: Candidate, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{master.sequence}/{master.accession_number}".encode()).digest()
