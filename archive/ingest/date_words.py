"""The words of dates in English, German, French, Spanish and Dutch, folded without case and accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_DASHES = str.maketrans({"‐": "-", "‑": "-", "−": "-", "—": "–", "‒": "–", "’": "'", "\u00a0": " ", "\u202f": " "})

NO_DATE = frozenset(
    {
        *(
            "n.d.",
            "n.d",
            "nd",
            "undated",
            "s.d.",
            "s.d",
            "sd",
            "s/f",
            "s.f.",
            "o.j.",
            "o.j",
            "oj",
            "o.d.",
            "z.j.",
            "z.d.",
        ),
        *("z.j", "-", "?", "??", "????", "n/a", "s/d", "n. d.", "o. j.", "s. d.", "s. f.", "z. j."),
        *("no date", "not dated", "unknown", "date unknown", "unknown date"),
        *("ohne jahr", "ohne datum", "undatiert", "unbekannt", "datum unbekannt"),
        *("sans date", "non date", "date inconnue", "inconnue", "inconnu"),
        *("sin fecha", "fecha desconocida", "desconocida", "desconocido"),
        *("zonder jaar", "zonder datum", "ongedateerd", "onbekend", "datum onbekend"),
    }
)
"""Texts that mean an unknown date, such as n.d. and o.J."""

ABOUT = (
    *("circa", "cca.", "ca.", "ca", "c.", "c", "about", "around", "approximately", "approx.", "approx"),
    *("etwa um", "um das jahr", "um", "etwa", "ungefahr", "gegen", "zirka"),
    *("vers", "environ", "env.", "autour de"),
    *("hacia", "alrededor de", "aproximadamente", "h."),
    *("omstreeks", "rond", "ongeveer", "omstr."),
)
BEFORE = ("before", "before the", "prior to", "vor", "vor dem", "avant", "avant le", "antes de", "antes del", "voor")
UNTIL = (
    *("until", "till", "up to", "not after", "no later than", "bis", "bis zum", "spatestens", "nicht nach"),
    *("jusqu'a", "jusqu'en", "jusque", "hasta", "tot", "uiterlijk"),
)
AFTER = ("after", "after the", "nach", "nach dem", "apres", "apres le", "despues de", "despues del", "na")
FROM = (
    *("from", "since", "not before", "no earlier than", "ab", "ab dem", "seit", "seit dem", "fruhestens", "nicht vor"),
    *("a partir de", "depuis", "des", "desde", "vanaf", "sinds"),
)
BETWEEN = ("between", "zwischen", "zw.", "entre", "tussen")
DOUBT = (
    *(
        "probably",
        "prob.",
        "possibly",
        "perhaps",
        "vermutlich",
        "vermutl.",
        "verm.",
        "wahrscheinlich",
        "wahrsch.",
        "wohl",
    ),
    *("vielleicht", "evtl.", "probablement", "peut-etre", "probablemente", "posiblemente", "quizas"),
    *("waarschijnlijk", "vermoedelijk", "mogelijk"),
)
OR_WORDS = ("or", "oder", "ou", "o", "of")
TO_WORDS = ("to", "bis", "a", "au", "al", "hasta", "tot", "until", "through", "t/m", "bis zum")
DECADE_ENDINGS = ("s", "'s", "er", "er jahre", "er jahren", "er-jahre", "ern")
WINTER = ("winter", "hiver", "invierno", "hiver de", "im winter", "in the winter")


def _numbered(*languages: str) -> Mapping[str, int]:
    names: dict[str, int] = {}
    for language in languages:
        for number, spellings in enumerate(language.split(), start=1):
            for name in spellings.split("|"):
                names[name] = number
    return names


MONTHS: Mapping[str, int] = _numbered(
    "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sept|sep october|oct "
    "november|nov december|dec",
    "januar|janner|jan februar|feber|feb marz|maerz|mrz april|apr mai juni|jun juli|jul august|aug september|sept|sep "
    "oktober|okt november|nov dezember|dez",
    "janvier|janv fevrier|fevr|fev mars avril|avr mai juin juillet|juil aout septembre|sept octobre|oct novembre|nov "
    "decembre|dec",
    "enero|ene febrero|feb marzo|mar abril|abr mayo junio julio agosto|ago septiembre|setiembre|sept octubre|oct "
    "noviembre|nov diciembre|dic",
    "januari|jan februari|feb maart|mrt april|apr mei juni|jun juli|jul augustus|aug september|sept|sep oktober|okt "
    "november|nov december|dec",
)
"""The number of each month by its name; no name means different months in two of the languages."""

SEASONS: Mapping[str, int] = {
    **dict.fromkeys(("spring", "fruhling", "fruhjahr", "printemps", "primavera", "lente", "voorjaar"), 21),
    **dict.fromkeys(("summer", "sommer", "ete", "verano", "zomer"), 22),
    **dict.fromkeys(("autumn", "fall", "herbst", "automne", "otono", "herfst", "najaar"), 23),
}
"""EDTF's seasons; a winter lies in two years, and is read only where both are named."""

