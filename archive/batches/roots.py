"""Whether the masters of a batch are there as a whole: an unmounted share is one trouble, not many lost scans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.tables import Master, Root, Task
from archive.errors import BatchError
from archive.storage import MASTERS


def require_roots(catalogue: Catalogue, batch_id: int) -> None:
    """Checks that each folder which the batch's masters come from is there and holds at least one of them.

    Raises:
        BatchError: one is absent, or holds none of them.
    """
    with catalogue.reading() as session:
        for folder, masters in _roots(catalogue, session, batch_id):
            if not folder.is_dir():
                trouble = "is absent"
            elif not _any_exists(catalogue, session, masters):
                trouble = "holds none of them, like an unmounted share"
            else:
                continue
            raise BatchError(
                f"the folder {folder}, where masters of batch {batch_id} lie, {trouble}: mount or restore it, then run "
                f"`archive batch resume {batch_id}`. Nothing was marked as failed"
            )


def _roots(catalogue: Catalogue, session: Session, batch_id: int) -> Iterator[tuple[Path, Select[Any]]]:
    """Each folder with the stored paths of the batch's masters in it; copies lie below the home, wherever from."""
    of_batch = Master.id.in_(select(Task.master_id).where(Task.batch_id == batch_id))
    copied = Master.path.startswith(f"{MASTERS}/", autoescape=True)
    paths = select(Master.path).where(of_batch)
    roots = select(Root).where(Root.id.in_(select(Master.root_id).where(of_batch, ~copied))).order_by(Root.path)
    for root in session.scalars(roots).all():
        yield Path(root.path), paths.where(Master.root_id == root.id, ~copied)
    if session.scalar(paths.where(copied).limit(1)) is not None:
        yield catalogue.path_of(MASTERS), paths.where(copied)


def _any_exists(catalogue: Catalogue, session: Session, paths: Select[Any]) -> bool:
    with session.execute(paths, execution_options={"yield_per": 1000}) as rows:
        # os.path.exists, because an unreachable share raises errors that Path.exists lets through.
        return any(os.path.exists(catalogue.path_of(row.path)) for row in rows)  # noqa: PTH110
