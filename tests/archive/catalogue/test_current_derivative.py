from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import Decision, StageTask
from tests.catalogue_rows import add_derivative, add_item, add_review, add_version


@pytest.fixture
def session(catalogue: Catalogue) -> Iterator[Session]:
    with catalogue.session() as session:
        yield session


@pytest.fixture
def master(session: Session) -> Master:
    return add_item(session, "A").masters[0]


@pytest.fixture
def three(session: Session, master: Master) -> list[Derivative]:
    """Three unreviewed derivatives, the oldest first; their PSNR against the source is 10, 20 and 30."""
    versions = [add_version(session, f"denoise-deblur@1.{number}") for number in range(3)]
    return [
        add_derivative(session, master, version, psnr_source=10.0 * number)
        for number, version in enumerate(versions, start=1)
    ]


def test_the_newest_unreviewed_derivative_is_current_with_its_scores(master: Master, three: list[Derivative]) -> None:
    assert (master.current_restored_id, master.psnr_source) == (three[2].id, 30.0)
    assert master.ssim_source is None


def test_an_accepted_derivative_stays_current_before_newer_unreviewed_ones(
    session: Session, master: Master, three: list[Derivative]
) -> None:
    add_review(session, three[0], Decision.ACCEPTED)
    assert (master.current_restored_id, master.psnr_source) == (three[0].id, 10.0)
    add_derivative(session, master, add_version(session, "denoise-deblur@2.0"))
    assert master.current_restored_id == three[0].id


def test_of_accepted_derivatives_the_newest_is_current_whatever_the_order_of_the_reviews(
    session: Session, master: Master, three: list[Derivative]
) -> None:
    add_review(session, three[1], Decision.ACCEPTED)
    add_review(session, three[0], Decision.ACCEPTED)
    assert master.current_restored_id == three[1].id


def test_a_rejected_derivative_is_never_current(session: Session, master: Master, three: list[Derivative]) -> None:
    for derivative in reversed(three):
        assert master.current_restored_id == derivative.id
        add_review(session, derivative, Decision.REJECTED)
    assert (master.current_restored_id, master.psnr_source) == (None, None)


def test_the_newest_review_of_a_derivative_counts(session: Session, master: Master, three: list[Derivative]) -> None:
    add_review(session, three[0], Decision.ACCEPTED)
    add_review(session, three[0], Decision.REJECTED)
    assert master.current_restored_id == three[2].id


def test_restored_and_styled_derivatives_are_current_side_by_side(
    session: Session, master: Master, three: list[Derivative]
) -> None:
    style = add_version(session, "art@1.0", task=StageTask.STYLE)
    styled = add_derivative(session, master, three[0].recipe.stages[0].version, style, psnr_source=5.0)
    assert (master.current_restored_id, master.current_styled_id) == (three[2].id, styled.id)
    assert master.psnr_source == 30.0