_EARLY = (
    "early",
    "beginning",
    "fruhes",
    "anfang",
    "anf.",
    "beginn",
    "debut",
    "principios",
    "inicios",
    "begin",
    "vroege",
)
_MIDDLE = ("mid", "middle", "mitte", "milieu", "mediados", "midden")
_LATE = ("late", "end", "spates", "ende", "fin", "finales", "fines", "eind", "einde", "late")
_FIRST = (
    "1st|first|1.|erste|premiere|1ere|primera|1a|eerste",
    "2nd|second|2.|zweite|seconde|deuxieme|2e|segunda|2a|tweede",
)
_HALVES = "half|halfte|moitie|mitad|helft"
_QUARTERS = "quarter|viertel|quart|cuarto|kwart"
_ORDINALS = (
    "1st|first|1.|erstes|premier|1er|primer|eerste",
    "2nd|second|2.|zweites|deuxieme|2e|segundo|tweede",
    "3rd|third|3.|drittes|troisieme|3e|tercer|derde",
    "4th|last|fourth|4.|viertes|letztes|dernier|quatrieme|4e|ultimo|laatste|vierde",
)


_THIRDS = "third|drittel|tiers|tercio|derde"
_THIRD_ORDINALS = (*_ORDINALS[:2], f"{_ORDINALS[2]}|last|letztes|dernier|ultimo|laatste")


def _combined(ordinals: str, nouns: str) -> list[str]:
    return [f"{ordinal} {noun}" for ordinal in ordinals.split("|") for noun in nouns.split("|")]


CENTURY_PARTS: Mapping[str, tuple[int, int, bool]] = {
    **dict.fromkeys(_EARLY, (0, 33, True)),
    **dict.fromkeys(_MIDDLE, (33, 66, True)),
    **dict.fromkeys(_LATE, (66, 99, True)),
    **{name: (50 * n, 50 * n + 49, False) for n, words in enumerate(_FIRST) for name in _combined(words, _HALVES)},
    **{
        name: (33 * n, 33 * n + 33, True)
        for n, words in enumerate(_THIRD_ORDINALS)
        for name in _combined(words, _THIRDS)
    },
    **{name: (25 * n, 25 * n + 24, False) for n, words in enumerate(_ORDINALS) for name in _combined(words, _QUARTERS)},
}
"""First and last year within the century, and whether the limits are vague. Early, middle and late are thirds."""


def fold_date(text: str) -> str:
    """``text`` in lower case, without accents, with one kind of dash, quotation mark and space."""
    plain = unicodedata.normalize("NFC", text).translate(_DASHES).casefold().replace("ß", "ss")
    decomposed = unicodedata.normalize("NFD", plain)
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return re.sub(r"\s+", " ", letters).strip(" ;,")


def alternatives(words: Iterable[str]) -> str:
    """A regular expression of any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
