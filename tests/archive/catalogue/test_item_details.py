"""``archive show``: an item with its masters, derivatives and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.events import person_agent, record_event
from archive.catalogue.listings import (
    get_item_details,
)
from archive.catalogue.schema.tables import Derivative, Master, ModelVersion, QualityScore
from archive.catalogue.schema.vocabularies import (
    ComparedWith,
    Decision,
    EventType,
    Outcome,
    ScoredImage,
    View,
)
from archive.errors import NotFoundError
from tests.catalogue_rows import (
    AT,
    add_derivative,
    add_item,
    add_master,
    add_review,
    add_version,
)


@pytest.fixture
def described(catalogue: Catalogue) -> Catalogue:
    """Item A with two masters, a reviewed derivative, a score and events; item B with an event of its own."""
    with catalogue.session() as session:
        item = add_item(session, "A", masters=0, title="Mother", date="1936", extra={"box": "12"})
        area = {"area_x": 1, "area_y": 2, "area_width": 30, "area_height": 40}
        master = add_master(session, item, path="masters/a.tif", ppi=600.0, icc_profile="Adobe RGB", **area)
        add_master(session, item, view=View.VERSO)
        derivative = add_derivative(session, master, add_version(session))
        identical = QualityScore(
            metric="psnr",
            image=ScoredImage.DERIVATIVE,
            compared_with=ComparedWith.SOURCE,
            colour_space="encoded grey",
            data_range=1.0,
            implementation="by hand",
            detail="identical",
        )
        derivative.scores.append(identical)
        add_review(session, derivative, Decision.ACCEPTED, reviewer="R. Curator")
        record_event(session, EventType.INGESTION, at=AT, item=item)
        record_event(session, EventType.FIXITY_CHECK, at=AT, master=master, outcome=Outcome.FAILURE, detail="missing")
        record_event(session, EventType.REVIEW, at=AT, derivative=derivative, agent=person_agent(session, "R. Curator"))
        record_event(session, EventType.INGESTION, at=AT, item=add_item(session, "B"))
    return catalogue


def _details(catalogue: Catalogue, accession_number: str) -> dict[str, Any]:
    """The item's details after a round trip through JSON."""
    with catalogue.reading() as session:
        details: dict[str, Any] = json.loads(json.dumps(get_item_details(catalogue, session, accession_number)))
    return details


def test_item_details_describe_the_item_and_its_masters(described: Catalogue) -> None:
    shown = _details(described, "A")
    with described.reading() as session:
        sha256 = session.scalars(select(Master.sha256).order_by(Master.id)).first()

    assert list(shown)[:5] == ["id", "accession_number", "title", "creator", "date"]
    assert list(shown)[-4:] == ["status", "masters", "derivatives", "events"]
    assert (shown["title"], shown["access"], shown["status"]) == ("Mother", "open", "restored")
    assert shown["masters"][0] == shown["masters"][0] | {
        "sequence": 1,
        "view": "recto",
        "path": str(described.settings.home / "masters" / "a.tif"),
        "page": 1,
        "sha256": sha256,
        "size": 1000,
        "format": "TIFF",
        "width": 640,
        "height": 480,
        "bits_per_sample": 8,
        "samples_per_pixel": 1,
        "ppi": 600.0,
        "icc_profile": "Adobe RGB",
        "picture_area": {"x": 1, "y": 2, "width": 30, "height": 40},
        "captured_at": None,
        "captured_by": None,
        "file": None,
    }
    assert (shown["masters"][1]["view"], shown["masters"][1]["picture_area"]) == ("verso", None)


def test_item_details_describe_each_derivative_with_recipe_review_and_scores(described: Catalogue) -> None:
    with described.reading() as session:
        derivative = session.scalars(select(Derivative)).one()
        columns = {name: getattr(derivative, name) for name in ("id", "sha256", "pixel_sha256")}
        path, batch, recipe_sha256 = derivative.path, derivative.batch_id, derivative.recipe.sha256
        weights_sha256 = session.scalars(select(ModelVersion.weights_sha256)).one()

    assert _details(described, "A")["derivatives"] == [
        {
            **columns,
            "stage_records": [],
            "notes": [],
            "withdrawn": None,
            "master": 1,
            "kind": "restored",
            "path": str(described.settings.home / path),
            "created_at": "2026-05-04T12:00:00+00:00",
            "current": True,
            "file": None,
            "trial": False,
            "batch": batch,
            "operator": "An Operator",
            "comments": [],
            "review": {
                "decision": "accepted",
                "reason": None,
                "reviewer": "R. Curator",
                "at": "2026-05-04T12:00:00+00:00",
            },
            "recipe": {
                "sha256": recipe_sha256,
                "pipeline_version": 1,
                "stages": [
                    {
                        "task": "restoration",
                        "model": "denoise-deblur",
                        "version": "1.0",
                        "weights_sha256": weights_sha256,
                        "parameters": {"strength": 1.0},
                    }
                ],
            },
            "environment": {
                "software_version": "0.1.0",
                "torch_version": None,
                "device": "cpu",
                "instruction_set": None,
                "precision": None,
                "tile_size": None,
                "threads": None,
                "seed": 0,
            },
            "quality": [
                {
                    "metric": "psnr",
                    "value": None,
                    "image": "derivative",
                    "stage": None,
                    "compared_with": "source",
                    "colour_space": "encoded grey",
                    "data_range": 1.0,
                    "implementation": "by hand",
                    "detail": "identical",
                }
            ],
        }
    ]


def test_item_details_contain_the_events_of_this_item_only(described: Catalogue) -> None:
    events = _details(described, "A")["events"]

    assert [(each["type"], each["outcome"], each["detail"]) for each in events] == [
        ("ingestion", "success", None),
        ("fixity check", "failure", "missing"),
        ("review", "success", None),
    ]
    assert events[0]["agent"]["type"] == "software"
    assert events[2]["agent"] == {"type": "person", "name": "R. Curator", "version": ""}


def test_showing_an_unknown_item_says_what_to_do(catalogue: Catalogue) -> None:
    with catalogue.reading() as session, pytest.raises(NotFoundError, match="archive list"):
        get_item_details(catalogue, session, "A")
