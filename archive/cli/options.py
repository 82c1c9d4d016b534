"""Parts shared by all commands: lazy loading, the home, global options and common parameter types."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from archive.cli.query_argument import QueryType, refuse_several_queries
from archive.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_PARTLY, EXIT_USAGE
from archive.name_suggestions import suggest

if TYPE_CHECKING:
    from archive.catalogue import Catalogue
    from archive.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

EXIT_MEANINGS = {
    EXIT_DONE: "done",
    EXIT_FAILED: "failed",
    EXIT_USAGE: "wrong usage",
    EXIT_PARTLY: "done, but some failed",
    EXIT_INTERRUPTED: "interrupted",
}


@dataclass(kw_only=True)
class Context:
    """The values of the global options."""

    home: Path | None = None
    operator: str | None = None

    @property
    def settings(self) -> Settings:
        """The settings of the home in use.

        Raises:
            HomeError: there is none, or it can't be used.
        """
        from archive.settings import find_home, load_settings

        return self.with_operator(load_settings(find_home(self.home)))

    def with_operator(self, settings: Settings) -> Settings:
        """``settings`` with the operator that ``--operator`` names, if it does."""
        return settings if self.operator is None else replace(settings, operator=self.operator)

    def catalogue(self) -> Catalogue:
        """The catalogue of the home in use, its schema checked.

        Raises:
            HomeError: there is no home, or its database can't be used.
        """
        from archive.catalogue import Catalogue

        return Catalogue.open(self.settings)


pass_context = click.make_pass_decorator(Context, ensure=True)


def _remember_home(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    # The option may stand before the command's name or after it; the one given counts.
    shared = context.ensure_object(Context)
    if value is not None:
        shared.home = value


def _remember_operator(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    if not value.strip():
        raise click.BadParameter("the name is empty: name the person who works", context, parameter)
    context.ensure_object(Context).operator = value.strip()


def _set_log_format(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        from archive.cli.logging_setup import set_log_format

        set_log_format(value)


def _global_options() -> list[click.Parameter]:
    """Options that may precede or follow a command's name."""
    return [_home_option(), _operator_option(), _log_format_option()]


def _log_format_option() -> click.Option:
    return click.Option(
        ["--log-format"],
        type=click.Choice(["text", "json"]),
        help="Log format on standard error; json writes one object per line.",
        expose_value=False,
        is_eager=True,  # so that errors in other options use this format
        callback=_set_log_format,
    )


def _operator_option() -> click.Option:
    return click.Option(
        ["--operator"],
        metavar="NAME",
        help="Your name in the record. Default: ARCHIVE_OPERATOR, or your login name.",
        expose_value=False,
        callback=_remember_operator,
    )


def _home_option() -> click.Option:
    return click.Option(
        ["--home"],
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The home. Default: ARCHIVE_HOME, or the nearest folder upward with archive.toml.",
        expose_value=False,
        callback=_remember_home,
    )


class ArchiveCommand(click.Command):
    """A command that takes --home, --operator and --log-format."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.allow_extra_args = any(isinstance(each.type, QueryType) for each in self.params)  # refused with a hint
        self.params.extend(_global_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if ctx.args:
            (query,) = (ctx.params[each.name or ""] for each in self.params if isinstance(each.type, QueryType))
            refuse_several_queries(ctx, [query, *ctx.args])
        for parameter in self.params:
            _require_utf8(ctx, parameter, ctx.params.get(parameter.name or ""))
        return rest


def _require_utf8(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Rejects arguments that are not UTF-8, except file names, which are paths and may contain any bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise click.BadParameter(f"{value!r} is not UTF-8 text", context, parameter) from error


class ArchiveGroup(click.Group):
    """A group that takes --home, --operator and --log-format; so do its commands."""

    command_class = ArchiveCommand

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.params.extend(_global_options())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            names = self.list_commands(ctx)
            hint = suggest(name, names) or f"Commands: {', '.join(names)}"
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)


class LazyGroup(ArchiveGroup):
    """A group whose commands are imported when one is used or the help lists them.

    Args:
        lazy_commands: command name -> ``module:attribute``, in the order in which the help lists them.
    """

    def __init__(self, *arguments: Any, lazy_commands: Mapping[str, str], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.lazy_commands = dict(lazy_commands)

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.lazy_commands)

    def get_command(self, _context: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy_commands:
            return None
        module, _, attribute = self.lazy_commands[cmd_name].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), attribute))


def command(name: str, *, examples: tuple[str, ...], partly: str | None = None) -> Callable[[Any], click.Command]:
    """A decorator that makes a function a command whose help ends with examples and exit statuses.

    Args:
        partly: what exit status 3 means for this command, if it has one.
    """
    return click.command(name, cls=ArchiveCommand, epilog=epilog(*examples, partly=partly))


def epilog(*examples: str, partly: str | None = None) -> str:
    """The end of a help text: examples and exit statuses."""
    exits = {code: meaning for code, meaning in EXIT_MEANINGS.items() if code != EXIT_PARTLY or partly}
    if partly:
        exits[EXIT_PARTLY] = partly
    shown = "\n".join(f"  {example}" for example in examples)
    statuses = "\n".join(f"  {code:<4}{exits[code]}" for code in sorted(exits))
    title = "Example" if len(examples) == 1 else "Examples"
    return f"\b\n{title}:\n{shown}\n\n\b\nExit status:\n{statuses}"


def query_argument(function: Function) -> Function:
    """QUERY: selects masters or items, in Lucene syntax; all without it."""
    return click.argument("query", metavar="[QUERY]", required=False, type=QueryType())(function)


def answer_format_option(function: Function) -> Function:
    """--format of a command that prints counts and problems; see docs/reference/json.md."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json: at the end one object on standard output; messages go to standard error.",
    )(function)


