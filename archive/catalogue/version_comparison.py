"""Version comparison: compares two model versions by the scores of their derivatives of the same masters."""

from __future__ import annotations

import json
import math
import shlex
from array import array
from bisect import insort
from collections.abc import Iterator
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.model_version_lookup import find_version
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.query.query_tree import without_index
from archive.catalogue.schema.tables import Derivative, Item, Master, ModelVersion, QualityScore, Recipe, RecipeStage
from archive.catalogue.schema.vocabularies import ComparedWith, Decision, DerivativeKind, ScoredImage, StageTask
from archive.display_labels import describe_recipe
from archive.errors import NotFoundError, UsageError

_WORST = 5
_ROWS_AT_A_TIME = 5_000
_UNITS_IN_ONE = 1 << 60  # sums are integers, so that they do not depend on the order of rows
_MEASURES = {ComparedWith.REFERENCE: "quality", ComparedWith.SOURCE: "change", None: "derivative"}

_Key = tuple[ComparedWith | None, str]


def compare_versions(session: Session, a: str, b: str, query: str | None = None) -> dict[str, Any]:
    """Compares version ``b`` with version ``a`` by the scores of the masters that both restored.

    For each master and version it uses the newest restored derivative that is not rejected, else the newest one. A
    difference is B minus A. Rows are streamed; only the differences of each score are kept in memory.

    Returns:
        ``a`` and ``b`` (name@version), ``query``, ``masters`` (restored by both), ``masters_a`` and ``masters_b`` (by
        either one), ``recipes`` (labels ``a`` and ``b`` with the number of ``masters``), and ``scores``: first measures
        of quality (against a clean reference), then of change (against the master), then of the derivative itself. Each
        score has ``metric``, ``compared_with``, ``measure_of`` (``quality``, ``change``, ``derivative``), ``better``
        (``higher``, or None if the metric has no better direction), ``n``, ``left_out`` (masters without a value of one
        version, or compared with two different references), ``mean_a``, ``mean_b``, ``mean``, ``median`` and
        ``standard_deviation`` of the differences (None for a single one), ``share_better`` and ``share_worse`` (of B;
        None without a better direction), ``implementations``, and ``worst``: a few masters where B is worst, or differs
        most if there is no better direction.

    Raises:
        NotFoundError: there is no such version, or no master that both restored.
        UsageError: both are the same version, or one is a style.
        QueryError: the query has a mistake.
    """
    wanted = None if query is None else parse_condition(query)
    versions = find_version(session, a), find_version(session, b)
    names = [_restoring(version) for version in versions]
    if versions[0].id == versions[1].id:
        raise UsageError(f"{a} and {b} are the same version, {names[0]}: name two versions (see `archive model list`)")
    pairs = _pairs(*versions, wanted)
    recipes, counts = _recipes(session, pairs)
    if not recipes:
        raise NotFoundError(_nothing_in_common(versions, names, counts, query))
    return {
        "a": names[0],
        "b": names[1],
        "query": query,
        "masters": sum(each["masters"] for each in recipes),
        "masters_a": counts[0],
        "masters_b": counts[1],
        "recipes": recipes,
        "scores": [paired.as_dict() for paired in _paired(session, pairs)],
    }


def _restoring(version: ModelVersion) -> str:
    name = f"{version.model.name}@{version.version}"
    if version.model.task is StageTask.STYLE:
        raise UsageError(f"{name} is a style, and restores nothing: compare versions of restoration models")
    return name


