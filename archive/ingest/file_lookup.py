"""Finds the file that a row refers to, from the spelling in the row."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from archive.ingest.discovered_files import DiscoveredFiles
from archive.ingest.temporary_storage import to_bytes, to_text

_TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "ø": "oe", "å": "aa"})
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|[\\/]")
_IMAGE_SUFFIX = re.compile(
    r"\.(?:tiff?|jpe?g|jpe|jp2|jpx|j2k|png|gif|bmp|webp|hei[cf]|avif|jxl|dng|psd|raw|nef|cr2)$", re.IGNORECASE
)
_IN_ANOTHER_FOLDER = "in another folder"
_MOST_SUGGESTIONS = 20
_MOST_COMPARED = 20_000
_RECENT_FOLDERS = 1000  # whose resolved names are kept


class FileFinder:
    r"""Finds a file by the path in a row.

    These are tried in turn: the path as written; with accents composed otherwise (macOS); with ``\`` for ``/``
    (Windows); and through the resolved name of its folder, if the sheet was given by another path than the scans.
    """

    def __init__(self, files: DiscoveredFiles) -> None:
        self._files = files
        self._roots = {root.resolve(): root for root in files.roots}
        self._resolve = lru_cache(_RECENT_FOLDERS)(Path.resolve)

    def find(self, target: Path) -> Path | None:
        for text in self._spellings(target):
            path = self._files.find(os.path.normpath(text))
            if path is not None:
                return path
        return None

    def _spellings(self, target: Path) -> Iterator[str]:
        yield str(target)
        if "\\" in target.name:
            yield str(target).replace("\\", "/")
        real = self._resolve(target.parent) / target.name
        for real_root, root in self._roots.items():
            if real.is_relative_to(real_root):
                yield str(root / real.relative_to(real_root))


class NearMatch(NamedTuple):
    """The only file that a name fits, spelt differently or in another folder."""

    path: Path
    reason: str

    @property
    def is_certain(self) -> bool:
        """Whether only the folder differs."""
        return self.reason == _IN_ANOTHER_FOLDER


class LenientFinder:
    """Finds the one file that a row can mean, among the files that no row names exactly.

    Differences in case, spaces, composition of accents, umlauts (``ue`` for ``ü``), parent folders, and a missing or
    another extension are allowed. If more than one file fits, none is returned.
    """

    def __init__(self, files: DiscoveredFiles) -> None:
        """Indexes the files that the table ``row`` doesn't name yet."""
        self._database = database = files.database
        self._roots = files.roots
        database.execute(
            "CREATE TABLE unnamed_file (id INTEGER PRIMARY KEY, path BLOB, root INTEGER, name BLOB, stem BLOB)"
        )
        unnamed = database.execute(
            "SELECT path, root FROM file WHERE NOT EXISTS (SELECT 1 FROM row WHERE row.path = file.path) ORDER BY id"
        )
        database.executemany(
            "INSERT INTO unnamed_file (path, root, name, stem) VALUES (?, ?, ?, ?)",
            ((path, root, *_folded_names(to_text(path))) for path, root in unnamed),
        )
        database.execute("CREATE INDEX unnamed_file_name ON unnamed_file (name)")
        database.execute("CREATE INDEX unnamed_file_stem ON unnamed_file (stem)")
        (self._stems,) = database.execute("SELECT count(DISTINCT stem) FROM unnamed_file").fetchone()
        self._suggested = 0

    def find(self, filename: str, sheet_folder: Path) -> NearMatch | None:
        """The one file that fits the words of a row in a sheet of ``sheet_folder``."""
        parts = _parts(filename)
        if not parts:
            return None
        for column, key, reason in (
            ("name", parts[-1], "in other letters"),
            ("stem", _fold(_without_suffix(parts[-1])), "with another extension"),
            ("stem", parts[-1], "without an extension"),
        ):
            if reason == "with another extension" and not _IMAGE_SUFFIX.search(filename.rstrip()):
                continue
            found = self._fitting(column, key, parts[:-1], filename, sheet_folder)
            if len(found) == 1:
                is_same = filename.replace("\\", "/").endswith(found[0].name)
                return NearMatch(found[0], _IN_ANOTHER_FOLDER if is_same else reason)
            if found:
                return None
        return None

    def suggest(self, filename: str) -> list[str]:
        """The file names with the most similar spelling; only for the first rows, because the search is slow."""
        parts = _parts(filename)
        if not parts or self._suggested >= _MOST_SUGGESTIONS:
            return []
        self._suggested += 1
        stem = _fold(_without_suffix(parts[-1]))
        alike = self._alike("" if self._stems <= _MOST_COMPARED else stem[:4])
        near = difflib.get_close_matches(stem, alike, n=2, cutoff=0.75)
        return [Path(to_text(self._first_with_stem(name))).name for name in near]

    def _alike(self, beginning: str) -> list[str]:
        """The folded stems with this beginning, in the order of the files."""
        low = to_bytes(beginning)
        stems = self._database.execute(
            "SELECT stem FROM unnamed_file WHERE stem >= ? AND substr(stem, 1, ?) = ? "
            "GROUP BY stem ORDER BY min(id) LIMIT ?",
            (low, len(low), low, _MOST_COMPARED),
        )
        return [to_text(stem) for (stem,) in stems]

    def _first_with_stem(self, stem: str) -> bytes:
        stored: bytes = self._database.execute(
            "SELECT path FROM unnamed_file WHERE stem = ? ORDER BY id LIMIT 1", (to_bytes(stem),)
        ).fetchone()[0]
        return stored

    def _fitting(self, column: str, key: str, folders: Sequence[str], filename: str, sheet_folder: Path) -> list[Path]:
        """The first two files whose folded name or stem is ``key`` and whose folders fit."""
        named = self._database.execute(
            f"SELECT path, root FROM unnamed_file WHERE {column} = ? ORDER BY id",  # noqa: S608  (a constant)
            (to_bytes(key),),
        )
        fitting = []
        for stored, root in named:
            path = Path(to_text(stored))
            if self._fits(path, self._roots[root], folders, filename, sheet_folder):
                fitting.append(path)
                if len(fitting) == 2:
                    break
        return fitting

    def _fits(self, path: Path, root: Path, folders: Sequence[str], filename: str, sheet_folder: Path) -> bool:
        r"""Whether the folders in the row are the last ones of the path.

        For a path of another machine (C:\Scans\1906\a.tif), one matching folder is enough, or none if the file lies
        directly in the ingested folder.
        """
        has_neighbours = root.is_relative_to(sheet_folder) or sheet_folder.is_relative_to(root)
        if has_neighbours and not path.is_relative_to(sheet_folder):
            return False
        own = _folded_parts(path.parent)
        if list(folders) == own[len(own) - len(folders) :]:
            return True
        is_elsewhere = _DRIVE.match(filename.strip()) is not None
        return is_elsewhere and (path.parent == root or (bool(folders) and own[-1] == folders[-1]))


@lru_cache(_RECENT_FOLDERS)
def _folded_parts(folder: Path) -> list[str]:
    return [_fold(part) for part in folder.parts]


def _folded_names(path: str) -> tuple[bytes, bytes]:
    """The folded name of a file, and its folded stem."""
    name = os.path.basename(path)  # noqa: PTH119  (much faster, for many files)
    return to_bytes(_fold(name)), to_bytes(_fold(_without_suffix(name)))


def _fold(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().translate(_TRANSLITERATED).split())


def _without_suffix(name: str) -> str:
    return _IMAGE_SUFFIX.sub("", name)


def _parts(filename: str) -> list[str]:
    """The folded folders and the name of a path in a row, without a drive."""
    text = re.sub(r"^[A-Za-z]:", "", filename.strip()).replace("\\", "/")
    return [_fold(part) for part in os.path.normpath(text).split("/") if part.strip() not in ("", ".", "..")]
