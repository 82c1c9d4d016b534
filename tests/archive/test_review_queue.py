from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from archive import review_queue
from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import count_from_now, update_current_derivatives
from archive.catalogue.schema.tables import Derivative, Master, QualityScore
from archive.catalogue.schema.vocabularies import Access, Decision, Role, ScoredImage
from archive.catalogue.schema.web_review_tables import ReviewQueueEntry
from archive.errors import NotFoundError, UsageError
from archive.review_queue import claim_next, list_entries, open_queue, queue_state, sort_orders
from archive.web_page_queries import has_unreviewed_trials
from tests.catalogue_rows import add_batch, add_derivative, add_item, add_review, add_version

ANNA = Account(name="anna", role=Role.MANAGER)
BO = Account(name="bo", role=Role.MANAGER)
VIEWER = Account(name="vi", role=Role.VIEWER)


@pytest.fixture
def derivatives(catalogue: Catalogue) -> dict[str, int]:
    """Six derivatives; B is restricted, C has the worst score, F has none."""
    changed = {"A": 0.2, "B": 0.3, "C": 0.9, "D": 0.1, "E": 0.5}
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        made = {}
        for name in "ABCDEF":
            access = Access.RESTRICTED if name == "B" else Access.OPEN
            item = add_item(session, name, access=access)
            scores: dict[str, Any] = {"changed_share": changed[name]} if name in changed else {}
            made[name] = add_derivative(session, item.masters[0], version, **scores).id
    return made


def _decide(catalogue: Catalogue, derivative_id: int, decision: Decision) -> None:
    with catalogue.session() as session:
        add_review(session, session.get_one(Derivative, derivative_id), decision)


def _names(entries: list[review_queue.QueueEntry]) -> str:
    return "".join(entry.accession_number for entry in entries)


def test_a_queue_is_in_order_of_numbers_or_worst_first(catalogue: Catalogue, derivatives: dict[str, int]) -> None:
    by_number = open_queue(catalogue, "review:none", "accession_number")
    assert _names(list_entries(catalogue, by_number, ANNA)) == "ABCDEF"
    assert _names(list_entries(catalogue, by_number, ANNA, after=2, limit=2)) == "CD"
    worst_first = open_queue(catalogue, "review:none", "changed_share")
    assert _names(list_entries(catalogue, worst_first, ANNA)) == "CEBADF"
    assert _names(list_entries(catalogue, worst_first, VIEWER)) == "CEADF"
    with pytest.raises(UsageError, match="known are"):
        open_queue(catalogue, "review:none", "beauty")
    with pytest.raises(UsageError, match="no restored derivative"):
        open_queue(catalogue, "title:nothing", "accession_number")
    with pytest.raises(NotFoundError):
        queue_state(catalogue, 99, ANNA)


def test_every_order_begins_with_the_worst(catalogue: Catalogue) -> None:
    noise = {"A": (0.02, 0.01), "B": (0.09, 0.03), "C": (0.05, 0.045)}  # of the scan and of the derivative
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        for name, (before, after) in noise.items():
            scores: dict[str, Any] = {"noise_sigma": after, "contrast": after, "smoothed_share": after}
            made = add_derivative(session, add_item(session, name).masters[0], version, **scores)
            of_scan = next(score for score in made.scores if score.metric == "noise_sigma")
            columns = ("metric", "colour_space", "data_range", "implementation")
            copied = {column: getattr(of_scan, column) for column in columns}
            made.scores.append(QualityScore(image=ScoredImage.SOURCE, value=before, **copied))
    expected = {"accession_number": "ABC", "noise_removed": "BAC", "contrast": "ABC", "smoothed_share": "CBA"}
    for sort_by in sort_orders():
        found = _names(list_entries(catalogue, open_queue(catalogue, "review:none", sort_by), ANNA))
        assert found == expected.get(sort_by, found)


