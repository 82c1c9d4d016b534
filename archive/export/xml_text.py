"""Escaping of text for XML documents."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

# All that XML 1.0 can't hold, not even escaped: https://www.w3.org/TR/xml/#charsets
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape_xml(text: str) -> str:
    """``text`` escaped for an element or an attribute; characters that XML can't hold become U+FFFD."""
    return escape(_FORBIDDEN.sub("\ufffd", text), {'"': "&quot;", "\r": "&#13;"})
