"""Samples: a spread of what a plan would take, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import update

from archive.batches.planning.candidates import Candidate
from archive.batches.planning.planner import Plan
from archive.batches.planning.sampling import Sample, describe_traits, draw_sample
from archive.catalogue.schema.tables import Item
from archive.catalogue.schema.vocabularies import View


def _candidates(count: int, **facts: Any) -> list[Candidate]:
    """Masters that differ in their number only, in the order of lists."""
    known: dict[str, Any] = {
        "sequence": 1,
        "view": View.RECTO,
        "width": 6000,
        "height": 4000,
        "unsupported": None,
        "file_fault": None,
        "samples_per_pixel": 1,
        "bits_per_sample": 16,
        "refusal": None,
        "polarity": None,
        "process": None,
        "collection": None,
        "date_earliest": None,
    }
    return [
        Candidate(**(known | {"id": number, "accession_number": f"N{number:04d}"} | facts)) for number in range(count)
    ]


def _sampled(plan: Plan) -> list[str]:
    assert plan.drawn_sample is not None
    return [master.accession_number for master in plan.drawn_sample.masters]


@pytest.fixture
def workshop_of_twelve(workshop: Any) -> Any:
    workshop.model(unsuited=["halftone"])
    for number in range(12):
        workshop.master(f"N{number:02d}", process="halftone" if number == 5 else None)
    return workshop


def test_masters_of_which_nothing_is_known_are_spread_over_the_list() -> None:
    drawn = draw_sample(_candidates(1000), Sample(size=10, seed=1))
    assert [index // 100 for index in drawn] == list(range(10))


def test_what_is_rare_is_not_missed() -> None:
    candidates = _candidates(1000)
    rare: dict[int, dict[str, Any]] = {
        100: {"collection": "Lange"},
        300: {"process": "tintype"},
        500: {"date_earliest": 18600101},
        700: {"width": 300, "height": 200},
        900: {"samples_per_pixel": 3},
    }
    for index, fact in rare.items():
        candidates[index] = candidates[index]._replace(**fact)
    assert set(rare) <= set(draw_sample(candidates, Sample(size=10, seed=1)))


def test_each_value_gets_about_as_many_masters_as_another() -> None:
    candidates = [
        master._replace(collection="ABCD"[index % 4 if index < 100 else 3])
        for index, master in enumerate(_candidates(1000))
    ]
    counts = Counter(candidates[index].collection for index in draw_sample(candidates, Sample(size=20, seed=4)))
    assert set(counts) == set("ABCD")
    assert max(counts.values()) <= 10  # of 925 in 1000 a random draw would take 18


def test_a_seed_names_a_draw() -> None:
    candidates = _candidates(200)
    draws = [draw_sample(candidates, Sample(size=5, seed=seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    # A golden value: neither the version of Python nor the database may change a draw.
    assert draws[0] == [15, 42, 84, 132, 170]


def test_events_name_the_mapping_of_their_metadata() -> None:
    (master,) = _candidates(1, collection="Lange", date_earliest=19361105, samples_per_pixel=3)
    assert list(describe_traits(master)) == ["Lange", "1930s", "24.0 Mpx", "16-bit colour"]


def test_a_sample_is_of_what_the_plan_would_take_and_counts_as_it_does(workshop_of_twelve: Any) -> None:
    whole = workshop_of_twelve.plan(dry_run=True)
    plan = workshop_of_twelve.plan(sample=Sample(size=4, seed=1), dry_run=True)
    assert (plan.tasks, plan.drawn_sample.candidates, whole.tasks) == (4, 11, 11)
    assert plan.recipes == {"mend 1.0 (strength 1)": 4}
    assert plan.exclusions == whole.exclusions
    assert "N05" not in _sampled(plan)
    assert plan.volumes[0].needed_bytes < whole.volumes[0].needed_bytes
    assert workshop_of_twelve.plan(sample=Sample(size=50), dry_run=True).tasks == 11
    assert whole.drawn_sample is None


def test_a_dry_run_lists_the_masters_of_the_later_batch(workshop_of_twelve: Any) -> None:
    sample = Sample(size=4, seed=1)
    told = _sampled(workshop_of_twelve.plan(sample=sample, dry_run=True))
    plan = workshop_of_twelve.plan(sample=sample)
    assert _sampled(plan) == told
    numbers = {master.id: f"N{index:02d}" for index, master in enumerate(workshop_of_twelve.masters())}
    assert [numbers[task.master_id] for task in workshop_of_twelve.tasks(plan.batch_id)] == told


def test_a_full_run_skips_what_the_sample_made_and_other_settings_have_the_same_sample(workshop_of_twelve: Any) -> None:
    sample = Sample(size=4, seed=1)
    plan = workshop_of_twelve.plan(sample=sample)
    assert workshop_of_twelve.run(plan.batch_id).is_sample
    full = workshop_of_twelve.plan()
    assert (full.tasks, full.already_made) == (7, 4)
    assert not workshop_of_twelve.run(full.batch_id).is_sample
    assert _sampled(workshop_of_twelve.plan(sample=sample, parameters={"strength": 0.5}, dry_run=True)) == _sampled(
        plan
    )


def test_what_the_catalogue_knows_of_items_counts(workshop_of_twelve: Any) -> None:
    with workshop_of_twelve.catalogue.session() as session:
        session.execute(update(Item).where(Item.accession_number == "N07").values(collection="Loans"))
        session.execute(update(Item).where(Item.accession_number == "N02").values(date_earliest=18600101))
    for seed in range(5):
        plan = workshop_of_twelve.plan(sample=Sample(size=4, seed=seed), dry_run=True)
        assert {"N02", "N07"} <= set(_sampled(plan))


def test_a_sample_of_nothing_plans_nothing(workshop_of_twelve: Any) -> None:
    plan = workshop_of_twelve.plan("accession_number:none", sample=Sample(size=4))
    assert (plan.batch_id, plan.drawn_sample) == (None, None)
