"""A small archive for tests of the whole: scans of a few pixels, a tiny seeded network, and commands run in-process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from safetensors.torch import save

from archive.cli.main import run
from restoration.degradation import DEFAULT_REPAIR, DEFECTS
from restoration.networks import build_generator, build_style_network, join_endpoints
from restoration.picture_statistics import STATISTIC_NAMES
from restoration.pipeline.style_stage import STYLE_VECTOR_NAME

MODEL = "denoise-deblur"
_OF_BOTH_ENDS: Mapping[str, Any] = {
    "texture": {"default": 0.35, "range": [0.0, 1.0]},
    "repair": {"default": list(DEFAULT_REPAIR), "choices": list(DEFECTS)},
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command printed, and the exit code it ended with."""

    code: int
    output: str
    errors: str

    def json(self) -> Any:
        return json.loads(self.output)


@dataclass(frozen=True, kw_only=True)
class SmallArchive:
    """A home and a folder of scans beside it."""

    home: Path
    scans: Path

    def run(self, *arguments: str | Path) -> Answer:
        """Runs ``archive`` on the home."""
        return command("--home", self.home, *arguments)

    def done(self, *arguments: str | Path) -> Answer:
        """Runs ``archive`` on the home and wants exit code 0."""
        answer = self.run(*arguments)
        assert answer.code == 0, answer.errors
        return answer

    def show(self, accession_number: str) -> Any:
        return self.done("show", "--format", "json", "--", accession_number).json()


def command(*arguments: str | Path) -> Answer:
    """Runs ``archive`` in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run([str(argument) for argument in arguments])
    return Answer(code=code, output=output.getvalue(), errors=errors.getvalue())


def write_scan(
    path: Path, *, seed: int = 0, width: int = 48, height: int = 40, bits: int = 8, grey: bool = False
) -> None:
    """A TIFF of a smooth picture with noise, other ones for other seeds."""
    rng = np.random.default_rng(seed)
    shape = (height, width) if grey else (height, width, 3)
    ramp = np.linspace(0.2, 0.8, width).reshape(1, width, *([1] * (len(shape) - 2)))
    values = np.clip(ramp + rng.normal(0, 0.05, shape), 0, 1)
    samples = np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        samples,
        photometric="minisblack" if grey else "rgb",
        resolution=(300, 300),
        resolutionunit="inch",
        metadata=None,
    )


def write_model(folder: Path, *, version: str = "9.0", seed: int = 0, ends: int = 1, **changes: Any) -> Path:
    """A version folder of a tiny, untrained network; ``changes`` are to its card.

    With two ``ends`` its weights are those of fidelity and of texture, its default texture is 0.35, and it takes the
    repair condition.
    """
    numbers: Mapping[str, Any] = {"widths": [8, 8], "blocks": [1, 1], **({"conditions": DEFECTS} if ends == 2 else {})}
    torch.manual_seed(seed)
    network = build_generator("residual-unet", numbers)
    states = []
    for _ in range(ends):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))  # a fresh network might change nothing
        states.append({name: value.clone().contiguous() for name, value in network.state_dict().items()})
    weights = save(join_endpoints(*states) if ends == 2 else states[0])
    card = {
        "name": MODEL,
        "version": version,
        "task": "restoration",
        "architecture": {"name": "residual-unet", **numbers},
        "parameters": {"strength": {"default": 1.0, "range": [0.0, 1.0]}, **(_OF_BOTH_ENDS if ends == 2 else {})},
        "suited_to": {"polarity": ["positive"], "unsuited_processes": ["halftone"], "minimum_size_px": 16},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": {},
        "evaluation": {},
    }
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "card.json").write_text(json.dumps(card | changes), encoding="utf-8")
    return folder


def write_style(folder: Path, *, name: str = "simulated-toned-print", palette: str = "toned", seed: int = 0) -> Path:
    """A version folder, 1.0, of a tiny, untrained style."""
    numbers: Mapping[str, Any] = {
        "statistics": len(STATISTIC_NAMES),
        "style": 4,
        "widths": [4, 4],
        "blocks": [1, 1],
        "code": 8,
    }
    torch.manual_seed(seed)
    network = build_style_network("style-unet", numbers)
    tensors = {**network.state_dict(), STYLE_VECTOR_NAME: torch.linspace(-1, 1, 4)}
    weights = save({key: value.clone().contiguous() for key, value in tensors.items()})
    share, shift = {"default": 1.0, "range": [0.0, 1.0]}, {"default": 0.0, "range": [-1.0, 1.0]}
    card = {
        "name": name,
        "version": "1.0",
        "task": "style",
        "architecture": {"name": "style-unet", **numbers},
        "parameters": {
            "strength": share,
            "weight": share,
            **dict.fromkeys(("temperature", "tint", "brightness"), shift),
        },
        "style": {"palette": palette, **dict.fromkeys(("statistics", "spreads"), dict.fromkeys(STATISTIC_NAMES, 1.0))},
        "suited_to": {"polarity": ["positive"], "unsuited_processes": [], "minimum_size_px": 16},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": {},
        "evaluation": {},
    }
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def change_one_byte(path: Path) -> None:
    """Flips the last byte of a file, as a failing disk might."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
