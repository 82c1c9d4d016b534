"""``archive model list|show|verify|add|alias|compare|train|evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli.logging_setup import warn
from archive.cli.model_training import evaluate, train
from archive.cli.options import ArchiveGroup, Context, command, epilog, pass_context, query_argument
from archive.cli.output_formats import as_json, escape_control_characters, pluralise, print_json_array, print_table
from archive.errors import EXIT_DONE, EXIT_PARTLY

FIELDS = ("name", "version", "task", "aliases", "derivatives", "registered_at")


_PARTLY = "some weights are missing, or are not those of their card and the catalogue"


@click.group(
    "model",
    cls=ArchiveGroup,
    epilog=epilog("archive model list", "archive model add denoise-deblur-2.1", partly=f"verify: {_PARTLY}"),
)
def model() -> None:
    """List, compare, add, approve and train model versions.

    REF is name@version, name@alias, or a name, which stands for name@approved.
    """


@command("list", examples=("archive model list",))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@pass_context
def list_command(context: Context, form: str) -> None:
    """List the registered model versions with their aliases."""
    from archive.catalogue.listings import list_model_versions

    with context.catalogue().reading() as session:
        if form == "json":
            print_json_array(list_model_versions(session))
            return
        print_table(({**row, "aliases": ", ".join(row["aliases"])} for row in list_model_versions(session)), FIELDS)


@command("show", examples=("archive model show denoise-deblur",))
@click.argument("reference", metavar="REF")
@pass_context
def show(context: Context, reference: str) -> None:
    """Print a version's card as JSON: suitability, parameters, training data and evaluation."""
    from archive.catalogue.listings import find_version

    with context.catalogue().reading() as session:
        click.echo(as_json(find_version(session, reference).card, indent=2))


@command(
    "verify",
    examples=("archive model verify",),
    partly=_PARTLY,
)
@pass_context
def verify(context: Context) -> int:
    """Check every version's weights against its card and the catalogue."""
    from archive.model_registry import verify_versions as check

    problems = check(context.catalogue())
    for problem in problems:
        click.echo(
            f"{problem.reference}  {escape_control_characters(str(problem.path))}: "
            f"{escape_control_characters(problem.problem)}"
        )
    if not problems:
        click.echo("all weights match their cards and the catalogue")
    return EXIT_PARTLY if problems else EXIT_DONE


@command("add", examples=("archive model add ~/models/denoise-deblur-2.1",))
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@pass_context
def add(context: Context, folder: Path) -> None:
    """Register the version in FOLDER (card.json and weights.safetensors) and copy it to the home.

    It becomes @approved only if its model has no approved version yet. To approve it later, use `archive model alias`.
    """
    from archive.model_registry import add_version as register

    version = register(context.catalogue(), folder)
    click.echo(f"model: {version.card['name']}@{version.version}")


@command(
    "alias",
    examples=(
        "archive model alias denoise-deblur 1.1 approved --reviewer 'A. Curator'",
        "archive model alias denoise-deblur 1.1 trial --remove",
    ),
)
@click.argument("name", metavar="NAME")
@click.argument("version", metavar="VERSION")
@click.argument("alias_name", metavar="ALIAS")
@click.option("--remove", is_flag=True, help="Remove the alias instead, if it refers to VERSION. Not @approved.")
@click.option("--reviewer", metavar="NAME", help="Who decides; else the operator.")
@pass_context
def alias(context: Context, name: str, version: str, alias_name: str, *, remove: bool, reviewer: str | None) -> int:
    """Make NAME@ALIAS refer to VERSION.

    The museum decides which version is @approved. The change is recorded as an event with your name. Results by the
    approved version become current, unless others were accepted; masters without one become stale. In a large catalogue
    this takes minutes; if it is interrupted, repeat the command.
    """
    from archive.catalogue.approved_versions import unapplied_versions
    from archive.catalogue.listings import count_stale_masters
    from archive.catalogue.schema.vocabularies import APPROVED
    from archive.cli.progress_bar import make_progress
    from archive.model_aliases import remove_alias, set_alias

    alias_name = alias_name.removeprefix("@")
    catalogue = context.catalogue()
    person = reviewer or catalogue.settings.operator
    if remove:
        remove_alias(catalogue, name, version, alias_name, person)
        click.echo(f"{name}@{alias_name} is removed; it was {name}@{version}")
        return EXIT_DONE
    has_changed = set_alias(catalogue, name, version, alias_name, person, progress=make_progress())
    click.echo(f"{name}@{alias_name} is {'now' if has_changed else 'already'} {name}@{version}")
    if alias_name != APPROVED:
        return EXIT_DONE
    with catalogue.reading() as session:
        stale = count_stale_masters(session)
        is_applied = {"model": name, "version": version} not in unapplied_versions(session)
    if stale:
        warn(
            f"{pluralise(stale, 'master')} stale: list with `archive list status:stale`, restore by the approved "
            "version with `archive rerun`"
        )
    return EXIT_DONE if is_applied else EXIT_PARTLY


@command(
    "compare",
    examples=(
        "archive model compare denoise-deblur@approved denoise-deblur@1.1",
        "archive model compare denoise-deblur@1.1 denoise-deblur@2.1 'collection:Trial' --format json",
    ),
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@query_argument
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@pass_context
def compare(context: Context, a: str, b: str, query: str | None, format_: str) -> None:
    """Compare two versions, REFs A and B, by the scores of all masters that both restored.

    Differences are B minus A, per master. Scores against a clean reference measure quality; scores against the master
    measure how much was changed, not how good it is. For each version, a master's newest derivative that is not
    rejected counts, or the newest if all are rejected. QUERY selects masters.
    """
    from archive.catalogue.listings import compare_versions as find
    from archive.cli.comparison_text import print_comparison

    with context.catalogue().reading() as session:
        found = find(session, a, b, query)
    if format_ == "json":
        click.echo(as_json(found, indent=2))
    else:
        print_comparison(found)


for each in (list_command, show, verify, add, alias, compare, train, evaluate):
    model.add_command(each)
