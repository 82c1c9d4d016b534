"""How long a claim takes while many workers share one batch on PostgreSQL.

    python -m benchmarks.claims [--workers 64] [--items N] [--work SECONDS] [--seconds S] [--keep FOLDER]

Builds the large catalogue of ``benchmarks.catalogue`` and plans one batch of its stale masters. Each worker process
claims a task, waits as long as its processing would take, returns the task to pending, and claims the next. The claims
are timed, and after each one a ``SELECT 1``: one round trip, by which to judge the machine. The mean time of the work
decides how many claims per second the database gets: 64 workers with 4 s of work claim 16 times a second. Goal: a
median below 5 ms.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from sqlalchemy import select

from archive.batches.planning.planner import plan_rerun
from archive.batches.running.claims import claim_next, release_claims
from archive.catalogue import Catalogue
from archive.settings import load_settings
from benchmarks.catalogue import open_large_catalogue

_processes = multiprocessing.get_context("fork")  # so that the imports of this process are not repeated 64 times

_Times = tuple[float, float]
"""The seconds of a claim and of one round trip after it."""


def main() -> None:
    """Runs the workers and prints the distribution of the times of their claims."""
    options = _options()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claims-")))
        catalogue = open_large_catalogue("postgresql", options.items, folder, stack)
        batch_id = plan_rerun(catalogue, "status:stale", must_fit=False).batch_id
        catalogue.engine.dispose()  # no connection is shared with the workers
        queue = _processes.SimpleQueue()
        workers = [
            _processes.Process(target=_work, args=(folder / "home", batch_id, seed, options, queue))
            for seed in range(options.workers)
        ]
        busy, began = os.times(), time.monotonic()
        for worker in workers:
            worker.start()
        timed = [pair for _ in workers for pair in queue.get()]
        for worker in workers:
            worker.join()
        seconds, ended = time.monotonic() - began, os.times()
    processors = ended.children_user + ended.children_system - busy.children_user - busy.children_system
    rate = len(timed) / options.seconds
    print(f"{options.workers} workers, {len(timed)} claims in {seconds:.0f} s, {rate:.1f} a second")
    for name, times in zip(("claim", "SELECT 1"), zip(*timed, strict=True), strict=True):
        milliseconds = sorted(1000 * each for each in times)
        half, most, nearly_all = (milliseconds[int(len(milliseconds) * part)] for part in (0.5, 0.9, 0.99))
        print(f"{name}: median {half:.1f} ms, 90 % {most:.1f} ms, 99 % {nearly_all:.1f} ms")
    each, load = 1000 * processors / len(timed), os.getloadavg()[0]
    print(f"processor time of the workers {each:.1f} ms for a claim and a release; load {load:.0f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--work", type=float, default=4.0, help="mean seconds between two claims of a worker")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the workers claim")
    parser.add_argument("--keep", type=Path, help="where the catalogue is built, or was")
    return parser.parse_args()


def _work(
    home: Path, batch_id: int, seed: int, options: argparse.Namespace, queue: multiprocessing.SimpleQueue[list[_Times]]
) -> None:
    """Claims tasks for a while; puts the seconds of each claim, except those of the first one, which connects."""
    random, times = Random(seed), list[_Times]()  # noqa: S311
    time.sleep(random.uniform(0, options.work))
    until = time.monotonic() + options.seconds
    with Catalogue.open(load_settings(home)).keeping_connection() as catalogue:  # as a worker does
        while time.monotonic() < until:
            began = time.perf_counter()
            claim = claim_next(catalogue, batch_id)
            claimed = time.perf_counter()
            _ask_nothing(catalogue)
            times.append((claimed - began, time.perf_counter() - claimed))
            time.sleep(random.uniform(0, 2 * options.work))
            if claim is not None:
                release_claims(catalogue, claim)
    queue.put(times[1:])


def _ask_nothing(catalogue: Catalogue) -> None:
    with catalogue.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(1))


if __name__ == "__main__":
    main()
