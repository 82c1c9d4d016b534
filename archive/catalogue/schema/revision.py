"""The schema revisions of a database and of this software, without importing Alembic."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Connection, inspect, text

from archive.bundled_files import migrations_folder


@cache
def head() -> str:
    """The newest revision. Migration files are named ``<four digits>_<topic>.py``; the digits are the revision."""
    return max(path.name[:4] for path in (migrations_folder() / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def is_newer(found: str | None) -> bool:
    """Whether a database's revision is newer than :func:`head`."""
    return found is not None and found > head()


def advise(found: str | None) -> str:
    """What to do about a database whose revision is not :func:`head`."""
    if is_newer(found):
        return "install the newer version of the software that it was upgraded with"
    return "run `archive db upgrade`"


def current(connection: Connection) -> str | None:
    """The database's revision, or None before the first migration."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision
