"""A batch on a real Ray cluster of several nodes on this machine: shared, lost and late nodes, and refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from archive.batches.running.ray_worker import check_node, software_versions
from archive.batches.running.runner import BatchResult, run_batch
from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.running.worker_process import WorkerJob, no_setup
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.cli.logging_setup import set_log_format
from archive.errors import BatchError, UsageError
from tests.fake_models import FakeModelLoader, wait_until

# `workshop` is made in conftest.py.

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ROOT = Path(__file__).parents[3]
POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
NODE: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 80 * 1024**2,
    "memory": 4 * 1024**3,
    "include_dashboard": False,
}
# A lost node is noticed within seconds, and not within half a minute.
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes, each of which has one processor core for workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the workers, which import the tests' stages
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else busy machines leave the workers next to nothing
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": HEALTH_CHECKS})
        made.add_node(**NODE)
        yield made
        made.shutdown()


class _Gates:
    """Where the workers wait at their first tile until they may go on, one file per process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def waiting(self) -> set[int]:
        return {int(path.name) for path in self.folder.iterdir()}

    def wait_for(self, count: int) -> set[int]:
        wait_until(lambda: len(self.waiting()) >= count, seconds=120)
        return self.waiting()

    def open(self, *processes: int) -> None:
        for process in processes or self.waiting():
            (self.folder / str(process)).unlink(missing_ok=True)


def _prepare(workshop: Any, count: int) -> int:
    workshop.model()
    for number in range(count):
        workshop.master(f"N{number:02}", size=(16, 16))
    batch_id: int = workshop.planned()
    return batch_id


def _run(workshop: Any, batch_id: int, cluster: Any, **options: Any) -> BatchResult:
    loader = options.pop("loader", FakeModelLoader())
    return run_batch(workshop.catalogue, batch_id, device="cpu", ray=cluster.address, make_models=loader, **options)


def _nodes_at_work(log: str) -> set[str]:
    """The nodes that finished tasks, by the log."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ended = [line for line in lines if line["event"] == "task ended"]
    assert all(line["batch"] and line["task"] and line["item"] for line in ended)
    return {line["node"] for line in ended}


@POSTGRESQL
def test_two_nodes_share_a_batch_and_logs_name_the_node(
    workshop: Any, cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id = _prepare(workshop, 8)
    gates = _Gates(tmp_path / "gates")

    def let_both_begin() -> None:
        gates.open(*gates.wait_for(2))

    threading.Thread(target=let_both_begin, daemon=True).start()
    result = _run(
        workshop,
        batch_id,
        cluster,
        loader=FakeModelLoader(gate=gates.folder),
        set_up_worker=partial(set_log_format, "json"),
    )
    assert (result.done, result.failed, result.interrupted) == (8, 0, False)
    workshop.assert_whole(batch_id)
    assert len(_nodes_at_work(capsys.readouterr().err)) == 2


@POSTGRESQL
def test_a_lost_worker_and_a_lost_node_lose_no_task_and_a_late_node_is_used(
    workshop: Any, cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id = _prepare(workshop, 14)
    gates = _Gates(tmp_path / "gates")
    *_, second = cluster.list_all_nodes()
    run = partial(_run, loader=FakeModelLoader(gate=gates.folder), set_up_worker=partial(set_log_format, "json"))
    with ThreadPoolExecutor(1) as other_thread:  # nodes can be added in the main thread only
        running = other_thread.submit(run, workshop, batch_id, cluster)
        first, _ = gates.wait_for(2)
        os.kill(first, signal.SIGKILL)
        gates.open(first)
        gates.wait_for(2)  # it was started again
        cluster.add_node(**NODE)
        gates.wait_for(3)
        cluster.remove_node(second, allow_graceful=False)
        while not running.done():
            gates.open()
            time.sleep(0.2)
        result = running.result()
    assert result.done == 14
    workshop.assert_whole(batch_id)
    assert not [path for path in workshop.catalogue.settings.home.iterdir() if path.name.startswith(".")]
    assert len(_nodes_at_work(capsys.readouterr().err)) >= 2


@POSTGRESQL
def test_the_workers_of_a_killed_supervisor_end_and_another_run_goes_on(
    workshop: Any, cluster: Any, tmp_path: Path
) -> None:
    batch_id = _prepare(workshop, 8)
    gates = _Gates(tmp_path / "gates")
    supervisor = workshop.worker(batch_id, ray=cluster.address, loader=FakeModelLoader(gate=gates.folder))
    workers = [psutil.Process(process) for process in gates.wait_for(2)]
    supervisor.kill()
    supervisor.join()
    wait_until(lambda: not any(worker.is_running() for worker in workers), seconds=60)
    assert workshop.statuses(batch_id).count(TaskStatus.RUNNING) > 0  # nobody could tell
    assert _run(workshop, batch_id, cluster).done == 8
    workshop.assert_whole(batch_id)


@POSTGRESQL
def test_a_node_with_other_software_is_refused_by_name_before_work_begins(
    workshop: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, 2)
    for package in ("archive", "restoration", "tests"):
        shutil.copytree(ROOT / package, tmp_path / "other" / package, ignore=shutil.ignore_patterns("*.tif*", "*.png"))
    with (tmp_path / "other" / "restoration" / "recipe.py").open("a") as file:
        file.write("# another version\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)  # Ray's workers import from the supervisor's folder first
    other = cluster.add_node(**NODE)
    try:
        with pytest.raises(BatchError, match=rf"node .*\({other.node_id[:8]}\): source code is .* there and"):
            _run(workshop, batch_id, cluster)
    finally:
        cluster.remove_node(other)
    assert [(task.status, task.attempts) for task in workshop.tasks(batch_id)] == [(TaskStatus.PENDING, 0)] * 2


@POSTGRESQL
def test_a_home_that_is_not_shared_and_changed_weights_are_refused(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    job = WorkerJob(
        settings=workshop.catalogue.settings,
        batch_id=batch_id,
        options=WorkerOptions(device="cpu", precision="fp32"),
        make_models=FakeModelLoader(),
        set_up=no_setup,
    )
    home = workshop.catalogue.settings.home
    assert f"{home} is not the same folder there" in str(check_node(job, software_versions(), ".absent"))
    assert check_node(job, software_versions(), "archive.toml") is None
    (weights,) = (home / "models").rglob("weights.safetensors")
    weights.write_bytes(b"others")
    assert "mend@1.0 can't be used" in str(check_node(job, software_versions(), "archive.toml"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_is_refused(workshop: Any) -> None:
    batch_id = _prepare(workshop, 1)
    with pytest.raises(UsageError, match="PostgreSQL"):
        run_batch(workshop.catalogue, batch_id, ray="auto", make_models=FakeModelLoader())
