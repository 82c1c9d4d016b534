"""The work on one claimed task: master in, derivative under its temporary name out, scored. No database here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from archive import SOFTWARE_NAME, __version__
from archive.batches.claims import Claim
from archive.batches.record import Made
from archive.storage import digest_file
from restoration.errors import ImageError
from restoration.image import Limits, Picture, TiffSink
from restoration.pipeline import LoadedModels, restore
from restoration.quality import Score, score

_SOFTWARE = f"{SOFTWARE_NAME} {__version__}"


def make(claim: Claim, models: LoadedModels, *, temporary: Path, limits: Limits) -> Made:
    """Restores the claimed master into ``temporary`` and scores the result as it was written.

    Raises:
        RestorationError: the master, or what came out, is no picture that can be kept; the master changed.
        OSError: a file can't be read or written.
    """
    with Picture.open(
        claim.master_path, page=claim.master_page, limits=limits, expected_sha256=claim.master_sha256
    ) as master:
        with TiffSink(temporary, master.info, description=_description(claim), software=_SOFTWARE) as sink:
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
        environment=record.environment.as_dict(),
        stage_records=[asdict(stage) for stage in record.stages],
        notes=[*record.notes, *notes],
        scores=scores,
    )


def _description(claim: Claim) -> str:
    """What the file says of itself when it leaves the archive."""
    return f"Digitally restored derivative of the master {claim.master_sha256} by the recipe {claim.recipe.sha256}"


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
