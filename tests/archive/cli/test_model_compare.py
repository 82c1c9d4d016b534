"""``archive model compare``: what it prints, and the exit code it ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_archive import MODEL, SmallArchive, write_model, write_scan


@pytest.fixture
def both(small: SmallArchive, tmp_path: Path) -> SmallArchive:
    """Two items, the first with a clean reference, restored by the versions 9.0 and 9.1."""
    for seed, name in enumerate(("a", "b"), start=1):
        write_scan(small.scans / f"{name}.tif", seed=seed)
    write_scan(small.scans / "clean" / "a.tif", seed=3)
    (small.scans / "items.csv").write_text("filename,reference\na.tif,clean/a.tif\nb.tif,\n", encoding="utf-8")
    small.done("ingest", small.scans)
    small.done("restore")
    small.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))
    small.done("rerun", "--model", f"{MODEL}@9.1")
    return small


def test_the_table_distinguishes_quality_from_change_and_names_the_worst(both: SmallArchive) -> None:
    text = both.done("model", "compare", MODEL, f"{MODEL}@9.1").output
    quality, change, alone = (
        text.index(word) for word in ("Quality, ", "Change, ", "The derivative without a comparison")
    )

    assert text.startswith(f"A: {MODEL}@9.0, which restored 2 masters\nB: {MODEL}@9.1, which restored 2 masters\n")
    assert "restored by both: 2 masters\n" in text
    assert f"2 by {MODEL} 9.0 (strength 1) and by {MODEL} 9.1 (strength 1)" in text
    assert quality < change < alone
    assert "B better" in text[quality:change]
    assert "B better" not in text[change:]
    assert "not how good it is" in text[change:alone]
    assert "Where B does worst" in text[quality:change]
    assert "Where B is furthest from A" in text[change:]


def test_the_json_is_one_object_of_the_same_masters(both: SmallArchive) -> None:
    found = both.done("model", "compare", MODEL, f"{MODEL}@9.1", "accession_number:a", "--format", "json").json()

    assert (found["masters"], found["query"]) == (1, "accession_number:a")
    psnr = found["scores"][0]
    shown = {
        derivative["recipe"]["stages"][0]["version"]: score["value"]
        for derivative in both.show("a")["derivatives"]
        for score in derivative["quality"]
        if (score["metric"], score["image"], score["compared_with"]) == ("psnr", "derivative", "reference")
    }
    assert psnr["worst"][0]["a"] == shown["9.0"]
    assert psnr["worst"][0]["b"] == shown["9.1"]
    assert psnr["mean"] == pytest.approx(shown["9.1"] - shown["9.0"])


def test_where_no_reference_is_known_it_is_said_that_no_score_decides(both: SmallArchive) -> None:
    text = both.done("model", "compare", MODEL, f"{MODEL}@9.1", "accession_number:b").output

    assert "Quality, " not in text
    assert "no score shows which version is better" in text
    assert "among the masters that match the query 'accession_number:b': 1 master" in text


def test_what_identical_images_leave_out_is_counted(both: SmallArchive) -> None:
    both.done("restore", "accession_number:b", "--strength", "0", "--model", f"{MODEL}@9.1")
    text = both.done("model", "compare", MODEL, f"{MODEL}@9.1").output

    assert "psnr dB: 1 master left out" in text


def test_what_can_not_be_compared_ends_with_2_and_names_the_command(small: SmallArchive, tmp_path: Path) -> None:
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    small.done("restore")
    small.done("model", "add", write_model(tmp_path / "newer", version="9.1", seed=1))

    for references, said in (
        ((MODEL, f"{MODEL}@9.1"), f"`archive rerun --model {MODEL}@9.1`"),
        ((MODEL, f"{MODEL}@9.0"), "same version"),
        ((MODEL, f"{MODEL}@8.0"), "Known versions"),
    ):
        answer = small.run("model", "compare", *references)
        assert answer.code == 2
        assert said in answer.errors
        assert not answer.output
