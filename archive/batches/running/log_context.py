"""What every line of a batch's log tells beside its message: batch, task, item and stage."""

from __future__ import annotations

from contextlib import AbstractContextManager

from structlog.contextvars import bind_contextvars, bound_contextvars

from archive.batches.running.claims import Claim


def batch_context(batch_id: int, *, worker: str | None = None) -> AbstractContextManager[None]:
    """Lines that are written inside are about the batch, and name the worker where there are several."""
    named = {} if worker is None else {"worker": worker}
    return bound_contextvars(batch=batch_id, task=None, item=None, stage=None, **named)


def set_task_context(claim: Claim) -> None:
    """Lines from now on are about the claimed task, and its item by accession number.

    It holds, as :func:`set_stage_context` does, for the context that it is called in: each in-flight task has its own.
    """
    bind_contextvars(task=claim.task_id, item=claim.accession_number, stage="claim")


def set_stage_context(stage: str) -> None:
    """Lines from now on, until the task's end, are about this step: the one that failed, where one fails.

    It is ``claim``, ``read``, ``restore``, the recipe's stage as ``name@version``, ``score``, ``digest`` or ``record``.
    """
    bind_contextvars(stage=stage)
