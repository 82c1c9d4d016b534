"""``archive reproduce``."""

from __future__ import annotations

import click

from archive.cli.logging_setup import emit, warn
from archive.cli.options import Context, DeviceType, command, pass_context, query_argument
from archive.cli.output_formats import describe_empty_result, escape_control_characters, pluralise
from archive.cli.progress_bar import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY


@command(
    "reproduce",
    examples=("archive reproduce --limit 20", "archive reproduce 'batch:3'"),
    partly="some derivatives came out different, or can't be recreated",
)
@query_argument
@click.option("--limit", type=click.IntRange(0, 10**9), metavar="N", help="At most so many derivatives; else all.")
@click.option(
    "--device",
    type=DeviceType(),
    metavar=DeviceType.metavar,
    help="Where networks run; else the kind of device that each record names, or the processor if it is not there.",
)
@pass_context
def reproduce(context: Context, query: str | None, limit: int | None, device: str | None) -> int:
    """Make derivatives again from their records and compare.

    Each derivative is recreated in a temporary folder, with the precision, tile size and threads of its record, and
    compared with what was recorded; those whose last reproduction is oldest come first. Nothing in the home is
    replaced. The result is printed, one line per derivative, and is an event in the history: identical (the same
    bytes), identical pixels (other metadata), within N (another device or software, largest difference in steps of
    8 bits), different, or cannot be made.
    """
    from archive.reproduction import ReproductionReport, reproduce_derivatives

    report = ReproductionReport()
    catalogue = context.catalogue()
    for each in reproduce_derivatives(catalogue, query, report, limit=limit, device=device, progress=make_progress()):
        record, comparison = each.record, each.comparison
        line = f"{record.name}  derivative {record.id}  {comparison.as_text}: {comparison.detail}"
        click.echo(escape_control_characters(line))
    counts = ", ".join(f"{number:,} {result}" for result, number in sorted(report.counts.items()))
    write = warn if report.failed else emit
    write(f"{pluralise(report.counts.total(), 'derivative')} reproduced{counts and ': '}{counts}")
    for folder, derivatives in report.absent_folders.items():
        left_out = f"{pluralise(derivatives, 'derivative')} left out: the folder {folder} of their masters is gone"
        warn(f"{escape_control_characters(left_out)}. Is its share mounted?")
    if query is not None and not report.counts and not report.absent_folders and limit is None:
        emit(describe_empty_result(query, "no derivative"))
    return EXIT_PARTLY if report.failed else EXIT_DONE
