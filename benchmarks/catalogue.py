"""Measures how quickly a large catalogue answers, on SQLite and on PostgreSQL.

    python -m benchmarks.catalogue [--items N] [--database sqlite|postgresql|URL] [--repeats N] [--keep FOLDER]

Builds a catalogue of N items (by default a million) with about twice as many derivatives and their scores, and times
typical requests through the functions that the commands call. ``--keep`` builds it in a permanent folder, or uses the
one that is already there. Goals: a median of 100 ms for a page of 50, 20 s for a plan of 100,000 tasks, and memory that
doesn't grow with streamed results.

The processor time is that of this process and of the PostgreSQL process that answers, if it runs on this machine. It
depends less on other load than the time on the clock.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from archive.batches.planning.planner import RestoreRequest, plan_rerun, plan_restore
from archive.catalogue import Catalogue
from archive.catalogue.listings import get_item_details, list_items
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema import migration
from archive.catalogue.schema.tables import Batch, Item, Master, Task
from archive.catalogue.schema.text_index_tables import ItemWord
from archive.settings import create_home, load_settings
from benchmarks.large_catalogue import MODEL, NEVER_USED, RARE_MODEL, approve, build
from tests.postgresql_server import running_postgresql

PAGE = 50
AIM_MS = 100
PLAN_AIM_SECONDS = 20


def main() -> None:
    """Builds or opens the catalogue, runs the requests and prints the times."""
    arguments = _arguments()
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="large-")))
        catalogue = open_large_catalogue(arguments.database, arguments.items, folder, stack)
        print(f"{arguments.items:,} items on {catalogue.engine.dialect.name}\n")
        _time_pages(catalogue, arguments.repeats)
        _time_others(catalogue, arguments.repeats, arguments.items)
        _measure_memory(catalogue)
        _time_plans(catalogue, min(100_000, arguments.items // 10))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times the answers of a large catalogue.")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql (a server of its own) or a URL")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="where the catalogue is built, or was")
    return parser.parse_args()


def open_large_catalogue(database: str, items: int, folder: Path, stack: ExitStack) -> Catalogue:
    """The catalogue in ``folder``, built with so many items if the folder is empty.

    ``database`` is ``sqlite``, ``postgresql`` or a URL. A server in the folder runs until ``stack`` closes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = {"sqlite": None, "postgresql": ""}.get(database, database)
    if url == "":
        url = _server(folder / "server", stack)
    home = folder / "home"
    if home.exists():
        catalogue = Catalogue.open(load_settings(home))
    else:
        settings = create_home(home, database=url)
        migration.upgrade(settings)
        catalogue = Catalogue.open(settings)
        seconds, _ = _seconds(lambda: build(catalogue, items))
        print(f"built in {seconds:.0f} s")
    _approve_as_usual(catalogue)
    return catalogue


def _approve_as_usual(catalogue: Catalogue) -> None:
    approve(catalogue, MODEL, "0.2")
    approve(catalogue, RARE_MODEL, "1.0")


def _server(folder: Path, stack: ExitStack) -> str:
    """The URL of a database on a PostgreSQL server in ``folder``, which runs until ``stack`` closes."""
    folder.mkdir(exist_ok=True)
    server = stack.enter_context(running_postgresql(folder.resolve()))
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'large'").fetchone():
            connection.execute("CREATE DATABASE large")
    return f"postgresql+psycopg:///large?host={folder.resolve()}&user=postgres"


def _time_pages(catalogue: Catalogue, repeats: int) -> None:
    print(f"{f'list, first {PAGE}':66}{'median':>10}{'slowest':>10}{'processor':>12}   ms")
    slow = 0
    for query in _queries(catalogue):
        slow += _time_page(catalogue, query, repeats)
    approve(catalogue, RARE_MODEL, "2.0")
    for version, which in ((NEVER_USED, "all"), ("0.1", "few, after going back to an older version")):
        seconds, _ = _seconds(partial(approve, catalogue, MODEL, version))
        print(f"approving {MODEL}@{version}: {seconds:.1f} s")
        slow += _time_page(catalogue, "status:stale", repeats, note=f" ({which})")
    _approve_as_usual(catalogue)
    print(f"{slow} above {AIM_MS} ms at the median\n")


def _queries(catalogue: Catalogue) -> Iterator[str | None]:
    """Yields the queries: each field, with many and with few matches."""
    rare = _rare_words(catalogue)
    yield from (None, "accession_number:19*", "accession_number:[1950 TO 1951]", "accession_number:*.0003", "id:777")
    yield from ("street", rare[0], "title:street", "title:the AND title:street", f"title:street AND title:{rare[0]}")
    yield from (
        'title:"view of"',
        'title:"the harbour"',
        f'title:"{rare[0]} {rare[1]}"',
        "title:harb*",
        "title:*arbou*",
        "title:*qqq",
        f"title:*{rare[0][1:]}",
    )
    yield from ("description:street", f"description:{rare[1]}", "description:*", "NOT title:street")
    yield from (f"creator:{_creator(catalogue)}", "creator:unknown", "creator:dorothea", "place:paris")
    yield from ("process:autochrome", 'process:"albumen print"', 'collection:"Fonds 7"', "collection:Fonds*")
    yield from ("date:1906", "date:[1930 TO 1939]", 'date:"1906-05"', "date:[1978 TO *]", "date:[* TO 1846]")
    yield from ("access:open", "access:restricted", "access:sensitive", "view:recto", "view:verso", "view:mount")
    yield from (f"status:{name}" for name in ("unrestored", "restored", "stale", "styled", "failed", "refused"))
    yield from (f"model:{MODEL}", f"model:{MODEL}@0.1", f"model:{MODEL}@approved", f"model:{MODEL}@{NEVER_USED}")
    yield from ("style:*", "style:autumn", "batch:1", "batch:3", "review:accepted", "review:rejected", "NOT review:*")
    for name in ("psnr_source", "ssim_source"):
        yield from (f"{name}:[0.5 TO *]", f"{name}:[{'39.99' if name == 'psnr_source' else '0.7999'} TO *]")
    yield from ("psnr_reference:*", "ssim_reference:[0.5 TO *]")
    for name in ("noise_sigma", "blur_effect", "contrast", "colourfulness", "changed_share"):
        yield from (f"{name}:[0.02 TO *]", f"{name}:[* TO 0.0001]")
    yield from (
        "status:stale AND place:paris",
        "status:restored AND street",
        "creator:dorothea AND date:[1930 TO 1939]",
    )
    yield from ("street OR harbour", f"{rare[0]} OR {rare[1]}", "(NOT access:open) AND status:stale")


