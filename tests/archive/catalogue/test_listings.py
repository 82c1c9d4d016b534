from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from archive.catalogue import Catalogue
from archive.catalogue.additional_list_fields import _known_columns
from archive.catalogue.events import person_agent, record_event, software_agent
from archive.catalogue.listings import (
    LIST_FIELDS,
    find_version,
    get_batch,
    get_item_details,
    list_batches,
    list_derivatives,
    list_items,
    list_masters,
    list_model_versions,
)
from archive.catalogue.schema.identifier_and_mapping_tables import ItemIdentifier
from archive.catalogue.schema.tables import Derivative, ModelAlias
from archive.catalogue.schema.vocabularies import (
    Decision,
    EventType,
    StageTask,
    TaskStatus,
    View,
)
from archive.display_labels import DERIVATIVE_ROW_FIELDS, FURTHER_LIST_FIELDS, MASTER_ROW_FIELDS
from archive.errors import NotFoundError, QueryError
from tests.catalogue_rows import (
    add_batch,
    add_derivative,
    add_item,
    add_master,
    add_recipe,
    add_review,
    add_task,
    add_version,
)


def test_a_list_has_one_flat_row_an_item_about_its_current_restored_derivative(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        item = add_item(session, "A", title="Mother", creator="Lange", date="1936", masters=2)
        add_item(session, "B")
        first = add_derivative(
            session,
            item.masters[0],
            version,
            psnr_source=30.0,
            ssim_source=0.75,
            psnr_reference=28.5,
            ssim_reference=0.5,
        )
        add_derivative(session, item.masters[1], version)
        add_review(session, first, Decision.ACCEPTED)
    with catalogue.reading() as session:
        rows = list(list_items(session, None))
    assert [tuple(row) for row in rows] == [LIST_FIELDS, LIST_FIELDS]
    assert rows[0] == {
        "id": item.id,
        "accession_number": "A",
        "title": "Mother",
        "creator": "Lange",
        "date": "1936",
        "status": "restored",
        "model": "denoise-deblur",
        "version": "1.0",
        "psnr_source": 30.0,
        "ssim_source": 0.75,
        "psnr_reference": 28.5,
        "ssim_reference": 0.5,
        "review": None,  # the second master is not reviewed: the item is as far as the least far
        "derivatives": 2,
        "path": str(catalogue.settings.home / first.path),
    }
    assert {name: value for name, value in rows[1].items() if value is not None} == {
        "id": rows[1]["id"],
        "accession_number": "B",
        "status": "unrestored",
        "derivatives": 0,
    }
    json.dumps(rows)


def test_an_item_is_represented_by_its_first_match_restorable_views_first(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        version = add_version(session)
        item = add_item(session, "A", masters=0)
        verso = add_master(session, item, view=View.VERSO)
        add_master(session, item, view=View.RECTO)
        detail = add_master(session, item, view=View.DETAIL)
        add_derivative(session, verso, version, psnr_source=10.0)
        add_derivative(session, detail, version, psnr_source=20.0)
    with catalogue.reading() as session:
        assert [row["psnr_source"] for row in list_items(session, None)] == [None]
        assert [row["psnr_source"] for row in list_items(session, "status:restored")] == [20.0]
        assert [row["psnr_source"] for row in list_items(session, "view:verso")] == [10.0]


def test_lists_are_limited_by_items_and_not_by_masters(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        for name in "CAB":
            add_item(session, name, masters=3)
    with catalogue.reading() as session:
        assert [row["accession_number"] for row in list_items(session, None, limit=2)] == ["A", "B"]
        assert list(list_items(session, None, limit=0)) == []


def test_an_invalid_query_is_reported_before_anything_is_read(catalogue: Catalogue) -> None:
    with catalogue.reading() as session, pytest.raises(QueryError):
        list_items(session, "nonsense:1")


def test_a_list_is_two_questions_however_many_items(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        version = add_version(session)
        for number in range(5):
            add_derivative(session, add_item(session, f"A{number}").masters[0], version)
    questions: list[str] = []
    event.listen(catalogue.engine, "before_cursor_execute", lambda *call: questions.append(call[2]))
    with catalogue.reading() as session:
        assert len(list(list_items(session, "status:stale OR title:x OR status:restored"))) == 5
    # Access path and details of the items. PostgreSQL's planner settings read no rows.
    assert len([each for each in questions if each.startswith("SELECT") and "set_config" not in each]) == 2


def test_as_a_column_the_status_is_the_first_that_holds(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old = add_version(session, "denoise-deblur@1.0", approved=True)
        names = ("failed", "stale", "restored", "refused", "unrestored")
        masters = {name: add_item(session, name).masters[0] for name in names}
        for name in ("failed", "stale", "restored"):
            add_derivative(session, masters[name], old)
        new = add_version(session, "denoise-deblur@1.1", approved=True)
        add_derivative(session, masters["restored"], new)
        for name in ("failed", "stale", "restored", "refused"):
            masters[name].refusal = "too small"
        masters["failed"].last_task_status = TaskStatus.FAILED
    with catalogue.reading() as session:
        assert {row["accession_number"]: row["status"] for row in list_items(session, None)} == {
            name: name for name in names
        }
        assert get_item_details(catalogue, session, "stale")["status"] == "stale"


def test_a_list_says_rejected_where_nothing_is_current_after_a_rejection(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
        add_review(session, derivative, Decision.REJECTED)
        add_item(session, "B")
    with catalogue.reading() as session:
        assert [(row["status"], row["review"]) for row in list_items(session, None)] == [
            ("unrestored", "rejected"),
            ("unrestored", None),
        ]


def test_batches_are_counted_and_listed_with_their_failures(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        recipe = add_recipe(session, add_version(session))
        masters = {name: add_item(session, name).masters[0] for name in "CAB"}
        finished, failed, waiting, empty = (add_batch(session) for _ in range(4))
        add_task(session, finished, masters["C"], recipe, TaskStatus.FAILED, error="truncated")
        add_task(session, finished, masters["A"], recipe, TaskStatus.FAILED, error="missing")
        add_task(session, finished, masters["B"], recipe, TaskStatus.DONE)
        add_task(session, failed, masters["A"], recipe, TaskStatus.FAILED)
        add_task(session, waiting, masters["A"], recipe, TaskStatus.PENDING)
        add_task(session, waiting, masters["B"], recipe, TaskStatus.SKIPPED)
    with catalogue.reading() as session:
        listed = list(list_batches(session))
        told = get_batch(session, finished.id)
        with pytest.raises(NotFoundError, match="archive batch list"):
            get_batch(session, 99)
    assert listed[0] == {
        "id": finished.id,
        "created_at": "2026-05-04T12:00:00+00:00",
        "status": "done",
        "recipes": 1,
        "tasks": 3,
        "pending": 0,
        "running": 0,
        "done": 1,
        "failed": 2,
        "skipped": 0,
        "cancelled": 0,
        "priority": 0,
        "operator": "An Operator",
        "last_worked_at": None,
    }
    assert list(listed[0])[-9:-3] == ["pending", "running", "done", "failed", "skipped", "cancelled"]
    assert [(each["id"], each["status"]) for each in listed[1:]] == [
        (failed.id, "failed"),
        (waiting.id, "pending"),
        (empty.id, "done"),
    ]
    assert [(each["accession_number"], each["reason"]) for each in told["failures"]] == [
        ("A", "missing"),
        ("C", "truncated"),
    ]
    assert told["failures"][0]["path"] == masters["A"].path
    json.dumps(told)


def test_a_batch_without_a_living_worker_is_interrupted(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        recipe = add_recipe(session, add_version(session))
        masters = {name: add_item(session, name).masters[0] for name in "AB"}
        powerless, worked_on = (add_batch(session) for _ in range(2))
        now = catalogue.now(session)
        for batch, minutes in ((powerless, -1), (worked_on, 1)):
            lease = {"lease_expires_at": now + timedelta(minutes=minutes), "lease_renewed_at": now}
            add_task(session, batch, masters["A"], recipe, TaskStatus.RUNNING, attempts=1, **lease)
            add_task(session, batch, masters["B"], recipe)
    with catalogue.reading() as session:
        listed = list(list_batches(session))
    assert [each["status"] for each in listed] == ["interrupted", "running"]
    assert {each["last_worked_at"] for each in listed} == {now.isoformat(timespec="seconds")}


def test_references_name_versions_by_alias_number_or_the_approved_one(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old = add_version(session, "denoise-deblur@1.0", approved=True)
        new = add_version(session, "denoise-deblur@1.10")
        session.add(ModelAlias(model_id=new.model_id, alias="trial", version_id=new.id))
        add_version(session, "art@1.0", task=StageTask.STYLE)
    with catalogue.reading() as session:
        assert find_version(session, "denoise-deblur").id == old.id
        assert find_version(session, "denoise-deblur@1.10").id == new.id
        assert find_version(session, "denoise-deblur@trial").id == new.id
        for unknown, task, told in (
            ("denoise", None, "No model 'denoise'. Did you mean 'denoise-deblur'? Known models: art, denoise-deblur"),
            ("deblurr", StageTask.RESTORATION, "No model 'deblurr'. Known models: denoise-deblur"),
            ("arts", StageTask.STYLE, "No style 'arts'. Did you mean 'art'? Known styles: art"),
        ):
            with pytest.raises(NotFoundError) as caught:
                find_version(session, unknown, task=task)
            assert str(caught.value) == told
        with pytest.raises(NotFoundError, match=r"denoise-deblur@1.0, denoise-deblur@1.10 and denoise-deblur@approved"):
            find_version(session, "denoise-deblur@2.0")
        with pytest.raises(NotFoundError, match=r"No art@approved. Known versions: art@1.0"):
            find_version(session, "art")


def test_models_are_listed_with_aliases_and_use(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old = add_version(session, "denoise-deblur@1.0")
        add_version(session, "denoise-deblur@1.1", approved=True)
        add_version(session, "art@1.0", task=StageTask.STYLE)
        add_derivative(session, add_item(session, "A").masters[0], old)
    with catalogue.reading() as session:
        listed = list_model_versions(session)
    assert [(row["name"], row["version"], row["aliases"], row["derivatives"]) for row in listed] == [
        ("art", "1.0", [], 0),
        ("denoise-deblur", "1.0", [], 1),
        ("denoise-deblur", "1.1", ["approved"], 0),
    ]
    json.dumps(listed)


def test_agents_are_recorded_once(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        first = software_agent(session), person_agent(session, "R. Curator")
        event_recorded = record_event(session, EventType.INGESTION, at=datetime.now(UTC))
        session.flush()
    with catalogue.session() as session:
        assert (software_agent(session).id, person_agent(session, "R. Curator").id) == (first[0].id, first[1].id)
        assert event_recorded.agent_id == first[0].id


def test_every_further_field_can_be_listed(catalogue: Catalogue) -> None:
    assert tuple(_known_columns(Derivative)) == FURTHER_LIST_FIELDS
    with catalogue.session() as session:
        item = add_item(session, "A", date="1906~", date_text="um 1906", extra={"Box No.": "7"})
        session.flush()
        session.add(ItemIdentifier(item_id=item.id, scheme="ark", value="ark:/1/a"))
        add_item(session, "B")
    with catalogue.reading() as session:
        first, second = list_items(session, None, further=[*FURTHER_LIST_FIELDS, "extra.box_no"])
    assert set(first) == {*LIST_FIELDS, *FURTHER_LIST_FIELDS, "extra.box_no"}
    told = ("date_text", "extra.box_no", "identifiers", "view", "derivative_id")
    assert [first[name] for name in told] == ["um 1906", "7", "ark:/1/a", "recto", None]
    assert second["extra.box_no"] is None


def test_rows_about_masters_and_derivatives_have_the_further_fields_too(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        item = add_item(session, "A", date_text="um 1906", extra={"Box No.": "7"})
        version = add_version(session, approved=True)
        add_derivative(session, item.masters[0], version)
        add_item(session, "B")
    further = {*FURTHER_LIST_FIELDS, "extra.box_no"}
    with catalogue.reading() as session:
        masters = list(list_masters(session, None, further=further.difference(MASTER_ROW_FIELDS)))
        (row,) = list_derivatives(session, None, further=further.difference(DERIVATIVE_ROW_FIELDS))
    for found in (masters[0], row):
        assert (found["date_text"], found["extra.box_no"]) == ("um 1906", "7")
        assert found["derivative_id"] == row["derivative"]
    assert (masters[1]["extra.box_no"], masters[1]["derivative_id"]) == (None, None)


@pytest.mark.parametrize("rows", [list_items, list_derivatives])
def test_fields_about_a_selected_derivative_are_not_those_of_the_current_one(
    catalogue: Catalogue, rows: Callable[..., Iterator[dict[str, Any]]]
) -> None:
    with catalogue.session() as session:
        master = add_item(session, "A").masters[0]
        old = add_derivative(session, master, add_version(session, "denoise-deblur@1.0"), smoothed_share=0.3)
        newer = add_version(session, "denoise-deblur@2.0", approved=True)
        new = add_derivative(session, master, newer, smoothed_share=0.1)
        session.flush()
        assert master.current_restored_id == new.id
    with catalogue.reading() as session:
        (row,) = rows(
            session, f"batch:{old.batch_id}", further=["smoothed_share", "review_reason", "derivative_sha256"]
        )
    assert (row["derivative"], row["smoothed_share"], row["derivative_sha256"]) == (old.id, 0.3, old.sha256)


def test_review_fields_are_those_of_the_listed_master(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        first, second, third = (
            add_derivative(session, add_item(session, name).masters[0], version) for name in ("A", "B", "C")
        )
        add_review(session, first, Decision.ACCEPTED, reviewer="Anna")
        add_review(session, second, Decision.ACCEPTED, reviewer="Bo")
        add_review(session, third, Decision.ACCEPTED, reviewer="Bo")
        add_review(session, third, Decision.UNDONE, reviewer="Cleo")
    with catalogue.reading() as session:
        rows = list(list_items(session, None, further=["reviewer", "reviewed_at"]))
    assert [row["reviewer"] for row in rows] == ["Anna", "Bo", None]
    assert [row["reviewed_at"] is None for row in rows] == [False, False, True]
