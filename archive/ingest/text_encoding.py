"""Detects the encoding of a text file: UTF-8, UTF-16, Windows-1252 or Mac Roman."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from archive.errors import IngestError

_BLOCK_BYTES = 1 << 20
_MARKS = {
    codecs.BOM_UTF8: ("utf-8-sig", "UTF-8"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
_NON_ASCII = re.compile(rb"[A-Za-z\x80-\xff]?[\x80-\xff]")
_MOST_COMPARED = 20_000
_USUAL = frozenset("äöüßéèêëàâáãåçîïíôóõûùúñæœøÄÖÜÉÈÀÇÅØ–—‘’“”„…°§€«»")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextEncoding:
    """An encoding: its Python codec and its usual name."""

    codec: str
    name: str

    @property
    def is_utf8(self) -> bool:
        return self.codec == "utf-8-sig"


_UTF8 = TextEncoding(codec="utf-8-sig", name="UTF-8")
_WINDOWS = TextEncoding(codec="cp1252", name="Windows-1252")
_MAC = TextEncoding(codec="mac_roman", name="Mac Roman")


def detect_encoding(path: Path) -> TextEncoding:
    """Detects the encoding of a text file, which is read once, in blocks.

    Valid UTF-8 is UTF-8. Of the two single-byte encodings, the one is chosen in which more of the characters are usual
    in European texts; a person must check a sample of the result.

    Raises:
        IngestError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            for mark, (codec, name) in _MARKS.items():
                if head.startswith(mark):
                    return TextEncoding(codec=codec, name=name)
            if b"\0" in head and (utf16 := _utf16_without_mark(head)) is not None:
                return utf16
            file.seek(0)
            decoder = codecs.getincrementaldecoder("utf-8")()
            sample = bytearray()
            is_utf8 = True
            while block := file.read(_BLOCK_BYTES):
                is_utf8 = is_utf8 and _decodes(decoder, block)
                if len(sample) < _MOST_COMPARED:
                    sample += b" ".join(_NON_ASCII.findall(block))
            if is_utf8 and _decodes(decoder, b"", final=True):
                return _UTF8
    except OSError as error:
        raise IngestError(f"{path} can't be read: {error.strerror}") from error
    return max(_WINDOWS, _MAC, key=lambda encoding: _likeness(bytes(sample), encoding))


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(head: bytes) -> TextEncoding | None:
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.4 * half and even < 0.1 * half:
        return TextEncoding(codec="utf-16-le", name="UTF-16")
    if even > 0.4 * half and odd < 0.1 * half:
        return TextEncoding(codec="utf-16-be", name="UTF-16")
    return None


def _likeness(sample: bytes, encoding: TextEncoding) -> float:
    """The share of pairs of characters that are typical of text.

    Typical are usual characters without a capital after a lower-case letter.
    """
    try:
        pairs = sample.decode(encoding.codec).split(" ")
    except UnicodeDecodeError:
        return -1
    likely = sum(
        pair[-1:] in _USUAL and not (len(pair) > 1 and pair[0].islower() and pair[-1].isupper()) for pair in pairs
    )
    return likely / max(1, len(pairs))
