"""The record of a derivative, from the catalogue: everything that is needed to recreate it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from archive.batches.recipe_rows import read_recipe
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Derivative, Master, ModelVersion, RecipeStage
from archive.catalogue.schema.tables import Recipe as RecipeRow
from archive.errors import BatchError, NotFoundError
from archive.storage import mask_path
from restoration.image import Provenance


@dataclass(frozen=True, kw_only=True)
class DerivativeRecord:
    """One derivative as recorded in the catalogue."""

    id: int
    accession_number: str
    sequence: int
    path: Path
    sha256: str
    pixel_sha256: str
    master_path: Path
    master_folder: Path | None
    """The folder that the master was ingested from; None for a copy in the home."""
    provenance: Provenance
    mask_path: Path | None
    versions: Mapping[tuple[str, str], ModelVersion]
    """The model versions of the recipe, by name and version."""
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Such as ``1906.12 (2)``, with the master's sequence."""
        return f"{self.accession_number} ({self.sequence})"


def read_record(catalogue: Catalogue, session: Session, derivative_id: int) -> DerivativeRecord:
    """Reads the record of one derivative.

    Raises:
        NotFoundError: it was removed from the catalogue.
        BatchError: the record is damaged.
    """
    stages = joinedload(Derivative.recipe).selectinload(RecipeRow.stages).joinedload(RecipeStage.version)
    row = session.execute(
        select(Derivative)
        .where(Derivative.id == derivative_id)
        .options(
            stages.joinedload(ModelVersion.model),
            joinedload(Derivative.master).options(joinedload(Master.item), selectinload(Master.root)),
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"derivative {derivative_id} was removed meanwhile")
    recipe = read_recipe(row.recipe)
    try:
        provenance = Provenance.from_record(
            row.environment["provenance"], master_sha256=row.master_sha256, recipe=recipe
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BatchError(
            f"the record of derivative {derivative_id} can't be read ({error!r}): take the catalogue back from a backup"
        ) from error
    return DerivativeRecord(
        id=row.id,
        accession_number=row.master.item.accession_number,
        sequence=row.master.sequence,
        path=catalogue.path_of(row.path),
        sha256=row.sha256,
        pixel_sha256=row.pixel_sha256,
        master_path=catalogue.path_of(row.master.path),
        master_folder=catalogue.path_of(row.master.root.path) if Path(row.master.path).is_absolute() else None,
        provenance=provenance,
        mask_path=None if recipe.mask_sha256 is None else catalogue.path_of(mask_path(recipe.mask_sha256)),
        versions={(stage.version.model.name, stage.version.version): stage.version for stage in row.recipe.stages},
        environment=row.environment,
    )
