from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import storage
from archive.errors import StorageError


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("number", ["1906.12", "LC-USF34_9058-C", "a", "_x", "-", "A" * 80])
def test_a_plain_accession_number_is_its_own_slug(number: str) -> None:
    assert storage.slug(number) == number


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("../x", "..-x"),
        ("LC/USF 34-9058.C", "LC-USF-34-9058.C"),
        ("été 1906", "-t--1906"),
        ("a\nb", "a-b"),
        ("a\n", "a-"),
        (".hidden", ".hidden"),
        ("..", ".."),
        ("", ""),
        ("A" * 300, "A" * 80),
    ],
)
def test_other_accession_numbers_become_safe_names_with_a_digest(number: str, kept: str) -> None:
    assert storage.slug(number) == f"{kept}-{digest(number.encode())[:6]}"


@given(st.text(max_size=300).filter(lambda text: text.isprintable() or "\n" in text))
def test_no_accession_number_leads_out_of_the_home(number: str) -> None:
    name = storage.slug(number)
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert len(name) <= 87
    home = Path("/home")
    item = SimpleNamespace(accession_number=number)
    path = Path(os.path.normpath(home / storage.derivative_path(item, 1, "restored", "0" * 64)))
    assert path.parent.parent == home / "derivatives"


def test_names_of_derivatives_and_copies() -> None:
    item = SimpleNamespace(accession_number="1906.12")
    assert storage.derivative_path(item, 2, "restored", "0123456789abcdef") == (
        "derivatives/1906.12/1906.12_002_restored_01234567.tif"
    )
    sha256 = digest(b"x")
    assert storage.master_copy_path("1906.12", sha256, ".tif") == f"masters/1906.12/1906.12_{sha256[:16]}.tif"
    assert storage.master_copy_path("1906.12", sha256, ".t/x") == f"masters/1906.12/1906.12_{sha256[:16]}"


def test_publishing_gives_the_final_name_and_leaves_nothing_else(tmp_path: Path) -> None:
    final = tmp_path / "new" / "folder" / "a.tif"
    temporary = storage.temporary_path(final, "token")
    assert temporary.parent == final.parent
    assert "token" in temporary.name
    temporary.write_bytes(b"picture")
    storage.publish(temporary, final)
    assert [path.name for path in final.parent.iterdir()] == ["a.tif"]
    assert final.read_bytes() == b"picture"


def test_publishing_does_not_replace(tmp_path: Path) -> None:
    final = tmp_path / "a.tif"
    final.write_bytes(b"first")
    temporary = storage.temporary_path(final, "token")
    temporary.write_bytes(b"second")
    with pytest.raises(StorageError, match=r"a\.tif is already there"):
        storage.publish(temporary, final)
    assert final.read_bytes() == b"first"
    storage.publish(temporary, final, replace=True)
    assert final.read_bytes() == b"second"


def _no_links(path: Path, target: Path) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_without_hard_links_a_rename_publishes_and_does_not_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", _no_links)
    final = tmp_path / "a.tif"
    for content in (b"first", b"second"):
        temporary = storage.temporary_path(final, "token")
        temporary.write_bytes(content)
        if content == b"first":
            storage.publish(temporary, final)
        else:
            with pytest.raises(StorageError, match="already there"):
                storage.publish(temporary, final)
    assert final.read_bytes() == b"first"


def test_a_file_of_the_same_bytes_is_adopted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "home" / "target"
    source.write_bytes(b"weights")
    storage.copy_checked(source, target, "one", sha256=digest(b"weights"))
    storage.copy_checked(source, target, "two")
    assert target.read_bytes() == b"weights"
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_of_other_bytes_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "home" / "target"
    source.write_bytes(b"changed")
    with pytest.raises(StorageError, match="doesn't hold the bytes"):
        storage.copy_checked(source, target, "token", sha256=digest(b"weights"))
    assert list(target.parent.iterdir()) == []
    target.write_bytes(b"another")
    with pytest.raises(StorageError, match="already there"):
        storage.copy_checked(source, target, "token")
    assert target.read_bytes() == b"another"
    assert list(target.parent.iterdir()) == [target]


def test_a_digest_is_of_all_bytes(tmp_path: Path) -> None:
    content = os.urandom((2 << 20) + 17)
    (tmp_path / "file").write_bytes(content)
    assert storage.digest_file(tmp_path / "file") == (digest(content), len(content))


def test_a_file_that_changes_while_it_is_digested_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    class Watched:
        def update(self, _block: bytes) -> None:
            path.write_bytes(b"other")

        def hexdigest(self) -> str:
            return ""

    monkeypatch.setattr(hashlib, "new", lambda *_arguments, **_options: Watched())
    with pytest.raises(StorageError, match="changed while it was read"):
        storage.digest_file(path)


def test_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    trouble = storage.check_file(path, digest(b"x"))
    assert trouble is not None
    assert trouble.problem == "missing"
    path.write_bytes(b"x")
    assert storage.check_file(path, digest(b"x")) is None
    trouble = storage.check_file(path, digest(b"y"))
    assert trouble is not None
    assert trouble.problem == "changed"
    trouble = storage.check_file(tmp_path, digest(b"x"))
    assert trouble is not None
    assert trouble.problem == "unreadable"
