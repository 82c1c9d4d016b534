"""The report: one self-contained HTML file that shows what was restored, how well, and by what."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageCms
from sqlalchemy import Select
from sqlalchemy.orm import Session

from archive import SOFTWARE_NAME, __version__
from archive.catalogue import Catalogue
from archive.catalogue.search import masters, show
from archive.catalogue.tables import Item, Master, QualityScore
from archive.catalogue.vocabulary import Access, ComparedWith, DerivativeKind, ScoredImage, StageTask
from archive.errors import StorageError, UsageError
from archive.wording import Record, recipe_in_words, score_subject, score_value
from restoration.errors import ImageError
from restoration.image import Limits, Picture
from restoration.quality.change import CHANGE_COLOURS, CHANGE_STEPS, FILLED_BY, FILLED_COLOUR, change_map

PREVIEW_WIDTH_PX = 1200
_JPEG_QUALITY = 85
_BAND_PX = 64  # rows of the reduced picture that are read at once
_SUFFIXES = (".html", ".htm")
_MARK = b'<meta name="generator" content="archive-restoration report">'
_MARK_WITHIN_BYTES = 512


class Shown(NamedTuple):
    """How much a report shows: so many items, and one derivative of each of so many masters of them."""

    items: int
    masters: int


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much nearer to its clean reference a derivative is than its master: PSNR in dB, SSIM at most 1."""

    accession_number: str
    sequence: int
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The map of what changed in one derivative, as the template shows it."""

    url: str
    """A data URL of a PNG."""
    factor: int
    """Each point of the map stands for so many pixels across."""
    changed: float
    """The share of the picture area whose luma changed by more than 8/255."""
    filled: float
    """The share of it that was filled in."""
    is_asked_for: bool
    """Whether the recipe repairs damage."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One current restored derivative with its item, as the template shows it."""

    item: Record
    master: Record
    derivative: Record
    before: str | None  # data URLs of JPEGs
    after: str | None
    changes: Changes | None
    problem: str | None  # why there are no pictures

    @property
    def recipe(self) -> str:
        return recipe_in_words(self.derivative["recipe"])

    @property
    def scores(self) -> list[tuple[str, str, Record]]:
        """Subject, value, and all else that is known of each score."""
        return [(score_subject(score), score_value(score), score) for score in self.derivative["quality"]]