def device_options(function: Function) -> Function:
    """--device and --precision: they affect speed, not the recipe."""
    precision = click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        help="Arithmetic; auto uses bf16 on devices where it is fast.",
    )
    device = click.option(
        "--device",
        type=DeviceType(),
        metavar=DeviceType.metavar,
        help="Device for the networks; auto uses a GPU if there is one.",
    )
    return device(precision(function))


def worker_options(function: Function) -> Function:
    """--workers and --ray: how many processes work on the batch, and where."""
    ray = click.option(
        "--ray",
        metavar="auto|ADDRESS",
        help="Work on the nodes of a Ray cluster; auto is the one that this machine belongs to. "
        "--workers then counts for each node.",
    )
    workers = click.option(
        "--workers",
        type=WorkerCountType(),
        metavar="auto|N",
        default="auto",
        show_default=True,
        help="How many processes work on the batch; auto is 1 on a CPU, and as many as keep each GPU busy.",
    )
    return workers(ray(function))


def operation_options(function: Function) -> Function:
    """--until, --priority, --notify and --metrics: the batch's end, its order among others, and its monitoring."""
    until = click.option(
        "--until", type=TimeOfDayType(), metavar="HH:MM", help="Start no more masters from this time of day on."
    )
    priority = click.option(
        "--priority",
        type=click.IntRange(0, 9),
        metavar="0..9",
        help="Urgency; the workers of less urgent batches work on this one first. Default: 0.",
    )
    notify = click.option(
        "--notify",
        metavar="COMMAND",
        help="Command to run at the end, at the first failed master, and if no master is finished for ten times the "
        "usual time; it gets a JSON object on standard input.",
    )
    metrics = click.option(
        "--metrics",
        metavar="FILE|PORT",
        help="Write metrics in Prometheus text format into FILE, or serve them at PORT of this machine "
        "(ADDRESS:PORT for others).",
    )
    return until(priority(notify(metrics(function))))


class DeviceType(click.ParamType[str]):
    """The name of a device, which may be one of another machine."""

    name = "device"
    metavar = "auto|cpu|cuda|cuda:N"
    _valid = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]?))?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._valid.fullmatch(value):
            self.fail(
                f"{value!r} is not a valid device. Write auto, cpu, cuda for any GPU, or cuda:N for one of them.",
                param,
                ctx,
            )
        return str(value)


class TimeOfDayType(click.ParamType[time]):
    """A local time of day, hours and minutes."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> time:
        try:
            return datetime.strptime(value, "%H:%M").time()
        except ValueError:
            self.fail(f"{value!r} is not a valid time. Write it as in 07:30.", param, ctx)


class WorkerCountType(click.ParamType["int | Literal['auto']"]):
    """A number of workers from 1, or ``auto``."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        if value == "auto":
            return "auto"
        number = click.INT.convert(value, param, ctx)
        if number < 1:
            self.fail(f"{value} is not a valid number of workers. Write auto, or a whole number from 1.", param, ctx)
        return number


class RowId(click.ParamType[int]):
    """The id of a row: a whole number from 1 to the databases' maximum."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = click.INT.convert(value, param, ctx)
        if not 0 < number < 2**63:
            self.fail(f"{value} is not a valid id. Ids are whole numbers from 1.", param, ctx)
        return number


class ChoiceList(click.ParamType[tuple[str, ...]]):
    """Comma-separated words from a known set."""

    name = "words"

    def __init__(self, known: tuple[str, ...], *, prefix: str | None = None) -> None:
        """Words are ``known``, or begin with the ``prefix``."""
        self.known = known
        self.prefix = prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(",") if word.strip())
        if not words:
            self.fail(f"no value given. Known values: {', '.join(self.known)}", param, ctx)
        if unknown := [
            word for word in words if word not in self.known and not (self.prefix and word.startswith(self.prefix))
        ]:
            near = f"{suggest(unknown[0], self.known)} ".lstrip()
            self.fail(f"unknown: {', '.join(unknown)}. {near}Known values: {', '.join(self.known)}", param, ctx)
        return words
