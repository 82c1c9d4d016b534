"""The work on one claimed task: master in, derivative under its temporary name out, scored. No database here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from archive import SOFTWARE_NAME
from archive.batches.claims import Claim
from archive.batches.record import Made
from archive.storage import digest_file
from restoration.errors import ImageError
from restoration.image import Limits, Picture, Provenance, TiffSink
from restoration.pipeline import LoadedModels, restore
from restoration.quality import Score, score


def make(claim: Claim, models: LoadedModels, *, temporary: Path, limits: Limits) -> Made:
    """Restores the claimed master into ``temporary`` and scores the result as it was written.

    Raises:
        RestorationError: the master, or what came out, is no picture that can be kept; the master changed.
        OSError: a file can't be read or written.
    """
    with Picture.open(
        claim.master_path, page=claim.master_page, limits=limits, expected_sha256=claim.master_sha256
    ) as master:
        provenance = _provenance(claim, models)
        with TiffSink(
            temporary,
            master.info,
            provenance=provenance,
            description=describe(provenance),
            software=provenance.software,
        ) as sink:
            record = restore(master, claim.recipe, sink, models=models, picture_area=claim.picture_area)
        with Picture.open(temporary, limits=limits) as derivative:
            scores, notes = _scored(claim, master=master, derivative=derivative, limits=limits)
        # Last, so that nothing read for pixels or scores escapes the check.
        master.verify_unchanged()
    sha256, size_bytes = digest_file(temporary)
    return Made(
        temporary=temporary,
        sha256=sha256,
        size_bytes=size_bytes,
        pixel_sha256=record.pixel_sha256,
        environment=record.environment.as_dict() | {"provenance": provenance.as_record()},
        stage_records=[asdict(stage) for stage in record.stages],
        notes=[*record.notes, *sink.notes, *notes],
        scores=scores,
    )


def describe(provenance: Provenance) -> str:
    """What the file says of itself when it leaves the archive, to programs that read no XMP."""
    master, recipe = provenance.master_sha256, provenance.recipe.sha256
    return f"Digitally restored derivative of the master {master} by the recipe {recipe}"


def _provenance(claim: Claim, models: LoadedModels) -> Provenance:
    return Provenance(
        master_name=claim.master_path.name,
        master_sha256=claim.master_sha256,
        master_page=claim.master_page,
        recipe=claim.recipe,
        made_at=claim.started_at,
        software=f"{SOFTWARE_NAME} {models.environment.software_version}",
        picture_area=claim.picture_area,
    )


def _scored(claim: Claim, *, master: Picture, derivative: Picture, limits: Limits) -> tuple[list[Score], list[str]]:
    """The scores, and notes about a reference that could not be used: that is no reason to withhold a derivative."""
    notes: list[str] = []
    if claim.reference_path is not None:
        try:
            with Picture.open(claim.reference_path, limits=limits) as reference:
                return score(derivative=derivative, source=master, reference=reference, area=claim.picture_area), notes
        except (ImageError, OSError) as error:
            notes.append(f"not compared with the reference {claim.reference_path}: {error}")
    return score(derivative=derivative, source=master, reference=None, area=claim.picture_area), notes
