"""``archive review``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli.confirmation import confirm, is_interactive, show_lines
from archive.cli.logging_setup import answer_writer, emit, warn
from archive.cli.options import Context, RowId, answer_format_option, command, pass_context
from archive.cli.output_formats import (
    describe_empty_result,
    escape_control_characters,
    pluralise,
    print_json_object,
)
from archive.cli.progress_bar import make_progress
from archive.cli.query_argument import QueryType
from archive.errors import EXIT_DONE, EXIT_PARTLY, NotFoundError

if TYPE_CHECKING:
    from archive.bulk_review import ReviewOutcome, ReviewPlan
    from archive.catalogue import Catalogue


@command(
    "review",
    examples=(
        "archive review 1906.12 --accept --reviewer 'A. Curator'",
        "archive review 1906.12 --reject --reason 'the left eye was redrawn'",
        "archive review 'batch:3 AND psnr_reference:[30 TO *]' --accept",
        "archive review --from decisions.csv",
    ),
    partly="some decisions could not be recorded",
)
@click.argument("what", metavar="[ACCESSION_NUMBER|QUERY]", required=False, type=QueryType())
@click.option("--accept", is_flag=True, help="Accept: it stays current.")
@click.option("--reject", is_flag=True, help="Reject: it is not current. Needs --reason.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="DECISIONS.csv|DECISIONS.xlsx",
    help="Decisions from a table with the columns accession_number, sequence, derivative, decision, reason, reviewer: "
    "CSV of any usual separator and encoding, or an Excel workbook.",
)
@click.option("--sheet", metavar="NAME", help="Sheet of an Excel workbook. Default: the first one.")
@click.option("--derivative", type=RowId(), metavar="ID", help="Which one; else the current restored derivative.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the operator.")
@click.option("--dry-run", is_flag=True, help="Show what would be decided, and decide nothing.")
@click.option("--yes", is_flag=True, help="Don't ask, on a terminal either.")
@answer_format_option
@pass_context
def review(
    context: Context,
    what: str | None,
    *,
    accept: bool,
    reject: bool,
    file: Path | None,
    sheet: str | None,
    derivative: int | None,
    reason: str | None,
    reviewer: str | None,
    dry_run: bool,
    yes: bool,
    form: str,
) -> int:
    """Accept or reject one derivative, or many at once.

    Of an item, it is the current restored derivative, or the one that --derivative names. Of a QUERY, these are the
    derivatives that it selects, such as those of batch:3, else the current restored ones that it finds. Of many, the
    plan is shown first: how many, of which batch, and how many were decided already.

    A decision is about exact bytes and bears your name. An accepted derivative stays current when a newer one appears
    that nobody has seen. A rejected one is kept, but is not current. A later decision about the same derivative takes
    the place of the earlier one. The file of decisions is one that
    `archive list --rows derivatives --format csv` writes: fill in its column decision.
    """
    from archive.bulk_review import plan_for_query, plan_from_file
    from archive.catalogue.schema.vocabularies import Decision

    catalogue = context.catalogue()
    reviewer = reviewer or catalogue.settings.operator
    if file is not None:
        if what is not None or accept or reject or derivative is not None or reason is not None:
            raise click.UsageError("--from takes decisions and reasons from the file: give it alone")
        plan = plan_from_file(catalogue, file, sheet=sheet, reviewer=reviewer)
        return _decide(catalogue, plan, dry_run=dry_run, yes=yes, form=form)
    if sheet is not None:
        raise click.UsageError("--sheet names a sheet of the workbook that --from reads: give both")
    if what is None:
        raise click.UsageError("name an item or give a query, or give a file of decisions with --from")
    if accept == reject:
        raise click.UsageError("say either --accept or --reject")
    decision = Decision.ACCEPTED if accept else Decision.REJECTED
    if derivative is not None or _is_item(catalogue, what):
        return _decide_one(catalogue, what, decision, derivative, reason, reviewer, dry_run=dry_run, form=form)
    plan = plan_for_query(catalogue, what, decision=decision, reason=reason, reviewer=reviewer)
    if not plan.decisions and not plan.decided_before:
        raise NotFoundError(f"No item {what!r}, and as a query: {describe_empty_result(what, 'no derivative')}")
    return _decide(catalogue, plan, dry_run=dry_run, yes=yes, form=form)


def _is_item(catalogue: Catalogue, what: str) -> bool:
    from sqlalchemy import select

    from archive.catalogue.schema.tables import Item

    with catalogue.reading() as session:
        return session.scalar(select(Item.id).where(Item.accession_number == what)) is not None


def _decide_one(
    catalogue: Catalogue,
    accession_number: str,
    decision: str,
    derivative: int | None,
    reason: str | None,
    reviewer: str,
    *,
    dry_run: bool,
    form: str,
) -> int:
    from archive.catalogue.schema.vocabularies import Decision
    from archive.review import current_derivative_id, record_decision

    if dry_run:
        raise click.UsageError("--dry-run is for many decisions: give a query or --from")
    decided = record_decision(
        catalogue,
        accession_number,
        decision=Decision(decision),
        derivative_id=derivative,
        reason=reason,
        reviewer=reviewer,
    )
    line = f"{escape_control_characters(accession_number)}: derivative {decided.derivative_id} {decided.decision}"
    answer_writer(form)(line)
    if decided.decision is Decision.REJECTED:
        current = current_derivative_id(catalogue, decided.derivative_id)
        emit("none of its derivatives is current now" if current is None else f"derivative {current} is current now")
    if form == "json":
        _print_answer([(accession_number, decided.derivative_id, decided.decision)], recorded=1)
    return EXIT_DONE


def _print_answer(
    decisions: Iterable[tuple[str, int, str]],
    *,
    dry_run: bool = False,
    decided_before: int = 0,
    recorded: int = 0,
    failures: Iterable[tuple[str, str]] = (),
) -> None:
    """Prints the answer in JSON; ``decisions`` are accession numbers, derivatives and decisions."""
    print_json_object(
        {
            "dry_run": dry_run,
            "decisions": [
                {"accession_number": number, "derivative": derivative, "decision": decision}
                for number, derivative, decision in decisions
            ],
            "decided_before": decided_before,
            "recorded": recorded,
            "failures": [{"accession_number": number, "reason": reason} for number, reason in failures],
        }
    )


def _decide(catalogue: Catalogue, plan: ReviewPlan, *, dry_run: bool, yes: bool, form: str) -> int:
    """Carries out a plan, prints the answer in JSON if it is wanted, and returns the exit code."""
    outcome = _show_and_record(catalogue, plan, dry_run=dry_run, yes=yes, form=form)
    if form == "json":
        _print_answer(
            [(each.accession_number, each.derivative_id, each.decision) for each in plan.decisions],
            dry_run=dry_run,
            decided_before=plan.decided_before,
            recorded=outcome.recorded,
            failures=outcome.failures,
        )
    return EXIT_PARTLY if outcome.failures else EXIT_DONE


def _show_and_record(catalogue: Catalogue, plan: ReviewPlan, *, dry_run: bool, yes: bool, form: str) -> ReviewOutcome:
    """Shows the plan, asks on a terminal, and records the decisions; nothing is recorded in a dry run."""
    from archive.bulk_review import ReviewOutcome, record_plan

    for note in plan.notes:
        emit(escape_control_characters(note))
    show_lines(_plan_lines(plan), err=not dry_run or form == "json")
    if dry_run or not plan.decisions:
        return ReviewOutcome()
    if not yes and is_interactive() and not confirm():
        emit("nothing was decided")
        return ReviewOutcome()
    outcome = record_plan(catalogue, plan, make_progress())
    answer_writer(form)(f"{pluralise(outcome.recorded, 'decision')} recorded")
    if outcome.failures:
        warn(f"{pluralise(len(outcome.failures), 'decision')} not recorded:")
        for accession_number, reason in outcome.failures:
            warn(escape_control_characters(f"  {accession_number}: {reason}"))
    return outcome


def _plan_lines(plan: ReviewPlan) -> list[str]:
    counts: dict[str, int] = {}
    for each in plan.decisions:
        counts[each.decision] = counts.get(each.decision, 0) + 1
    lines = [f"To decide: {pluralise(n, 'derivative')} {decision}" for decision, n in sorted(counts.items())]
    lines += [f"  of batch {batch_id}: {n:,}" for batch_id, n in plan.batches.items()]
    if not plan.decisions:
        lines.append("Nothing to decide")
    if plan.changed:
        lines.append(f"Decided otherwise before: {plan.changed:,}")
    if plan.decided_before:
        lines.append(f"Decided so before, left alone: {plan.decided_before:,}")
    return lines
