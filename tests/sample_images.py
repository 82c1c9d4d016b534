"""One small file of every kind that a museum may bring, as bytes: those that are read and those that are refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

HEIGHT, WIDTH = 48, 61
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Fishermen</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>"""
IPTC = b"\x1c\x02\x05\x00\x05Boats\x1c\x02\x78\x00\x05Three"


COLOURS = np.random.default_rng(7).integers(0, 256, (256, 3)).astype(np.uint16)
"""The colours of the palettes, red, green and blue."""


def pixels(samples: int = 3, bits: int = 8) -> NDArray[Any]:
    """(HEIGHT, WIDTH, samples), or (HEIGHT, WIDTH) where there is one: a slope with grain."""
    random = np.random.default_rng(bits * 10 + samples)
    slope = np.linspace(0.1, 0.8, WIDTH)[None, :, None] + random.uniform(0, 0.1, (HEIGHT, WIDTH, samples))
    values = (slope * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return values[..., 0] if samples == 1 else values


def tiff(*pictures: NDArray[Any], **options: Any) -> bytes:
    """A TIFF with a page each; with metadata blocks and a resolution in the first unless ``plain``."""
    file = io.BytesIO()
    plain = options.pop("plain", False)
    sizes = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    with tifffile.TiffWriter(file, **sizes) as writer:
        for number, picture in enumerate(pictures):
            grey = picture.ndim == 2 or (picture.shape[-1] == 2)
            given: dict[str, Any] = {"photometric": "minisblack" if grey else "rgb", "metadata": None} | options
            if number == 0 and not plain:
                blocks = [(700, 7, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)]
                given = {
                    "resolution": (600, 600),
                    "resolutionunit": "inch",
                    "extratags": blocks,
                    "iccprofile": None if grey else SRGB,
                } | given
            writer.write(picture, **given)
    return file.getvalue()


def by_pillow(form: str, picture: NDArray[Any], mode: str | None = None, **options: Any) -> bytes:
    """A JPEG or PNG with EXIF, a profile and a resolution."""
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[274], exif[315] = 6, "Repro studio"
    file = io.BytesIO()
    profile = SRGB if picture.ndim == 3 and mode is None else None
    converted = image.convert(mode) if mode else image
    converted.save(file, form, **({"exif": exif, "icc_profile": profile, "dpi": (300, 300)} | options))
    return file.getvalue()


def palette_png(**options: Any) -> bytes:
    """A PNG whose samples are numbers of ``COLOURS``."""
    image = Image.fromarray(pixels(1)).convert("P")
    image.putpalette(COLOURS.astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", dpi=(300, 300), **options)
    return file.getvalue()


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """The PNG with another chunk after its header."""
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:33] + chunk + png[33:]


def box(name: bytes, body: bytes) -> bytes:
    """A box of a JP2."""
    return struct.pack(">I4s", len(body) + 8, name) + body


def jp2(
    picture: NDArray[Any],
    *,
    colour: bytes | None = None,
    extra: bytes = b"",
    brand: bytes = b"jp2 ",
    orientation: int | None = None,
    **options: Any,
) -> bytes:
    """A JP2 with resolution and XMP, lossless; ``colour`` is the body of its colour box, by default sRGB or grey."""
    encoded = bytes(imagecodecs.jpeg2k_encode(picture, level=0, reversible=True, **options))
    codestream = encoded[encoded.index(b"\xff\x4f\xff\x51") :]
    height, width, samples = picture.shape if picture.ndim == 3 else (*picture.shape, 1)
    if colour is None:
        colour = struct.pack(">BBBI", 1, 0, 0, 17 if samples <= 2 else 16)
    header = struct.pack(">IIHBBBB", height, width, samples, picture.dtype.itemsize * 8 - 1, 7, 0, 0)
    resolution = box(b"res ", box(b"resc", struct.pack(">4H2b", 11811, 1, 11811, 1, 0, 0)))
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP
    exif = b""
    if orientation is not None:
        tag = struct.pack("<HHHIHH", 1, 274, 3, 1, orientation, 0) + bytes(4)
        exif = box(b"uuid", b"JpgTiffExif->JP2" + b"II*\0\x08\0\0\0" + tag)
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", brand + bytes(4) + brand)
        + box(b"jp2h", box(b"ihdr", header) + box(b"colr", colour) + extra + resolution)
        + box(b"uuid", uuid)
        + exif
        + box(b"jp2c", codestream)
    )


def icc(space_profile: bytes) -> bytes:
    """The body of a colour box with a profile."""
    return b"\x02\0\0" + space_profile


def cdef(*entries: tuple[int, int, int]) -> bytes:
    """The box that says which component is which: index, type, association."""
    return box(b"cdef", struct.pack(">H", len(entries)) + b"".join(struct.pack(">3H", *entry) for entry in entries))


def pyramid() -> bytes:
    """A TIFF with a thumbnail first, then the picture, then two levels of its pyramid, none of them marked."""
    full = pixels(1)
    return tiff(full[::8, ::8], full, full[::2, ::2], full[::4, ::4])


