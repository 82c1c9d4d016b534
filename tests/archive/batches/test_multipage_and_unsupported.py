"""Batches over files of several pictures, and over kinds that can't be restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
from sqlalchemy import select

from archive.catalogue.listings import list_items
from archive.catalogue.schema.tables import Master
from archive.ingest import ingest
from tests.sample_images import REFUSED, pixels, tiff


@pytest.fixture
def stocked(workshop: Any) -> Any:
    """A workshop with a file of two pictures and one of inks."""
    workshop.model()
    workshop.scans.mkdir()
    (workshop.scans / "pages.tif").write_bytes(tiff(pixels(1), pixels(1, 16)))
    (workshop.scans / "inks.tif").write_bytes(REFUSED["TIFF CMYK"]())
    ingest(workshop.catalogue, [workshop.scans])
    return workshop


def test_each_picture_of_a_file_gets_its_own_derivative(stocked: Any) -> None:
    result = stocked.run(stocked.planned())
    assert (result.done, result.failed) == (2, 0)
    for derivative, source in zip(stocked.derivatives(), (pixels(1), pixels(1, 16)), strict=True):
        made = tifffile.imread(stocked.catalogue.settings.home / derivative.path)
        assert made.dtype == source.dtype
        white = np.iinfo(source.dtype).max
        assert np.abs(made - (source * 0.5 + 0.25 * white)).max() <= 0.5


@pytest.mark.parametrize("include_unsuited", [False, True])
def test_a_kind_that_cannot_be_carried_is_left_out_of_every_plan(stocked: Any, include_unsuited: bool) -> None:
    plan = stocked.plan(include_unsuited=include_unsuited)
    assert plan.tasks == 2
    ((reason, of_reason),) = plan.exclusions.items()
    assert "CMYK" in reason
    assert (of_reason.masters, of_reason.option) == (1, None)
    with stocked.catalogue.reading() as session:
        assert [item["accession_number"] for item in list_items(session, "status:refused")] == ["inks"]
        assert session.scalars(select(Master.refusal).where(Master.refusal.is_not(None))).all() == [reason]
