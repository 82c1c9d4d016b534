"""Log context: the batch, task, item and stage in each log line of a batch."""

from __future__ import annotations

from contextlib import AbstractContextManager

from structlog.contextvars import bind_contextvars, bound_contextvars

from archive.batches.running.claims import Claim


def batch_context(batch_id: int, *, worker: str | None = None, node: str | None = None) -> AbstractContextManager[None]:
    """Log lines inside this context belong to the batch; they name the worker and the node if there are several."""
    named = {key: value for key, value in (("worker", worker), ("node", node)) if value is not None}
    return bound_contextvars(batch=batch_id, task=None, item=None, stage=None, **named)


def set_task_context(claim: Claim) -> None:
    """The following log lines belong to the claimed task and its item.

    This applies to the current ``contextvars`` context, as with :func:`set_stage_context`: each in-flight task has one.
    """
    bind_contextvars(task=claim.task_id, item=claim.accession_number, stage="claim")


def set_stage_context(stage: str) -> None:
    """The following log lines of the task belong to this step; if the task fails, it is the failed step.

    Steps: ``claim``, ``read``, ``restore``, the recipe's stage as ``name@version``, ``score``, ``digest``, ``record``.
    """
    bind_contextvars(stage=stage)
