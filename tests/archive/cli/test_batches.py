"""Batches from the command line: planned, run, watched, interrupted, cancelled."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from archive.batches.running.leases import LeaseHolder
from archive.batches.running.runner import BatchResult
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch
from archive.cli.batch_result_text import print_batch_result
from archive.cli.output_formats import format_duration
from archive.settings import load_settings
from tests.fake_models import wait_until
from tests.small_archive import MODEL, Answer, SmallArchive, command, write_model, write_scan

ROOT = Path(__file__).parents[3]


@pytest.fixture
def planned(small: SmallArchive) -> SmallArchive:
    """An archive with a batch of two masters that waits to be run."""
    for number in (1, 2):
        write_scan(small.scans / f"N{number}.tif", seed=number)
    small.done("ingest", small.scans)
    assert "batch resume 1" in small.done("restore", "--plan").output
    return small


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_planned_batch_waits_until_it_is_resumed(planned: SmallArchive) -> None:
    assert planned.show("N1")["derivatives"] == []
    (batch,) = planned.done("batch", "list", "--format", "json").json()
    assert (batch["status"], batch["pending"]) == ("pending", 2)
    assert "2 done" in planned.done("batch", "resume", "1").output
    (batch,) = planned.done("batch", "list", "--format", "json").json()
    assert (batch["status"], batch["done"]) == ("done", 2)


def test_a_batch_that_is_not_finished_ends_with_exit_code_3(planned: SmallArchive) -> None:
    assert "the batch is not finished" in planned.done("batch", "resume", "--help").output
    left = BatchResult(
        batch_id=1,
        done=1,
        failed=0,
        skipped=0,
        cancelled=0,
        pending=1,
        with_notes=0,
        notes=(),
        failures=(),
        interrupted=False,
    )
    assert print_batch_result(1, left) == 3
    assert print_batch_result(1, replace(left, done=2, pending=0)) == 0


def test_an_interrupted_batch_tells_why_and_how_to_continue(planned: SmallArchive) -> None:
    assert "last worked  never" in planned.done("batch", "show", "1").output
    away = planned.scans.rename(planned.scans.with_name("away"))
    assert planned.run("batch", "resume", "1").code == 1
    listed = planned.done("batch", "list")
    assert "interrupted" in listed.output
    assert "interrupted: 1. Run `archive batch show ID` to see why" in listed.errors
    shown = planned.done("batch", "show", "1").output
    assert re.search(r"^stopped .*scans.* absent", shown, re.MULTILINE)
    assert re.search(r"^to continue +archive batch resume 1$", shown, re.MULTILINE)
    away.rename(planned.scans)
    planned.done("batch", "resume", "1")
    assert "to continue" not in planned.done("batch", "show", "1").output
    assert planned.done("batch", "list").errors == ""


def test_a_planned_rerun_waits_too(planned: SmallArchive) -> None:
    planned.done("batch", "resume", "1")
    planned.done("restore", "--strength", "0.5")
    answer = planned.done("rerun", "NOT accession_number:N2", "--plan", "--model", f"{MODEL}@9.0")
    assert "Nothing to do" in answer.output  # by the same version there is nothing to repeat


def test_to_plan_and_to_do_nothing_is_a_contradiction(planned: SmallArchive) -> None:
    assert planned.run("restore", "--plan", "--dry-run").code == 2


def test_derivatives_that_hardly_differ_from_their_masters_are_counted(planned: SmallArchive) -> None:
    assert "hardly changed" not in planned.done("batch", "resume", "1").errors
    assert {row["changed_share"] > 0.01 for row in _changed_shares(planned, "batch:1")} == {True}
    said = planned.done("restore", "accession_number:N1", "--strength", "0").errors
    assert "hardly changed: 1 of 1 derivative (at most 1% of the pixels changed visibly)" in said
    query = re.search(r"`archive list '(.*)' --rows derivatives`", said)
    assert query
    assert [row["changed_share"] for row in _changed_shares(planned, query[1])] == [0.0]


def _changed_shares(archive: SmallArchive, query: str) -> Any:
    options = ("--rows", "derivatives", "--fields", "changed_share", "--format", "json")
    return archive.done("list", query, *options).json()


def test_a_cancelled_batch_is_not_run(planned: SmallArchive) -> None:
    assert "2 tasks cancelled" in planned.done("batch", "cancel", "1").output
    assert "0 done, 0 failed, 0 skipped, 2 cancelled" in planned.done("batch", "resume", "1").output
    (batch,) = planned.done("batch", "list", "--format", "json").json()
    assert (batch["status"], batch["cancelled"]) == ("cancelled", 2)
    assert planned.run("batch", "cancel", "7").code == 2
    assert "the batch is cancelled already" in planned.done("batch", "cancel", "1").errors
    assert "last batch:   1, cancelled: 0 done, 0 failed, 2 cancelled, planned" in planned.done("status").output
    assert planned.done("status", "--format", "json").json()["last_batch"]["cancelled"] == 2


def test_a_plan_names_unfinished_batches_that_do_the_same(planned: SmallArchive) -> None:
    hint = "batch 1 with the same settings has 2 open masters"
    tried = planned.done("restore", "accession_number:N1", "--dry-run")
    assert hint in tried.errors
    assert "`archive batch resume 1`" in tried.errors
    assert "To do: 1 master" in tried.output
    assert "same settings" not in planned.done("restore", "--strength", "0.5", "--dry-run").errors
    written = planned.done("restore", "--plan").errors
    assert hint in written
    assert "batch 2 " not in written  # the new one
    planned.done("batch", "cancel", "1")
    planned.done("batch", "resume", "2")
    write_scan(planned.scans / "N3.tif", seed=3)
    planned.done("ingest", planned.scans)
    assert "same settings" not in planned.done("restore", "--dry-run").errors


def test_a_rerun_names_unfinished_batches_that_do_the_same(planned: SmallArchive, tmp_path: Path) -> None:
    planned.done("batch", "resume", "1")
    planned.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    planned.done("model", "alias", MODEL, "9.1", "approved")
    planned.done("rerun", "--plan")
    assert "batch 2 with the same settings has 2 open masters" in planned.done("rerun", "--dry-run").errors


def test_batch_show_names_the_query_and_the_settings(planned: SmallArchive) -> None:
    planned.done("restore", "accession_number:N1", "--strength", "0.5", "--plan")
    shown = planned.done("batch", "show", "2", "--format", "json").json()
    assert shown["query"] == "accession_number:N1"
    assert shown["recipes_used"] == [f"{MODEL} 9.0 (strength 0.5)"]
    text = planned.done("batch", "show", "2").output
    assert re.search(rf"^recipe +{MODEL} 9\.0 \(strength 0\.5\)$", text, re.MULTILINE)
    assert re.search(r"^query +accession_number:N1$", text, re.MULTILINE)
    assert re.search(r"^query +none: all masters$", planned.done("batch", "show", "1").output, re.MULTILINE)


def test_batch_show_prints_throughput_and_stage_times(planned: SmallArchive) -> None:
    before = planned.done("batch", "show", "1", "--format", "json").json()
    assert (before["rate"], before["seconds_left"], before["stages"]) == (None, None, [])
    planned.done("batch", "resume", "1")
    after = planned.done("batch", "show", "1", "--format", "json").json()
    assert after["rate"]["masters_per_hour"] > 0
    assert after["rate"]["megapixels_per_second"] > 0
    assert after["seconds_left"] == 0
    ((stage),) = after["stages"]
    assert (stage["stage"], stage["masters"]) == (f"{MODEL}@9.0", 2)
    assert stage["seconds"] > 0
    text = planned.done("batch", "show", "1").output
    for told in ("masters per hour", "time left", f"{MODEL}@9.0"):
        assert told in text


def test_a_dry_run_prints_disk_space_and_time_and_counts_like_the_run(planned: SmallArchive) -> None:
    planned.done("batch", "resume", "1")
    write_scan(planned.scans / "N3.tif", seed=3)
    planned.done("ingest", planned.scans)
    tried = planned.done("restore", "--dry-run").output
    assert "To do: 1 master" in tried
    assert "Already done: 2 masters" in tried
    assert f"on {planned.home / 'derivatives'}" in tried
    assert "from the throughput of earlier batches" in tried
    run = planned.done("restore")
    assert [line for line in run.errors.splitlines() if "master" in line] == [
        line for line in tried.splitlines() if "master" in line
    ]


def test_the_plan_says_if_a_version_repairs_damage_that_nobody_asked_for(planned: SmallArchive) -> None:
    said = "Damage is repaired too, because denoise-deblur@1.1 does so by default"
    older = ("restore", "--dry-run", "--model", "denoise-deblur@1.1")
    assert said in planned.done(*older).output
    for named in ("noise,softness", "noise,damage"):
        assert "Damage is repaired" not in planned.done(*older, "--repair", named).output
    assert "Damage is repaired" not in planned.done("restore", "--dry-run", "--model", "denoise-deblur@2.1").output


def test_what_does_not_fit_is_refused_before_it_starts(planned: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9 - 5000, 5000))
    for answer in (planned.run("restore"), planned.run("batch", "resume", "1"), planned.run("restore", "--dry-run")):
        assert answer.code == 1
        assert "5.0 kB free" in answer.errors + answer.output
    assert len(planned.done("batch", "list", "--format", "json").json()) == 1
    assert planned.run("restore", "--plan").code == 0  # room may be made until it is run


def test_masters_that_are_not_there_as_a_whole_stop_the_batch(planned: SmallArchive) -> None:
    planned.scans.rename(planned.scans.with_name("elsewhere"))
    answer = planned.run("batch", "resume", "1")
    assert (answer.code, "is absent" in answer.errors) == (1, True)
    assert "To go on without it, run `archive batch cancel 1`, and restore with a query that excludes" in answer.errors
    assert planned.done("batch", "show", "1", "--format", "json").json()["pending"] == 2


@pytest.mark.parametrize(
    "options",
    [("--metrics", "/nonexistent/x.prom"), ("--metrics", "99999"), ("--workers", "99999"), ("--notify", "'")],
)
def test_options_of_a_run_are_checked_before_anything_is_written(
    planned: SmallArchive, options: tuple[str, str]
) -> None:
    before = planned.done("batch", "list", "--format", "json").output
    assert planned.run("restore", "--strength", "0.5", "--yes", *options).code == 2
    assert planned.run("batch", "resume", "1", "--priority", "3", *options).code == 2
    assert planned.done("batch", "list", "--format", "json").output == before


def test_json_logs_tell_batch_task_item_and_stage_on_every_line(planned: SmallArchive) -> None:
    (planned.scans / "N2.tif").write_bytes(b"another file")
    answer = planned.run("batch", "resume", "1", "--log-format", "json")
    assert answer.code == 3
    lines = _lines(answer.errors)
    assert all({"batch", "task", "item", "stage", "event", "level", "at"} <= line.keys() for line in lines)
    assert {line["batch"] for line in lines} == {1}
    ended = {line["item"]: line for line in lines if line["event"] == "task ended"}
    assert (ended["N1"]["outcome"], ended["N1"]["stage"]) == ("done", "record")
    assert (ended["N2"]["outcome"], ended["N2"]["stage"]) == ("failed", "read")
    assert "SHA-256" in ended["N2"]["reason"]
    stages = [line for line in lines if line["event"] == "stage done"]
    assert [(line["item"], line["stage"], line["tiles"]) for line in stages] == [("N1", f"{MODEL}@9.0", 1)]
    assert all(line["task"] for line in stages)
    assert (ended["N1"]["level"], ended["N2"]["level"]) == ("info", "warning")
    failed = [line for line in lines if "N2" in line["event"] or line["event"] == "1 master failed:"]
    assert [line["level"] for line in failed] == ["warning", "warning"]
    assert {line["level"] for line in lines if line["event"] in ("batch begun", "stage done", "batch left")} == {"info"}


def test_json_logs_warn_of_refused_and_broken_files(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    (small.scans / "b.tif").write_bytes((small.scans / "a.tif").read_bytes()[:100])
    answer = small.run("ingest", small.scans, "--log-format", "json")
    assert answer.code == 3
    assert {(line["event"], line["level"]) for line in _lines(answer.errors)} >= {("1 file refused:", "warning")}

    write_scan(small.scans / "a.tif", seed=1)
    answer = small.run("verify", "--log-format", "json")
    assert answer.code == 3
    assert "warning" in {line["level"] for line in _lines(answer.errors) if line["event"].endswith("1 broken")}


def test_errors_are_json_too_and_the_next_command_speaks_text_again(planned: SmallArchive) -> None:
    answer = command("--log-format", "json", "--home", planned.home, "batch", "show", "7")
    (line,) = _lines(answer.errors)
    assert (answer.code, line["level"]) == (2, "error")
    assert "No batch 7" in line["event"]
    assert planned.run("batch", "show", "7").errors.startswith("archive: No batch 7")


def _start(archive: SmallArchive, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "archive", "--home", archive.home, "--log-format", "json", *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(process: subprocess.Popen[str]) -> Answer:
    output, errors = process.communicate(timeout=600)
    return Answer(code=process.returncode, output=output, errors=errors)


@pytest.mark.slow
def test_a_real_process_is_killed_and_then_interrupted_and_the_batch_comes_out_whole(planned: SmallArchive) -> None:
    for number in range(3, 15):
        write_scan(planned.scans / f"N{number}.tif", seed=number, width=300, height=300)
    planned.done("ingest", planned.scans)
    planned.done("batch", "cancel", "1")
    planned.done("restore", "--plan")

    assert _ended(_start(planned, "batch", "resume", "2", ARCHIVE_FAILPOINT="commit:2")).code == -signal.SIGKILL
    assert planned.done("batch", "show", "2", "--format", "json").json()["running"] in range(1, MAX_IN_FLIGHT_TASKS + 1)
    shown = planned.done("batch", "show", "2").output
    assert "its process is probably gone: killed, or the machine was switched off" in shown
    assert "archive batch resume 2" in shown
    assert "batch 2: its process is probably gone" in planned.done("batch", "list").errors
    status = planned.done("status").output
    assert "last batch:   2, interrupted: 1 done" in status
    assert "interrupted:  batch 2 (its process is probably gone). Continue with `archive batch resume 2`" in status

    process = _start(planned, "batch", "resume", "2", ARCHIVE_FAILPOINT="commit:2:stop")
    assert process.stderr is not None
    assert any('"task ended"' in line for line in process.stderr)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    answer = _ended(process)
    assert answer.code == 130
    assert "batch resume 2" in _lines(answer.errors)[-1]["event"]
    counts = planned.done("batch", "show", "2", "--format", "json").json()
    assert counts["running"] == 0
    assert 3 <= counts["done"] < 14

    assert "14 done" in planned.done("batch", "resume", "2").output
    assert planned.done("verify").code == 0
    names = [path.name for path in (planned.home / "derivatives").rglob("*") if path.is_file()]
    assert len(names) == 14
    assert not [name for name in names if name.startswith(".")]


def test_a_run_that_was_killed_is_named_as_long_as_tasks_are_open(planned: SmallArchive) -> None:
    def lose_run() -> None:
        process = {**asdict(LeaseHolder.this_process()), "started": 0}
        with Catalogue.open(load_settings(planned.home)).session() as session:
            batch = session.get_one(Batch, 1)
            batch.last_run = {"begun_at": None, "ended_at": None, "reason": None, "process": process}

    gone = "its process is probably gone"
    assert planned.done("batch", "list").errors == ""
    assert "interrupted:" not in planned.done("status").output
    lose_run()
    assert gone in planned.done("batch", "show", "1").output
    listed = planned.done("batch", "list")
    assert listed.errors == f"batch 1: {gone}. Continue with `archive batch resume 1`\n"
    assert f"batch 1 ({gone}). Continue with `archive batch resume 1`" in planned.done("status").output
    planned.done("batch", "resume", "1")
    lose_run()
    assert gone not in planned.done("batch", "show", "1").output
    assert gone not in planned.done("batch", "list").errors
    assert gone not in planned.done("status").output


def test_status_names_interrupted_batches_behind_a_newer_one(planned: SmallArchive) -> None:
    for strength in ("0.2", "0.3", "0.4", "0.5"):
        planned.done("restore", "--plan", "--strength", strength)
    away = planned.scans.rename(planned.scans.with_name("away"))
    for batch_id in ("1", "2", "3", "4"):
        assert planned.run("batch", "resume", batch_id).code == 1
    away.rename(planned.scans)
    status = planned.done("status").output
    assert "last batch:   5, pending" in status
    assert (
        "interrupted:  batch 4, batch 3, batch 2 and 1 more (`archive batch list`). "
        "Continue with `archive batch resume 4`\n"
    ) in status
    for batch_id in ("2", "3", "4"):
        planned.done("batch", "cancel", batch_id)
    found = planned.done("status", "--format", "json").json()
    assert found["interrupted_batches"] == [{"id": 1, "is_lost": False}]
    planned.done("batch", "resume", "1")
    assert planned.done("status", "--format", "json").json()["interrupted_batches"] == []


def test_durations_are_formatted_in_readable_units() -> None:
    assert [format_duration(seconds) for seconds in (0.4, 89, 100, 3599, 12_000, 400_000)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "3 h 20 min",
        "111 h 7 min",
    ]


def test_a_cluster_on_sqlite_is_refused_before_a_batch_is_written(small: SmallArchive) -> None:
    write_scan(small.scans / "N1.tif")
    small.done("ingest", small.scans)
    answer = small.run("restore", "--ray", "auto")
    assert answer.code == 2
    assert "PostgreSQL" in answer.errors
    assert small.done("batch", "list", "--format", "json").json() == []


def test_a_batch_has_a_priority_and_its_end_is_notified(planned: SmallArchive, tmp_path: Path) -> None:
    metrics, told = tmp_path / "archive.prom", tmp_path / "told"
    planned.done("batch", "resume", "1", "--priority", "3", "--metrics", metrics, "--notify", f"tee {told}")
    (batch,) = planned.done("batch", "list", "--format", "json").json()
    assert (batch["done"], batch["priority"]) == (2, 3)
    assert 'archive_batch_tasks{batch="1",state="done"} 2.0' in metrics.read_text()
    ended = json.loads(told.read_text())
    assert (ended["event"], ended["outcome"], ended["tasks"]["done"]) == ("ended", "done", 2)
    write_scan(planned.scans / "N3.tif", seed=3)
    planned.done("ingest", planned.scans)
    planned.done("restore", "--plan", "--priority", "7")
    assert planned.done("batch", "list", "--format", "json").json()[1]["priority"] == 7
