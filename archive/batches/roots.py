"""Whether the masters of a batch are there as a whole: an unmounted share is one trouble, not many lost scans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ColumnElement, select
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
                raise BatchError(
                    f"the folder {folder}, which masters of batch {batch_id} were ingested from, is absent: "
                    f"mount or restore it, then run `archive batch resume {batch_id}`. Nothing was marked as failed"
                )
            # os.path.exists, because an unreachable share raises errors that Path.exists lets through.
            if not any(os.path.exists(path) for path in masters):  # noqa: PTH110
                raise BatchError(
                    f"the folder {folder} holds none of the masters that batch {batch_id} needs from it, as an unmounted "
                    f"share would: mount or restore it, then run `archive batch resume {batch_id}`. "
                    "Nothing was marked as failed"
                )


def _roots(catalogue: Catalogue, session: Session, batch_id: int) -> Iterator[tuple[Path, Iterator[Path]]]:
    """Each folder with the paths of the batch's masters in it; copied masters lie below the home, wherever from."""
    of_batch = select(Task.master_id).where(Task.batch_id == batch_id)
    copied = Master.path.startswith(f"{MASTERS}/", autoescape=True)

    def paths(where: ColumnElement[bool]) -> Iterator[Path]:
        found = session.scalars(
            select(Master.path).where(Master.id.in_(of_batch), where).execution_options(yield_per=1000)
        )
        return (catalogue.path_of(path) for path in found)

    roots = session.execute(
        select(Root.id, Root.path)
        .where(Root.id.in_(select(Master.root_id).where(Master.id.in_(of_batch), ~copied)))
        .order_by(Root.path)
    ).all()
    for root in roots:
        yield Path(root.path), paths((Master.root_id == root.id) & ~copied)
    if session.scalar(select(Master.id).where(Master.id.in_(of_batch), copied).limit(1)) is not None:
        yield catalogue.path_of(MASTERS), paths(copied)
