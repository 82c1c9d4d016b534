"""Removal of masters: what goes, what stays, and what refuses it, on both databases."""

from __future__ import annotations

import errno
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from archive import removal, review, withdrawal
from archive.accounts import Account
from archive.batches.planning.batch_writer import write_batch
from archive.batches.running.claims import LeaseLostError, claim_next
from archive.batches.running.commit import record_failure
from archive.catalogue import Catalogue
from archive.catalogue.events import record_event
from archive.catalogue.listings import get_batch, select_masters
from archive.catalogue.schema import migration
from archive.catalogue.schema.column_types import Table
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Derivative, Event, Item, Master, Root, Task
from archive.catalogue.schema.text_index_tables import DistinctWord
from archive.catalogue.schema.vocabularies import BatchKind, Decision, EventType, Role, TaskStatus
from archive.catalogue.schema.web_review_tables import Comment, ReviewQueue, ReviewQueueEntry
from archive.errors import BatchError, NotFoundError, UsageError
from archive.progress_reporting import NoProgress
from archive.removal import list_removals, remove_masters
from archive.removal_plan import RemovalPlan, plan_removal
from archive.review_queue import list_entries, queue_state
from archive.settings import Settings
from tests.catalogue_rows import (
    AT,
    add_batch,
    add_derivative,
    add_item,
    add_master,
    add_recipe,
    add_review,
    add_task,
    add_version,
)

REASON = "wrong folder"


def remove(catalogue: Catalogue, query: str | None = None, **options: Any) -> None:
    plan = plan_removal(catalogue, query, **options)
    done = remove_masters(catalogue, plan, reason=REASON)
    assert (done.masters, done.items, done.derivatives) == (len(plan.master_ids), plan.items, plan.derivatives)
    assert done.error is None
    assert not done.is_interrupted


class StoppingTwice(NoProgress):
    """Presses Ctrl-C twice after the first portion."""

    def advance(self, *_: object, **__: object) -> None:
        for _time in range(2):
            signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_leaves_no_view_of_what_is_removed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("1906.1", "1906.2"):
        with catalogue.session() as session:
            add_item(session, number)
    view = catalogue.settings.home / "views" / "ab" / "x.tiles"
    view.parent.mkdir(parents=True)
    view.write_bytes(b"a view")
    monkeypatch.setattr("archive.removal._PORTION", 1)
    with pytest.raises(KeyboardInterrupt):
        remove_masters(
            catalogue, plan_removal(catalogue, "accession_number:*"), reason=REASON, progress=StoppingTwice()
        )
    with catalogue.reading() as session:
        assert session.scalars(select(Item.accession_number)).all() == ["1906.2"]
    assert not view.exists()


def fill(catalogue: Catalogue, accession_number: str, queue_id: int | None = None) -> int:
    """An item with a row in every table that can refer to it; the id of its review queue."""
    with catalogue.session() as session:
        version = add_version(session, approved=True) if queue_id is None else add_version(session, "mend@2.0")
        item = add_item(session, accession_number, title=f"Mother {accession_number}x", extra={"box": "seven"})
        master = item.masters[0]
        derivative = add_derivative(session, master, version, psnr_source=30.0)
        recipe = add_recipe(session, version)
        add_task(session, derivative.batch, master, recipe, TaskStatus.DONE, derivative_id=derivative.id)
        decision = add_review(session, derivative, Decision.ACCEPTED)
        if queue_id is None:
            queue = ReviewQueue(query="", sort_by="accession_number", created_at=AT)
            session.add(queue)
            session.flush()
            queue_id = queue.id
        position = 1 + (session.scalar(select(func.max(ReviewQueueEntry.position))) or 0)
        session.add(ReviewQueueEntry(queue_id=queue_id, position=position, derivative_id=derivative.id))
        place = {"x": 0, "y": 0, "width": 8, "height": 8}
        session.add(Comment(derivative_id=derivative.id, text="a scratch", agent=decision.agent, at=AT, **place))
        record_event(session, EventType.METADATA_MODIFICATION, at=AT, item=item)
        record_event(session, EventType.INGESTION, at=AT, item=item, master=master)
        record_event(session, EventType.DERIVATION, at=AT, master=master, derivative=derivative)
        session.add(ItemIdentifier(item_id=item.id, scheme="ark", value=f"ark:/12345/{accession_number}"))
        file = catalogue.path_of(derivative.path)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"pixels")
        return queue_id


