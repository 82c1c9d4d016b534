"""Two transactions change the derivatives of one master at the same time; the rule holds at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from archive.batch_promotion import promote_batch
from archive.catalogue import Catalogue, approved_versions
from archive.catalogue.approved_versions import unapplied_versions
from archive.catalogue.current_derivative import count_from_now, lock_masters, update_current_derivatives
from archive.catalogue.schema.tables import Derivative, Event, Master, ModelAlias
from archive.catalogue.schema.vocabularies import EventType
from archive.comments import add_comment
from archive.errors import NotFoundError, UsageError
from archive.model_aliases import remove_alias, set_alias
from archive.progress_reporting import NoProgress
from archive.withdrawal import complete_withdrawals, withdraw_derivative
from tests.catalogue_rows import AT, add_derivative, add_item, add_version
from tests.fake_models import wait_until


def withdraw(catalogue: Catalogue, derivative: Derivative) -> None:
    withdraw_derivative(catalogue, "A", derivative.id, reason="asked for", person="A. Curator")


def promote(catalogue: Catalogue, derivative: Derivative) -> None:
    promote_batch(catalogue, None, derivative.batch_id, reviewer="A. Curator")


def mark_missing(catalogue: Catalogue, derivative: Derivative) -> None:
    with catalogue.session() as session:
        master = session.get_one(Master, derivative.master_id)
        session.get_one(Derivative, derivative.id).is_trial = True
        update_current_derivatives(session, master)


def _wait_until_blocked(catalogue: Catalogue, waiting: threading.Thread) -> None:
    """Returns once the thread waits for a lock of PostgreSQL; on SQLite it waits at its start, where nobody sees it."""
    of_this_database = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    blocked = text(f"{of_this_database} AND wait_event_type = 'Lock'")
    for _ in range(6000):
        waiting.join(0.1)
        if catalogue.engine.dialect.name == "sqlite" or not waiting.is_alive():
            return
        with catalogue.reading() as session:
            if session.scalar(blocked):
                return
    pytest.fail("the other transaction neither waits nor ends")


@pytest.mark.parametrize(("change", "expected"), [(withdraw, 1), (promote, 0), (mark_missing, 1)])
def test_a_change_waits_for_the_one_before_and_sees_it(
    catalogue: Catalogue, change: Callable[[Catalogue, Derivative], None], expected: int
) -> None:
    with catalogue.session() as session:
        master = add_item(session, "A").masters[0]
        made = [add_derivative(session, master, add_version(session))]
    waiting = threading.Thread(target=change, args=(catalogue, made[0]))

    with catalogue.session() as session:  # a batch publishes another derivative of the same master
        locked = session.execute(select(Master).where(Master.id == master.id).with_for_update()).scalar_one()
        made.append(add_derivative(session, locked, add_version(session, "denoise-deblur@2.0")))
        if change is promote:
            count_from_now(session, Derivative.id == made[1].id, AT)
        waiting.start()
        _wait_until_blocked(catalogue, waiting)
    waiting.join()

    with catalogue.reading() as session:
        assert session.get_one(Master, master.id).current_restored_id == made[expected].id


def test_an_approval_judges_a_derivative_that_is_being_added_at_the_same_time(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        master = add_item(session, "A").masters[0]
        old, new = add_version(session, "mend@1.0", approved=True), add_version(session, "mend@2.0")
        add_derivative(session, add_item(session, "B").masters[0], old)
    # Afterwards all agents are known, so that neither transaction waits for the other to add one.
    set_alias(catalogue, "mend", "1.0", "tried", "A. Curator")
    approval = threading.Thread(target=set_alias, args=(catalogue, "mend", "2.0", "approved", "A. Curator"))

    def aliases() -> set[int]:
        with catalogue.reading() as other:
            return set(other.scalars(select(ModelAlias.version_id)))

    with catalogue.session() as session:  # a batch publishes by the version that is still approved
        added = add_derivative(session, session.get_one(Master, master.id), old)
        approval.start()
        if catalogue.engine.dialect.name == "postgresql":  # on SQLite the approval waits at its start
            wait_until(lambda: new.id in aliases() or not approval.is_alive())
        assert approval.is_alive()
    approval.join()

    with catalogue.reading() as session:
        master = session.get_one(Master, master.id)
        assert (master.current_restored_id, master.is_stale) == (added.id, True)


class InterruptedProgress(NoProgress):
    """Ctrl-C after the first masters."""

    def advance(self, *_: object, **__: object) -> None:
        raise KeyboardInterrupt


def test_repeating_an_approval_completes_an_interrupted_one(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalogue.session() as session:
        masters = [add_item(session, name).masters[0] for name in "ABC"]
        old, new = add_version(session, "mend@1.0", approved=True), add_version(session, "mend@2.0")
        made = [[add_derivative(session, master, version) for version in (new, old)] for master in masters[:2]]
        made.append([add_derivative(session, masters[2], old)])
    monkeypatch.setattr(approved_versions, "_CHUNK_MASTERS", 1)
    with pytest.raises(KeyboardInterrupt):
        set_alias(catalogue, "mend", "2.0", "approved", "A. Curator", progress=InterruptedProgress())

    def results() -> list[tuple[int | None, bool]]:
        with catalogue.reading() as session:
            return [(master.current_restored_id, master.is_stale) for master in session.scalars(in_order)]

    in_order = select(Master).order_by(Master.id)
    assert results() == [(made[0][0].id, False), (made[1][1].id, False), (made[2][0].id, False)]
    with catalogue.reading() as session:
        assert unapplied_versions(session) == [{"model": "mend", "version": "2.0"}]
    assert not set_alias(catalogue, "mend", "2.0", "approved", "A. Curator")

    assert results() == [(made[0][0].id, False), (made[1][0].id, False), (made[2][0].id, True)]
    with catalogue.reading() as session:
        assert unapplied_versions(session) == []
        events = session.scalars(select(Event.detail).where(Event.type == EventType.ALIAS_CHANGE)).all()
    assert events == ["mend@approved: 1.0 -> 2.0"]


class OvertakenProgress(NoProgress):
    """While the first master is updated, others move the alias back and forth again; the last one is interrupted."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.is_overtaken = False

    def advance(self, *_: object, **__: object) -> None:
        if not self.is_overtaken:
            self.is_overtaken = True
            set_alias(self.catalogue, "mend", "1.0", "approved", "Another Curator")
            with pytest.raises(KeyboardInterrupt):
                set_alias(self.catalogue, "mend", "2.0", "approved", "Another Curator", progress=InterruptedProgress())


