"""Kills the worker processes of a supervised batch at random instants, and compares files with undisturbed ones."""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic
from types import TracebackType
from typing import Self

import psutil
from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Task
from archive.catalogue.schema.vocabularies import TaskStatus

_SHARE_AT_THE_START = 0.1  # of the kills: at any time after the start; the others come while the worker holds a task
_POLL_SECONDS = 0.02
_TIMES_AND_IDS = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|xmp\.iid:[0-9a-f-]{36}")


def digest_derivatives(home: Path) -> dict[str, str]:
    """The SHA-256 of each file below ``derivatives``, by relative path.

    The time of creation in a file's metadata and the id derived from it are left out, as they differ between runs.
    """
    folder = home / "derivatives"
    return {
        str(path.relative_to(folder)): hashlib.sha256(_TIMES_AND_IDS.sub(b"", path.read_bytes())).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def worker_processes() -> list[psutil.Process]:
    """The worker processes of this one, without Python's own helpers."""
    found = []
    for process in psutil.Process().children():
        try:
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


class WorkerKiller:
    """Context manager whose thread sends SIGKILL to each of the first ``workers`` worker processes, once.

    The instants are uniformly distributed: within ``within_seconds`` of a worker's first claimed task, or for a tenth
    of the workers of its start. The processes that replace them are left alone.
    """

    def __init__(self, catalogue: Catalogue, *, workers: int, within_seconds: float, random: Random) -> None:
        self.kills = 0
        self.kills_at_work = 0  # of workers that held a task
        self._catalogue = catalogue
        self._workers = workers
        self._within_seconds = within_seconds
        self._random = random
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        targets: dict[int, float | None] = {}  # kill time by process id; None until the worker holds a task
        while not self._ended.wait(_POLL_SECONDS) and self.kills < self._workers:
            holders = self._holders()
            for process in worker_processes():
                if process.pid not in targets and len(targets) < self._workers:
                    at_start = self._random.random() < _SHARE_AT_THE_START
                    targets[process.pid] = self._instant() if at_start else None
                if process.pid not in targets:
                    continue
                kill_at = targets[process.pid]
                if kill_at is None and process.pid in holders:
                    targets[process.pid] = self._instant()
                elif kill_at is not None and kill_at <= monotonic():
                    targets[process.pid] = float("inf")
                    with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                        process.kill()
                        self.kills += 1
                        self.kills_at_work += process.pid in holders

    def _instant(self) -> float:
        return monotonic() + self._random.uniform(0, self._within_seconds)

    def _holders(self) -> set[int | None]:
        """The ids of the processes that hold tasks."""
        with self._catalogue.reading() as session:
            return set(session.scalars(select(Task.lease_pid).where(Task.status == TaskStatus.RUNNING)))
