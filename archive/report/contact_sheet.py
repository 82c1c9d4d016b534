"""Contact sheets: crops of a sample at 100 %, before and after, to judge settings before a long batch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.listings import get_item_details
from archive.catalogue.schema.tables import Batch, Item, Master, Recipe, Task
from archive.catalogue.schema.vocabularies import Access, ComparedWith, DerivativeKind, TaskStatus
from archive.display_labels import Record, describe_recipe, describe_score, format_score_value
from archive.report.crop_pairs import CropPair, read_crop_pairs
from archive.report.html_writer import write_page
from archive.report.preview_images import open_before_and_after
from archive.storage import sheet_path
from restoration.errors import ImageError
from restoration.recipe import Recipe as FullRecipe

_TOLD = ("psnr", "ssim")


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """A contact sheet that was written."""

    path: Path
    masters: int  # that it tells of
    not_open: int  # that it leaves out, since their access isn't open


class _Tried(NamedTuple):
    """A finished task of the sample."""

    accession_number: str
    sequence: int
    access: Access
    derivative_id: int | None
    error: str | None  # why it has no derivative


@dataclass(frozen=True, kw_only=True)
class SheetEntry:
    """One master of the sample, as the template shows it."""

    item: Record
    master: Record
    derivative: Record | None
    pairs: Sequence[CropPair]
    problem: str | None  # why there are no crops

    @property
    def scores(self) -> list[tuple[str, str]]:
        """PSNR and SSIM as text, against the master and, if it is known, the clean reference."""
        return [
            (describe_score(score), format_score_value(score))
            for score in (self.derivative["quality"] if self.derivative else ())
            if score["metric"] in _TOLD
            and score["stage"] is None
            and score["compared_with"] in (ComparedWith.SOURCE, ComparedWith.REFERENCE)
        ]


def write_contact_sheets(catalogue: Catalogue, batch_id: int) -> list[ContactSheet]:
    """Writes a contact sheet for each recipe of a batch that was planned as a sample, in the place of earlier ones.

    Recipes that differ in their masks alone are on one sheet, which is named by the recipe without a mask.
    Only items of open access are shown, unless the sample was planned with ``include_restricted``. Masters that failed
    are listed with the reason. A recipe without anything to show gets a sheet without pictures, which says so.

    Raises:
        StorageError: a file can't be written, or exists and is not a page of this software.
    """
    with catalogue.publishing() as session:
        batch = session.get_one(Batch, batch_id)
        recipes = select(Recipe).where(Recipe.id.in_(select(Task.recipe_id).where(Task.batch_id == batch_id)))
        alike: defaultdict[str, list[Recipe]] = defaultdict(list)
        for recipe in session.scalars(recipes.order_by(Recipe.id)):
            alike[replace(FullRecipe.from_json(recipe.canonical_json), mask_sha256=None).sha256].append(recipe)
        return [_write_sheet(catalogue, session, batch, sha256, rows) for sha256, rows in alike.items()]


def _write_sheet(
    catalogue: Catalogue, session: Session, batch: Batch, recipe_sha256: str, recipes: Sequence[Recipe]
) -> ContactSheet:
    tried = _tried(session, batch, recipes)
    shown = [each for each in tried if batch.options["include_restricted"] or each.access is Access.OPEN]
    sheet = ContactSheet(
        path=catalogue.settings.home / sheet_path(batch.id, recipe_sha256),
        masters=len(shown),
        not_open=len(tried) - len(shown),
    )
    write_page(
        sheet.path,
        "contact_sheet.html",
        entries=_entries(catalogue, session, shown),
        sheet=sheet,
        recipe=describe_recipe(json.loads(recipes[0].canonical_json)),
        recipe_sha256=recipe_sha256,
        is_styled=recipes[0].kind is DerivativeKind.STYLED,
        batch=batch,
        # A query may contain names of persons, or words of items that are left out.
        query=batch.query if catalogue.settings.publish_names and not sheet.not_open else None,
        made_at=catalogue.now(session).isoformat(),
    )
    return sheet


def _tried(session: Session, batch: Batch, recipes: Sequence[Recipe]) -> list[_Tried]:
    """The ended tasks, in the order of lists."""
    rows = session.execute(
        select(Item.accession_number, Master.sequence, Item.access, Task.derivative_id, Task.error)
        .select_from(Task)
        .join(Master, Task.master_id == Master.id)
        .join(Item, Master.item_id == Item.id)
        .where(
            Task.batch_id == batch.id,
            Task.recipe_id.in_([recipe.id for recipe in recipes]),
            Task.status.in_((TaskStatus.DONE, TaskStatus.SKIPPED, TaskStatus.FAILED)),
        )
        .order_by(Item.accession_number, Master.sequence)
    )
    return [_Tried._make(row) for row in rows]


def _entries(catalogue: Catalogue, session: Session, shown: Sequence[_Tried]) -> Iterator[SheetEntry]:
    """The entries one at a time, since each contains its crops."""
    for tried in shown:
        item = get_item_details(catalogue, session, tried.accession_number)
        master = next(each for each in item["masters"] if each["sequence"] == tried.sequence)
        derivative = next((each for each in item["derivatives"] if each["id"] == tried.derivative_id), None)
        pairs: Sequence[CropPair] = ()
        problem = None if derivative else f"It could not be restored: {tried.error}"
        if derivative and derivative["withdrawn"]:
            derivative, problem = None, "It was withdrawn."
        if derivative:
            try:
                with open_before_and_after(catalogue.settings, master, derivative) as (before, after):
                    pairs = read_crop_pairs(before, after, master["picture_area"])
            except FileNotFoundError as error:
                problem = f"The crops can’t be shown: file missing: {error.filename}"
            except (ImageError, OSError) as error:
                problem = f"The crops can’t be shown: {error}"
        yield SheetEntry(item=item, master=master, derivative=derivative, pairs=pairs, problem=problem)
