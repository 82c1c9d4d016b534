"""Styles: planned alone or after a restoration, blended, and recorded so that nobody takes them for a restoration."""

from __future__ import annotations

import errno
import math
from typing import Any

import numpy as np
import pytest
import tifffile

from archive import fixity
from archive.batches.planning.planner import Plan, StyleRequest, plan_rerun
from archive.batches.recipe_rows import read_recipe
from archive.batches.running.task_processing import image_description
from archive.catalogue.listings import get_item_details, list_items
from archive.catalogue.schema.tables import Derivative, Recipe
from archive.errors import BatchError, NotFoundError, UsageError
from restoration.image import Picture, Provenance, SrgbConversion
from restoration.image.provenance_metadata import COMPOSITE
from restoration.picture_statistics import STATISTIC_NAMES
from tests.fake_models import FakeStyle, once
from tests.sample_images import grey_profile

# `workshop` is made in conftest.py.

SEPIA = "simulated-sepia"


def _style_request(*styles: tuple[str, float], **options: Any) -> StyleRequest:
    return StyleRequest(styles=styles or ((SEPIA, 1.0),), **options)


def _plan(workshop: Any, *styles: tuple[str, float], model: str = "none", **options: Any) -> Plan:
    how = {name: options.pop(name) for name in ("parameters", "masks") if name in options}
    plan: Plan = workshop.plan(model=model, style_request=_style_request(*styles, **how), **options)
    return plan


def _recipe(workshop: Any, derivative: Derivative) -> Any:
    with workshop.catalogue.reading() as session:
        return read_recipe(session.get_one(Recipe, derivative.recipe_id))


def _found(workshop: Any, query: str) -> list[str]:
    with workshop.catalogue.reading() as session:
        return [item["accession_number"] for item in list_items(session, query)]


def _shown(workshop: Any, accession_number: str = "A") -> Any:
    with workshop.catalogue.reading() as session:
        return get_item_details(workshop.catalogue, session, accession_number)


def _pixels(workshop: Any, derivative: Derivative) -> Any:
    return tifffile.imread(workshop.catalogue.settings.home / derivative.path)


def test_a_look_after_a_restoration_is_a_derivative_of_its_own_kind(workshop: Any) -> None:
    workshop.model()
    workshop.style()
    workshop.master("A")
    workshop.master("B")
    workshop.run(workshop.planned())
    plan = _plan(workshop, model="mend", query="accession_number:A")
    assert list(plan.recipes) == [
        "mend 1.0 (strength 1), then a simulated look: "
        "simulated-sepia 1.0 (brightness 0, strength 1, temperature 0, tint 0, weight 1)"
    ]
    assert workshop.run(plan.batch_id).done == 1
    restored, styled, _ = workshop.derivatives()
    recipe = _recipe(workshop, styled)
    assert [stage.task for stage in recipe.stages] == ["restoration", "style"]
    assert (restored.kind, styled.kind) == ("restored", "styled")
    assert styled.path == f"derivatives/A/A_001_styled_{recipe.sha256[:8]}.tif"
    master = workshop.masters()[0]
    assert (master.current_restored_id, master.current_styled_id) == (restored.id, styled.id)
    assert [record["model"] for record in styled.stage_records] == ["mend", SEPIA]
    assert (_found(workshop, "status:styled"), _found(workshop, f"style:{SEPIA}")) == (["A"], ["A"])
    assert _found(workshop, "status:restored") == ["A", "B"]
    assert workshop.files() == sorted(workshop.catalogue.settings.home / each.path for each in workshop.derivatives())


def test_a_look_alone_restores_nothing(workshop: Any) -> None:
    workshop.style()
    workshop.master("A")
    workshop.run(_plan(workshop).batch_id)
    assert (_found(workshop, "status:unrestored"), _found(workshop, "status:styled")) == (["A"], ["A"])
    assert (_plan(workshop).tasks, _plan(workshop).already_made) == (0, 1)


def test_a_grey_master_becomes_rgb_under_a_style_that_has_colour(workshop: Any) -> None:
    workshop.style(palette="toned")
    workshop.style("simulated-silver", palette="neutral")
    workshop.master("A")
    workshop.run(_plan(workshop).batch_id)
    workshop.run(_plan(workshop, ("simulated-silver", 1.0)).batch_id)
    toned, silver = workshop.derivatives()
    assert (_pixels(workshop, toned).shape, _pixels(workshop, silver).shape) == ((32, 40, 3), (32, 40))
    assert any("RGB" in note for note in toned.notes)
    with Picture.open(workshop.catalogue.settings.home / toned.path) as picture:
        assert "sRGB" in picture.info.colour_space
    assert silver.notes == []


