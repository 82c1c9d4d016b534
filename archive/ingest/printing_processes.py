"""Names of printing processes in museums' tables, and the English words by which restoration leaves such prints out.

Known are English, German, French, Spanish, Italian, Dutch and Portuguese names, most of them from the Getty Art &
Architecture Thesaurus. Photographic processes, such as the albumen print, are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from archive.ingest.column_names import fold_header

RECOGNISED_WORDS = ("halftone", "photogravure", "engraving", "lithograph", "etching", "woodcut", "collotype")
"""The words that the cards of the models call unsuited. A process that contains one of them is left out."""

_TERMS: Mapping[str, str] = {
    "halftone": (
        r"half tone|*autotypie|rasterdruck|netzatzung|rasterdruk|similigravure|simili gravure|autotipi[ae]|"
        r"medio tono|meio tom|fotoretino"
    ),
    "collotype": (
        r"*lichtdruck|lichtdruk|phototypie|fototypie|fototipi[ae]|collotypie|kollotypie|collotipi[ae]|colotipia|"
        r"photocollographie|fotocollografi[ae]|fotocolografia|heliotype|heliotypie|heliotipia|eliotipi[ae]|"
        r"albertype|albertypie|albertotypie|artotype|artotypie"
    ),
    "rotary photogravure": (
        r"rotogravure|roto gravure|kupfertiefdruck|rakeltiefdruck|rotocalco|huecograbado|rotograbado|rotogravura|"
        r"koperdiepdruk|rotatiediepdruk"
    ),
    "photogravure": (
        r"photo gravure|photogravure|*heliogravure|heliograbado|heliogravura|fotogravure|fotocalcografi[ae]"
    ),
    "offset lithograph": r"offset|*offsetdruck|offsetdruk|offsetlithografie|offsetlitho",
    "chromolithograph": r"chromolithografie|chromolitho|cromolitografi[ae]",
    "photolithograph": r"fotolithografie|photolithografie|photolitho|fotolitografi[ae]",
    "photochrom lithograph": r"photochrom(?!e)|fotochrom(?!e)",
    "lithograph": r"*lithografie|litografi[ae]|litho|lito|steindruck|steendruk",
    "etching": (r"*radierung|eaux? fortes?|aguafuerte|aguas? fortes?|acquafort[ei]|acquefort[ei]|ets(?:en)?|etsing"),
    "steel engraving": r"stahlstich|gravures? sur acier|grabado en acero|incision[ei] su acciaio|staalgravure",
    "wood engraving": (
        r"*holzstich|gravures? sur bois de ?bout|xilografia a (?:la testa|contrafibra)|"
        r"xilografi[ae] di testa|houtgravure"
    ),
    "woodcut": (
        r"wood cut|wood ?block print|*holzschnitt|xylograph|xylogra(?:f|ph)ie|xilografi[ae]|xilogravura|"
        r"gravures? sur bois de fil|houtsnede"
    ),
    "woodcut or wood engraving": r"gravures? sur bois|grabado en madera|incision[ei] su legno",
    "engraving": (
        r"*kupferstich|gravures? (?:sur cuivre|au burin)|grabado (?:en cobre|a buril)|"
        r"incision[ei] (?:su rame|a bulino)|bulino|kopergravure"
    ),
    "halftone or other photomechanical print": (r"(?:photo|foto) ?mechani\w+|photomecani\w+|fotomecc?ani\w+"),
}
"""Names by their English term, special ones before general ones: regular expressions of folded words.

``*`` stands for the beginning of a compound word, such as ``Farb`` in ``Farblichtdruck``.
"""

_UNCLEAR_TERMS = (
    r"gravure|estampe|taille douce|demi teinte|grabado|fotograbado|estampa|calcografi[ae]|incision[ei]|"
    r"fotoincision[ei]|gravura|fotogravura|tiefdruck|hochdruck|stich|strichatzung|zinkatzung|zinkogra(?:f|ph)ie|klischee|"
    r"druckgra(?:f|ph)ik|prent"
)
"""Names that several processes share, so that a person must say which one it is."""


def _words(terms: str, *, beginning: str = r"\w*") -> re.Pattern[str]:
    """Finds the terms as whole words, with the endings of plurals and of the German genitive."""
    return re.compile(rf"\b(?:{terms.replace('*', beginning)})(?:e?s|e?n|e|ken)?\b")


_KNOWN = {english: _words(terms) for english, terms in _TERMS.items()}
_KNOWN_EXACT = {english: _words(terms, beginning="") for english, terms in _TERMS.items()}
_ANY_KNOWN = _words("|".join(_TERMS.values()))
_UNCLEAR = _words(_UNCLEAR_TERMS)
_SOURCE = re.compile(r"\b(?:nach|after|d apres|segun|naar)\b.*")
_PHOTOGRAPH = re.compile(
    r"photo|foto|abzug|negativ|film|albumin|albumen|gelatin|silber|silver|argent|plata|zilver|repro|cyanot|cianot|platin|"
    r"pigment|carbon|kool|kohle|daguerr|salzpapier|salt|cibachrom|autochrom"
)
_DOUBT = re.compile(
    r"\b(?:oder|or|ou|o|of|vermutlich|wahrsch\w*|wohl|evtl|eventuel\w*|prova\w*|prob?ab\w*|pos+ib\w*|possiv\w*|"
    r"peut etre|quizas?|talvez|forse|misschien|vermoed\w*|waarsch\w*|not|nicht|kein\w*)\b"
)


def is_recognised(process: str) -> bool:
    """Whether restoration leaves masters of this process out."""
    return any(word in process.casefold() for word in RECOGNISED_WORDS)


def translate_printing_processes(values: Iterable[str]) -> dict[str, str | None]:
    """The museum's values that name a printing process, each with the English term.

    Left out are photographic processes, unknown values, and those that hold one of :data:`RECOGNISED_WORDS` already.
    A value with further words keeps them: ``Autotypie auf Papier`` becomes ``halftone (Autotypie auf Papier)``. The
    term is None where the process is not certain: the name is that of several processes, a photographic process is
    named too, or the value expresses a doubt. What follows ``nach``, ``after`` and the like is the source of the
    picture, not its process: ``Lichtdruck nach Fotografie`` is a collotype.
    """
    found: dict[str, str | None] = {}
    for value in values:
        folded = fold_header(value)
        if not is_recognised(value) and (_ANY_KNOWN.search(folded) or _UNCLEAR.search(folded)):
            found[value] = _english_term(value, folded)
    return found


def _english_term(value: str, folded: str) -> str | None:
    own = _SOURCE.sub("", folded)
    english = next((term for term, pattern in _KNOWN.items() if pattern.search(own)), None)
    others = _ANY_KNOWN.sub(" ", own)
    if english is None or "?" in value or _PHOTOGRAPH.search(others) or _DOUBT.search(others):
        return None
    return english if _KNOWN_EXACT[english].fullmatch(folded) else f"{english} ({value})"
