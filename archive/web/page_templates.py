"""Rendering of pages, with the texts of the visitor's language."""

from __future__ import annotations

from typing import Any

from starlette.responses import HTMLResponse

from archive.html_templates import html_templates
from archive.web.static_files import asset_url
from archive.web.translations import Texts, known_languages


def render_page(texts: Texts, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; templates get ``t`` (the texts), ``asset``, ``languages`` and ``values``."""
    found = html_templates("web/templates").get_template(template)
    return HTMLResponse(found.render(t=texts, asset=asset_url, languages=known_languages(), **values), status)
