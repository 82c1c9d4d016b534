"""``archive remove``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli.confirmation import confirm, is_interactive, show_lines
from archive.cli.logging_setup import answer_writer, emit
from archive.cli.options import Context, answer_format_option, command, pass_context, query_argument
from archive.cli.output_formats import (
    describe_empty_result,
    escape_control_characters,
    pluralise,
    print_json_array,
    print_json_object,
)
from archive.cli.progress_bar import make_progress
from archive.cli.traces_text import print_traces, traces_object
from archive.display_labels import format_bytes
from archive.errors import EXIT_DONE, EXIT_INTERRUPTED, NotFoundError

if TYPE_CHECKING:
    from archive.catalogue import Catalogue
    from archive.removal import Removal
    from archive.removal_plan import RemovalPlan


@command(
    "remove",
    examples=(
        "archive remove --from /scans/wrong --reason 'wrong folder' --dry-run",
        "archive remove --from /scans/wrong --reason 'wrong folder'",
        "archive remove accession_number:1906.12 --with-derivatives --reason 'the rights holder objects'",
        "archive remove --list",
    ),
)
@query_argument
@click.option(
    "--from",
    "path",
    type=click.Path(),
    metavar="PATH",
    help="Only masters whose file is PATH or lies below it, or that were copied from there. PATH may be gone.",
)
@click.option("--reason", metavar="TEXT", help="Why; required to remove something.")
@click.option("--with-derivatives", is_flag=True, help="Delete the derivatives of these masters too.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without asking for confirmation. Required without a terminal.")
@click.option("--list", "is_list", is_flag=True, help="List the masters that were removed: when, by whom, why.")
@answer_format_option
@pass_context
def remove(
    context: Context,
    query: str | None,
    *,
    path: str | None,
    reason: str | None,
    with_derivatives: bool,
    dry_run: bool,
    yes: bool,
    is_list: bool,
    form: str,
) -> int:
    """Undo an ingest: remove masters from the catalogue.

    For masters that were ingested by mistake, or must go for legal reasons. Those that match QUERY, or lie in --from
    PATH, or both if both are given, are removed with everything that was recorded about them, and so are items that
    have no other master. Of each master one event remains: who removed it, when and why. Its copy in masters/ and all
    views are deleted. Scans outside the home are never touched. To remove only a derivative, use `archive withdraw`.
    """
    from archive.removal import remove_masters, tidy
    from archive.removal_plan import plan_removal

    catalogue = context.catalogue()
    if is_list:
        if query is not None or path is not None or reason is not None or with_derivatives or dry_run or yes:
            raise click.UsageError("--list only lists: give it alone")
        return _list(catalogue, form)
    source = None if path is None else _absolute(path)
    plan = plan_removal(catalogue, query, path=source, with_derivatives=with_derivatives)
    if not dry_run and not (reason or "").strip():
        raise click.UsageError("a removal is a person's decision and needs a reason: give --reason TEXT")
    if not plan.master_ids:
        if not dry_run:
            tidy(catalogue)  # the same command may have been killed at its very end
        raise NotFoundError(f"nothing was removed: {_describe_no_match(plan, query, source)}")
    show_lines(_plan_lines(plan), err=not dry_run or form == "json")
    if plan.refusal is not None:
        raise plan.refusal
    done = None
    if not dry_run and (yes or _confirm()):
        done = remove_masters(catalogue, plan, reason=reason or "", progress=make_progress())
        _print_removal(plan, done, form)
    return _end(plan, done, form)


def _end(plan: RemovalPlan, done: Removal | None, form: str) -> int:
    """Prints the answer in JSON, if it is wanted; raises the error that ended the removal, else returns the exit code.

    ``done`` is None if nothing was to be removed.
    """
    if form == "json":
        print_json_object(_answer(plan, done))
    if done is not None and done.error is not None:
        raise done.error
    return EXIT_INTERRUPTED if done is not None and done.is_interrupted else EXIT_DONE


def _answer(plan: RemovalPlan, done: Removal | None) -> dict[str, Any]:
    """The answer in JSON."""
    counts = ("masters", "items", "derivatives")
    return {
        "plan": {
            "masters": len(plan.master_ids),
            "items": plan.items,
            "derivatives": plan.derivatives,
            "size": plan.size_bytes,
            "relocated": plan.relocated,
        },
        "removed": None if done is None else {name: getattr(done, name) for name in counts},
        **traces_object(plan.traces),
        "interrupted": done is not None and done.is_interrupted,
        "error": None if done is None or done.error is None else str(done.error),
    }


def _list(catalogue: Catalogue, form: str) -> int:
    from archive.removal import list_removals

    is_empty = True
    with catalogue.reading() as session:
        if form == "json":
            print_json_array(removed._asdict() for removed in list_removals(session))
            return EXIT_DONE
        for removed in list_removals(session):
            click.echo(escape_control_characters("  ".join(removed)))
            is_empty = False
    if is_empty:
        emit("no master was ever removed from this catalogue")
    return EXIT_DONE


def _absolute(path: str) -> Path:
    from archive.ingest.file_discovery import absolute_path

    if not path:  # such as an empty variable of a script: it would be the present folder
        raise click.UsageError("the PATH of --from is empty: write . for the present folder")
    return absolute_path(Path(path))


def _describe_no_match(plan: RemovalPlan, query: str | None, source: Path | None) -> str:
    if source is None:
        return describe_empty_result(query, "no master")
    if plan.relocated:
        return _describe_relocated(plan)
    also = "" if query is None else f" and matches the query {query!r}"
    return escape_control_characters(
        f"no master lies in {source}{also}. Run `archive list --rows masters` to see their paths"
    )


def _plan_lines(plan: RemovalPlan) -> Iterator[str]:
    more = len(plan.master_ids) - len(plan.names)
    names = ", ".join(plan.names) + (f" and {more:,} more" if more else "")
    yield f"To remove: {pluralise(len(plan.master_ids), 'master')}: {escape_control_characters(names)}"
    have = "has" if plan.items == 1 else "have"
    yield f"  with {pluralise(plan.items, 'item')} that {have} no other master"
    yield f"  with {pluralise(plan.derivatives, 'derivative')}"
    if plan.relocated:
        yield _describe_relocated(plan)
    yield f"Files to delete in the home: {format_bytes(plan.size_bytes)}. Scans outside the home are not touched"


def _describe_relocated(plan: RemovalPlan) -> str:
    lie = "lies" if plan.relocated == 1 else "lie"
    were = "was" if plan.relocated == 1 else "were"
    return (
        f"{pluralise(plan.relocated, 'master')} that {lie} there {were} ingested from elsewhere before. To remove them "
        "too, select them with a QUERY, without --from"
    )


def _confirm() -> bool:
    if not is_interactive():
        raise click.UsageError("nothing was removed, as nobody can be asked: add --yes, or see the plan with --dry-run")
    is_confirmed = confirm("Remove them? This can't be undone.", default=False)
    if not is_confirmed:
        emit("nothing was removed")
    return is_confirmed


def _print_removal(plan: RemovalPlan, done: Removal, form: str) -> None:
    counts = (
        pluralise(done.masters, "master"),
        pluralise(done.items, "item"),
        pluralise(done.derivatives, "derivative"),
    )
    answer_writer(form)(f"removed: {', '.join(counts)}")
    if done.masters:
        print_traces(plan.traces)
    if done.is_interrupted and done.error is None:
        emit("interrupted: run the same command again to remove the rest")
