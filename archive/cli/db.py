"""``archive db upgrade|current|check``."""

from __future__ import annotations

import click

from archive.cli.options import ArchiveGroup, Context, command, epilog, pass_context
from archive.errors import EXIT_DONE, EXIT_FAILED


@click.group("db", cls=ArchiveGroup, epilog=epilog("archive db check"))
def db() -> None:
    """Maintain the catalogue's database."""


@command("upgrade", examples=("archive db upgrade",))
@pass_context
def upgrade(context: Context) -> None:
    """Upgrade the database to the schema of this software version.

    Make a backup first. Tables that are changed are copied, which needs as much space again and takes a minute for
    100,000 items. Model versions that come with the software are registered; no alias is moved.
    """
    from archive.catalogue import Catalogue
    from archive.catalogue.schema import migration
    from archive.model_registry import register_shipped

    settings = context.settings
    migration.upgrade(settings)
    for reference in register_shipped(Catalogue.open(settings)):
        click.echo(f"model: {reference}")
    click.echo(f"schema: {migration.current(settings)}")


@command("current", examples=("archive db current",))
@pass_context
def current(context: Context) -> None:
    """Show the schema revisions of the database and of the software."""
    from archive.catalogue.schema import migration

    click.echo(f"database: {migration.current(context.settings) or 'no tables'}")
    click.echo(f"software: {migration.head()}")


@command("check", examples=("archive db check",))
@pass_context
def check(context: Context) -> int:
    """Check that the schema is up to date and that all constraints hold.

    The whole file of an SQLite database is read, which takes minutes for a large catalogue.

    Where statistics are missing or much space is unused, the command says what to run. That is advice, not a problem.
    """
    from archive.catalogue.schema import migration

    problems = migration.check(context.settings)
    for problem in problems:
        click.echo(problem)
    for advice in migration.advise(context.settings):
        click.echo(f"advice: {advice}")
    if not problems:
        click.echo("no problems found in the database")
    return EXIT_FAILED if problems else EXIT_DONE


for each in (upgrade, current, check):
    db.add_command(each)