def test_a_queue_holds_the_derivatives_that_its_query_selects(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        full, trial = add_batch(session), add_batch(session)
        first, second = add_version(session, approved=True), add_version(session, "denoise-deblur@2.0")
        master = add_item(session, "A").masters[0]
        current = add_derivative(session, master, first, batch=full).id
        tried = add_derivative(session, master, second, batch=trial, is_trial=True).id
    for query, expected in (
        ("accession_number:A", [current]),
        (f"review:none batch:{full.id}", [current]),
        (f"review:none batch:{trial.id}", [tried]),
    ):
        queue = open_queue(catalogue, query, "accession_number")
        assert [entry.derivative_id for entry in list_entries(catalogue, queue, ANNA)] == expected


def test_withdrawn_derivatives_leave_a_queue(catalogue: Catalogue, derivatives: dict[str, int]) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    with catalogue.session() as session:
        withdrawn = session.get_one(Derivative, derivatives["A"])
        withdrawn.withdrawn_at = catalogue.now(session)
        update_current_derivatives(session, session.get_one(Master, withdrawn.master_id))
    assert _names(claim_next(catalogue, queue, ANNA)) == "B"
    assert _names(list_entries(catalogue, queue, ANNA)) == "BCDEF"
    assert queue_state(catalogue, queue, ANNA).total == 5
    assert open_queue(catalogue, "review:none", "accession_number") == queue


def test_progress_counts_decisions_since_the_queue_was_opened(
    catalogue: Catalogue, derivatives: dict[str, int]
) -> None:
    _decide(catalogue, derivatives["A"], Decision.ACCEPTED)
    queue = open_queue(catalogue, "accession_number:*", "accession_number")
    assert (queue_state(catalogue, queue, ANNA).total, queue_state(catalogue, queue, ANNA).decided) == (6, 0)
    _decide(catalogue, derivatives["A"], Decision.REJECTED)
    _decide(catalogue, derivatives["B"], Decision.ACCEPTED)
    assert queue_state(catalogue, queue, ANNA).decided == 2
    assert (queue_state(catalogue, queue, VIEWER).total, queue_state(catalogue, queue, VIEWER).decided) == (5, 1)
    _decide(catalogue, derivatives["B"], Decision.UNDONE)
    assert queue_state(catalogue, queue, ANNA).decided == 1
    assert list_entries(catalogue, queue, ANNA)[1].decision is None


def test_who_asks_for_the_same_shares_a_queue(catalogue: Catalogue, derivatives: dict[str, int]) -> None:
    first = open_queue(catalogue, "review:none", "accession_number")
    _decide(catalogue, derivatives["A"], Decision.ACCEPTED)
    assert open_queue(catalogue, "review:none", "accession_number") == first
    assert open_queue(catalogue, "review:none", "changed_share") != first
    with catalogue.session() as session:
        version = add_version(session, "denoise-deblur@2.0")
        add_derivative(session, add_item(session, "G").masters[0], version)
    assert open_queue(catalogue, "review:none", "accession_number") != first


def test_reviewers_are_given_different_pictures_until_a_claim_expires(
    catalogue: Catalogue, derivatives: dict[str, int]
) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    assert _names(claim_next(catalogue, queue, ANNA, count=2)) == "AB"
    assert _names(claim_next(catalogue, queue, BO, count=2)) == "CD"
    assert _names(claim_next(catalogue, queue, ANNA, count=2)) == "AB"
    assert list_entries(catalogue, queue, BO)[0].claimed_by == "anna"
    assert _names(claim_next(catalogue, queue, ANNA, first=2, count=2)) == "BA"
    assert _names(claim_next(catalogue, queue, ANNA, skipped=[1], count=2)) == "BE"
    with catalogue.session() as session:
        past = catalogue.now(session) - timedelta(seconds=1)
        session.execute(update(ReviewQueueEntry).values(claim_expires_at=past))
    assert _names(claim_next(catalogue, queue, BO, count=3)) == "ABC"


def test_what_a_reviewer_looks_at_comes_before_what_others_left(
    catalogue: Catalogue, derivatives: dict[str, int]
) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    claim_next(catalogue, queue, ANNA, count=2)
    assert _names(claim_next(catalogue, queue, BO, count=2)) == "CD"
    with catalogue.session() as session:
        past = catalogue.now(session) - timedelta(seconds=1)
        session.execute(
            update(ReviewQueueEntry).where(ReviewQueueEntry.claimed_by == "anna").values(claim_expires_at=past)
        )
    assert _names(claim_next(catalogue, queue, BO, count=2)) == "CD"
    assert _names(claim_next(catalogue, queue, BO, first=1, count=2)) == "AC"


def test_a_decided_picture_is_given_to_nobody(catalogue: Catalogue, derivatives: dict[str, int]) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    for name in "ACDEF":
        _decide(catalogue, derivatives[name], Decision.ACCEPTED)
    assert _names(claim_next(catalogue, queue, ANNA, count=2)) == "B"
    assert claim_next(catalogue, queue, VIEWER) == []
    _decide(catalogue, derivatives["B"], Decision.REJECTED)
    assert claim_next(catalogue, queue, ANNA) == []


def test_many_at_once_never_get_the_same(catalogue: Catalogue, derivatives: dict[str, int]) -> None:
    queue = open_queue(catalogue, "review:none", "accession_number")
    reviewers = [Account(name=f"reviewer {number}", role=Role.MANAGER) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda account: claim_next(catalogue, queue, account), reviewers))
    assert sorted(_names(entries) for entries in claims) == list("ABCDEF")


@pytest.mark.parametrize("options", [{"sample": 2}, {"trial": True}])
def test_results_of_a_trial_that_count_without_a_decision_are_known(
    catalogue: Catalogue, options: dict[str, Any]
) -> None:
    with catalogue.session() as session:
        trial, full = add_batch(session), add_batch(session)
        trial.options = options
        version = add_version(session, approved=True)
        tried = add_derivative(session, add_item(session, "A").masters[0], version, batch=trial, is_trial=True).id
        add_derivative(session, add_item(session, "B").masters[0], version, batch=full)
        of_full, of_trial = full.id, trial.id
    assert not has_unreviewed_trials(catalogue, of_full)  # nobody asked to count it
    with catalogue.session() as session:
        count_from_now(session, Derivative.id == tried, catalogue.now(session))
    assert has_unreviewed_trials(catalogue, of_full)
    assert has_unreviewed_trials(catalogue, None)
    assert not has_unreviewed_trials(catalogue, of_trial)  # the queue of its own batch holds it
    _decide(catalogue, tried, Decision.ACCEPTED)
    assert not has_unreviewed_trials(catalogue, of_full)
