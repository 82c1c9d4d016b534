"""Two versions that restored real files, compared by the scores that were recorded of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from archive.batches.planning.planner import plan_rerun
from archive.catalogue.listings import compare_versions
from archive.errors import NotFoundError
from restoration.pipeline.stages import Stage

Region = NDArray[np.float32]


class _Scaled:
    """A stage that multiplies all values."""

    margin_px = 0
    multiple_px = 1

    def __init__(self, factor: float) -> None:
        self.factor = np.float32(factor)

    def __call__(self, region: Region) -> Region:
        return region * self.factor


def _rerun(workshop: Any, version: str, stage: Stage) -> None:
    batch_id = plan_rerun(workshop.catalogue, model=f"mend@{version}").batch_id
    assert batch_id is not None
    assert workshop.run(batch_id, stage).failed == 0


def _compared(workshop: Any, query: str | None = None) -> dict[str, Any]:
    with workshop.catalogue.reading() as session:
        return compare_versions(session, "mend", "mend@2.0", query)


def test_a_better_version_is_recognised_by_its_references(workshop: Any) -> None:
    workshop.model()
    for name in ("A", "B", "C"):
        workshop.master(name, with_reference=name != "C")
    workshop.run(workshop.planned(), _Scaled(0.25))
    workshop.model("2.0")
    with pytest.raises(NotFoundError, match=r"archive rerun --model mend@2.0"):
        _compared(workshop)
    # The references are half the master and something: half is nearer to them than a quarter.
    _rerun(workshop, "2.0", _Scaled(0.5))
    found = _compared(workshop)
    scores = {(score["metric"], score["compared_with"]): score for score in found["scores"]}
    psnr = scores["psnr", "reference"]

    assert [score["measure_of"] for score in found["scores"]][:3] == ["quality", "quality", "change"]
    assert (found["masters"], psnr["n"], scores["psnr", "source"]["n"]) == (3, 2, 3)
    assert (psnr["share_better"], psnr["share_worse"]) == (1.0, 0.0)
    worst = psnr["worst"][0]
    path = workshop.path_of({"A": 1, "B": 2}[worst["accession_number"]])
    master, reference = (tifffile.imread(each) / 65535 for each in (path, path.with_suffix(".reference.tif")))
    for side, factor in (("a", 0.25), ("b", 0.5)):
        expected = -10 * np.log10(np.mean((master * factor - reference) ** 2))
        assert worst[side] == pytest.approx(expected, abs=1e-3)
    assert worst["difference"] == min(each["difference"] for each in psnr["worst"])


def test_a_version_that_changes_nothing_has_no_finite_psnr_to_compare(workshop: Any) -> None:
    workshop.model()
    for name in ("A", "B"):
        workshop.master(name)
    workshop.run(workshop.planned(), _Scaled(0.5))
    workshop.model("2.0")
    _rerun(workshop, "2.0", _Scaled(1.0))
    scores = {(score["metric"], score["compared_with"]): score for score in _compared(workshop)["scores"]}

    assert (scores["psnr", "source"]["n"], scores["psnr", "source"]["left_out"]) == (0, 2)
    assert scores["ssim", "source"]["n"] == 2
    assert scores["ssim", "source"]["mean_b"] == pytest.approx(1.0)
    assert scores["changed_share", "source"]["mean_b"] == 0.0


def test_a_reference_that_was_changed_in_between_is_not_compared_across(workshop: Any) -> None:
    workshop.model()
    changed = workshop.master("A", with_reference=True)
    workshop.master("B", with_reference=True)
    workshop.run(workshop.planned(), _Scaled(0.25))
    path = workshop.path_of(changed).with_suffix(".reference.tif")
    tifffile.imwrite(path, tifffile.imread(path) // 2, photometric="minisblack")
    workshop.model("2.0")
    _rerun(workshop, "2.0", _Scaled(0.5))
    (psnr,) = [s for s in _compared(workshop)["scores"] if (s["metric"], s["measure_of"]) == ("psnr", "quality")]

    assert (psnr["n"], psnr["left_out"]) == (1, 1)
    assert [each["accession_number"] for each in psnr["worst"]] == ["B"]


def test_a_query_narrows(workshop: Any) -> None:
    workshop.model()
    for name in ("A", "B"):
        workshop.master(name)
    workshop.run(workshop.planned(), _Scaled(0.25))
    workshop.model("2.0")
    _rerun(workshop, "2.0", _Scaled(0.5))

    assert _compared(workshop, "accession_number:B")["masters"] == 1
    with pytest.raises(NotFoundError, match="neither"):
        _compared(workshop, "accession_number:Z")
