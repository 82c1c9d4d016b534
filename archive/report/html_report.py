"""The report: one self-contained HTML file that shows what was restored, how well, and by what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.listings import get_item_details, select_derivatives
from archive.catalogue.query.file_predicates import HAS_FILE
from archive.catalogue.schema.tables import Derivative, Item, Master, QualityScore
from archive.catalogue.schema.vocabularies import Access, ComparedWith, DerivativeKind, ScoredImage
from archive.display_labels import Record, describe_recipe, describe_score, format_score_value
from archive.report.change_map import LEGEND, ChangeMapView, render_change_map
from archive.report.crop_pairs import CropPair, read_crop_pairs
from archive.report.html_writer import check_output, rendered_parts, write_page
from archive.report.preview_images import jpeg_data_url, open_before_and_after, preview, thumbnail_data_url
from archive.storage import require_parent
from restoration.errors import ImageError


class ReportCounts(NamedTuple):
    """The numbers of items, restored masters and styled derivatives in a report, and of items left out."""

    items: int
    masters: int
    styled: int
    restricted: int  # items that the query finds and that are left out, because their access is not open


@dataclass(frozen=True, kw_only=True)
class QualityGain:
    """The improvement of a derivative over its master, both compared with the clean reference: PSNR in dB, SSIM."""

    accession_number: str
    sequence: int
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float


@dataclass(frozen=True, kw_only=True)
class EntryPictures:
    """The pictures of one derivative in a report."""

    before: str  # data URLs of JPEGs
    after: str
    thumbnail: str
    width: int
    height: int
    changes: ChangeMapView | None  # None for a style, which changes the whole picture
    crops: Sequence[CropPair]


@dataclass(frozen=True, kw_only=True)
class ReportEntry:
    """One derivative with its item, as the template shows it."""

    item: Record
    master: Record
    derivative: Record
    pictures: EntryPictures | None
    problem: str | None  # why there are no pictures

    @property
    def is_styled(self) -> bool:
        return bool(self.derivative["kind"] == DerivativeKind.STYLED)

    @property
    def recipe(self) -> str:
        return describe_recipe(self.derivative["recipe"])

    @property
    def scores(self) -> list[tuple[str, str, Record]]:
        """Subject, value and all other facts of each score."""
        return [(describe_score(score), format_score_value(score), score) for score in self.derivative["quality"]]

    @property
    def headline(self) -> list[str]:
        """PSNR and SSIM in one line, by what the derivative was compared with."""
        shown = {
            (score["compared_with"], score["image"], score["metric"]): format_score_value(score)
            for score in self.derivative["quality"]
            if score["stage"] is None
        }
        parts = []
        for compared_with, name in ((ComparedWith.REFERENCE, "clean reference"), (ComparedWith.SOURCE, "scan")):
            found = []
            for metric in ("psnr", "ssim"):
                if value := shown.get((compared_with, ScoredImage.DERIVATIVE, metric)):
                    of_scan = shown.get((compared_with, ScoredImage.SOURCE, metric))
                    found.append(f"{metric.upper()} {value}" + (f" (scan {of_scan})" if of_scan else ""))
            if found:
                parts.append(f"{', '.join(found)} against the {name}")
        return parts

    @property
    def review(self) -> str:
        """``accepted``, ``rejected`` or ``none``."""
        return str(self.derivative["review"]["decision"]) if self.derivative["review"] else "none"


@dataclass(frozen=True, kw_only=True)
class ContentsLine:
    """An entry in the report's table of contents, with the values by which it can be filtered."""

    number: int
    name: str
    accession_number: str
    sequence: int
    thumbnail: str | None
    review: str
    is_filled: bool  # whether the change map marks filled-in places
    is_styled: bool


def write_report(
    catalogue: Catalogue, query: str | None, output: Path, *, include_restricted: bool = False, with_crops: bool = True
) -> ReportCounts:
    """Writes the report on the derivatives that ``query`` selects, as a batch's, else on the current ones it finds.

    Withdrawn derivatives are left out.
    Only items of open access enter it, unless ``include_restricted``. ``with_crops`` shows places at 100 %, which makes
    the file larger. A report already in ``output`` is replaced, and nothing else is.

    Returns:
        How much it shows and leaves out.

    Raises:
        QueryError: the query has a mistake.
        UsageError: ``output`` isn't named as an HTML file.
        StorageError: the file can't be written, or exists and is not a report, or the parent of its folder is missing.
    """
    check_output(output)
    require_parent(output.absolute().parent)
    with catalogue.publishing() as session:
        of_kinds = {
            kind: _chosen(kind, query, include_restricted=include_restricted)
            for kind in (DerivativeKind.RESTORED, DerivativeKind.STYLED)
        }
        restored, styled = (_named(session, chosen) for chosen in of_kinds.values())
        items = {accession_number for accession_number, _ in (*restored, *styled)}
        shown = ReportCounts(
            items=len(items),
            masters=len(restored),
            styled=len(styled),
            restricted=0 if include_restricted else _count_restricted(session, query),
        )
        contents: list[ContentsLine] = []
        found = _entries(catalogue, session, (*restored, *styled), with_crops=with_crops)
        with rendered_parts(output, "report_entry.html", _noting_contents(found, contents)) as articles:
            write_page(
                output,
                "report.html",
                contents=contents,
                articles=articles,
                items=shown.items,
                masters=shown.masters,
                styled=shown.styled,
                legend=LEGEND,
                # A query may contain names of persons, or words of items that are left out.
                query=query if catalogue.settings.publish_names and not shown.restricted else None,
                mean=mean_gain(_gains(session, of_kinds[DerivativeKind.RESTORED])),
                made_at=catalogue.now(session).isoformat(),
            )
    return shown


