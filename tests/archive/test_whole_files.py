"""Files that are written whole: by the context manager, and by the commands that use it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from archive import failpoints
from archive.errors import StorageError
from archive.failpoints import Failpoint
from archive.report.change_map import LEGEND
from archive.report.html_writer import write_page
from archive.whole_files import whole_file
from tests.small_archive import command


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def failing_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk whose next flush fails."""
    monkeypatch.setattr(failpoints, "armed", Failpoint("fsync:error=EIO"))


def test_a_file_appears_with_its_last_byte_and_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    for content in (b"first", b"second"):
        with whole_file(path) as file:
            file.write(content)
            file.flush()
            assert not path.exists() or path.read_bytes() == b"first"
        assert path.read_bytes() == content
    assert names(path.parent) == ["a.txt"]


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    with whole_file(tmp_path / "key.pem", mode=0o600) as file:
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path, failing_disk: None) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), whole_file(path) as file:
        file.write(b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_is_not_to_be_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first")
    with pytest.raises(StorageError, match="is not written over"), whole_file(path, replace=False) as file:
        file.write(b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a.txt"]


def test_a_page_that_cannot_be_flushed_is_an_error_and_no_file(tmp_path: Path, failing_disk: None) -> None:
    page = tmp_path / "page.html"
    nothing: dict[str, Any] = {
        "made_at": "2026-01-01T00:00:00+00:00",
        "legend": LEGEND,
        "contents": [],
        "articles": [],
        "query": None,
        "mean": None,
    }
    counts = {"items": 0, "masters": 0, "styled": 0}
    with pytest.raises(StorageError, match=r"page\.html can't be written: Input/output error"):
        write_page(page, "report.html", **nothing, **counts)
    assert names(tmp_path) == []


def test_a_mapping_that_cannot_be_written_leaves_no_half_file(tmp_path: Path, failing_disk: None) -> None:
    table = tmp_path / "items.csv"
    table.write_text("filename,title\na.tif,Mill\n")
    answer = command("mapping", "suggest", table, "--output", tmp_path / "mapping.toml")
    assert (answer.code, "Input/output error" in answer.errors) == (1, True)
    assert names(tmp_path) == ["items.csv"]
