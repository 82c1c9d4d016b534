"""Pages of batches: their list, and one batch with live progress by server-sent events."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from archive.batches.planning.planner import plan_restore
from archive.batches.running.background import run_in_background
from archive.catalogue.schema.vocabularies import Role, TaskStatus
from archive.page_queries import browse_batches, get_batch_page, get_batch_progress
from archive.report import write_report
from archive.web.guarded_endpoint import Call, Endpoint

_MODEL = "denoise-deblur"
_EVERY_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # then the browser connects again
_MOST_STREAMS = 16
_open_streams: set[object] = set()


def batches_page(call: Call) -> Response:
    """All batches, and for managers the form that plans one."""
    return call.page(
        "batches.html",
        batches=browse_batches(call.state.catalogue),
        may_run=call.may(Role.MANAGER),
        plan=None,
        query="",
    )


def plan(call: Call) -> Response:
    """Shows what a batch of a query would do, or plans it and starts it in a process of its own."""
    query = call.field("query")
    is_start = call.field("start") == "yes"
    planned = plan_restore(call.catalogue, query or None, model=_MODEL, dry_run=not is_start)
    if is_start and planned.batch_id is not None:
        run_in_background(call.catalogue.settings, planned.batch_id)
        return RedirectResponse(f"/batches/{planned.batch_id}", 303)
    batches = browse_batches(call.state.catalogue)
    return call.page("batches.html", batches=batches, may_run=True, plan=planned, query=query)


def report(call: Call) -> Response:
    """The report about the open items of a query, as a download."""
    query = call.parameter("query")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(call.state.catalogue, query or None, path)
        content = path.read_bytes()
    return Response(
        content, media_type="text/html", headers={"content-disposition": 'attachment; filename="report.html"'}
    )


def batch_page(call: Call) -> Response:
    """One batch with its failures."""
    found = get_batch_page(call.state.catalogue, call.user, call.number("batch_id"))
    return call.page("batch.html", batch=found, statuses=[status.value for status in TaskStatus])


def batch_events(call: Call) -> Response:
    """Progress as server-sent events, until the batch ends."""
    batch_id = call.number("batch_id")
    get_batch_progress(call.state.catalogue, batch_id)
    if len(_open_streams) >= _MOST_STREAMS:
        return Response(status_code=503, headers={"retry-after": "30"})
    return StreamingResponse(_events(call, batch_id), media_type="text/event-stream")


async def _events(call: Call, batch_id: int) -> AsyncIterator[str]:
    mark = object()
    _open_streams.add(mark)
    try:
        for _ in range(int(_LONGEST_SECONDS / _EVERY_SECONDS)):
            found = await run_in_threadpool(get_batch_progress, call.state.catalogue, batch_id)
            yield f"data: {json.dumps(found)}\n\n"
            if not (found["pending"] or found["running"]):
                yield "event: end\ndata: {}\n\n"
                return
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        _open_streams.discard(mark)


ENDPOINTS = (
    Endpoint(path="/batches", page=batches_page),
    Endpoint(path="/batches/plan", page=plan, method="POST", role=Role.MANAGER),
    Endpoint(path="/report", page=report),
    Endpoint(path="/batches/{batch_id}", page=batch_page),
    Endpoint(path="/batches/{batch_id}/events", page=batch_events),
)
