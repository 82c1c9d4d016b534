"""``archive model list|show|verify|add|alias|compare|train|evaluate``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli.options import ArchiveGroup, Context, command, epilog, login_name, pass_context, query_argument
from archive.cli.output import as_json, print_table, visible
from archive.cli.progress import make_progress
from archive.errors import EXIT_DONE, EXIT_PARTLY, ArchiveError

if TYPE_CHECKING:
    from restoration.models import ModelFolder

FIELDS = ("name", "version", "task", "aliases", "derivatives", "registered_at")


_PARTLY = "some weights are missing, or are not those of their card and the catalogue"


@click.group(
    "model",
    cls=ArchiveGroup,
    epilog=epilog("archive model list", "archive model add denoise-deblur-1.0", partly=f"verify: {_PARTLY}"),
)
def model() -> None:
    """Look at model versions, compare, add, approve or train one.

    REF is name@version, name@alias, or a name, which means name@approved.
    """


@command("list", examples=("archive model list",))
@pass_context
def list_command(context: Context) -> None:
    """List the model versions that the catalogue knows, with their aliases."""
    from archive.catalogue.search import models

    with context.catalogue().reading() as session:
        print_table(({**row, "aliases": ", ".join(row["aliases"])} for row in models(session)), FIELDS)


@command("show", examples=("archive model show denoise-deblur",))
@click.argument("reference", metavar="REF")
@pass_context
def show(context: Context, reference: str) -> None:
    """Print a version's card as JSON: what it suits, its parameters, what it was trained on, how it measures."""
    from archive.catalogue.search import find_version

    with context.catalogue().reading() as session:
        click.echo(as_json(find_version(session, reference).card, indent=2))


@command(
    "verify",
    examples=("archive model verify",),
    partly=_PARTLY,
)
@pass_context
def verify(context: Context) -> int:
    """Check every version's weights against its card and the catalogue."""
    from archive.models import verify as check

    problems = check(context.catalogue())
    for problem in problems:
        click.echo(f"{problem.reference}  {visible(str(problem.path))}: {visible(problem.problem)}")
    if not problems:
        click.echo("all weights are as they should be")
    return EXIT_PARTLY if problems else EXIT_DONE


@command("add", examples=("archive model add ~/models/denoise-deblur-1.0",))
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@pass_context
def add(context: Context, folder: Path) -> None:
    """Register the version in FOLDER, which holds card.json and weights.safetensors, and keep a copy in the home.

    It becomes @approved only if its model has no approved version yet; else decide with `archive model alias`.
    """
    from archive.models import add as register

    version = register(context.catalogue(), folder)
    click.echo(f"model: {version.card['name']}@{version.version}")


@command("alias", examples=("archive model alias denoise-deblur 1.0 approved --reviewer 'A. Curator'",))
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION")
@click.argument("alias_name", metavar="ALIAS")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the name you are logged in with.")
@pass_context
def alias(context: Context, name: str, version: str, alias_name: str, reviewer: str | None) -> None:
    """Let NAME@ALIAS mean VERSION from now on.

    Which version is @approved is what a museum decides: the change is kept as an event with your name.
    """
    from archive.models import set_alias

    alias_name = alias_name.removeprefix("@")
    set_alias(context.catalogue(), name, version, alias_name, reviewer or login_name())
    click.echo(f"{name}@{alias_name} is now {name}@{version}")


