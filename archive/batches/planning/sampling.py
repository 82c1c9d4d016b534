"""Sampling: draws a diverse sample of a plan's masters, to try settings on."""

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
    """A request for a sample: its size and seed, and whether its contact sheet includes restricted items."""

    size: int
    seed: int = 0
    include_restricted: bool = False

    def as_options(self) -> dict[str, Any]:
        """The batch options that its contact sheet needs."""
        return {"sample": self.size, "seed": self.seed, "include_restricted": self.include_restricted}


@dataclass(frozen=True, kw_only=True)
class DrawnSample:
    """The drawn masters, in list order."""

    masters: tuple[Candidate, ...]
    candidates: int  # number of masters that the plan would contain without the sample
    seed: int


def draw_sample(candidates: Sequence[Candidate], sample: Sample) -> list[int]:
    """Draws a sample; returns the sorted indexes in ``candidates``, which must be in list order.

    Each master drawn shares the fewest traits with the masters drawn before: collection, process, decade, size class
    (by powers of two), kind of pixels, and section of the list (as many sections as masters are drawn). Therefore the
    sample contains rare masters, and masters without metadata are spread over the list. The sample is diverse, not
    proportional: its mean does not estimate the mean of the whole.

    A digest of seed and accession number breaks ties, so that a sample depends neither on the database nor on software
    versions.
    """
    traits = [
        tuple(enumerate((*_traits(master), index * sample.size // len(candidates))))
        for index, master in enumerate(candidates)
    ]
    masters_by_trait: defaultdict[tuple[int, Hashable], list[int]] = defaultdict(list)
    for index, master_traits in enumerate(traits):
        for trait in master_traits:
            masters_by_trait[trait].append(index)
    by_digest = sorted(range(len(candidates)), key=lambda index: _digest(candidates[index], sample.seed))
    shared = [0.0] * len(candidates)  # traits shared with the masters drawn so far
    drawn = []
    for _ in range(min(sample.size, len(candidates))):
        index = min(by_digest, key=shared.__getitem__)  # the first among equals
        drawn.append(index)
        for trait in traits[index]:
            for sharing in masters_by_trait[trait]:
                shared[sharing] += 1
        shared[index] = inf
    return sorted(drawn)


def describe_traits(master: Candidate) -> Iterator[str]:
    """The known traits of a master, for display."""
    collection, process, decade, _size, (samples, bits) = _traits(master)
    yield from filter(None, (collection, process))
    if decade is not None:
        yield f"{decade}0s"
    yield f"{master.width * master.height / 1e6:.1f} Mpx"
    yield f"{bits}-bit {'grey' if samples == 1 else 'colour'}"


def _traits(master: Candidate) -> tuple[str | None, str | None, int | None, int, tuple[int, int]]:
    """Collection, process, decade, size class, and samples per pixel with their bits."""
    decade = None if master.date_earliest is None else master.date_earliest // 100_000  # of yyyymmdd
    size = (master.width * master.height).bit_length()
    return master.collection, master.process, decade, size, (master.samples_per_pixel, master.bits_per_sample)


def _digest(master: Candidate, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{master.sequence}/{master.accession_number}".encode()).digest()
