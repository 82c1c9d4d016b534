"""``archive demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli.ingest import print_ingest
from archive.cli.init import make_home
from archive.cli.options import Context, command, pass_context
from archive.cli.output_formats import print_table
from archive.cli.plan_text import print_plan
from archive.cli.progress_bar import make_progress
from archive.cli.restore_rerun import PARTLY, run_and_report
from archive.errors import EXIT_DONE

if TYPE_CHECKING:
    from archive.catalogue import Catalogue

REPORT_NAME = "report.html"


@command("demo", examples=("archive demo", "archive demo /tmp/try-it"), partly=PARTLY)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@pass_context
def demo(context: Context, folder: Path | None) -> int:
    """Run everything on the sample scans, offline.

    Runs init, ingest, restore and report on the scans that come with the software, and applies a style to one of them.
    DIR is the home; without it --home, or ./demo-archive. A second run restores nothing again and rewrites the report.
    """
    from archive.batches.planning.planner import RestoreRequest, plan_restore
    from archive.bundled_files import sample_archive_folder
    from archive.catalogue import Catalogue
    from archive.ingest import ingest
    from archive.report import write_report

    settings, _ = make_home(context, folder or context.home or Path("demo-archive"), None)
    click.echo(f"home: {settings.home}")
    catalogue = Catalogue.open(settings)
    # Copied, since masters must not be referenced inside the software's own folder.
    scans = ingest(
        catalogue, [sample_archive_folder()], metadata=None, copy=True, dry_run=False, progress=make_progress()
    )
    print_ingest(scans)
    plan = plan_restore(catalogue, None, RestoreRequest(model="denoise-deblur"))
    print_plan(plan, err=False)
    code = EXIT_DONE if plan.batch_id is None else run_and_report(catalogue, plan.batch_id)
    code = max(code, _apply_a_style(catalogue))
    _print_gains(catalogue)
    report = settings.home / REPORT_NAME
    write_report(catalogue, None, report, include_restricted=False)
    click.echo(f"report: {report}")
    click.echo(f"look at it in the browser: archive --home {settings.home} serve")
    return code


def _apply_a_style(catalogue: Catalogue) -> int:
    """Applies a style to one restored item, if a style is shipped; returns the exit code."""
    from archive.batches.planning.planner import RestoreRequest, StyleRequest, plan_restore
    from archive.catalogue.listings import list_items
    from archive.model_registry import demo_style

    style = demo_style()
    with catalogue.reading() as session:
        item = next(list_items(session, "status:restored", 1), None)
    if style is None or item is None:
        return EXIT_DONE
    plan = plan_restore(
        catalogue,
        f'accession_number:"{item["accession_number"]}"',
        RestoreRequest(model="denoise-deblur", style_request=StyleRequest(styles=((style, 1.0),))),
    )
    print_plan(plan, err=False)
    return EXIT_DONE if plan.batch_id is None else run_and_report(catalogue, plan.batch_id)


def _print_gains(catalogue: Catalogue) -> None:
    """Prints how much closer the derivatives are to the clean references than the aged scans."""
    from archive.report import mean_gain, quality_gains

    found = quality_gains(catalogue, None)
    rows = (
        {
            "accession_number": gain.accession_number,
            "master": gain.sequence,
            "psnr": f"{gain.psnr_before:.2f} -> {gain.psnr_after:.2f} dB",
            "ssim": f"{gain.ssim_before:.3f} -> {gain.ssim_after:.3f}",
        }
        for gain in found
    )
    click.echo("against the clean references, master -> derivative:")
    print_table(rows, ("accession_number", "master", "psnr", "ssim"))
    if mean := mean_gain(found):
        click.echo(f"mean gain of {mean[0]}: {mean[1]:+.2f} dB PSNR, {mean[2]:+.4f} SSIM")
