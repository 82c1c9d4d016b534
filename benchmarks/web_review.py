"""Simulates reviewers who share one queue on a real server over HTTP and each decide once per second.

    python -m benchmarks.web_review
    python -m benchmarks.web_review --postgresql
    python -m benchmarks.web_review --derivatives 40 --pause 0

Prints percentiles of the response times, the server's memory over time, and whether the catalogue has exactly one
decision per derivative, by the reviewer who made it. The exit code is 1 if a decision is lost, duplicated or attributed
to another reviewer.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from sqlalchemy import select

from archive.accounts import Account, add_account
from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.catalogue.schema.tables import Agent, Review
from archive.catalogue.schema.vocabularies import Role
from archive.review_queue import open_queue, queue_state
from archive.settings import create_home
from benchmarks.postgresql_server import temporary_postgresql
from tests.catalogue_rows import add_batch, add_derivative, add_item, add_version

PASSWORD = "a password for measuring"  # noqa: S105


class Decided(NamedTuple):
    """One decision that the server confirmed, and the duration of its two requests."""

    reviewer: str
    derivative: int
    seconds: float


def main() -> None:
    """Creates a home, runs the reviewers, and compares their decisions with the catalogue."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="review-") as folder, _database(options.postgresql) as url:
        catalogue = _catalogue(Path(folder) / "home", url, options.derivatives)
        names = [f"reviewer {number}" for number in range(options.reviewers)]
        for name in names:
            add_account(catalogue, name, Role.REVIEWER, PASSWORD)
        queue = open_queue(catalogue, "review:none", "accession_number")
        with running_server(catalogue.settings.home) as (address, process):
            base = address.partition("/?")[0]
            with ThreadPoolExecutor(options.reviewers) as pool:
                running = [pool.submit(_review, base, name, queue, options.pause) for name in names]
                memory = _watch(process, running)
            decided = [each for reviewer in running for each in reviewer.result()]
        print("memory of the server, MiB:", ", ".join(f"{each:.0f}" for each in memory))
        sys.exit(0 if _report(catalogue, queue, decided, options.derivatives) else 1)


def _watch(process: psutil.Process, running: list[Future[list[Decided]]]) -> list[float]:
    """The memory of the server at about ten times, the last one at the end."""
    found = [memory_mib(process)]
    while not all(each.done() for each in running):
        time.sleep(0.5)
        found.append(memory_mib(process))
    step = max(1, len(found) // 10)
    return [*found[:-1:step], found[-1]]


def memory_mib(process: psutil.Process) -> float:
    """The resident memory of a process."""
    return float(process.memory_info().rss / 2**20)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--derivatives", type=int, default=500)
    parser.add_argument("--reviewers", type=int, default=3)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds from one decision to the next")
    parser.add_argument("--postgresql", action="store_true")
    return parser.parse_args()


@contextmanager
def _database(postgresql: bool) -> Iterator[str | None]:
    if not postgresql:
        yield None
        return
    with temporary_postgresql() as create:
        yield create("review")


def _catalogue(home: Path, url: str | None, count: int) -> Catalogue:
    """A catalogue with ``count`` restored items, with files of a few bytes."""
    settings = create_home(home, database=url)
    migration.upgrade(settings)
    catalogue = Catalogue.open(settings)
    with catalogue.session() as session:
        version, batch = add_version(session, approved=True), add_batch(session)
        for number in range(count):
            item = add_item(session, f"{number:05d}")
            derivative = add_derivative(session, item.masters[0], version, batch=batch, changed_share=number / count)
            content = f"derivative {number}".encode()
            path = home / derivative.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            derivative.sha256 = sha256(content).hexdigest()
    return catalogue


@contextmanager
def running_server(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Runs ``archive serve`` in a separate process; yields its address with the token, and the process."""
    command = [sys.executable, "-m", "archive", "--home", str(home), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        yield process.stdout.readline().strip(), psutil.Process(process.pid)
        process.terminate()


def _review(base: str, name: str, queue: int, pause: float) -> list[Decided]:
    """Decides as one reviewer until the queue is empty."""
    decided: list[Decided] = []
    with httpx.Client(base_url=base, timeout=600) as client:
        login = {"name": name, "password": PASSWORD, "csrf_token": _token(client, "/login")}
        assert client.post("/login", data=login).status_code == 303
        headers = {"x-csrf-token": _token(client, "/queues"), "accept": "application/json"}
        while True:
            start = time.monotonic()
            state = client.post(f"/queues/{queue}/next", headers=headers, data={}).raise_for_status().json()
            if not state["entries"]:
                if state["decided"] >= state["total"]:
                    return decided
                time.sleep(0.2)
                continue
            derivative = state["entries"][0]["picture"]["derivative"]
            fields = {"decision": "accepted" if derivative % 3 else "rejected", "reason": f"by {name}"}
            client.post(f"/derivatives/{derivative}/review", headers=headers, data=fields).raise_for_status()
            seconds = time.monotonic() - start
            decided.append(Decided(name, derivative, seconds))
            time.sleep(max(0.0, pause - seconds))


def _token(client: httpx.Client, path: str) -> str:
    found = re.search(r'name="csrf-token" content="([0-9a-f]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def _report(catalogue: Catalogue, queue: int, decided: list[Decided], count: int) -> bool:
    seconds = sorted(each.seconds for each in decided)
    percentiles = statistics.quantiles(seconds, n=100)
    print(
        f"{len(decided)} decisions; next and decide together: median {percentiles[49] * 1000:.0f} ms, "
        f"95 % {percentiles[94] * 1000:.0f} ms, 99 % {percentiles[98] * 1000:.0f} ms"
    )
    with catalogue.reading() as session:
        rows = session.execute(select(Review.derivative_id, Agent.name, Review.reason).join(Agent)).all()
    kept = sorted((row[0], row[1]) for row in rows)
    is_whole = kept == sorted((each.derivative, each.reviewer) for each in decided)
    is_mixed = any(row[2] != f"by {row[1]}" for row in rows)
    twice = len(kept) - len({derivative for derivative, _ in kept})
    state = queue_state(catalogue, queue, Account(name="nobody", role=Role.MANAGER))
    print(f"{len(kept)} in the catalogue, {twice} twice, mixed: {is_mixed}, answered and kept are equal: {is_whole}")
    return is_whole and not is_mixed and twice == 0 and state.decided == count


if __name__ == "__main__":
    main()
