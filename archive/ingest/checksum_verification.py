"""Compares a scan's bytes with the checksums that were delivered with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive.errors import IngestError
from archive.storage import Algorithm, digests_of_file

_IN_WORDS: Mapping[Algorithm, str] = {"sha256": "SHA-256", "md5": "MD5"}


class ChecksumMismatchError(IngestError):
    """A file's bytes, whose digest is ``sha256``, don't match a checksum that was delivered with it."""

    def __init__(self, message: str, *, sha256: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksum:
    """One checksum of a file, from a line of a manifest."""

    manifest: Path
    line: int
    target: Path
    """The file that it belongs to, as written."""
    algorithm: Algorithm
    value: str  # hex, in small letters

    @property
    def where(self) -> str:
        """The location of the line as text."""
        return f"{self.manifest.name} line {self.line}"

    def confirmation(self) -> str:
        """The message for bytes that match this checksum."""
        return f"{_IN_WORDS[self.algorithm]} {self.value}, as in {self.where}"

    def complaint(self, found: str) -> str | None:
        """The message for bytes with the checksum ``found``; None if it matches."""
        if found == self.value:
            return None
        return (
            f"its {_IN_WORDS[self.algorithm]} is {found}, and {self.where} says {self.value}: "
            "fetch the file again from where it came, or ask there for the right sum"
        )


def digest_and_compare(path: Path, sums: Sequence[Checksum]) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file that matches all of its ``sums``, read in one pass.

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
