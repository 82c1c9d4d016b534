"""Rows of lists of items, masters and derivatives, read as a stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, func, select, true
from sqlalchemy.orm import Session, aliased

from archive.catalogue.additional_list_fields import further_columns, plain_values
from archive.catalogue.current_derivative import is_current, newest_decision, score_of
from archive.catalogue.query.query_planner import as_exists, choose_access_path
from archive.catalogue.query.query_tree import QueryNode, derivative_predicate, selects_derivatives, to_sql
from archive.catalogue.query.status_predicates import FILE_MISSING, RESTORABLE_FIRST, REVIEW, STATUS
from archive.catalogue.schema.tables import (
    Agent,
    Derivative,
    Item,
    Master,
    Model,
    ModelVersion,
    Recipe,
    RecipeStage,
    Review,
)
from archive.catalogue.schema.vocabularies import RESTORABLE_VIEWS, ComparedWith, Decision, DerivativeKind, StageTask

_State = tuple[str | None, Decision | None]  # status and review of a master
_LEAST_FAR_FIRST = ("failed", FILE_MISSING, "unrestored", "refused", "withdrawn", "stale", "restored")
_ROWS_AT_A_TIME = 500
# Made once, because SQLAlchemy builds their columns slowly and then keeps them.
_SHOWN, _FIRST_STAGE, _COUNTED, _EACH_MASTER = (
    aliased(Derivative),
    aliased(RecipeStage),
    aliased(Master),
    aliased(Master),
)
_SCORES = tuple(
    (metric, against) for against in (ComparedWith.SOURCE, ComparedWith.REFERENCE) for metric in ("psnr", "ssim")
)


def stream_items(
    session: Session, node: QueryNode, limit: int | None, further: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Streams the rows of :func:`archive.catalogue.listings.list_items`."""
    selected = derivative_predicate(node) if selects_derivatives(node) else None
    statement = _list_statement(_first_match(node), selected, further)
    if limit is None:
        statement = choose_access_path(session, node, statement, matches=true())
    else:  # details are read only for the items on the page
        page = choose_access_path(session, node, select(Item.id), matches=_has_match(node))
        page = page.correlate(None).limit(limit)
        statement = statement.where(Item.id.in_(page)).order_by(func.coalesce(Item.accession_number, ""))
    with session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}) as rows:
        for part in rows.mappings().partitions():
            states = {} if selected is not None else _states_of_several(session, node, part)
            for row in part:
                found = plain_values(row, further, session.info["path_of"])
                if found.pop("masters") > 1 and (of_item := states.get(row["id"])):
                    found["status"], found["review"] = _least_far(of_item)
                yield found


def _states_of_several(session: Session, node: QueryNode, rows: Sequence[Mapping[Any, Any]]) -> dict[int, list[_State]]:
    """The states of the matching restorable masters, by item, of the items that have several masters."""
    ids = [row["id"] for row in rows if row["masters"] > 1]
    states: dict[int, list[_State]] = defaultdict(list)
    if ids:
        found = (
            select(Master.item_id, STATUS, REVIEW)
            .join(Item)
            .where(Master.item_id.in_(ids), Master.view.in_(RESTORABLE_VIEWS), as_exists(to_sql(node, per_row=True)))
        )
        for item_id, status, review in session.execute(found):
            states[item_id].append((status, review))
    return states


def _least_far(states: Sequence[_State]) -> _State:
    """The status and the review of a whole item: those of the least advanced master."""
    statuses, reviews = ({state[place] for state in states} for place in (0, 1))
    status = next((known for known in _LEAST_FAR_FIRST if known in statuses), None)
    review = (
        None if None in reviews else next(each for each in (Decision.REJECTED, Decision.ACCEPTED) if each in reviews)
    )
    return status, review


def _first_match(node: QueryNode) -> ScalarSelect[int]:
    """The id of the master that represents an item in a list; NULL if no master of the item matches."""
    return _matching_masters(node).order_by(RESTORABLE_FIRST, Master.sequence).limit(1).scalar_subquery()


def _has_match(node: QueryNode) -> ColumnElement[bool]:
    """Whether a master of the item matches.

    Not an EXISTS, which PostgreSQL would evaluate for all items at once; and not the first match, because of the sort.
    """
    return _matching_masters(node).limit(1).scalar_subquery().is_not(None)


def _matching_masters(node: QueryNode) -> Select[int]:
    """The ids of the masters of an item that match."""
    return select(Master.id).where(Master.item_id == Item.id, as_exists(to_sql(node, per_row=True))).correlate(Item)


def _list_statement(
    first_match: ScalarSelect[int], selected: ColumnElement[bool] | None, further: Collection[str]
) -> Select[*tuple[Any, ...]]:
    shown, first_stage, counted, each_master = _SHOWN, _FIRST_STAGE, _COUNTED, _EACH_MASTER
    shown_id: Any = Master.current_restored_id if selected is None else _newest_selected(selected)
    shown_recipe_id = Master.current_restored_recipe_id if selected is None else shown.recipe_id
    earliest = (
        select(func.min(RecipeStage.position))
        .where(RecipeStage.recipe_id == shown_recipe_id, RecipeStage.task == StageTask.RESTORATION)
        .scalar_subquery()
    )
    count = (
        select(func.count(Derivative.id))
        .join(counted, counted.id == Derivative.master_id)
        .where(counted.item_id == Item.id)
        .scalar_subquery()
    )
    masters = select(func.count(each_master.id)).where(each_master.item_id == Item.id).scalar_subquery()
    statement = (
        select(
            Item.id,
            Item.accession_number,
            Item.title,
            Item.creator,
            Item.date,
            STATUS.label("status"),
            Model.name.label("model"),
            ModelVersion.version,
            *(
                (
                    getattr(Master, f"{metric}_{against}")
                    if selected is None
                    else score_of(shown.id, metric, against).label(f"{metric}_{against}")
                )
                for metric, against in _SCORES
            ),
            (REVIEW if selected is None else newest_decision(shown.id)).label("review"),
            count.label("derivatives"),
            shown.path,
            masters.label("masters"),
            *further_columns(further, shown),
        )
        .select_from(Item)
        .join(Master, Master.id == first_match)
        .outerjoin(shown, shown.id == shown_id)
        .outerjoin(first_stage, and_(first_stage.recipe_id == shown.recipe_id, first_stage.position == earliest))
        .outerjoin(ModelVersion, ModelVersion.id == first_stage.version_id)
        .outerjoin(Model, Model.id == ModelVersion.model_id)
    )
    if selected is None:
        return statement
    return statement.add_columns(
        shown.id.label("derivative"), shown.batch_id.label("batch"), is_current(shown).label("current")
    )


