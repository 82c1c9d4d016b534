"""``archive model train|evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli.options import Context, command, pass_context
from archive.cli.output_formats import as_json, print_table
from archive.cli.progress_bar import make_progress
from archive.errors import ArchiveError

if TYPE_CHECKING:
    from restoration.model_folders import ModelFolder
    from restoration.training import Row


def _folder_option(name: str, text: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for an existing folder."""
    kind = click.Path(path_type=Path, exists=True, file_okay=False)
    return click.option(name, type=kind, metavar="DIR", help=text, **attributes)


@command(
    "train",
    examples=(
        "archive model train --data photographs --output denoise-deblur-2.1",
        "archive model train --output denoise-deblur-2.1 --resume",
        "archive model train --data photographs --output denoise-deblur-2.1 --minutes 600",
        "archive model train --from denoise-deblur --data our-negatives --output our-negatives-1.0",
        "archive model train --task style --style-images cyanotypes --content photographs "
        "--output simulated-cyanotype-0.1",
    ),
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="New folder, named after model and version, such as denoise-deblur-0.2.",
)
@click.option(
    "--task",
    type=click.Choice(["restoration", "style"]),
    default="restoration",
    show_default=True,
    help="Train a restoration model or a style.",
)
@_folder_option("--data", "Folder of clean photographs for a restoration model; needed unless --resume.")
@_folder_option("--style-images", "For a style: folder of pictures in that style; needed unless --resume.")
@_folder_option("--content", "For a style: folder of photographs to apply it to; needed unless --resume.")
@click.option(
    "--perceptual-weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Weights of VGG19 as safetensors, for the perceptual loss. Default: features of networks trained here.",
)
@click.option("--from", "start", metavar="REF", help="Restoration model to start from, NAME@VERSION or NAME@ALIAS.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=1),
    metavar="N",
    help="Fit the whole training of a restoration, release included, into this time from now.",
)
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in FOLDER, with the same --task.")
@pass_context
def train(
    context: Context,
    output: Path,
    task: str,
    data: Path | None,
    style_images: Path | None,
    content: Path | None,
    perceptual_weights: Path | None,
    start: str | None,
    minutes: float | None,
    resume: bool,
) -> None:
    """Train a restoration model on clean photographs, which are aged by simulation, or a style on example pictures.

    Training takes hours; a GPU helps. During training FOLDER contains a checkpoint, log.jsonl and TensorBoard data; in
    the end it is a model version for `archive model add`. The name of a style starts with simulated-.
    """
    from restoration.training import train as train_restoration
    from restoration.training.style import train_styles

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
            if task == "style":
                _refuse("--data, --from and --minutes are for --task restoration", data, start, minutes)
                (folder,) = train_styles(
                    output,
                    styles=style_images,
                    content=content,
                    resume=resume,
                    perceptual_weights=perceptual_weights,
                    progress=advance,
                )
            else:
                _refuse("--style-images and --content are for --task style", style_images, content)
                folder = train_restoration(
                    output,
                    data=data,
                    resume=resume,
                    start=None if start is None else _folder_of(context, start),
                    minutes=minutes,
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
        "archive model evaluate denoise-deblur@2.1 --data set12 --no-peers --format json",
        "archive model evaluate denoise-deblur --data photographs --scans prints --texture 0 --texture 0.5",
        "archive model evaluate simulated-toned-print --data photographs --style-images prints_toned",
    ),
)
@click.argument("reference", metavar="REF")
@_folder_option("--data", "Folder of clean pictures that the version wasn't trained on.", required=True)
@_folder_option("--scans", "For a restoration model: folder of real scans, to measure remaining grain and edges.")
@click.option(
    "--texture",
    "textures",
    type=click.FloatRange(0, 1),
    multiple=True,
    metavar="0..1",
    help="For a restoration model: texture to evaluate; repeatable. Default: 0, the card's default and 1.",
)
@_folder_option("--style-images", "For a style, required: folder of the pictures that it was trained with.")
@click.option("--no-peers", is_flag=True, help="Omit the classical methods.")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@pass_context
def evaluate(
    context: Context,
    reference: str,
    data: Path,
    scans: Path | None,
    textures: tuple[float, ...],
    style_images: Path | None,
    no_peers: bool,
    format_: str,
) -> None:
    """Evaluate a version and compare it with classical methods.

    A restoration model restores clean pictures with stated defects: noise, blur, damage, marks, or all simulated
    ageing, with a fixed seed. PSNR (dB), SSIM and the distance of spectra (dB) are means over the pictures, on encoded
    values, against the clean pictures. The classical methods get the noise level or the blur kernel; the model gets
    neither. Pictures larger than 768 px are cropped to their middle. On a GPU the speed is measured too.

    A style is applied to the middle 512 px of the pictures. The metrics are the share of content that is kept; the
    distance of colour and texture to real pictures of the style (0: as close as real ones are to each other, 1: no
    closer than before); and how well a discriminator separates them from real ones (0.5: not at all). Every 5th of the
    style's pictures by name was held out of its training and is used here.
    """
    folder = _folder_of(context, reference)
    with _librarys_errors():
        rows = (
            row.as_dict()
            for row in _rows(folder, data, scans, textures, style_images=style_images, with_baselines=not no_peers)
        )
        if format_ == "json":
            click.echo(as_json(list(rows), indent=2))
        else:
            _print_tables(rows)


def _rows(
    folder: ModelFolder,
    data: Path,
    scans: Path | None,
    textures: tuple[float, ...],
    *,
    style_images: Path | None,
    with_baselines: bool,
) -> Iterator[Row]:
    from restoration.training import evaluate_version
    from restoration.training.style import evaluate_style

    if folder.card.task != "style":
        _refuse(f"--style-images is for styles, and {folder.card.reference} is none", style_images)
        return evaluate_version(folder, data, scans=scans, textures=textures, with_baselines=with_baselines)
    _refuse(f"--scans and --texture are for restorations, and {folder.card.reference} is a style", scans, *textures)
    if style_images is None:
        raise click.UsageError(f"name the pictures that {folder.card.reference} was trained with: --style-images DIR")
    return evaluate_style(folder, data, style_images, with_baselines=with_baselines)


def _refuse(why: str, *given: object) -> None:
    if any(option is not None for option in given):
        raise click.UsageError(why)


def _print_tables(rows: Iterable[dict[str, Any]]) -> None:
    """Prints a table for each group of consecutive rows with the same columns."""
    for index, (fields, group) in enumerate(groupby(rows, key=tuple)):
        click.echo("\n" * (index > 0), nl=False)
        print_table(group, fields)


def _folder_of(context: Context, reference: str) -> ModelFolder:
    from archive.catalogue.listings import find_version
    from archive.model_registry import checked_folder

    catalogue = context.catalogue()
    with catalogue.reading() as session:
        return checked_folder(catalogue, find_version(session, reference))


@contextmanager
def _librarys_errors() -> Iterator[None]:
    """Converts the library's errors to errors of the archive."""
    from restoration.errors import RestorationError

    try:
        yield
    except RestorationError as error:
        raise ArchiveError(str(error)) from error
