"""Leases: the process that holds a task, the check that it is alive, and the heartbeat that extends its leases."""

from __future__ import annotations

import logging
import os
import socket
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus

_log = logging.getLogger(__name__)

_BEATS_PER_LEASE = 4  # so that one or two beats may fail
_HOST_PARTS = 3  # of the identification of a machine on Linux
_START_TIME_FIELD = 19  # index among the fields of /proc/<pid>/stat after the command's name; index 0 is the state
_DEAD_STATES = {"Z", "X"}  # zombie, dead


@dataclass(frozen=True, kw_only=True)
class LeaseHolder:
    """Identifies a process on its machine, also after its process id has been reused."""

    host: str  # host name, boot id and process-id namespace
    pid: int
    started: int  # clock ticks since boot

    @classmethod
    def this_process(cls) -> LeaseHolder:
        """The calling process."""
        return _holder(os.getpid())

    def is_known_dead(self) -> bool:
        """Whether it ran on this machine and has ended. False for other machines: only their leases are known."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it exists, but belongs to another user
            pass
        try:
            return _start_ticks(self.pid) != self.started
        except OSError:  # /proc may hide other users' processes
            return False

    def ran_before_restart(self) -> bool:
        """Whether it ran on a machine of this one's name that was started at another time, probably this one.

        False where the operating system doesn't tell when it was started.
        """
        that, this = self.host.split(), _host().split()
        return len(that) == len(this) == _HOST_PARTS and that[0] == this[0] and that[1] != this[1]


def lease_expiry(catalogue: Catalogue, now: datetime) -> datetime:
    """The expiry time of a lease that is taken or extended at ``now``, by the database's clock."""
    return now + timedelta(seconds=catalogue.settings.lease_seconds)


class Heartbeat:
    """Context manager whose thread extends the leases that are registered with :meth:`register`.

    An expired lease is lost: it is not extended again, even if no other process has claimed the task yet.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._registered: set[str] = set()
        self._lost: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=1)  # a beat that waits for the database must not delay the exit

    def register(self, token: str) -> None:
        """Starts to extend the lease of ``token``."""
        with self._lock:
            self._registered.add(token)

    def unregister(self, token: str) -> None:
        """Stops extending the lease of ``token``."""
        with self._lock:
            self._registered.discard(token)
            self._lost.discard(token)

    def is_lost(self, token: str) -> bool:
        """Whether the last beat found that ``token`` no longer holds its task."""
        with self._lock:
            return token in self._lost

    def _run(self) -> None:
        while not self._stop.wait(self._catalogue.settings.lease_seconds / _BEATS_PER_LEASE):
            with self._lock:
                registered = set(self._registered)
            if not registered:
                continue
            try:
                lost = registered - _extend_leases(self._catalogue, registered)
            except DBAPIError as error:
                _log.info("leases could not be extended: %s", error.orig)
                continue
            with self._lock:
                self._lost |= lost & self._registered


def _extend_leases(catalogue: Catalogue, tokens: set[str]) -> set[str]:
    """Extends the leases of ``tokens``; returns the tokens whose lease is still valid."""
    with catalogue.session() as session:
        held = (Task.lease_token.in_(tokens), Task.status == TaskStatus.RUNNING)
        # Locked before the clock is read, because time passes while we wait for another process's lock.
        ids = session.scalars(select(Task.id).where(*held).with_for_update()).all()
        now = catalogue.now(session)
        unexpired = (Task.id.in_(ids), *held, Task.lease_expires_at > now)
        extend = (
            update(Task).where(*unexpired).values(lease_expires_at=lease_expiry(catalogue, now), lease_renewed_at=now)
        )
        return {token for token in session.scalars(extend.returning(Task.lease_token)) if token is not None}


@cache
def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = Path("/proc/self/ns/pid").readlink()  # each container has its own process ids
    except OSError:  # not Linux: no other process counts as one of this machine
        return f"{socket.gethostname()} {uuid4()}"
    return f"{socket.gethostname()} {boot} {numbers}"


@cache
def _holder(pid: int) -> LeaseHolder:
    return LeaseHolder(host=_host(), pid=pid, started=_start_ticks(pid) or 0)


def _start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None if it has ended.

    Raises:
        OSError: the information is not available.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if fields[0] in _DEAD_STATES else int(fields[_START_TIME_FIELD])
