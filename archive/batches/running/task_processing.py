"""Task processing: restores a claimed master into a temporary file and scores it. No database access."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from archive import SOFTWARE_NAME
from archive.batches.running.claims import Claim
from archive.batches.running.commit import TaskResult
from archive.batches.running.log_context import set_stage_context
from archive.errors import StorageError
from archive.failpoints import failpoint
from archive.storage import digest_file, flush_file, temporary_style_input
from restoration.colour.srgb_adapters import match_channels
from restoration.device_scheduling import DeviceScheduler, Result, run_immediately
from restoration.errors import ImageError
from restoration.image import ImageInfo, Limits, Picture, Provenance, Source, TiffSink, working_space
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import RestorationRecord
from restoration.pipeline.restore import derivative_info, restore
from restoration.quality import Score, StyleEvaluation, score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from restoration.image.stored_pixels import Samples

_log = logging.getLogger(__name__)


def process_task(
    claim: Claim,
    models: LoadedModels,
    *,
    temporary: Path,
    limits: Limits,
    threads: int | None = None,
    check_still_wanted: Callable[[], None] = lambda: None,
    on_restored: Callable[[], None] = lambda: None,
    scheduler: DeviceScheduler = run_immediately,
) -> TaskResult:
    """Restores the claimed master into the file ``temporary``, scores the written file and flushes it.

    A lost derivative is made with the provenance in its record, so that its bytes can be the same. If they are not, it
    is made once more with its own provenance.

    Args:
        claim: the task.
        models: the loaded models of its recipe.
        temporary: the file to write, which must not exist.
        limits: the largest master that is accepted.
        threads: how many compute scores if no GPU does; by itself as many as there are processors, at most 8.
        check_still_wanted: is called for each window that is read; an error that it raises aborts the task.
        on_restored: is called when the file is written, before it is scored.
        scheduler: runs the calls on the device, one region or window at a time.

    Raises:
        RestorationError: the master or the result is not a valid picture, or the master changed.
        OSError: a file can't be read or written.
    """
    attempt = partial(
        _restore_and_score,
        models=models,
        temporary=temporary,
        limits=limits,
        threads=threads,
        check_still_wanted=check_still_wanted,
        on_restored=on_restored,
        scheduler=scheduler,
    )
    result = attempt(claim)
    if claim.lost is not None and claim.lost.provenance and result.sha256 != claim.lost.sha256:
        temporary.unlink()
        result = attempt(replace(claim, lost=None))
    return result


def _restore_and_score(
    claim: Claim,
    *,
    models: LoadedModels,
    temporary: Path,
    limits: Limits,
    threads: int | None,
    check_still_wanted: Callable[[], None],
    on_restored: Callable[[], None],
    scheduler: DeviceScheduler,
) -> TaskResult:
    """One attempt of :func:`process_task`."""
    steps, device = _StepTimer(), _DeviceTimer(scheduler)
    steps.begin("read")
    failpoint("read")
    with (
        Picture.open(
            claim.master_path, page=claim.master_page, limits=limits, expected_sha256=claim.master_sha256
        ) as picture,
        _style_input_path(claim) as style_input,
    ):
        steps.begin("restore")
        provenance = _provenance(claim, models, picture.info)
        master = _CheckedSource(picture, check_still_wanted)
        record, not_carried = write_derivative(
            master,
            provenance,
            models,
            temporary,
            mask_path=claim.mask_path,
            style_input=style_input,
            limits=limits,
            scheduler=device.run,
        )
        for stage in record.stages:
            set_stage_context(f"{stage.model}@{stage.version}")
            _log.info("stage done", extra={"seconds": stage.seconds, "tiles": stage.tiles})
        on_restored()
        steps.begin("score")
        scores, reference, notes = _compute_scores(
            claim, models, master, temporary, style_input, limits, threads, device.run
        )
        # Last, so that the check covers everything that was read for pixels or scores.
        picture.verify_unchanged()
    steps.begin("digest")
    sha256, size_bytes = digest_file(temporary)
    # Before the commit, which locks the task: other processes would wait for the disk.
    flush_file(temporary)
    steps.end()
    return TaskResult(
        temporary=temporary,
        sha256=sha256,
        size_bytes=size_bytes,
        pixel_sha256=record.pixel_sha256,
        environment=record.environment.as_dict() | {"provenance": provenance.as_record(), "reference": reference},
        stage_records=[asdict(stage) for stage in record.stages],
        notes=[*record.notes, *not_carried, *notes],
        scores=scores,
        step_seconds=steps.seconds | {"device": device.seconds},
    )


class _StepTimer:
    """Measures how long each step of a task takes; log lines belong to the current step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._current = ""
        self._began = 0.0

    def begin(self, step: str) -> None:
        """Ends the current step and begins the next one."""
        self.end()
        self._current, self._began = step, perf_counter()
        set_stage_context(step)

    def end(self) -> None:
        """Ends the current step."""
        if self._current:
            self.seconds[self._current] = perf_counter() - self._began


class _DeviceTimer:
    """A scheduler that measures how long the device works for a task, without the time that the task waits for it."""

    def __init__(self, scheduler: DeviceScheduler) -> None:
        self.seconds = 0.0
        self._scheduler = scheduler

    def run(self, call: Callable[[], Result], /) -> Result:
        """Runs a call as the scheduler does."""
        return self._scheduler(lambda: self._timed(call))

    def _timed(self, call: Callable[[], Result]) -> Result:
        began = perf_counter()
        try:
            return call()
        finally:
            self.seconds += perf_counter() - began


