"""``archive verify``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli.logging_setup import answer_writer, emit, warn
from archive.cli.options import Context, answer_format_option, command, pass_context, query_argument
from archive.cli.output_formats import (
    describe_empty_result,
    escape_control_characters,
    pluralise,
    print_json_object,
)
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY, NotFoundError

if TYPE_CHECKING:
    from archive.catalogue import Catalogue
    from archive.fixity import BrokenFile, FixityReport

_FROM_BACKUP = "Restore them from a backup, then run `archive verify` again"


@command(
    "verify",
    examples=(
        "archive verify",
        "archive verify --repair",
        "archive verify 'collection:Lange' --older-than 90 --limit 1000",
    ),
    partly="some fixity is broken: files are missing, changed, unreadable or damaged",
)
@query_argument
@click.option(
    "--older-than",
    type=click.IntRange(0, 36_500),
    metavar="DAYS",
    help="Check only files whose last check is older.",
)
@click.option("--limit", type=click.IntRange(0, 10**9), metavar="N", help="Check at most N files. Default: all.")
@click.option("--pixels", is_flag=True, help="Also decode every image, and report those that can't be decoded.")
@click.option("--repair", is_flag=True, help="Recreate missing or changed derivatives from their records.")
@click.option(
    "--mark-missing",
    is_flag=True,
    help="Mark files as missing even if a whole folder of them is absent.",
)
@answer_format_option
@pass_context
def verify(
    context: Context,
    query: str | None,
    older_than: int | None,
    limit: int | None,
    pixels: bool,
    repair: bool,
    mark_missing: bool,
    form: str,
) -> int:
    """Check the bytes of all files against the catalogue.

    The command reads masters, derivatives and weights and compares their SHA-256. Files that were checked longest ago
    come first. Each check is recorded in the history. Broken files are listed on standard output, one per line, and
    marked: a derivative whose file is missing or changed is not current until it is found or recreated. `archive
    restore` recreates lost derivatives, too. `archive list status:lost` lists the marked ones. Withdrawals that were
    interrupted are completed first.

    Where a whole folder of files is absent or holds none of them, its disk or share may not be mounted: these files are
    counted, but neither checked nor marked, with exit code 3. If they are lost, --mark-missing marks them: mount all
    other disks and shares first, because the files of those are marked too.

    --repair lists each derivative that it recreated: `repaired` has the recorded bytes, `replaced` has other ones and
    is a new derivative.

    A QUERY that matches nothing is an error, exit code 2. Where nothing that it matches is due, the exit code is 0.
    """
    from archive.fixity import verify_files as check
    from archive.ingest.file_inspection import find_pixel_damage
    from archive.withdrawal import complete_withdrawals

    catalogue = context.catalogue()
    withdrawn = complete_withdrawals(catalogue)
    for path in withdrawn:
        emit(f"an interrupted withdrawal is completed: {escape_control_characters(str(path))}")
    report = check(
        catalogue,
        query,
        older_than_days=older_than,
        limit=limit,
        mark_missing=mark_missing,
        find_damage=partial(find_pixel_damage, catalogue) if pixels else None,
        progress=make_progress(),
    )
    if query is not None and not report.checked and not _matches_a_master(catalogue, query):
        raise NotFoundError(f"Nothing was checked: {describe_empty_result(query)}")
    _print_report(report, repair=repair, form=form)
    code, repaired = _repair(catalogue, query, form) if repair else (EXIT_DONE, None)
    left = [broken for broken in report.broken if not repair or not _is_repairable(broken)]
    if left and repair:
        warn(f"{pluralise(len(left), 'broken file')} can't be recreated from records. {_FROM_BACKUP}")
    if form == "json":
        print_json_object(_answer(report, withdrawn, repaired))
    return max(code, EXIT_PARTLY if left or report.absent_folders else EXIT_DONE)


def _print_report(report: FixityReport, *, repair: bool, form: str) -> None:
    """Prints the broken files, the counts, and what to do."""
    write_line, write = answer_writer(form), warn if report.broken else emit
    for kind, path, problem in report.broken:
        write_line(f"{kind}  {problem}  {escape_control_characters(str(path))}")
    write(f"{pluralise(report.checked, 'file')} checked, {len(report.broken):,} broken")
    if report.broken and not repair:
        emit(_FROM_BACKUP)
        if any(_is_repairable(broken) for broken in report.broken):
            emit("Or recreate derivatives from their records: `archive verify --repair`")
    for folder, kind, number in report.absent_folders:
        unchecked = escape_control_characters(f"{pluralise(number, kind)} of {folder} could not be checked")
        warn(
            f"{unchecked}: the folder is missing, or holds none of them. Mount its disk or share, then run `archive "
            "verify` again. If the files are lost, add --mark-missing"
        )


def _answer(report: FixityReport, withdrawn: list[Path], repaired: dict[str, Any] | None) -> dict[str, Any]:
    """The answer in JSON."""
    return {
        "checked": report.checked,
        "broken": [{"kind": kind, "path": str(path), "problem": problem} for kind, path, problem in report.broken],
        "absent_folders": [
            {"path": str(folder), "kind": kind, "files": number} for folder, kind, number in report.absent_folders
        ],
        "completed_withdrawals": [str(path) for path in withdrawn],
        "repair": repaired,
    }


def _matches_a_master(catalogue: Catalogue, query: str) -> bool:
    from archive.catalogue.listings import select_masters

    with catalogue.reading() as session:
        return session.scalars(select_masters(query).limit(1)).first() is not None


def _repair(catalogue: Catalogue, query: str | None, form: str) -> tuple[int, dict[str, Any]]:
    """Recreates the derivatives that are marked as missing or changed and lists them.

    Returns:
        The exit code, and the key ``repair`` of the answer in JSON.
    """
    from archive.batches.planning.repair import plan_repair
    from archive.cli.restore_rerun import run_and_report

    batch_id = plan_repair(catalogue, query)
    answer: dict[str, Any] = {"batch": batch_id, "result": None, "recreated": [], "not_recreated": 0}
    if batch_id is None:
        emit("Nothing to repair: no derivative is marked as missing or changed")
        return EXIT_DONE, answer
    try:
        code = run_and_report(catalogue, batch_id, answer=answer if form == "json" else None)
    finally:
        answer |= _list_repaired(catalogue, batch_id, form)
    return code, answer


def _list_repaired(catalogue: Catalogue, batch_id: int, form: str) -> dict[str, Any]:
    """Prints the derivatives that a batch recreated, and what to do about the others; returns them for JSON."""
    from archive.catalogue.batch_queries import list_repair_results

    with catalogue.reading() as session:
        results = list(list_repair_results(session, batch_id))
    recreated = [(path, is_as_recorded) for path, is_as_recorded in results if path is not None]
    write = answer_writer(form)
    for path, is_as_recorded in recreated:
        write(f"derivative  {'repaired' if is_as_recorded else 'replaced'}  {escape_control_characters(path)}")
    emit(f"{len(recreated):,} of {pluralise(len(results), 'derivative')} recreated")
    if not all(is_as_recorded for _, is_as_recorded in recreated):
        emit("Those listed as replaced have other bytes than recorded, so each is a new derivative: review it again")
    if left := len(results) - len(recreated):
        warn(
            f"{pluralise(left, 'derivative')} still broken. Remove the cause and run `archive verify --repair` again, "
            "or restore the files from a backup and run `archive verify`"
        )
    return {
        "recreated": [{"path": path, "as_recorded": is_as_recorded} for path, is_as_recorded in recreated],
        "not_recreated": left,
    }


def _is_repairable(broken: BrokenFile) -> bool:
    """Whether the repair includes it; the result of its batch then lists what could not be recreated."""
    return broken.kind == "derivative" and broken.problem in ("missing", "changed")