def _pairs(a: ModelVersion, b: ModelVersion, wanted: ColumnElement[bool] | None) -> Subquery:
    """For each master the ids of the derivatives that represent ``a`` and ``b``; NULL if there is none.

    A derivative in which both versions took part represents neither. The query groups instead of joining, because a
    database without statistics would use a slow nested loop for the join.
    """
    by_a, by_b = (Derivative.recipe_id.in_(_recipes_of(version)) for version in (a, b))
    side = case((by_a, literal("a")), else_=literal("b"))
    rejected = case((newest_decision(Derivative.id) == Decision.REJECTED, 1), else_=0)
    place = func.row_number().over(partition_by=(Derivative.master_id, side), order_by=(rejected, Derivative.id.desc()))
    ranked = select(Derivative.id, Derivative.master_id, side.label("side"), place.label("place")).where(
        Derivative.kind == DerivativeKind.RESTORED, or_(and_(by_a, ~by_b), and_(by_b, ~by_a))
    )
    if wanted is not None:
        ranked = ranked.where(Derivative.master_id.in_(select(Master.id).join(Item).where(wanted)))
    made = ranked.subquery()
    ids = (func.max(case((made.c.side == name, made.c.id))).label(name) for name in ("a", "b"))
    return select(made.c.master_id, *ids).where(made.c.place == 1).group_by(made.c.master_id).subquery()


def _recipes_of(version: ModelVersion) -> Select[int]:
    return select(RecipeStage.recipe_id).where(RecipeStage.version_id == version.id)


def _recipes(session: Session, pairs: Subquery) -> tuple[list[dict[str, Any]], list[int]]:
    """The recipes by which both versions restored masters, most frequent first, and the number of masters of each
    version.
    """
    by_a, by_b = aliased(Derivative), aliased(Derivative)
    rows = session.execute(
        select(by_a.recipe_id, by_b.recipe_id, func.count())
        .select_from(pairs)
        .outerjoin(by_a, by_a.id == pairs.c.a)
        .outerjoin(by_b, by_b.id == pairs.c.b)
        .group_by(by_a.recipe_id, by_b.recipe_id)
    ).all()
    counts = [sum(row[2] for row in rows if row[side] is not None) for side in (0, 1)]
    both = sorted((-n, one, other) for one, other, n in rows if one is not None and other is not None)
    ids = {recipe_id for _, *of_pair in both for recipe_id in of_pair}
    texts = session.execute(select(Recipe.id, Recipe.canonical_json).where(Recipe.id.in_(ids)))
    words = {recipe_id: describe_recipe(json.loads(text)) for recipe_id, text in texts}
    return [{"a": words[one], "b": words[other], "masters": -n} for n, one, other in both], counts


class _Paired:
    """One score of both versions' derivatives, and the collected differences."""

    def __init__(self, metric: str, compared_with: ComparedWith | None) -> None:
        self.metric = metric
        self.compared_with = compared_with
        self.better = "higher" if compared_with is ComparedWith.REFERENCE else None
        self.left_out = 0
        self._differences = array("d")
        self._sum_a = 0
        self._implementations: set[str] = set()
        self._worst: list[tuple[float, str, int, float, float]] = []  # the worst first

    def add(self, accession_number: str, sequence: int, value_a: float, value_b: float) -> None:
        difference = value_b - value_a
        self._differences.append(difference)
        self._sum_a += round(value_a * _UNITS_IN_ONE)
        found = (difference if self.better else -abs(difference), accession_number, sequence, value_a, value_b)
        if len(self._worst) < _WORST or found < self._worst[-1]:
            insort(self._worst, found)
            del self._worst[_WORST:]

    def leave_out(self) -> None:
        self.left_out += 1

    def by(self, *implementations: str) -> None:
        self._implementations.update(implementations)

    def as_dict(self) -> dict[str, Any]:
        n = len(self._differences)
        directed = bool(n and self.better)
        return {
            "metric": self.metric,
            "compared_with": self.compared_with and self.compared_with.value,
            "measure_of": _MEASURES[self.compared_with],
            "better": self.better,
            "n": n,
            "left_out": self.left_out,
            **self._averages(),
            "share_better": sum(each > 0 for each in self._differences) / n if directed else None,
            "share_worse": sum(each < 0 for each in self._differences) / n if directed else None,
            "implementations": sorted(self._implementations),
            "worst": [
                {"accession_number": name, "sequence": sequence, "a": one, "b": other, "difference": other - one}
                for _, name, sequence, one, other in self._worst
            ],
        }

    def _averages(self) -> dict[str, float | None]:
        n = len(self._differences)
        if not n:
            return dict.fromkeys(("mean_a", "mean_b", "mean", "median", "standard_deviation"))
        mean = math.fsum(self._differences) / n
        squares = math.fsum((each - mean) ** 2 for each in self._differences)
        mean_a = self._sum_a / _UNITS_IN_ONE / n
        return {
            "mean_a": mean_a,
            "mean_b": mean_a + mean,
            "mean": mean,
            "median": median(self._differences),
            "standard_deviation": math.sqrt(squares / (n - 1)) if n > 1 else None,
        }


