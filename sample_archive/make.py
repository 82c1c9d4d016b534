"""Makes the sample archive: small scans with known originals, aged by the degradation model with fixed seeds.

Run it as ``python sample_archive/make.py`` to recreate everything beside this file, or name another folder. The
photographs are those that scikit-image carries in its wheel under free terms (see its ``skimage.data``), each with its
rights in ``items.csv``. They are modern pictures: their ageing is simulated, and the catalogue says so.
"""

from __future__ import annotations

import csv
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageFont

from restoration.colour.colour_operations import luma
from restoration.degradation import Ageing, Damage, Softness, age_picture

Array = NDArray[np.float32]

PPI = 300
COLLECTION = "Sample archive"
AGEING = "A modern photograph whose ageing is simulated by the software, to show and test restoration."
COLUMNS = (
    "filename",
    "accession_number",
    "sequence",
    "view",
    "title",
    "creator",
    "date",
    "description",
    "place",
    "process",
    "polarity",
    "rights",
    "access",
    "collection",
    "picture_area",
    "reference",
    "scanned_with",
)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One scan: which picture, how it aged, and how its file is stored."""

    filename: str
    accession_number: str
    picture: str  # in skimage.data
    ageing: Ageing
    bits: int = 8
    crop: tuple[int, int, int, int] | None = None  # x, y, width, height in the picture
    sequence: int = 1
    view: str = "recto"
    on_mount: bool = False  # with a ruler beside it


@dataclass(frozen=True, kw_only=True)
class Item:
    """What the catalogue says of a photograph."""

    title: str
    creator: str
    date: str  # EDTF
    description: str
    rights: str
    place: str = ""


def soft(sigma_px: float) -> tuple[Softness, ...]:
    """A lens slightly out of focus."""
    return (Softness(kind="gaussian", extent_px=sigma_px),)


ITEMS = {
    "SA.001": Item(
        title="Cat resting",
        creator="Stefan van der Walt",
        date="201X",
        description="The head of a tabby cat named Chelsea, from close by.",
        rights="CC0 1.0 by the photographer",
    ),
    "SA.002": Item(
        title="Cup of coffee on a wooden table",
        creator="Rachel Michetti",
        date="201X",
        description="A cup with latte art on its saucer, with a spoon. Courtesy of Pikolo Espresso Bar.",
        rights="CC0 1.0 by the photographer",
        place="Montréal",
    ),
    "SA.003": Item(
        title="Portrait of Eileen Collins, astronaut",
        creator="NASA",
        date="1992/2006",
        description="Half-length portrait in an orange flight suit, with a flag and a model of the Space Shuttle.",
        rights="Public domain (NASA)",
        place="United States",
    ),
    "SA.004": Item(
        title="Launch of DSCOVR on a Falcon 9",
        creator="SpaceX",
        date="2015-02-11",
        description="A rocket leaves its launch complex in the evening.",
        rights="Public domain, released by SpaceX",
        place="Cape Canaveral, Florida",
    ),
    "SA.005": Item(
        title="Photographer with a camera on a tripod",
        creator="Lav Varshney",
        date="/2020",
        description="A man in a dark coat at work in a park.",
        rights="CC0 1.0 by the photographer",
    ),
    "SA.006": Item(
        title="Greek coins from Pompeii",
        creator="Brooklyn Museum",
        date="19XX?",
        description="Four rows of ancient coins on a grey ground.",
        rights="No known copyright restrictions (Brooklyn Museum)",
    ),
    "SA.007": Item(
        title="Brick wall",
        creator="CC0Textures",
        date="20XX",
        description="A stretch of a wall, straight from the front.",
        rights="CC0 1.0 (CC0Textures)",
    ),
    "SA.008": Item(
        title="Hubble eXtreme Deep Field, detail",
        creator="NASA, ESA",
        date="2012-09",
        description="Galaxies in a small part of the constellation Fornax.",
        rights="Public domain (NASA)",
    ),
    "SA.009": Item(
        title="Fundus of a left eye",
        creator="Mikael Häggström",
        date="2014~",
        description="The retina around the macula with its vessels, through the pupil.",
        rights="CC0 1.0 by the photographer",
    ),
    "SA.010": Item(
        title="Gravel",
        creator="CC0Textures",
        date="20XX",
        description="Small stones, seen from above.",
        rights="CC0 1.0 (CC0Textures)",
    ),
}

SCANS = (
    Scan(
        filename="SA.001_recto.tif",
        accession_number="SA.001",
        picture="chelsea",
        ageing=Ageing(softness=soft(0.8), grain=0.06, grain_size_px=0.6, grain_colour=0.6, gaussian_noise=0.03),
    ),
    Scan(
        filename="SA.002_recto.tif",
        accession_number="SA.002",
        picture="coffee",
        bits=16,
        ageing=Ageing(softness=soft(1.0), gaussian_noise=0.06),
    ),
    Scan(
        filename="SA.002_detail.png",
        accession_number="SA.002",
        picture="coffee",
        crop=(150, 60, 320, 240),
        sequence=2,
        view="detail",
        ageing=Ageing(softness=soft(0.7), gaussian_noise=0.05),
    ),
    Scan(
        filename="SA.003_recto_with_ruler.tif",
        accession_number="SA.003",
        picture="astronaut",
        on_mount=True,
        ageing=Ageing(
            softness=soft(0.7), grain=0.05, grain_size_px=0.7, grain_colour=0.3, gaussian_noise=0.03, jpeg_quality=85
        ),
    ),
    Scan(
        filename="SA.004_recto.jpg",
        accession_number="SA.004",
        picture="rocket",
        ageing=Ageing(grain=0.05, grain_size_px=0.5, grain_colour=0.5, gaussian_noise=0.04),
    ),
    Scan(
        filename="SA.005_recto.tif",
        accession_number="SA.005",
        picture="camera",
        bits=16,
        ageing=Ageing(
            softness=soft(0.8),
            grain=0.08,
            grain_size_px=0.7,
            gaussian_noise=0.04,
            noise_colour=0.0,
            damage=Damage(scratches=0.4, specks=1.0, hairs=0.3, lightness=0.92, seed=5),
        ),
    ),
    Scan(
        filename="SA.006_recto.png",
        accession_number="SA.006",
        picture="coins",
        bits=16,
        ageing=Ageing(softness=soft(0.6), grain=0.07, grain_size_px=0.8, gaussian_noise=0.03, noise_colour=0.0),
    ),
    Scan(
        filename="SA.007_recto.jpg",
        accession_number="SA.007",
        picture="brick",
        ageing=Ageing(softness=soft(0.7), gaussian_noise=0.08, noise_colour=0.0),
    ),
    Scan(
        filename="SA.008_recto.tif",
        accession_number="SA.008",
        picture="hubble_deep_field",
        crop=(300, 200, 480, 360),
        ageing=Ageing(softness=soft(0.6), gaussian_noise=0.06),
    ),
    Scan(
        filename="SA.009_recto.jpg",
        accession_number="SA.009",
        picture="retina",
        crop=(400, 420, 560, 560),
        ageing=Ageing(softness=soft(0.8), photon_count=300, gaussian_noise=0.03),
    ),
    Scan(
        filename="SA.010_recto.png",
        accession_number="SA.010",
        picture="gravel",
        crop=(0, 0, 400, 400),
        ageing=Ageing(softness=soft(1.0), gaussian_noise=0.07, noise_colour=0.0),
    ),
)

VERSO = "SA.005_verso.jpg"


def make(folder: Path) -> None:
    """Writes all scans, their references and ``items.csv`` into ``folder``."""
    (folder / "references").mkdir(parents=True, exist_ok=True)
    rows = []
    for seed, scan in enumerate(SCANS, start=1):
        rows.append(_make_scan(folder, scan, seed))
        if scan.accession_number == "SA.005":
            rows.append(_make_verso(folder, scan))
    # CRLF, as spreadsheet programs write it.
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _make_scan(folder: Path, scan: Scan, seed: int) -> dict[str, str]:
    """Writes one scan and its reference; returns its row of ``items.csv``."""
    clean = _picture(scan)
    is_grey = bool(np.all(clean == clean[..., :1]))
    aged = age_picture(clean, scan.ageing, np.random.default_rng(seed)).aged
    if is_grey:
        clean, aged = clean[..., :1], luma(aged)[..., np.newaxis]
    area = ""
    if scan.on_mount:
        x, y = 40, 40
        height, width = clean.shape[:2]
        area = f"{x} {y} {width} {height}"
        clean, aged = (_on_mount(picture, x, y) for picture in (clean, aged))
    _write(folder / scan.filename, aged, scan.bits)
    reference = f"references/{Path(scan.filename).stem}.png"
    _write(folder / reference, clean, 8)
    return _row(scan, scan.filename, scan.sequence, scan.view) | {"picture_area": area, "reference": reference}


def _make_verso(folder: Path, scan: Scan) -> dict[str, str]:
    """Writes the back of a print: paper with a pencilled note. A verso is kept, and not restored unless asked."""
    rng = np.random.default_rng(1000)
    height, width = _picture(scan).shape[:2]
    image = Image.new("RGB", (width, height), (226, 214, 190))
    note = f"{scan.accession_number}\n{ITEMS[scan.accession_number].title}\n(back of the print: simulated)"
    ImageDraw.Draw(image).multiline_text((40, 60), note, fill=(104, 100, 98), font=ImageFont.load_default(20))
    paper = np.asarray(image, dtype=np.float32) / 255 + rng.normal(0, 0.015, (height, width, 1)).astype(np.float32)
    _write(folder / VERSO, np.clip(paper, 0, 1), 8)
    return _row(scan, VERSO, 2, "verso")


def _picture(scan: Scan) -> Array:
    """The clean picture, (H, W, 3) in [0, 1]."""
    pixels = getattr(skimage.data, scan.picture)()
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    if scan.crop:
        x, y, width, height = scan.crop
        pixels = pixels[y : y + height, x : x + width]
    values: Array = pixels.astype(np.float32) / np.float32(255)
    return values


def _on_mount(picture: Array, x: int, y: int) -> Array:
    """The picture on a grey mount with a centimetre ruler below, as it lies on the scanner."""
    height, width = picture.shape[:2]
    image = Image.new("RGB", (width + 2 * x, height + 2 * y + 60), (196, 193, 186))
    draw = ImageDraw.Draw(image)
    top, centimetre = height + 2 * y, PPI / 2.54
    draw.rectangle([x, top - 8, x + width, top + 42], fill=(245, 244, 240))
    for millimetre in range(int(width / centimetre * 10) + 1):
        at = round(x + millimetre * centimetre / 10)
        length = 20 if millimetre % 10 == 0 else 13 if millimetre % 5 == 0 else 8
        draw.line([at, top - 8, at, top - 8 + length], fill=(20, 20, 20))
        if millimetre % 10 == 0:
            draw.text((at + 3, top + 14), str(millimetre // 10), fill=(20, 20, 20), font=ImageFont.load_default(16))
    mounted: Array = np.asarray(image, dtype=np.float32) / np.float32(255)
    mounted[y : y + height, x : x + width] = picture
    return mounted


def _row(scan: Scan, filename: str, sequence: int, view: str) -> dict[str, str]:
    item = ITEMS[scan.accession_number]
    return {
        "filename": filename,
        "accession_number": scan.accession_number,
        "sequence": str(sequence),
        "view": view,
        "title": item.title,
        "creator": item.creator,
        "date": item.date,
        "description": f"{item.description} {AGEING}",
        "place": item.place,
        "process": "digital photograph, ageing simulated",
        "polarity": "positive",
        "rights": item.rights,
        "access": "open",
        "collection": COLLECTION,
        "scanned_with": "sample_archive/make.py",
    }


def _write(path: Path, picture: Array, bits: int) -> None:
    """Writes (H, W, 1) or (H, W, 3) in the format of the name's ending; colour has an sRGB profile, grey none."""
    samples = np.rint(picture * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    profile = _srgb_profile() if samples.shape[2] == 3 else None
    samples = samples[..., 0] if samples.shape[2] == 1 else samples
    if path.suffix == ".tif":
        tifffile.imwrite(
            path,
            samples,
            photometric="rgb" if samples.ndim == 3 else "minisblack",
            resolution=(PPI, PPI),
            resolutionunit="inch",
            iccprofile=profile,
            metadata=None,
            software=False,
        )
        return
    options = {"quality": 90} if path.suffix == ".jpg" else {"optimize": True}
    Image.fromarray(samples).save(path, dpi=(PPI, PPI), icc_profile=profile, **options)


def _srgb_profile() -> bytes:
    """The same bytes each time: the profile's header holds when it was made, which is set to a fixed day."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