def counts(catalogue: Catalogue) -> dict[str, int]:
    """The number of rows of each table that refers to items, masters or derivatives, and of these themselves."""
    subjects = {"items", "masters", "derivatives"}
    with catalogue.reading() as session:
        return {
            name: session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()  # noqa: S608
            for name, table in Table.metadata.tables.items()
            if name in subjects or any(key.column.table.name in subjects for key in table.foreign_keys)
        }


def test_every_row_that_refers_to_a_master_goes_and_all_others_stay(catalogue: Catalogue, settings: Settings) -> None:
    queue_id = fill(catalogue, "A")
    before = counts(catalogue)
    assert 0 not in before.values(), before
    fill(catalogue, "B", queue_id)
    with catalogue.reading() as session:
        item_b = session.scalars(select(Item).where(Item.accession_number == "B")).one()
        path, batch_id, file = session.execute(
            select(Master.path, Derivative.batch_id, Derivative.path)
            .join(Derivative, Derivative.master_id == Master.id)
            .where(Master.item_id == item_b.id)
        ).one()
    remove(catalogue, "accession_number:B", with_derivatives=True)
    assert counts(catalogue) == before | {"events": before["events"] + 1}
    assert not catalogue.path_of(file).parent.exists()
    assert migration.check(settings) == []
    with catalogue.reading() as session:
        (removed,) = list_removals(session)
        assert removed.person == settings.operator
        assert removed.detail.startswith(f"B (1), {path}, SHA-256 ")
        assert removed.detail.endswith(f": {REASON}")
        assert len(session.scalars(select_masters("title:*bx")).all()) == 0
        assert session.scalar(select(func.count()).where(DistinctWord.word == "bx")) == 0
        assert session.scalar(select(func.count()).where(DistinctWord.word == "mother")) == 1
        assert get_batch(session, batch_id)["tasks"] == 0
    account = Account(name="anna", role=Role.MANAGER)
    assert queue_state(catalogue, queue_id, account).total == 1
    assert [entry.accession_number for entry in list_entries(catalogue, queue_id, account)] == ["A"]


def test_new_rows_never_get_the_ids_of_removed_ones(catalogue: Catalogue) -> None:
    fill(catalogue, "A")
    with catalogue.reading() as session:
        before = [session.scalar(select(func.max(table.id))) or 0 for table in (Item, Master, Derivative, Event)]
    remove(catalogue, "accession_number:A", with_derivatives=True)
    fill(catalogue, "A", queue_id=1)
    with catalogue.reading() as session:
        after = [session.scalar(select(func.min(table.id))) or 0 for table in (Item, Master, Derivative)]
    assert all(new > old for new, old in zip(after, before, strict=False))


