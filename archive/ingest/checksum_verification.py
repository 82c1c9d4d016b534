"""The sums that a scan came with, and whether its bytes have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive.errors import IngestError
from archive.storage import Algorithm, digests_of_file

_IN_WORDS: Mapping[Algorithm, str] = {"sha256": "SHA-256", "md5": "MD5"}


class ChecksumMismatchError(IngestError):
    """A file's bytes, of the digest ``sha256``, don't have a sum that came with them."""

    def __init__(self, message: str, *, sha256: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksum:
    """One sum, as a line of the manifest states it of a file."""

    manifest: Path
    line: int
    target: Path
    """The file that it is about, as written."""
    algorithm: Algorithm
    value: str  # hex, in small letters

    @property
    def where(self) -> str:
        """The line's place, in words."""
        return f"{self.manifest.name} line {self.line}"

    def confirmation(self) -> str:
        """What was found where the bytes have this sum, in words."""
        return f"{_IN_WORDS[self.algorithm]} {self.value}, as in {self.where}"

    def complaint(self, found: str) -> str | None:
        """What is wrong with bytes that have the sum ``found``, in words; None where nothing is."""
        if found == self.value:
            return None
        return (
            f"its {_IN_WORDS[self.algorithm]} is {found}, and {self.where} says {self.value}: "
            "fetch the file again from where it came, or ask there for the right sum"
        )


def digest_and_compare(path: Path, sums: Sequence[Checksum]) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file that has all of its ``sums``, read in one pass.

    Raises:
        ChecksumMismatchError: its bytes don't have one of them.
        StorageError: the file changed while it was read.
        OSError: it can't be read.
    """
    digests, size = digests_of_file(path, {"sha256", *(each.algorithm for each in sums)})
    for each in sums:
        if complaint := each.complaint(digests[each.algorithm]):
            raise ChecksumMismatchError(complaint, sha256=digests["sha256"])
    return digests["sha256"], size
