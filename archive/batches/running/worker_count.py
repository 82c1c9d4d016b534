"""The number of workers on this machine, and the device and thread count of each."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from archive.batches.running.worker_loop import WorkerOptions
from archive.batches.worker_memory_limits import MAX_IN_FLIGHT_TASKS, WORKER_MEMORY_BYTES
from archive.errors import UsageError
from restoration.processor_cores import count_cores

WorkerCount = int | Literal["auto"]

_CORES_PER_WORKER: Final = 2  # that one worker uses besides a GPU
_MOST_PER_GPU: Final = 8
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def place_workers(requested: WorkerCount, options: WorkerOptions, tasks: int) -> list[WorkerOptions]:
    """The options of each worker: GPUs in turn, and equal shares of the processor cores.

    ``auto`` is one worker on a CPU; on GPUs it is as many per GPU as cores and memory allow. There are never more
    workers than ``tasks``, and ``auto`` plans several tasks per worker.

    Raises:
        UsageError: the machine has too little memory for this number of workers.
    """
    if requested == 1:
        return [options]
    gpus = _gpus(options.device)
    cores = count_cores()
    per_machine = count_workers(requested, gpus=len(gpus), cores=cores, memory=machine_memory())
    count = max(1, min(per_machine, -(-tasks // MAX_IN_FLIGHT_TASKS) if requested == "auto" else tasks))
    if count == 1:
        return [options]
    return [
        replace(
            options,
            device=gpus[index % len(gpus)] if gpus else options.device,
            threads=max(1, cores // count),
            name=str(index + 1),
        )
        for index in range(count)
    ]


def check_worker_count(requested: WorkerCount) -> None:
    """Checks that this machine has the memory for so many workers.

    Raises:
        UsageError: it has too little.
    """
    count_workers(requested, gpus=0, cores=count_cores(), memory=machine_memory())


def count_workers(requested: WorkerCount, *, gpus: int, cores: int, memory: int, machine: str = "this machine") -> int:
    """How many workers run on a machine with so many GPUs and cores, and so much memory in bytes.

    Raises:
        UsageError: more are requested than the memory holds.
    """
    most = max(1, memory // WORKER_MEMORY_BYTES)
    if requested == "auto":
        return min(gpus * max(1, min(cores // _CORES_PER_WORKER // gpus, _MOST_PER_GPU)) if gpus else 1, most)
    if requested > most:
        raise UsageError(
            f"{requested} workers may need {requested * WORKER_MEMORY_BYTES >> 30} GiB of memory together, and "
            f"{machine} has {memory >> 30} GiB. Give --workers {most} at most"
        )
    return requested


def machine_memory() -> int:
    """The memory that this process may use, in bytes: the machine's, or the limit of its control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def _gpus(device: str) -> list[str]:
    """The GPUs that workers share; empty for a CPU. A device with a GPU number is not shared with others."""
    if device == "cpu":
        return []
    if device not in ("auto", "cuda"):
        return [device]
    from restoration.execution import count_gpus  # imports torch

    return [f"cuda:{index}" for index in range(count_gpus())]
