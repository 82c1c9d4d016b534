"""The plan builder: collects masters per recipe, counts them, checks disk space and writes the batch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, exists, select, true, update
from sqlalchemy.orm import Session

from archive.batches.planning.batch_writer import write_batch
from archive.batches.planning.candidates import (
    Candidate,
    ExclusionRule,
    read_candidates,
    select_master_count,
    select_master_ids,
)
from archive.batches.planning.disk_space import SpaceNeeded, Volume, check_disk_space, derivative_bytes, find_volumes
from archive.batches.planning.sampling import DrawnSample, Sample, draw_sample
from archive.batches.planning.style_masks import MaskFolder, UnusableMask
from archive.batches.recipe_rows import get_or_create_recipe_id
from archive.batches.trial_adoption import adopt_trial_results
from archive.catalogue import Catalogue
from archive.catalogue.batch_queries import find_overlapping_batches
from archive.catalogue.polarity_words import names_negative
from archive.catalogue.query.status_predicates import LOST_MASTER
from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.catalogue.schema.vocabularies import BatchKind, DerivativeKind, View
from archive.catalogue.throughput import measure_throughput, tasks_of_models
from archive.chunks import chunks
from archive.display_labels import describe_recipe
from archive.settings import Settings
from restoration.recipe import Recipe

_MAX_EXAMPLES = 3  # masters that are listed per reason
_TASKS_COMPARED = 1000  # with the open tasks of other batches
_IDS_PER_TRANSACTION = 500  # it takes a moment, in which others who write on SQLite wait


@dataclass(kw_only=True)
class Exclusion:
    """The masters that a plan excludes for one reason."""

    masters: int = 0
    examples: list[str] = field(default_factory=list)  # the first ones, such as "1906.12 (2)"
    option: str | None = None  # the option that includes them, if there is one

    def add(self, master: Candidate, detail: str = "") -> None:
        """Adds a master; ``detail`` explains the reason for this master."""
        self.masters += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(f"{master.name}: {detail}" if detail else master.name)


@dataclass(frozen=True, kw_only=True)
class RerunScope:
    """The masters that a rerun could be about."""

    masters: int  # that the query finds
    current: Mapping[str, int]  # those with a current restored derivative, by its version, such as "denoise-deblur@2.0"
    version: str | None  # the version that was asked for; None for the approved ones


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a batch will do, and what it excludes and why."""

    batch_id: int | None  # None if nothing was written: a dry run, or no tasks
    tasks: int
    recipes: Mapping[str, int]  # tasks by recipe label, such as "denoise-deblur 0.1 (strength 1)"
    already_made: int  # masters that have a derivative of the recipe
    adopted: int  # of these, made by a trial only: they count from now on
    made_again: int  # of the tasks, those whose derivative is recorded, but whose file is lost
    unstated_negatives: int  # of the tasks, those whose process names a negative, and whose polarity is not known
    exclusions: Mapping[str, Exclusion]  # by reason, the most frequent first
    volumes: tuple[Volume, ...]  # the volumes that it writes to
    hours: float | None  # estimate from the throughput of earlier tasks of the models; None without any
    drawn_sample: DrawnSample | None = None  # if only a sample is planned
    unasked_damage_repair: str | None = None  # the version that repairs damage by default, if nobody asked for it
    overlapping_batches: Mapping[int, int] = field(default_factory=dict)  # open tasks by batch id, newest first
    rerun_scope: RerunScope | None = None  # of a rerun without tasks


