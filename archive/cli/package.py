"""``archive package``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli.export import report_left_out
from archive.cli.logging_setup import emit
from archive.cli.options import ChoiceList, Context, command, pass_context, query_argument
from archive.cli.output_formats import pluralise
from archive.cli.progress_bar import make_progress

if TYPE_CHECKING:
    from archive.catalogue import Catalogue
    from archive.package.payload_copy import DerivativeCopier

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
    help="The package: a folder that isn't there, or an unfinished package of the same request, which is finished.",
)
@click.option(
    "--layout",
    required=True,
    type=click.Choice(["bagit", "archivematica"]),
    help="A BagIt bag (RFC 8493), or a transfer for Archivematica.",
)
@click.option(
    "--contents",
    type=ChoiceList(CONTENTS),
    default=CONTENTS,
    metavar="derivatives,masters",
    help="Which files; both unless told otherwise. Of derivatives, those that are current.",
)
@click.option(
    "--sign/--no-sign",
    default=None,
    help="Sign the derivatives with Content Credentials; else as `sign` in archive.toml says.",
)
@click.option("--include-restricted", is_flag=True, help="Also items whose access is restricted or sensitive.")
@pass_context
def package(
    context: Context,
    query: str | None,
    output: Path,
    layout: str,
    contents: tuple[str, ...],
    include_restricted: bool,
    sign: bool | None,
) -> None:
    """Make a folder of the items that QUERY finds, which a preservation system takes as it is.

    It holds masters, current derivatives, and metadata: PREMIS, and of a bag PROV and spreadsheets. Files are linked
    where the volume allows it, else copied, and each is compared with the catalogue. If it is interrupted, run the same
    command again. Only items whose access is open enter it, unless you say otherwise.
    """
    from archive.package.package_run import make_package

    catalogue = context.catalogue()
    made = make_package(
        catalogue,
        query,
        output,
        "bagit" if layout == "bagit" else "archivematica",
        contents=contents,
        include_restricted=include_restricted,
        copy_derivative=_signer(catalogue) if (catalogue.settings.sign if sign is None else sign) else None,
        progress=make_progress(),
    )
    emit(f"{output}: {pluralise(made.items, 'item')}, {pluralise(made.files, 'file')}")
    if made.unplaced and layout == "archivematica" and "derivatives" in contents:
        emit(
            f"{pluralise(made.unplaced, 'derivative')} left out: Archivematica takes one access copy per file, "
            "and no simulated look"
        )
    report_left_out(made.restricted)


def _signer(catalogue: Catalogue) -> DerivativeCopier:
    """Puts signed copies of derivatives into a package."""
    from archive.cli.credentials import load_credentials
    from archive.credentials.signing import keep_or_sign

    credentials = load_credentials()
    return lambda derivative, target: keep_or_sign(catalogue, credentials, derivative, target)
