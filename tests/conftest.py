"""What tests share: a home with an empty catalogue, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings

from archive.catalogue import Catalogue
from archive.catalogue.schema import migration
from archive.settings import DATABASE_VARIABLE, HOME_VARIABLE, OPERATOR_VARIABLE, Settings, create_home
from tests.postgresql_server import running_postgresql

OPERATOR = "An Operator"
"""Who works in tests."""

CHROMIUM = "/usr/bin/chromium"

# The same examples in every run, and no limit to the time of one: a run's result depends on the software alone.
hypothesis_settings.load_profile("ci")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escapes undecodable bytes in captured output, which pytest-xdist can't send between its processes."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


INTEGRATION = (
    *(f"archive/{room}/" for room in ("batches", "cli", "credentials", "export", "web")),
    *(f"archive/test_{name}.py" for name in ("contact_sheet", "html_report", "fixity", "review_queue", "views")),
    "test_docs.py",
    "test_end_to_end.py",
    "test_json_reference.py",
)
"""Tests that run commands or batches on a home, by the beginning of their path."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of whole commands and those that use PostgreSQL; skips those that need what isn't here."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(INTEGRATION):
            item.add_marker(pytest.mark.integration)
        parameters = getattr(item, "callspec", None)
        if "_postgresql" in getattr(item, "fixturenames", ()) or (
            parameters is not None and "postgresql" in map(str, parameters.params.values())
        ):
            item.add_marker(pytest.mark.postgres)
    _skip(items, "browser", None if Path(CHROMIUM).exists() else f"no {CHROMIUM}")
    _skip(items, "ray", None if find_spec("ray") else "Ray is not installed")
    if any(item.get_closest_marker("cuda") for item in items):
        import torch

        _skip(items, "cuda", None if torch.cuda.is_available() else "no CUDA device")


def _skip(items: list[pytest.Item], marker: str, reason: str | None) -> None:
    """Skips the tests with the marker, if there is a reason."""
    for item in items:
        if reason and item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _no_home_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    monkeypatch.setenv(OPERATOR_VARIABLE, OPERATOR)


def _make_linguistic_locale(folder: Path) -> bool:
    """Makes the locale ``en_US.UTF-8`` in ``folder``; False if the machine lacks what that needs."""
    program = shutil.which("localedef")
    options = ("--no-warnings=ascii", "-i", "en_US", "-f", "UTF-8", str(folder / "en_US.UTF-8"))
    if program is None or subprocess.run([program, *options], capture_output=True, check=False).returncode:
        return False
    folder.chmod(0o755)  # the server may run as another user
    return True


@contextmanager
def _beside(folder: str) -> Iterator[Path]:
    """The folder of a server's locales, which a test that starts the server again finds by its name."""
    locales = Path(f"{folder}-locales")
    locales.mkdir()
    yield locales
    shutil.rmtree(locales)


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[str]:
    """A PostgreSQL server; the value is what follows ``/<database>`` in its URLs.

    Like an ordinary server's, its databases sort texts as a language does (``'a' < 'B' < 'c'``). Where the machine
    can't make such a locale, they sort by code point.
    """
    # The socket's path may not be longer than about 100 characters, which pytest's own folders can exceed.
    with (
        tempfile.TemporaryDirectory(prefix="pg-") as folder,
        _beside(folder) as locales,
        pytest.MonkeyPatch.context() as environment,
    ):
        if _make_linguistic_locale(locales):
            environment.setenv("LOCPATH", str(locales))
            environment.setenv("LC_ALL", "en_US.UTF-8")
        with running_postgresql(Path(folder)) as server:
            environment.undo()
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield f"?host={folder}&user=postgres"


@pytest.fixture(scope="session")
def _postgresql_template(_postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database whose schema is at head, to be copied."""
    _administer(_postgresql, "CREATE DATABASE template_at_head")
    url = f"postgresql+psycopg:///template_at_head{_postgresql}"
    migration.upgrade(Settings(home=tmp_path_factory.mktemp("template"), database_url=url))
    return "template_at_head"


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file whose schema is at head, to be copied."""
    path = tmp_path_factory.mktemp("template") / "catalogue.db"
    migration.upgrade(Settings(home=path.parent, database_url=f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, of the test's own; on SQLite the file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    yield from _database_of_its_own(request.getfixturevalue("_postgresql"), "template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with its schema at head and no rows, of the test's own."""
    if request.param == "sqlite":
        path = tmp_path / "catalogue.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template = request.getfixturevalue("_postgresql_template")
    yield from _database_of_its_own(request.getfixturevalue("_postgresql"), template)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """The settings of a home at ``tmp_path / "home"`` with ``database_url``."""
    return create_home(tmp_path / "home", database=database_url)


@pytest.fixture
def catalogue(settings: Settings) -> Catalogue:
    """An open catalogue with its schema at head: no items, and no models registered."""
    return Catalogue.open(settings)


def _database_of_its_own(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield f"postgresql+psycopg:///{name}{server}"
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(f"postgresql:///postgres{server}", autocommit=True) as connection:
        connection.execute(statement.encode())
