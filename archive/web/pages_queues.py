"""Queues: opening one, deciding one by one, and fast passes over a grid."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.catalogue.schema.vocabularies import Decision, Role
from archive.errors import UsageError
from archive.page_queries import find_accession_number, get_derivative_page, newest_batch
from archive.review import record_decision
from archive.review_queue import (
    QueueEntry,
    claim_next,
    get_entry,
    list_entries,
    open_queue,
    queue_state,
    sort_orders,
)
from archive.web.guarded_endpoint import Call, Endpoint
from archive.web.pages_items import picture_of

_GRID_SIZE = 24
_MOST_SKIPPED = 1000


def queues_page(call: Call) -> Response:
    """The form that opens a queue; by default of what the newest batch made and nobody decided."""
    batch = newest_batch(call.state.catalogue)
    default = "review:none" if batch is None else f"review:none batch:{batch}"
    query = call.request.query_params.get("query", default)[:2000]
    return call.page("queues.html", query=query, sort_orders=sort_orders())


def start_queue(call: Call) -> Response:
    """Opens a queue, or joins one of the same query."""
    query = call.form.get("query", "").strip()[:2000] or "review:none"
    queue_id = open_queue(call.state.catalogue, query, call.form.get("sort_by", "accession_number"))
    return RedirectResponse(f"/queues/{queue_id}", 303)


def queue_page(call: Call) -> Response:
    """The page on which pictures are decided one by one."""
    queue = queue_state(call.state.catalogue, call.number("queue_id"), call.user)
    reasons = call.state.catalogue.settings.rejection_reasons
    return call.page("queue.html", queue=queue, reasons=reasons, may_review=call.may(Role.REVIEWER))


def next_entry(call: Call) -> Response:
    """The next entry for this reviewer, claimed, with the one after it to be fetched ahead."""
    queue_id = call.number("queue_id")
    skipped = _numbers(call.form.get("skipped", ""), _MOST_SKIPPED)
    entries = claim_next(call.state.catalogue, queue_id, call.user, skipped=skipped, count=2)
    return JSONResponse(_state(call, queue_id) | {"entries": [_entry(call, entry) for entry in entries]})


def one_entry(call: Call) -> Response:
    """An entry by its position: what was decided just now, to be looked at again."""
    queue_id = call.number("queue_id")
    entry = get_entry(call.state.catalogue, queue_id, call.number("position"), call.user)
    return JSONResponse(_state(call, queue_id) | {"entries": [_entry(call, entry)]})


def grid_page(call: Call) -> Response:
    """A page of a queue as a grid, before and after."""
    queue_id = call.number("queue_id")
    after = next(iter(_numbers(call.request.query_params.get("after", ""), 1)), 0)
    queue = queue_state(call.state.catalogue, queue_id, call.user)
    entries = list_entries(call.state.catalogue, queue_id, call.user, after=after, limit=_GRID_SIZE + 1)
    shown = entries[:_GRID_SIZE]
    masters = {
        entry.derivative_id: get_derivative_page(call.state.catalogue, call.user, entry.derivative_id).master["id"]
        for entry in shown
    }
    return call.page(
        "grid.html",
        queue=queue,
        entries=shown,
        masters=masters,
        more=shown[-1].position if len(entries) > _GRID_SIZE else None,
        after=after,
        may_review=call.may(Role.REVIEWER),
    )


def accept_many(call: Call) -> Response:
    """Accepts the derivatives of a grid that were shown; those with a decision meanwhile are left as they are."""
    queue_id = call.number("queue_id")
    wanted = set(_numbers(call.form.get("shown", ""), _GRID_SIZE))
    after = next(iter(_numbers(call.form.get("after", ""), 1)), 0)
    entries = list_entries(call.state.catalogue, queue_id, call.user, after=after, limit=_GRID_SIZE)
    for entry in entries:
        if entry.position in wanted and entry.decision is None:
            record_decision(
                call.catalogue,
                find_accession_number(call.state.catalogue, entry.derivative_id, call.user.access),
                decision=Decision.ACCEPTED,
                derivative_id=entry.derivative_id,
                reviewer=call.user.name,
            )
    return RedirectResponse(f"/queues/{queue_id}/grid?after={after}", 303)


def _state(call: Call, queue_id: int) -> dict[str, Any]:
    queue = queue_state(call.state.catalogue, queue_id, call.user)
    return {"total": queue.total, "decided": queue.decided}


def _entry(call: Call, entry: QueueEntry) -> dict[str, Any]:
    shown = get_derivative_page(call.state.catalogue, call.user, entry.derivative_id)
    return {"position": entry.position, "decision": entry.decision, "picture": picture_of(call, shown)}


def _numbers(text: str, most: int) -> list[int]:
    """Whole numbers with commas between them.

    Raises:
        UsageError: they are something else, or too many.
    """
    parts = [part for part in text[:20_000].split(",") if part]
    if len(parts) > most or not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts):
        raise UsageError(f"expected at most {most} whole numbers with commas between them")
    return [int(part) for part in parts]


ENDPOINTS = (
    Endpoint(path="/queues", page=queues_page),
    Endpoint(path="/queues", page=start_queue, method="POST", role=Role.REVIEWER),
    Endpoint(path="/queues/{queue_id}", page=queue_page),
    Endpoint(path="/queues/{queue_id}/next", page=next_entry, method="POST", role=Role.REVIEWER),
    Endpoint(path="/queues/{queue_id}/entries/{position}", page=one_entry),
    Endpoint(path="/queues/{queue_id}/grid", page=grid_page),
    Endpoint(path="/queues/{queue_id}/accept", page=accept_many, method="POST", role=Role.REVIEWER),
)