def test_disk_space_is_checked_for_a_styled_derivative(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.style(palette="neutral")
    workshop.master("A", size=(1000, 1000))
    pixels = 1000 * 1000 * 2
    (grey,) = _plan(workshop, dry_run=True).volumes
    (toned,) = _plan(workshop, parameters={"temperature": 0.5}, dry_run=True).volumes
    assert toned.needed_bytes - grey.needed_bytes == 2 * pixels
    batch_id = _plan(workshop, parameters={"temperature": 0.5}).batch_id
    free = toned.needed_bytes - 1
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    with pytest.raises(BatchError, match="Not enough disk space"):
        workshop.run(batch_id)


def test_disk_space_is_checked_for_the_input_of_a_style(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.model()
    workshop.style(palette="neutral")
    for number in range(5):  # of which at most three are in flight
        workshop.master(f"A{number}", size=(1000, 1000 if number else 1200))
    largest = 1200 * 1000 * 2
    (alone,) = _plan(workshop, dry_run=True).volumes
    (after,) = _plan(workshop, model="mend", dry_run=True).volumes
    assert 3 * largest <= after.needed_bytes - alone.needed_bytes < 3.2 * largest
    batch_id = _plan(workshop, model="mend").batch_id
    free = after.needed_bytes - 1
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    with pytest.raises(BatchError, match="Not enough disk space"):
        workshop.run(batch_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "none"}, "Nothing to do with"),
        (
            {"model": "none", "style_request": _style_request(), "parameters": {"strength": 0.5}},
            "needs a restoration model",
        ),
        ({"model": SEPIA}, "is a style. Use it with --style"),
        ({"style_request": _style_request(("mend", 1.0))}, "is not a style. Use it with --model"),
        ({"style_request": _style_request(parameters={"grain": 1.0})}, "no parameter grain; it has strength"),
        ({"style_request": _style_request(parameters={"tint": 1.5})}, "tint must lie between -1 and 1"),
        ({"style_request": _style_request((SEPIA, 0.5))}, "Use --style-strength for a weaker"),
        ({"style_request": _style_request((SEPIA, 0.5), (f"{SEPIA}@1.0", 0.5))}, "named twice"),
        ({"style_request": _style_request((SEPIA, 1.0), ("simulated-silver", 0.0))}, "must be above 0"),
    ],
)
def test_a_look_that_makes_no_sense_is_wrong_usage(workshop: Any, options: dict[str, Any], message: str) -> None:
    workshop.model()
    workshop.style()
    workshop.style("simulated-silver")
    with pytest.raises(UsageError, match=message):
        workshop.plan(**options)


def test_an_unknown_style_is_not_found(workshop: Any) -> None:
    with pytest.raises(NotFoundError):
        _plan(workshop, ("simulated-oil", 1.0))


def test_the_same_blend_is_the_same_recipe_however_it_is_asked_for(workshop: Any) -> None:
    workshop.style()
    workshop.style("simulated-blue")
    workshop.master("A")
    plan = _plan(workshop, (SEPIA, 0.6), ("simulated-blue", 0.4), parameters={"strength": 0.5})
    workshop.run(plan.batch_id)
    (derivative,) = workshop.derivatives()
    assert [(stage.model, stage.parameters["weight"]) for stage in _recipe(workshop, derivative).stages] == [
        ("simulated-blue", 0.4),
        (SEPIA, 0.6),
    ]
    again = _plan(workshop, ("simulated-blue", 2.0), (f"{SEPIA}@1.0", 3.0), parameters={"strength": 0.5})
    assert (again.tasks, again.already_made) == (0, 1)
    assert "blended with simulated-sepia" in next(iter(plan.recipes))


def test_an_unsuited_master_is_left_out_by_whichever_stage_it_is_unsuited_to(workshop: Any) -> None:
    workshop.model(unsuited=["halftone"])
    workshop.style()
    workshop.master("A", process="halftone")
    workshop.master("B", size=(12, 12))
    plan = _plan(workshop, model="mend", dry_run=True)
    assert {reason: each.masters for reason, each in plan.exclusions.items()} == {
        "process halftone": 1,
        "smaller than 16 px": 1,
    }
    assert _plan(workshop, model="mend", include_unsuited=True, dry_run=True).tasks == 2


def _value(scores: Any, metric: str, compared_with: str, stage: int | None = None) -> float:
    (found,) = [
        score["value"]
        for score in scores
        if (score["metric"], score["image"], score["compared_with"], score["stage"])
        == (metric, "derivative", compared_with, stage)
    ]
    return float(found)


def test_each_stage_is_scored_against_what_it_was_given_and_the_master(workshop: Any) -> None:
    workshop.model()
    workshop.style(palette="neutral")
    workshop.run(_prepared_with_look(workshop))
    (derivative,) = _shown(workshop)["derivatives"]
    scores = derivative["quality"]
    with Picture.open(workshop.path_of(1)) as master:
        given = master.read(0, 0, 40, 32)
    mended = given * 0.5 + 0.25
    looked = mended * 0.75

    def psnr(one: Any, other: Any) -> float:
        return -10 * math.log10(float(np.mean((one - other) ** 2)))

    assert _value(scores, "psnr", "stage_input", 0) == pytest.approx(psnr(mended, given), abs=1e-3)
    assert _value(scores, "psnr", "source", 0) == pytest.approx(psnr(mended, given), abs=1e-3)
    assert _value(scores, "psnr", "stage_input", 1) == pytest.approx(psnr(looked, mended), abs=1e-3)
    assert _value(scores, "psnr", "source", 1) == pytest.approx(psnr(looked, given), abs=1e-3)
    assert _value(scores, "psnr", "source") == _value(scores, "psnr", "source", 1)
    # Both stages only shift tones.
    assert _value(scores, "content_ssim", "source") == pytest.approx(1, abs=0.01)
    assert workshop.masters()[0].psnr_source is None  # a styled derivative is not a restoration


