from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from sqlalchemy import select

from archive.batches.running import claims, commit
from archive.batches.running.runner import run_batch
from archive.catalogue.schema.tables import Derivative, Event, QualityScore, Task
from archive.catalogue.schema.vocabularies import EventType, Outcome, TaskStatus
from archive.errors import BatchError
from archive.progress_reporting import NoProgress
from restoration.errors import DeviceMemoryError
from restoration.execution import Execution
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.stages import inference
from restoration.recipe import RecipeStage
from tests.fake_models import FakeRestoration, FakeStage, once, raising


def test_a_batch_makes_derivatives_whose_rows_have_their_bytes(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B/1")
    result = workshop.run(batch_id)
    assert (result.done, result.failed, result.skipped, result.pending) == (2, 0, 0, 0)
    assert not result.interrupted
    first, second = workshop.derivatives()
    home = workshop.catalogue.settings.home
    assert [str(path.relative_to(home)) for path in workshop.files()] == sorted([first.path, second.path])
    assert first.path.startswith("derivatives/A/A_001_restored_")
    for derivative in (first, second):
        data = (home / derivative.path).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (derivative.sha256, derivative.size)
    source, made = tifffile.imread(workshop.masters()[0].path), tifffile.imread(home / first.path)
    assert np.abs(made - (source * 0.5 + 0.25 * 65535)).max() <= 0.5
    assert first.pixel_sha256 == hashlib.sha256(made.tobytes()).hexdigest()


def test_a_derivative_is_flushed_before_the_transaction_that_publishes_it(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = workshop.prepared("A")
    steps: list[str] = []
    fsync, locked = os.fsync, claims.locked_task

    def noted_fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            steps.append("flushed")
        fsync(descriptor)

    def noted_locked(*arguments: Any) -> Any:
        steps.append("locked")
        return locked(*arguments)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(commit, "locked_task", noted_locked)
    assert workshop.run(batch_id).done == 1
    assert steps == ["flushed", "locked"]


def test_a_derivative_carries_its_record(workshop: Any) -> None:
    batch_id = workshop.prepared("A", with_reference=True)
    workshop.run(batch_id)
    with workshop.catalogue.reading() as session:
        derivative = session.scalars(select(Derivative)).one()
        master = derivative.master
        assert (derivative.master_sha256, derivative.batch_id, derivative.kind) == (master.sha256, batch_id, "restored")
        assert derivative.environment["device"] == "fake"
        assert [stage["model"] for stage in derivative.stage_records] == ["mend"]
        headline = {(score.metric, score.image, score.compared_with) for score in derivative.scores}
        assert {("psnr", "derivative", "source"), ("ssim", "source", "reference")} <= headline
        reference = Path(master.reference_path)
        sha256 = hashlib.sha256(reference.read_bytes()).hexdigest()
        assert derivative.environment["reference"] == {"path": str(reference), "sha256": sha256}
        assert (master.current_restored_id, master.last_task_status) == (derivative.id, TaskStatus.DONE)
        assert master.psnr_reference is not None
        assert master.psnr_reference > 40  # the reference is what the stage makes
        event = session.scalars(select(Event).where(Event.type == EventType.DERIVATION)).one()
        assert (event.outcome, event.derivative_id, event.master_id) == (Outcome.SUCCESS, derivative.id, master.id)
        assert event.detail == f"recipe {derivative.recipe.sha256} of mend@1.0"
        task = session.scalars(select(Task)).one()
        assert (task.status, task.derivative_id) == (TaskStatus.DONE, derivative.id)
        assert (task.lease_token, task.attempts) == (None, 1)


def test_a_batch_run_twice_makes_nothing_new(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    workshop.run(batch_id)
    stage = FakeStage()
    assert workshop.run(batch_id, stage).done == 1
    assert stage.calls == 0
    assert len(workshop.derivatives()) == 1
    assert workshop.run(batch_id).with_notes == 0


def test_one_bad_scan_never_stops_a_batch(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B", "C")
    path = Path(workshop.masters()[1].path)
    path.write_bytes(path.read_bytes()[:-1])
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (2, 1)
    (failure,) = result.failures
    assert (failure.accession_number, failure.sequence, failure.path) == ("B", 1, str(path))
    assert "SHA-256" in failure.reason
    assert workshop.masters()[1].last_task_status is TaskStatus.FAILED
    with workshop.catalogue.reading() as session:
        event = session.scalars(select(Event).where(Event.outcome == Outcome.FAILURE)).one()
        assert event.detail is not None
        assert failure.reason in event.detail


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (raising(RuntimeError("the stage broke")), "unexpected RuntimeError: the stage broke"),
        (raising(RuntimeError("a\0b\udcff")), r"unexpected RuntimeError: a\0b\udcff"),
        (raising(OSError(errno.EIO, "Input/output error")), "Input/output error"),
    ],
    ids=["runtime-error", "undecodable-message", "input-output-error"],
)
def test_a_failing_stage_fails_its_task_and_leaves_no_file(workshop: Any, then: Any, reason: str) -> None:
    batch_id = workshop.prepared("A", "B")
    result = workshop.run(batch_id, FakeStage(lambda calls: then(calls) if calls == 0 else None))
    assert (result.done, result.failed) == (1, 1)
    assert reason in result.failures[0].reason
    assert len(workshop.files()) == 1


def test_a_gpu_that_fails_while_it_restores_stops_the_batch_and_marks_nothing(workshop: Any) -> None:
    def fail(_calls: int) -> None:
        with inference(Execution(device="cpu", precision="fp32").resolved()):
            raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")

    batch_id = workshop.prepared("A", "B")
    with pytest.raises(BatchError, match=r"the device failed: cuDNN error.*Nothing was marked as failed"):
        workshop.run(batch_id, FakeStage(fail))
    assert workshop.statuses(batch_id) == [TaskStatus.PENDING, TaskStatus.PENDING]
    assert workshop.files() == []


def test_output_that_is_not_a_picture_is_refused(workshop: Any) -> None:
    class Nothing(FakeStage):
        def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(region, np.nan)

    batch_id = workshop.prepared("A")
    assert workshop.run(batch_id, Nothing()).failed == 1
    assert workshop.files() == []


def test_a_master_changed_while_it_is_restored_fails(workshop: Any) -> None:
    batch_id = workshop.prepared("A")
    path = Path(workshop.masters()[0].path)
    result = workshop.run(batch_id, FakeStage(once(lambda: path.write_bytes(path.read_bytes() + b"more"))))
    assert "changed" in result.failures[0].reason
    assert workshop.files() == []


def test_a_reference_that_can_not_be_read_is_a_note_and_no_failure(workshop: Any) -> None:
    batch_id = workshop.prepared("A", with_reference=True)
    reference = workshop.masters()[0].reference_path
    assert reference is not None
    Path(reference).write_bytes(b"not a picture")
    assert workshop.run(batch_id).done == 1
    (derivative,) = workshop.derivatives()
    assert [reference in note for note in derivative.notes] == [True]
    assert derivative.environment["reference"] is None
    assert workshop.run(batch_id).with_notes == 1
    with workshop.catalogue.reading() as session:
        assert not session.scalars(select(QualityScore).where(QualityScore.compared_with == "reference")).all()
        assert derivative.notes[0] in str(session.scalars(select(Event.detail).where(Event.derivative_id == 1)).one())


def test_a_missing_file_under_a_present_root_fails_that_task(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B")
    path = Path(workshop.masters()[0].path)
    path.unlink()
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (1, 1)
    assert f"{path} is missing" in result.failures[0].reason


def test_what_another_batch_made_meanwhile_is_skipped(workshop: Any) -> None:
    first = workshop.prepared("A")
    second = workshop.planned()
    workshop.run(first)
    stage = FakeStage()
    assert workshop.run(second, stage).skipped == 1
    assert stage.calls == 0
    assert [task.derivative_id for task in workshop.tasks(second)] == [workshop.derivatives()[0].id]


def test_what_another_batch_made_during_the_work_is_skipped_and_kept(workshop: Any) -> None:
    first = workshop.prepared("A")
    second = workshop.planned()
    result = workshop.run(second, FakeStage(once(lambda: workshop.run(first))))
    assert (result.done, result.skipped) == (0, 1)
    (derivative,) = workshop.derivatives()
    assert derivative.batch_id == first
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in workshop.files()] == [derivative.sha256]


def test_progress_reports_every_task(workshop: Any) -> None:
    batch_id = workshop.prepared("A", "B")
    told: list[Any] = []

    class Told(NoProgress):
        def start(self, total: int, what: str, *, work: int | None = None) -> None:
            told.append((total, what, work))

        def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
            told.append((n, note, work))

        def finish(self) -> None:
            told.append("finished")

    workshop.run(batch_id, progress=Told())
    assert (told[0], sorted(told[1:-1]), told[-1]) == ((2, "masters", 512), [(1, "A", 256), (1, "B", 256)], "finished")


def test_a_device_with_little_memory_makes_every_picture_in_smaller_tiles_and_says_so(workshop: Any) -> None:
    class Small(FakeStage):
        def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
            if max(region.shape) > 130:
                raise DeviceMemoryError("full")
            return super().__call__(region)

    class OnSmallDevice(LoadedModels):
        def restoration(self, stage: RecipeStage) -> Any:  # noqa: ARG002
            return FakeRestoration(Small())

    workshop.model()
    for name in "A", "B":
        workshop.master(name, size=(200, 150))
    batch_id = workshop.planned()
    result = run_batch(workshop.catalogue, batch_id, make_models=OnSmallDevice)
    assert (result.done, result.failed) == (2, 0)
    for derivative in workshop.derivatives():
        assert derivative.environment["tile_size"] == 100
        assert derivative.notes[-1] == "made in tiles of 100 px, because for 200 px there was not enough memory"
    workshop.assert_whole(batch_id)
