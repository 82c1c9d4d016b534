"""Who did it: the person on whose behalf a command works, beside the software."""

from __future__ import annotations

from typing import Any

import pytest

from archive.settings import OPERATOR_VARIABLE, default_operator
from tests.small_archive import MODEL, SmallArchive, write_model, write_scan


def _people(small: SmallArchive, accession_number: str) -> dict[str, str]:
    return {event["type"]: event["operator"] for event in small.show(accession_number)["events"]}


def test_ingest_batch_run_and_review_have_a_person_beside_the_software(small: SmallArchive) -> None:
    write_scan(small.scans / "A.tif")
    small.done("--operator", "M. Roth", "ingest", small.scans)
    small.done("restore", "--plan", "--operator", "A. Planner")
    batch: dict[str, Any] = small.done("batch", "list", "--format", "json").json()[-1]
    small.done("batch", "resume", str(batch["id"]), "--operator", "N. Night")
    small.done("review", "A", "--accept", "--operator", "A. Curator")
    assert _people(small, "A") == {"ingestion": "M. Roth", "derivation": "N. Night", "review": "A. Curator"}
    assert batch["operator"] == "A. Planner"
    assert small.show("A")["derivatives"][0]["operator"] == "N. Night"
    assert small.show("A")["derivatives"][0]["review"]["reviewer"] == "A. Curator"
    assert {event["agent"]["type"] for event in small.show("A")["events"][:2]} == {"software"}
    shown = small.done("show", "A").output
    assert "run by N. Night" in shown
    assert "for M. Roth" in shown
    assert "A. Planner" in small.done("batch", "list").output


def test_moving_an_alias_names_the_operator_without_a_reviewer(small: SmallArchive, tmp_path: Any) -> None:
    small.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    small.done("model", "alias", MODEL, "9.1", "approved", "--operator", "A. Curator")
    from sqlalchemy import select

    from archive.catalogue import Catalogue
    from archive.catalogue.schema.tables import Event
    from archive.settings import load_settings

    with Catalogue.open(load_settings(small.home)).reading() as session:
        event = session.scalars(select(Event).order_by(Event.id.desc()).limit(1)).one()
        assert (event.type, event.agent.name, event.agent.type) == ("alias change", "A. Curator", "person")
        assert event.operator is not None
        assert event.operator.name == "A. Curator"


def test_an_empty_operator_is_refused(small: SmallArchive) -> None:
    answer = small.run("--operator", " ", "list")
    assert answer.code == 2
    assert "name the person" in answer.errors


def test_without_a_name_the_operator_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPERATOR_VARIABLE)
    monkeypatch.setattr("getpass.getuser", lambda: "mroth")
    assert default_operator() == "mroth"

    def unknown() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert default_operator().startswith("user id ")