@dataclass(kw_only=True)
class PlanBuilder:
    """Builds a plan: the masters of each recipe, and the exclusions.

    With a ``sample``, collected masters are candidates until :meth:`select_sample` selects some of them. With
    ``masks``, each master gets the recipe with its own mask.
    """

    sample: Sample | None = None
    is_trial: bool = False  # a sample is one too
    masks: MaskFolder | None = None
    makes_rgb: bool = False  # whether grey masters become RGB
    unasked_damage_repair: str | None = None  # as in Plan
    sample_candidates: list[tuple[str, Candidate]] = field(default_factory=list)  # with the recipe's digest
    drawn_sample: DrawnSample | None = None
    recipes: dict[str, Recipe] = field(default_factory=dict)  # by digest
    master_ids: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # ids by the recipe's digest
    already_made: int = 0
    adopted: list[int] = field(default_factory=list)  # ids of trial derivatives that a full run asks for
    made_again: int = 0
    unstated_negatives: int = 0
    pixels: int = 0  # of the masters with tasks
    space_needed: SpaceNeeded = field(default_factory=SpaceNeeded)  # for their derivatives
    exclusions: dict[str, Exclusion] = field(default_factory=lambda: defaultdict(Exclusion))
    refusals: dict[str | None, list[int]] = field(default_factory=dict)  # ids by new refusal; None removes it

    def collect(
        self,
        session: Session,
        wanted: ColumnElement[bool],
        recipe: Recipe,
        *,
        views: Collection[View] | None,
        exclusion_rule: ExclusionRule | None,
    ) -> None:
        """Adds the ``wanted`` masters without a derivative of ``recipe``; ``views`` None allows any view."""
        for row, recipe_with_mask in self._masters_to_plan(session, wanted, recipe, views):
            if views is not None and row.view not in views:
                self._exclude(f"view {row.view}", row, f"--view {row.view}")
                continue
            if row.file_fault is not None:
                self._exclude(f"file {row.file_fault}: bring it back, then run `archive verify`", row, None)
                continue
            # An unsupported kind is always excluded, whatever the rule says.
            reason = row.unsupported or (exclusion_rule(row) if exclusion_rule else None)
            if reason is not None:
                # A rerun, which allows any view, has no option to include unsuited masters.
                self._exclude(reason, row, None if row.unsupported or views is None else "--unsuited")
            elif isinstance(recipe_with_mask, UnusableMask):
                self._exclude(recipe_with_mask.reason, row, None, recipe_with_mask.detail)
            else:
                self._add_candidate(recipe_with_mask, row)
            if reason != row.refusal:
                self.refusals.setdefault(reason, []).append(row.id)

    def _masters_to_plan(
        self, session: Session, wanted: ColumnElement[bool], recipe: Recipe, views: Collection[View] | None
    ) -> Iterator[tuple[Candidate, Recipe | UnusableMask]]:
        """Yields the masters without a derivative, each with its recipe, and counts the others."""
        in_views = true() if views is None else Master.view.in_(views)
        if self.masks is None:
            has_derivative = _has_derivative(session, recipe)
            self.already_made += session.scalar(select_master_count(wanted & in_views & has_derivative)) or 0
            if not self.is_trial:
                self.adopted += _trial_derivatives(session, wanted & in_views, recipe)
            if self.sample is None:
                is_lost = _has_derivative(session, recipe, lost=True) & ~has_derivative & ~LOST_MASTER
                self.made_again += session.scalar(select_master_count(wanted & in_views & is_lost)) or 0
            for row in read_candidates(session, wanted & ~has_derivative):
                yield row, recipe
            return
        existing = _styled_derivatives(session, wanted & in_views)
        for row in read_candidates(session, wanted):
            mask = self.masks.find(row)
            recipe_with_mask = mask if isinstance(mask, UnusableMask) else replace(recipe, mask_sha256=mask)
            if isinstance(recipe_with_mask, Recipe) and (row.id, recipe_with_mask.sha256) in existing:
                self.already_made += 1
                derivative_id, is_trial = existing[row.id, recipe_with_mask.sha256]
                if is_trial and not self.is_trial:
                    self.adopted.append(derivative_id)
            else:
                yield row, recipe_with_mask

    def _add_candidate(self, recipe: Recipe, master: Candidate) -> None:
        digest = recipe.sha256
        self.recipes[digest] = recipe
        if self.sample is None:
            self._add_task(digest, master)
        else:
            self.sample_candidates.append((digest, master))

    def select_sample(self) -> None:
        """Selects the sample among the candidates; does nothing without a sample or candidates."""
        if self.sample is None or not self.sample_candidates:
            return
        chosen = [
            self.sample_candidates[place]
            for place in draw_sample([row for _, row in self.sample_candidates], self.sample)
        ]
        for digest, row in chosen:
            self._add_task(digest, row)
        self.drawn_sample = DrawnSample(
            masters=tuple(row for _, row in chosen), candidates=len(self.sample_candidates), seed=self.sample.seed
        )

    def _add_task(self, digest: str, master: Candidate) -> None:
        self.master_ids[digest].append(master.id)
        if master.polarity is None and master.process is not None and names_negative(master.process):
            self.unstated_negatives += 1
        pixels = master.width * master.height
        self.pixels += pixels
        size = derivative_bytes(pixels, master.samples_per_pixel, master.bits_per_sample, as_rgb=self.makes_rgb)
        self.space_needed.add(1, size, largest_bytes=size, keeps_style_input=self.recipes[digest].styles_a_restoration)

    def _exclude(self, reason: str, master: Candidate, option: str | None, detail: str = "") -> None:
        self.exclusions[reason].add(master, detail)
        self.exclusions[reason].option = option

    def plan(self, catalogue: Catalogue, session: Session, *, batch_id: int | None = None) -> Plan:
        """The plan as built so far."""
        counts: Counter[str] = Counter()
        for digest, masters in self.master_ids.items():
            counts[describe_recipe(self.recipes[digest].as_dict())] += len(masters)
        models = {stage.model for digest in self.master_ids for stage in self.recipes[digest].stages}
        throughput = measure_throughput(session, tasks_of_models(models)) if counts else None
        return Plan(
            batch_id=batch_id,
            tasks=counts.total(),
            recipes=dict(counts),
            already_made=self.already_made,
            adopted=len(self.adopted),
            made_again=self.made_again,
            unstated_negatives=self.unstated_negatives,
            exclusions=dict(sorted(self.exclusions.items(), key=lambda entry: (-entry[1].masters, entry[0]))),
            volumes=find_volumes(catalogue.settings, self.space_needed),
            hours=throughput.seconds_for(self.pixels) / 3600 if throughput else None,
            drawn_sample=self.drawn_sample,
            unasked_damage_repair=self.unasked_damage_repair,
            overlapping_batches=self._find_overlapping_batches(session, counts.total(), batch_id),
        )

    def _find_overlapping_batches(self, session: Session, total: int, batch_id: int | None) -> dict[int, int]:
        """Unfinished batches that do the same; of a large plan only some tasks are compared, spread evenly."""
        if not total:
            return {}
        tasks = ((master_id, digest) for digest, masters in self.master_ids.items() for master_id in masters)
        return find_overlapping_batches(
            session, islice(tasks, 0, None, ceil(total / _TASKS_COMPARED)), except_for=batch_id
        )

    def write(
        self,
        catalogue: Catalogue,
        kind: BatchKind,
        query: str | None,
        options: dict[str, Any],
        *,
        must_fit: bool,
    ) -> Plan:
        """Writes the refusals and, if there are tasks, the batch with its tasks.

        The plan was built from a snapshot, so that other writers waited for nothing. Refusals and adoptions are written
        in portions, the batch with its tasks in one transaction. What was removed meanwhile is left out.

        Raises:
            BatchError: the derivatives would not fit on the disk, and ``must_fit`` is true; nothing is written.
            StorageError: a mask can't be copied; nothing is written.
        """
        if must_fit:
            remedy = "Free some disk space, or restore fewer masters at a time"
            check_disk_space(find_volumes(catalogue.settings, self.space_needed), remedy)
        self._copy_masks(catalogue.settings)
        for refusal, ids in self.refusals.items():
            for chunk in chunks(ids, _IDS_PER_TRANSACTION):
                with catalogue.session() as session:
                    session.execute(
                        update(Master).where(Master.id.in_(chunk)).values(refusal=refusal),
                        execution_options={"synchronize_session": False},
                    )
        for chunk in chunks(self.adopted, _IDS_PER_TRANSACTION):
            with catalogue.session() as session:
                adopt_trial_results(catalogue, session, chunk)
        batch_id = self._write_batch(catalogue, kind, query, options) if self.master_ids else None
        with catalogue.reading() as session:
            return self.plan(catalogue, session, batch_id=batch_id)

    def _write_batch(self, catalogue: Catalogue, kind: BatchKind, query: str | None, options: dict[str, Any]) -> int:
        with catalogue.session() as session:
            recipe_ids = {digest: get_or_create_recipe_id(session, self.recipes[digest]) for digest in self.master_ids}
            tasks = (
                (master_id, recipe_ids[digest]) for digest, masters in self.master_ids.items() for master_id in masters
            )
            return write_batch(catalogue, session, kind, query, options, tasks)

    def _copy_masks(self, settings: Settings) -> None:
        """Copies the masks of the recipes to the home, unless they exist there.

        Raises:
            StorageError: one can't be copied.
        """
        for digest in self.master_ids:
            if self.masks is not None and (sha256 := self.recipes[digest].mask_sha256) is not None:
                self.masks.copy_to_home(settings, sha256)


