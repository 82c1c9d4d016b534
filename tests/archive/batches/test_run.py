from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import stat
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from archive import storage
from archive.batches import claims, record, run, work
from archive.batches.run import run_batch
from archive.catalogue.tables import Derivative, Event, Master, QualityScore, Task
from archive.catalogue.vocabulary import EventType, Outcome, TaskStatus
from archive.errors import BatchError, ModelRegistryError, NotFoundError
from restoration.errors import DeviceError, DeviceMemoryError
from restoration.image import TiffSink
from restoration.pipeline import LoadedModels
from restoration.recipe import RecipeStage
from restoration.stages import Stage
from tests.stand_ins import Greyer

CANCELLED, DONE, FAILED, PENDING, RUNNING, SKIPPED = (
    TaskStatus.CANCELLED,
    TaskStatus.DONE,
    TaskStatus.FAILED,
    TaskStatus.PENDING,
    TaskStatus.RUNNING,
    TaskStatus.SKIPPED,
)

ANOTHER = "0" * 32  # another holder's token


def _raise(error: BaseException) -> Any:
    def then(_calls: int) -> None:
        raise error

    return then


def _once(action: Any) -> Any:
    """Calls ``action`` at the first call only."""
    return lambda calls: action() if calls == 0 else None


def _prepare(workshop: Any, *accession_numbers: str, **options: Any) -> int:
    workshop.model()
    for accession_number in accession_numbers:
        workshop.master(accession_number, size=(16, 16), **options)
    batch_id: int = workshop.planned()
    return batch_id


def _master(workshop: Any, number: int = 0) -> Master:
    with workshop.catalogue.reading() as session:
        masters: list[Master] = list(session.scalars(select(Master).order_by(Master.id)))
    return masters[number]


