"""``archive init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli.logging_setup import emit
from archive.cli.options import Context, command, pass_context

if TYPE_CHECKING:
    from archive.settings import Settings


@command(
    "init",
    examples=(
        "archive init /data/museum",
        "archive init /data/museum --database postgresql+psycopg://user@host/museum",
    ),
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--database",
    metavar="URL",
    help="PostgreSQL database, postgresql+psycopg://user@host/name. Default: catalogue.db in the home.",
)
@pass_context
def init(context: Context, folder: Path | None, database: str | None) -> None:
    """Create a home with an empty catalogue.

    DIR becomes the home; without it --home, or the current folder. A home contains the catalogue, the restored
    derivatives and copies of the models in use. The models that come with the software are registered. An existing home
    is kept, and the command says so. It also says if the home lies in another one. A database that is the catalogue of
    another home is refused.
    """
    from archive.settings import find_enclosing_home, is_home

    existed = is_home((folder or context.home or Path()).expanduser())
    settings, registered = make_home(context, folder or context.home or Path(), database)
    click.echo(f"home: {settings.home}")
    for reference in registered:
        click.echo(f"model: {reference}")
    if existed:
        emit("The home existed already and is kept.")
    if (outer := find_enclosing_home(settings.home)) is not None:
        emit(f"The home lies in another home, {outer}. Commands in this folder use the inner one.")
    emit(f"Next, add scans: `{_name_home(settings.home)} ingest FOLDER`")


def _name_home(home: Path) -> str:
    """``archive``, with --home unless the commands that follow find the home by themselves."""
    from archive.errors import HomeError
    from archive.settings import find_home

    try:
        is_found = find_home(None) == home
    except HomeError:
        is_found = False
    return "archive" if is_found else f"archive --home {shlex.quote(str(home))}"


def _refuse_catalogue_of_another_home(folder: Path, database: str | None) -> None:
    """Checks that a database outside a new home holds no masters.

    The paths of derivatives are relative to the home. In a second home they would all be missing.
    """
    from archive.catalogue.schema import migration
    from archive.errors import HomeError
    from archive.settings import SETTINGS_NAME, is_home, settings_of_new_home

    if is_home(folder.expanduser()):
        return
    settings = settings_of_new_home(folder, database=database)
    path = settings.sqlite_path
    if (path is not None and path.resolve().is_relative_to(settings.home.resolve())) or not migration.holds_masters(
        settings
    ):
        return
    home, written = settings.home, settings.home / SETTINGS_NAME
    raise HomeError(
        "the database is the catalogue of another home: it holds masters, and their derivatives are in that home. Work "
        f"in that home with --home, also after you have moved it, or create an empty database for {home}. If {home} is "
        f'that home and its {SETTINGS_NAME} is lost, create {written} from a backup, or with one line: database = "URL"'
    )


def make_home(context: Context, folder: Path, database: str | None) -> tuple[Settings, list[str]]:
    """Creates a home with its database at head and the shipped models registered; existing parts are kept.

    Raises:
        HomeError: the home or the database can't be used, or the database is the catalogue of another home.
    """
    from archive.catalogue import Catalogue
    from archive.catalogue.schema import migration
    from archive.model_registry import register_shipped
    from archive.settings import create_home

    _refuse_catalogue_of_another_home(folder, database)
    settings = context.with_operator(create_home(folder, database=database))
    migration.upgrade(settings)
    return settings, register_shipped(Catalogue.open(settings))
