"""Commands that change something: what they print, and the exit code they end with."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest

from archive.batches.running import runner
from archive.cli.progress_bar import ProgressBar
from restoration.model_folders import ModelFolder
from tests.small_archive import MODEL, SmallArchive, change_one_byte, command, write_model, write_scan


def test_init_again_changes_nothing(small: SmallArchive) -> None:
    before = (small.home / "archive.toml").read_bytes()

    assert command("init", small.home).code == 0
    assert (small.home / "archive.toml").read_bytes() == before


def test_a_refused_scan_is_named_with_its_reason_and_the_rest_is_ingested(small: SmallArchive) -> None:
    write_scan(small.scans / "good.tif")
    (small.scans / "bad.tif").write_bytes(b"II*\0 and no more")
    answer = small.run("ingest", small.scans)

    assert answer.code == 3
    assert "1 added" in answer.output
    assert "bad.tif" in answer.errors
    assert [row["accession_number"] for row in small.done("list", "--format", "json").json()] == ["good"]


def test_a_dry_run_of_ingest_writes_nothing(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    answer = small.done("ingest", small.scans, "--dry-run")

    assert "a.tif" in answer.output
    assert small.done("list", "--format", "json").json() == []


def test_copied_masters_lie_in_the_home(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans, "--copy")

    assert Path(small.show("a")["masters"][0]["path"]).is_relative_to(small.home / "masters")


def test_a_dry_run_of_restore_writes_nothing(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    answer = small.done("restore", "--dry-run")

    assert f"1 master with {MODEL} 9.0" in answer.output
    assert small.done("batch", "list", "--format", "json").json() == []


def test_restoring_twice_makes_nothing_new(restored: SmallArchive) -> None:
    before = sorted((restored.home / "derivatives").rglob("*"))
    answer = restored.done("restore")

    assert "Nothing to do: every master found has a derivative with these settings. Other settings" in answer.output
    assert "Already done: 2 masters" in answer.output
    assert sorted((restored.home / "derivatives").rglob("*")) == before


def test_failures_are_listed_at_the_end_and_the_rest_is_restored(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif", seed=1)
    write_scan(small.scans / "b.tif", seed=2)
    small.done("ingest", small.scans)
    change_one_byte(small.scans / "a.tif")
    answer = small.run("restore")

    assert answer.code == 3
    assert "1 done, 1 failed" in answer.output
    assert answer.errors.index("1 master failed") < answer.errors.index("a (1): ")
    assert small.show("b")["status"] == "restored"

    batch = small.done("batch", "list", "--format", "json").json()[0]
    assert (batch["tasks"], batch["done"], batch["failed"]) == (2, 1, 1)
    failures = list(csv.DictReader(io.StringIO(small.done("batch", "show", "1", "--format", "csv").output)))
    assert [row["accession_number"] for row in failures] == ["a"]
    assert small.done("batch", "show", "1", "--format", "json").json()["failures"][0]["reason"] == failures[0]["reason"]
    assert "a.tif" in small.done("batch", "show", "1").output


def test_resuming_an_ended_batch_makes_nothing_new(restored: SmallArchive) -> None:
    resumed = restored.done("batch", "resume", "1", "--until", "07:30")
    assert "2 done" in resumed.output
    assert re.search(r"No master is started after \d{4}-\d\d-\d\d 07:30\n", resumed.errors)
    assert len(restored.show("1906.1")["derivatives"]) == 1


def test_options_of_a_run_are_refused_where_nothing_runs(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    for option in (("--until", "06:00"), ("--notify", "true"), ("--metrics", "x.prom")):
        for only in ("--plan", "--dry-run"):
            answer = small.run("restore", only, *option)
            assert (answer.code, "for a run. Give" in answer.errors) == (2, True)
    assert small.done("batch", "list", "--format", "json").json() == []


@pytest.mark.parametrize("command", ["restore", "rerun"])
def test_a_restoration_begins_no_master_from_a_time_of_day_on(
    restored: SmallArchive, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(runner, "next_occurrence", lambda until, now: now if until == time(6, 0) else None)
    answer = restored.run(command, "--model", "denoise-deblur@1.1", "--yes", "--until", "06:00")
    assert (answer.code, "2 masters not started: continue with `archive batch resume 2`" in answer.errors) == (3, True)


def test_left_out_masters_are_counted_with_the_reason(small: SmallArchive) -> None:
    write_scan(small.scans / "front.tif", seed=1)
    write_scan(small.scans / "back.tif", seed=2)
    write_scan(small.scans / "negative.tif", seed=3)
    (small.scans / "items.csv").write_text(
        "filename,accession_number,view,polarity\nfront.tif,1,recto,\nback.tif,1,verso,\nnegative.tif,2,,negative\n",
        encoding="utf-8",
    )
    small.done("ingest", small.scans)

    plan = small.done("restore", "--dry-run").output
    assert "1  view verso" in plan
    assert "1  negative polarity" in plan
    assert "3 masters" in small.done("restore", "--dry-run", "--unsuited", "--view", "recto,verso").output


@pytest.fixture
def on_terminal(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> SmallArchive:
    """A home with the item ``a``, whose commands ask for confirmation as on a terminal."""
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    monkeypatch.setattr("archive.cli.restore_rerun.is_interactive", lambda: True)
    return small


@pytest.mark.parametrize("answered", [True, False])
def test_on_a_terminal_restore_shows_the_plan_and_asks(
    on_terminal: SmallArchive, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_arguments, **_options: answered)
    answer = on_terminal.done("restore")

    assert f"1 master with {MODEL} 9.0" in answer.errors
    assert bool(on_terminal.show("a")["derivatives"]) is answered
    assert len(on_terminal.done("batch", "list", "--format", "json").json()) == answered


@pytest.mark.parametrize("answered", [True, False])
def test_a_plan_that_changes_after_it_was_confirmed_is_confirmed_again(
    on_terminal: SmallArchive, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    questions = 0

    def ingest_meanwhile(*_arguments: object, **_options: object) -> bool:
        nonlocal questions
        questions += 1
        if questions == 1:
            write_scan(on_terminal.scans / "b.tif", seed=1)
            on_terminal.done("ingest", on_terminal.scans)
            return True
        return answered

    monkeypatch.setattr("click.confirm", ingest_meanwhile)
    answer = on_terminal.done("restore")
    assert "the catalogue has changed meanwhile" in answer.errors
    assert questions == 2
    assert ("2 done" in answer.output) is answered
    assert ("batch 1 is planned. Run it with" in answer.output) is not answered


def test_a_plan_that_nothing_is_left_of_after_it_was_confirmed_says_so(
    on_terminal: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore_meanwhile(*_arguments: object, **_options: object) -> bool:
        assert on_terminal.done("restore", "--yes").code == 0
        return True

    monkeypatch.setattr("click.confirm", restore_meanwhile)
    answer = on_terminal.done("restore")
    assert "the catalogue has changed meanwhile" in answer.errors
    assert "Already done: 1 master" in answer.errors


def test_yes_does_not_ask(on_terminal: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.confirm", lambda *_arguments, **_options: pytest.fail("it asked"))

    on_terminal.done("restore", "--yes")


def test_ctrl_c_while_models_are_loaded_says_how_to_go_on(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    with monkeypatch.context() as patch:
        patch.setattr("archive.model_registry.checked_folder", interrupt)
        answer = small.run("restore")

    assert answer.code == 130
    assert "archive batch resume 1" in answer.errors
    assert "1 done" in small.done("batch", "resume", "1").output


def test_a_rejection_needs_a_reason_and_takes_the_derivative_out(restored: SmallArchive) -> None:
    assert restored.run("review", "1906.1", "--reject", "--reviewer", "A. Curator").code == 2

    decided = restored.done("review", "1906.1", "--reject", "--reason", "face redrawn", "--reviewer", "A. Curator")
    assert "none of its derivatives is current now" in decided.errors
    derivative = restored.show("1906.1")["derivatives"][0]
    assert derivative["current"] is False
    assert derivative["review"]["reason"] == "face redrawn"
    assert derivative["review"]["reviewer"] == "A. Curator"


def test_a_newer_model_is_added_approved_and_rerun_once(restored: SmallArchive, tmp_path: Path) -> None:
    restored.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    assert "Nothing to do" in restored.done("rerun").output

    moved = restored.done("model", "alias", MODEL, "9.1", "approved", "--reviewer", "A. Curator")
    assert moved.output == f"{MODEL}@approved is now {MODEL}@9.1\n"
    assert "2 masters stale: list with" in moved.errors
    again = restored.done("model", "alias", MODEL, "9.1", "approved", "--reviewer", "A. Curator")
    assert again.output == f"{MODEL}@approved is already {MODEL}@9.1\n"
    assert restored.done("list", "status:stale", "--fields", "accession_number", "--format", "csv").output == (
        "accession_number\n1906.1\n1906.2\n"
    )
    assert "2 done" in restored.done("rerun").output
    assert "Nothing to do" in restored.done("rerun").output
    versions = [each["recipe"]["stages"][0]["version"] for each in restored.show("1906.1")["derivatives"]]
    assert versions == ["9.0", "9.1"]


def test_an_accepted_derivative_stays_current_when_a_newer_one_appears(restored: SmallArchive, tmp_path: Path) -> None:
    restored.done("review", "1906.1", "--accept", "--reviewer", "A. Curator")
    restored.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    made = restored.done("rerun", "--model", f"{MODEL}@9.1")
    assert "not current: 2 derivatives of this batch, because another one was accepted" in made.errors

    restored.done("model", "alias", MODEL, "9.1", "approved", "--reviewer", "A. Curator")

    assert [each["current"] for each in restored.show("1906.1")["derivatives"]] == [True, False]
    assert [each["current"] for each in restored.show("1906.2")["derivatives"]] == [False, True]


def test_model_list_show_and_verify(small: SmallArchive) -> None:
    assert "9.0" in small.done("model", "list").output
    assert small.done("model", "show", f"{MODEL}@9.0").json()["version"] == "9.0"
    small.done("model", "verify")

    change_one_byte(small.home / "models" / MODEL / "9.0" / "weights.safetensors")
    answer = small.run("model", "verify")
    assert answer.code == 3
    assert f"{MODEL}@9.0" in answer.output


def test_texture_and_repair_are_asked_for_and_kept_in_the_recipe(restored: SmallArchive, tmp_path: Path) -> None:
    restored.done("model", "add", write_model(tmp_path / "two", version="9.1", ends=2))
    asked = ("restore", "--model", f"{MODEL}@9.1", "accession_number:1906.1")
    restored.done(*asked)
    restored.done(*asked, "--repair", "damage,noise", "--texture", "0")
    made = restored.show("1906.1")["derivatives"]

    recipes = [
        each["recipe"]["stages"][0]["parameters"] for each in made if each["recipe"]["stages"][0]["version"] == "9.1"
    ]
    assert {"strength": 1.0, "texture": 0.35, "repair": ["noise", "softness"]} in recipes
    assert {"strength": 1.0, "texture": 0.0, "repair": ["noise", "damage"]} in recipes
    assert len({each["pixel_sha256"] for each in made}) == 3


def test_a_version_without_texture_says_so(restored: SmallArchive) -> None:
    answer = restored.run("restore", "--texture", "0.5")
    assert answer.code == 2
    assert "no parameter texture" in answer.errors
    assert restored.run("restore", "--repair", "rust").code == 2


def test_a_version_is_measured_beside_classical_methods(small: SmallArchive, tmp_path: Path) -> None:
    write_scan(tmp_path / "clean" / "a.tif", seed=1)
    rows = small.done("model", "evaluate", MODEL, "--data", tmp_path / "clean", "--format", "json").json()
    noisy = [row for row in rows if row["case"] == "noise 25/255, not clipped"]
    assert [row["method"] for row in noisy][:3] == ["input", f"{MODEL}@9.0", "non-local means"]
    assert set(noisy[0]) == {"case", "method", "pictures", "psnr", "ssim", "spectrum_distance"}

    table = small.done(
        "model", "evaluate", MODEL, "--data", tmp_path / "clean", "--no-peers", "--scans", tmp_path / "clean"
    ).output
    assert "non-local means" not in table
    headings = [line.split()[3:] for line in table.splitlines() if line.startswith("case ")]
    assert ["psnr", "ssim", "spectrum", "distance"] in headings
    assert ["ssim", "marks", "kept"] in headings
    assert ["grain", "fine", "grain", "coarse", "edges"] in headings
    assert headings[-1] == ["scans", "over", "2", "percent"]
    answer = small.run("model", "evaluate", MODEL, "--data", tmp_path / "clean", "--texture", "0.5")
    assert "has no parameter texture" in answer.errors

    (tmp_path / "empty").mkdir()
    assert "no pictures" in small.run("model", "evaluate", MODEL, "--data", tmp_path / "empty").errors


def test_training_on_no_photographs_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    answer = command("model", "train", "--data", tmp_path / "data", "--output", tmp_path / "model")

    assert answer.code == 1
    assert answer.errors.startswith("archive: ")


def test_training_prints_the_folder_of_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(output: Path, *, progress: Callable[..., None], **given: object) -> ModelFolder:
        assert given == {"data": None, "resume": True, "start": None, "minutes": None, "perceptual_weights": None}
        progress(7, 8, {"pixel": 0.1})
        progress(8, 8, {"pixel": 0.1})
        return ModelFolder.open(write_model(output, version="9.3"))

    monkeypatch.setattr("restoration.training.train", pretend)
    answer = command("model", "train", "--output", tmp_path / "denoise-deblur-9.3", "--resume")

    assert answer.code == 0
    assert answer.output == f"model: {MODEL}@9.3 in {tmp_path / 'denoise-deblur-9.3'}\n"


def test_a_training_can_begin_with_a_version_of_the_catalogue(
    small: SmallArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_with = []

    def pretend(output: Path, *, start: ModelFolder, **_given: object) -> ModelFolder:
        begun_with.append(start.card.reference)
        return ModelFolder.open(write_model(output, version="9.3"))

    monkeypatch.setattr("restoration.training.train", pretend)
    small.done("model", "train", "--from", MODEL, "--data", tmp_path, "--output", tmp_path / "denoise-deblur-9.3")
    assert begun_with == [f"{MODEL}@9.0"]
    assert small.run("model", "train", "--from", "sharpen", "--output", tmp_path / "no").code == 2


def test_db_current_check_and_upgrade(small: SmallArchive) -> None:
    small.done("db", "check")
    small.done("db", "upgrade")
    database, software = small.done("db", "current").output.splitlines()

    assert database.split()[-1] == software.split()[-1]


def test_an_output_that_can_not_be_written_is_one_message(restored: SmallArchive) -> None:
    (restored.home / "a file").touch()
    answer = restored.run("report", "--output", restored.home / "a file" / "report.html")

    assert answer.code == 1
    assert answer.errors.startswith("archive: ")


def test_a_terminal_shows_a_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    bar.start(2, "masters")
    bar.advance(1, "1906.1")
    bar.advance(1, "1906.2")
    bar.finish()
    shown = capsys.readouterr()

    assert "2/2" in shown.err
    assert shown.out == ""


def test_the_bar_follows_the_work_where_steps_differ_in_size(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    bar.start(2, "masters", work=1000)
    bar.advance(1, "small", work=10)
    bar.finish()
    assert "  1%" in (shown := capsys.readouterr().err)
    assert "1/2 masters" in shown


def test_no_progress_bar_where_nobody_looks(restored: SmallArchive) -> None:
    assert not sys.stderr.isatty()
    assert restored.run("verify").errors.strip().endswith("0 broken")
