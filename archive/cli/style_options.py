"""The style options of ``archive restore``, and the style request that they form."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from archive.batches.planning.planner import StyleRequest

_BALANCE = ("temperature", "tint", "brightness")


class _Pairs(click.ParamType[tuple[tuple[str, float], ...]]):
    """Comma-separated names, each followed by ``separator`` and a number."""

    name = "pairs"

    def __init__(self, separator: str, *, default: float | None = None, known: tuple[str, ...] | None = None) -> None:
        """Creates the type.

        Args:
            separator: the character between name and number.
            default: the number of a name without one; None requires a number.
            known: the allowed names; None allows any.
        """
        self._separator, self._default, self._known = separator, default, known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, float], ...]:
        if isinstance(value, tuple):
            return value
        pairs: list[tuple[str, float]] = []
        for part in filter(None, (part.strip() for part in str(value).split(","))):
            name, _, number = (each.strip() for each in part.partition(self._separator))
            if self._known is not None and name not in self._known:
                self.fail(f"unknown: {name}; known values: {', '.join(self._known)}", param, ctx)
            if name in dict(pairs):
                self.fail(f"{name} is named twice", param, ctx)
            pairs.append((name, self._number(part, number, param, ctx)))
        if not pairs:
            self.fail("no value given", param, ctx)
        return tuple(pairs)

    def _number(self, part: str, text: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not text and self._default is not None and self._separator not in part:
            return self._default
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{part!r} has no number after {self._separator!r}", param, ctx)
        return number


def style_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--style and its related options."""
    style = click.option(
        "--style",
        type=_Pairs(":", default=1.0),
        metavar="REF[:WEIGHT],...",
        help="Simulate a style after the restoration; several styles are blended by weight.",
    )
    strength = click.option(
        "--style-strength",
        type=click.FloatRange(0, 1),
        metavar="0..1",
        help="Share of the style that is applied. Default: from the style.",
    )
    colour = click.option(
        "--style-colour",
        type=_Pairs("=", known=_BALANCE),
        metavar="temperature=F,tint=F,brightness=F",
        help="Shift the style's colours: warmer, more magenta, brighter; negative values do the opposite.",
    )
    mask = click.option(
        "--style-mask",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help="Apply the style where masks in DIR are white: 8-bit grey <name>_<3-digit sequence>.png, in master size.",
    )
    return style(strength(colour(mask(function))))


def pop_style_request(options: dict[str, Any]) -> StyleRequest | None:
    """Removes the options of :func:`style_options` from ``options``; returns the style request.

    Raises:
        UsageError: an option is given without --style.
    """
    from archive.batches.planning.planner import StyleRequest

    style, strength, colour, masks = (
        options.pop(name) for name in ("style", "style_strength", "style_colour", "style_mask")
    )
    if style is None:
        if any(each is not None for each in (strength, colour, masks)):
            raise click.UsageError(
                "--style-strength, --style-colour and --style-mask need a style. Name one with --style"
            )
        return None
    parameters = dict(colour or ()) | ({} if strength is None else {"strength": strength})
    return StyleRequest(styles=style, parameters=parameters, masks=masks)