CARRIED: dict[str, Callable[[], bytes]] = {
    "TIFF 8-bit grey": lambda: tiff(pixels(1)),
    "TIFF 16-bit grey": lambda: tiff(pixels(1, 16)),
    "TIFF 8-bit RGB": lambda: tiff(pixels()),
    "TIFF 16-bit RGB": lambda: tiff(pixels(3, 16)),
    "TIFF grey with alpha": lambda: tiff(pixels(2), extrasamples=["unassalpha"], planarconfig="contig"),
    "TIFF RGB with infrared": lambda: tiff(pixels(4, 16), extrasamples=["unspecified"], planarconfig="contig"),
    "TIFF planar": lambda: tiff(pixels(3, 16).transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
    "TIFF striped": lambda: tiff(pixels(), rowsperstrip=7),
    "TIFF tiled": lambda: tiff(pixels(3, 16), tile=(16, 32)),
    "TIFF LZW": lambda: tiff(pixels(), compression="lzw", rowsperstrip=9),
    "TIFF Deflate": lambda: tiff(pixels(), compression="zlib"),
    "TIFF ZIP with predictor": lambda: tiff(pixels(3, 16), compression="zlib", predictor=True, rowsperstrip=9),
    "TIFF JPEG": lambda: tiff(pixels(), compression="jpeg", compressionargs={"level": 95}, tile=(32, 32)),
    "TIFF ZSTD": lambda: tiff(pixels(3, 16), compression="zstd", tile=(32, 32)),
    "TIFF PackBits": lambda: tiff(pixels(), compression="packbits"),
    "TIFF big endian": lambda: tiff(pixels(3, 16), byteorder=">", rowsperstrip=9),
    "BigTIFF": lambda: tiff(pixels(3, 16), bigtiff=True),
    "TIFF min-is-white": lambda: tiff(pixels(1), photometric="miniswhite"),
    "TIFF of two pictures": lambda: tiff(pixels(), pixels(1, 16)),
    "TIFF pyramid": pyramid,
    "JPEG grey": lambda: by_pillow("JPEG", pixels(1)),
    "JPEG YCbCr": lambda: by_pillow("JPEG", pixels()),
    "JPEG progressive": lambda: by_pillow("JPEG", pixels(), progressive=True),
    "PNG 8-bit": lambda: by_pillow("PNG", pixels()),
    "PNG 16-bit": lambda: bytes(imagecodecs.png_encode(pixels(3, 16))),
    "PNG 16-bit grey with alpha": lambda: bytes(imagecodecs.png_encode(pixels(2, 16))),
    "TIFF palette": lambda: tiff(pixels(1), photometric="palette", colormap=COLOURS.T * 257, iccprofile=SRGB),
    "PNG palette": lambda: palette_png(),
    "JP2 8-bit grey": lambda: jp2(pixels(1)),
    "JP2 8-bit RGB": lambda: jp2(pixels(), colour=icc(SRGB)),
    "JP2 16-bit RGB": lambda: jp2(pixels(3, 16)),
    "JP2 with alpha": lambda: jp2(pixels(4), extra=cdef((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0))),
}
"""What is read and carried, by the row of the table in docs/reference/formats.md."""


def _animated_png() -> bytes:
    return by_pillow("PNG", pixels(1), save_all=True, append_images=[Image.fromarray(255 - pixels(1))])


REFUSED: dict[str, Callable[[], bytes]] = {
    "TIFF bilevel": lambda: tiff(pixels(1) > 100, photometric="minisblack"),
    "TIFF palette of 16 bits": lambda: tiff(pixels(1), photometric="palette", colormap=COLOURS.T * 255 + 1),
    "TIFF CMYK": lambda: tiff(pixels(4), photometric="separated"),
    "TIFF CIELab": lambda: tiff(pixels(), photometric="cielab"),
    "TIFF YCbCr, uncompressed": lambda: tiff(pixels(), photometric="ycbcr"),
    "TIFF floating point": lambda: tiff(np.full((HEIGHT, WIDTH), np.nan, np.float32)),
    "TIFF 32-bit": lambda: tiff(pixels(1).astype(np.uint32)),
    "TIFF signed": lambda: tiff(pixels(1).astype(np.int16)),
    "JPEG CMYK": lambda: by_pillow("JPEG", pixels(), "CMYK"),
    "PNG palette with transparency": lambda: palette_png(transparency=3),
    "PNG 1-bit": lambda: by_pillow("PNG", pixels(1), "1"),
    "PNG transparent colour": lambda: by_pillow("PNG", pixels(1), transparency=3),
    "PNG animated": _animated_png,
    "JP2 palette": lambda: jp2(pixels(1), extra=box(b"pclr", b"\0\x02\x03\x07\x07\x07" + bytes(6))),
    "JP2 YCbCr": lambda: jp2(pixels(), colour=struct.pack(">BBBI", 1, 0, 0, 18)),
    "JP2 12-bit": lambda: jp2(pixels(1, 16) >> 4, bitspersample=12),
    "JPX": lambda: jp2(pixels(), brand=b"jpx "),
}
"""What is known and left alone, by the row of the same table."""


def _icc(space: bytes, tags: dict[str, bytes]) -> bytes:
    name = b"made for a test"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * (1 + 8 + 3 + 67)
    every = {"desc": described, "cprt": b"text\0\0\0\0none\0", "wtpt": _xyz(0.9642, 1.0, 0.8249), **tags}
    table, body, at = b"", b"", 128 + 4 + 12 * len(every)
    for tag, value in every.items():
        table += tag.encode() + struct.pack(">II", at + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    size = at + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02100000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">iii", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(every)) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """An ICC profile of RGB values (version 2): the XYZ of red, green and blue under D50, and a gamma for all three."""
    colours = {f"{name}XYZ": _xyz(*primary) for name, primary in zip("rgb", primaries, strict=True)}
    return _icc(b"RGB ", {**colours, **{f"{name}TRC": _curve(gamma) for name in "rgb"}})


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey values (version 2)."""
    return _icc(b"GRAY", {"kTRC": _curve(gamma)})


ADOBE_RGB = rgb_profile(((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.2)
"""As wide a space as Adobe RGB (1998); the primaries are those of its specification, adapted to D50."""