def _paired(session: Session, pairs: Subquery) -> list[_Paired]:
    """The scores, quality first."""
    found: dict[_Key, _Paired] = {}
    for metric, compared_with, same_reference, accession_number, sequence, one, other, *by in _rows(session, pairs):
        key = compared_with, metric
        if key not in found:
            found[key] = _Paired(metric, compared_with)
        if one is None or other is None or not same_reference:
            found[key].leave_out()
        else:
            found[key].add(accession_number, sequence, one, other)
            found[key].by(*by)
    order = list(_MEASURES)
    return sorted(found.values(), key=lambda paired: (order.index(paired.compared_with), paired.metric))


def _rows(session: Session, pairs: Subquery) -> Iterator[Any]:
    """Streams the scores of the pairs' whole derivatives."""
    by_a, by_b = aliased(Derivative), aliased(Derivative)
    score_a, score_b = aliased(QualityScore), aliased(QualityScore)
    same_score = and_(
        # Not by the index of metrics: a derivative has few scores, but a metric has one per derivative.
        without_index(score_b.metric) == without_index(score_a.metric),
        score_b.compared_with.is_not_distinct_from(score_a.compared_with),
        *_of_whole_derivative(score_b),
    )
    same_reference = or_(
        score_a.compared_with.is_distinct_from(ComparedWith.REFERENCE),
        _reference(by_a).is_not_distinct_from(_reference(by_b)),
    )
    statement = (
        select(
            score_a.metric,
            score_a.compared_with,
            same_reference,
            Item.accession_number,
            Master.sequence,
            score_a.value,
            score_b.value,
            score_a.implementation,
            score_b.implementation,
        )
        .select_from(pairs)
        .join(Master, Master.id == pairs.c.master_id)
        .join(Item, Item.id == Master.item_id)
        .join(by_a, by_a.id == pairs.c.a)
        .join(by_b, by_b.id == pairs.c.b)
        .join(score_a, and_(score_a.derivative_id == pairs.c.a, *_of_whole_derivative(score_a)))
        .join(score_b, and_(score_b.derivative_id == pairs.c.b, same_score))
        .where(or_(score_a.compared_with.is_(None), score_a.compared_with.in_([each for each in _MEASURES if each])))
    )
    with session.execute(statement, execution_options={"yield_per": _ROWS_AT_A_TIME}) as rows:
        yield from rows


def _reference(derivative: type[Derivative]) -> ColumnElement[str]:
    """The SHA-256 of the clean reference used for the score."""
    found: ColumnElement[str] = derivative.environment["reference"]["sha256"].as_string()
    return found


def _of_whole_derivative(score: type[QualityScore]) -> tuple[ColumnElement[bool], ...]:
    return score.image == ScoredImage.DERIVATIVE, score.stage.is_(None)


def _nothing_in_common(
    versions: tuple[ModelVersion, ModelVersion], names: list[str], counts: list[int], query: str | None
) -> str:
    """A message that no master was restored by both versions, with the commands that change this."""
    which = f" that the query {query!r} finds" if query is not None else ""
    query_argument = f"{shlex.quote(query)} " if query is not None else ""
    if not any(counts):
        commands = [f"`archive restore {query_argument}--model {name}`" for name in names]
        return f"neither {names[0]} nor {names[1]} restored any master{which}: run {' and '.join(commands)} first"
    # The version with fewer masters should catch up.
    missing = 1 if counts[0] >= counts[1] else 0
    # A rerun keeps the parameters and therefore requires the same model.
    command = "rerun" if versions[0].model_id == versions[1].model_id else "restore"
    return (
        f"no master{which} was restored by both {names[0]} ({counts[0]:,}) and {names[1]} ({counts[1]:,}): "
        f"run `archive {command} {query_argument}--model {names[missing]}` first"
    )
