from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from archive import fixity
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Event, Item, Master, ModelVersion, Root
from archive.catalogue.schema.vocabularies import EventType, Outcome
from archive.fixity import AbsentFolder, BrokenFile, verify_files
from archive.progress_reporting import NoProgress
from tests.catalogue_rows import add_derivative, add_item, add_master, add_version


def put(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture
def holdings(catalogue: Catalogue, tmp_path: Path) -> dict[str, Path]:
    """Items a, b and c with a master each; a has a derivative, by weights that lie in the home."""
    home = catalogue.settings.home
    files = {name: tmp_path / "scans" / f"{name}.tif" for name in "abc"}
    files["weights"] = home / "models" / "denoise-deblur" / "1.0" / "weights.safetensors"
    with catalogue.session() as session:
        session.add(Root(path=str(tmp_path / "scans")))
        session.flush()
        version = add_version(session, weights_sha256=put(files["weights"], "weights"))
        add_version(session, "denoise-deblur@2.0")  # never used: not in the home
        for name in "abc":
            item = add_item(session, name, masters=0)
            master = add_master(session, item, path=str(files[name]), sha256=put(files[name], name))
            if name == "a":
                derivative = add_derivative(session, master, version)
                files["derivative"] = home / derivative.path
                derivative.sha256 = put(files["derivative"], "derivative")
    return files


def checks(catalogue: Catalogue) -> list[tuple[str, str]]:
    """What was checked, in order, and how it came out."""
    with catalogue.reading() as session:
        events = session.scalars(select(Event).where(Event.type == EventType.FIXITY_CHECK).order_by(Event.id))
        return [(_about(session, event), str(event.outcome)) for event in events]


def _about(session: Session, event: Event) -> str:
    if event.master_id is not None:
        return session.get_one(Item, session.get_one(Master, event.master_id).item_id).accession_number
    return "derivative" if event.derivative_id is not None else "weights"


def test_everything_that_is_as_recorded_is_checked_and_marked(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    report = verify_files(catalogue)
    assert (report.checked, report.broken, report.absent_folders) == (5, [], [])
    assert checks(catalogue) == [(name, "success") for name in ("a", "b", "c", "derivative", "weights")]
    with catalogue.reading() as session:
        assert None not in session.scalars(select(Master.verified_at)).all()
        assert None not in session.scalars(select(Derivative.verified_at)).all()


@pytest.mark.parametrize(("name", "kind"), [("b", "master"), ("derivative", "derivative"), ("weights", "weights")])
def test_one_changed_byte_names_exactly_that_file(
    catalogue: Catalogue, holdings: dict[str, Path], name: str, kind: fixity.Kind
) -> None:
    content = bytearray(holdings[name].read_bytes())
    content[0] ^= 1
    holdings[name].write_bytes(content)
    report = verify_files(catalogue)
    assert report.checked == 5
    assert report.broken == [BrokenFile(kind, holdings[name], "changed")]
    assert [about for about, outcome in checks(catalogue) if outcome == "failure"] == [name]
    with catalogue.reading() as session:
        detail = session.scalars(select(Event.detail).where(Event.outcome == Outcome.FAILURE)).one()
        assert str(holdings[name]) in str(detail)
        assert hashlib.sha256(content).hexdigest() in str(detail)


def test_missing_and_unreadable_files_are_distinguished(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    holdings["a"].unlink()
    holdings["derivative"].unlink()
    holdings["derivative"].mkdir()
    holdings["weights"].unlink()
    assert verify_files(catalogue).broken == [
        BrokenFile("master", holdings["a"], "missing"),
        BrokenFile("derivative", holdings["derivative"], "unreadable"),
        BrokenFile("weights", holdings["weights"], "missing"),
    ]


def test_what_was_checked_longest_ago_comes_first(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    assert verify_files(catalogue, limit=2).checked == 2
    assert verify_files(catalogue, limit=2).checked == 2
    assert verify_files(catalogue, limit=2).checked == 2
    assert [name for name, _ in checks(catalogue)] == ["a", "b", "c", "derivative", "weights", "a"]


def test_only_what_is_older_is_checked(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    verify_files(catalogue)
    assert verify_files(catalogue, older_than_days=30).checked == 0
    with catalogue.session() as session:
        long_ago = catalogue.now(session) - timedelta(days=31)
        session.execute(update(Event).values(at=long_ago))
        session.execute(update(Master).where(Master.path == str(holdings["b"])).values(verified_at=long_ago))
        session.execute(update(Master).where(Master.path == str(holdings["c"])).values(verified_at=None))
    assert verify_files(catalogue, older_than_days=30).checked == 3
    assert [name for name, _ in checks(catalogue)][5:] == ["c", "b", "weights"]


def test_a_query_takes_its_masters_and_their_derivatives(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    assert verify_files(catalogue, "accession_number:a").checked == 2
    assert verify_files(catalogue, "accession_number:b").checked == 1
    assert [name for name, _ in checks(catalogue)] == ["a", "derivative", "b"]


@pytest.mark.parametrize("left", [None, [], ["README.txt"]])
def test_an_unmounted_share_is_one_trouble(
    catalogue: Catalogue, holdings: dict[str, Path], tmp_path: Path, left: list[str] | None
) -> None:
    scans = tmp_path / "scans"
    scans.rename(tmp_path / "away")
    if left is not None:
        scans.mkdir()
        for name in left:
            (scans / name).write_text("the mount point of the scans")
    report = verify_files(catalogue)
    assert (report.checked, report.broken) == (2, [])
    assert report.absent_folders == [AbsentFolder(scans, "master", 3)]
    with catalogue.reading() as session:
        assert set(session.scalars(select(Master.verified_at))) == {None}


@pytest.mark.parametrize("query", [None, "accession_number:a"])
def test_an_unmounted_folder_of_derivatives_marks_nothing_until_it_is_said_to_be_lost(
    catalogue: Catalogue, holdings: dict[str, Path], query: str | None
) -> None:
    folder = catalogue.settings.home / "derivatives"
    folder.rename(folder.with_name("away"))
    report = verify_files(catalogue, query)
    assert (report.broken, report.absent_folders) == ([], [AbsentFolder(folder, "derivative", 1)])
    assert "derivative" not in dict(checks(catalogue))
    assert verify_files(catalogue, "accession_number:b").absent_folders == []

    report = verify_files(catalogue, query, mark_missing=True)
    assert report.absent_folders == []
    assert report.broken == [BrokenFile("derivative", holdings["derivative"], "missing")]


def test_an_empty_folder_of_derivatives_or_copies_is_one_trouble(
    catalogue: Catalogue, holdings: dict[str, Path]
) -> None:
    home = catalogue.settings.home
    with catalogue.session() as session:
        for name in "bc":
            master = session.scalars(select(Master).where(Master.path == str(holdings[name]))).one()
            master.path = f"masters/{name}.tif"
            add_derivative(session, master, session.scalars(select(ModelVersion).limit(1)).one())
    holdings["derivative"].unlink()
    report = verify_files(catalogue)
    assert report.broken == []
    absent = [AbsentFolder(home / "masters", "master", 2), AbsentFolder(home / "derivatives", "derivative", 3)]
    assert report.absent_folders == absent

    put(home / "masters" / "b.tif", "b")
    put(holdings["derivative"], "derivative")
    report = verify_files(catalogue)
    assert (len(report.broken), report.absent_folders) == (3, [])


def test_many_files_are_committed_in_parts(
    catalogue: Catalogue, holdings: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixity, "_PAGE", 3)
    monkeypatch.setattr(fixity, "_CHUNK", 2)

    class Interrupting(NoProgress):
        def __init__(self) -> None:
            self.seen = 0

        def start(self, total: int, what: str, *, work: int | None = None) -> None:  # noqa: ARG002
            assert (total, what) == (5, "files")

        def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:  # noqa: ARG002
            self.seen += n
            if self.seen == 5:
                raise KeyboardInterrupt

        def finish(self) -> None:
            pass

    with pytest.raises(KeyboardInterrupt):
        verify_files(catalogue, progress=Interrupting())
    assert [name for name, _ in checks(catalogue)] == ["a", "b", "c"]
    assert verify_files(catalogue).checked == 5


def test_weights_that_a_derivative_was_made_with_are_missed(catalogue: Catalogue, holdings: dict[str, Path]) -> None:
    holdings["weights"].unlink()
    holdings["weights"].parent.rmdir()
    assert verify_files(catalogue).broken == [BrokenFile("weights", holdings["weights"], "missing")]
