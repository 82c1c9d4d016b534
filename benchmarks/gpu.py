"""Runs everything that needs a GPU, in one call, on a machine without network.

    python -m benchmarks.gpu --output OUT --data FOLDER --checkpoint CHECKPOINT --minutes 12
    python -m benchmarks.gpu --output OUT --data FOLDER --minutes 2 --device cpu

It runs the tests marked ``cuda`` and measures the throughput of the newest shipped restoration: of the network alone,
and of whole pictures with files and scores. Then it trains for the remaining minutes, from a checkpoint or from that
version. It writes ``figures.json`` to OUT, and the checkpoint or the finished version in parts of at most 16 MB;
``cat NAME.part*`` joins them. Every result is written immediately, so that an interrupted run leaves what it finished.

It needs torch, numpy, scipy, scikit-image, PyWavelets, tifffile, imagecodecs, safetensors and pytest, but neither the
archive's database nor its command-line packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.scans import write_picture
from restoration import Picture, Recipe, restore, score
from restoration.device_scheduling import Result
from restoration.errors import TrainingError
from restoration.execution import Execution
from restoration.grain_profile import GRAIN_NAMES
from restoration.image import TiffSink
from restoration.model_folders import shipped
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.restore import derivative_info
from restoration.training import train
from restoration.training.checkpoints import CHECKPOINT_NAME
from restoration.training.inference_benchmark import measure_throughput

_PART_BYTES = 15 * 2**20
_SECONDS_KEPT_FOR_WRITING = 20
_PICTURES, _PICTURE_MEGAPIXELS, _PICTURES_AT_ONCE = 8, 24, 3  # a batch has three in flight


def main() -> None:
    """Runs the tests, the measurements and the training, and writes their results."""
    options = _options()
    began = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"tests": _run_tests()}
    _write(options.output, figures)
    for name, measure in (("throughput", _measure_network), ("pictures", _measure_pictures)):
        try:
            figures[name] = measure(options.device)
        except Exception as error:  # the training is worth more than a figure
            figures[name] = {"error": repr(error)}
        _write(options.output, figures)
    left = options.minutes * 60 - (time.monotonic() - began) - _SECONDS_KEPT_FOR_WRITING
    figures["training"] = _train(options, left / 60)
    _write(options.output, figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="photographs to train on, and damage and prints*")
    parser.add_argument("--checkpoint", type=Path, help="a training to continue")
    parser.add_argument("--name", default="denoise-deblur-2.2", help="the version that a new training makes")
    parser.add_argument("--minutes", type=float, required=True, help="for everything together")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _run_tests() -> dict[str, Any]:
    """Runs the tests marked cuda, without the fixtures of other tests, whose packages a GPU machine may lack."""
    if not torch.cuda.is_available():
        return {"exit_code": None, "summary": "not run: torch finds no CUDA device"}
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "tests/restoration/test_cuda.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    lines = done.stdout.strip().splitlines()
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else done.stderr[-500:]}


def _measure_network(device: str) -> dict[str, Any]:
    folder = shipped("denoise-deblur")
    execution = Execution(device=device)
    how = execution.resolved()
    restoration = LoadedModels(lambda _stage: folder, execution).restoration(folder.card.stage({}))
    stage = restoration.for_picture(dict.fromkeys(GRAIN_NAMES, 0.0))
    size = {} if how.device.type == "cuda" else {"side_px": 512, "matrix_side": 1024}
    return {"model": folder.card.reference, **how.described(), **measure_throughput(stage, how, **size)}


def _measure_pictures(device: str) -> dict[str, Any]:
    """Restores scans from file to file and scores them, several at once, as a batch does without its database."""
    folder = shipped("denoise-deblur")
    models = LoadedModels(lambda _stage: folder, Execution(device=device))
    recipe, lock, busy = Recipe(stages=(folder.card.stage({}),)), threading.Lock(), 0.0

    def on_device(call: Callable[[], Result], /) -> Result:
        nonlocal busy
        with lock:
            began = time.perf_counter()
            made = call()
            busy += time.perf_counter() - began
        return made

    def process(path: Path) -> float:
        with Picture.open(path) as scan:
            with TiffSink(path.with_suffix(".restored.tif"), derivative_info(scan.info, recipe, models)) as sink:
                restore(scan, recipe, sink, models=models, scheduler=on_device)
            with Picture.open(path.with_suffix(".restored.tif")) as restored:
                score(derivative=restored, source=scan, device=models.scores_device, scheduler=on_device)
            return scan.info.width * scan.info.height / 1e6

    with tempfile.TemporaryDirectory(prefix="gpu-") as scans:
        paths = [Path(scans, f"{number}.tif") for number in range(1 + (_PICTURES if models.scores_device else 1))]
        for path in paths:
            write_picture(path, _PICTURE_MEGAPIXELS if models.scores_device else 0.5, "striped")
        process(paths.pop())  # loads the network and the libraries
        busy = 0.0
        began, processors_began = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(_PICTURES_AT_ONCE) as pool:
            megapixels = sum(pool.map(process, paths))
        seconds, processors = time.perf_counter() - began, time.process_time() - processors_began
    return {
        "megapixels": round(megapixels, 1),
        "megapixels_per_second": megapixels / seconds,
        "device_busy_share": busy / seconds,
        "processor_seconds_per_megapixel": processors / megapixels,
    }


def _train(options: argparse.Namespace, minutes: float) -> dict[str, Any]:
    """Trains within ``minutes`` and copies the version, or at least the last checkpoint, to the output."""
    folder = options.output.resolve().parent / options.name
    if options.checkpoint is not None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.checkpoint, folder / CHECKPOINT_NAME)
    steps = 0
    began = time.monotonic()

    def count(_step: int, _steps: int, _losses: dict[str, float]) -> None:
        nonlocal steps
        steps += 1

    resume = options.checkpoint is not None
    try:
        train(
            folder,
            data=options.data,
            resume=resume,
            start=None if resume else shipped("denoise-deblur"),
            minutes=max(minutes, 0.5),
            execution=Execution(device=options.device),
            progress=count,
        )
        outcome = "finished"
    except (TrainingError, KeyboardInterrupt) as error:
        outcome = f"stopped: {error!r}"
    for path in folder.iterdir():
        if path.is_file():
            _copy_in_parts(path, options.output)
    return {"outcome": outcome, "steps": steps, "seconds": round(time.monotonic() - began, 1)}


def _copy_in_parts(path: Path, output: Path) -> None:
    content = path.read_bytes()
    if len(content) <= _PART_BYTES:
        (output / path.name).write_bytes(content)
        return
    for number, first in enumerate(range(0, len(content), _PART_BYTES)):
        (output / f"{path.name}.part{number}").write_bytes(content[first : first + _PART_BYTES])


def _write(output: Path, figures: dict[str, Any]) -> None:
    (output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    main()
