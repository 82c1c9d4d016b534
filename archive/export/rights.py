"""Rights statements: recognises the texts that are licences with a URI."""

from __future__ import annotations

import re

from archive.catalogue.schema.vocabularies import Access

_CREATIVE_COMMONS = re.compile(r"CC[ -]?(BY(?:-(?:NC|SA|ND))*)(?:[ -](\d\.\d))?", re.IGNORECASE)
_KNOWN_URI = re.compile(
    r"https?://(creativecommons\.org/(?:licenses|publicdomain)/\S+|rightsstatements\.org/(?:vocab|page)/\S+)"
)
_CC0 = re.compile(r"CC[ -]?0(?:[ -]1\.0)?", re.IGNORECASE)
_PUBLIC_DOMAIN = re.compile(
    r"public domain(?: mark)?(?: 1\.0)?|PDM(?: 1\.0)?|gemeinfrei|domaine public|dominio público|publiek domein",
    re.IGNORECASE,
)
_NOTICE = re.compile(r"(?<=/)(?:deed|legalcode)(?:\.[\w-]+)?(?:\.html)?$")
"""The name of a page for readers, after the URI of a licence."""


def rights_uri(rights: str | None) -> str | None:
    """The URI at Creative Commons or RightsStatements.org for a rights text, or None.

    ``CC0``, ``CC BY-SA 4.0``, ``public domain``, ``PDM 1.0`` and ``gemeinfrei`` are recognised, and the URIs,
    also those of a licence's pages, such as ``.../by/4.0/deed.en``. A licence without a version is not guessed.
    """
    text = (rights or "").strip(" „“”\"»«'")
    if found := _KNOWN_URI.fullmatch(text):
        uri = found[1].replace("rightsstatements.org/page/", "rightsstatements.org/vocab/")
        return "http://" + (_NOTICE.sub("", uri) if uri.startswith("creativecommons") else uri)
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


def restriction(access: Access, rights: str | None) -> str:
    """Whether an item's files may be disseminated, in the words of PREMIS and Archivematica.

    ``Allow`` only by a licence or the public domain; without one, ``open`` means no more than that the museum does not
    restrict the item, so it is ``Conditional``. ``restricted`` and ``sensitive`` are ``Disallow``.
    """
    if access is not Access.OPEN:
        return "Disallow"
    return "Conditional" if license_of(rights) is None else "Allow"
