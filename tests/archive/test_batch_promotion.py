from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from archive import batch_promotion
from archive.batch_promotion import Promotion, promote_batch
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import count_from_now
from archive.catalogue.schema.tables import Derivative, Event, Master
from tests.catalogue_rows import add_batch, add_derivative, add_item, add_version


def test_an_interrupted_promotion_is_continued_by_the_same_call(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalogue.session() as session:
        version, batch = add_version(session), add_batch(session)
        made = [
            add_derivative(session, add_item(session, name).masters[0], version, batch=batch, is_trial=True)
            for name in "ABC"
        ]
    calls = []

    def interrupted(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        count_from_now(*arguments)

    monkeypatch.setattr(batch_promotion, "_PORTION", 2)
    with monkeypatch.context() as patch:
        patch.setattr(batch_promotion, "count_from_now", interrupted)
        with pytest.raises(KeyboardInterrupt):
            promote_batch(catalogue, None, batch.id, reviewer="A. Curator")
    assert _promoted(catalogue) == [made[0].id, made[1].id]

    done = promote_batch(catalogue, None, batch.id, reviewer="A. Curator")
    assert done == Promotion(promoted=1, current_before=2, not_current=0)
    assert _promoted(catalogue) == [each.id for each in made]
    with catalogue.reading() as session:
        events = session.scalars(select(Event).order_by(Event.id)).all()
        assert [(each.derivative_id, each.agent.name) for each in events] == [(each.id, "A. Curator") for each in made]
        current = session.scalars(select(Master.current_restored_id).order_by(Master.id)).all()
        assert current == [each.id for each in made]


def _promoted(catalogue: Catalogue) -> list[int]:
    with catalogue.reading() as session:
        promoted = select(Derivative.id).where(Derivative.promoted_at.is_not(None)).order_by(Derivative.id)
        return list(session.scalars(promoted))
