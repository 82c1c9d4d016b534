r"""Reads checksum manifests, in the formats of sha256sum and md5sum.

A line names one file: ``<hex>  name`` or ``<hex> *name``, or, as with ``--tag``, ``SHA256 (name) = <hex>``. A line that
begins with a backslash has backslash, newline and carriage return in the name written as ``\\``, ``\n`` and ``\r``.
Names are relative to the manifest's folder, or absolute. Blank lines and lines that begin with ``#`` are ignored.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archive.errors import IngestError
from archive.ingest.checksum_verification import Checksum
from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.file_lookup import FileFinder
from archive.storage import Algorithm

_ALGORITHMS: Mapping[int, Algorithm] = {64: "sha256", 32: "md5"}  # by the number of hex digits
_PLAIN = re.compile(r"(?P<sum>[0-9A-Fa-f]+) [ *](?P<name>.+)", re.DOTALL)
_TAGGED = re.compile(r"(?P<kind>SHA256|MD5) \((?P<name>.+)\) = (?P<sum>[0-9A-Fa-f]+)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = {"\\": "\\", "n": "\n", "r": "\r"}


@dataclass(kw_only=True)
class ManifestChecksums:
    """The checksums of one manifest, matched with the files that they belong to."""

    of_files: dict[Path, list[Checksum]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Listed files that don't exist."""
    elsewhere: int = 0
    """The number of listed files that are hidden or lie outside the ingested paths."""


def read_manifest(path: Path) -> list[Checksum]:
    """All checksums of a manifest, in order.

    Raises:
        IngestError: it can't be read, or a line isn't understood.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = content.count(b"\n", 0, error.start) + 1
        raise IngestError(f"{path} is not UTF-8 (line {place}): save it as UTF-8") from error
    sums = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            sums.append(_sum(path, number, line))
        except ValueError as error:
            raise IngestError(f"{path} line {number}, {line[:80]!r}: {error}. Nothing was ingested") from error
    return sums


def match_checksums(sums: Sequence[Checksum], found: DiscoveredFiles) -> ManifestChecksums:
    """Matches each checksum with its file among the discovered ones.

    Raises:
        IngestError: there are sums, and none is of a file that was found.
    """
    finder = FileFinder(found)
    of_files: dict[Path, list[Checksum]] = defaultdict(list)
    matched = ManifestChecksums(of_files=of_files)
    for each in sums:
        path = finder.find(each.target)
        if path is not None:
            of_files[path].append(each)
        elif os.path.exists(each.target):  # noqa: PTH110 - Path.exists raises for names that are too long
            matched.elsewhere += 1
        else:
            matched.missing.append(f"{each.where}: {each.target}")
    if not of_files:
        raise IngestError(_nothing_matches(sums))
    return matched


def _sum(manifest: Path, line: int, text: str) -> Checksum:
    """Parses the checksum in one line.

    Raises:
        ValueError: it isn't understood; the message says why.
    """
    plain = text.removeprefix("\\")
    parts = _PLAIN.fullmatch(plain) or _TAGGED.fullmatch(plain)
    if parts is None or "\0" in text:
        raise ValueError("no line of sha256sum or md5sum, such as `<sum>  <file>`")
    value = parts["sum"].lower()
    algorithm = _ALGORITHMS.get(len(value))
    if algorithm is None:
        raise ValueError(
            f"a checksum of {len(value)} digits is neither SHA-256 (64) nor MD5 (32): make it with sha256sum or md5sum"
        )
    if parts.re is _TAGGED and parts["kind"].lower() != algorithm:
        raise ValueError(f"a checksum of {len(value)} digits is not a valid {parts['kind']} checksum")
    name = parts["name"] if plain == text else _ESCAPE.sub(_unescaped, parts["name"])
    return Checksum(manifest=manifest, line=line, target=manifest.parent / name, algorithm=algorithm, value=value)


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1] not in _ESCAPED:
        raise ValueError(
            rf"{escape[0]} is not a valid escape: a line that begins with \ may hold only \\, \n and \r in its name"
        )
    return _ESCAPED[escape[1]]


def _nothing_matches(sums: Sequence[Checksum]) -> str:
    if not sums:
        return "the manifest lists no file: give one that sha256sum or md5sum wrote"
    first = sums[0]
    return (
        f"{first.manifest} lists none of the files in the paths given; the first that it lists is {first.target}. "
        "Its names are relative to its own folder: put it where it was made. Nothing was ingested"
    )