def _rare_words(catalogue: Catalogue) -> list[str]:
    """Two words that occur in hardly any other title."""
    with catalogue.reading() as session:
        words = session.scalars(select(ItemWord.word).where(ItemWord.item_id.in_(range(1, 60)))).all()
        found = session.execute(
            select(ItemWord.word, func.count().label("items"))
            .where(ItemWord.field == "title", ItemWord.word.in_(words))
            .group_by(ItemWord.word)
            .order_by("items")
            .limit(2)
        ).all()
    return [word for word, _ in found]


def _creator(catalogue: Catalogue) -> str:
    with catalogue.reading() as session:
        names = session.scalars(select(Item.creator).where(Item.creator != "Unknown").order_by(Item.id).limit(1))
        return f'"{names.one()}"'


def _time_page(catalogue: Catalogue, query: str | None, repeats: int, note: str = "") -> bool:
    """Times the first page; returns whether it was too slow."""

    def ask(session: Session) -> int:
        return len(list(list_items(session, query, limit=PAGE)))

    return _row(f"{query or 'everything'}{note}", catalogue, ask, repeats)


def _row(what: str, catalogue: Catalogue, ask: Callable[[Session], Any], repeats: int) -> bool:
    times, processor_times = [], []
    for _ in range(repeats):
        began, busy = time.perf_counter(), time.process_time()
        with catalogue.reading() as session:
            found = ask(session)
            times.append(1000 * (time.perf_counter() - began))
            processor_times.append(1000 * (time.process_time() - busy + _server_seconds(session)))
    median, processor = statistics.median(times), statistics.median(processor_times)
    mark = " *" if median > AIM_MS else ""
    print(f"{what[:56]:56}{found:>10}{median:>10.1f}{max(times):>10.1f}{processor:>12.1f}{mark}", flush=True)
    return median > AIM_MS


def _server_seconds(session: Session) -> float:
    """The processor time of the PostgreSQL process that serves the session; 0 if that can't be known."""
    if session.get_bind().dialect.name == "sqlite":
        return 0.0
    scheduled = Path(f"/proc/{session.scalar(select(func.pg_backend_pid()))}/schedstat")
    return int(scheduled.read_text().split()[0]) / 1e9 if scheduled.exists() else 0.0


def _time_others(catalogue: Catalogue, repeats: int, items: int) -> None:
    with catalogue.reading() as session:
        numbers = session.scalars(select(Item.accession_number).where(Item.id.in_([1, items // 2, items])))
        number = numbers.all()[-1]
    _row("show", catalogue, lambda session: len(_show(catalogue, session, number)), repeats)
    for query in ("", "street", "status:restored", "status:stale", "psnr_source:[39.99 TO *]", "model:*@0.1"):
        _row(f"count {query or 'everything'}", catalogue, partial(_count, query), min(repeats, 3))
    print()


def _show(catalogue: Catalogue, session: Session, accession_number: str) -> list[Any]:
    derivatives: list[Any] = get_item_details(catalogue, session, accession_number)["derivatives"]
    return derivatives


def _count(query: str, session: Session) -> int:
    """The number of masters that a query selects, counted as in planning."""
    return session.scalar(select(func.count(Master.id)).join(Item).where(parse_condition(query))) or 0


def _measure_memory(catalogue: Catalogue) -> None:
    with catalogue.reading() as session:
        started = time.perf_counter()
        rows = list_items(session, None)
        for _ in range(2_000):
            next(rows, None)
        first, before = time.perf_counter() - started, _peak_mib()
        more = sum(1 for _ in rows)
        seconds, growth = time.perf_counter() - started, _peak_mib() - before
    print(f"everything streamed: {seconds:.0f} s, {2_000 + more:,} items, the first 2,000 after {first:.2f} s")
    print(f"memory: {before:.0f} MiB after 2,000, {growth:.0f} MiB more at the end\n")


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _time_plans(catalogue: Catalogue, tasks: int) -> None:
    for name, plan in (
        ("rerun of what is stale", lambda: plan_rerun(catalogue, must_fit=False)),
        (
            "restore",
            partial(
                plan_restore,
                catalogue,
                f"id:[1 TO {tasks}]",
                RestoreRequest(model=f"{MODEL}@{NEVER_USED}"),
                must_fit=False,
            ),
        ),
    ):
        seconds, made = _seconds(plan)
        print(f"plan, {name}: {made.tasks:,} tasks in {seconds:.1f} s (aim {PLAN_AIM_SECONDS} s for 100,000)")
        with catalogue.session() as session:  # restores the catalogue for the next run
            session.execute(delete(Task).where(Task.batch_id == made.batch_id))
            session.execute(delete(Batch).where(Batch.id == made.batch_id))


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


if __name__ == "__main__":
    main()
