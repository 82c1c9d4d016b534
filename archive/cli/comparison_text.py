"""The comparison of two model versions as text."""

from __future__ import annotations

from collections.abc import Sequence

import click

from archive.cli.output_formats import escape_control_characters, pluralise, print_table
from archive.display_labels import Record, score_unit

_HEADINGS = {
    "quality": "Quality, against the clean reference; higher is better",
    "change": "Change, against the master: how much was changed, not how good it is",
    "derivative": "The derivative without a comparison; neither higher nor lower is better",
}
_AVERAGES = ("mean_a", "mean_b", "mean", "median", "standard_deviation")
_FIELDS = ("score", "masters", "mean_A", "mean_B", "B_minus_A", "median", "spread")
_SHARES = ("B_better", "B_worse")
_FURTHEST = 3  # of each score that has no better and worse


def print_comparison(found: Record) -> None:
    """Prints the result of :func:`archive.catalogue.listings.compare_versions`."""
    click.echo(f"A: {found['a']}, which restored {pluralise(found['masters_a'], 'master')}")
    click.echo(f"B: {found['b']}, which restored {pluralise(found['masters_b'], 'master')}")
    which = (
        f" among the masters that match the query {escape_control_characters(found['query'])!r}"
        if found["query"] is not None
        else ""
    )
    click.echo(f"restored by both{which}: {pluralise(found['masters'], 'master')}")
    for recipe in found["recipes"]:
        click.echo(f"  {recipe['masters']:,} by {recipe['a']} and by {recipe['b']}")
    for measure, heading in _HEADINGS.items():
        scores = [score for score in found["scores"] if score["measure_of"] == measure]
        if scores:
            _print_scores(heading, scores)
    if not any(score["measure_of"] == "quality" for score in found["scores"]):
        click.echo(
            "\nThese masters have no clean reference, so no score shows which version is better. Compare the pictures."
        )


def _print_scores(heading: str, scores: Sequence[Record]) -> None:
    directed = any(score["better"] for score in scores)
    click.echo(f"\n{heading}\n")
    print_table(map(_line, scores), _FIELDS + (_SHARES if directed else ()))
    for score in scores:
        if score["left_out"]:
            why = "without a value (identical images have no finite PSNR), or of two different references"
            click.echo(f"{_name(score)}: {pluralise(score['left_out'], 'master')} left out, {why}")
        if len(score["implementations"]) > 1:
            click.echo(f"{_name(score)}: computed by different software: {', '.join(score['implementations'])}")
    worst = [line for score in scores for line in _worst(score)[: None if directed else _FURTHEST]]
    if worst:
        click.echo(f"\n{'Where B does worst' if directed else 'Where B is furthest from A'}\n")
        print_table(worst, ("score", "item", "master", "A", "B", "B_minus_A"))


def _line(score: Record) -> Record:
    return {
        "score": _name(score),
        "masters": score["n"],
        **{field: _signed(score[name], name) for field, name in zip(_FIELDS[2:], _AVERAGES, strict=True)},
        **{field: _percent(score[f"share_{field[2:]}"]) for field in _SHARES},
    }


def _worst(score: Record) -> list[Record]:
    return [
        {
            "score": _name(score),
            "item": each["accession_number"],
            "master": each["sequence"],
            "A": each["a"],
            "B": each["b"],
            "B_minus_A": _signed(each["difference"], "mean"),
        }
        for each in score["worst"]
    ]


def _name(score: Record) -> str:
    return f"{score['metric']}{score_unit(score)}"


def _signed(value: float | None, of: str) -> float | str | None:
    """Differences with their sign; levels and spreads as they are."""
    return value if value is None or of not in ("mean", "median") else f"{value:+.4f}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
