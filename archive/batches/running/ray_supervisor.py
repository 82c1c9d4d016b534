"""The supervisor of workers on a Ray cluster: one actor per worker, on every node that can work on the batch.

Ray places actors and tells when they are lost. Workers claim tasks from the catalogue by themselves, as all others do,
so that Ray decides nothing about the work.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from archive.batches.running.leases import LeaseHolder
from archive.batches.running.log_context import batch_context
from archive.batches.running.model_preflight import ModelLoader
from archive.batches.running.ray_worker import LineStream, RayWorker, check_node, software_versions
from archive.batches.running.supervised_batch import CRASHES_PER_WORKER, GRACE_SECONDS, POLL_SECONDS, SupervisedBatch
from archive.batches.running.worker_count import WorkerCount, count_workers
from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.running.worker_process import Report, WorkerJob
from archive.catalogue import Catalogue
from archive.errors import BatchError, UsageError
from archive.interruption import StopRequest, keeping_sigterm_handler
from archive.progress_reporting import Progress

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_SEARCHES: Final = 2.0  # for nodes that have joined
_LONGEST_CHECK_SECONDS: Final = 300.0
_THREADS_OF_AN_ACTOR: Final = 3  # run, reports, stop


def supervise_on_ray(
    catalogue: Catalogue,
    batch_id: int,
    options: WorkerOptions,
    *,
    address: str,
    workers: WorkerCount,
    stop: StopRequest,
    progress: Progress,
    make_models: ModelLoader,
    set_up_worker: Callable[[], None],
) -> bool:
    """Runs workers on the nodes of the Ray cluster at ``address``; whether Ctrl-C ended it.

    With ``workers="auto"`` it is one worker on each node without a GPU, and as many on each GPU as keep it busy; where
    GPUs may be used and a node has one, nodes without a GPU get none. With a number each node gets so many.

    Raises:
        UsageError: the catalogue is in SQLite, a GPU is named, or a node has too little memory.
        BatchError: Ray is not installed, there is no cluster, a node can't work on the batch, or workers crashed too
            often.
        ArchiveError: as the worker raised it that met it.
    """
    check_ray_usage(catalogue, options.device)
    job = WorkerJob(
        settings=catalogue.settings, batch_id=batch_id, options=options, make_models=make_models, set_up=set_up_worker
    )
    with (
        batch_context(batch_id),
        # Ray prints messages about lost nodes there, which belongs to answers.
        redirect_stdout(LineStream(lambda line: _log.info("ray: %s", line))),
        _connection(address) as ray,
        _RaySupervision(ray, catalogue, job, workers, stop, progress) as supervision,
    ):
        return supervision.run()


def check_ray_usage(catalogue: Catalogue, device: str) -> None:
    """Checks what is known without a cluster, before a batch is written.

    Raises:
        UsageError: the catalogue is in SQLite, or a GPU is named.
    """
    if catalogue.settings.sqlite_path is not None:
        raise UsageError("--ray needs a catalogue in PostgreSQL. SQLite serves one machine only")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--ray places workers on GPUs by itself. Give --device cuda instead of {device}")


@contextmanager
def _connection(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster."""
    try:
        import ray
    except ImportError as error:
        raise BatchError(
            "Ray is not installed. In the project folder, run "
            "`.venv/bin/python -m pip install --constraint constraints.txt --editable '.[ray]'`"
        ) from error
    try:
        with keeping_sigterm_handler():
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BatchError(
            f"the Ray cluster {address} can't be reached: {error}. Start one with `ray start --head`, and run this "
            "command on one of its nodes"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(frozen=True, kw_only=True)
class _Node:
    id: str
    name: str
    cores: int
    gpus: int
    memory: int  # bytes

    @classmethod
    def of(cls, described: Any) -> _Node:
        resources = described["Resources"]
        return cls(
            id=described["NodeID"],
            name=f"{described['NodeManagerHostname']} ({described['NodeID'][:8]})",
            cores=int(resources.get("CPU", 0)),
            gpus=int(resources.get("GPU", 0)),
            memory=int(resources.get("memory", 0)),
        )


@dataclass(kw_only=True)
class _Worker:
    """An actor on a node; started again where it crashes."""

    node: _Node
    job: WorkerJob
    gpus: float
    actor: Any = None
    holder: LeaseHolder | None = None
    working: bool = False  # whether it may hold tasks
    asked: int = 0  # how often it was asked to stop
    crashes: int = 0  # since it has done a task


class _RaySupervision:
    """The run of one batch on a cluster. No worker outlives the context."""

    def __init__(
        self,
        ray: Any,
        catalogue: Catalogue,
        job: WorkerJob,
        requested: WorkerCount,
        stop: StopRequest,
        progress: Progress,
    ) -> None:
        self._ray = ray
        self._home = catalogue.settings.home
        self._job = job
        self._requested = requested
        self._stop = stop
        self._batch = SupervisedBatch(catalogue, job.batch_id, progress, job.options.stop_at)
        self._software = software_versions()
        self._nodes: dict[str, _Node] = {}  # that were found so far
        self._marks: dict[str, Path] = {}  # of nodes that are being checked
        self._workers: list[_Worker] = []
        self._waiting: dict[Any, Callable[[Any], None]] = {}  # what to do when a result of Ray arrives
        self._next_search = 0.0

    def __enter__(self) -> Self:
        self._batch.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask_to_stop(2)
        until = monotonic() + GRACE_SECONDS
        while self._workers and monotonic() < until:
            self._handle_results()
        for worker in self._workers:
            self._ray.kill(worker.actor)
        for mark in self._marks.values():
            mark.unlink(missing_ok=True)
        self._batch.end()

    def run(self) -> bool:
        """Starts the workers and looks after them until the last has ended; whether Ctrl-C ended the run."""
        self._start_on_all_nodes()
        _log.info("workers started", extra={"workers": len(self._workers)})
        try:
            with self._stop.deferred():
                while self._workers:
                    if self._stop.requested or self._batch.error is not None:
                        self._ask_to_stop(1)
                    self._handle_results()
                    self._batch.show_progress()
                    self._end_workers_without_work()
                    self._look_for_new_nodes()
        except KeyboardInterrupt:
            return True
        return self._batch.conclude(self._stop)

    def _start_on_all_nodes(self) -> None:
        """Checks all nodes, then starts their workers.

        Raises:
            BatchError: a node can't work on the batch, or none is there.
        """
        checks = [(node, self._start_check(node)) for node in self._find_nodes()]
        if not checks:
            raise BatchError("the Ray cluster has no node with processor cores for the workers")
        problems = [(node, self._finish_check(node, reference)) for node, reference in checks]
        if texts := [f"node {node.name}: {problem}" for node, problem in problems if problem]:
            raise BatchError(f"batch {self._job.batch_id} can't be run on this cluster. {'. '.join(texts)}")
        for node, _ in checks:
            self._start_workers(node)

    def _find_nodes(self) -> list[_Node]:
        """The nodes with workers to start that were not found before."""
        found = [_Node.of(each) for each in self._ray.nodes() if each["Alive"] and each["NodeID"] not in self._nodes]
        self._nodes |= {node.id: node for node in found}
        needs_gpu = self._job.options.device != "cpu" and any(node.gpus for node in self._nodes.values())
        return [node for node in found if node.cores and (node.gpus or not needs_gpu)]

    def _look_for_new_nodes(self) -> None:
        if self._stop.requested or self._batch.error is not None or monotonic() < self._next_search:
            return
        self._next_search = monotonic() + _SECONDS_BETWEEN_SEARCHES
        for node in self._find_nodes():
            self._waiting[self._start_check(node)] = partial(self._use_new_node, node)

    def _use_new_node(self, node: _Node, reference: Any) -> None:
        if problem := self._finish_check(node, reference):
            _log.warning("node %s is not used: %s", node.name, problem)
        elif not self._stop.requested and self._batch.error is None:
            _log.info("node %s has joined", node.name)
            self._start_workers(node)

    def _start_check(self, node: _Node) -> Any:
        mark = self._marks[node.id] = self._home / f".cluster-check-{uuid4().hex}"
        mark.touch()
        check = self._ray.remote(check_node).options(num_cpus=0, scheduling_strategy=self._on(node))
        return check.remote(self._job, self._software, mark.name)

    def _finish_check(self, node: _Node, reference: Any) -> str | None:
        """Why the node can't work on the batch, or None where it can."""
        try:
            problem: str | None = self._ray.get(reference, timeout=_LONGEST_CHECK_SECONDS)
        except self._ray.exceptions.RayError as error:  # such as other software that lacks the check
            problem = f"it could not be checked: {error}"
        self._marks.pop(node.id).unlink(missing_ok=True)
        return problem

    def _on(self, node: _Node) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node.id, soft=False)

    def _start_workers(self, node: _Node) -> None:
        options = self._job.options
        gpus = 0 if options.device == "cpu" else node.gpus
        count = count_workers(
            self._requested, gpus=gpus, cores=node.cores, memory=node.memory, machine=f"node {node.name}"
        )
        threads = max(1, node.cores // count)
        for index in range(count):
            # Ray shows each actor only its own GPU, as the first.
            device = "cuda" if gpus else options.device
            here = replace(options, device=device, threads=threads, name=str(index + 1), node=node.name)
            worker = _Worker(node=node, job=replace(self._job, options=here), gpus=gpus / count)
            self._workers.append(worker)
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        worker.holder, worker.working, worker.asked = None, False, 0
        worker.actor = (
            self._ray.remote(RayWorker)
            .options(
                num_cpus=worker.job.options.threads,
                num_gpus=worker.gpus,
                max_concurrency=_THREADS_OF_AN_ACTOR,
                scheduling_strategy=self._on(worker.node),
            )
            .remote(worker.job)
        )
        self._waiting[worker.actor.run.remote()] = partial(self._end, worker)
        self._waiting[worker.actor.reports.remote()] = partial(self._read_reports, worker)

    def _handle_results(self) -> None:
        """Waits for results of Ray, for a moment at most, and acts on them."""
        ready, _ = self._ray.wait([*self._waiting], timeout=POLL_SECONDS)
        for reference in ready:
            self._waiting.pop(reference)(reference)

    def _read_reports(self, worker: _Worker, reference: Any) -> None:
        try:
            self._act_on(worker, self._ray.get(reference))
        except self._ray.exceptions.RayError:
            return  # the result of run tells of the crash
        if worker in self._workers:
            self._waiting[worker.actor.reports.remote()] = partial(self._read_reports, worker)

    def _act_on(self, worker: _Worker, reports: Sequence[tuple[Report, Any]]) -> None:
        for report, value in reports:
            if report is Report.STARTED:
                worker.holder = value
            elif report is Report.WORKING:
                worker.working = True
            elif report is Report.SETTLED:
                worker.crashes = 0
                self._batch.settle_task(value)
            elif report is Report.LOGGED:  # a line of JSON names the node itself
                line = value if value.startswith("{") else f"node {worker.node.name}: {value}"
                print(line, file=sys.stderr)

    def _end(self, worker: _Worker, reference: Any) -> None:
        """After the end of a worker: an end of its own, or a crash."""
        if worker not in self._workers:  # it was killed, because it held no tasks
            return
        try:
            report, value = self._ray.get(reference)
            self._act_on(worker, self._ray.get(worker.actor.reports.remote(), timeout=GRACE_SECONDS))
        except self._ray.exceptions.RayError as error:
            self._after_crash(worker, error)
            return
        self._remove(worker)
        if report is Report.FAILED:
            self._batch.record_error(value)

    def _after_crash(self, worker: _Worker, error: Exception) -> None:
        """Starts a crashed worker again, unless its node is lost."""
        self._remove(worker)
        reason = str(error).partition("\n")[0]
        how = f"on node {worker.node.name} ended unexpectedly: {reason}"
        _log.warning("worker %s %s", worker.job.options.name, how)
        self._batch.record_crash(how)
        worker.crashes += 1
        is_there = any(each["Alive"] for each in self._ray.nodes() if each["NodeID"] == worker.node.id)
        if is_there and worker.crashes <= CRASHES_PER_WORKER and self._batch.may_restart(len(self._nodes), self._stop):
            self._workers.append(worker)
            self._start(worker)

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._ray.kill(worker.actor)

    def _ask_to_stop(self, times: int) -> None:
        """Makes sure that each worker was asked so often; one that holds no tasks yet is ended."""
        for worker in [*self._workers]:
            if not worker.working:
                self._remove(worker)
            while worker.working and worker.asked < times:
                worker.asked += 1
                worker.actor.stop.remote()

    def _end_workers_without_work(self) -> None:
        """Ends workers that still wait for resources of the cluster, where no task is left for them."""
        if not self._batch.open_tasks:
            for worker in [each for each in self._workers if each.holder is None]:
                self._remove(worker)