@command(
    "compare",
    examples=(
        "archive model compare denoise-deblur@approved denoise-deblur@1.0",
        "archive model compare denoise-deblur@0.1 denoise-deblur@1.0 'collection:Trial' --format json",
    ),
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@query_argument
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@pass_context
def compare(context: Context, a: str, b: str, query: str | None, format_: str) -> None:
    """Compare two versions, REFs A and B, by the scores of all masters that both restored.

    Differences are B minus A, master by master. Scores against a clean reference are measures of quality; those against
    the master say how much was changed, and not how good it is. Of each version a master's newest derivative counts
    that is not rejected, else the newest. QUERY narrows the masters.
    """
    from archive.catalogue.search import compare as find
    from archive.cli.comparison import print_comparison

    with context.catalogue().reading() as session:
        found = find(session, a, b, query)
    if format_ == "json":
        click.echo(as_json(found, indent=2))
    else:
        print_comparison(found)


@command(
    "train",
    examples=(
        "archive model train --data photographs --output denoise-deblur-1.0",
        "archive model train --output denoise-deblur-1.0 --resume",
        "archive model train --from denoise-deblur --data our-negatives --output our-negatives-1.0",
    ),
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="A new folder, named after model and version, such as denoise-deblur-0.2.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="A folder of clean photographs; needed unless --resume.",
)
@click.option(
    "--perceptual-weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="VGG19's weights as safetensors, for the feature loss; else the discriminator's features are compared.",
)
@click.option("--from", "start", metavar="REF", help="A version to begin with, NAME@VERSION or NAME@ALIAS.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in FOLDER.")
@pass_context
def train(
    context: Context,
    output: Path,
    data: Path | None,
    perceptual_weights: Path | None,
    start: str | None,
    resume: bool,
) -> None:
    """Train a restoration model on clean photographs, which are aged by the software itself.

    It takes hours; a GPU helps. FOLDER holds a checkpoint, log.jsonl and, for TensorBoard, a board meanwhile, and
    becomes a model version for `archive model add`.
    """
    from restoration.training import train as run

    bar = make_progress()
    steps_done = 0

    def advance(step: int, steps: int, losses: dict[str, float]) -> None:
        nonlocal steps_done
        if not steps_done:
            bar.start(steps, "steps")
        bar.advance(step - steps_done, " ".join(f"{name} {value:.3g}" for name, value in losses.items()))
        steps_done = step

    try:
        with _librarys_errors():
            folder = run(
                output,
                data=data,
                resume=resume,
                start=None if start is None else _folder_of(context, start),
                perceptual_weights=perceptual_weights,
                progress=advance,
            )
    finally:
        bar.finish()
    click.echo(f"model: {folder.card.reference} in {folder.path}")


@command(
    "evaluate",
    examples=(
        "archive model evaluate denoise-deblur --data photographs",
        "archive model evaluate denoise-deblur@0.1 --data set12 --no-peers --format json",
        "archive model evaluate denoise-deblur --data photographs --scans prints --texture 0 --texture 0.5",
    ),
)
@click.argument("reference", metavar="REF")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="A folder of clean pictures.",
)
@click.option(
    "--scans",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="A folder of real scans; what is left of their grain and edges is measured.",
)
@click.option(
    "--texture",
    "textures",
    type=click.FloatRange(0, 1),
    multiple=True,
    metavar="0..1",
    help="A texture to measure at, as often as you like; else 0, the card's default and 1.",
)
@click.option("--no-peers", is_flag=True, help="Leave the classical methods out.")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@pass_context
def evaluate(
    context: Context,
    reference: str,
    data: Path,
    scans: Path | None,
    textures: tuple[float, ...],
    no_peers: bool,
    format_: str,
) -> None:
    """Measure a version on clean pictures that are given stated defects, beside classical methods.

    Noise, blur, damage, marks or a whole simulated life are added with a fixed seed; PSNR (dB), SSIM and the distance
    of spectra (dB) are means over the pictures, on encoded values, against the clean ones. The classical methods are
    told the noise level or the kernel; the model is told nothing. Of pictures larger than 768 px the middle is used. On
    a GPU its speed is measured too.
    """
    from restoration.training import evaluate_version

    folder = _folder_of(context, reference)
    with _librarys_errors():
        rows = (
            row.as_dict()
            for row in evaluate_version(folder, data, scans=scans, textures=textures, with_peers=not no_peers)
        )
        if format_ == "json":
            click.echo(as_json(list(rows), indent=2))
        else:
            _print_by_figures(rows)


def _print_by_figures(rows: Iterable[dict[str, Any]]) -> None:
    """A table for each run of rows that have the same figures."""
    for index, (fields, group) in enumerate(groupby(rows, key=tuple)):
        click.echo("\n" * (index > 0), nl=False)
        print_table(group, fields)


def _folder_of(context: Context, reference: str) -> ModelFolder:
    from archive.catalogue.search import find_version
    from archive.models import folder_for

    catalogue = context.catalogue()
    with catalogue.reading() as session:
        return folder_for(catalogue, find_version(session, reference))


@contextmanager
def _librarys_errors() -> Iterator[None]:
    """What the library finds wrong with data, device or checkpoint becomes an error of the archive."""
    from restoration.errors import RestorationError

    try:
        yield
    except RestorationError as error:
        raise ArchiveError(str(error)) from error


for each in (list_command, show, verify, add, alias, compare, train, evaluate):
    model.add_command(each)
