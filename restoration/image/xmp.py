"""XMP packets: safe parsing, changes to single properties, and deterministic output.

Parsing uses the standard library; packets with entities or deep nesting are rejected first, because they can exhaust
memory. Writing uses our own serialiser, because the library renames prefixes by a global table, and a derivative's
bytes must depend only on its record.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Self, cast
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
XMP_MM = "{http://ns.adobe.com/xap/1.0/mm/}"
ST_REF = "{http://ns.adobe.com/xap/1.0/sType/ResourceRef#}"
ST_EVT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
EXIF = "{http://ns.adobe.com/exif/1.0/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
XMP_NOTE = "{http://ns.adobe.com/xmp/note/}"
_META = "{adobe:ns:meta/}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_PREFIXES = {
    RDF: "rdf",
    DC: "dc",
    XMP: "xmp",
    XMP_MM: "xmpMM",
    ST_REF: "stRef",
    ST_EVT: "stEvt",
    IPTC_EXT: "Iptc4xmpExt",
    TIFF: "tiff",
    EXIF: "exif",
    PHOTOSHOP: "photoshop",
    _META: "x",
    _XML: "xml",
}
_ARRAYS = {RDF + "Bag", RDF + "Seq", RDF + "Alt"}
_NO_PROPERTY = {RDF + "about", RDF + "ID", RDF + "nodeID"}
_DECLARATION = re.compile(r"^<\?xml\s[^>]*>")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_DEPTH = 64
_MAX_BYTES = 64 * 1024 * 1024

Value = str | list["Value"] | dict[str, "Value"]


class Packet:
    """One XMP packet: properties of a resource, named ``{namespace}name``."""

    def __init__(self, root: Element, prefixes: dict[str, str]) -> None:
        self._root = root
        self._prefixes = prefixes
        self._rdf = root if root.tag == RDF + "RDF" else root.find(RDF + "RDF")

    @classmethod
    def empty(cls) -> Self:
        root = Element(_META + "xmpmeta")
        SubElement(root, RDF + "RDF")
        return cls(root, {})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parses a packet.

        Raises:
            ValueError: it is not an XMP packet, or it is unsafe to parse.
        """
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{len(data)} bytes are too many")
        text = _decoded(data)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("it declares entities, which XMP never does")
        try:
            packet = cls(*_parsed(text))
        except ElementTree.ParseError as error:
            raise ValueError(str(error)) from error
        if packet._rdf is None:
            raise ValueError("it holds no RDF")
        return packet

    def get(self, name: str) -> Value | None:
        """A property's value: a text, the items of an array, or the fields of a structure."""
        for description in self._descriptions():
            if name in description.attrib:
                return description.attrib[name]
            if (found := description.find(name)) is not None:
                return self._value(found)
        return None

    def properties(self) -> dict[str, Value]:
        """All properties, by their prefixed names."""
        names = dict.fromkeys(
            name
            for description in self._descriptions()
            for name in (*description.attrib, *(child.tag for child in description))
            if name not in _NO_PROPERTY
        )
        return {self.name(name): value for name in names if (value := self.get(name)) is not None}

    def text(self, name: str) -> str | None:
        """A property's text (of an array, the first item's), or None."""
        value = self.get(name)
        while isinstance(value, list):
            value = value[0] if value else None
        return (value.strip() or None) if isinstance(value, str) else None

    def take(self, name: str) -> Value | None:
        """Removes a property from all descriptions and returns its value."""
        value = self.get(name)
        for description in self._descriptions():
            description.attrib.pop(name, None)
            for found in description.findall(name):
                description.remove(found)
            if self._rdf is not None and not len(description) and not set(description.attrib) - _NO_PROPERTY:
                self._rdf.remove(description)
        return value

    def find(self, name: str) -> Element | None:
        """The element of a property, for adding to it."""
        return next((found for part in self._descriptions() if (found := part.find(name)) is not None), None)

    def add(self, properties: Sequence[Element]) -> None:
        """Adds new properties in a separate description of the same resource."""
        about = next((part.get(RDF + "about") for part in self._descriptions()), None) or ""
        description = Element(RDF + "Description", {RDF + "about": about})
        description.extend(properties)
        ElementTree.indent(description, " ", level=2)
        self._append(description)

    def absorb(self, other: Packet) -> None:
        """Adds all properties of another packet, such as the extended part of this one."""
        for uri, prefix in other._prefixes.items():
            self._prefixes.setdefault(uri, prefix)
        for description in other._descriptions():
            self._append(description)

    def to_bytes(self) -> bytes:
        """Serialises the packet in UTF-8: the same bytes for the same content, read-only (without padding for in-place
        edits).
        """
        root = self._root
        if root.tag == RDF + "RDF":
            root = Element(_META + "xmpmeta")
            root.append(self._root)
        body = "".join(_written(root, names := self._names(root), sorted(names.items(), key=lambda pair: pair[1])))
        head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        return f'{head}{body.strip()}\n<?xpacket end="r"?>'.encode()

    def _descriptions(self) -> list[Element]:
        return [] if self._rdf is None else self._rdf.findall(RDF + "Description")

    def _append(self, description: Element) -> None:
        if self._rdf is not None:
            description.tail = "\n "
            self._rdf.append(description)

    def _value(self, element: Element) -> Value:
        if (resource := element.get(RDF + "resource")) is not None:
            return resource
        inner = element.find(RDF + "Description")
        if element.get(RDF + "parseType") == "Resource":
            inner = element
        if inner is not None:
            fields = {name: text for name, text in inner.attrib.items() if not name.startswith((RDF, _XML))}
            return {self.name(key): text for key, text in fields.items()} | {
                self.name(child.tag): self._value(child) for child in inner
            }
        if len(element) and element[0].tag in _ARRAYS:
            return [self._value(item) for item in element[0]]
        if fields := {key: text for key, text in element.attrib.items() if not key.startswith((RDF, _XML))}:
            return {self.name(key): text for key, text in fields.items()}
        return element.text or ""

    def name(self, tag: str) -> str:
        """The prefixed name, with the packet's own prefix or the usual one."""
        uri, brace, name = tag.rpartition("}")
        prefix = self._prefixes.get(uri + brace) or _PREFIXES.get(uri + brace)
        return f"{prefix}:{name}" if prefix else tag

    def _names(self, root: Element) -> dict[str, str]:
        """A prefix for every namespace in use: the packet's own, else the usual one, else a numbered one."""
        used = dict.fromkeys(uri for element in root.iter() for uri in _namespaces(element))
        names, taken = dict[str, str](), {"xml"}
        numbered = (f"ns{number}" for number in count(1))
        for uri in used:
            prefix = self._prefixes.get(uri) or _PREFIXES.get(uri) or next(numbered)
            while prefix in taken:
                prefix = next(numbered)
            taken.add(prefix)
            names[uri] = prefix
        return names | {_XML: "xml"}


