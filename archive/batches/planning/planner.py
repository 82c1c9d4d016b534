"""The planner: selects recipe and masters, and writes a batch of tasks before any work starts.

It needs no torch. The database selects the masters, and rows are written in bulk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from archive.batches.planning.candidates import Candidate, ExclusionRule, select_master_count, select_master_ids
from archive.batches.planning.plan_builder import Plan, PlanBuilder, RerunScope
from archive.batches.planning.sampling import Sample
from archive.batches.planning.style_masks import MaskFolder
from archive.batches.planning.style_stages import StyleRequest, build_style_stages
from archive.batches.recipe_rows import read_recipe
from archive.catalogue import Catalogue
from archive.catalogue.listings import find_version
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.query.status_predicates import STALE
from archive.catalogue.schema.tables import Master, Model, ModelAlias, ModelVersion
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.catalogue.schema.tables import RecipeStage as StageRow
from archive.catalogue.schema.vocabularies import APPROVED, RESTORABLE_VIEWS, BatchKind, StageTask, View
from archive.errors import UsageError
from archive.model_registry import card_of
from restoration.errors import RecipeError
from restoration.model_folders import ModelCard
from restoration.recipe import Recipe, RecipeStage

__all__ = [
    "NO_MODEL",
    "Plan",
    "RestoreRequest",
    "StyleRequest",
    "plan_rerun",
    "plan_restore",
    "recipe_for_versions",
]

NO_MODEL = "none"
"""The value of ``model`` that stands for no restoration: only styles are applied."""


@dataclass(frozen=True, kw_only=True)
class RestoreRequest:
    """What a restoration makes, and of which of the selected masters."""

    model: str
    """Reference of the restoration model, or ``none`` to apply styles to the masters themselves."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the model; the card's defaults apply to the others."""
    style_request: StyleRequest | None = None
    """Styles that are applied after the restoration; the results are styled derivatives."""
    views: Collection[View] = RESTORABLE_VIEWS
    """The views to restore."""
    include_unsuited: bool = False
    """Whether to plan masters that the model's card calls unsuited too."""
    sample: Sample | None = None
    """Plan only a diverse sample of the masters; it is a trial."""
    trial: bool = False
    """Whether the results are not current by themselves."""
    device: str = "auto"
    """Where the batch runs."""
    precision: str = "auto"
    """The arithmetic that it uses."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the batch, as :attr:`archive.catalogue.schema.tables.Batch.options` keeps them."""
        options = {"device": self.device, "precision": self.precision}
        options |= self.sample.as_options() if self.sample else {}
        return options | {"trial": True} if self.is_trial else options

    @property
    def is_trial(self) -> bool:
        return self.trial or self.sample is not None


def plan_restore(
    catalogue: Catalogue,
    query: str | None,
    request: RestoreRequest,
    *,
    dry_run: bool = False,
    must_fit: bool = True,
) -> Plan:
    """Plans the restoration of the masters that ``query`` selects (all without a query).

    A master that has a derivative of the recipe is counted, not planned again; one whose last task failed is planned
    again. Masters of other views, unsuited masters, masters whose file the last check did not find as recorded, and
    masters without a mask are excluded and counted.

    Args:
        catalogue: the catalogue.
        query: selects masters, in Lucene syntax.
        request: what to make of them.
        dry_run: write nothing.
        must_fit: require enough disk space now; not needed for a batch that runs later.

    Raises:
        BatchError: the derivatives do not fit on the disk; nothing is written to the catalogue.
        UsageError: a model has no such parameter, a style is given as a model or the reverse, the folder of masks does
            not exist, or there is nothing to do.
        NotFoundError: no such model version.
        QueryError: the query has a mistake.
    """
    if request.model == NO_MODEL:
        _check_style_without_model(request.parameters, request.style_request)
    wanted = parse_condition(query)
    with catalogue.reading() as session:  # planning takes long, and a write session would stop all writers on SQLite
        builder = _collect_restore(session, wanted, request)
        if dry_run:
            return builder.plan(catalogue, session)
    return builder.write(catalogue, BatchKind.RESTORE, query, request.options, must_fit=must_fit)


def _collect_restore(session: Session, wanted: ColumnElement[bool], request: RestoreRequest) -> PlanBuilder:
    style_request = request.style_request
    masks = MaskFolder(style_request.masks) if style_request and style_request.masks else None
    selected = _select_stages(session, request.model, request.parameters, style_request)
    builder = PlanBuilder(
        sample=request.sample,
        is_trial=request.is_trial,
        masks=masks,
        makes_rgb=any(card.gives_colour(stage.parameters) for card, stage in selected),
        unasked_damage_repair=_unasked_damage_repair(selected, request.parameters),
    )
    exclusion_rule = None if request.include_unsuited else _unsuitability_rule(*(card for card, _ in selected))
    recipe = Recipe(stages=tuple(stage for _, stage in selected))
    builder.collect(session, wanted, recipe, views=request.views, exclusion_rule=exclusion_rule)
    builder.select_sample()
    return builder


def _unasked_damage_repair(
    selected: Sequence[tuple[ModelCard, RecipeStage]], parameters: Mapping[str, Any]
) -> str | None:
    """The version that repairs damage by its card's default, unless the defects to repair are given."""
    if "repair" in parameters:
        return None
    for card, stage in selected:
        repair = stage.parameters.get("repair")
        if isinstance(repair, tuple) and "damage" in repair:
            return card.reference
    return None


