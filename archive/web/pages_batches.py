"""Batches: their list, and one with live progress by server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from archive.browsing import browse_batches, get_batch_page
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.web.endpoints import Call, Endpoint

_EVERY_SECONDS = 2.0
_LONGEST_SECONDS = 600.0  # then the browser connects again
_MOST_STREAMS = 16
_open_streams: set[object] = set()


def batches_page(call: Call) -> Response:
    """All batches."""
    return call.page("batches.html", batches=browse_batches(call.state.catalogue))


def batch_page(call: Call) -> Response:
    """One batch with its failures."""
    found = get_batch_page(call.state.catalogue, call.user, call.number("batch_id"))
    return call.page("batch.html", batch=found, statuses=[status.value for status in TaskStatus])


def batch_events(call: Call) -> Response:
    """Progress as server-sent events, until the batch is at its end."""
    batch_id = call.number("batch_id")
    get_batch_page(call.state.catalogue, call.user, batch_id)
    if len(_open_streams) >= _MOST_STREAMS:
        return Response(status_code=503, headers={"retry-after": "30"})
    return StreamingResponse(_events(call, batch_id), media_type="text/event-stream")


async def _events(call: Call, batch_id: int) -> AsyncIterator[str]:
    mark = object()
    _open_streams.add(mark)
    try:
        for _ in range(int(_LONGEST_SECONDS / _EVERY_SECONDS)):
            found = await run_in_threadpool(get_batch_page, call.state.catalogue, call.user, batch_id)
            yield f"data: {json.dumps(_progress(found))}\n\n"
            if not (found["pending"] or found["running"]):
                yield "event: end\ndata: {}\n\n"
                return
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        _open_streams.discard(mark)


def _progress(found: dict[str, Any]) -> dict[str, Any]:
    counts = {status.value: found[status.value] for status in TaskStatus}
    return {"status": found["status"], "tasks": found["tasks"], "seconds_left": found["seconds_left"], **counts}


ENDPOINTS = (
    Endpoint(path="/batches", page=batches_page),
    Endpoint(path="/batches/{batch_id}", page=batch_page),
    Endpoint(path="/batches/{batch_id}/events", page=batch_events),
)
