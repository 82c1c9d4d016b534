"""The open catalogue: its database, and sessions to read and write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from archive.catalogue.engines import (
    IS_ROLLED_BACK,
    make_engine,
    private_copy,
    read_engine,
    refuse_absent_database,
    write_engine,
)
from archive.catalogue.schema import revision
from archive.catalogue.schema.column_types import DatabaseClock
from archive.catalogue.schema.tables import Agent
from archive.catalogue.schema.vocabularies import AgentType
from archive.errors import HomeError
from archive.settings import Settings

STAFF = "staff"
"""The name of every person in outputs that withhold the names of persons."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """An open catalogue. Several threads may use it, each with its own session."""

    settings: Settings
    engine: Engine

    @classmethod
    def open(cls, settings: Settings, *, check_schema: bool = True) -> Catalogue:
        """Opens the catalogue of a home that ``archive init`` has created.

        Raises:
            HomeError: the database does not exist or can't be reached, the SQLite file is on a network file system, or
                its schema is not the one that this software needs.
        """
        refuse_absent_database(settings)
        engine = make_engine(settings)
        try:
            with engine.connect() as connection:
                found = revision.current(connection)
        except DBAPIError as error:
            raise HomeError(f"the catalogue {engine.url!r} can't be opened: {error.orig}") from error
        if check_schema and found != revision.head():
            state = "has no tables" if found is None else f"is at schema {found}"
            raise HomeError(
                f"the catalogue {engine.url!r} {state}, and this software works with {revision.head()}: "
                f"{revision.advise(found)}"
            )
        return cls(settings=settings, engine=engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A read-write session: commits everything at the end, or nothing after an error.

        SQLite has one writer at a time: the session waits for its turn at the start, not in the middle.
        """
        with self._session(write_engine(self.engine)) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only session with a snapshot of the catalogue as of its first query."""
        with self._session(read_engine(self.engine)) as session:
            yield session

    @contextmanager
    def publishing(self) -> Iterator[Session]:
        """Like :meth:`reading`, for outputs that leave the house.

        Unless ``Settings.publish_names``, every person that it reads has the name :data:`STAFF`, so that all persons
        are one agent. Software keeps its name, and queries still find the recorded names.
        """
        with self.reading() as session:
            if not self.settings.publish_names:
                event.listen(session, "loaded_as_persistent", _withhold_name)
            yield session

    @contextmanager
    def trying(self) -> Iterator[Session]:
        """A read-write session whose changes are rolled back at the end.

        On SQLite, which has one writer at a time, it uses a copy of the catalogue, so that nobody has to wait.
        """
        is_sqlite = self.engine.dialect.name == "sqlite"
        with (
            private_copy(self.engine) if is_sqlite else nullcontext(self.engine) as engine,
            self._session(write_engine(engine)) as session,
        ):
            session.info[IS_ROLLED_BACK] = True
            yield session

    @contextmanager
    def keeping_connection(self) -> Iterator[Catalogue]:
        """Context of the same catalogue, whose sessions use one connection to a PostgreSQL server, one after the other.

        Opening a connection takes the server several milliseconds, more than most transactions. Sessions at the same
        time open further connections.
        """
        if self.engine.dialect.name == "sqlite":
            yield self
            return
        engine = make_engine(self.settings, keeps_connection=True)
        try:
            yield replace(self, engine=engine)
        finally:
            engine.dispose()

    def now(self, session: Session) -> datetime:
        """The current time by the database's clock, which all machines share."""
        return session.execute(select(DatabaseClock())).scalar_one()

    def on_behalf_of(self, operator: str) -> Catalogue:
        """The same catalogue with another operator, see :func:`archive.catalogue.events.operator_agent`."""
        return replace(self, settings=replace(self.settings, operator=operator))

    def path_of(self, stored: str) -> Path:
        """The absolute path for a row's ``path``: relative ones are below the home.

        A folder of masters may have another location on this machine, see ``Settings.roots``.
        """
        path = self.settings.home / stored
        for recorded, local in self.settings.roots:
            if path.is_relative_to(recorded):
                return Path(local) / path.relative_to(recorded)
        return path

    def stored_path(self, path: Path) -> str:
        """The path to record for an absolute path on this machine: :meth:`path_of` leads back to it."""
        for recorded, local in self.settings.roots:
            if path.is_relative_to(local):
                stored = str(Path(recorded) / path.relative_to(local))
                if self.path_of(stored) == path:
                    return stored
        return str(path)

    def _session(self, engine: Engine) -> Session:
        # Rows are looked at after the commit too, to be printed. Reads give absolute paths.
        info = {"path_of": self.path_of, "operator": self.settings.operator}
        return Session(engine, expire_on_commit=False, info=info)


def _withhold_name(_: Session, loaded: object) -> None:
    if isinstance(loaded, Agent) and loaded.type is AgentType.PERSON:
        set_committed_value(loaded, "name", STAFF)  # not a change that a session would write