@contextmanager
def _style_input_path(claim: Claim) -> Iterator[Path | None]:
    """The path of a temporary file for the input of a style, if that is not the master; removed at the end."""
    if not claim.recipe.styles_a_restoration:
        yield None
        return
    path = temporary_style_input(claim.final, claim.token)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def write_derivative(
    master: Source,
    provenance: Provenance,
    models: LoadedModels,
    path: Path,
    *,
    mask_path: Path | None,
    style_input: Path | None,
    limits: Limits,
    scheduler: DeviceScheduler = run_immediately,
) -> tuple[RestorationRecord, Sequence[str]]:
    """Writes the derivative that ``provenance`` describes; the same arguments give the same bytes.

    Args:
        master: the scan.
        provenance: the recipe, the picture area, and what the file says about how it was made.
        models: the networks of the recipe.
        path: the file to write, which must not exist.
        mask_path: the recipe's mask, if it has one.
        style_input: receives the input of the styles, where that is not the master.
        limits: how large the mask may be.
        scheduler: runs the calls of the networks, one region at a time.

    Returns:
        The record of the restoration, and in words what of the metadata is not carried.

    Raises:
        RestorationError: the master or the result is not a valid picture, or the mask is missing or changed.
        OSError: a file can't be read or written.
    """
    recipe = provenance.recipe
    info = derivative_info(master.info, recipe, models)
    with ExitStack() as files:
        mask = None
        if mask_path is not None:
            mask = files.enter_context(Picture.open(mask_path, limits=limits, expected_sha256=recipe.mask_sha256))
        sink = files.enter_context(
            _Sink(
                path,
                info,
                provenance=provenance,
                description=image_description(provenance),
                software=provenance.software,
            )
        )
        record = restore(
            master,
            recipe,
            sink,
            models=models,
            picture_area=provenance.picture_area,
            mask=mask,
            content=None if style_input is None else files.enter_context(TiffSink(style_input, info)),
            progress=lambda _done, _rows: failpoint("restore"),
            scheduler=scheduler,
        )
    return record, sink.notes


class _CheckedSource:
    """A source that calls ``check_still_wanted`` for each window, so that an unwanted task ends soon."""

    def __init__(self, source: Source, check_still_wanted: Callable[[], None]) -> None:
        self.info = source.info
        self._source = source
        self._check_still_wanted = check_still_wanted

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        self._check_still_wanted()
        return self._source.read(x, y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


class _Sink(TiffSink):
    """A sink with a failpoint, so that tests can make each write fail."""

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        failpoint("temporary_write")
        super().write(y, band, extra)


def image_description(provenance: Provenance) -> str:
    """The text of the TIFF tag ImageDescription, for programs that don't read XMP."""
    recipe = provenance.recipe
    kind = "Digitally restored derivative"
    if recipe.styles:
        looks = " and ".join(stage.model for stage in recipe.styles)
        kind = f"Derivative with a simulated look ({looks})"
    return f"{kind} of the master {provenance.master_sha256} by the recipe {recipe.sha256}"


def _provenance(claim: Claim, models: LoadedModels, info: ImageInfo) -> Provenance:
    if claim.lost is not None and claim.lost.provenance:
        return Provenance.from_record(claim.lost.provenance, master_sha256=claim.master_sha256, recipe=claim.recipe)
    return Provenance(
        master_name=claim.master_path.name,
        master_sha256=claim.master_sha256,
        master_page=claim.master_page,
        recipe=claim.recipe,
        made_at=claim.started_at,
        software=f"{SOFTWARE_NAME} {models.environment.software_version}",
        picture_area=claim.picture_area,
        values=tuple(working_space(info, stage.task) for stage in claim.recipe.stages),
        description=claim.description,
        compression=claim.compression,
    )


def _compute_scores(
    claim: Claim,
    models: LoadedModels,
    master: Source,
    temporary: Path,
    style_input: Path | None,
    limits: Limits,
    threads: int | None,
    scheduler: DeviceScheduler,
) -> tuple[list[Score], dict[str, str] | None, list[str]]:
    """Returns the scores, the path and SHA-256 of the reference (None without one), and notes.

    An unusable reference is a note; it is not a reason to discard the derivative.
    """
    with ExitStack() as files:
        derivative = files.enter_context(Picture.open(temporary, limits=limits))
        style = None
        if claim.recipe.styles:
            content = None if style_input is None else files.enter_context(Picture.open(style_input, limits=limits))
            style = StyleEvaluation(
                recipe=claim.recipe, content=content, cards=[models.card(stage) for stage in claim.recipe.styles]
            )

        def compute(reference: Source | None = None) -> list[Score]:
            return score(
                derivative=derivative,
                source=match_channels(master, derivative.info),
                reference=None if reference is None else match_channels(reference, derivative.info),
                style=style,
                area=claim.picture_area,
                threads=threads,
                device=models.scores_device,
                scheduler=scheduler,
            )

        if (path := claim.reference_path) is None:
            return compute(), None, []
        try:
            sha256, _ = digest_file(path)
            with Picture.open(path, limits=limits, expected_sha256=sha256) as reference:
                scores = compute(reference)
                reference.verify_unchanged()
        except (ImageError, StorageError, OSError) as error:
            return compute(), None, [f"not compared with the reference {path}: {error}"]
        return scores, {"path": str(path), "sha256": sha256}, []
