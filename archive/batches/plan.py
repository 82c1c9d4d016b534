"""Planning: which recipe is to be applied to which masters, written as a batch of tasks before any work starts.

Torch-free and set-based: the database chooses, and rows are written in bulk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from archive.batches.draft import Candidate, Draft, Objection, Plan, count, of_masters
from archive.batches.recipes import read_recipe
from archive.batches.sample import Sample
from archive.catalogue import Catalogue
from archive.catalogue.conditions import APPROVED, STALE
from archive.catalogue.query import parse
from archive.catalogue.search import find_version
from archive.catalogue.tables import Master, ModelAlias, ModelVersion, RecipeStage
from archive.catalogue.tables import Recipe as RecipeRow
from archive.catalogue.vocabulary import RESTORABLE_VIEWS, BatchKind, View
from archive.errors import ModelRegistryError, UsageError
from restoration.errors import CardError, RecipeError
from restoration.models import ModelCard, parse_card
from restoration.recipe import Recipe

__all__ = ["Plan", "plan_rerun", "plan_restore", "repeated"]


def plan_restore(
    catalogue: Catalogue,
    query: str | None = None,
    *,
    model: str,
    strength: float | None = None,
    views: Collection[View] = RESTORABLE_VIEWS,
    unsuited: bool = False,
    sample: Sample | None = None,
    device: str = "auto",
    precision: str = "auto",
    dry_run: bool = False,
    must_fit: bool = True,
) -> Plan:
    """Plans the restoration of the masters that ``query`` selects (all of them without one) with ``model``.

    A master which has a derivative of the recipe already is counted, not planned again; one whose last task failed is
    planned again. A master whose view is not in ``views``, or which the model's card calls unsuited, is left out and
    counted; ``unsuited`` takes the latter in. ``strength`` in [0, 1] goes into the recipe, else the card's default.
    With ``sample`` only a spread of these masters is planned.
    A batch that is to be run later need not fit on the disk yet: ``must_fit``.

    Raises:
        BatchError: what would be made does not fit on the disk; nothing is written.
        UsageError: the model has no such parameter, is no restoration model, or ``none`` was asked for.
        NotFoundError: no such model version.
        QueryError: the query has a mistake.
    """
    if model == "none":
        raise UsageError("`--model none` leaves nothing to do: name a restoration model (see `archive model list`)")
    wanted = parse(query)
    with catalogue.reading() if dry_run else catalogue.session() as session:
        card = _card(find_version(session, model))
        if card.task != "restoration":
            raise UsageError(f"{card.reference} is a style: name a restoration model (see `archive model list`)")
        try:
            stage = card.stage({} if strength is None else {"strength": strength})
        except RecipeError as error:
            raise UsageError(str(error)) from error
        draft = Draft(sample=sample)
        objection = None if unsuited else _unsuited_to(card)
        draft.collect(session, wanted, Recipe(stages=(stage,)), views=views, objection=objection)
        draft.draw()
        if dry_run:
            return draft.plan(catalogue, session)
        options = {"device": device, "precision": precision} | (sample.as_options() if sample else {})
        return draft.write(catalogue, session, BatchKind.RESTORE, query, options, must_fit=must_fit)


def plan_rerun(
    catalogue: Catalogue,
    query: str | None = None,
    *,
    model: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    dry_run: bool = False,
    must_fit: bool = True,
) -> Plan:
    """Plans to repeat the current restored recipes with the ``@approved`` versions of their models, or with ``model``.

    Without ``query`` and ``model`` these are the stale masters; without ``query`` all whose current restored derivative
    was made by another version of the same model. Parameters that the new version lacks are dropped, new ones take its
    defaults. Views and suitability were decided when the masters were first restored; only what the new version is
    unsuited to and the old one was not is left out. A batch that is to be run later need not fit on the disk yet:
    ``must_fit``.

    Raises:
        BatchError: what would be made does not fit on the disk, or a recipe can't be read; nothing is written.
        NotFoundError: no such model version.
        QueryError: the query has a mistake.
    """
    wanted = STALE if query is None and model is None else parse(query)
    with catalogue.reading() if dry_run else catalogue.session() as session:
        named = None if model is None else _card(find_version(session, model))
        targets = _approved_cards(session) if named is None else {named.name: named}
        draft = Draft()
        for recipe_id, old in _current_recipes(session, wanted):
            if query is None and named is not None and not _made_by_another_version(old, named):
                continue
            of_recipe = wanted & (Master.current_restored_recipe_id == recipe_id)
            _collect_rerun(session, draft, of_recipe, old, targets)
        if dry_run:
            return draft.plan(catalogue, session)
        options = {"device": device, "precision": precision}
        return draft.write(catalogue, session, BatchKind.RERUN, query, options, must_fit=must_fit)


def repeated(recipe: Recipe, targets: Mapping[str, ModelCard]) -> Recipe:
    """``recipe`` as the pipeline of today has it, its stages of the models in ``targets`` (by name) moved to those.

    Raises:
        RecipeError: a parameter's value is out of the new version's range.
    """
    stages = []
    for stage in recipe.stages:
        card = targets.get(stage.model)
        if card is not None:
            known = {parameter.name for parameter in card.parameters}
            stage = card.stage({name: value for name, value in stage.parameters.items() if name in known})
        stages.append(stage)
    return Recipe(stages=tuple(stages), mask_sha256=recipe.mask_sha256)


def _collect_rerun(
    session: Session,
    draft: Draft,
    wanted: ColumnElement[bool],
    old: Recipe,
    targets: Mapping[str, ModelCard],
) -> None:
    """Takes the ``wanted`` masters, whose current restored recipe is ``old``, into ``draft`` for the ``targets``."""
    cards = [targets[stage.model] for stage in old.stages if stage.model in targets]
    if not cards:
        models = " and ".join(dict.fromkeys(stage.model for stage in old.stages))
        reason = f"restored by {models}, not by {', '.join(targets) or 'a model with an approved version'}"
        draft.left_out[reason].masters += session.scalar(count(wanted)) or 0
        return
    try:
        new = repeated(old, targets)
    except RecipeError as error:
        draft.left_out[str(error)].masters += session.scalar(count(wanted)) or 0
        return
    before = [_card(version) for version in _versions(session, old)]

    def objection(master: Candidate) -> str | None:
        if any(_unsuited_to(card)(master) for card in before):
            return None  # taken in then, in full knowledge
        return next((reason for card in cards if (reason := _unsuited_to(card)(master))), None)

    draft.collect(session, wanted, new, views=None, objection=objection)


def _current_recipes(session: Session, wanted: ColumnElement[bool]) -> list[tuple[int, Recipe]]:
    """The recipes by which the current restored derivatives of the wanted masters were made, with their ids."""
    recipe_ids = of_masters(wanted).with_only_columns(Master.current_restored_recipe_id)
    rows = session.scalars(select(RecipeRow).where(RecipeRow.id.in_(recipe_ids)).order_by(RecipeRow.id))
    return [(row.id, read_recipe(row)) for row in rows]


def _made_by_another_version(recipe: Recipe, card: ModelCard) -> bool:
    return any(stage.model == card.name and stage.version != card.version for stage in recipe.stages)


def _approved_cards(session: Session) -> dict[str, ModelCard]:
    statement = (
        select(ModelVersion)
        .join(ModelAlias, ModelAlias.version_id == ModelVersion.id)
        .where(ModelAlias.alias == APPROVED)
    )
    return {card.name: card for card in map(_card, session.scalars(statement))}


def _versions(session: Session, recipe: Recipe) -> list[ModelVersion]:
    statement = (
        select(ModelVersion)
        .join(RecipeStage, RecipeStage.version_id == ModelVersion.id)
        .join(RecipeRow, RecipeStage.recipe_id == RecipeRow.id)
        .where(RecipeRow.sha256 == recipe.sha256)
    )
    return list(session.scalars(statement))


def _card(version: ModelVersion) -> ModelCard:
    try:
        return parse_card(version.card)
    except CardError as error:
        raise ModelRegistryError(f"the catalogue's card of model version {version.id} is not valid: {error}") from error


def _unsuited_to(card: ModelCard) -> Objection:
    def objection(master: Candidate) -> str | None:
        return card.suited_to.objection(
            polarity=master.polarity, process=master.process, width=master.width, height=master.height
        )

    return objection
