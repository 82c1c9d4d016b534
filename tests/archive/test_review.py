from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from archive import review
from archive.catalogue import Catalogue
from archive.catalogue.events import software_agent
from archive.catalogue.schema.tables import Batch, Derivative, Event, Item, Master, Recipe, Review, Root
from archive.catalogue.schema.vocabularies import (
    Access,
    AgentType,
    BatchKind,
    Decision,
    DerivativeKind,
    EventType,
    View,
)
from archive.errors import FixityError, NotFoundError, UsageError


@pytest.fixture
def derivatives(catalogue: Catalogue) -> list[int]:
    """Item A: three derivatives of master 1 and none of master 2; item B: none. The derivatives' ids, oldest first."""
    with catalogue.session() as session:
        now = catalogue.now(session)
        root = Root(path="/scans")
        masters = {}
        for accession_number, count in (("A", 2), ("B", 1)):
            item = Item(accession_number=accession_number, access=Access.OPEN, extra={}, created_at=now)
            for sequence in range(1, count + 1):
                name = f"{accession_number}{sequence}"
                masters[name] = Master(
                    item=item,
                    sequence=sequence,
                    view=View.RECTO,
                    root=root,
                    path=f"/scans/{name}.tif",
                    sha256=hashlib.sha256(name.encode()).hexdigest(),
                    size=1,
                    format="TIFF",
                    width=1,
                    height=1,
                    bits_per_sample=8,
                    samples_per_pixel=1,
                    ingested_at=now,
                )
        session.add_all(masters.values())
        batch = Batch(kind=BatchKind.RESTORE, options={}, created_at=now, agent=software_agent(session))
        session.add(batch)
        made = [_make(catalogue, masters["A1"], batch, number) for number in range(3)]
        session.add_all(made)
        session.flush()
        masters["A1"].current_restored_id = made[-1].id
        return [derivative.id for derivative in made]


def _make(catalogue: Catalogue, master: Master, batch: Batch, number: int) -> Derivative:
    data = f"bytes {number} of {master.path}".encode()
    path = f"derivatives/A/{master.sequence}_{number}.tif"
    file = catalogue.path_of(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Derivative(
        master=master,
        recipe=Recipe(sha256=digest, canonical_json="{}", kind=DerivativeKind.RESTORED),
        batch=batch,
        kind=DerivativeKind.RESTORED,
        path=path,
        sha256=digest,
        pixel_sha256=digest,
        size=len(data),
        master_sha256=master.sha256,
        environment={},
        stage_records=[],
        notes=[],
        created_at=batch.created_at,
    )


def _current(catalogue: Catalogue) -> int | None:
    with catalogue.reading() as session:
        return session.scalar(select(Master.current_restored_id).where(Master.path == "/scans/A1.tif"))


def _file(catalogue: Catalogue, derivative_id: int) -> Path:
    with catalogue.reading() as session:
        return catalogue.path_of(session.get_one(Derivative, derivative_id).path)


def test_a_review_is_about_the_current_derivatives_exact_bytes(catalogue: Catalogue, derivatives: list[int]) -> None:
    made = review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, reviewer="A. Curator")
    expected = hashlib.sha256(_file(catalogue, derivatives[2]).read_bytes()).hexdigest()
    assert (made.derivative_id, made.sha256) == (derivatives[2], expected)
    assert (made.decision, made.reason, made.agent.name) == (Decision.ACCEPTED, None, "A. Curator")


def test_a_review_leaves_an_event_of_the_person(catalogue: Catalogue, derivatives: list[int]) -> None:
    made = review.record_decision(
        catalogue, "A", decision=Decision.REJECTED, reason=" too smooth ", reviewer="A. Curator"
    )
    with catalogue.reading() as session:
        event = session.scalars(select(Event)).one()
        assert (event.type, event.derivative_id, event.at) == (EventType.REVIEW, derivatives[2], made.at)
        assert event.detail == f"rejected, SHA-256 {made.sha256}: too smooth"
        assert (event.agent.type, event.agent.name) == (AgentType.PERSON, "A. Curator")


def test_a_rejected_derivative_is_never_current_and_an_accepted_one_goes_before(
    catalogue: Catalogue, derivatives: list[int]
) -> None:
    oldest, middle, newest = derivatives
    review.record_decision(catalogue, "A", decision=Decision.REJECTED, reason="too smooth", reviewer="A. Curator")
    assert _current(catalogue) == middle
    review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, derivative_id=oldest, reviewer="A. Curator")
    assert _current(catalogue) == oldest
    # A person may think again.
    review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, derivative_id=newest, reviewer="B. Curator")
    assert _current(catalogue) == newest


@pytest.mark.parametrize(
    ("decision", "reason", "reviewer"),
    [
        (Decision.REJECTED, None, "A. Curator"),
        (Decision.REJECTED, "  ", "A. Curator"),
        (Decision.ACCEPTED, None, " "),
    ],
)
def test_a_rejection_needs_a_reason_and_a_review_a_person(
    catalogue: Catalogue, derivatives: list[int], decision: Decision, reason: str | None, reviewer: str
) -> None:
    with pytest.raises(UsageError):
        review.record_decision(catalogue, "A", decision=decision, reason=reason, reviewer=reviewer)


@pytest.mark.parametrize("missing", [True, False])
def test_changed_or_missing_bytes_are_not_reviewed(catalogue: Catalogue, derivatives: list[int], missing: bool) -> None:
    file = _file(catalogue, derivatives[2])
    if missing:
        file.unlink()
    else:
        file.write_bytes(b"something else")
    with pytest.raises(FixityError, match=str(file)):
        review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, reviewer="A. Curator")
    with catalogue.reading() as session:
        assert session.scalars(select(Review)).all() == []


def test_where_several_masters_have_a_current_one_they_are_listed(catalogue: Catalogue, derivatives: list[int]) -> None:
    with catalogue.session() as session:
        second = session.scalars(select(Master).where(Master.path == "/scans/A2.tif")).one()
        derivative = _make(catalogue, second, session.scalars(select(Batch)).one(), 0)
        session.add(derivative)
        session.flush()
        second.current_restored_id = derivative.id
    with pytest.raises(UsageError) as caught:
        review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, reviewer="A. Curator")
    for derivative_id, sequence in ((derivatives[2], 1), (derivative.id, 2)):
        line = f"derivative {derivative_id} of master {sequence}: {_file(catalogue, derivative_id)}"
        assert line in str(caught.value)
    chosen = review.record_decision(
        catalogue, "A", decision=Decision.ACCEPTED, derivative_id=derivative.id, reviewer="A. Curator"
    )
    assert chosen.derivative_id == derivative.id


def test_what_is_not_there_is_not_found(catalogue: Catalogue, derivatives: list[int]) -> None:
    for accession_number, derivative_id in (("nobody", None), ("B", None), ("B", derivatives[0]), ("A", 99)):
        with pytest.raises(NotFoundError):
            review.record_decision(
                catalogue,
                accession_number,
                decision=Decision.ACCEPTED,
                derivative_id=derivative_id,
                reviewer="A. Curator",
            )
