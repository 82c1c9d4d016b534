"""Planning: which recipe is to be applied to which masters, written as a batch of tasks before any work starts.

Torch-free and set-based: the database chooses, and rows are written in bulk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from archive.batches.planning.candidates import Candidate, ExclusionRule, select_master_count, select_master_ids
from archive.batches.planning.masks import MaskFolder
from archive.batches.planning.plan_builder import Plan, PlanBuilder
from archive.batches.planning.sampling import Sample
from archive.batches.planning.style_stages import StyleRequest, build_style_stages
from archive.batches.recipe_rows import read_recipe
from archive.catalogue import Catalogue
from archive.catalogue.listings import find_version
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.query.predicates import APPROVED, STALE
from archive.catalogue.schema.tables import Master, ModelAlias, ModelVersion
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.catalogue.schema.tables import RecipeStage as StageRow
from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, BatchKind, View
from archive.errors import UsageError
from archive.model_registry import card_of
from restoration.errors import RecipeError
from restoration.model_folders import ModelCard
from restoration.recipe import Recipe, RecipeStage

__all__ = ["NONE", "Plan", "StyleRequest", "plan_rerun", "plan_restore", "recipe_for_versions"]

NONE = "none"
"""In the place of a restoration model: none, where a style alone is asked for."""


def plan_restore(
    catalogue: Catalogue,
    query: str | None = None,
    *,
    model: str,
    parameters: Mapping[str, Any] | None = None,
    styling: StyleRequest | None = None,
    views: Collection[View] = RESTORABLE_VIEWS,
    unsuited: bool = False,
    sample: Sample | None = None,
    device: str = "auto",
    precision: str = "auto",
    dry_run: bool = False,
    must_fit: bool = True,
) -> Plan:
    """Plans the restoration of the masters that ``query`` selects (all of them without one) with ``model``.

    With ``styling`` a look is simulated after the restoration or, where ``model`` is ``none``, of the master itself;
    what comes of it is a styled derivative. Where it is for a part of the pictures, masters without a mask are left
    out.

    A master which has a derivative of the recipe already is counted, not planned again; one whose last task failed is
    planned again. A master whose view is not in ``views``, or which the model's card calls unsuited, is left out and
    counted; ``unsuited`` takes the latter in. ``parameters`` of the model go into the recipe, with the card's defaults
    for the others.
    With ``sample`` only a spread of these masters is planned.
    A batch that is to be run later need not fit on the disk yet: ``must_fit``.

    Raises:
        BatchError: what would be made does not fit on the disk; nothing is written to the catalogue.
        UsageError: a model has no such parameter, a style is asked for as a model or the reverse, masks are nowhere to
            be found, or nothing is asked for.
        NotFoundError: no such model version.
        QueryError: the query has a mistake.
    """
    if model == NONE:
        _check_styled_alone(parameters or {}, styling)
    wanted = parse_condition(query)
    masks = MaskFolder(styling.masks) if styling and styling.masks else None

    def drafted(session: Session) -> PlanBuilder:
        asked = _asked_for(session, model, parameters or {}, styling)
        coloured = any(card.gives_colour(stage.parameters) for card, stage in asked)
        draft = PlanBuilder(sample=sample, masks=masks, coloured=coloured)
        objection = None if unsuited else _unsuited_to(*(card for card, _ in asked))
        recipe = Recipe(stages=tuple(stage for _, stage in asked))
        draft.collect(session, wanted, recipe, views=views, objection=objection)
        draft.draw()
        return draft

    if dry_run:
        with catalogue.reading() as session:
            return drafted(session).plan(catalogue, session)
    if masks is not None:
        # Beforehand, so that nobody who writes to the catalogue has to wait for these files.
        with catalogue.reading() as session:
            drafted(session).keep_masks(catalogue.settings)
    options = {"device": device, "precision": precision} | (sample.as_options() if sample else {})
    with catalogue.session() as session:
        return drafted(session).write(catalogue, session, BatchKind.RESTORE, query, options, must_fit=must_fit)


def _check_styled_alone(parameters: Mapping[str, Any], styling: StyleRequest | None) -> None:
    if styling is None:
        raise UsageError(
            "`--model none` leaves nothing to do: name a restoration model (see `archive model list`), "
            "or a style with --style"
        )
    if parameters:
        raise UsageError(
            f"{', '.join(parameters)} is about a restoration, and `--model none` asks for none: name a model, "
            "or give --style-strength for the style"
        )


def _asked_for(
    session: Session, model: str, parameters: Mapping[str, Any], styling: StyleRequest | None
) -> list[tuple[ModelCard, RecipeStage]]:
    """The stages that are asked for, each with its card: the restoration first, then the styles."""
    styles = [] if styling is None else build_style_stages(session, styling)
    if model == NONE:
        return styles
    card = card_of(find_version(session, model))
    if card.task != "restoration":
        raise UsageError(
            f"{card.reference} is a style: give it with --style, and with --model a restoration model or none "
            "(see `archive model list`)"
        )
    try:
        return [(card, card.stage(parameters)), *styles]
    except RecipeError as error:
        raise UsageError(str(error)) from error


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
    wanted = STALE if query is None and model is None else parse_condition(query)
    with catalogue.reading() if dry_run else catalogue.session() as session:
        named = None if model is None else card_of(find_version(session, model))
        targets = _approved_cards(session) if named is None else {named.name: named}
        draft = PlanBuilder()
        for recipe_id, old in _current_recipes(session, wanted):
            if query is None and named is not None and not _made_by_another_version(old, named):
                continue
            of_recipe = wanted & (Master.current_restored_recipe_id == recipe_id)
            _collect_rerun(session, draft, of_recipe, old, targets)
        if dry_run:
            return draft.plan(catalogue, session)
        options = {"device": device, "precision": precision}
        return draft.write(catalogue, session, BatchKind.RERUN, query, options, must_fit=must_fit)


def recipe_for_versions(recipe: Recipe, targets: Mapping[str, ModelCard]) -> Recipe:
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
    draft: PlanBuilder,
    wanted: ColumnElement[bool],
    old: Recipe,
    targets: Mapping[str, ModelCard],
) -> None:
    """Takes the ``wanted`` masters, whose current restored recipe is ``old``, into ``draft`` for the ``targets``."""
    cards = [targets[stage.model] for stage in old.stages if stage.model in targets]
    if not cards:
        models = " and ".join(dict.fromkeys(stage.model for stage in old.stages))
        reason = f"restored by {models}, not by {', '.join(targets) or 'a model with an approved version'}"
        draft.left_out[reason].masters += session.scalar(select_master_count(wanted)) or 0
        return
    try:
        new = recipe_for_versions(old, targets)
    except RecipeError as error:
        draft.left_out[str(error)].masters += session.scalar(select_master_count(wanted)) or 0
        return
    before = [card_of(version) for version in _versions(session, old)]

    def objection(master: Candidate) -> str | None:
        # What was unsuited then was taken in in full knowledge.
        return None if _unsuited_to(*before)(master) else _unsuited_to(*cards)(master)

    draft.collect(session, wanted, new, views=None, objection=objection)


def _current_recipes(session: Session, wanted: ColumnElement[bool]) -> list[tuple[int, Recipe]]:
    """The recipes by which the current restored derivatives of the wanted masters were made, with their ids."""
    recipe_ids = select_master_ids(wanted).with_only_columns(Master.current_restored_recipe_id)
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
    return {card.name: card for card in map(card_of, session.scalars(statement))}


def _versions(session: Session, recipe: Recipe) -> list[ModelVersion]:
    statement = (
        select(ModelVersion)
        .join(StageRow, StageRow.version_id == ModelVersion.id)
        .join(RecipeRow, StageRow.recipe_id == RecipeRow.id)
        .where(RecipeRow.sha256 == recipe.sha256)
    )
    return list(session.scalars(statement))


def _unsuited_to(*cards: ModelCard) -> ExclusionRule:
    def objection(master: Candidate) -> str | None:
        reasons = (
            card.suited_to.objection(
                polarity=master.polarity, process=master.process, width=master.width, height=master.height
            )
            for card in cards
        )
        return next((reason for reason in reasons if reason is not None), None)

    return objection
