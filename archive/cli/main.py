"""``archive``: the group of all commands, and the conversion of errors to messages and exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

import archive
from archive.cli.logging_setup import emit, is_json, set_log_format
from archive.cli.options import Context, LazyGroup, epilog
from archive.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, ArchiveError

_LOST_PREPARED_STATEMENT = ("26000", "42P05")  # codes of PostgreSQL: it does not exist, or another one has its name

COMMANDS = {
    "init": "archive.cli.init:init",
    "ingest": "archive.cli.ingest:ingest",
    "mapping": "archive.cli.mapping:mapping",
    "restore": "archive.cli.restore_rerun:restore",
    "rerun": "archive.cli.restore_rerun:rerun",
    "status": "archive.cli.status:status",
    "list": "archive.cli.list_show:list_command",
    "show": "archive.cli.list_show:show",
    "promote": "archive.cli.promote:promote",
    "review": "archive.cli.review:review",
    "serve": "archive.cli.serve:serve",
    "user": "archive.cli.user:user",
    "verify": "archive.cli.verify:verify",
    "withdraw": "archive.cli.withdraw:withdraw",
    "remove": "archive.cli.remove:remove",
    "reproduce": "archive.cli.reproduce:reproduce",
    "credentials": "archive.cli.credentials:credentials",
    "report": "archive.cli.report:report",
    "export": "archive.cli.export:export",
    "package": "archive.cli.package:package",
    "batch": "archive.cli.batch:batch",
    "model": "archive.cli.model:model",
    "db": "archive.cli.db:db",
    "demo": "archive.cli.demo:demo",
}


@click.group(
    cls=LazyGroup,
    lazy_commands=COMMANDS,
    epilog=epilog(
        "archive init museum",
        "archive --home museum ingest scans",
        "archive --home museum restore",
        partly="done, but some failed, were refused, or are broken",
    ),
)
@click.version_option(archive.__version__, prog_name=archive.SOFTWARE_NAME)
@click.pass_context
def cli(context: click.Context) -> None:
    """Restore scanned photographs in batches and record what was done to each one.

    A home is the folder with the catalogue and the restored derivatives. Create one with `archive init`. Commands find
    it through --home, through the variable ARCHIVE_HOME, or because you run them inside it.
    """
    context.obj = context.obj or Context()


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: runs a command and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may contain undecodable bytes
    try:
        code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`archive list | head`); the exit must not fail on unsent output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_DONE
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; expected errors are one message on standard error, no traceback."""
    set_log_format("text")
    try:
        with cli.make_context("archive", list(sys.argv[1:] if arguments is None else arguments)) as context:
            result = cli.invoke(context)
        return result if isinstance(result, int) else EXIT_DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        if is_json():
            emit(error.format_message(), level=logging.ERROR)
        else:
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        emit("\ninterrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        message = _expected(error)
        if message is None:
            raise
        emit(message if is_json() else f"archive: {message}", level=logging.ERROR)
        return error.exit_code if isinstance(error, ArchiveError) else EXIT_FAILED


def _expected(error: Exception) -> str | None:
    """The message for the user, or None for a bug, which shows its traceback."""
    if isinstance(error, ArchiveError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    database = sys.modules.get("sqlalchemy.exc")  # not imported for a command that opened no catalogue
    if database and isinstance(error, database.OperationalError):
        return f"the database can't be used: {error.orig}"
    if database and isinstance(error, database.DBAPIError) and _sqlstate(error) in _LOST_PREPARED_STATEMENT:
        return (
            "the database server lost a prepared statement, as behind a connection pooler in transaction mode. Add "
            "?prepare_threshold=none to the URL of the database in archive.toml"
        )
    return None


def _sqlstate(error: Any) -> str | None:
    """PostgreSQL's code of a database error."""
    return getattr(error.orig, "sqlstate", None)
