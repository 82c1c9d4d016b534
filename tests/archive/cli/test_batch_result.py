"""What is said at the end of a batch about its derivatives."""

from __future__ import annotations

import re

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Item, Master, QualityScore
from archive.settings import load_settings
from tests.small_archive import SmallArchive, write_scan


def test_smoothed_derivatives_are_named_first_and_not_as_hardly_changed(small: SmallArchive) -> None:
    for number in (1, 2):
        write_scan(small.scans / f"N{number}.tif", seed=number)
    small.done("ingest", small.scans)
    small.done("restore")
    with Catalogue.open(load_settings(small.home)).session() as session:
        for name, value in (("changed_share", 0.0), ("smoothed_share", 0.1)):
            of_n1 = (
                select(Derivative.id)
                .join(Master, Master.id == Derivative.master_id)
                .join(Item)
                .where(Item.accession_number == "N1")
            )
            score = session.scalars(
                select(QualityScore).where(QualityScore.metric == name, QualityScore.derivative_id.in_(of_n1))
            ).one()
            score.value = value
        for score in session.scalars(select(QualityScore).where(QualityScore.metric == "changed_share")):
            score.value = 0.0

    said = small.done("batch", "resume", "1").errors

    assert "smoothed: 1 of 2 derivatives" in said
    assert said.index("smoothed: 1") < said.index("hardly changed: 1 of 2")
    names = [
        [
            row["accession_number"]
            for row in small.done("list", query, "--rows", "derivatives", "--format", "json").json()
        ]
        for query in re.findall(r"`archive list '(.*)' --rows derivatives`", said)
    ]
    assert names[:2] == [["N1"], ["N2"]]
