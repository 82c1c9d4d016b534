"""The rule of the current derivative: each row of the decision table in docs/explanation/current-derivative.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import count_from_now, update_current_derivatives
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import Decision, FileFault, StageTask
from tests.catalogue_rows import AT, add_derivative, add_item, add_review, add_version, approve_version

TABLE = Path(__file__).parents[3] / "docs" / "explanation" / "current-derivative.md"

# Of each row: the older derivative, the newer one, and which is current. A derivative is described by its words:
# "approved" or "outdated" (its version), "trial", "promoted", "accepted", "rejected", "missing", "changed",
# "withdrawn".
DECISIONS = {
    1: ("approved", "approved", "newer"),
    2: ("approved accepted", "approved", "older"),
    3: ("approved accepted", "approved accepted later", "newer"),
    4: ("approved accepted later", "approved accepted", "older"),
    5: ("approved", "approved rejected", "older"),
    6: ("approved rejected", "approved rejected", "none"),
    7: ("approved", "approved trial", "older"),
    8: ("approved trial", "approved trial", "none"),
    9: ("approved", "approved trial accepted", "newer"),
    10: ("approved trial promoted", "approved", "older"),
    11: ("approved", "approved trial promoted", "newer"),
    12: ("approved", "outdated", "older"),
    13: ("outdated", "approved", "newer"),
    14: ("outdated accepted", "approved", "older"),
    15: ("approved", "outdated trial promoted", "older"),
    16: ("outdated", "outdated", "newer"),
    17: ("approved", "approved missing", "older"),
    18: ("approved", "approved changed accepted", "older"),
    19: ("approved missing", "approved rejected", "none"),
    20: ("approved", "approved withdrawn", "older"),
    21: ("approved", "approved accepted withdrawn", "older"),
}


@pytest.fixture
def session(catalogue: Catalogue) -> Iterator[Session]:
    with catalogue.session() as session:
        yield session


@pytest.fixture
def master(session: Session) -> Master:
    return add_item(session, "A").masters[0]


@pytest.mark.parametrize("row", DECISIONS)
def test_the_decision_table_holds(session: Session, master: Master, row: int) -> None:
    *described, expected = DECISIONS[row]
    outdated, approved = add_version(session, "mend@1.0"), add_version(session, "mend@2.0", approved=True)
    made = {
        name: add_derivative(
            session,
            master,
            approved if "approved" in words else outdated,
            strength=strength,
            is_trial="trial" in words,
            psnr_source=strength,
        )
        for name, words, strength in zip(("older", "newer"), described, (0.25, 0.75), strict=True)
    }
    for later in (False, True):
        for name, words in zip(made, described, strict=True):
            if ("later" in words) is later:
                _describe(session, made[name], words)
    update_current_derivatives(session, master)

    current = made.get(expected)
    assert master.current_restored_id == (current.id if current else None)
    assert master.current_restored_recipe_id == (current.recipe_id if current else None)
    assert master.psnr_source == {"older": 0.25, "newer": 0.75, "none": None}[expected]


def _describe(session: Session, derivative: Derivative, words: str) -> None:
    for decision in (Decision.ACCEPTED, Decision.REJECTED):
        if decision in words:
            add_review(session, derivative, decision)
    if "promoted" in words:
        count_from_now(session, Derivative.id == derivative.id, AT + timedelta(days=1))
    if "withdrawn" in words:
        derivative.withdrawn_at = AT
    for fault in (FileFault.MISSING, FileFault.CHANGED):
        if fault in words:
            derivative.file_fault = fault


def test_the_documented_table_is_the_tested_one() -> None:
    rows = [line.strip("| ").split("|") for line in TABLE.read_text().splitlines() if line[:3].strip("| ").isdigit()]

    documented = {int(row[0]): tuple(cell.strip() for cell in row[1:4]) for row in rows}

    assert documented == DECISIONS


def test_going_back_to_an_earlier_version_makes_its_results_current_for_all_masters(session: Session) -> None:
    first, second = add_version(session, "mend@1.0", approved=True), add_version(session, "mend@2.0")
    masters = [add_item(session, name).masters[0] for name in "ABC"]
    made = [[add_derivative(session, master, version) for version in (first, second)] for master in masters[:2]]
    made.append([add_derivative(session, masters[2], second)])
    for approved, expected in ((second, (1, 1, 0)), (first, (0, 0, 0)), (second, (1, 1, 0))):
        approve_version(session, approved)
        assert [master.current_restored_id for master in masters] == [
            of_master[place].id for of_master, place in zip(made, expected, strict=True)
        ]
        assert [master.is_stale for master in masters] == [False, False, approved is first]


def test_stale_follows_each_change_of_the_derivatives(session: Session, master: Master) -> None:
    old, new = add_version(session, "mend@1.0", approved=True), add_version(session, "mend@2.0")
    add_review(session, add_derivative(session, master, old), Decision.ACCEPTED)
    assert not _is_stale(session, master)
    approve_version(session, new)
    assert _is_stale(session, master)
    by_new = add_derivative(session, master, new, is_trial=True)
    assert _is_stale(session, master)
    count_from_now(session, Derivative.id == by_new.id, AT + timedelta(days=1))
    assert not _is_stale(session, master)
    by_new.file_fault = FileFault.MISSING
    update_current_derivatives(session, master)
    assert _is_stale(session, master)
    by_new.file_fault = None
    add_review(session, by_new, Decision.REJECTED)
    assert not _is_stale(session, master)


def test_stale_is_judged_by_the_model_that_made_the_current_derivative(session: Session, master: Master) -> None:
    add_derivative(session, master, add_version(session, "mend@1.0", approved=True))
    add_version(session, "sharpen@1.0", approved=True)
    add_version(session, "sharpen@2.0", approved=True)
    assert not _is_stale(session, master)
    add_version(session, "mend@2.0", approved=True)
    assert _is_stale(session, master)


def _is_stale(session: Session, master: Master) -> bool:
    return session.scalars(select(Master.is_stale).where(Master.id == master.id)).one()


def test_the_newest_review_of_a_derivative_counts_and_an_undone_one_does_not(session: Session, master: Master) -> None:
    older, newer = (add_derivative(session, master, add_version(session, f"mend@1.{number}")) for number in range(2))
    for decision, current in (
        (Decision.ACCEPTED, older),
        (Decision.REJECTED, newer),
        (Decision.ACCEPTED, older),
        (Decision.UNDONE, newer),
    ):
        add_review(session, older, decision)
        assert master.current_restored_id == current.id


def test_restored_and_styled_derivatives_are_current_side_by_side(session: Session, master: Master) -> None:
    version = add_version(session, "mend@1.0")
    restored = add_derivative(session, master, version, psnr_source=30.0)
    style = add_version(session, "art@1.0", task=StageTask.STYLE)
    styled = add_derivative(session, master, version, style, psnr_source=5.0)
    assert (master.current_restored_id, master.current_styled_id) == (restored.id, styled.id)
    assert master.psnr_source == 30.0