def quality_gains(catalogue: Catalogue, query: str | None) -> list[QualityGain]:
    """The gains of the restored derivatives that ``query`` selects, if a clean reference is known.

    Raises:
        QueryError: the query has a mistake.
    """
    with catalogue.reading() as session:
        return _gains(session, _chosen(DerivativeKind.RESTORED, query, include_restricted=True))


def mean_gain(found: Sequence[QualityGain]) -> tuple[int, float, float] | None:
    """The number of pictures, and the mean gain in PSNR (dB) and in SSIM; None if no reference is known."""
    if not found:
        return None
    return (
        len(found),
        fmean(gain.psnr_after - gain.psnr_before for gain in found),
        fmean(gain.ssim_after - gain.ssim_before for gain in found),
    )


def _chosen(kind: DerivativeKind, query: str | None, *, include_restricted: bool) -> Select[Any]:
    """The ids of the derivatives of a kind that ``query`` selects, else the current ones of its masters.

    Those that were withdrawn, or replaced because other bytes were recreated, have no file to show.
    """
    chosen: Select[Any] = select_derivatives(query, kind=kind).where(HAS_FILE)
    return chosen if include_restricted else chosen.where(Item.access == Access.OPEN)


def _count_restricted(session: Session, query: str | None) -> int:
    """The number of items whose derivatives ``query`` selects and whose access is not open."""
    items: set[int] = set()
    for kind in (DerivativeKind.RESTORED, DerivativeKind.STYLED):
        chosen = _chosen(kind, query, include_restricted=True).where(Item.access != Access.OPEN)
        items.update(session.scalars(chosen.with_only_columns(Item.id)))
    return len(items)


def _named(session: Session, chosen: Select[Any]) -> list[tuple[str, int]]:
    """Selects accession numbers and ids of derivatives."""
    rows = session.execute(chosen.with_only_columns(Item.accession_number, Derivative.id))
    return [(accession_number, derivative_id) for accession_number, derivative_id in rows]


def _gains(session: Session, chosen: Select[Any]) -> list[QualityGain]:
    """Pictures without all four scores, such as those identical to their reference, have no gain."""
    rows = session.execute(
        chosen.join(QualityScore, QualityScore.derivative_id == Derivative.id)
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
        QualityGain(accession_number=accession_number, sequence=sequence, **values)
        for (accession_number, sequence), values in scores.items()
        if len(values) == 4
    ]


def _noting_contents(entries: Iterable[ReportEntry], contents: list[ContentsLine]) -> Iterator[dict[str, Any]]:
    """The values for each entry's template; adds the entry's line to ``contents``."""
    first_styled = True
    for number, entry in enumerate(entries, start=1):
        changes = entry.pictures.changes if entry.pictures else None
        contents.append(
            ContentsLine(
                number=number,
                name=entry.item["title"] or entry.item["accession_number"],
                accession_number=entry.item["accession_number"],
                sequence=entry.master["sequence"],
                thumbnail=entry.pictures.thumbnail if entry.pictures else None,
                review=entry.review,
                is_filled=bool(changes and changes.filled),
                is_styled=entry.is_styled,
            )
        )
        yield {
            "entry": entry,
            "line": contents[-1],
            "begins_styled": entry.is_styled and first_styled,
            "legend": LEGEND,
        }
        first_styled = first_styled and not entry.is_styled


def _entries(
    catalogue: Catalogue, session: Session, found: Sequence[tuple[str, int]], *, with_crops: bool
) -> Iterator[ReportEntry]:
    """The entries one at a time, because each contains its pictures."""
    item: Record = {"accession_number": None}
    for accession_number, derivative_id in found:
        if item["accession_number"] != accession_number:
            item = get_item_details(catalogue, session, accession_number)
        derivative = next(each for each in item["derivatives"] if each["id"] == derivative_id)
        master = next(each for each in item["masters"] if each["sequence"] == derivative["master"])
        pictures = problem = None
        try:
            pictures = _read_pictures(catalogue, master, derivative, with_crops=with_crops)
        except FileNotFoundError as error:
            problem = (
                f"file missing: {error.filename}. `archive verify` marks it, `archive verify --repair` makes it again"
            )
        except (ImageError, OSError) as error:
            problem = str(error)
        yield ReportEntry(item=item, master=master, derivative=derivative, pictures=pictures, problem=problem)


def _read_pictures(catalogue: Catalogue, master: Record, derivative: Record, *, with_crops: bool) -> EntryPictures:
    with open_before_and_after(catalogue.settings, master, derivative) as (scan, made):
        after = preview(made)
        changes = None
        if derivative["kind"] == DerivativeKind.RESTORED:
            changes = render_change_map(scan, made, master["picture_area"], derivative["recipe"])
        return EntryPictures(
            before=jpeg_data_url(preview(scan)),
            after=jpeg_data_url(after),
            thumbnail=thumbnail_data_url(after),
            width=after.width,
            height=after.height,
            changes=changes,
            crops=read_crop_pairs(scan, made, master["picture_area"]) if with_crops else (),
        )
