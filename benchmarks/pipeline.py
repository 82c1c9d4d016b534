"""Measures the device utilisation of a batch, and its overhead compared with the model alone.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --stand-in 0.25
    python -m benchmarks.pipeline --pictures 4 --smallest 1 --largest 2 --shipped
    python -m benchmarks.pipeline --stand-in 0.007 --pictures 8 --processors
    python -m benchmarks.pipeline --stand-in 0.007 --pictures 8 --processors --gpu-scores

Creates 16-bit RGB TIFFs of 6 to 24 megapixels, ingests them into a new archive and restores them as one batch. By
default the device is simulated: it waits for each tile as long as a GPU would compute, without using the processor.
With ``--shipped`` it is the shipped model on the CPU, and the same pictures are first restored by the model alone:
opened, restored and discarded, without digests, scores or files.

The seconds of the steps are elapsed time, summed over all tasks, which overlap; ``waiting for the device`` is the time
that tasks wait for each other. Processor time is printed too, because other work on the machine affects it less; with
``--processors`` one picture is processed at a time, and the seconds of the steps are processor time. With
``--gpu-scores`` the scores are computed by the code for a GPU, here on the processor; that time is the step ``scores,
device``. The last line tells what is left without the device. Goals: at most 1.1
times the device's time; at most 0.4 s per megapixel more than the model alone; at most 0.2 s of processor time per
megapixel for everything but the model, and at most 0.08 s with the scores on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from archive.batches.running import task_outcomes, task_processing, task_thread_pool
from archive.batches.running.commit import commit_derivative
from archive.batches.running.inference_queue import InferenceScheduler
from archive.batches.running.runner import run_batch
from archive.catalogue import Catalogue
from archive.settings import load_settings
from benchmarks.scans import write_picture
from restoration import LoadedModels, Picture, Recipe, restore, restore_array
from restoration.image import Samples, TiffSink
from restoration.model_folders import shipped
from tests.fake_models import FakeModels
from tests.small_archive import command

_AROUND, _DEVICE, _WAIT, _WRITE = "restore, around the device", "device", "waiting for the device", "write"
_SCORES_DEVICE = "scores, device"


def main() -> None:
    """Runs the batch and prints its times."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="pipeline-", dir=options.folder) as folder:
        scans, home = Path(folder, "scans"), Path(folder, "home")
        sizes = np.linspace(options.smallest, options.largest, options.pictures)
        # In random order of sizes, as in a real archive.
        megapixels = sum(_make_picture(scans, n, float(size)) for n, size in enumerate(np.roll(sizes[::-1], 1)))
        print(f"{options.pictures} pictures, {megapixels:.0f} megapixels")
        for arguments in (("init",), ("ingest", scans), ("restore", "--plan", "--device", "cpu")):
            answer = command("--home", home, *arguments)
            if answer.code:
                sys.exit(answer.errors)
        alone = _alone(scans) if options.shipped else None
        stand_in = None if options.shipped else StandIn(options.stand_in)
        steps = Steps(time.process_time if options.processors else time.perf_counter)
        began, processors_began = time.perf_counter(), time.process_time()
        with steps.watched(), _one_at_a_time() if options.processors else nullcontext():
            result = run_batch(
                Catalogue.open(load_settings(home)),
                1,
                make_models=LoadedModels
                if stand_in is None
                else lambda _folder_of, _execution: FakeModels(
                    stand_in, tile_size=1024, scores_device="cpu" if options.gpu_scores else None
                ),
            )
        seconds, processors = time.perf_counter() - began, time.process_time() - processors_began
        if result.done != options.pictures:
            sys.exit(f"only {result.done} were done: {result.failures}")
    each = processors / megapixels
    print(f"batch        {seconds:8.1f} s, {processors:8.1f} s of processors, {each:.3f} s a megapixel")
    if alone is not None:
        print(f"model alone  {alone[0]:8.1f} s, {alone[1]:8.1f} s of processors")
        more = (seconds - alone[0]) / megapixels, (processors - alone[1]) / megapixels
        print(f"difference   {more[0]:8.2f} s a megapixel, {more[1]:.2f} s of processors")
    if stand_in is not None:
        print(f"device       {stand_in.seconds:8.1f} s; the batch takes {seconds / stand_in.seconds:.2f} times that")
    steps.print(megapixels)
    if options.processors:
        print(f"everything but the device {(processors - steps.device_seconds) / megapixels:.3f} s a megapixel")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--smallest", type=float, default=6, help="megapixels")
    parser.add_argument("--largest", type=float, default=24, help="megapixels")
    parser.add_argument("--stand-in", type=float, default=0.5, metavar="SECONDS", help="for each megapixel")
    parser.add_argument("--shipped", action="store_true", help="the shipped model on the CPU, not the stand-in")
    parser.add_argument("--processors", action="store_true", help="processor time of each step, one picture at a time")
    parser.add_argument("--gpu-scores", action="store_true", help="scores by the code for a GPU, on the processor")
    parser.add_argument("--folder", type=Path, help="where pictures are made; else the system's temporary folder")
    return parser.parse_args()


