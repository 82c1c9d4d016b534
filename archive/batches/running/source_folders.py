"""Check of the source folders: an unmounted share is one problem, not thousands of missing scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import open_tasks
from archive.catalogue.query.file_predicates import IS_COPY
from archive.catalogue.schema.tables import Master, Root, Task
from archive.errors import BatchError
from archive.storage import MASTERS, check_root


def require_source_folders(catalogue: Catalogue, batch_id: int) -> None:
    """Checks that every folder with masters that are still to be restored is available.

    The check uses all of the batch's masters in the folder. If some of them exist, the missing ones are lost files; the
    folder itself is available.

    Raises:
        BatchError: a folder is not available; see :func:`archive.storage.check_root`.
    """
    with catalogue.reading() as session:
        for folder, masters in _roots(catalogue, session, batch_id):
            with session.execute(masters.distinct(), execution_options={"yield_per": 1000}) as rows:
                problem = check_root(folder, (catalogue.path_of(row.path) for row in rows))
            if problem is not None:
                raise BatchError(
                    f"the folder {folder}, where masters of batch {batch_id} lie, {problem}: mount or restore it, then "
                    f"run `archive batch resume {batch_id}`. Nothing was marked as failed. To go on without it, run "
                    f"`archive batch cancel {batch_id}`, and restore with a query that excludes its items"
                )


def _roots(catalogue: Catalogue, session: Session, batch_id: int) -> Iterator[tuple[Path, Select[Any]]]:
    """Each source folder of open tasks, with the stored paths of all the batch's masters in it.

    The folder of copied masters is below the home.
    """
    tasks = select(Task.master_id).where(Task.batch_id == batch_id)
    of_batch = Master.id.in_(tasks)
    is_open = Master.id.in_(select(Task.master_id).where(*open_tasks(batch_id)))
    paths = select(Master.path).where(of_batch)
    roots = select(Root).where(Root.id.in_(select(Master.root_id).where(is_open, ~IS_COPY))).order_by(Root.path)
    for root in session.scalars(roots).all():
        yield catalogue.path_of(root.path), paths.where(Master.root_id == root.id, ~IS_COPY)
    if session.scalar(select(Master.id).where(is_open, IS_COPY).limit(1)) is not None:
        yield catalogue.path_of(MASTERS), paths.where(IS_COPY)
