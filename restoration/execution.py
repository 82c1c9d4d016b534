"""Execution settings: device, precision, tile size and threads, and their description for the record."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from restoration.device_errors import device_errors
from restoration.errors import DeviceError


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Execution settings. They are not part of the recipe; the record holds them.

    ``device`` is ``auto`` (a CUDA device if available, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``; ``precision`` is
    ``auto`` (bfloat16 if the device has hardware support, else float32), ``fp32`` or ``bf16``. ``tile_size`` is the
    side of the square tiles, px; docs/explanation/benchmarks.md explains the default.
    """

    device: str = "auto"
    precision: str = "auto"
    tile_size: int = 800
    threads: int | None = None
    seed: int = 0

    @device_errors()
    def resolved(self) -> ResolvedExecution:
        """Resolves ``auto`` settings on this machine.

        Raises:
            DeviceError: the device is not available or fails, or a name is unknown.
        """
        device = _device(self.device)
        return ResolvedExecution(
            device=device,
            precision=_precision(self.precision, device),
            tile_size=self.tile_size,
            threads=self.threads or torch.get_num_threads(),
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class ResolvedExecution:
    """Resolved settings: an available device and a fixed precision."""

    device: torch.device
    precision: Literal["fp32", "bf16"]
    tile_size: int
    threads: int
    seed: int

    @property
    def autocast(self) -> torch.dtype | None:
        """The autocast type, or None for float32 throughout."""
        return torch.bfloat16 if self.precision == "bf16" else None

    def described(self) -> dict[str, str]:
        """The device's name, its instruction set, the precision and the libraries, for display and records."""
        return {
            "device": device_name(self.device),
            "instruction_set": instruction_set(self.device),
            "precision": self.precision,
            "torch": str(torch.__version__),
            "library": convolution_library(self.device),
        }


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Context in which a network computes in ``dtype`` on ``device``; with None in float32 throughout."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def count_gpus() -> int:
    """The number of CUDA devices that this process may use."""
    return torch.cuda.device_count()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"the device {name!r} is unknown: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"the device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"the device {name} is not there: this machine has {count} CUDA devices; use --device cpu")
    return device


def _precision(name: str, device: torch.device) -> Literal["fp32", "bf16"]:
    if name == "fp32":
        return "fp32"
    if name == "bf16":
        return "bf16"
    if name != "auto":
        raise DeviceError(f"the precision {name!r} is unknown: use auto, fp32 or bf16")
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp32"
    return "bf16" if _bfloat16_flags() else "fp32"


def device_name(device: torch.device) -> str:
    """The device's type and model, such as ``cuda NVIDIA H100`` or ``cpu AMD EPYC``."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {_cpu_info('model name') or platform.processor() or platform.machine()}"


def instruction_set(device: torch.device) -> str:
    """The CPU's active vector instruction set and its bfloat16 flags, or the GPU's compute capability."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}"
    return " ".join([torch.backends.cpu.get_cpu_capability(), *_bfloat16_flags()])


def convolution_library(device: torch.device) -> str:
    """The convolution library with its version."""
    if device.type == "cuda":
        return f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if not torch.backends.mkldnn.is_available():
        return "native"
    # torch reports the version only in this text, under the library's former name.
    found = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
    return f"oneDNN {found[1] if found else 'of unknown version'}"


def _bfloat16_flags() -> list[str]:
    flags = _cpu_info("flags").split()
    return [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]


def _cpu_info(key: str) -> str:
    """A field of the first processor in /proc/cpuinfo; empty on other systems."""
    if os.name != "posix" or not Path("/proc/cpuinfo").exists():
        return ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
