"""``archive reproduce``."""

from __future__ import annotations

from typing import Any

import click

from archive.cli.logging_setup import answer_writer, emit, warn
from archive.cli.options import Context, DeviceType, answer_format_option, command, pass_context, query_argument
from archive.cli.output_formats import (
    describe_empty_result,
    escape_control_characters,
    pluralise,
    print_json_object,
)
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
@answer_format_option
@pass_context
def reproduce(context: Context, query: str | None, limit: int | None, device: str | None, form: str) -> int:
    """Make derivatives again from their records and compare.

    Each derivative is recreated in a temporary folder, with the precision, tile size and threads of its record, and
    compared with what was recorded; those whose last reproduction is oldest come first. Nothing in the home is
    replaced. The result is printed, one line per derivative, and is an event in the history: identical (the same
    bytes), identical pixels (other metadata), within N (another device or software, largest difference in steps of
    8 bits), different, or cannot be made.
    """
    from archive.reproduction import ReproductionReport, reproduce_derivatives

    report, write_line = ReproductionReport(), answer_writer(form)
    derivatives: list[dict[str, Any]] = []
    catalogue = context.catalogue()
    for each in reproduce_derivatives(catalogue, query, report, limit=limit, device=device, progress=make_progress()):
        record, comparison = each.record, each.comparison
        line = f"{record.name}  derivative {record.id}  {comparison.as_text}: {comparison.detail}"
        write_line(escape_control_characters(line))
        derivatives.append(
            {
                "derivative": record.id,
                "name": record.name,
                "result": comparison.result,
                "largest_difference": comparison.largest_steps,
                "detail": comparison.detail,
            }
        )
    counts = ", ".join(f"{number:,} {result}" for result, number in sorted(report.counts.items()))
    write = warn if report.failed else emit
    write(f"{pluralise(report.counts.total(), 'derivative')} reproduced{counts and ': '}{counts}")
    for folder, number in report.absent_folders.items():
        left_out = f"{pluralise(number, 'derivative')} left out: the folder {folder} of their masters is gone"
        warn(f"{escape_control_characters(left_out)}. Is its share mounted?")
    if query is not None and not report.counts and not report.absent_folders and limit is None:
        emit(describe_empty_result(query, "no derivative"))
    if form == "json":
        absent = [{"path": str(path), "derivatives": number} for path, number in report.absent_folders.items()]
        print_json_object({"derivatives": derivatives, "absent_folders": absent})
    return EXIT_PARTLY if report.failed else EXIT_DONE
