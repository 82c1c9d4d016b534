"""The store of views, below ``<home>/views``: made when they are first asked for, deleted when they exceed their limit.

Everything here can be deleted at any time, also while the server runs. The name of a view is the digest of the file
that it shows, so a view never shows other bytes than those recorded. A view is made in a folder of its own, whose name
begins with a dot, and moved from there; if the folder is deleted meanwhile, the view is not made.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative
from archive.catalogue.schema.vocabularies import Access
from archive.errors import NotFoundError, ViewError
from archive.progress_reporting import Progress
from archive.settings import Settings
from archive.storage import VIEWS
from archive.views.pyramid import Advance, Pyramid, write_pyramid
from archive.views.subjects import Subject, find_subject, open_source
from restoration.errors import ImageError

_OPEN_PYRAMIDS = 64
_BUILDERS = 2
_REMEMBER_FAILURE_SECONDS = 30.0
_LONGEST_SECONDS = 3600.0  # for one pyramid
_LEFTOVER_SECONDS = 24 * 3600.0  # after which the folder of an unfinished view belongs to a process that was killed
Build = Callable[[Path, Advance], None]


def remove_views(settings: Settings) -> None:
    """Deletes all views of a home, finished or not, for a picture that must not be seen any more.

    Those of other pictures are recreated when they are looked at. Several processes may call this at once.

    Raises:
        OSError: one can't be deleted.
    """
    for path in (settings.home / VIEWS).glob("??/*"):
        if path.is_dir():
            _remove_unfinished(path)
        else:
            path.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """Deletes the folder in which a view is being made, under another name, so that nothing is added meanwhile."""
    renamed = folder.with_name(f".{uuid4().hex}.deleted")
    try:
        folder.rename(renamed)
    except FileNotFoundError:  # the view is finished, or was deleted by another process
        return
    while renamed.exists():
        with suppress(FileNotFoundError):  # another process deletes or renames it too
            shutil.rmtree(renamed)


class ViewPendingError(Exception):
    """A view is still being made; ``share`` of it, in [0, 1], is done."""

    def __init__(self, share: float) -> None:
        super().__init__(f"the view is being made: {share:.0%}")
        self.share = share


class ViewStore:
    """The views of one home. Its methods may be called from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / VIEWS
        self._limit = settings.views_gigabytes * 1024**3
        self._pool = ThreadPoolExecutor(_BUILDERS, thread_name_prefix="view")
        self._lock = threading.Lock()
        self._running: dict[str, Future[None]] = {}
        self._shares: dict[str, float] = {}
        self._failures: dict[str, tuple[float, ViewError]] = {}
        self._open: OrderedDict[str, Pyramid] = OrderedDict()

    def pyramid(self, subject: Subject, *, wait_seconds: float) -> Pyramid:
        """The pyramid of a picture; it is made if it does not exist.

        Raises:
            ViewPendingError: it isn't finished after ``wait_seconds``; making it goes on.
            ViewError: it can't be made.
        """
        name = f"{subject.key}.tif"
        with self._lock:
            if (found := self._open.get(name)) is not None:
                self._open.move_to_end(name)
                return found

        def build(path: Path, advance: Advance) -> None:
            with open_source(self._settings, subject) as source:
                write_pyramid(source, path, advance)

        path = self.file(name, build, wait_seconds=wait_seconds)
        try:
            opened = Pyramid(path)
        except (OSError, ValueError) as error:  # damaged, as by a power cut, or deleted just now
            path.unlink(missing_ok=True)
            raise ViewPendingError(0.0) from error
        with self._lock:
            self._open[name] = opened
            while len(self._open) > _OPEN_PYRAMIDS:
                self._open.popitem(last=False)
        return opened

    def file(self, name: str, build: Build, *, wait_seconds: float) -> Path:
        """The file ``name``; ``build`` makes it if it does not exist. Raises as :meth:`pyramid` does."""
        path = self._path(name)
        if path.exists():
            with suppress(OSError):
                os.utime(path)  # the time of its last use, by which views are deleted
            return path
        future = self._start(name, path, build)
        try:
            future.result(timeout=wait_seconds)
        except FutureTimeoutError:
            raise ViewPendingError(self._shares.get(name, 0.0)) from None
        return path

    def close(self) -> None:
        """Finishes the views that are being made, and makes no others."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _start(self, name: str, path: Path, build: Build) -> Future[None]:
        with self._lock:
            at, failure = self._failures.get(name, (0.0, None))
            if failure is not None and time.monotonic() - at < _REMEMBER_FAILURE_SECONDS:
                raise failure
            running = self._running.get(name)
            if running is None:
                self._shares[name] = 0.0
                running = self._running[name] = self._pool.submit(self._make, name, path, build)
            return running

    def _make(self, name: str, path: Path, build: Build) -> None:
        folder = path.with_name(f".{uuid4().hex}.partial")
        try:
            folder.mkdir(parents=True)
            build(folder / "view", lambda share: self._shares.__setitem__(name, share))
            (folder / "view").replace(path)
        except (ImageError, OSError) as error:
            failure = ViewError(f"the picture can't be shown: {error}")
            with self._lock:
                self._failures[name] = (time.monotonic(), failure)
            raise failure from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                self._running.pop(name, None)
                self._shares.pop(name, None)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Deletes the least recently used views until the rest is within the limit, and what killed processes left."""
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                status = path.stat()
                if not path.is_dir():
                    found.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > _LEFTOVER_SECONDS:
                    _remove_unfinished(path)
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                with self._lock:
                    self._open.pop(path.name, None)
                total -= size


def prepare_views(catalogue: Catalogue, batch_id: int, *, progress: Progress) -> list[str]:
    """Makes the pyramids of a batch's derivatives and of their masters, before anybody looks at them.

    Returns:
        Why a picture can't be shown, for each one that can't.
    """
    with catalogue.reading() as session:
        rows = session.execute(
            select(Derivative.id, Derivative.master_id)
            .where(Derivative.batch_id == batch_id, Derivative.withdrawn_at.is_(None))
            .order_by(Derivative.id)
        ).all()
    identifiers = dict.fromkeys(
        name for derivative, master in rows for name in (f"master-{master}", f"derivative-{derivative}")
    )
    store = ViewStore(catalogue.settings)
    problems = []
    progress.start(len(identifiers), "views")
    for identifier in identifiers:
        try:
            store.pyramid(find_subject(catalogue, identifier, tuple(Access)), wait_seconds=_LONGEST_SECONDS)
        except (NotFoundError, ViewError, ViewPendingError) as error:  # not found: withdrawn meanwhile
            problems.append(f"{identifier}: {error}")
        progress.advance()
    progress.finish()
    store.close()
    return problems
