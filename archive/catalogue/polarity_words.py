"""Recognises negatives by the name of their process: English, German, French, Spanish, Italian, Dutch, Portuguese."""

from __future__ import annotations

import re
from functools import lru_cache

from archive.catalogue.query.text_index import fold_words

_NEGATIVE = re.compile(r"\b\w*negati(?:v|f|ef|vo)(?:e[nrs]?|s|i|os?|as?)?\b|\bglasnegat\w*")
"""A negative as a word of its own or at the end of a German or Dutch compound such as ``Glasnegativ``."""
_PRINT = re.compile(
    r"\w*positi\w*|\w*(?:abzug|abzuge|kopie|diapositiv|abdruck)\w*|dia|\w*prints?|tirages?|copias?|stampa|stampe|"
    r"\w*afdruk\w*|epreuves?|provas?|impres\w+"
)
_FROM_NEGATIVE = re.compile(
    r"\b(?:(?:von|vom|nach|from|after|d apres|dal|desde|naar|without|ohne)(?: \w+){0,3}|"
    r"(?:ab|aus|de|du|da|van|zum|zu|for|kein\w*|no|not|nicht|oder|or|ou|of|o)(?: \w+)?) \w*negati"
)
_LOST_NEGATIVE = re.compile(
    r"negati\w*(?: \w+)? (?:lost|missing|destroyed|verloren|verschollen|vernichtet|zerstort|perdu|perdido|perdida|"
    r"perduto|perduta|smarrito|detruit|destruido|kwijt|vernietigd)\b"
)


@lru_cache(maxsize=10_000)
def names_negative(process: str) -> bool | None:
    """Whether a process is that of a negative; None where it names one and may mean a print or something else.

    ``Glasnegativ`` and ``Negativ, Nitrozellulose`` are negatives; ``Abzug vom Glasnegativ``, ``Negativ?`` and
    ``negative lost`` are not certain; ``Silbergelatineabzug`` is none.
    """
    folded = " ".join(fold_words(process))
    if _NEGATIVE.search(folded) is None:
        return False
    is_doubtful = "?" in process or any(words.search(folded) for words in (_FROM_NEGATIVE, _LOST_NEGATIVE))
    return None if is_doubtful or any(_PRINT.fullmatch(word) for word in folded.split()) else True