def _check_style_without_model(parameters: Mapping[str, Any], style_request: StyleRequest | None) -> None:
    if style_request is None:
        raise UsageError(
            "Nothing to do with `--model none` and no style. Name a restoration model (see `archive model list`), "
            "or a style with --style"
        )
    if parameters:
        raise UsageError(
            f"{', '.join(parameters)} needs a restoration model, but `--model none` was given. Name a model, or use "
            "--style-strength for the style"
        )


def _select_stages(
    session: Session, model: str, parameters: Mapping[str, Any], style_request: StyleRequest | None
) -> list[tuple[ModelCard, RecipeStage]]:
    """The stages of the recipe, each with its card: the restoration first, then the styles."""
    styles = [] if style_request is None else build_style_stages(session, style_request)
    if model == NO_MODEL:
        return styles
    card = card_of(find_version(session, model, task=StageTask.RESTORATION))
    if card.task != "restoration":
        raise UsageError(
            f"{card.reference} is a style. Use it with --style, and --model with a restoration model or none "
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

    Without ``query`` and ``model`` it plans the stale masters. With ``model`` alone it plans all masters whose current
    restored derivative was made by another version of the same model. Parameters that the new version lacks are
    dropped; new ones get its defaults. Views and suitability were decided at the first restoration: only masters that
    the new version is unsuited to, and the old one was not, are excluded.

    Args:
        catalogue: the catalogue.
        query: selects masters, in Lucene syntax.
        model: reference of the version to use.
        device: where the batch runs.
        precision: the arithmetic that it uses.
        dry_run: write nothing.
        must_fit: require enough disk space now; not needed for a batch that runs later.

    Raises:
        BatchError: the derivatives do not fit on the disk, or a recipe can't be read; nothing is written.
        NotFoundError: no such model version.
        QueryError: the query has a mistake.
    """
    wanted = STALE if query is None and model is None else parse_condition(query)
    with catalogue.reading() as session:
        named = None if model is None else card_of(find_version(session, model, task=StageTask.RESTORATION))
        targets = _approved_cards(session) if named is None else {named.name: named}
        builder = PlanBuilder()
        for recipe_id, old in _current_recipes(session, wanted):
            if query is None and named is not None and not _made_by_another_version(old, named):
                continue
            with_recipe = wanted & (Master.current_restored_recipe_id == recipe_id)
            _collect_rerun(session, builder, with_recipe, old, targets)
        scope = None if builder.master_ids else _rerun_scope(session, query, named)
        if dry_run:
            return replace(builder.plan(catalogue, session), rerun_scope=scope)
    options = {"device": device, "precision": precision}
    plan = builder.write(catalogue, BatchKind.RERUN, query, options, must_fit=must_fit)
    return replace(plan, rerun_scope=scope)


def _rerun_scope(session: Session, query: str | None, named: ModelCard | None) -> RerunScope:
    found = parse_condition(query)
    rows = session.execute(
        select_master_count(found)
        .join(StageRow, StageRow.recipe_id == Master.current_restored_recipe_id)
        .join(ModelVersion, ModelVersion.id == StageRow.version_id)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(StageRow.task == StageTask.RESTORATION)
        .add_columns(Model.name, ModelVersion.version)
        .group_by(Model.name, ModelVersion.version)
    )
    current = sorted((-masters, f"{name}@{version}") for masters, name, version in rows)
    return RerunScope(
        masters=session.scalar(select_master_count(found)) or 0,
        current={version: -masters for masters, version in current},
        version=None if named is None else named.reference,
    )


def recipe_for_versions(recipe: Recipe, targets: Mapping[str, ModelCard]) -> Recipe:
    """``recipe`` for the current pipeline, with its stages changed to the versions in ``targets``, by model name.

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
    builder: PlanBuilder,
    wanted: ColumnElement[bool],
    old: Recipe,
    targets: Mapping[str, ModelCard],
) -> None:
    """Adds the ``wanted`` masters, whose current restored recipe is ``old``, to ``builder`` with the ``targets``."""
    cards = [targets[stage.model] for stage in old.stages if stage.model in targets]
    if not cards:
        models = " and ".join(dict.fromkeys(stage.model for stage in old.stages))
        reason = f"restored by {models}, not by {', '.join(targets) or 'a model with an approved version'}"
        builder.exclusions[reason].masters += session.scalar(select_master_count(wanted)) or 0
        return
    try:
        new = recipe_for_versions(old, targets)
    except RecipeError as error:
        builder.exclusions[str(error)].masters += session.scalar(select_master_count(wanted)) or 0
        return
    before = [card_of(version) for version in _versions(session, old)]

    def exclusion_rule(master: Candidate) -> str | None:
        # Masters that the old version was unsuited to were included on purpose.
        return None if _unsuitability_rule(*before)(master) else _unsuitability_rule(*cards)(master)

    builder.collect(session, wanted, new, views=None, exclusion_rule=exclusion_rule)


def _current_recipes(session: Session, wanted: ColumnElement[bool]) -> list[tuple[int, Recipe]]:
    """The recipes of the wanted masters' current restored derivatives, with their ids."""
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


def _unsuitability_rule(*cards: ModelCard) -> ExclusionRule:
    def exclusion_rule(master: Candidate) -> str | None:
        reasons = (
            card.suited_to.objection(
                polarity=master.polarity, process=master.process, width=master.width, height=master.height
            )
            for card in cards
        )
        return next((reason for reason in reasons if reason is not None), None)

    return exclusion_rule
