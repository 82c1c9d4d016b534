"""Fake models: stages without a network, and worker processes that run a batch with them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from archive import failpoints
from archive.batches.running.runner import run_batch
from archive.batches.running.task_thread_pool import InFlightTask, WorkerPool
from archive.batches.running.worker_process import no_setup
from archive.catalogue import Catalogue
from archive.interruption import StopRequest
from archive.settings import load_settings
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import Environment
from restoration.pipeline.stages import Stage
from restoration.recipe import RecipeStage

Region = NDArray[np.float32]

_processes = multiprocessing.get_context("forkserver")
# All that a process imports is imported once, and forked.
_processes.set_forkserver_preload(
    ["__main__", __name__, "restoration.execution", "restoration.quality", "psycopg", "pywt"]
)


class FakeStage:
    """A stage that moves every value half way to mid grey, and calls ``then`` with the number of earlier calls."""

    margin_px = 0
    multiple_px = 1

    def __init__(self, then: Callable[[int], object] | None = None) -> None:
        self.then = then
        self.calls = 0

    def __call__(self, region: Region) -> Region:
        self.calls += 1
        if self.then:
            self.then(self.calls - 1)
        return region * np.float32(0.5) + np.float32(0.25)


def once(action: Callable[[], object]) -> Callable[[int], object]:
    """For a :class:`FakeStage`: runs ``action`` at the first call only."""
    return lambda calls: action() if calls == 0 else None


def raising(error: BaseException) -> Callable[[int], object]:
    """For a :class:`FakeStage`: raises ``error`` at each call."""

    def then(_calls: int) -> None:
        raise error

    return then


class FakeStyle:
    """A style that darkens, removes some blue, and calls ``then`` as :class:`FakeStage` does."""

    margin_px = 0
    multiple_px = 1

    def __init__(self, then: Callable[[int], object] | None = None) -> None:
        self.then = then
        self.calls = 0

    def for_picture(self, statistics: Mapping[str, float]) -> FakeStyle:
        assert statistics  # the whole picture was measured
        return self

    def __call__(self, region: Region) -> Region:
        self.calls += 1
        if self.then:
            self.then(self.calls - 1)
        return region * np.array([0.75, 0.7, 0.5][: region.shape[1]], np.float32)[:, None, None]


class FakeRestoration:
    """A loaded restoration that needs no grain profile and is ``work`` for every picture."""

    needs_grain_profile = False

    def __init__(self, work: Stage) -> None:
        self._work = work

    def for_picture(self, grain: Mapping[str, float]) -> Stage:
        assert not grain
        return self._work


class FakeModels(LoadedModels):
    """Models that use ``restoration`` for every restoration and ``style`` for every style, without a network."""

    def __init__(
        self,
        restoration: Stage,
        style: FakeStyle | None = None,
        folder_of: Callable[[RecipeStage], ModelFolder] | None = None,
        *,
        tile_size: int = 16,
        scores_device: str | None = None,
    ) -> None:
        """``folder_of`` is needed for recipes with styles; ``scores_device`` computes the scores."""
        self._restoration, self._style = restoration, style or FakeStyle()
        self._tile_size = tile_size
        self._scores_device = scores_device
        if folder_of is not None:
            self._folder_of = folder_of

    @property
    def tile_size(self) -> int:
        return self._tile_size

    @property
    def scores_device(self) -> str | None:
        return self._scores_device

    @property
    def environment(self) -> Environment:
        return Environment(
            software_version="1.2.3",
            torch_version="none",
            device="fake",
            instruction_set="numpy",
            precision="fp32",
            tile_size=self.tile_size,
            threads=1,
            seed=0,
            libraries={},
        )

    def restoration(self, stage: RecipeStage) -> Any:  # noqa: ARG002
        return FakeRestoration(self._restoration)

    def style(self, stage: RecipeStage) -> Any:  # noqa: ARG002
        return self._style


@dataclass(frozen=True, kw_only=True)
class FakeModelLoader:
    """A picklable ``make_models`` for worker processes; its :class:`FakeStage` pauses or kills its process."""

    pause_seconds: float = 0.0
    gate: Path | None = None  # at its first tile the stage makes this file and waits until it is gone
    kill: Path | None = None  # while this file exists, the process removes it and kills itself at a tile
    always_kill: bool = False

    def __call__(self, _folder_of: object, _execution: object) -> FakeModels:
        return FakeModels(FakeStage(self._then))

    def _then(self, calls: int) -> None:
        time.sleep(self.pause_seconds)
        if self.always_kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kill is not None and self.kill.exists():
            self.kill.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.gate is not None and calls == 0:
            passed = self.gate / str(os.getpid())
            passed.touch()
            wait_until(lambda: not passed.exists())


@dataclass(frozen=True, kw_only=True)
class StopMarks:
    """A picklable ``set_up_worker`` whose process marks in ``folder`` that it has acted on a request to stop.

    ``<process id>.asked``: it claims no more tasks and begins none. ``<process id>.aborted``: it has given up its
    in-flight tasks; their threads may go on.
    """

    folder: Path

    def __call__(self) -> None:
        ask, remove_file = StopRequest.ask, InFlightTask.remove_file

        def ask_and_mark(stop: StopRequest) -> None:
            ask(stop)
            self._mark("asked")

        def mark_and_remove_file(task: InFlightTask) -> None:
            self._mark("aborted")  # an aborted pool waits here for the task's thread
            remove_file(task)

        StopRequest.ask = ask_and_mark  # type: ignore[assignment, method-assign]
        InFlightTask.remove_file = mark_and_remove_file  # type: ignore[assignment, method-assign]

    def wait_for(self, what: str, *, processes: int = 1) -> None:
        """Waits until this number of processes has made the mark."""
        wait_until(lambda: len([*self.folder.glob(f"*.{what}")]) == processes)

    def _mark(self, what: str) -> None:
        (self.folder / f"{os.getpid()}.{what}").touch()


def worker(home: Path, batch_id: int, **options: Any) -> ForkServerProcess:
    """Starts a process that calls :func:`work` with these options."""
    process = _processes.Process(target=work, args=(home, batch_id), kwargs=options)
    process.start()
    return process


def work(
    home: Path,
    batch_id: int,
    *,
    failpoint: str | None = None,
    pause_seconds: float = 0.0,
    gate: Path | None = None,
    workers: int = 1,
    ray: str | None = None,
    loader: FakeModelLoader | None = None,
    marks: StopMarks | None = None,
) -> None:
    """Runs a batch; exits with code 130 if it was interrupted.

    Args:
        home: the home of the batch.
        batch_id: the batch.
        failpoint: the failpoint to arm.
        pause_seconds: the duration of the stage per tile.
        gate: at its first tile the stage creates this file and waits until it is removed. At that time the maximum
            number of tasks is in flight, and nothing accesses the database.
        workers: the number of worker processes; several need a ``loader``.
        ray: the address of a Ray cluster that does the work; it needs a ``loader``.
        loader: loads the stage and replaces the other options.
        marks: tells when this process, or each of its worker processes, has acted on a request to stop.
    """
    all_are_in_flight = threading.Event()
    next_finished = WorkerPool.next_finished

    def signal_then_wait(pool: WorkerPool) -> InFlightTask:
        all_are_in_flight.set()
        return next_finished(pool)

    def wait(calls: int) -> None:
        time.sleep(pause_seconds)
        if gate is not None and calls == 0:
            wait_until(all_are_in_flight.is_set)
            gate.touch()
            wait_until(lambda: not gate.exists())

    failpoints.armed = failpoints.Failpoint(failpoint) if failpoint else None
    if marks is not None and workers == 1:
        marks()
    catalogue = Catalogue.open(load_settings(home))
    with mock.patch.object(WorkerPool, "next_finished", signal_then_wait):
        loader_of_one = lambda _folder_of, _execution: FakeModels(FakeStage(wait))  # noqa: E731
        result = run_batch(
            catalogue,
            batch_id,
            workers=workers,
            ray=ray,
            make_models=loader or loader_of_one,
            set_up_worker=marks or no_setup,
        )
    sys.exit(130 if result.interrupted else 0)


def wait_until(condition: Callable[[], object], *, seconds: float = 600.0) -> None:
    """Waits until the condition is true. The time is only reached when a test fails, also on a slow machine.

    Raises:
        TimeoutError: it is still false after ``seconds``.
    """
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError
        time.sleep(0.01)