def test_an_item_with_another_master_stays_and_has_the_removal_in_its_history(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        item = add_item(session, "A", title="Mother", masters=2)
        first, second = item.masters
    remove(catalogue, f"id:{item.id}", path=Path(first.path))
    with catalogue.reading() as session:
        (event,) = session.scalars(select(Event).where(Event.item_id == item.id))
        assert event.type is EventType.DEACCESSION
        assert session.scalars(select(Master.id)).all() == [second.id]
        assert len(session.scalars(select_masters("title:mother")).all()) == 1
    remove(catalogue, "accession_number:A")
    with catalogue.reading() as session:
        assert [each.detail[:5] for each in list_removals(session)] == ["A (1)", "A (2)"]
        assert session.scalars(select(Item.id)).all() == []
        assert session.scalars(select(Root.id)).all() == []


def test_nothing_is_removed_by_default(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A")
    with pytest.raises(UsageError, match="give a QUERY, or --from PATH"):
        plan_removal(catalogue)
    with pytest.raises(UsageError, match="needs a reason"):
        remove_masters(catalogue, plan_removal(catalogue, "A OR accession_number:A"), reason=" ")
    assert counts(catalogue)["masters"] == 1


def test_derivatives_refuse_it_withdrawn_ones_too(catalogue: Catalogue) -> None:
    queue_id = fill(catalogue, "A")
    with catalogue.session() as session:
        session.scalars(select(Derivative)).one().withdrawn_at = AT
    plan = plan_removal(catalogue, "accession_number:A")
    with pytest.raises(UsageError, match=r"1 of the masters has derivatives: A \(1\).*keep this master, exclude it"):
        remove_masters(catalogue, plan, reason=REASON)
    fill(catalogue, "B", queue_id)
    with pytest.raises(
        UsageError, match=r"2 of the masters have derivatives: A \(1\), B .*keep these masters, .* them"
    ):
        remove_masters(catalogue, plan_removal(catalogue, "accession_number:*"), reason=REASON)
    assert counts(catalogue)["derivatives"] == 2


def test_a_decision_about_a_master_that_is_removed_meanwhile_is_refused(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(catalogue, "A")
    query = "accession_number:A"
    monkeypatch.setattr(review, "_check_bytes", lambda *_: remove(catalogue, query, with_derivatives=True))
    with pytest.raises(NotFoundError, match="was removed from the catalogue meanwhile"):
        review.record_decision(catalogue, "A", decision=Decision.ACCEPTED, reviewer="A. Reviewer")


def test_a_withdrawal_of_a_master_that_is_removed_meanwhile_is_complete(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(catalogue, "A")
    with catalogue.session() as session:
        session.scalars(select(Derivative)).one().withdrawn_at = AT
    query = "accession_number:A"
    monkeypatch.setattr(withdrawal, "remove_views", lambda *_: remove(catalogue, query, with_derivatives=True))
    assert withdrawal.complete_withdrawals(catalogue) == []


def test_a_view_that_cannot_be_deleted_takes_no_removal_back(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(catalogue, "A")

    def refuse(_settings: Settings) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(removal, "remove_views", refuse)
    plan = plan_removal(catalogue, "accession_number:A", with_derivatives=True)
    done = remove_masters(catalogue, plan, reason=REASON)
    assert (done.masters, isinstance(done.error, PermissionError)) == (1, True)
    with catalogue.reading() as session:
        assert session.scalar(select(func.count(Master.id))) == 0


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING])
def test_open_tasks_refuse_it_also_those_that_are_planned_after_the_plan(
    catalogue: Catalogue, status: TaskStatus
) -> None:
    with catalogue.session() as session:
        masters = [add_item(session, name).masters[0] for name in "AB"]
    plan = plan_removal(catalogue, "accession_number:[A TO B]")
    with catalogue.session() as session:
        batch = add_batch(session)
        add_task(session, batch, session.merge(masters[1]), add_recipe(session, add_version(session)), status)
    done = remove_masters(catalogue, plan, reason=REASON)
    assert isinstance(done.error, BatchError)
    assert f"B (1). Finish the batch with `archive batch resume {batch.id}`" in str(done.error)
    assert done.masters == 0
    with pytest.raises(BatchError, match=r"1 of the masters has open tasks.* then remove it$"):
        remove_masters(catalogue, plan_removal(catalogue, "accession_number:[A TO B]"), reason=REASON)
    assert counts(catalogue)["masters"] == 2


def test_a_batch_that_is_being_planned_keeps_its_masters(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        master_id = add_item(session, "A").masters[0].id
        recipe_id = add_recipe(session, add_version(session)).id
    plan = plan_removal(catalogue, "accession_number:A")
    with ThreadPoolExecutor(1) as pool:
        with catalogue.session() as session:
            batch_id = write_batch(catalogue, session, BatchKind.RESTORE, None, {}, [(master_id, recipe_id)])
            removal = pool.submit(remove_masters, catalogue, plan, reason=REASON)  # waits for the batch
        done = removal.result()
    assert f"in batch {batch_id}" in str(done.error)
    assert counts(catalogue)["masters"] == 1


def test_a_batch_leaves_out_masters_that_were_removed_while_it_was_planned(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        kept, removed = (add_item(session, name).masters[0].id for name in "AB")
        recipe_id = add_recipe(session, add_version(session)).id
    remove(catalogue, "accession_number:B")
    with catalogue.session() as session:
        tasks = [(kept, recipe_id), (removed, recipe_id)]
        batch_id = write_batch(catalogue, session, BatchKind.RESTORE, None, {}, tasks)
    with catalogue.reading() as session:
        assert session.scalars(select(Task.master_id).where(Task.batch_id == batch_id)).all() == [kept]


def test_a_worker_whose_task_was_removed_has_lost_its_lease(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        master = add_item(session, "A").masters[0]
        batch = add_batch(session)
        add_task(session, batch, master, add_recipe(session, add_version(session)))
    claim = claim_next(catalogue, batch.id)
    assert claim is not None
    with pytest.raises(LeaseLostError):
        record_failure(catalogue, replace(claim, task_id=claim.task_id + 1), "no such task")


def test_a_folder_selects_the_files_that_lie_in_it_on_this_machine(catalogue: Catalogue) -> None:
    catalogue = replace(catalogue, settings=replace(catalogue.settings, roots=(("/old/here", "/mnt/here"),)))
    copy, files = "masters/x/5.tif", ("/scans/a/1", "/scans/a/deep/2", "/scans/A/3", "/scans/ab/4", "/old/here/6")
    with catalogue.session() as session:
        item = add_item(session, "A", masters=0)
        for path in files:
            add_master(session, item, path=path)
        root = Root(path="/other/folder")
        session.add(root)
        session.flush()
        add_master(session, item, path=copy).root_id = root.id
    for folder, found in {
        "/scans/a": files[:2],
        "/scans/a/1": files[:1],
        "/scans/a/": files[:2],
        "/scans/a/deep/2.tif": (),
        "/mnt": files[4:],
        "/mnt/here/6": files[4:],
        "/old/here": (),
        "/other": (copy,),
        str(catalogue.settings.home / "masters"): (copy,),
        "/": (*files, copy),
    }.items():
        plan = plan_removal(catalogue, path=Path(folder))
        with catalogue.reading() as session:
            paths = session.scalars(select(Master.path).where(Master.id.in_(list(plan.master_ids)))).all()
        assert sorted(paths) == sorted(found), folder


def test_a_copy_stays_as_long_as_one_of_its_pictures_is_a_master(catalogue: Catalogue) -> None:
    copy = catalogue.settings.home / "masters" / "A" / "A_1.tif"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"two pictures")
    with catalogue.session() as session:
        items = [add_item(session, name, masters=0) for name in "AB"]
        for page, item in enumerate(items, 1):
            add_master(session, item, path="masters/A/A_1.tif", sha256="0" * 64, page=page)
    assert sizes(catalogue, "accession_number:A") == [0, 1000]
    remove(catalogue, "accession_number:A")
    assert copy.exists()
    remove(catalogue, "accession_number:B")
    assert not copy.parent.exists()


def sizes(catalogue: Catalogue, query: str) -> list[int]:
    """The bytes to delete by the plan of the query, and by that of everything."""
    plans: list[RemovalPlan] = [plan_removal(catalogue, each) for each in (query, "accession_number:*")]
    return [plan.size_bytes for plan in plans]
