"""Leases: which process holds a task, how it is known to be dead, and how a lease is prolonged while work goes on."""

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
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus

_log = logging.getLogger(__name__)

_BEATS_A_LEASE = 4  # so that a beat or two may be missed
_START_TIME = 19  # of the fields of /proc/<pid>/stat that follow the command's name; the first is the state
_ENDED = {"Z", "X"}  # killed, and only waiting for the parent to take note


@dataclass(frozen=True, kw_only=True)
class LeaseHolder:
    """A process, as any process on the same machine can tell it from all others, later ones of its number included."""

    host: str  # the machine since it was booted, and the set of process numbers that the process is counted in
    pid: int
    started: int  # clock ticks since the machine was booted

    @classmethod
    def this_process(cls) -> LeaseHolder:
        """The process that asks."""
        pid = os.getpid()
        return cls(host=_host(), pid=pid, started=_started(pid) or 0)

    def is_known_dead(self) -> bool:
        """Whether it ran on this machine and is gone. Of other machines nothing is known but their leases."""
        if self.host != _host():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's: it is there
            pass
        try:
            return _started(self.pid) != self.started
        except OSError:  # /proc may hide the processes of others
            return False


def lease_expiry(catalogue: Catalogue, session: Session) -> datetime:
    """When a lease ends that is taken or prolonged now, by the database's clock."""
    return catalogue.now(session) + timedelta(seconds=catalogue.settings.lease_seconds)


class Heartbeat:
    """While it is entered, a thread with sessions of its own prolongs the leases registered with :meth:`keep`.

    A lease that ran out is lost and is not prolonged any more, even if nobody has taken the task yet.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: set[str] = set()
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
        self._thread.join(timeout=1)  # a beat that waits for an absent database must not hold up the end

    def keep(self, token: str) -> None:
        """Prolongs the lease of ``token`` from now on."""
        with self._lock:
            self._kept.add(token)

    def let_go(self, token: str) -> None:
        """Prolongs the lease of ``token`` no more."""
        with self._lock:
            self._kept.discard(token)
            self._lost.discard(token)

    def is_lost(self, token: str) -> bool:
        """Whether the last beat found that the task is not held with ``token`` any more."""
        with self._lock:
            return token in self._lost

    def _run(self) -> None:
        while not self._stop.wait(self._catalogue.settings.lease_seconds / _BEATS_A_LEASE):
            with self._lock:
                kept = set(self._kept)
            if not kept:
                continue
            try:
                lost = kept - _prolonged(self._catalogue, kept)
            except DBAPIError as error:
                _log.info("leases could not be prolonged: %s", error.orig)
                continue
            with self._lock:
                self._lost |= lost & self._kept


def _prolonged(catalogue: Catalogue, tokens: set[str]) -> set[str]:
    """Prolongs the leases of ``tokens``; those that could be."""
    with catalogue.session() as session:
        held = (Task.lease_token.in_(tokens), Task.status == TaskStatus.RUNNING)
        # Locked first: behind another's lock the clock goes on.
        ids = session.scalars(select(Task.id).where(*held).with_for_update()).all()
        living = (Task.id.in_(ids), *held, Task.lease_expires_at > catalogue.now(session))
        prolong = (
            update(Task)
            .where(*living)
            .values(lease_expires_at=lease_expiry(catalogue, session), lease_renewed_at=catalogue.now(session))
        )
        return {token for token in session.scalars(prolong.returning(Task.lease_token)) if token is not None}


@cache
def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = Path("/proc/self/ns/pid").readlink()  # containers on one machine count their processes apart
    except OSError:  # no Linux: no other process is ever taken for one of this machine
        return f"{socket.gethostname()} {uuid4()}"
    return f"{socket.gethostname()} {boot} {numbers}"


def _started(pid: int) -> int | None:
    """When a process was started, in ticks since the boot, or None where it has ended.

    Raises:
        OSError: the system does not tell.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if fields[0] in _ENDED else int(fields[_START_TIME])
