"""Samples: a few masters of a plan that have as little in common as may be, to judge settings by."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archive.batches.draft import Candidate


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
class Drawn:
    """What was drawn, in the order of lists."""

    masters: tuple[Candidate, ...]
    offered: int  # what the plan would take without the sample
    seed: int


def draw(offered: Sequence[Candidate], sample: Sample) -> list[int]:
    """The places in ``offered``, which is in the order of lists, of the masters that ``sample`` takes, in that order.

    Each master drawn is one that shares the fewest traits with those before it: collection, process, decade, size in
    doublings, kind of pixels, and the part of the list (of as many parts as masters are drawn). So what is rare in one
    respect is not missed, and masters of which nothing is known are spread over the list. It is a spread and no
    proportional sample: its mean says nothing of the whole.

    Among equals the digest of seed and number decides, so that a draw depends neither on the database nor on versions.
    """
    groups: defaultdict[tuple[Hashable, ...], list[tuple[bytes, int]]] = defaultdict(list)
    for place, master in enumerate(offered):
        part = place * sample.size // len(offered)
        groups[*_traits(master), part].append((_lot(master, sample.seed), place))
    for members in groups.values():
        members.sort(reverse=True)  # the next one is popped from the end
    seen: Counter[tuple[int, Hashable]] = Counter()
    drawn = []
    for _ in range(min(sample.size, len(offered))):
        traits = min(groups, key=lambda each: (sum(seen[trait] for trait in enumerate(each)), groups[each][-1]))
        seen.update(enumerate(traits))
        drawn.append(groups[traits].pop()[1])
        if not groups[traits]:
            del groups[traits]
    return sorted(drawn)


def in_words(master: Candidate) -> Iterator[str]:
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
