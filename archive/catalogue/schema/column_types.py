"""Column types and the base of all tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Enum, Float, Integer, MetaData, String, Text, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

# BIGINT on PostgreSQL; SQLite autoincrements only a column of type INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")
# Table options by which SQLite never gives the id of a removed row to a new one, as PostgreSQL never does.
NEVER_REUSE_IDS = {"sqlite_autoincrement": True}
# Compared and ordered by code point on both databases, whatever the language of a PostgreSQL database.
ExactText = Text().with_variant(Text(collation="C"), "postgresql")
ExactName = String(64).with_variant(String(64, collation="C"), "postgresql")
Digest = ExactName


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so it is removed before writing and added after reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone can't be stored: use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CodePoints(FunctionElement[str]):
    """A text, compared and ordered by code point like a column of :data:`ExactText`."""

    type = Text()
    inherit_cache = True


@compiles(CodePoints, "sqlite")
def _compile_sqlite_code_points(element: CodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(CodePoints)
def _compile_code_points(element: CodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


class RecipeTexture(FunctionElement[float]):
    """The parameter ``texture`` of the first stage in a recipe's canonical JSON; NULL if the stage has none."""

    type = Float(53)
    inherit_cache = True


@compiles(RecipeTexture, "sqlite")
def _compile_sqlite_texture(element: RecipeTexture, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.stages[0].parameters.texture')"


@compiles(RecipeTexture)
def _compile_texture(element: RecipeTexture, compiler: SQLCompiler, **options: Any) -> str:
    recipe = f"CAST({compiler.process(element.clauses, **options)} AS jsonb)"
    return f"CAST({recipe} #>> '{{stages,0,parameters,texture}}' AS double precision)"


class DatabaseClock(FunctionElement[datetime]):
    """The current time by the database's clock, which all machines share; it goes on within a transaction."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(DatabaseClock, "sqlite")
def _compile_sqlite_clock(_element: DatabaseClock, _compiler: SQLCompiler, **_: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


@compiles(DatabaseClock)
def _compile_clock(_element: DatabaseClock, _compiler: SQLCompiler, **_: Any) -> str:
    return "clock_timestamp()"


class CommitWithoutDisk(FunctionElement[str]):
    """Evaluated in a transaction, it lets its commit not wait for the disk. Only PostgreSQL does so; NULL on SQLite.

    After a crash of the server the last such transactions, by default those of about 0.6 s, may be undone. Transactions
    that waited for the disk are kept, and so is everything that was committed before them.
    """

    type = Text()
    inherit_cache = True


@compiles(CommitWithoutDisk, "sqlite")
def _compile_sqlite_commit(_element: CommitWithoutDisk, _compiler: SQLCompiler, **_: Any) -> str:
    return "NULL"


@compiles(CommitWithoutDisk)
def _compile_commit(_element: CommitWithoutDisk, _compiler: SQLCompiler, **_: Any) -> str:
    return "set_config('synchronous_commit', 'off', true)"


def enum_column(kind: type[StrEnum]) -> Enum:
    """A text column type for the values of ``kind``, with a check constraint named after it."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=32,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


class Table(DeclarativeBase):
    """Base of all tables; every constraint has a name, so that migrations can drop it on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, dict[str, Any]: JSON, float: Float(53)}
