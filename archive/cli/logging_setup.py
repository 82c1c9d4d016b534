"""Logging to standard error: text, or with ``--log-format json`` one JSON object per line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import click

_OF_A_BATCH = ("batch", "task", "item", "stage")
# The loggers of batches; each of their lines has all four keys.
_BATCH_LOGGERS = ("archive.batches", "archive.cli")

_log = logging.getLogger(__name__)
_handlers: list[logging.Handler] = []


class _ToStandardError(logging.StreamHandler[Any]):
    """Writes to the current ``sys.stderr``, which tests replace."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def set_log_format(form: str) -> None:
    """Sets the format of standard error: ``text`` or ``json``."""
    root = logging.getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
    _handlers.clear()
    logging.captureWarnings(form == "json")
    logging.getLogger("archive").setLevel(logging.INFO if form == "json" else logging.NOTSET)
    if form != "json":
        return
    handler = _ToStandardError()
    handler.setFormatter(_json_formatter())
    _handlers.append(handler)
    root.addHandler(handler)


def is_json() -> bool:
    """Whether the log format is json."""
    return bool(_handlers)


def log_setup() -> Callable[[], None]:
    """The logging setup for a worker process, equal to this process's; picklable."""
    return partial(set_log_format, "json" if is_json() else "text")


def emit(text: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Writes ``text`` to standard error; in the json format with ``facts`` as additional keys."""
    if is_json():
        _log.log(level, "%s", text.strip(), extra=facts)
    else:
        click.echo(text, err=True)


def answer_writer(form: str) -> Callable[[str], None]:
    """What writes a line of an answer in the format ``form``: with ``json``, standard output is for the JSON alone."""
    return emit if form == "json" else click.echo


def warn(text: str, **facts: Any) -> None:
    """Writes ``text`` about a part that failed, because of which a command ends with exit code 3: like :func:`emit`."""
    emit(text, level=logging.WARNING, **facts)


def _json_formatter() -> logging.Formatter:
    import structlog

    def with_batch(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event["logger"].startswith(_BATCH_LOGGERS):
            for key in _OF_A_BATCH:
                event.setdefault(key, None)
        return event

    def with_level(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # Logged as information, because in text the result of the batch lists the failures.
        if event.get("outcome") == "failed":
            event["level"] = "warning"
        return event

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            with_batch,
            with_level,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )
