"""A plan in the making: masters are collected for recipes, counted, and written as a batch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, exists, insert, select, true, update
from sqlalchemy.orm import Session

from archive.batches.planning.candidates import (
    Candidate,
    ExclusionRule,
    read_candidates,
    select_master_count,
    select_master_ids,
)
from archive.batches.planning.disk_space import SpaceNeeded, Volume, check_disk_space, derivative_bytes, find_volumes
from archive.batches.planning.masks import MaskFolder, UnusableMask
from archive.batches.planning.sampling import DrawnSample, Sample, draw_sample
from archive.batches.recipe_rows import get_or_create_recipe_id
from archive.catalogue import Catalogue
from archive.catalogue.events import operator_agent, software_agent
from archive.catalogue.schema.tables import Batch, Derivative, Master, Task
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.catalogue.schema.vocabularies import BatchKind, DerivativeKind, TaskStatus, View
from archive.catalogue.throughput import measure_throughput, tasks_of_models
from archive.display import describe_recipe
from archive.settings import Settings
from restoration.recipe import Recipe

_CHUNK = 5_000  # rows written at once: memory stays flat, round trips few
_NAMED = 3  # masters that are left out for one reason and named
_CHUNK_OF_IDS = 500  # ids in one statement, below every database's limit on variables


@dataclass(kw_only=True)
class Exclusion:
    """The masters that are left out for one reason."""

    masters: int = 0
    named: list[str] = field(default_factory=list)  # the first of them, such as "1906.12 (2)"
    option: str | None = None  # what takes them in, if anything does

    def add(self, master: Candidate, detail: str = "") -> None:
        """Counts one more; ``detail`` is the reason more closely, of this one."""
        self.masters += 1
        if len(self.named) < _NAMED:
            self.named.append(f"{master.name}: {detail}" if detail else master.name)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a batch is going to do, and what it leaves out and why."""

    batch_id: int | None  # None where nothing was written: a dry run, or no tasks
    tasks: int
    recipes: Mapping[str, int]  # tasks by recipe in words, such as "denoise-deblur 0.1 (strength 1)"
    already_made: int  # asked for, and made before by the same recipe
    left_out: Mapping[str, Exclusion]  # by the reason, the most frequent first
    volumes: tuple[Volume, ...]  # the disks that it writes to, with what it needs and what is free
    hours: float | None  # expected, at the pace of earlier tasks of the models; None where there are none
    drawn: DrawnSample | None = None  # where only a sample is taken


@dataclass(kw_only=True)
class PlanBuilder:
    """A plan in the making: which masters get which recipe, and which are left out.

    With a ``sample``, what is collected is only offered, until :meth:`draw` takes some of it. With ``masks``, each
    master gets the recipe with its own mask.
    """

    sample: Sample | None = None
    masks: MaskFolder | None = None
    coloured: bool = False  # whether grey masters become RGB
    offered: list[tuple[str, Candidate]] = field(default_factory=list)  # with the digest of what they are offered for
    drawn: DrawnSample | None = None
    recipes: dict[str, Recipe] = field(default_factory=dict)  # by digest
    masters: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # ids by the recipe's digest
    already_made: int = 0
    pixels: int = 0  # of the masters with tasks
    need: SpaceNeeded = field(default_factory=SpaceNeeded)  # of their derivatives
    left_out: dict[str, Exclusion] = field(default_factory=lambda: defaultdict(Exclusion))
    refusals: dict[str | None, list[int]] = field(default_factory=dict)  # ids by their new refusal; None takes it away

    def collect(
        self,
        session: Session,
        wanted: ColumnElement[bool],
        recipe: Recipe,
        *,
        views: Collection[View] | None,
        objection: ExclusionRule | None,
    ) -> None:
        """Takes in the ``wanted`` masters without a derivative of ``recipe``; ``views`` None takes any view."""
        for row, masked in self._unmade(session, wanted, recipe, views):
            if views is not None and row.view not in views:
                self._leave_out(f"view {row.view}", row, f"--view {row.view}")
                continue
            # An objection is a matter of opinion; a kind that can't be carried is left out in any case.
            reason = row.unsupported or (objection(row) if objection else None)
            if reason is not None:
                # A rerun, which takes any view, has no options for what it leaves out.
                self._leave_out(reason, row, None if row.unsupported or views is None else "--unsuited")
            elif isinstance(masked, UnusableMask):
                self._leave_out(masked.reason, row, None, masked.detail)
            else:
                self._offer(masked, row)
            if reason != row.refusal:
                self.refusals.setdefault(reason, []).append(row.id)

    def _unmade(
        self, session: Session, wanted: ColumnElement[bool], recipe: Recipe, views: Collection[View] | None
    ) -> Iterator[tuple[Candidate, Recipe | UnusableMask]]:
        """The ``wanted`` masters without a derivative, each with its recipe; those that have one are counted."""
        in_views = true() if views is None else Master.view.in_(views)
        if self.masks is None:
            made = _made(session, recipe)
            self.already_made += session.scalar(select_master_count(wanted & in_views & made)) or 0
            for row in read_candidates(session, wanted & ~made):
                yield row, recipe
            return
        made_so = _made_in_a_look(session, wanted & in_views)
        for row in read_candidates(session, wanted):
            mask = self.masks.of(row)
            masked = mask if isinstance(mask, UnusableMask) else replace(recipe, mask_sha256=mask)
            if isinstance(masked, Recipe) and (row.id, masked.sha256) in made_so:
                self.already_made += 1
            else:
                yield row, masked

    def _offer(self, recipe: Recipe, master: Candidate) -> None:
        digest = recipe.sha256
        self.recipes[digest] = recipe
        if self.sample is None:
            self._take(digest, master)
        else:
            self.offered.append((digest, master))

    def draw(self) -> None:
        """Takes the sample of what was offered; nothing happens where none is wanted, or nothing was offered."""
        if self.sample is None or not self.offered:
            return
        chosen = [self.offered[place] for place in draw_sample([row for _, row in self.offered], self.sample)]
        for digest, row in chosen:
            self._take(digest, row)
        self.drawn = DrawnSample(
            masters=tuple(row for _, row in chosen), offered=len(self.offered), seed=self.sample.seed
        )

    def _take(self, digest: str, master: Candidate) -> None:
        self.masters[digest].append(master.id)
        pixels = master.width * master.height
        self.pixels += pixels
        size = derivative_bytes(pixels, master.samples_per_pixel, master.bits_per_sample, coloured=self.coloured)
        self.need.add(1, size, largest_bytes=size, on_a_restoration=self.recipes[digest].styles_a_restoration)

    def _leave_out(self, reason: str, master: Candidate, option: str | None, detail: str = "") -> None:
        self.left_out[reason].add(master, detail)
        self.left_out[reason].option = option

    def plan(self, catalogue: Catalogue, session: Session, *, batch_id: int | None = None) -> Plan:
        """What the draft comes to."""
        counts: Counter[str] = Counter()
        for digest, masters in self.masters.items():
            counts[describe_recipe(self.recipes[digest].as_dict())] += len(masters)
        models = {stage.model for digest in self.masters for stage in self.recipes[digest].stages}
        known = measure_throughput(session, tasks_of_models(models)) if counts else None
        return Plan(
            batch_id=batch_id,
            tasks=counts.total(),
            recipes=dict(counts),
            already_made=self.already_made,
            left_out=dict(sorted(self.left_out.items(), key=lambda entry: (-entry[1].masters, entry[0]))),
            volumes=find_volumes(catalogue.settings, self.need),
            hours=known.seconds_for(self.pixels) / 3600 if known else None,
            drawn=self.drawn,
        )

    def write(
        self,
        catalogue: Catalogue,
        session: Session,
        kind: BatchKind,
        query: str | None,
        options: dict[str, Any],
        *,
        must_fit: bool,
    ) -> Plan:
        """Writes the refusals and, where there is anything to do, the batch with its tasks.

        Raises:
            BatchError: the derivatives would not fit on the disk, and ``must_fit`` is true; nothing is written.
            StorageError: a mask can't be kept; nothing is written.
        """
        if must_fit:
            check_disk_space(self.plan(catalogue, session).volumes, "make room, or restore fewer at a time")
        for refusal, ids in self.refusals.items():
            for chunk in _chunks(ids, _CHUNK_OF_IDS):
                session.execute(
                    update(Master).where(Master.id.in_(chunk)).values(refusal=refusal),
                    execution_options={"synchronize_session": False},
                )
        if not self.masters:
            return self.plan(catalogue, session)
        self.keep_masks(catalogue.settings)
        batch = Batch(
            kind=kind,
            query=query,
            options=options,
            created_at=catalogue.now(session),
            agent=software_agent(session),
            operator=operator_agent(session),
        )
        session.add(batch)
        session.flush()
        for digest, masters in self.masters.items():
            self._write_tasks(session, batch.id, get_or_create_recipe_id(session, self.recipes[digest]), masters)
        return self.plan(catalogue, session, batch_id=batch.id)

    def keep_masks(self, settings: Settings) -> None:
        """Copies the masks of the recipes below the home, where they are not there yet.

        Raises:
            StorageError: one can't be copied.
        """
        for digest in self.masters:
            if self.masks is not None and (sha256 := self.recipes[digest].mask_sha256) is not None:
                self.masks.keep(settings, sha256)

    @staticmethod
    def _write_tasks(session: Session, batch_id: int, recipe_id: int, masters: Sequence[int]) -> None:
        for chunk in _chunks(masters, _CHUNK):
            session.execute(
                insert(Task),
                [
                    {
                        "batch_id": batch_id,
                        "master_id": id_,
                        "recipe_id": recipe_id,
                        "status": TaskStatus.PENDING,
                    }
                    for id_ in chunk
                ],
            )


def _made(session: Session, recipe: Recipe) -> ColumnElement[bool]:
    """Whether a master has a derivative of ``recipe``, which the catalogue need not know yet."""
    recipe_id = session.scalar(select(RecipeRow.id).where(RecipeRow.sha256 == recipe.sha256))
    return exists().where(Derivative.master_id == Master.id, Derivative.recipe_id == recipe_id)


def _made_in_a_look(session: Session, wanted: ColumnElement[bool]) -> set[tuple[int, str]]:
    """By which recipes, as digests, the wanted masters have styled derivatives."""
    rows = session.execute(
        select_master_ids(wanted)
        .join(Derivative, Derivative.master_id == Master.id)
        .join(RecipeRow, Derivative.recipe_id == RecipeRow.id)
        .where(Derivative.kind == DerivativeKind.STYLED)
        .with_only_columns(Master.id, RecipeRow.sha256)
    )
    return {(master_id, sha256) for master_id, sha256 in rows}


def _chunks(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
