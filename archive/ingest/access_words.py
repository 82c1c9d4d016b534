"""Words by which museums say who may see a photograph, in English, German, French, Spanish and Dutch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from archive.ingest.column_names import fold_header

ACCESS_WORDS: Mapping[str, str] = {
    "open": "open|public|frei|offen|öffentlich|freigegeben|libre|public domain|abierto|público|openbaar|vrij|published",
    "restricted": "restricted|gesperrt|gesperrte|intern|nicht öffentlich|eingeschränkt|"
    "restreint|interne|restringido|interno|"
    "beperkt|gesloten|private|unpublished|closed",
    "sensitive": "sensitive|sensibel|vertraulich|sensible|"
    "confidentiel|confidencial|gevoelig|vertrouwelijk|confidential",
}
"""The museum's values of a column of access, by the catalogue's value."""

_CLAUSE_END = re.compile(r"[.;,\n–—]|\s-\s")
_NEGATIONS = (
    "not",
    "no",
    "nicht",
    "non",
    "pas",
    "niet",
    "no longer",
    "nicht mehr",
    "nicht länger",
    "niet langer",
    "plus",
)
_PERMITTING = re.compile(
    r"\b(?:"
    r"public domain|gemeinfrei\w*|domaine public|dominio publico|dominio pubblico|publiek domein|"
    r"no(?: \w+){0,2} (?:restrictions?|fees?)|kein\w*(?: \w+){0,2} \w*(?:einschrankung|beschrankung|gebuhr)\w*|"
    r"no(?: \w+){1,3} (?:required|needed|necessary)|kein\w*(?: \w+){1,3} (?:notig|erforderlich)"
    r")\b"
)
"""What says that a photograph may be shown, although the clause also has words that restrict, folded."""
_RESTRICTING = re.compile(
    "".join(rf"(?<!\b{fold_header(words)} )" for words in _NEGATIONS) + r"\b(?:"
    r"restricted|closed|confidential|sensitive|embargo\w*|internal(?: use)?|unpublished|"
    r"(?:not|never) (?:for |to be |yet )?(?:publi\w+|reproduc\w+(?! without)|open to)|"
    r"no (?:public access|publication|publishing|reproduc\w+(?! without))|do not (?:publish|show|reproduce)|"
    r"gesperrt\w*|sperrfrist\w*|sperrvermerk\w*|intern|internen?|eingeschrankt\w*|vertraulich\w*|sensibel|"
    r"(?:keine?|nicht)(?: \w+){0,2} (?:\w*veroffentlich\w*|publi\w+|offentlich\w*|freigegeben|freigabe)|"
    r"nicht frei(?! von)|\w*veroffentlichung(?: \w+){0,2} (?:nicht|untersagt|verboten|gesperrt)|geen publicatie|"
    r"restreinte?s?|confidentiel\w*|(?:pas|non)(?: de)? (?:publi\w+|communicable\w*|diffus\w+)|usage interne|"
    r"restringid[oa]s?|confidencial\w*|uso interno|no (?:publicar|difundir)|"
    r"beperkt|vertrouwelijk|gevoelig|niet (?:openbaar|publiceren|voor publicatie)|intern gebruik"
    r")\b"
)
"""What keeps a photograph closed in a clause of a statement of rights, folded, unless a negation stands before it."""


def suggests_restriction(rights: str) -> bool:
    """Whether a statement of rights says that the photograph may not be shown to everybody.

    Known are words such as ``gesperrt bis 2030``, ``keine Veröffentlichung`` and ``internal use only``. Each clause
    counts on its own, so that ``nicht kommerziell, öffentlich`` isn't taken for ``nicht öffentlich``. The text may
    mean something else, so a person should decide.
    """
    clauses = map(fold_header, _CLAUSE_END.split(rights))
    return any(_RESTRICTING.search(clause) and not _PERMITTING.search(clause) for clause in clauses)
