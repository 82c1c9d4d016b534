"""Throughput of finished tasks, and the time estimate for open ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, cast, func, select
from sqlalchemy.orm import Session

from archive.catalogue.batch_queries import open_tasks
from archive.catalogue.schema.tables import Derivative, Master, Model, ModelVersion, RecipeStage, Task
from archive.catalogue.schema.vocabularies import TaskStatus

_NEWEST_TASKS = 1000  # older measurements don't predict current throughput
_ROWS_AT_A_TIME = 1000

PIXELS = cast(Master.width, BigInteger) * Master.height
"""The pixels of a master; the product may exceed PostgreSQL's INTEGER."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The throughput of the most recent done tasks of all processes together."""

    masters_per_hour: float
    megapixels_per_second: float

    def seconds_for(self, pixels: int) -> float:
        """The estimated time for a number of pixels."""
        return pixels / 1e6 / self.megapixels_per_second


def measure_throughput(session: Session, *which: ColumnElement[bool]) -> Throughput | None:
    """The throughput of the most recent done tasks among those selected, or None if none is done.

    Time without in-flight tasks does not count, and overlapping tasks count once.
    """
    rows = session.execute(
        select(Task.started_at, Task.finished_at, PIXELS)
        .join(Master, Task.master_id == Master.id)
        .where(Task.status == TaskStatus.DONE, *which)
        .order_by(Task.id.desc())
        .limit(_NEWEST_TASKS)
    ).all()
    seconds = covered_seconds((began, ended) for began, ended, _ in rows if began and ended)
    if not seconds:
        return None
    pixels = sum(pixels for _, _, pixels in rows)
    return Throughput(masters_per_hour=len(rows) / seconds * 3600, megapixels_per_second=pixels / 1e6 / seconds)


def tasks_of_models(names: Iterable[str]) -> ColumnElement[bool]:
    """The tasks whose recipe has a stage of one of these models, in any version."""
    return Task.recipe_id.in_(
        select(RecipeStage.recipe_id)
        .join(ModelVersion, RecipeStage.version_id == ModelVersion.id)
        .join(Model, ModelVersion.model_id == Model.id)
        .where(Model.name.in_(list(names)))
    )


class OpenWork(NamedTuple):
    """The pending and running tasks of a batch: their number, and the pixels of their masters."""

    tasks: int
    pixels: int


def measure_open_work(session: Session, batch_id: int) -> OpenWork:
    """The open work of a batch; zeros if no task is open."""
    counted = select(func.count(Task.id), func.sum(PIXELS)).join(Master, Task.master_id == Master.id)
    tasks, pixels = session.execute(counted.where(*open_tasks(batch_id))).one()
    return OpenWork(tasks=tasks, pixels=int(pixels or 0))


def stage_seconds(session: Session, batch_id: int) -> list[dict[str, Any]]:
    """The network time of each stage in the batch: stage, seconds, and masters."""
    seconds: Counter[str] = Counter()
    masters: Counter[str] = Counter()
    records = session.scalars(
        select(Derivative.stage_records).where(Derivative.batch_id == batch_id),
        execution_options={"yield_per": _ROWS_AT_A_TIME},
    )
    for of_derivative in records:
        for record in of_derivative:
            name = f"{record['model']}@{record['version']}"
            seconds[name] += record["seconds"]
            masters[name] += 1
    return [{"stage": name, "seconds": seconds[name], "masters": masters[name]} for name in seconds]


def covered_seconds(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """The total time (s) covered by at least one of the spans."""
    covered, until = 0.0, None
    for began, ended in sorted(spans):
        if until is None or began > until:
            covered, until = covered + (ended - began).total_seconds(), ended
        elif ended > until:
            covered, until = covered + (ended - until).total_seconds(), ended
    return covered
