"""Templates of pages: escaped, strict about names, with the texts of the visitor's language."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from archive.web.static_files import asset_url
from archive.web.translations import Texts, known_languages


def render_page(texts: Texts, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; templates get ``t`` (the texts), ``asset``, ``languages`` and ``values``."""
    content = (
        _environment().get_template(template).render(t=texts, asset=asset_url, languages=known_languages(), **values)
    )
    return HTMLResponse(content, status)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("archive", "web/templates"),
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
