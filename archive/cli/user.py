"""``archive user add``, ``list`` and ``remove``: accounts of the web server."""

from __future__ import annotations

import sys

import click

from archive.cli.options import ArchiveGroup, Context, command, epilog, pass_context
from archive.cli.output_formats import as_json, escape_control_characters, print_table

FIELDS = ("name", "role", "password", "created_at")


@click.group("user", cls=ArchiveGroup, epilog=epilog("archive user add anna --role reviewer", "archive user list"))
def user() -> None:
    """Manage the accounts of the web server."""


@command(
    "add",
    examples=("archive user add anna --role reviewer", "archive user add 'A. Curator' --role manager --no-password"),
)
@click.argument("name", metavar="NAME")
@click.option("--role", type=click.Choice(["viewer", "reviewer", "manager"]), default="viewer", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--no-password", is_flag=True, help="For a user whom a trusted proxy logs in: no login by password.")
@pass_context
def add(context: Context, name: str, role: str, *, password_stdin: bool, no_password: bool) -> None:
    """Add an account.

    Viewers see items of open access. Reviewers also see restricted items, decide and comment. Managers see all items
    and plan batches. A user whom a trusted proxy names and who has no account is a viewer.
    """
    from archive.accounts import add_account
    from archive.catalogue.schema.vocabularies import Role

    if password_stdin and no_password:
        raise click.UsageError("use either --password-stdin or --no-password")
    password: str | None = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not no_password:
        if not sys.stdin.isatty():
            raise click.UsageError("a password can be typed on a terminal only. Use --password-stdin or --no-password")
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    add_account(context.catalogue(), name, Role(role), password)
    click.echo(f"{escape_control_characters(name)}: {role}")


@command("list", examples=("archive user list", "archive user list --format json"))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@pass_context
def list_command(context: Context, form: str) -> None:
    """List the accounts by name."""
    from archive.accounts import list_accounts

    found = list_accounts(context.catalogue())
    if form == "json":
        click.echo(as_json(found, indent=2))
    else:
        print_table(found, FIELDS)


@command("remove", examples=("archive user remove anna",))
@click.argument("name", metavar="NAME")
@pass_context
def remove(context: Context, name: str) -> None:
    """Remove an account. The user's decisions and comments stay."""
    from archive.accounts import remove_account

    remove_account(context.catalogue(), name)
    click.echo(f"{escape_control_characters(name)}: removed")


for each in (add, list_command, remove):
    user.add_command(each)
