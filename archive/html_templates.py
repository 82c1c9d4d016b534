"""The environment of all HTML templates: values are escaped, and a name that is missing is an error."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache
def html_templates(folder: str) -> Environment:
    """The templates in a folder below ``archive``, such as ``web/templates``; with the filter ``moment``."""
    environment = Environment(
        loader=PackageLoader("archive", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    return environment


def _moment(iso: str) -> str:
    """``2026-11-21 03:35 UTC``."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