def _make_picture(scans: Path, number: int, megapixels: float) -> float:
    scans.mkdir(parents=True, exist_ok=True)
    path = scans / f"P{number:03d}.tif"
    write_picture(path, megapixels, "striped")
    with path.open("r+b") as file:  # otherwise two pictures of one size would be identical
        file.seek(-6, 2)
        file.write(number.to_bytes(6, "little"))
    with Picture.open(path) as picture:
        return picture.info.width * picture.info.height / 1e6


class StandIn:
    """A simulated device with a fixed time per pixel of its regions, margins included."""

    margin_px = 64
    multiple_px = 8

    def __init__(self, seconds_per_megapixel: float) -> None:
        self.seconds = 0.0
        self._seconds_per_pixel = seconds_per_megapixel / 1e6

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
        began = time.perf_counter()
        made = region * np.float32(0.9)
        pause = region.shape[2] * region.shape[3] * self._seconds_per_pixel
        time.sleep(max(0.0, began + pause - time.perf_counter()))
        self.seconds += time.perf_counter() - began
        return made


class Nowhere:
    """A sink that discards everything."""

    pixel_sha256 = ""

    def write(self, y: int, band: NDArray[np.float32], extra: Samples) -> None:
        pass

    def restart(self) -> None:
        pass


def _alone(scans: Path) -> tuple[float, float]:
    """Seconds and processor seconds that the model takes for all pictures, one after the other."""
    version = shipped("denoise-deblur")
    models, recipe = LoadedModels(lambda _stage: version), Recipe(stages=(version.card.stage({}),))
    # Excludes torch's initialisation from the measurement.
    restore_array(np.random.default_rng(1).random((1024, 1024, 3)), recipe, models=models)
    began, processors_began = time.perf_counter(), time.process_time()
    for path in sorted(scans.iterdir()):
        with Picture.open(path) as picture:
            restore(picture, recipe, Nowhere(), models=models)
    return time.perf_counter() - began, time.process_time() - processors_began


class Steps:
    """Time spent in each step by the clock, summed over all tasks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Context that records the steps of a batch."""
        make, record, run = task_processing.process_task, commit_derivative, InferenceScheduler.run

        def timed_turn(device: Any, priority: int, call: Callable[[], Any]) -> Any:
            # Calls for scores come from the task's thread, and from one that has no step.
            if getattr(self._thread, "step", "score") == "score":
                return run(device, priority, lambda: self._timed_score(call))
            requested_at = self._clock()
            made, seconds = run(device, priority, lambda: self._timed(call))
            self._add(_DEVICE, seconds)
            self._add(_WAIT, self._clock() - requested_at - seconds)
            self._add(_AROUND, requested_at - self._clock())
            return made

        def timed_write(sink: Any, *arguments: Any) -> None:
            _, seconds = self._timed(lambda: TiffSink.write(sink, *arguments))
            self._add(_WRITE, seconds)
            self._add(_AROUND, -seconds)

        def timed_make(*arguments: Any, **options: Any) -> Any:
            self._thread.step = "read"
            self._thread.since = self._clock()
            made = make(*arguments, **options)
            self._enter("")
            return made

        def timed_record(*arguments: Any) -> Any:
            made, seconds = self._timed(lambda: record(*arguments))
            self._add("record", seconds)
            return made

        with ExitStack() as stack:
            for patch in (
                mock.patch.object(task_thread_pool, "process_task", timed_make),
                mock.patch.object(task_outcomes, "commit_derivative", timed_record),
                mock.patch.object(InferenceScheduler, "run", timed_turn),
                mock.patch.object(task_processing._Sink, "write", timed_write),
                mock.patch.object(task_processing, "set_stage_context", self._enter),
            ):
                stack.enter_context(patch)
            yield

    @property
    def device_seconds(self) -> float:
        """The seconds of the device, scores included."""
        return self._seconds[_DEVICE] + self._seconds[_SCORES_DEVICE]

    def print(self, megapixels: float) -> None:
        """Prints a line for each step; shares exclude waiting."""
        worked = sum(seconds for step, seconds in self._seconds.items() if step != _WAIT)
        for step, seconds in sorted(self._seconds.items(), key=lambda item: -item[1]):
            share = "" if step == _WAIT else f"{100 * seconds / worked:5.1f} %"
            print(f"  {step:28} {seconds:8.1f} s {seconds / megapixels:8.3f} s a megapixel {share}")

    def _enter(self, step: str) -> None:
        """Records that the thread's task enters another step. Steps of single models are part of restoring."""
        now = self._clock()
        step = _AROUND if step == "restore" else "digest, flush" if step == "digest" else step
        if "@" not in step:
            self._add(self._thread.step, now - self._thread.since)
            self._thread.step, self._thread.since = step, now

    def _timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        began = self._clock()
        made = call()
        return made, self._clock() - began

    def _timed_score(self, call: Callable[[], Any]) -> Any:
        """Runs a call for scores, which has its own time: meanwhile the next window is read."""
        clock = time.thread_time if self._clock is time.process_time else self._clock
        began = clock()
        made = call()
        self._add(_SCORES_DEVICE, clock() - began)
        self._add("score", began - clock())
        return made

    def _add(self, step: str, seconds: float) -> None:
        with self._lock:
            self._seconds[step] += seconds


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with mock.patch.object(task_thread_pool, "MAX_IN_FLIGHT_TASKS", 1):
        yield


if __name__ == "__main__":
    main()
