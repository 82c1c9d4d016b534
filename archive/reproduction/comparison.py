"""Compares a recreated derivative with the recorded one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from archive.reproduction.derivative_record import DerivativeRecord
from archive.reproduction.remaking import Remade
from archive.storage import check_file
from restoration.image import Picture
from restoration.pipeline.record import Environment
from restoration.quality.pixel_difference import PixelDifference, pixel_difference

_STEPS = 255
"""Differences are in 8-bit steps for every bit depth."""
_TOLERATED_LARGEST = 16
_TOLERATED_MEAN = 1.0
# What has to be the same for the arithmetic to be the same, bit for bit.
_SAME = ("software_version", "torch_version", "device", "instruction_set", "precision", "libraries")


class Result(StrEnum):
    """The result of a reproduction."""

    IDENTICAL = "identical"
    IDENTICAL_PIXELS = "identical pixels"
    WITHIN = "within"
    DIFFERENT = "different"
    NOT_MADE = "cannot be made"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result, and its explanation as text."""

    result: Result
    detail: str
    difference: PixelDifference | None = None

    @property
    def as_text(self) -> str:
        """The result as commands print it, such as ``within 3``."""
        return f"within {self.largest_steps:g}" if self.result is Result.WITHIN else self.result.value

    @property
    def largest_steps(self) -> float | None:
        """The largest difference of a sample, in steps of 8 bits; None if the pixels were not compared."""
        return None if self.difference is None else _in_steps(self.difference.largest)


def compare(record: DerivativeRecord, remade: Remade) -> Comparison:
    """Compares the files' digests, else the pixels' digests, else the pixels.

    Pixels may differ by up to 16 steps of 8 bits, and by 1 on average, if the device, a library or the software has
    another version. Otherwise they must be identical.

    Raises:
        RestorationError: the recorded file can't be decoded.
        OSError: it can't be read.
    """
    if remade.sha256 == record.sha256:
        return Comparison(result=Result.IDENTICAL, detail=f"SHA-256 {record.sha256}")
    if remade.pixel_sha256 == record.pixel_sha256:
        return Comparison(
            result=Result.IDENTICAL_PIXELS,
            detail=f"pixels SHA-256 {record.pixel_sha256}; the file has other metadata, SHA-256 {remade.sha256}",
        )
    changes = _changes(record.environment, remade.environment)
    made_on = f"made on another {', '.join(changes)}" if changes else "made on the same device and software"
    if problem := check_file(record.path, record.sha256):
        return Comparison(
            result=Result.DIFFERENT, detail=f"{made_on}; how far can't be told, as {record.path} is {problem.problem}"
        )
    with Picture.open(record.path) as recorded, Picture.open(remade.path) as again:
        difference = pixel_difference(recorded, again)
    largest, mean = _in_steps(difference.largest), difference.mean * _STEPS
    tolerated = bool(changes) and largest <= _TOLERATED_LARGEST and mean <= _TOLERATED_MEAN
    return Comparison(
        result=Result.WITHIN if tolerated else Result.DIFFERENT,
        detail=f"largest difference {largest:g}, mean {mean:.4f} steps of 8 bits; {made_on}",
        difference=difference,
    )


def _in_steps(difference: float) -> float:
    """A difference in steps of 8 bits, with three digits; whole for pictures of 8 bits."""
    return float(f"{difference * _STEPS:.3g}")


def _changes(recorded: Any, now: Environment) -> list[str]:
    """The names of the parts of the environment that differ from the recorded ones."""
    current = now.as_dict()
    return [name.replace("_", " ") for name in _SAME if recorded.get(name) != current[name]]