def _has_derivative(session: Session, recipe: Recipe, *, lost: bool = False) -> ColumnElement[bool]:
    """Whether a master has a derivative of ``recipe``, or (``lost``) one whose file is missing, changed or lost."""
    recipe_id = session.scalar(select(RecipeRow.id).where(RecipeRow.sha256 == recipe.sha256))
    state = Derivative.file_fault.is_not(None) if lost else Derivative.file_fault.is_(None)
    return exists().where(Derivative.master_id == Master.id, Derivative.recipe_id == recipe_id, state)


def _trial_derivatives(session: Session, wanted: ColumnElement[bool], recipe: Recipe) -> list[int]:
    """The ids of the wanted masters' derivatives of ``recipe`` that only a trial made."""
    recipe_id = session.scalar(select(RecipeRow.id).where(RecipeRow.sha256 == recipe.sha256))
    found = (
        select_master_ids(wanted)
        .join(Derivative, Derivative.master_id == Master.id)
        .where(Derivative.recipe_id == recipe_id, Derivative.is_trial, Derivative.file_fault.is_(None))
    )
    return list(session.scalars(found.with_only_columns(Derivative.id)))


def _styled_derivatives(session: Session, wanted: ColumnElement[bool]) -> dict[tuple[int, str], tuple[int, bool]]:
    """The wanted masters' styled derivatives, and whether only a trial made them, by master id and recipe digest."""
    rows = session.execute(
        select_master_ids(wanted)
        .join(Derivative, Derivative.master_id == Master.id)
        .join(RecipeRow, Derivative.recipe_id == RecipeRow.id)
        .where(Derivative.kind == DerivativeKind.STYLED, Derivative.file_fault.is_(None))
        .with_only_columns(Master.id, RecipeRow.sha256, Derivative.id, Derivative.is_trial)
    )
    return {(master_id, sha256): (derivative_id, is_trial) for master_id, sha256, derivative_id, is_trial in rows}
