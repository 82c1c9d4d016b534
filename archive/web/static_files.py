"""Style sheet and scripts: read once into memory, so that no path from a request reaches the file system."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """A file that is sent as it is."""

    content: bytes
    media_type: str
    version: str
    """Part of its address, so that a browser may keep it for good."""


@cache
def static_files() -> dict[str, StaticFile]:
    """All of them by name."""
    found = {}
    for folder in (files("archive.web").joinpath("static"), files("archive.web").joinpath("vendored")):
        for file in folder.iterdir():
            suffix = file.name.rpartition(".")[2]
            if suffix in _TYPES:
                content = file.read_bytes()
                version = hashlib.sha256(content).hexdigest()[:12]
                found[file.name] = StaticFile(content=content, media_type=_TYPES[suffix], version=version)
    return found


def asset_url(name: str) -> str:
    """The address of a static file."""
    return f"/static/{name}?v={static_files()[name].version}"
