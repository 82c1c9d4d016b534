"""Rights statements: recognises the texts that are licences with a URI."""

from __future__ import annotations

import re

from archive.catalogue.schema.vocabularies import Access

RESTRICTIONS = {Access.OPEN: "Allow", Access.RESTRICTED: "Disallow", Access.SENSITIVE: "Conditional"}
"""An item's access as what may be done with it, in the words of PREMIS and Archivematica."""

_CREATIVE_COMMONS = re.compile(r"CC[ -]?(BY(?:-(?:NC|SA|ND))*)(?:[ -](\d\.\d))?", re.IGNORECASE)
_KNOWN_URI = re.compile(
    r"https?://(creativecommons\.org/(?:licenses|publicdomain)/\S+|rightsstatements\.org/(?:vocab|page)/\S+)"
)
_CC0 = re.compile(r"CC[ -]?0(?:[ -]1\.0)?", re.IGNORECASE)
_PUBLIC_DOMAIN = re.compile(r"public domain", re.IGNORECASE)


def rights_uri(rights: str | None) -> str | None:
    """The URI at Creative Commons or RightsStatements.org for a rights text, or None.

    ``CC0``, ``CC BY-SA 4.0`` and ``public domain`` are recognised, and the URIs themselves. A licence without a version
    is not guessed.
    """
    text = (rights or "").strip()
    if found := _KNOWN_URI.fullmatch(text):
        return "http://" + found[1].replace("rightsstatements.org/page/", "rightsstatements.org/vocab/")
    if _CC0.fullmatch(text):
        return "http://creativecommons.org/publicdomain/zero/1.0/"
    if _PUBLIC_DOMAIN.fullmatch(text):
        return "http://creativecommons.org/publicdomain/mark/1.0/"
    if (found := _CREATIVE_COMMONS.fullmatch(text)) and found[2]:
        return f"http://creativecommons.org/licenses/{found[1].lower()}/{found[2]}/"
    return None


def license_of(rights: str | None) -> str | None:
    """The URI of a Creative Commons licence for a rights text; None for any other text."""
    uri = rights_uri(rights)
    if uri is None or "rightsstatements.org" in uri or rights is None:
        return None
    return rights if rights.strip() == uri else f"{rights.strip()} ({uri})"
