"""What commands say when there is nothing to do, nothing to find, or something that people must put right."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:00", "CPU", "mps", ""])
def test_a_device_that_can_not_exist_is_refused_with_the_valid_names(small: SmallArchive, device: str) -> None:
    for words in (("restore", "--dry-run"), ("restore", "--plan"), ("rerun", "--plan"), ("batch", "resume", "1")):
        answer = small.run(*words, "--device", device)
        assert answer.code == 2
        assert f"{device!r} is not a valid device. Write auto, cpu, cuda for any GPU, or cuda:N" in answer.errors
    assert small.run("reproduce", "--device", device).code == 2


def test_a_batch_is_planned_for_a_device_of_another_machine(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    assert "1 master" in small.done("restore", "--device", "cuda:98", "--dry-run").output
    small.done("restore", "--device", "cuda:98", "--plan")
    assert small.done("batch", "list", "--format", "json").json()[0]["pending"] == 1


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
    assert "nothing was left to cancel: the batch is finished" in restored.done("batch", "cancel", "1").errors
    restored.done("restore", "--strength", "0.5", "--plan")
    restored.done("batch", "cancel", "2")
    assert "with the settings that `archive batch show 2` names" in restored.done("batch", "resume", "2").errors


def test_an_answer_without_anything_in_it_names_the_query(restored: SmallArchive) -> None:
    for arguments in (("list",), ("restore",), ("report", "--output", restored.home / "r.html")):
        answer = restored.done(*arguments, "creator:Nobody")
        assert "matches the query 'creator:Nobody'" in answer.errors + answer.output, arguments
    assert restored.done("list", "creator:Nobody", "--format", "json").json() == []


def test_a_verification_of_nothing_fails_unless_nothing_is_due(restored: SmallArchive) -> None:
    for options in ((), ("--older-than", "30"), ("--limit", "1"), ("--repair",)):
        answer = restored.run("verify", "creator:Nobody", *options)
        assert answer.code == 2
        assert "Nothing was checked: nothing in the catalogue matches the query 'creator:Nobody'" in answer.errors
        assert "0 broken" not in answer.errors
    assert "2 files checked, 0 broken" in restored.done("verify", "accession_number:1906.1").errors
    assert "0 files checked, 0 broken" in restored.done("verify", "accession_number:1906.1", "--older-than", "1").errors


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


def test_a_report_counts_the_items_that_it_leaves_out(restored: SmallArchive) -> None:
    report = ("report", "--output", restored.home / "r.html")
    left_out = restored.done(*report)
    assert "1 item, 1 restored master" in left_out.output
    assert "1 item is left out: access is not open. Add --include-restricted" in left_out.errors
    assert "left out" not in restored.done(*report, "accession_number:1906.1").errors
    asked = restored.done(*report, "--include-restricted")
    assert ("2 items, 2 restored masters" in asked.output, asked.errors) == (True, "")


@pytest.mark.parametrize(
    ("by", "again"),
    [
        ("Ctrl-C", "Press Ctrl-C again"),
        ("SIGTERM", "Send SIGTERM again"),
        ("SIGHUP (closed terminal)", "Send SIGTERM twice"),
    ],
)
def test_the_first_interrupt_is_answered_at_once(capfd: pytest.CaptureFixture[str], by: str, again: str) -> None:
    ProgressBar().interrupted(by)
    assert capfd.readouterr().err == f"\nFinishing in-flight tasks. {again} to stop immediately.\n"


def test_groups_tell_the_exit_codes_of_their_commands(small: SmallArchive) -> None:
    for arguments in (("--help",), ("batch", "--help"), ("model", "--help")):
        assert "\n    3   " in small.done(*arguments).output


def test_an_ingest_groups_its_messages_and_prints_all_on_request(small: SmallArchive, tmp_path: Path) -> None:
    for number in range(5):
        (small.scans / f"broken{number}.tif").write_bytes(b"II*\0")
        (small.scans / f"{number}.txt").write_text("no image")
    (small.scans / ".hidden").touch()
    table = small.scans / "items.csv"
    table.write_text("filename,date,access\ngone.tif,1906,open\n")

    answer = small.run("ingest", small.scans)
    assert "0 added, 7 passed over, 5 refused" in answer.output
    first = ", ".join(str(small.scans / f"{number}.txt") for number in range(3))
    assert f"7 files passed over:\n  5 x not an image\n      {first} and 2 more\n" in answer.errors
    assert f"  {small.scans / '.hidden'}: hidden\n  {table}: a spreadsheet\n" in answer.errors
    assert "5 files refused:\n  5 x " in answer.errors
    assert "broken2.tif and 2 more\n  All of them: --verbose, or --problems FILE.csv\n" in answer.errors
    assert "broken4.tif" not in answer.errors
    assert f"{table} line 2: gone.tif: is not there" in answer.errors
    write_scan(small.scans / "new1.tif", seed=1)
    write_scan(small.scans / "new2.tif", seed=2)
    named = f"2 images without a row:\n  {small.scans / 'new1.tif'}, {small.scans / 'new2.tif'}\n"
    assert named in small.run("ingest", small.scans, "--dry-run").errors

    problems = tmp_path / "problems.csv"
    told = small.run("ingest", small.scans, "--verbose", "--problems", problems).errors
    assert [f"broken{number}.tif: " in told for number in range(5)] == [True] * 5
    with problems.open(encoding="utf-8", newline="") as file:
        kinds = Counter(row["kind"] for row in csv.DictReader(file))
    assert kinds == {"passed over": 7, "refused": 5, "row without a file": 1, "image without a row": 2}
    small.run("ingest", small.scans, "--problems", problems)  # replaces it
    assert len(problems.read_text(encoding="utf-8").splitlines()) == 1 + 7 + 5 + 1 + 2


@pytest.mark.parametrize("content", ["filename,title\na.tif,A street\n", "kind,file,row,column,value,advice,mine\n"])
def test_a_list_of_problems_does_not_replace_another_file(small: SmallArchive, content: str) -> None:
    write_scan(small.scans / "a.tif")
    table = small.scans / "items.csv"
    table.write_text(content)
    refused = small.run("ingest", small.scans, "--problems", table)
    assert (refused.code, table.read_text()) == (1, content)
    assert f"{table} exists and is not an earlier list of problems, so it is not replaced" in refused.errors
    assert small.done("list", "--format", "json").json() == []  # refused before anything was ingested


def test_a_batch_groups_its_failures_and_notes_by_kind(small: SmallArchive) -> None:
    for number in range(6):
        write_scan(small.scans / f"{number}.tif", seed=number)
    small.done("ingest", small.scans)
    for number in range(5):
        (small.scans / f"{number}.tif").unlink()

    answer = small.run("restore")

    assert answer.code == 3
    names = "0 (1), 1 (1), 2 (1) and 2 more"
    assert "5 masters failed:\n  5 x the master " in answer.errors
    assert f"      {names}\n  All of them: `archive batch show 1`\n" in answer.errors
    listed = small.done("batch", "show", "1", "--format", "csv").output.splitlines()
    assert len(listed) == 1 + 5


def test_notes_of_derivatives_can_be_listed(small: SmallArchive) -> None:
    Image.fromarray(np.full((40, 48, 3), 90, np.uint8)).save(small.scans / "a.jpg", comment=b"by hand")
    small.done("ingest", small.scans)

    answer = small.done("restore")

    (row,) = small.done("list", "--rows", "derivatives", "--format", "json").json()
    assert row["notes"]
    assert f"1 derivative with notes:\n  a (1): {row['notes'].split('; ')[0]}\n" in answer.errors


def test_the_reason_of_a_refusal_can_be_listed(small: SmallArchive) -> None:
    write_scan(small.scans / "a.tif")
    (small.scans / "items.csv").write_text("filename,polarity\na.tif,negative\n")
    small.done("ingest", small.scans)
    small.done("restore")
    (row,) = small.done("list", "status:refused", "--rows", "masters", "--format", "json").json()
    assert row["refusal"] == "negative polarity"