def _newest_selected(selected: ColumnElement[bool]) -> ColumnElement[int | None]:
    """The id of the master's derivative that the query selects: the current restored one, else the newest."""
    current = select(Derivative.id).where(Derivative.id == Master.current_restored_id, selected)
    newest = select(func.max(Derivative.id)).where(Derivative.master_id == Master.id, selected)
    return func.coalesce(*(each.correlate(Master).scalar_subquery() for each in (current, newest)))


def select_derivative_ids(node: QueryNode, kind: DerivativeKind | None) -> Select[int]:
    """The statement of :func:`archive.catalogue.listings.select_derivatives`."""
    current = Master.current_styled_id if kind is DerivativeKind.STYLED else Master.current_restored_id
    chosen = Derivative.id == current
    if selects_derivatives(node) and (selected := derivative_predicate(node)) is not None:
        chosen = selected if kind is None else and_(selected, Derivative.kind == kind)
    return (
        select(Derivative.id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(to_sql(node), chosen)
        .order_by(Item.accession_number, Master.sequence, Derivative.id)
    )


def stream_masters(
    session: Session, node: QueryNode, limit: int | None, further: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Streams the rows of :func:`archive.catalogue.listings.list_masters`."""
    shown = _SHOWN
    count = select(func.count(Derivative.id)).where(Derivative.master_id == Master.id).scalar_subquery()
    statement = (
        select(
            *(Item.accession_number, Item.title, Master.sequence, Master.view),
            STATUS.label("status"),
            REVIEW.label("review"),
            Master.current_restored_id.label("derivative"),
            count.label("derivatives"),
            Master.file_fault.label("file"),
            Master.refusal,
            *(Master.width, Master.height, Master.size, Master.path),
            *further_columns(further, shown),
        )
        .join(Item)
        .outerjoin(shown, shown.id == Master.current_restored_id)
        .where(to_sql(node))
        .order_by(Item.accession_number, Master.sequence)
        .limit(limit)
    )
    for row in session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}).mappings():
        yield plain_values(row, further, session.info["path_of"])


def stream_derivatives(
    session: Session, node: QueryNode, limit: int | None, further: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Streams the rows of :func:`archive.catalogue.listings.list_derivatives`."""
    newest = select(func.max(Review.id)).where(Review.derivative_id == Derivative.id).correlate(Derivative)
    first = select(func.min(RecipeStage.position)).where(RecipeStage.recipe_id == Derivative.recipe_id)
    reviewer, operator = aliased(Agent), aliased(Agent)
    statement = (
        select(
            *(Item.accession_number, Item.title, Master.sequence),
            Derivative.id.label("derivative"),
            Derivative.kind,
            Derivative.batch_id.label("batch"),
            Derivative.created_at.label("made"),
            operator.name.label("operator"),
            Model.name.label("model"),
            ModelVersion.version,
            RecipeStage.strength,
            Recipe.sha256.label("recipe"),
            is_current(Derivative).label("current"),
            Derivative.is_trial.label("trial"),
            Derivative.file_fault.label("file"),
            *(Review.decision, Review.reason),
            reviewer.name.label("reviewer"),
            Review.at.label("reviewed"),
            *(score_of(Derivative.id, metric, against).label(f"{metric}_{against}") for metric, against in _SCORES),
            *(Derivative.sha256, Derivative.size, Derivative.notes, Derivative.path),
            *further_columns(further, Derivative),
        )
        .select_from(Derivative)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .join(Recipe, Recipe.id == Derivative.recipe_id)
        .outerjoin(
            RecipeStage,
            and_(
                RecipeStage.recipe_id == Recipe.id,
                RecipeStage.position == first.correlate(Derivative).scalar_subquery(),
            ),
        )
        .outerjoin(ModelVersion, ModelVersion.id == RecipeStage.version_id)
        .outerjoin(Model, Model.id == ModelVersion.model_id)
        .outerjoin(operator, operator.id == Derivative.operator_id)
        .outerjoin(Review, and_(Review.id == newest.scalar_subquery(), Review.decision != Decision.UNDONE))
        .outerjoin(reviewer, reviewer.id == Review.agent_id)
        .where(Derivative.id.in_(_matching_derivatives(node)))
        .order_by(Item.accession_number, Master.sequence, Derivative.id)
        .limit(limit)
    )
    for row in session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}).mappings():
        yield {**plain_values(row, further, session.info["path_of"]), "current": bool(row["current"])}


def _matching_derivatives(node: QueryNode) -> Select[int]:
    """The ids of the derivatives that match the query; all conditions that can apply to one apply to it."""
    return (
        select(Derivative.id)
        .join(Master, Master.id == Derivative.master_id)
        .join(Item, Item.id == Master.item_id)
        .where(to_sql(node, of_derivative=True))
        .correlate(None)
    )
