"""The work on one claimed task: master in, derivative under its temporary name out, scored. No database here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from archive import SOFTWARE_NAME
from archive.batches.claims import Claim
from archive.batches.log import at_stage
from archive.batches.record import Made
from archive.errors import StorageError
from archive.failpoints import reach
from archive.storage import digest_file, flush_file
from restoration.errors import ImageError
from restoration.image import Limits, Picture, Provenance, Source, TiffSink
from restoration.pipeline import LoadedModels, restore
from restoration.quality import Score, score
from restoration.tiling import InTurn, at_once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from restoration.image.stored import Samples

_log = logging.getLogger(__name__)


def make(
    claim: Claim,
    models: LoadedModels,
    *,
    temporary: Path,
    limits: Limits,
    attend: Callable[[], None] = lambda: None,
    in_turn: InTurn = at_once,
) -> Made:
    """Restores the claimed master into ``temporary``, flushed, and scores the result as it was written.

    Args:
        claim: the task.
        models: the networks of its recipe.
        temporary: the file to write, which must not exist.
        limits: how large the master may be.
        attend: is called now and then; what it raises ends the work.
        in_turn: calls the networks, one region at a time.

    Raises:
        RestorationError: the master, or what came out, is no picture that can be kept; the master changed.
        OSError: a file can't be read or written.
    """

    at_stage("read")
    reach("read")
    with Picture.open(
        claim.master_path, page=claim.master_page, limits=limits, expected_sha256=claim.master_sha256
    ) as master:
        at_stage("restore")
        provenance = _provenance(claim, models)
        with _Sink(
            temporary,
            master.info,
            provenance=provenance,
            description=describe(provenance),
            software=provenance.software,
        ) as sink:
            record = restore(
                _Attended(master, attend),
                claim.recipe,
                sink,
                models=models,
                picture_area=claim.picture_area,
                progress=lambda _done, _rows: reach("restore"),
                in_turn=in_turn,
            )
        for stage in record.stages:
            at_stage(f"{stage.model}@{stage.version}")
            _log.info("stage done", extra={"seconds": stage.seconds, "tiles": stage.tiles})
        at_stage("score")
        with Picture.open(temporary, limits=limits) as derivative:
            scores, reference, notes = _scored(
                claim, master=_Attended(master, attend), derivative=derivative, limits=limits
            )
        # Last, so that nothing read for pixels or scores escapes the check.
        master.verify_unchanged()
    at_stage("digest")
    sha256, size_bytes = digest_file(temporary)
    # Here, and not where it is recorded: there the task is locked, and other processes would wait for the disk.
    flush_file(temporary)
    return Made(
        temporary=temporary,
        sha256=sha256,
        size_bytes=size_bytes,
        pixel_sha256=record.pixel_sha256,
        environment=record.environment.as_dict() | {"provenance": provenance.as_record(), "reference": reference},
        stage_records=[asdict(stage) for stage in record.stages],
        notes=[*record.notes, *sink.notes, *notes],
        scores=scores,
    )


class _Attended:
    """A source with each of whose windows ``attend`` is called, so that work which is not wanted any more ends soon."""

    def __init__(self, source: Source, attend: Callable[[], None]) -> None:
        self.info = source.info
        self._source = source
        self._attend = attend

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        self._attend()
        return self._source.read(x, y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


class _Sink(TiffSink):
    """A sink of which tests can make each write fail."""

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        reach("temporary_write")
        super().write(y, band, extra)


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


def _scored(
    claim: Claim, *, master: Source, derivative: Source, limits: Limits
) -> tuple[list[Score], dict[str, str] | None, list[str]]:
    """The scores; the path and SHA-256 of the reference that they compare with, if they do; and notes.

    A reference that could not be used is a note and no reason to withhold a derivative.
    """
    notes: list[str] = []
    area = claim.picture_area
    if (path := claim.reference_path) is not None:
        try:
            sha256, _ = digest_file(path)
            with Picture.open(path, limits=limits, expected_sha256=sha256) as reference:
                scores = score(derivative=derivative, source=master, reference=reference, area=area)
                reference.verify_unchanged()
        except (ImageError, StorageError, OSError) as error:
            notes.append(f"not compared with the reference {path}: {error}")
        else:
            return scores, {"path": str(path), "sha256": sha256}, notes
    return score(derivative=derivative, source=master, area=area), None, notes
