"""Text in CSV that a spreadsheet program could take for a formula, and run."""

from __future__ import annotations

# Characters that may start a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def escape_formula(text: str) -> str:
    """``text`` with ``'`` in front if a spreadsheet program could take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else str(text)


def unescape_formula(text: str) -> str:
    """``text`` without the ``'`` that :func:`escape_formula` puts in front."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text