def write_report(catalogue: Catalogue, query: str | None, output: Path, *, include_restricted: bool = False) -> Shown:
    """Writes the report on the masters that ``query`` finds and that have a current restored derivative.

    Only items of open access enter it, unless ``include_restricted``. A report already in ``output`` is replaced, and
    nothing else is.

    Returns:
        How much it shows.

    Raises:
        QueryError: the query has a mistake.
        UsageError: ``output`` isn't named as an HTML file.
        StorageError: the file can't be written, or is there and is no report.
    """
    _refuse_what_is_no_report(output)
    templates = Environment(
        loader=PackageLoader("archive"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["moment"] = _moment
    with catalogue.reading() as session:
        wanted = _restored(query, include_restricted=include_restricted)
        rows = session.execute(wanted.with_only_columns(Item.accession_number, Master.sequence))
        found = [(accession_number, sequence) for accession_number, sequence in rows]
        shown = Shown(items=len({accession_number for accession_number, _ in found}), masters=len(found))
        parts = templates.get_template("report.html").generate(
            entries=_entries(catalogue, session, found),
            items=shown.items,
            masters=shown.masters,
            preview_width=PREVIEW_WIDTH_PX,
            change_steps=dict(zip(CHANGE_STEPS, CHANGE_COLOURS, strict=True)),
            filled_by=FILLED_BY,
            filled_colour=FILLED_COLOUR,
            query=query,
            mean=mean_gain(_gains(session, wanted)),
            made_at=catalogue.now(session).isoformat(),
            software=f"{SOFTWARE_NAME} {__version__}",
        )
        _write(parts, output)
    return shown


def gains(catalogue: Catalogue, query: str | None) -> list[Gain]:
    """The gains of the current restored derivatives that ``query`` finds, where a clean reference is known.

    Raises:
        QueryError: the query has a mistake.
    """
    with catalogue.reading() as session:
        return _gains(session, _restored(query, include_restricted=True))


def mean_gain(found: Sequence[Gain]) -> tuple[int, float, float] | None:
    """Of how many pictures, and the mean gain in PSNR (dB) and in SSIM; None where no reference is known."""
    if not found:
        return None
    return (
        len(found),
        fmean(gain.psnr_after - gain.psnr_before for gain in found),
        fmean(gain.ssim_after - gain.ssim_before for gain in found),
    )


def _restored(query: str | None, *, include_restricted: bool) -> Select[Any]:
    wanted: Select[Any] = masters(query).where(Master.current_restored_id.is_not(None))
    return wanted if include_restricted else wanted.where(Item.access == Access.OPEN)


def _gains(session: Session, wanted: Select[Any]) -> list[Gain]:
    """Pictures without all four scores, such as those identical to their reference, have no gain."""
    rows = session.execute(
        wanted.join(QualityScore, QualityScore.derivative_id == Master.current_restored_id)
        .where(
            QualityScore.metric.in_(("psnr", "ssim")),
            QualityScore.compared_with == ComparedWith.REFERENCE,
            QualityScore.stage.is_(None),
            QualityScore.value.is_not(None),
        )
        .with_only_columns(
            Item.accession_number, Master.sequence, QualityScore.metric, QualityScore.image, QualityScore.value
        )
    )
    scores: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for accession_number, sequence, metric, image, value in rows:
        when = "before" if image is ScoredImage.SOURCE else "after"
        scores[accession_number, sequence][f"{metric}_{when}"] = value
    return [
        Gain(accession_number=accession_number, sequence=sequence, **values)
        for (accession_number, sequence), values in scores.items()
        if len(values) == 4
    ]


def _entries(catalogue: Catalogue, session: Session, found: Sequence[tuple[str, int]]) -> Iterator[Entry]:
    """One at a time, since each holds three pictures."""
    item: Record = {"accession_number": None}
    for accession_number, sequence in found:
        if item["accession_number"] != accession_number:
            item = show(catalogue, session, accession_number)
        master = next(each for each in item["masters"] if each["sequence"] == sequence)
        derivative = next(
            each
            for each in item["derivatives"]
            if each["master"] == sequence and each["current"] and each["kind"] == DerivativeKind.RESTORED
        )
        before = after = changes = problem = None
        try:
            settings = catalogue.settings
            limits = Limits(max_pixels=settings.max_pixels, max_decoding_bytes=settings.max_decoding_bytes)
            with (
                Picture.open(Path(master["path"]), page=master["page"], limits=limits) as scan,
                Picture.open(Path(derivative["path"]), limits=limits) as restored,
            ):
                before, after = preview(scan), preview(restored)
                changes = _changes(scan, restored, master["picture_area"], derivative["recipe"])
        except (ImageError, OSError) as error:
            problem = str(error)
        yield Entry(
            item=item,
            master=master,
            derivative=derivative,
            before=before,
            after=after,
            changes=changes,
            problem=problem,
        )


def _changes(scan: Picture, restored: Picture, picture_area: Record | None, recipe: Record) -> Changes:
    found = change_map(scan, restored, width_px=PREVIEW_WIDTH_PX)
    area = picture_area or {"width": scan.info.width, "height": scan.info.height}
    pixels = area["width"] * area["height"]
    buffer = io.BytesIO()
    found.image().save(buffer, "PNG", optimize=True)
    return Changes(
        url=_data_url("image/png", buffer),
        factor=found.factor,
        changed=found.changed_pixels / pixels,
        filled=found.filled_pixels / pixels,
        is_asked_for=repairs_damage(recipe),
    )


def repairs_damage(recipe: Record) -> bool:
    """Whether a stage of ``recipe``, one of ``archive show``'s, repairs damage: one that isn't told what to, may."""
    return any(
        "damage" in stage["parameters"].get("repair", ["damage"])
        for stage in recipe["stages"]
        if stage["task"] == StageTask.RESTORATION
    )


def preview(picture: Picture) -> str:
    """The picture, at most :data:`PREVIEW_WIDTH_PX` wide, as a JPEG in sRGB, as a ``data:`` URL.

    Raises:
        ImageError: it can't be decoded.
    """
    small = _in_srgb(_reduced(picture), picture.info.icc_profile)
    width = min(PREVIEW_WIDTH_PX, small.width)
    small = small.resize((width, max(1, round(small.height * width / small.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _data_url("image/jpeg", buffer)


def _data_url(kind: str, content: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def _reduced(picture: Picture) -> Image.Image:
    """The picture averaged by the whole number that leaves it just wider than a preview, read in bands."""
    factor = max(1, picture.info.width // PREVIEW_WIDTH_PX)
    factor = min(factor, picture.info.height)
    width, height = picture.info.width // factor, picture.info.height // factor
    bands = []
    for top in range(0, height, _BAND_PX):
        rows = min(_BAND_PX, height - top)
        band = picture.read(0, top * factor, width * factor, rows * factor)[0]
        blocks = band.reshape(band.shape[0], rows, factor, width, factor)
        bands.append(np.rint(blocks.mean(axis=(2, 4)) * 255).astype(np.uint8))
    pixels = np.concatenate(bands, axis=1).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _in_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """The image as a browser shows it right; as it is where it has no profile, or one that can't be used."""
    if icc_profile is None:
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return converted or image


def _moment(iso: str) -> str:
    """``2026-11-21 03:35 UTC``."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _refuse_what_is_no_report(output: Path) -> None:
    """So that a slip of the hand can't cost a master or the catalogue."""
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"a report is an HTML file, and {output} isn't named as one: end the name in .html")
    try:
        with output.open("rb") as file:
            if _MARK in file.read(_MARK_WITHIN_BYTES):
                return
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error
    raise StorageError(f"{output} is there, is no report, and is not written over: name another file, or move it away")


def _write(parts: Iterator[str], output: Path) -> None:
    partial = output.with_name(f".{output.name}.{uuid4().hex}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(parts)
        partial.replace(output)
    except OSError as error:
        raise StorageError(f"the report {output} can't be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
