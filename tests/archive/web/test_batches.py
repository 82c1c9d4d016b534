"""Batches on pages: plans, live progress and reports."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.types import Message, Receive, Scope, Send

from archive.batches.running.last_run import record_begin, record_end
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Task
from archive.catalogue.schema.vocabularies import Role, TaskStatus
from tests.archive.web.conftest import Server
from tests.small_archive import SmallArchive, write_scan


def test_progress_is_sent_until_the_batch_ends(server: Server) -> None:
    answer = server.logged_in().get("/batches/1/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, end = answer.text.strip().split("\n\n")
    progress = json.loads(first.removeprefix("data: "))
    assert (progress["status"], progress["tasks"], progress["done"]) == ("done", 1, 1)
    assert end.startswith("event: end")


def test_an_interrupted_batch_says_so_and_why(server: Server, catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        task = session.scalars(select(Task).where(Task.batch_id == 1)).one()
        task.status, task.attempts = TaskStatus.PENDING, 1
    begun_at = record_begin(catalogue, 1)
    browser = server.logged_in()
    assert "end of the last run is not recorded" in browser.get("/batches/1").text
    record_end(catalogue, 1, begun_at, "look at the master 1906.9")
    for path in ("/batches", "/batches/1"):
        assert "interrupted" in browser.get(path).text
    assert "look at the master 1906.9" in browser.get("/batches/1").text
    text = server.logged_in(Role.REVIEWER, "B").get("/batches/1").text  # who may not see every item
    assert "The last run stopped" in text
    assert "1906.9" not in text


def test_failures_of_hidden_items_are_only_counted(server: Server, archive: SmallArchive) -> None:
    write_scan(archive.scans / "e.tif", seed=9)
    (archive.scans / "items.csv").write_text("filename,accession_number,access\ne.tif,1906.9,sensitive\n")
    archive.done("ingest", archive.scans / "e.tif", "--metadata", archive.scans / "items.csv")
    (archive.scans / "e.tif").unlink()
    archive.run("restore", "access:sensitive AND status:unrestored")
    assert "1906.9" in server.logged_in().get("/batches/5").text
    text = server.logged_in(Role.REVIEWER, "B").get("/batches/5").text
    assert "1906.9" not in text
    assert "1 failures of items" in text


def test_a_plan_is_shown_to_managers_before_it_is_started(server: Server) -> None:
    manager = server.logged_in()
    path = "/batches?plan=accession_number:1906.1"
    answer = manager.get(path)
    assert "Nothing to do" in answer.text
    assert f'name="next" value="{path}"' in answer.text  # another language shows the same plan
    assert manager.get("/batches?plan=colour:red").status_code == 400
    reviewer = server.logged_in(Role.REVIEWER, "B")
    assert "Nothing to do" not in reviewer.get(path).text
    assert reviewer.submit("/batches", query="")[0] == 403
    nothing = manager.post("/batches", data={"query": "title:bridge", "csrf_token": manager.csrf_token()})
    assert nothing.headers["location"] == "/batches?plan=title%3Abridge"


def test_the_report_of_a_query_holds_open_items_only(server: Server) -> None:
    answer = server.logged_in().get("/report?query=accession_number:1906.*")
    assert answer.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert "1906.1" in answer.text
    assert "1906.2" not in answer.text


def test_the_report_is_sent_in_parts_and_leaves_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    application, parts = server.application, list[int]()

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_measured(message: Message) -> None:
            parts.append(len(message.get("body", b"")))
            await send(message)

        await application(scope, receive, send_measured)

    monkeypatch.setattr(server, "application", measured)
    answer = server.logged_in().get("/report")
    assert int(answer.headers["content-length"]) == len(answer.content) == sum(parts)
    assert max(parts) <= 64 * 1024 < sum(parts)
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_planned_batch_runs_in_a_process_of_its_own(server: Server, archive: SmallArchive) -> None:
    write_scan(archive.home / "scans" / "f.tif", seed=11)
    archive.done("ingest", archive.home / "scans" / "f.tif", "--copy")
    browser = server.logged_in()
    answer = browser.post("/batches", data={"query": "accession_number:f", "csrf_token": browser.csrf_token()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/batches/5")
    assert "event: end" in browser.get("/batches/5/events").text
    found = archive.done("batch", "show", "5", "--format", "json").json()
    assert (found["status"], found["done"]) == ("done", 1)
    assert archive.show("f")["derivatives"][0]["review"] is None


def test_a_queue_of_all_is_offered_where_results_of_a_sample_count(server: Server, catalogue: Catalogue) -> None:
    browser = server.logged_in()
    offered = 'href="/queues?query=review%3Anone"'
    page = browser.get("/queues").text
    assert 'value="review:none batch:4"' in page
    assert offered not in page
    with catalogue.session() as session:
        batch = session.get_one(Batch, 1)
        batch.options = {**batch.options, "sample": {"size": 1}}
    assert offered in browser.get("/queues").text
    assert offered not in browser.get("/queues?query=review:none").text
