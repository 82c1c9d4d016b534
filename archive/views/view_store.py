"""Files made for looking, below ``<home>/views``: made when they are first asked for, deleted when space runs short.

Everything here can be deleted at any time: it is recreated. Names are digests of the pixels that a view shows, so a
view never shows other bytes than those recorded.
"""

from __future__ import annotations

import os
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
from archive.errors import ViewError
from archive.progress_reporting import Progress
from archive.settings import Settings
from archive.views.pyramid import Advance, Pyramid, write_pyramid
from archive.views.subjects import Subject, find_subject, open_source
from restoration.errors import ImageError

VIEWS = "views"
_OPEN_PYRAMIDS = 64
_BUILDERS = 2
_REMEMBER_FAILURE_SECONDS = 30.0
_LONGEST_SECONDS = 3600.0  # for one pyramid
Build = Callable[[Path, Advance], None]


def remove_views(settings: Settings) -> None:
    """Deletes all views of a home, for a picture that must not be seen any more; those of others are recreated."""
    for path in (settings.home / VIEWS).glob("??/*"):
        path.unlink(missing_ok=True)


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
        """The pyramid of a picture, made if need be.

        Raises:
            ViewPendingError: it isn't finished after ``wait_seconds``; it is being made all the same.
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
        except (OSError, ValueError) as error:  # damaged, as by a power cut, or thrown away just now
            path.unlink(missing_ok=True)
            raise ViewPendingError(0.0) from error
        with self._lock:
            self._open[name] = opened
            while len(self._open) > _OPEN_PYRAMIDS:
                self._open.popitem(last=False)
        return opened

    def file(self, name: str, build: Build, *, wait_seconds: float) -> Path:
        """The file ``name``, made by ``build`` if it is not there; raises as :meth:`pyramid` does."""
        path = self._path(name)
        if path.exists():
            with suppress(OSError):
                os.utime(path)  # the time of its last use, by which the oldest are thrown away
            return path
        future = self._start(name, path, build)
        try:
            future.result(timeout=wait_seconds)
        except FutureTimeoutError:
            raise ViewPendingError(self._shares.get(name, 0.0)) from None
        return path

    def close(self) -> None:
        """Stops making views; views in progress are finished."""
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
        partial = path.with_name(f".{uuid4().hex}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            build(partial, lambda share: self._shares.__setitem__(name, share))
            partial.replace(path)
        except (ImageError, OSError) as error:
            failure = ViewError(f"the picture can't be shown: {error}")
            with self._lock:
                self._failures[name] = (time.monotonic(), failure)
            raise failure from error
        finally:
            partial.unlink(missing_ok=True)
            with self._lock:
                self._running.pop(name, None)
                self._shares.pop(name, None)
        self._throw_away_oldest(path)

    def _throw_away_oldest(self, newest: Path) -> None:
        """Deletes the views that were not used for the longest time until the rest is within the limit."""
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                break
            if path != newest and not path.name.startswith("."):
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
            select(Derivative.id, Derivative.master_id).where(Derivative.batch_id == batch_id).order_by(Derivative.id)
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
        except (ViewError, ViewPendingError) as error:
            problems.append(f"{identifier}: {error}")
        progress.advance()
    progress.finish()
    store.close()
    return problems
