"""Facts about an image that are known without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from restoration.errors import ImageError, ImageTooLargeError
from restoration.image.exif import Exif

DEFAULT_MAX_PIXELS = 2_000_000_000
DEFAULT_MAX_DECODING_BYTES = 1536 * 1024 * 1024

Unit = Literal["inch", "centimetre"]
ExtraSample = Literal["unspecified", "associated alpha", "unassociated alpha"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Size limits. Larger images are refused by their header, before memory is allocated for pixels."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    """Width times height. Protects against files that declare absurd sizes."""
    max_decoding_bytes: int = DEFAULT_MAX_DECODING_BYTES
    """Memory for decoding a whole picture, or one row of strips or tiles, where smaller parts can't be decoded."""
    describes_damaged: bool = False
    """Whether to read the header of a truncated file, instead of refusing the file."""

    def check_size(self, width: int, height: int) -> None:
        """Checks a declared size.

        Raises:
            ImageTooLargeError: there are too many pixels.
        """
        if width * height > self.max_pixels:
            raise ImageTooLargeError(
                f"the picture of {width}x{height} px has more than {self.max_pixels} pixels: "
                "raise max_pixels if that is right"
            )

    def check_decoding(
        self, what: str, needed_bytes: int, *, remedy: str = "save it as a TIFF that is uncompressed or tiled"
    ) -> None:
        """Checks the memory needed to decode ``what``; the message names it and ``remedy``.

        Raises:
            ImageTooLargeError: too much memory is needed.
        """
        if needed_bytes > self.max_decoding_bytes:
            raise ImageTooLargeError(
                f"{what} can only be decoded whole, which takes {_mib(needed_bytes)} MiB of memory, and "
                f"{_mib(self.max_decoding_bytes)} are allowed: raise max_decoding_bytes in archive.toml, or {remedy}"
            )


def _mib(count: int) -> int:
    return -(-count // (1024 * 1024))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Pixels per unit of length, horizontally (``x``) and vertically (``y``), of the upright picture."""

    x: float
    y: float
    unit: Unit

    @property
    def ppi(self) -> float:
        """Horizontal pixels per inch."""
        return self.x if self.unit == "inch" else self.x * 2.54

    def turned(self) -> Resolution:
        """The resolution with ``x`` and ``y`` exchanged."""
        return Resolution(x=self.y, y=self.x, unit=self.unit)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Values from a scan's embedded EXIF, IPTC and XMP that the catalogue records."""

    captured_at: str | None = None
    captured_by: str | None = None
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The valid parts of a file's metadata blocks, which are copied into a derivative."""

    exif: Exif = field(default_factory=Exif)
    iptc: bytes | None = None
    xmp: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """Facts about an image, in its upright orientation.

    ``samples_per_pixel`` counts all stored samples. Models process the first ``colour_channels`` of them (1 grey, 3
    RGB); the others, named in ``extra_samples``, are copied unchanged. ``problems`` lists what can't be copied from the
    file, because it is corrupt or only duplicates the picture.

    For an unsupported picture, ``refusal`` holds the reason and the remedy; it may have other bit depths than 8 and 16,
    and other numbers of colours. Pictures that can be opened have no ``refusal``.
    """

    format: Literal["TIFF", "JPEG", "PNG", "JP2", "array"]
    width: int
    height: int
    bits_per_sample: int
    samples_per_pixel: int
    colour_channels: int
    page: int = 1
    """The picture's number in the file, from 1, in file order and without previews."""
    refusal: str | None = None
    extra_samples: tuple[ExtraSample, ...] = ()
    resolution: Resolution | None = None
    icc_profile: bytes | None = field(default=None, repr=False)
    icc_description: str | None = None
    captured_at: str | None = None
    captured_by: str | None = None
    title: str | None = None
    description: str | None = None
    metadata: Metadata = field(default=Metadata(), repr=False, compare=False)
    problems: tuple[str, ...] = ()
    is_stored_sideways: bool = field(default=False, compare=False)
    """Whether upright columns are rows of the file, so that a few of them are read faster than a few rows."""

    @property
    def largest_sample(self) -> int:
        """The stored value of white (1.0): 255 or 65535."""
        return 255 if self.bits_per_sample == 8 else 65535

    @property
    def colour_space(self) -> str:
        """A description of the colour space of the encoded values, such as ``encoded RGB, Adobe RGB (1998)``."""
        kind = "encoded grey" if self.colour_channels == 1 else "encoded RGB"
        if self.icc_profile is None:
            return f"{kind}, no profile"
        return f"{kind}, {self.icc_description or 'unnamed profile'}"


@dataclass(frozen=True, kw_only=True)
class Area:
    """A rectangle in the upright picture, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    def check_within(self, info: ImageInfo) -> None:
        """Checks that the rectangle isn't empty and lies within the picture.

        Raises:
            ImageError: it is empty, or extends beyond the picture.
        """
        inside = (
            self.x >= 0 and self.y >= 0 and self.x + self.width <= info.width and self.y + self.height <= info.height
        )
        if self.width < 1 or self.height < 1 or not inside:
            raise ImageError(
                f"the area {self.x} {self.y} {self.width} {self.height} (x y width height) isn't inside the picture of "
                f"{info.width}x{info.height} px: correct the picture area"
            )
