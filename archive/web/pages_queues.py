"""Pages of review queues: opening one, deciding its entries one by one, and accepting many in a grid."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.catalogue.schema.vocabularies import Decision, Role
from archive.errors import UsageError
from archive.review import record_decision
from archive.review_queue import (
    BY_ACCESSION_NUMBER,
    DECIDED_IN_GRID,
    QueueEntry,
    begins_with_lowest,
    claim_next,
    list_entries,
    list_queues,
    open_queue,
    queue_state,
    sort_orders,
)
from archive.web.guarded_endpoint import Call, Endpoint
from archive.web.pages_items import picture_of
from archive.web.translations import Texts
from archive.web_page_queries import get_derivative_page, has_unreviewed_trials, newest_batch

_ALL = "review:none"
_GRID_SIZE = 24
_MOST_SKIPPED = 1000


def queues_page(call: Call) -> Response:
    """The newest queues, and the form that opens one; by default, of what is not reviewed of the newest batch."""
    batch = newest_batch(call.state.catalogue)
    default = _ALL if batch is None else f"{_ALL} batch:{batch}"
    query = call.parameter("query") or default
    has_others = query != _ALL and has_unreviewed_trials(call.state.catalogue, batch)
    return call.page(
        "queues.html",
        query=query,
        wider_query=_ALL if has_others else None,
        sort_orders={name: order_label(call.texts, name) for name in sort_orders()},
        queues=[
            (queue, order_label(call.texts, queue.sort_by)) for queue in list_queues(call.state.catalogue, call.user)
        ],
        may_review=call.may(Role.REVIEWER),
    )


def order_label(texts: Texts, sort_by: str) -> str:
    """The order of a queue in words."""
    if sort_by == BY_ACCESSION_NUMBER:
        return texts("queue.accession_number")
    direction = "lowest_first" if begins_with_lowest(sort_by) else "highest_first"
    return texts(f"queue.{direction}", metric=texts(f"metric.{sort_by}"))


def start_queue(call: Call) -> Response:
    """Opens a queue, or an existing one of the same query and order."""
    query, sort_by = call.field("query") or _ALL, call.field("sort_by") or "accession_number"
    queue_id = open_queue(call.state.catalogue, query, sort_by)
    return RedirectResponse(f"/queues/{queue_id}", 303)


def queue_page(call: Call) -> Response:
    """The page to decide pictures one by one."""
    queue = queue_state(call.state.catalogue, call.number("queue_id"), call.user)
    reasons = call.state.catalogue.settings.rejection_reasons
    return call.page(
        "queue.html",
        queue=queue,
        order=order_label(call.texts, queue.sort_by),
        reasons=reasons,
        may_review=call.may(Role.REVIEWER),
    )


def next_entry(call: Call) -> Response:
    """Claims the next entry for this reviewer, and the one after it for fetching ahead."""
    queue_id = call.number("queue_id")
    first = next(iter(_numbers(call.form.get("first", ""), 1)), None)
    skipped = _numbers(call.form.get("skipped", ""), _MOST_SKIPPED)
    entries = claim_next(call.state.catalogue, queue_id, call.user, first=first, skipped=skipped, count=2)
    queue = queue_state(call.state.catalogue, queue_id, call.user)
    return JSONResponse(
        {"total": queue.total, "decided": queue.decided, "entries": [_entry(call, entry) for entry in entries]}
    )


def grid_page(call: Call) -> Response:
    """A page of a queue as a grid of derivatives and their scans."""
    queue_id = call.number("queue_id")
    after = next(iter(_numbers(call.request.query_params.get("after", ""), 1)), 0)
    queue = queue_state(call.state.catalogue, queue_id, call.user)
    entries = list_entries(call.state.catalogue, queue_id, call.user, after=after, limit=_GRID_SIZE + 1)
    shown = entries[:_GRID_SIZE]
    accepted = set(_numbers(call.request.query_params.get("accepted", ""), _GRID_SIZE))
    return call.page(
        "grid.html",
        queue=queue,
        entries=shown,
        more=shown[-1].position if len(entries) > _GRID_SIZE else None,
        after=after,
        accepted=[each.position for each in shown if each.position in accepted and each.decision == Decision.ACCEPTED],
        may_review=call.may(Role.REVIEWER),
    )


def accept_many(call: Call) -> Response:
    """Accepts the derivatives of a grid page that were shown and have no decision yet; the page can undo that."""
    after, entries = _chosen_entries(call, "shown")
    accepted = [entry for entry in entries if entry.decision is None]
    for entry in accepted:
        _decide_in_grid(call, entry, Decision.ACCEPTED)
    positions = ",".join(str(entry.position) for entry in accepted)
    return RedirectResponse(f"/queues/{call.number('queue_id')}/grid?after={after}&accepted={positions}", 303)


def undo_many(call: Call) -> Response:
    """Undoes the acceptances of :func:`accept_many` that are this reviewer's and still the newest decisions."""
    after, entries = _chosen_entries(call, "accepted")
    for entry in entries:
        newest = get_derivative_page(call.state.catalogue, call.user, entry.derivative_id).reviews[:1]
        if [(each["decision"], each["reason"], each["reviewer"]) for each in newest] == [
            (Decision.ACCEPTED, DECIDED_IN_GRID, call.user.name)
        ]:
            _decide_in_grid(call, entry, Decision.UNDONE)
    return RedirectResponse(f"/queues/{call.number('queue_id')}/grid?after={after}", 303)


def _chosen_entries(call: Call, field: str) -> tuple[int, list[QueueEntry]]:
    """The position before a grid page, and the entries of the page whose positions a field of the form lists."""
    wanted = set(_numbers(call.form.get(field, ""), _GRID_SIZE))
    after = next(iter(_numbers(call.form.get("after", ""), 1)), 0)
    entries = list_entries(call.state.catalogue, call.number("queue_id"), call.user, after=after, limit=_GRID_SIZE)
    return after, [entry for entry in entries if entry.position in wanted]


def _decide_in_grid(call: Call, entry: QueueEntry, decision: Decision) -> None:
    record_decision(
        call.catalogue,
        entry.accession_number,
        decision=decision,
        derivative_id=entry.derivative_id,
        reason=DECIDED_IN_GRID,
        reviewer=call.user.name,
    )


def _entry(call: Call, entry: QueueEntry) -> dict[str, Any]:
    shown = get_derivative_page(call.state.catalogue, call.user, entry.derivative_id)
    return {"position": entry.position, "decision": entry.decision, "picture": picture_of(call, shown)}


def _numbers(text: str, most: int) -> list[int]:
    """Whole numbers with commas between them.

    Raises:
        UsageError: the text is something else, or there are too many.
    """
    parts = [part for part in text.split(",") if part]
    if len(parts) > most or not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts):
        raise UsageError(f"expected at most {most} whole numbers with commas between them")
    return [int(part) for part in parts]


ENDPOINTS = (
    Endpoint(path="/queues", page=queues_page),
    Endpoint(path="/queues", page=start_queue, method="POST", role=Role.REVIEWER),
    Endpoint(path="/queues/{queue_id}", page=queue_page),
    Endpoint(path="/queues/{queue_id}/next", page=next_entry, method="POST", role=Role.REVIEWER),
    Endpoint(path="/queues/{queue_id}/grid", page=grid_page),
    Endpoint(path="/queues/{queue_id}/accept", page=accept_many, method="POST", role=Role.REVIEWER),
    Endpoint(path="/queues/{queue_id}/undo", page=undo_many, method="POST", role=Role.REVIEWER),
)
