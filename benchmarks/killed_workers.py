"""Kills each worker of a batch at a random instant, round after round, and compares with an undisturbed run.

    python -m benchmarks.killed_workers --database postgresql --workers 8 --rounds 20
    python -m benchmarks.killed_workers --database sqlite --workers 2 --rounds 20

Each round creates a home of its own and plans a batch of small pictures. Real worker processes under the real
supervisor restore it with a stage that waits as a device would. Each of the first workers gets SIGKILL once, mostly
while it holds tasks; the supervisor starts new ones. At the end each task must be done, each derivative must be there
once, with the bytes and pixels of the undisturbed run, and there must be no other file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np

from archive.batches.running.supervisor import supervise
from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.running.worker_process import no_setup
from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.interruption import StopRequest
from archive.progress_reporting import NoProgress
from archive.settings import create_home
from benchmarks.postgresql_server import temporary_postgresql
from tests.archive.batches.conftest import Workshop
from tests.fake_models import FakeModelLoader
from tests.worker_kills import WorkerKiller, digest_derivatives

TILES = 3
SIZE = (32, 16 * TILES)  # pixels: the fake models restore tiles of 16 rows


def main() -> None:
    """Runs all rounds and prints a line for each; the exit code is 1 if one of them differs."""
    options = _options()
    loader = FakeModelLoader(pause_seconds=options.pause)
    random = Random(options.seed)  # noqa: S311
    failed = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, _databases(options.database) as url_of:
        workshop, batch_id = _planned(Path(folder), "undisturbed", url_of, options.pictures)
        _run(workshop, batch_id, options.workers, loader)
        workshop.assert_whole(batch_id)
        expected = digest_derivatives(workshop.catalogue.settings.home)
        for number in range(1, options.rounds + 1):
            workshop, batch_id = _planned(Path(folder), f"round_{number}", url_of, options.pictures)
            began = time.monotonic()
            with WorkerKiller(
                workshop.catalogue,
                workers=options.workers,
                within_seconds=4 * TILES * options.pause,
                random=random,
            ) as killer:
                _run(workshop, batch_id, options.workers, loader)
            seconds = time.monotonic() - began
            repeated = sum(task.attempts > 1 for task in workshop.tasks(batch_id))
            fault = _find_fault(workshop, batch_id, expected)
            failed += fault is not None
            print(
                f"round {number:2}: {seconds:5.1f} s, {killer.kills} workers killed, {killer.kills_at_work} of them "
                f"with tasks; {repeated} tasks begun again; {fault or 'all files as undisturbed'}",
                flush=True,
            )
            workshop.catalogue.engine.dispose()
    print(f"{options.rounds} rounds, {failed} with faults")
    sys.exit(1 if failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.05, metavar="SECONDS", help="of the device, for each tile")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


@contextmanager
def _databases(kind: str) -> Iterator[Callable[[str], str | None]]:
    """Context whose value creates a database of a name; None is SQLite in the home."""
    if kind == "sqlite":
        yield lambda _name: None
        return
    with temporary_postgresql() as create:
        yield create


def _planned(folder: Path, name: str, url_of: Callable[[str], str | None], pictures: int) -> tuple[Workshop, int]:
    """A new home with one planned batch; scans and models are the same in each home."""
    settings = create_home(folder / name, database=url_of(name))
    migration.upgrade(settings)
    workshop = Workshop(
        catalogue=Catalogue.open(settings),
        scans=folder / "scans",
        model_folders=folder / name / "versions",
        rng=np.random.default_rng(1),
    )
    workshop.model()
    for number in range(pictures):
        workshop.master(f"N{number:03}", size=SIZE)
    return workshop, workshop.planned()


def _run(workshop: Workshop, batch_id: int, workers: int, loader: FakeModelLoader) -> None:
    placed = [WorkerOptions(device="cpu", precision="fp32", threads=1, name=str(n + 1)) for n in range(workers)]
    supervise(
        workshop.catalogue,
        batch_id,
        placed,
        stop=StopRequest(),
        progress=NoProgress(),
        make_models=loader,
        set_up_worker=no_setup,
    )


def _find_fault(workshop: Workshop, batch_id: int, expected: dict[str, str]) -> str | None:
    """What differs from the undisturbed run; None if nothing does."""
    try:
        workshop.assert_whole(batch_id)
    except AssertionError as error:
        return f"FAULT: {error}"
    found = digest_derivatives(workshop.catalogue.settings.home)
    differing = sorted(path for path in expected | found if expected.get(path) != found.get(path))
    return f"FAULT: {len(differing)} files differ: {', '.join(differing[:5])}" if differing else None


if __name__ == "__main__":
    main()