def test_a_grey_master_with_a_profile_is_scored_and_recorded_in_the_working_spaces(workshop: Any) -> None:
    workshop.model()
    workshop.style(palette="toned")
    workshop.run(_prepared_with_look(workshop, icc_profile=grey_profile(1.0)))
    (derivative,) = workshop.derivatives()
    spaces = ["encoded grey, made for a test", "encoded RGB, sRGB"]
    assert derivative.environment["provenance"]["values"] == spaces
    assert [stage["values"] for stage in derivative.stage_records] == spaces
    with Picture.open(workshop.path_of(1)) as master:
        conversion = SrgbConversion.of(master.info)
        given = master.read(0, 0, 40, 32)
    assert conversion is not None
    mended, seen = conversion.to_srgb(given * 0.5 + 0.25), conversion.to_srgb(given)
    (shown,) = _shown(workshop)["derivatives"]
    psnr = -10 * math.log10(float(np.mean((mended - seen) ** 2)))
    assert _value(shown["quality"], "psnr", "source", 0) == pytest.approx(psnr, abs=0.01)


def _prepared_with_look(workshop: Any, **master: Any) -> int:
    workshop.master("A", **master)
    batch_id = _plan(workshop, model="mend").batch_id
    assert batch_id is not None
    return batch_id


def test_the_style_distance_is_scored_if_the_version_has_statistics(workshop: Any) -> None:
    workshop.style(statistics=dict.fromkeys(STATISTIC_NAMES, 0.0), spreads=dict.fromkeys(STATISTIC_NAMES, 1.0))
    workshop.style("simulated-blue")
    workshop.master("A")
    workshop.run(_plan(workshop, (SEPIA, 0.5), ("simulated-blue", 0.5)).batch_id)
    (derivative,) = _shown(workshop)["derivatives"]
    of_style = [score for score in derivative["quality"] if score["compared_with"] == "style"]
    assert [(score["metric"], score["stage"]) for score in of_style] == [
        ("style_colour_distance", 1),
        ("style_texture_distance", 1),
    ]
    assert all(score["value"] > 0 and SEPIA in score["implementation"] for score in of_style)


def test_file_and_history_say_that_a_look_was_simulated(workshop: Any) -> None:
    workshop.model()
    workshop.style()
    workshop.run(_prepared_with_look(workshop))
    (derivative,) = workshop.derivatives()
    with tifffile.TiffFile(workshop.catalogue.settings.home / derivative.path) as file:
        xmp = bytes(file.pages.first.tags[700].value).decode()
    assert COMPOSITE in xmp
    assert "mend; simulated-sepia" in xmp
    provenance = Provenance.from_record(
        derivative.environment["provenance"],
        master_sha256=derivative.master_sha256,
        recipe=_recipe(workshop, derivative),
    )
    assert image_description(provenance).startswith("Derivative with a simulated look (simulated-sepia) of the master")
    (event,) = [event for event in _shown(workshop)["events"] if event["type"] == "derivation"]
    assert "mend@1.0, simulated-sepia@1.0, which simulates a look" in event["detail"]


def test_rerun_leaves_looks_alone(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.style()
    workshop.run(_prepared_with_look(workshop))
    workshop.model("2.0")
    workshop.approve("2.0")
    assert plan_rerun(workshop.catalogue).tasks == 0
    assert plan_rerun(workshop.catalogue, "accession_number:A").tasks == 0


def test_a_batch_of_looks_that_stops_leaves_nothing_and_is_gone_on_with(workshop: Any) -> None:
    workshop.model()
    workshop.style()
    batch_id = _prepared_with_look(workshop)

    def full() -> None:
        raise OSError(errno.ENOSPC, "no room")

    with pytest.raises(BatchError):
        workshop.run(batch_id, style=FakeStyle(once(full)))
    assert workshop.files() == []
    # As a process that was killed leaves it.
    final = workshop.catalogue.settings.home / "derivatives" / "A"
    (task,) = workshop.tasks(batch_id)
    recipe = _recipe_of_task(workshop, task.recipe_id)
    final.mkdir(parents=True, exist_ok=True)
    for name in ("", "content."):
        (final / f".A_001_styled_{recipe.sha256[:8]}.tif.{name}{'0' * 32}.partial").write_bytes(b"half")
    assert workshop.run(batch_id).done == 1
    assert [path.suffix for path in workshop.files()] == [".tif"]
    assert [each.problem for each in fixity.verify_files(workshop.catalogue).broken] == []


def _recipe_of_task(workshop: Any, recipe_id: int) -> Any:
    with workshop.catalogue.reading() as session:
        return read_recipe(session.get_one(Recipe, recipe_id))
