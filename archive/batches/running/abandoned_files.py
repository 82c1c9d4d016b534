"""Temporary files that dead processes left behind: their removal."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Final

from sqlalchemy import and_, or_, select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Item, Master, Recipe, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.storage import derivative_path, temporary_name

_MAX_UNDONE_CLAIMS: Final = 1_000  # more tasks than all workers of a batch have in flight


def remove_abandoned_batch_files(catalogue: Catalogue, batch_id: int) -> None:
    """Removes temporary files of dead processes that no later claim of the batch would find.

    These belong to tasks that were cancelled after they had been claimed, and to tasks that were claimed more than
    once: a process that was suspended, resumed after the task was done and then killed leaves such a file. A power cut
    may undo the last claims, whose commits don't wait for the disk; tasks are claimed in the order of their ids.
    """
    is_cancelled = and_(Task.batch_id == batch_id, Task.status == TaskStatus.CANCELLED)
    maybe_undone = (
        select(Task.id)
        .join(Batch, Batch.id == Task.batch_id)
        .where(is_cancelled, Task.attempts == 0, Batch.begun_at.is_not(None))
        .order_by(Task.id)
        .limit(_MAX_UNDONE_CLAIMS)
        .subquery()
    )
    with catalogue.reading() as session:
        rows = session.execute(
            select(Item, Master.sequence, Master.sha256, Recipe.kind, Recipe.sha256)
            .select_from(Task)
            .join(Master, Task.master_id == Master.id)
            .join(Item, Master.item_id == Item.id)
            .join(Recipe, Task.recipe_id == Recipe.id)
            .where(
                Task.batch_id == batch_id,
                or_(
                    Task.attempts > 1,
                    and_(Task.attempts > 0, is_cancelled),
                    Task.id.in_(select(maybe_undone.c.id)),
                ),
            )
        ).all()
    for item, sequence, master_sha256, kind, recipe_sha256 in rows:
        for sha256 in (None, master_sha256):
            stored = derivative_path(item, sequence, kind, recipe_sha256, master_sha256=sha256)
            remove_abandoned_files(catalogue, catalogue.path_of(stored))


def remove_abandoned_files(catalogue: Catalogue, final: Path) -> None:
    """Removes the temporary files of ``final`` whose token no running task holds."""
    # Files are listed before tokens are read: a token is committed before its file is created, so that no file in use
    # is removed. Paths in the home contain no wildcard characters.
    pattern = temporary_name(final, "*")
    try:
        paths = list(final.parent.iterdir())  # not glob, which an interrupt leaves with an open folder
    except FileNotFoundError:
        return
    found = [(path.name.split(".")[-2], path) for path in paths if fnmatch.fnmatchcase(path.name, pattern)]
    if not found:
        return
    with catalogue.reading() as session:
        held = set(
            session.scalars(
                select(Task.lease_token).where(
                    Task.status == TaskStatus.RUNNING, Task.lease_token.in_(token for token, _ in found)
                )
            )
        )
    for token, path in found:
        if token not in held:
            path.unlink(missing_ok=True)
