"""``archive package``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from archive.cli.credentials import derivative_signer
from archive.cli.export import report_left_out
from archive.cli.logging_setup import emit
from archive.cli.options import ChoiceList, Context, answer_format_option, command, pass_context, query_argument
from archive.cli.output_formats import command_for_query, pluralise, print_json_object
from archive.cli.progress_bar import make_progress

CONTENTS = ("derivatives", "masters")


@command(
    "package",
    examples=(
        "archive package 'collection:Lange' --layout bagit --output lange-bag",
        "archive package 'batch:3' --layout archivematica --contents derivatives,masters --output transfer-3",
    ),
)
@query_argument
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to create, in an existing one. An unfinished package of the same request is completed.",
)
@click.option(
    "--layout",
    required=True,
    type=click.Choice(["bagit", "archivematica"]),
    help="bagit: a BagIt bag (RFC 8493). archivematica: a transfer for Archivematica.",
)
@click.option(
    "--contents",
    type=ChoiceList(CONTENTS),
    default=CONTENTS,
    metavar="derivatives,masters",
    help="Files to include; of derivatives the current ones. Default: both.",
)
@click.option(
    "--sign/--no-sign",
    default=None,
    help="Sign the derivatives with Content Credentials. Default: `sign` in archive.toml.",
)
@click.option("--include-restricted", is_flag=True, help="Include items with restricted or sensitive access.")
@answer_format_option
@pass_context
def package(
    context: Context,
    query: str | None,
    output: Path,
    layout: Literal["bagit", "archivematica"],
    contents: tuple[str, ...],
    include_restricted: bool,
    sign: bool | None,
    form: str,
) -> None:
    """Package the items that QUERY finds for a preservation system.

    The package contains masters, current derivatives and metadata: PREMIS, and in a bag also PROV and spreadsheets.
    Files are copied, and each copy is compared with the catalogue. If the command is interrupted, run it again. Only
    items with open access are included, unless you add --include-restricted.
    """
    from archive.package.package_run import make_package

    catalogue = context.catalogue()
    made = make_package(
        catalogue,
        query,
        output,
        layout,
        contents=contents,
        include_restricted=include_restricted,
        copy_derivative=derivative_signer(catalogue, sign=sign),
        progress=make_progress(),
    )
    emit(f"{output}: {pluralise(made.items, 'item')}, {pluralise(made.files, 'file')}")
    if made.without_derivative and "derivatives" in contents:
        which = "only their scans are packaged" if "masters" in contents else "nothing of them is packaged"
        items = f"{made.without_derivative:,} of {pluralise(made.items, 'item')}"
        without = f"{items} without a current derivative: {which}"
        if made.withdrawn:
            without += f". Withdrawn, and so not restored again: {made.withdrawn:,}"
        if made.without_derivative > made.withdrawn:
            restore = command_for_query("archive restore", query)
            without += f". To include derivatives, run `{restore}`, then package into another folder"
        emit(without)
    if made.unplaced and layout == "archivematica" and "derivatives" in contents:
        emit(
            f"{pluralise(made.unplaced, 'derivative')} left out: Archivematica takes one access copy per file, "
            "and no simulated look"
        )
    report_left_out(made.restricted)
    if form == "json":
        print_json_object({"path": str(output.absolute()), **asdict(made)})