def test_a_batch_makes_derivatives_whose_rows_have_their_bytes(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B/1")
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
    source, made = tifffile.imread(_master(workshop).path), tifffile.imread(home / first.path)
    assert np.abs(made - (source * 0.5 + 0.25 * 65535)).max() <= 0.5
    assert first.pixel_sha256 == hashlib.sha256(made.tobytes()).hexdigest()


def test_a_derivative_is_flushed_before_the_transaction_that_publishes_it(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, "A")
    steps: list[str] = []
    fsync, locked = os.fsync, claims.locked

    def noted_fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            steps.append("flushed")
        fsync(descriptor)

    def noted_locked(*arguments: Any) -> Any:
        steps.append("locked")
        return locked(*arguments)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(record, "locked", noted_locked)
    assert workshop.run(batch_id).done == 1
    assert steps == ["flushed", "locked"]


def test_a_derivative_carries_its_record(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", with_reference=True)
    workshop.run(batch_id)
    with workshop.catalogue.reading() as session:
        derivative = session.scalars(select(Derivative)).one()
        master = derivative.master
        assert (derivative.master_sha256, derivative.batch_id, derivative.kind) == (master.sha256, batch_id, "restored")
        assert derivative.environment["device"] == "stand-in"
        assert [stage["model"] for stage in derivative.stage_records] == ["mend"]
        headline = {(score.metric, score.image, score.compared_with) for score in derivative.scores}
        assert {("psnr", "derivative", "source"), ("ssim", "source", "reference")} <= headline
        assert (master.current_restored_id, master.last_task_status) == (derivative.id, DONE)
        assert master.psnr_reference is not None
        assert master.psnr_reference > 40  # the reference is what the stage makes
        event = session.scalars(select(Event).where(Event.type == EventType.DERIVATION)).one()
        assert (event.outcome, event.derivative_id, event.master_id) == (Outcome.SUCCESS, derivative.id, master.id)
        assert event.detail == f"recipe {derivative.recipe.sha256} of mend@1.0"
        task = session.scalars(select(Task)).one()
        assert (task.status, task.derivative_id, task.lease_token, task.attempts) == (DONE, derivative.id, None, 1)


def test_a_batch_run_twice_makes_nothing_new(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    workshop.run(batch_id)
    stage = Greyer()
    assert workshop.run(batch_id, stage).done == 1
    assert stage.calls == 0
    assert len(workshop.derivatives()) == 1
    assert workshop.run(batch_id).with_notes == 0


def test_one_bad_scan_never_stops_a_batch(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B", "C")
    path = Path(_master(workshop, 1).path)
    path.write_bytes(path.read_bytes()[:-1])
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (2, 1)
    (failure,) = result.failures
    assert (failure.accession_number, failure.sequence, failure.path) == ("B", 1, str(path))
    assert "SHA-256" in failure.reason
    assert _master(workshop, 1).last_task_status is FAILED
    with workshop.catalogue.reading() as session:
        event = session.scalars(select(Event).where(Event.outcome == Outcome.FAILURE)).one()
        assert event.detail is not None
        assert failure.reason in event.detail


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (_raise(RuntimeError("the stage broke")), "unexpected RuntimeError: the stage broke"),
        (_raise(RuntimeError("a\0b\udcff")), r"unexpected RuntimeError: a\0b\udcff"),
        (_raise(MemoryError("no more memory")), "unexpected MemoryError: no more memory"),
        (_raise(OSError(errno.EIO, "Input/output error")), "Input/output error"),
    ],
)
def test_a_failing_stage_fails_its_task_and_leaves_no_file(workshop: Any, then: Any, reason: str) -> None:
    batch_id = _prepare(workshop, "A", "B")
    result = workshop.run(batch_id, Greyer(lambda calls: then(calls) if calls == 0 else None))
    assert (result.done, result.failed) == (1, 1)
    assert reason in result.failures[0].reason
    assert len(workshop.files()) == 1


def test_output_that_is_no_picture_is_refused(workshop: Any) -> None:
    class Nothing(Greyer):
        def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(region, np.nan)

    batch_id = _prepare(workshop, "A")
    assert workshop.run(batch_id, Nothing()).failed == 1
    assert workshop.files() == []


def test_a_master_changed_while_it_is_restored_fails(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    path = Path(_master(workshop).path)
    result = workshop.run(batch_id, Greyer(_once(lambda: path.write_bytes(path.read_bytes() + b"more"))))
    assert "changed" in result.failures[0].reason
    assert workshop.files() == []


def test_a_reference_that_can_not_be_read_is_a_note_and_no_failure(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", with_reference=True)
    reference = _master(workshop).reference_path
    assert reference is not None
    Path(reference).write_bytes(b"not a picture")
    assert workshop.run(batch_id).done == 1
    (derivative,) = workshop.derivatives()
    assert [reference in note for note in derivative.notes] == [True]
    assert workshop.run(batch_id).with_notes == 1
    with workshop.catalogue.reading() as session:
        assert not session.scalars(select(QualityScore).where(QualityScore.compared_with == "reference")).all()
        assert derivative.notes[0] in str(session.scalars(select(Event.detail).where(Event.derivative_id == 1)).one())


def test_a_missing_file_under_a_present_root_fails_that_task(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B")
    path = Path(_master(workshop).path)
    path.unlink()
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (1, 1)
    assert f"{path} is missing" in result.failures[0].reason


@pytest.mark.parametrize("leave_an_empty_folder", [False, True])
def test_an_absent_or_empty_root_stops_the_batch_and_marks_nothing(workshop: Any, leave_an_empty_folder: bool) -> None:
    workshop.model()
    workshop.master("A")
    workshop.master("B", root="share")
    workshop.master("C", root="share")
    batch_id = workshop.planned()
    shutil.rmtree(workshop.scans / "share")
    if leave_an_empty_folder:
        (workshop.scans / "share").mkdir()
    with pytest.raises(BatchError, match=r"share.*batch resume"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING, PENDING, PENDING]
    assert _master(workshop, 1).last_task_status is None


def test_one_missing_file_is_not_a_folder_that_is_gone(workshop: Any) -> None:
    workshop.model()
    workshop.master("A")
    Path(_master(workshop).path).unlink()
    result = workshop.run(workshop.planned())
    assert "is missing" in result.failures[0].reason


def test_the_last_files_missing_are_not_a_folder_that_is_gone(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B", "C")
    for number in (1, 2):
        Path(_master(workshop, number).path).unlink()
    result = workshop.run(batch_id)
    assert (result.done, result.failed) == (1, 2)


def test_the_folder_of_masters_that_are_done_may_be_away(workshop: Any) -> None:
    workshop.model()
    for accession_number, root in (("A", "done"), ("B", "done"), ("C", "open")):
        workshop.master(accession_number, root=root)
    batch_id = workshop.planned()
    with workshop.catalogue.session() as session:
        session.execute(update(Task).where(Task.id != workshop.tasks(batch_id)[2].id).values(status=DONE))
    shutil.rmtree(workshop.scans / "done")
    assert workshop.run(batch_id).done == 3


def test_a_root_that_goes_away_in_mid_batch_stops_it_and_marks_nothing(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B", "C")
    unmount = workshop.scans.rename
    with pytest.raises(BatchError, match="absent"):
        workshop.run(batch_id, Greyer(_once(lambda: unmount(workshop.scans.with_name("elsewhere")))))
    # The first master was open and is safe; the second was not found, and waits.
    assert workshop.statuses(batch_id) == [DONE, PENDING, PENDING]
    workshop.scans.with_name("elsewhere").rename(workshop.scans)
    assert workshop.run(batch_id).done == 3


@pytest.mark.parametrize(("where", "step"), [(storage, "make_folder"), (TiffSink, "write"), (record, "publish")])
def test_a_full_disk_stops_the_batch_and_marks_nothing(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, where: Any, step: str
) -> None:
    batch_id = _prepare(workshop, "A", "B")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, step, full)
    with pytest.raises(BatchError, match=r"No space left.*Make room"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING, PENDING]
    assert workshop.files() == []
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 2


def test_changed_weights_stop_the_batch_before_its_first_task(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    kept = workshop.catalogue.settings.home / "models" / "mend" / "1.0" / "weights.safetensors"
    kept.write_bytes(kept.read_bytes() + b"?")
    with pytest.raises(ModelRegistryError, match="not those registered"):
        workshop.run(batch_id)
    assert workshop.statuses(batch_id) == [PENDING]
    assert workshop.tasks(batch_id)[0].attempts == 0


def test_a_device_that_is_not_there_stops_the_batch_before_its_first_task(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    with pytest.raises(BatchError, match="cuda:77"):
        run_batch(workshop.catalogue, batch_id, device="cuda:77", make_models=LoadedModels)
    assert workshop.statuses(batch_id) == [PENDING]


def test_a_batch_that_is_not_there_is_not_found(workshop: Any) -> None:
    with pytest.raises(NotFoundError, match="no batch 7"):
        workshop.run(7)


def test_what_another_batch_made_meanwhile_is_skipped(workshop: Any) -> None:
    first = _prepare(workshop, "A")
    second = workshop.planned()
    workshop.run(first)
    stage = Greyer()
    assert workshop.run(second, stage).skipped == 1
    assert stage.calls == 0
    assert [task.derivative_id for task in workshop.tasks(second)] == [workshop.derivatives()[0].id]


def test_what_another_batch_made_during_the_work_is_skipped_and_kept(workshop: Any) -> None:
    first = _prepare(workshop, "A")
    second = workshop.planned()
    result = workshop.run(second, Greyer(_once(lambda: workshop.run(first))))
    assert (result.done, result.skipped) == (0, 1)
    (derivative,) = workshop.derivatives()
    assert derivative.batch_id == first
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in workshop.files()] == [derivative.sha256]


def _taken_over(workshop: Any) -> None:
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(status=CANCELLED, lease_token=ANOTHER))


def test_a_lost_lease_publishes_nothing(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    result = workshop.run(batch_id, Greyer(_once(lambda: _taken_over(workshop))))
    assert (result.done, result.failed) == (0, 0)
    assert (workshop.files(), workshop.derivatives()) == ([], [])
    (task,) = workshop.tasks(batch_id)
    assert (task.status, task.lease_token) == (CANCELLED, ANOTHER)


def test_a_failure_after_a_lost_lease_marks_nothing(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")

    def taken() -> None:
        _taken_over(workshop)
        raise RuntimeError("broken as well")

    assert workshop.run(batch_id, Greyer(_once(taken))).failed == 0
    assert workshop.statuses(batch_id) == [CANCELLED]


def test_a_task_of_a_dead_run_is_taken_back_and_its_temporary_file_swept(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    workshop.run(batch_id)
    # As a run leaves it that is killed: the task running, its file half written.
    (derivative,) = workshop.derivatives()
    final = workshop.catalogue.settings.home / derivative.path
    with workshop.catalogue.session() as session:
        session.execute(update(Task).values(status=RUNNING, lease_token=ANOTHER, derivative_id=None))
        session.execute(update(Master).values(current_restored_id=None))
        for table in (QualityScore, Event, Derivative):
            for row in session.scalars(select(table)):
                session.delete(row)
    final.unlink()
    leftover = final.with_name(f".{final.name}.{ANOTHER}.partial")
    leftover.write_bytes(b"half")
    assert workshop.run(batch_id).done == 1
    assert workshop.files() == [final]


def test_temporary_files_of_living_holders_are_left_alone(workshop: Any) -> None:
    first = _prepare(workshop, "A")
    second = workshop.planned()
    seen: list[list[str]] = []

    def second_holder() -> None:
        workshop.run(first)
        seen.append([path.name for path in workshop.files() if path.name.startswith(".")])

    workshop.run(second, Greyer(_once(second_holder)))
    assert [len(names) for names in seen] == [1]
    assert len(workshop.files()) == 1


def test_a_file_published_by_a_run_that_died_before_its_commit_is_replaced(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, "A")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "_write_rows", killed)
    assert workshop.run(batch_id).interrupted
    (orphan,) = workshop.files()
    assert workshop.derivatives() == []
    orphan.write_bytes(b"what a run of another version may have made")
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 1
    (derivative,) = workshop.derivatives()
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in workshop.files()] == [derivative.sha256]


def test_a_database_that_fails_in_mid_batch_stops_it_and_the_batch_can_be_resumed(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, "A", "B")

    def lost(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the connection is gone"))

    monkeypatch.setattr(record, "_write_rows", lost)
    with pytest.raises(BatchError, match=f"connection is gone.*batch resume {batch_id}"):
        workshop.run(batch_id)
    assert not [path for path in workshop.files() if path.name.startswith(".")]
    monkeypatch.undo()
    assert workshop.run(batch_id).done == 2


def test_the_first_interrupt_ends_the_task_in_hand_and_the_rest_can_be_resumed(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B", "C")
    before = signal.getsignal(signal.SIGINT)
    result = workshop.run(batch_id, Greyer(_once(lambda: os.kill(os.getpid(), signal.SIGINT))))
    assert (result.interrupted, result.done, result.pending) == (True, 1, 2)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = workshop.run(batch_id)
    assert (resumed.interrupted, resumed.done, resumed.pending) == (False, 3, 0)


def test_the_second_interrupt_stops_at_once_and_leaves_no_temporary_file(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B")

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    result = workshop.run(batch_id, Greyer(_once(twice)))
    assert (result.interrupted, result.done, result.pending) == (True, 0, 2)
    assert workshop.files() == []
    assert workshop.statuses(batch_id) == [PENDING, PENDING]


def test_no_more_tasks_are_taken_at_the_time_of_day(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B", "C")
    moments = iter([datetime(2026, 5, 1, 22, 0), datetime(2026, 5, 2, 5, 59), datetime(2026, 5, 2, 6, 0)])
    result = workshop.run(batch_id, until=time(6, 0), clock=lambda: next(moments))
    assert (result.done, result.pending, result.interrupted) == (1, 2, False)


def test_a_time_of_day_is_the_next_one() -> None:
    now = datetime(2026, 5, 1, 22, 0)
    assert run.next_moment(time(23, 0), now) - now == timedelta(hours=1)
    assert run.next_moment(time(22, 0), now) - now == timedelta(days=1)
    assert run.next_moment(time(6, 0), now) == datetime(2026, 5, 2, 6, 0)


def test_progress_tells_every_task(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B")
    told: list[object] = []

    class Told:
        def start(self, total: int, what: str) -> None:
            told.append((total, what))

        def advance(self, n: int = 1, note: str = "") -> None:
            told.append((n, note))

        def finish(self) -> None:
            told.append("finished")

    workshop.run(batch_id, progress=Told())
    assert told == [(2, "masters"), (1, "A"), (1, "B"), "finished"]


def test_where_a_renumbered_master_left_its_derivative_the_next_one_gets_another_name(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    workshop.run(batch_id)
    workshop.master("B", size=(16, 16))
    second = workshop.planned()
    with workshop.catalogue.session() as session:
        # As where B's name and sequence were A's before: A's file has the name that B's is to have.
        (derivative,) = session.scalars(select(Derivative))
        taken = derivative.path.replace("A/A_", "B/B_")
        home = workshop.catalogue.settings.home
        (home / taken).parent.mkdir()
        (home / derivative.path).rename(home / taken)
        derivative.path = taken
    data = (home / taken).read_bytes()
    result = workshop.run(second)
    assert (result.done, result.failed) == (1, 0)
    assert (home / taken).read_bytes() == data
    path = workshop.derivatives()[1].path
    assert path == taken.replace(".tif", f"-{_master(workshop, 1).sha256[:8]}.tif")
    assert (home / path).is_file()


def test_the_bytes_of_another_derivative_are_never_written_over(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B")

    def take(calls: int) -> None:
        if calls:  # while B is made, A's row gets the name that B's is to have
            with workshop.catalogue.session() as session:
                (derivative,) = session.scalars(select(Derivative))
                derivative.path = derivative.path.replace("A/A_", "B/B_")

    result = workshop.run(batch_id, Greyer(take))
    assert "another derivative" in result.failures[0].reason


def test_a_name_that_differs_in_case_alone_is_not_written_over(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A")
    workshop.run(batch_id)
    workshop.master("a", size=(16, 16))
    second = workshop.planned()
    home = workshop.catalogue.settings.home
    (first,) = workshop.derivatives()
    taken = home / first.path.replace("A/A_", "a/a_")
    # As on a file system that takes the one name for the other.
    taken.parent.mkdir()
    taken.hardlink_to(home / first.path)
    data = taken.read_bytes()
    result = workshop.run(second)
    assert f"taken by {first.path}" in result.failures[0].reason
    assert taken.read_bytes() == data


def test_a_failing_device_stops_the_batch_and_marks_nothing(workshop: Any) -> None:
    batch_id = _prepare(workshop, "A", "B")
    with pytest.raises(BatchError, match=r"no CUDA device.*resume.*--device cpu"):
        workshop.run(batch_id, Greyer(_raise(DeviceError("no CUDA device"))))
    assert workshop.statuses(batch_id) == [PENDING, PENDING]
    assert workshop.files() == []
    assert workshop.run(batch_id).done == 2


def test_a_device_with_little_memory_makes_every_picture_in_smaller_tiles_and_says_so(workshop: Any) -> None:
    class Small(Greyer):
        def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
            if max(region.shape) > 130:
                raise DeviceMemoryError("full")
            return super().__call__(region)

    class OnSmallDevice(LoadedModels):
        def stage(self, stage: RecipeStage) -> Stage:  # noqa: ARG002
            return Small()

    workshop.model()
    for name in "A", "B":
        workshop.master(name, size=(200, 150))
    batch_id = workshop.planned()
    result = run_batch(workshop.catalogue, batch_id, make_models=OnSmallDevice)
    assert (result.done, result.failed) == (2, 0)
    for derivative in workshop.derivatives():
        assert derivative.environment["tile_size"] == 120
        assert derivative.notes[-1] == "made in tiles of 120 px, because for 240 px there was not enough memory"
    workshop.assert_whole(batch_id)


def test_a_batch_planned_for_another_pipeline_is_refused(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch_id = _prepare(workshop, "A")
    monkeypatch.setattr(run, "PIPELINE_VERSION", 99)
    with pytest.raises(BatchError, match="plan it again"):
        workshop.run(batch_id)


def test_the_temporary_file_lies_beside_the_final_one_and_bears_the_token(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = _prepare(workshop, "A")
    seen: list[tuple[Path, str | None]] = []
    make = work.make

    def watched(claim: Any, models: Any, *, temporary: Path, **options: Any) -> Any:
        seen.append((temporary, workshop.tasks(batch_id)[0].lease_token))
        return make(claim, models, temporary=temporary, **options)

    monkeypatch.setattr(run, "make", watched)
    workshop.run(batch_id)
    ((temporary, token),) = seen
    assert token is not None
    assert token in temporary.name
    assert temporary.parent == workshop.files()[0].parent
