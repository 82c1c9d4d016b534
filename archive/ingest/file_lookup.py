"""Finds the file that a row refers to, from the spelling in the row."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|[\\/]")
_IMAGE_SUFFIX = re.compile(
    r"\.(?:tiff?|jpe?g|jpe|jp2|jpx|j2k|png|gif|bmp|webp|hei[cf]|avif|jxl|dng|psd|raw|nef|cr2)$", re.IGNORECASE
)
_MOST_SUGGESTIONS = 20
_MOST_COMPARED = 20_000


class FileFinder:
    r"""Finds a file by the path in a row.

    These are tried in turn: the path as written; with accents composed otherwise (macOS); with ``\`` for ``/``
    (Windows); and through the resolved name of its folder, if the sheet was given by another path than the scans.
    """

    def __init__(self, files: Mapping[Path, Path]) -> None:
        self._exact = {str(path): path for path in files}
        self._composed = {
            unicodedata.normalize("NFC", text): path for text, path in self._exact.items() if not text.isascii()
        }
        self._roots = {root.resolve(): root for root in dict.fromkeys(files.values())}
        self._real_folders: dict[Path, Path] = {}

    def find(self, target: Path) -> Path | None:
        for text in self._spellings(target):
            spelt = os.path.normpath(text)
            path = self._exact.get(spelt) or self._composed.get(unicodedata.normalize("NFC", spelt))
            if path is not None:
                return path
        return None

    def _spellings(self, target: Path) -> Iterator[str]:
        yield str(target)
        if "\\" in target.name:
            yield str(target).replace("\\", "/")
        folder = target.parent
        if folder not in self._real_folders:
            self._real_folders[folder] = folder.resolve()
        real = self._real_folders[folder] / target.name
        for real_root, root in self._roots.items():
            if real.is_relative_to(real_root):
                yield str(root / real.relative_to(real_root))


class NearMatch(NamedTuple):
    """The only file that a name fits, spelt differently."""

    path: Path
    reason: str


class LenientFinder:
    """Finds the one file that a row can mean, among the files that no row names exactly.

    Differences in case, spaces, composition of accents, parent folders, and a missing or another extension are allowed.
    If more than one file fits, none is returned.
    """

    def __init__(self, files: Mapping[Path, Path], named: Collection[Path]) -> None:
        self._roots = files
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in files:
            if path not in named:
                self._by_name[_fold(path.name)].append(path)
                self._by_stem[_fold(_without_suffix(path.name))].append(path)
        self._suggested = 0

    def find(self, filename: str, sheet_folder: Path) -> NearMatch | None:
        """The one file that fits the words of a row in a sheet of ``sheet_folder``."""
        parts = _parts(filename)
        if not parts:
            return None
        for names, key, reason in (
            (self._by_name, parts[-1], "in other letters or another folder"),
            (self._by_stem, _fold(_without_suffix(filename.rstrip())).split("/")[-1], "with another extension"),
            (self._by_stem, parts[-1], "without an extension"),
        ):
            if reason == "with another extension" and not _IMAGE_SUFFIX.search(filename.rstrip()):
                continue
            found = [path for path in names.get(key, ()) if self._fits(path, parts[:-1], filename, sheet_folder)]
            if len(found) == 1:
                return NearMatch(found[0], reason)
            if found:
                return None
        return None

    def suggest(self, filename: str) -> list[str]:
        """The file names with the most similar spelling; only for the first rows, because the search is slow."""
        parts = _parts(filename)
        if not parts or self._suggested >= _MOST_SUGGESTIONS:
            return []
        self._suggested += 1
        stem = _without_suffix(parts[-1])
        alike = [name for name in self._by_stem if len(self._by_stem) <= _MOST_COMPARED or name[:4] == stem[:4]]
        near = difflib.get_close_matches(stem, alike[:_MOST_COMPARED], n=2, cutoff=0.75)
        return [self._by_stem[name][0].name for name in near if self._by_stem[name]]

    def _fits(self, path: Path, folders: Sequence[str], filename: str, sheet_folder: Path) -> bool:
        r"""Whether the folders in the row are the last ones of the path.

        For a path of another machine (C:\Scans\1906\a.tif), one matching folder is enough, or none if the file lies
        directly in the ingested folder.
        """
        root = self._roots[path]
        has_neighbours = root.is_relative_to(sheet_folder) or sheet_folder.is_relative_to(root)
        if has_neighbours and not path.is_relative_to(sheet_folder):
            return False
        own = [_fold(part) for part in path.parent.parts]
        if list(folders) == own[len(own) - len(folders) :]:
            return True
        is_elsewhere = _DRIVE.match(filename.strip()) is not None
        return is_elsewhere and (path.parent == root or (bool(folders) and own[-1] == folders[-1]))


def _fold(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _without_suffix(name: str) -> str:
    return _IMAGE_SUFFIX.sub("", name)


def _parts(filename: str) -> list[str]:
    """The folded folders and the name of a path in a row, without a drive."""
    text = re.sub(r"^[A-Za-z]:", "", filename.strip()).replace("\\", "/")
    return [_fold(part) for part in os.path.normpath(text).split("/") if part.strip() not in ("", ".", "..")]
