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

_RESTRICTING = re.compile(
    r"(?<!\bnot )(?<!\bno )(?<!\bnicht )(?<!\bnon )(?<!\bpas )(?<!\bniet )\b(?:"
    r"restricted|confidential|sensitive|embargo\w*|internal(?: use)?|unpublished|"
    r"(?:not?|never) (?:for |to be |yet )?(?:publi\w+|reproduc\w+)|do not (?:publish|show|reproduce)|"
    r"gesperrt\w*|sperrfrist\w*|sperrvermerk\w*|intern|internen?|eingeschrankt\w*|vertraulich\w*|sensibel|"
    r"(?:keine?|nicht)(?: \w+){0,2} (?:\w*veroffentlich\w*|publi\w+|offentlich\w*|freigegeben|freigabe)|"
    r"\w*veroffentlichung(?: \w+){0,2} (?:nicht|untersagt|verboten|gesperrt)|geen publicatie|"
    r"restreinte?s?|confidentiel\w*|(?:pas|non) (?:publi\w+|communicable\w*|diffus\w+)|usage interne|"
    r"restringid[oa]s?|confidencial\w*|uso interno|no (?:publicar|difundir)|"
    r"beperkt|vertrouwelijk|gevoelig|niet (?:openbaar|publiceren|voor publicatie)|intern gebruik"
    r")\b"
)
"""What keeps a photograph closed in a statement of rights, folded; not where a negation stands before it."""


def suggests_restriction(rights: str) -> bool:
    """Whether a statement of rights says that the photograph may not be shown to everybody.

    Known are words such as ``gesperrt bis 2030``, ``keine Veröffentlichung`` and ``internal use only``. The text may
    mean something else, so a person should decide.
    """
    return _RESTRICTING.search(fold_header(rights)) is not None
