"""The supervisor of Ray workers without Ray: a stand-in in this process takes the place of the cluster."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from archive.batches.running.leases import LeaseHolder
from archive.batches.running.ray_worker import RayWorker
from archive.batches.running.runner import run_batch
from archive.batches.running.worker_process import Report
from tests.fake_models import FakeModelLoader

# `workshop` is made in conftest.py.

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class RayError(Exception):
    """The result of an actor that was killed."""


class FakeActor:
    """An actor whose results are futures. It works until it is asked to stop, or loads models until it is killed."""

    def __init__(self, *, is_working: bool, on_working: Callable[[], None]) -> None:
        self._first_reports: list[tuple[Report, object]] = [(Report.STARTED, LeaseHolder.this_process())]
        if is_working:
            self._first_reports.append((Report.WORKING, None))
        self._on_working = on_working if is_working else lambda: None
        self._reports = self._report_calls()
        self._run: Future[Any] = Future()
        self._next_reports: Future[Any] = Future()
        self.run = SimpleNamespace(remote=lambda: self._run)
        self.reports = SimpleNamespace(remote=lambda: next(self._reports))
        self.stop = SimpleNamespace(remote=lambda: self._run.set_result((Report.ENDED, None)))

    def _report_calls(self) -> Iterator[Future[Any]]:
        first: Future[Any] = Future()
        first.set_result(self._first_reports)
        yield first
        self._on_working()
        yield self._next_reports
        last: Future[Any] = Future()
        last.set_result([])
        yield last

    def kill(self) -> None:
        for result in (self._run, self._next_reports):
            if not result.done():
                result.set_exception(RayError("the actor was killed"))


class FakeRay:
    """The functions of the module ``ray`` that the supervisor calls: one node, and the actors in their order."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, *actors: FakeActor) -> None:
        self._actors = iter(actors)

    def init(self, **_options: object) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def nodes(self) -> list[dict[str, object]]:
        resources = {"CPU": 2, "memory": 64 * 1024**3}
        return [{"NodeID": "1" * 8, "NodeManagerHostname": "node", "Alive": True, "Resources": resources}]

    def remote(self, what: Any) -> Any:
        """A function, which runs at once, or the class of the workers."""

        def call(*arguments: object) -> object:
            if what is RayWorker:
                return next(self._actors)
            result: Future[Any] = Future()
            result.set_result(what(*arguments))
            return result

        return SimpleNamespace(options=lambda **_options: SimpleNamespace(remote=call))

    def get(self, result: Future[Any], timeout: float | None = None) -> object:
        return result.result(timeout)

    def wait(self, results: Sequence[Future[Any]], timeout: float) -> tuple[list[Future[Any]], list[Future[Any]]]:
        done, others = concurrent.futures.wait(results, timeout, concurrent.futures.FIRST_COMPLETED)
        return list(done), list(others)

    def kill(self, actor: FakeActor) -> None:
        actor.kill()


@POSTGRESQL
def test_a_ctrl_c_while_a_worker_loads_its_models_is_not_a_crash(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = workshop.prepared("A", "B")

    def press_ctrl_c() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    ray = FakeRay(*(FakeActor(is_working=working, on_working=press_ctrl_c) for working in (True, False)))
    monkeypatch.setitem(sys.modules, "ray", ray)
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda _node, **_options: None)
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
    result = run_batch(workshop.catalogue, batch_id, device="cpu", workers=2, ray="auto", make_models=FakeModelLoader())
    assert (result.interrupted, result.pending) == (True, 2)
    assert "ended unexpectedly" not in caplog.text
    workshop.assert_interrupted(batch_id, "Ctrl-C")