def test_an_approval_that_others_overtook_does_not_hide_that_theirs_is_unfinished(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalogue.session() as session:
        old = add_version(session, "mend@1.0", approved=True)
        add_version(session, "mend@2.0")
        for name in "ABC":
            add_derivative(session, add_item(session, name).masters[0], old)
    monkeypatch.setattr(approved_versions, "_CHUNK_MASTERS", 1)
    set_alias(catalogue, "mend", "2.0", "approved", "A. Curator", progress=OvertakenProgress(catalogue))

    with catalogue.reading() as session:
        assert unapplied_versions(session) == [{"model": "mend", "version": "2.0"}]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_alias_that_was_just_moved_is_not_removed(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_version(session, "mend@1.0", approved=True)
        new = add_version(session, "mend@2.0")
    set_alias(catalogue, "mend", "1.0", "trial", "A. Curator")
    refusals: list[UsageError] = []

    def remove() -> None:
        try:
            remove_alias(catalogue, "mend", "1.0", "trial", "A. Curator")
        except UsageError as error:
            refusals.append(error)

    removal = threading.Thread(target=remove)
    with catalogue.session() as session:
        row = session.get_one(ModelAlias, (new.model_id, "trial"), with_for_update=True)
        row.version_id = new.id
        session.flush()
        removal.start()
        _wait_until_blocked(catalogue, removal)
    removal.join()

    assert [str(error) for error in refusals] == ["mend@trial is not removed, because it is mend@2.0, not 1.0"]


def test_a_comment_on_a_derivative_that_is_being_removed_finds_no_derivative(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
    answers = []

    def comment() -> None:
        try:
            add_comment(catalogue, derivative.id, x=0, y=0, width=5, height=5, text="a scratch", author="anna")
        except NotFoundError as error:
            answers.append(str(error))

    waiting = threading.Thread(target=comment)
    with catalogue.session() as session:
        removed = session.get_one(Derivative, derivative.id, with_for_update=True)  # as archive remove locks it
        session.get_one(Master, removed.master_id).current_restored_id = None
        waiting.start()
        _wait_until_blocked(catalogue, waiting)
        session.delete(removed)
    waiting.join()
    assert answers == [f"No derivative {derivative.id}."]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_approval_never_holds_a_lock_while_it_waits_for_one(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approved_versions, "_wait_for_writers", lambda _: True)
    with catalogue.session() as session:
        masters = [add_item(session, name).masters[0] for name in "ABC"]
        old = add_version(session, "mend@1.0", approved=True)
        add_version(session, "mend@2.0")
        for master in masters:
            add_derivative(session, master, old)
    approval = threading.Thread(target=set_alias, args=(catalogue, "mend", "2.0", "approved", "A. Curator"))

    def stale() -> set[int]:
        with catalogue.reading() as other:
            return set(other.scalars(select(Master.id).where(Master.is_stale)))

    with catalogue.session() as session:  # an ingest that changes the masters in another order
        lock_masters(session, Master.id == masters[1].id)
        approval.start()
        wait_until(lambda: stale() == {masters[0].id, masters[2].id})
        lock_masters(session, Master.id == masters[0].id)
        assert approval.is_alive()
    approval.join()
    assert stale() == {master.id for master in masters}


def test_two_processes_that_complete_one_withdrawal_record_one_deletion(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
    path = catalogue.path_of(derivative.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a derivative")
    other = threading.Thread(target=complete_withdrawals, args=(catalogue,))

    def overlap(place: str) -> None:
        if place == "withdrawal_file" and threading.current_thread() is not other:
            other.start()
            _wait_until_blocked(catalogue, other)

    monkeypatch.setattr("archive.withdrawal.failpoint", overlap)
    withdraw(catalogue, derivative)
    other.join()

    assert not path.exists()
    with catalogue.reading() as session:
        assert len(session.scalars(select(Event).where(Event.type == EventType.DELETION)).all()) == 1
