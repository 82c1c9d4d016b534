"""``archive status``."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import click

from archive.cli.options import Context, command, pass_context
from archive.cli.output_formats import (
    as_json,
    describe_unapplied_version,
    escape_control_characters,
    format_duration,
    pluralise,
)
from archive.display_labels import format_bytes

_INTERRUPTED_NAMED = 3  # batches; `archive batch list` names the others


@command("status", examples=("archive status", "archive status --format json"))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@pass_context
def status(context: Context, form: str) -> None:
    """Show how the archive stands.

    How many masters are in which state, what is reviewed, what is lost, how much disk is used, when files were last
    verified, the last batch, and which batches are interrupted.
    """
    from archive.status_summary import summarise_archive

    catalogue = context.catalogue()
    with catalogue.reading() as session:
        found = summarise_archive(catalogue, session)
    if form == "json":
        click.echo(as_json(found, indent=2))
        return
    for line in _lines(found):
        click.echo(escape_control_characters(line))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    masters = {name: count for name, count in found["masters"].items() if name != "total"}
    yield f"home:         {found['home']}"
    total = pluralise(found["masters"]["total"], "master")
    yield f"holdings:     {pluralise(found['items'], 'item')}, {total}, {pluralise(found['derivatives'], 'derivative')}"
    yield f"masters:      {_counts(masters)}"
    rejected = found["rejected_derivatives"]
    also = f"; {pluralise(rejected, 'derivative')} rejected" if rejected else ""
    yield f"reviews:      {_counts(found['reviews'])}{also}"
    lost = found["lost"]
    if lost["masters"] or lost["derivatives"]:
        files = f"{pluralise(lost['masters'], 'master')} and {pluralise(lost['derivatives'], 'derivative')}"
        yield f"lost:         {files} (`archive list status:lost`)"
    else:
        yield "lost:         nothing, as far as files were checked"
    for unapplied in found["unapplied_versions"]:
        yield f"unfinished:   {describe_unapplied_version(**unapplied)}"
    disk = {name: format_bytes(size) for name, size in found["disk"].items()}
    yield (
        f"disk:         masters {disk['masters']}, derivatives {disk['derivatives']}, models {disk['models']}, "
        f"contact sheets {disk['samples']}, views {disk['views']}; whole home {disk['home']}"
    )
    verify = found["last_verify"]
    never = f", {pluralise(verify['never_checked'], 'file')} never checked" if verify["never_checked"] else ""
    oldest = f", oldest check {verify['oldest_check']}" if verify["oldest_check"] else ""
    yield f"last verify:  {verify['at'] or 'never'}{oldest}{never}"
    interrupted = found["interrupted_batches"]
    yield f"last batch:   {_batch(found['last_batch'], {each['id'] for each in interrupted})}"
    if interrupted:
        yield f"interrupted:  {_interrupted(interrupted)}"


def _interrupted(batches: list[dict[str, Any]]) -> str:
    """The newest interrupted batches by name, the number of the others, and how to continue."""
    named = [
        f"batch {each['id']}{' (its process is probably gone)' if each['is_lost'] else ''}"
        for each in batches[:_INTERRUPTED_NAMED]
    ]
    more = len(batches) - len(named)
    further = f" and {more:,} more (`archive batch list`)" if more else ""
    return f"{', '.join(named)}{further}. Continue with `archive batch resume {batches[0]['id']}`"


def _batch(batch: dict[str, Any] | None, interrupted: Container[int]) -> str:
    if batch is None:
        return "none"
    status = "interrupted" if batch["id"] in interrupted else batch["status"]
    has_estimate = batch["seconds_left"] and status != "interrupted"
    left = f", {format_duration(batch['seconds_left'])} left" if has_estimate else ""
    cancelled = f", {batch['cancelled']:,} cancelled" if batch["cancelled"] else ""
    return (
        f"{batch['id']}, {status}{left}: {batch['done']:,} done, {batch['failed']:,} failed{cancelled}, "
        f"planned {batch['created_at']} by {batch['operator'] or 'unknown operator'}"
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda each: -each[1])) or "none"
