"""How much more two nodes of a Ray cluster do than one, with a device that waits as a GPU would.

    python -m benchmarks.cluster [--nodes N] [--masters N] [--seconds-per-tile S]

Starts a Ray cluster on this machine and a PostgreSQL server, plans one batch per run and times it from the first claim
to the last outcome, so that the start of the workers does not count. Masters are small: their pixels hardly take any
time of the processor, which the nodes share here.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from archive.batches.running.runner import run_batch
from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.catalogue.schema.tables import Task
from archive.settings import create_home
from benchmarks.postgresql_server import temporary_postgresql
from tests.archive.batches.conftest import Workshop
from tests.fake_models import FakeModelLoader

ROOT = Path(__file__).parents[1]
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 1024**2, "memory": 4 * 1024**3}


def main() -> None:
    """Run the same work on one node and on several, and print both."""
    parser = argparse.ArgumentParser(description="Times a batch on the nodes of a Ray cluster.")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--masters", type=int, default=60)
    parser.add_argument("--seconds-per-tile", type=float, default=1.0)
    arguments = parser.parse_args()
    os.environ |= {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="cl-") as folder, temporary_postgresql() as create:
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            one = _time_batch(Path(folder) / "one", create("one"), cluster, arguments)
            for _ in range(arguments.nodes - 1):
                cluster.add_node(**NODE)
            all_nodes = _time_batch(Path(folder) / "all", create("many"), cluster, arguments)
        finally:
            cluster.shutdown()
    print(
        f"1 node: {one:.1f} s   {arguments.nodes} nodes: {all_nodes:.1f} s   {one / all_nodes:.2f} times the throughput"
    )


def _time_batch(folder: Path, url: str, cluster: Any, arguments: argparse.Namespace) -> float:
    """Seconds from the first claim to the last outcome."""
    settings = create_home(folder, database=url)
    migration.upgrade(settings)
    workshop = Workshop(
        catalogue=Catalogue.open(settings),
        scans=folder / "scans",
        model_folders=folder / "model",
        rng=np.random.default_rng(1),
    )
    workshop.model()
    for number in range(arguments.masters):
        workshop.master(f"N{number:03}", size=(16, 16))
    batch_id = workshop.planned()
    loader = FakeModelLoader(pause_seconds=arguments.seconds_per_tile)
    result = run_batch(workshop.catalogue, batch_id, device="cpu", ray=cluster.address, make_models=loader)
    assert result.done == arguments.masters, result
    workshop.assert_whole(batch_id)
    with workshop.catalogue.reading() as session:
        began, ended = (
            session.scalar(select(func.min(Task.started_at))),
            session.scalar(select(func.max(Task.finished_at))),
        )
    assert began
    assert ended
    return float((ended - began).total_seconds())


if __name__ == "__main__":
    main()
