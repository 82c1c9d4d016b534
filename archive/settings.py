"""The home of an archive and its settings: ``archive.toml`` and the environment, read once into a frozen record."""

from __future__ import annotations

import getpass
import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from archive.errors import HomeError

HOME_VARIABLE = "ARCHIVE_HOME"
DATABASE_VARIABLE = "ARCHIVE_DATABASE_URL"
OPERATOR_VARIABLE = "ARCHIVE_OPERATOR"
SETTINGS_NAME = "archive.toml"
MACHINE_SETTINGS_VARIABLE = "ARCHIVE_MACHINE_SETTINGS"
MACHINE_SETTINGS = Path(".config/archive-restoration/machine.toml")  # below the user's own folder
SQLITE_PREFIX = "sqlite:///"
POSTGRESQL_PREFIX = "postgresql+psycopg://"

_CHOICES = {"views": ("demand", "batch"), "compression": ("none", "deflate")}


def default_operator() -> str:
    """The person who works: ``ARCHIVE_OPERATOR``, else the login name, else the user id if the system has no name."""
    if named := os.environ.get(OPERATOR_VARIABLE, "").strip():
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user id {os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an archive home, for all commands.

    ``archive.toml`` may set every field except ``home``, ``roots`` and ``operator``. ``roots`` comes from the settings
    of the machine.
    """

    home: Path
    """The home folder, absolute."""
    database_url: str
    """``sqlite:///<absolute path>`` or ``postgresql+psycopg://…``."""
    max_pixels: int = 2_000_000_000
    """Masters with more pixels than this (width times height) are refused, against decompression bombs."""
    max_decoding_bytes: int = 1536 * 1024 * 1024
    """Masters that can only be decoded whole are refused where that takes more memory than this."""
    tile_size: int = 800
    """Side of the squares that pictures are restored in, px."""
    lease_seconds: int = 60
    """How long a task stays a process's own without a sign of life from it; then another may take it over."""
    database_wait_seconds: int = 300
    """How long a batch waits for a database that is locked or away before it stops."""
    roots: tuple[tuple[str, str], ...] = ()
    """Folders of masters that lie elsewhere on this machine: as recorded, and where they are here."""
    operator: str = field(default_factory=default_operator)
    """The person on whose behalf the catalogue is written to; recorded with every event, batch and derivative."""
    views: str = "demand"
    """When the pictures made for looking are prepared: ``demand``, at the first look; ``batch``, after each batch."""
    views_gigabytes: int = 20
    """How much disk space the pictures made for looking, below ``views/``, may take."""
    compression: Literal["none", "deflate"] = "none"
    """How the pixels of derivatives are stored: ``none``, or ``deflate``, without loss; recorded with each of them."""
    sign: bool = False
    """Whether derivatives that packages and exports hand over are signed copies, unless the command says otherwise."""
    publish_names: bool = True
    """Whether exports, packages, reports and contact sheets name the operators, reviewers and commenters."""
    rejection_reasons: tuple[str, ...] = (
        "a face or a text was changed",
        "details were invented",
        "too smooth",
        "damage is left",
        "the scan itself is poor",
    )
    """The reasons that the review in the browser offers."""

    @property
    def sqlite_path(self) -> Path | None:
        """The absolute path of the database file, or None on PostgreSQL."""
        if not self.database_url.startswith(SQLITE_PREFIX):
            return None
        return self.home / self.database_url.removeprefix(SQLITE_PREFIX)


def find_home(explicit: Path | None) -> Path:
    """The home to use: ``explicit``, else ``ARCHIVE_HOME``, else the nearest parent folder with ``archive.toml``.

    Raises:
        HomeError: the folder is not an archive home.
    """
    if explicit is not None:
        return _existing_home(explicit, "--home")
    if named := os.environ.get(HOME_VARIABLE):
        return _existing_home(Path(named), HOME_VARIABLE)
    here = Path.cwd()
    if is_home(here):
        return here
    if (enclosing := find_enclosing_home(here)) is not None:
        return enclosing
    raise HomeError(
        f"no archive home: neither {here} nor a folder above it holds {SETTINGS_NAME}. "
        f"Run `archive init`, or name the home with --home or {HOME_VARIABLE}"
    )


def is_home(folder: Path) -> bool:
    """Whether a folder is the home of an archive."""
    return (folder / SETTINGS_NAME).is_file()


def find_enclosing_home(folder: Path) -> Path | None:
    """The nearest home that a folder lies in, other than itself."""
    return next(filter(is_home, folder.resolve().parents), None)


def load_settings(home: Path) -> Settings:
    """The settings of the home: ``archive.toml``, with ``ARCHIVE_DATABASE_URL`` before its ``database``.

    Raises:
        HomeError: ``archive.toml`` is missing, is not valid TOML, or holds an unknown entry or one of the wrong type.
    """
    home = home.expanduser().absolute()
    path = home / SETTINGS_NAME
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HomeError(
            f"{home} is not an archive home: it holds no {SETTINGS_NAME}. Run `archive init {home}`"
        ) from error
    except (OSError, ValueError) as error:
        raise HomeError(f"{path} can't be read: {error}") from error
    kinds: dict[str, type[Any]] = {
        "database": str,
        "max_pixels": int,
        "max_decoding_bytes": int,
        "tile_size": int,
        "lease_seconds": int,
        "database_wait_seconds": int,
        "views_gigabytes": int,
        "views": str,
        "compression": str,
        "rejection_reasons": list,
        "sign": bool,
        "publish_names": bool,
    }
    for name, value in content.items():
        if name not in kinds:
            raise HomeError(f"{path} has an unknown entry {name!r}; known are {', '.join(kinds)}")
        if not _is_valid(value, kinds[name]):
            wanted = {str: "text", int: "a whole number above 0", list: "a list of texts", bool: "true or false"}[
                kinds[name]
            ]
            raise HomeError(f"{path}: {name} must be {wanted}, not {value!r}")
    for name, choices in _CHOICES.items():
        if content.get(name, choices[0]) not in choices:
            raise HomeError(f"{path}: {name} must be {' or '.join(map(repr, choices))}, not {content[name]!r}")
    if "rejection_reasons" in content:
        content["rejection_reasons"] = tuple(content["rejection_reasons"])
    written = content.pop("database", None)
    return Settings(
        home=home,
        database_url=_database_url(home, os.environ.get(DATABASE_VARIABLE) or written),
        roots=_machine_roots(),
        **content,
    )


def _machine_roots() -> tuple[tuple[str, str], ...]:
    """The table ``[roots]`` of the machine's settings: ``"recorded folder" = "folder on this machine"``.

    Raises:
        HomeError: the file can't be read, or holds something else.
    """
    named = os.environ.get(MACHINE_SETTINGS_VARIABLE)
    path = Path(named).expanduser() if named else Path.home() / MACHINE_SETTINGS
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named:
            raise HomeError(f"{path}, named by {MACHINE_SETTINGS_VARIABLE}, does not exist") from error
        return ()
    except (OSError, ValueError) as error:
        raise HomeError(f"{path} can't be read: {error}") from error
    if unknown := content.keys() - {"roots"}:
        raise HomeError(f"{path} has an unknown entry {min(unknown)!r}; known is the table [roots]")
    roots = content.get("roots", {})
    for recorded, local in roots.items() if isinstance(roots, dict) else [("roots", roots)]:
        if not isinstance(local, str) or not Path(recorded).is_absolute() or not Path(local).is_absolute():
            raise HomeError(
                f'{path}: [roots] names absolute folders, "/recorded" = "/here", not {recorded} = {local!r}'
            )
    # The longest first: a folder within another may lie elsewhere.
    return tuple(sorted(roots.items(), key=lambda root: -len(root[0])))


def _is_valid(value: Any, kind: type[Any]) -> bool:
    if kind is bool:
        return type(value) is bool
    if type(value) is not kind or value in ("", 0, []):
        return False
    if isinstance(value, list):
        return all(isinstance(each, str) and each.strip() for each in value)
    return not isinstance(value, int) or value > 0


def settings_of_new_home(home: Path, *, database: str | None) -> Settings:
    """The settings that :func:`create_home` would give a new home; writes nothing.

    Raises:
        HomeError: the database URL can't be used.
    """
    home = home.expanduser().absolute()
    return Settings(home=home, database_url=_database_url(home, os.environ.get(DATABASE_VARIABLE) or database))


def create_home(home: Path, *, database: str | None) -> Settings:
    """Creates a home with ``database`` in its ``archive.toml``; an existing home is not changed.

    Raises:
        HomeError: the folder can't be made, the URL can't be used, or the home exists with another database.
    """
    home = home.expanduser().absolute()
    path = home / SETTINGS_NAME
    content = "# The home of an archive. The documentation describes its settings.\n"
    if database is not None:
        _database_url(home, database)
        content += f"database = {json.dumps(database)}\n"  # a JSON string is a TOML basic string
    try:
        home.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError as error:
        if not path.is_file():
            raise HomeError(f"{home} can't be made a home: it is not a folder") from error
        load_settings(home)  # tells what is wrong with the file, if anything is
        if database is not None and tomllib.loads(path.read_text(encoding="utf-8")).get("database") != database:
            raise HomeError(
                f"{home} is a home already, with another database: change `database` in {path} by hand if you mean to"
            ) from error
    except OSError as error:
        raise HomeError(f"{home} can't be made a home: {error.strerror}") from error
    return load_settings(home)


def _existing_home(home: Path, named_by: str) -> Path:
    home = home.expanduser().absolute()
    if not (home / SETTINGS_NAME).is_file():
        raise HomeError(f"{home}, named by {named_by}, holds no {SETTINGS_NAME}. Run `archive init {home}`")
    return home


def _database_url(home: Path, url: str | None) -> str:
    if url is None:
        return f"{SQLITE_PREFIX}{home / 'catalogue.db'}"
    if url.startswith(SQLITE_PREFIX) and url != SQLITE_PREFIX:
        return f"{SQLITE_PREFIX}{home / url.removeprefix(SQLITE_PREFIX)}"
    if url.startswith(POSTGRESQL_PREFIX):
        return url
    raise HomeError(
        f"the database URL starts with {url.split(':')[0]!r}: "
        f"it must be {POSTGRESQL_PREFIX}user@host/name or {SQLITE_PREFIX}path"
    )
