"""What commands say when there is nothing to do, nothing to find, or something that people must put right."""

from __future__ import annotations

import hashlib

import pytest
import torch

from archive.cli.progress_bar import ProgressBar
from tests.small_archive import SmallArchive, change_one_byte, write_scan


def test_sums_are_checked_and_what_differs_or_is_missing_ends_with_exit_code_3(small: SmallArchive) -> None:
    for number in (1, 2, 3):
        write_scan(small.scans / f"{number}.tif", seed=number)
    sums = [f"{hashlib.md5((small.scans / f'{n}.tif').read_bytes()).hexdigest()}  {n}.tif" for n in (1, 2)]  # noqa: S324
    manifest = small.scans / "MD5SUMS"
    manifest.write_text("\n".join([*sums, f"{'0' * 32}  gone.tif"]) + "\n")
    change_one_byte(small.scans / "2.tif")

    arguments = ("ingest", small.scans, "--manifest", manifest)
    dry = small.run(*arguments, "--dry-run")
    assert dry.code == 3
    assert "2.tif: refused: its MD5 is" in dry.output
    answer = small.run(*arguments)
    assert answer.code == 3
    assert "2 added, 1 passed over, 1 refused, 1 as in the manifest" in answer.output
    assert "1 image not in the manifest:" in answer.errors
    assert "1 file of the manifest not found:" in answer.errors
    (check,) = [event for event in small.show("1")["events"] if event["type"] == "fixity check"]
    assert check["detail"].endswith(f"{sums[0].split()[0]}, as in MD5SUMS line 1")

    manifest.write_text("no sum\n")
    refused = small.run(*arguments)
    assert (refused.code, "MD5SUMS line 1" in refused.errors) == (1, True)


def test_masters_that_are_held_already_are_not_called_duplicates(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    assert "0 added, 1 already in the catalogue" in small.done("ingest", small.scans).output


def test_a_device_that_is_not_there_leaves_no_batch(small: SmallArchive) -> None:
    if torch.cuda.device_count() > 98:
        pytest.skip("there are too many CUDA devices here")
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    answer = small.run("restore", "--device", "cuda:98")
    assert answer.code == 1
    assert "nothing was planned: the device cuda:98 is not there" in answer.errors
    assert small.done("batch", "list", "--format", "json").json() == []


def test_a_batch_whose_model_is_broken_says_how_to_go_on_or_give_up(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    (weights,) = small.home.glob("models/*/9.0/weights.safetensors")
    change_one_byte(weights)
    answer = small.run("restore")
    assert answer.code == 1
    assert "`archive batch resume 1` continues it" in answer.errors
    assert "`archive batch cancel 1` cancels it" in answer.errors


def test_a_finished_batch_says_so(restored: SmallArchive) -> None:
    assert "batch 1 was already finished" in restored.done("batch", "resume", "1").errors
    assert "nothing was left to cancel" in restored.done("batch", "cancel", "1").errors
    restored.done("restore", "--strength", "0.5", "--plan")
    restored.done("batch", "cancel", "2")
    assert "`archive restore` plans its masters again" in restored.done("batch", "resume", "2").errors


def test_an_answer_without_anything_in_it_names_the_query(restored: SmallArchive) -> None:
    for arguments in (("list",), ("restore",), ("verify",), ("report", "--output", restored.home / "r.html")):
        answer = restored.done(*arguments, "creator:Nobody")
        assert "matches the query 'creator:Nobody'" in answer.errors + answer.output, arguments
    assert restored.done("list", "creator:Nobody", "--format", "json").json() == []


def test_an_empty_catalogue_says_how_to_fill_it(small: SmallArchive) -> None:
    assert "`archive ingest`" in small.done("list").errors


def test_left_out_masters_are_named_with_the_option_that_takes_them_in(small: SmallArchive) -> None:
    rows = [f"{number}.tif,{number},negative," for number in range(5)]
    for number in range(6):
        write_scan(small.scans / f"{number}.tif", seed=number)
    (small.scans / "items.csv").write_text(
        "\n".join(["filename,accession_number,polarity,view", *rows, "5.tif,5,,verso"]) + "\n"
    )
    small.done("ingest", small.scans)
    told = small.done("restore", "--dry-run").output
    assert "5  negative polarity: 0 (1), 1 (1), 2 (1) and 2 more\n       Use `--unsuited` to include them" in told
    assert "1  view verso: 5 (1)\n       Use `--view verso` to include it" in told


def test_a_report_counts_items_and_masters(restored: SmallArchive) -> None:
    write_scan(restored.scans / "detail.tif", seed=3)
    (restored.scans / "items.csv").write_text("filename,accession_number,view\ndetail.tif,1906.1,detail\n")
    restored.done("ingest", restored.scans)
    restored.done("restore")
    answer = restored.done("report", "--output", restored.home / "r.html")
    assert "1 item, 2 restored masters" in answer.output
    assert "1 item, 2 masters" in (restored.home / "r.html").read_text(encoding="utf-8")


def test_the_first_ctrl_c_is_answered_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    ProgressBar().interrupted()
    assert "Press Ctrl-C again to stop immediately" in capfd.readouterr().err


def test_groups_tell_the_exit_codes_of_their_commands(small: SmallArchive) -> None:
    for arguments in (("--help",), ("batch", "--help"), ("model", "--help")):
        assert "\n    3   " in small.done(*arguments).output