def simple(name: str, text: str) -> Element:
    """A property, or a field of a structure, with a text value."""
    element = Element(name)
    element.text = escape_illegal(text)
    return element


def structure(name: str, fields: Sequence[Element]) -> Element:
    """A property, or an array item, with ``fields``."""
    element = Element(name, {RDF + "parseType": "Resource"})
    element.extend(fields)
    return element


def sequence(name: str, items: Sequence[Element]) -> Element:
    """A property whose value is an ordered array of ``items``, elements named :data:`ITEM`."""
    element = Element(name)
    SubElement(element, RDF + "Seq").extend(items)
    return element


def in_default_language(name: str, text: str) -> Element:
    """A property with texts in several languages, of which there is one, ``x-default``."""
    element, item = Element(name), simple(ITEM, text)
    item.set(_XML + "lang", "x-default")
    SubElement(element, RDF + "Alt").append(item)
    return element


ITEM = RDF + "li"


def escape_illegal(text: str) -> str:
    """Escapes characters that XML can't contain: control characters, undecodable bytes of file names."""
    return _ILLEGAL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def join_extended(parts: Sequence[bytes], guid: str | None) -> bytes:
    """Joins the pieces (GUID, length, offset, bytes) of an extended packet, which is too long for one JPEG segment.

    Raises:
        ValueError: pieces are missing, or don't match ``guid``, their MD5.
    """
    pieces, length = dict[int, bytes](), 0
    for part in parts:
        if len(part) >= 40 and guid is not None and part[:32] == guid.encode():
            length, offset = struct.unpack_from(">II", part, 32)
            pieces[offset] = part[40:]
    joined = b"".join(pieces[offset] for offset in sorted(pieces))
    digest = hashlib.md5(joined, usedforsecurity=False).hexdigest().upper()
    if not pieces or len(joined) != length or digest != guid:
        raise ValueError("pieces of it are missing")
    return joined


def _decoded(data: bytes) -> str:
    for mark, encoding in (
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"),
    ):
        if data.startswith(mark):
            return data.decode(encoding).strip("\ufeff\0 \r\n\t")
    return data.decode("utf-8-sig").strip("\ufeff\0 \r\n\t")


def _parsed(text: str) -> tuple[Element, dict[str, str]]:
    """The root element, and the prefixes by namespace, which ElementTree doesn't keep."""
    prefixes, depth, root = dict[str, str](), 0, Element("nothing")
    data = io.BytesIO(_DECLARATION.sub("", text).encode())
    for event, what in ElementTree.iterparse(data, ("start-ns", "start", "end")):  # noqa: S314  (entities: above)
        if event == "start-ns":
            prefix, uri = cast(tuple[str, str], what)
            prefixes.setdefault(f"{{{uri}}}", prefix)
            continue
        depth += 1 if event == "start" else -1
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deep")
        root = what
    return root, prefixes


def _namespaces(element: Element) -> Iterator[str]:
    for name in (element.tag, *element.attrib):
        yield name[: name.rindex("}") + 1] if "}" in name else ""


def _written(element: Element, names: dict[str, str], declared: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
    tag = _qualified(element.tag, names)
    yield f"<{tag}"
    for uri, prefix in declared:
        if uri and prefix != "xml":
            yield f' xmlns:{prefix}="{_escaped(uri[1:-1])}"'
    for name, value in element.attrib.items():
        yield f' {_qualified(name, names)}="{_escaped(value)}"'
    if len(element) or element.text:
        yield ">" + _escaped(element.text or "", quotes=False)
        for child in element:
            yield from _written(child, names)
        yield f"</{tag}>"
    else:
        yield "/>"
    yield _escaped(element.tail or "", quotes=False)


def _qualified(name: str, names: dict[str, str]) -> str:
    uri, brace, local = name.rpartition("}")
    return f"{names[uri + brace]}:{local}" if brace else local


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    if quotes:
        text = text.replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return text
