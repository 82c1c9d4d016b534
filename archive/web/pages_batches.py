"""Pages of batches: their list, and one batch with live progress by server-sent events."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from archive.batches.planning.planner import RestoreRequest, plan_restore
from archive.batches.running.background import run_in_background
from archive.catalogue.schema.vocabularies import Role, TaskStatus
from archive.report import write_report
from archive.web.guarded_endpoint import Call, Endpoint
from archive.web_page_queries import browse_batches, get_batch_page, get_batch_progress

_MODEL = "denoise-deblur"
_PART_BYTES = 64 * 1024
_EVERY_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # then the browser connects again
_MOST_STREAMS = 16
_open_streams: set[object] = set()


def batches_page(call: Call) -> Response:
    """All batches, and for managers the form that plans one; with a query in the address, its plan."""
    query, may_run = call.parameter("plan"), call.may(Role.MANAGER)
    planned = None
    if may_run and "plan" in call.request.query_params:
        planned = plan_restore(call.catalogue, query or None, RestoreRequest(model=_MODEL), dry_run=True)
    batches = browse_batches(call.state.catalogue)
    return call.page("batches.html", batches=batches, may_run=may_run, plan=planned, query=query)


def start_batch(call: Call) -> Response:
    """Plans a batch and starts it in a process of its own."""
    query = call.field("query")
    planned = plan_restore(call.catalogue, query or None, RestoreRequest(model=_MODEL))
    if planned.batch_id is None:
        return RedirectResponse("/batches?" + urlencode({"plan": query}), 303)
    run_in_background(call.catalogue.settings, planned.batch_id)
    return RedirectResponse(f"/batches/{planned.batch_id}", 303)


def report(call: Call) -> Response:
    """The report about the open items of a query, as a download."""
    query = call.parameter("query")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(call.state.catalogue, query or None, path)
        size = path.stat().st_size
        file = path.open("rb")  # it can still be read after the folder was removed
    headers = {"content-disposition": 'attachment; filename="report.html"', "content-length": str(size)}
    return StreamingResponse(_parts(file), media_type="text/html", headers=headers)


def _parts(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART_BYTES):
            yield part


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
    Endpoint(path="/batches", page=start_batch, method="POST", role=Role.MANAGER),
    Endpoint(path="/report", page=report),
    Endpoint(path="/batches/{batch_id}", page=batch_page),
    Endpoint(path="/batches/{batch_id}/events", page=batch_events),
)
