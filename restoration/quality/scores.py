"""The scores of a derivative, computed from sums over the blocks of its pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal, TypeVar

from restoration.device_scheduling import DeviceScheduler, run_immediately
from restoration.errors import DeviceMemoryError, ImageError
from restoration.image import Area, ImageInfo, Source, working_space
from restoration.processor_cores import count_cores
from restoration.quality.block_metrics import SSIM_RADIUS
from restoration.quality.content_similarity import content_ssim
from restoration.quality.metric_sums import MetricSums
from restoration.quality.processor_measurement import measure_on_processor
from restoration.quality.style_distance import StyleEvaluation, style_distances

_log = logging.getLogger(__name__)
_MOST_THREADS = 8  # each thread has a window in memory

_Result = TypeVar("_Result")
Which = Literal["source", "derivative"]
ComparedWith = Literal["source", "reference", "stage_input", "style"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """The value of a metric; without a value, ``detail`` holds the reason."""

    metric: str
    value: float | None
    image: Which
    stage: int | None = None
    compared_with: ComparedWith | None = None
    colour_space: str
    data_range: float = 1.0
    implementation: str
    detail: str | None = None


def score(
    *,
    derivative: Source,
    source: Source,
    reference: Source | None = None,
    style: StyleEvaluation | None = None,
    area: Area | None = None,
    threads: int | None = None,
    device: str | None = None,
    scheduler: DeviceScheduler = run_immediately,
) -> list[Score]:
    """Computes all scores of a derivative, the applicable scores of its source, and comparisons with a reference.

    The calling thread reads each picture in windows, once for a GPU, else twice, and a few times more for a style;
    memory hardly grows with the picture's size.

    Args:
        derivative: the restored picture.
        source: the picture that it was made from, of the same size.
        reference: a clean picture of the same scene; one of another size or kind is reported as not compared.
        style: how a styled derivative was made; adds scores of each stage, of the kept content, and of the distance to
            the style's pictures.
        area: the rectangle to score, by default the whole picture. The noise is always that of the whole picture.
        threads: the number of threads, by default one for each core that the process may use, at most 8. Values don't
            depend on it.
        device: torch's name of a GPU that computes the scores instead of the threads, such as ``cuda:0``. The values
            are the same within the tolerances of docs/reference/scores.md. If its free memory is too small, the
            threads compute them.
        scheduler: runs the calls on that device.

    Raises:
        ImageError: an image can't be read, derivative and source differ in size or channels, or the area is outside.
        DeviceError: the device failed.
    """
    info = source.info
    if (objection := _mismatch_reason(derivative.info, info, "source")) is not None:
        raise ImageError(f"a derivative can't be scored against its source: {objection}")
    objection = None if reference is None else _mismatch_reason(info, reference.info, "reference")
    if area is not None:
        area.check_within(info)
    images: dict[Which, Source] = {"source": source, "derivative": derivative}
    compared: dict[str, Source] = {}
    if reference is not None and objection is None:
        compared["reference"] = reference
    if style is not None and style.content is not None:
        compared["content"] = style.content
    sums = _measure(
        dict(reversed(images.items())),
        compared,
        area=area or Area(x=0, y=0, width=info.width, height=info.height),
        threads=threads or min(count_cores(), _MOST_THREADS),
        device=device,
        scheduler=scheduler,
    )
    scores = list(_comparison_scores(sums, derivative, source, image="derivative", compared_with="source"))
    scores += _overprocessing_scores(sums, derivative)
    for image, picture in images.items():
        if objection is not None:
            scores += _not_compared(picture, image=image, reason=objection)
        elif reference is not None:
            scores += _comparison_scores(sums, picture, reference, image=image, compared_with="reference")
    for image, picture in images.items():
        scores += _no_reference_scores(
            sums, picture, image=image, noise_detail=None if area is None else "of the whole picture"
        )
    if style is not None:
        scores += _stage_scores(sums, derivative, source, style)
        kept = _content_ssim(derivative, source, sums.area, device, scheduler)
        scores += _style_scores(derivative, style, sums.area, kept)
    return scores


def _measure(
    described: Mapping[str, Source],
    references: Mapping[str, Source],
    *,
    area: Area,
    threads: int,
    device: str | None,
    scheduler: DeviceScheduler,
) -> MetricSums:
    def on_device(device: str) -> MetricSums:
        from restoration.quality.gpu_measurement import measure_on_gpu

        return measure_on_gpu(described, references, area=area, device=device, scheduler=scheduler)

    return _compute(device, on_device, lambda: measure_on_processor(described, references, area=area, threads=threads))


def _content_ssim(
    derivative: Source, source: Source, area: Area, device: str | None, scheduler: DeviceScheduler
) -> float | None:
    def on_device(device: str) -> float | None:
        from restoration.quality.gpu_content_similarity import content_ssim_on_gpu

        return content_ssim_on_gpu(derivative, source, area, device=device, scheduler=scheduler)

    return _compute(device, on_device, lambda: content_ssim(derivative, source, area))


def _compute(device: str | None, on_device: Callable[[str], _Result], on_processor: Callable[[], _Result]) -> _Result:
    """The result of the device if one is given and has enough free memory, else that of the processor."""
    if device is not None:
        try:
            return on_device(device)
        except DeviceMemoryError as error:
            # As text, because a log record that is kept would keep the exception.
            reason = str(error)
            _log.warning("%s has too little free memory for scores; the processor computes them: %s", device, reason)
    # Outside the except block, so that the exception no longer keeps the device's memory occupied.
    return on_processor()


def _stage_scores(sums: MetricSums, derivative: Source, source: Source, style: StyleEvaluation) -> Iterator[Score]:
    """Compares the input and output of each stage, if they are known.

    Blended styles share one result, which is scored for the last of them.
    """
    last, restored = len(style.recipe.stages) - 1, len(style.recipe.stages) - len(style.recipe.styles) - 1
    if style.content is None:
        yield from _similarity_scores(
            sums, ("derivative", "source"), derivative, source, "derivative", "stage_input", last
        )
    else:
        if restored == 0:
            yield from _similarity_scores(
                sums, ("source", "content"), style.content, source, "derivative", "stage_input", restored
            )
        yield from _similarity_scores(
            sums, ("source", "content"), style.content, source, "derivative", "source", restored
        )
        yield from _similarity_scores(
            sums, ("derivative", "content"), derivative, style.content, "derivative", "stage_input", last
        )
    yield from _similarity_scores(sums, ("derivative", "source"), derivative, source, "derivative", "source", last)


def _style_scores(derivative: Source, style: StyleEvaluation, area: Area, kept: float | None) -> Iterator[Score]:
    """The content that the style ``kept``, and distances to the style's training pictures."""
    yield Score(
        metric="content_ssim",
        value=kept,
        image="derivative",
        compared_with="source",
        colour_space=derivative.info.colour_space,
        implementation=_own("SSIM of luma after a Gaussian of sigma 2 and the best monotone tone curve"),
        detail="smaller than 11 px: not compared" if kept is None else None,
    )
    first = len(style.recipe.stages) - len(style.recipe.styles)
    for stage, card in enumerate(style.cards, first):
        for metric, value in style_distances(derivative, area, card).items():
            yield Score(
                metric=metric,
                value=value,
                image="derivative",
                stage=stage,
                compared_with="style",
                colour_space=working_space(derivative.info, "style"),
                implementation=_own(f"statistics in spreads of those of the pictures of {card.reference}"),
            )


def _mismatch_reason(info: ImageInfo, other: ImageInfo, name: str) -> str | None:
    """The reason why ``other`` can't be compared with a picture, or None."""
    if (info.width, info.height) != (other.width, other.height):
        return f"{name} is {other.width}x{other.height}, the picture {info.width}x{info.height}: not compared"
    if info.colour_channels != other.colour_channels:
        kinds = {1: "grey", 3: "RGB"}
        return f"{name} is {kinds[other.colour_channels]}, the picture {kinds[info.colour_channels]}: not compared"
    return None


def _not_compared(picture: Source, *, image: Which, reason: str) -> Iterator[Score]:
    for metric, implementation in (("psnr", _psnr_implementation()), ("ssim", _ssim_implementation())):
        yield Score(
            metric=metric,
            value=None,
            image=image,
            compared_with="reference",
            colour_space=picture.info.colour_space,
            implementation=implementation,
            detail=reason,
        )


def _comparison_scores(
    sums: MetricSums, picture: Source, other: Source, *, image: Which, compared_with: ComparedWith
) -> Iterator[Score]:
    """PSNR and SSIM of one picture against another and, against the source, the share of changed pixels."""
    yield from _similarity_scores(sums, (image, compared_with), picture, other, image, compared_with)
    if compared_with == "source":
        share = sums.of("changed", image, compared_with) / (sums.area.width * sums.area.height)
        yield Score(
            metric="changed_share",
            value=share,
            image=image,
            compared_with=compared_with,
            colour_space=picture.info.colour_space,
            implementation=_own("luma changed by more than 8/255"),
            detail=_profile_note(picture, other, compared_with),
        )


def _overprocessing_scores(sums: MetricSums, derivative: Source) -> Iterator[Score]:
    """Scores for overprocessing: smoothed texture and filled-in features."""

    def made(metric: str, value: float | None, implementation: str) -> Score:
        return Score(
            metric=metric,
            value=value,
            image="derivative",
            compared_with="source",
            colour_space=derivative.info.colour_space,
            implementation=_own(implementation),
            detail="smaller than 32 px: not compared" if value is None else None,
        )

    pixels, places = sums.filled
    smoothed = sums.smoothed_share("source", "derivative")
    yield made("smoothed_share", smoothed, "blocks of 32 px that lost more than twice the picture's grain")
    yield made(
        "filled_share", pixels / (sums.area.width * sums.area.height), "pixels that the change map marks as filled in"
    )
    yield made("filled_places", places, "connected cells of 16 px with pixels filled in")


def _similarity_scores(
    sums: MetricSums,
    names: tuple[str, str],
    picture: Source,
    other: Source,
    image: Which,
    compared_with: ComparedWith,
    stage: int | None = None,
) -> Iterator[Score]:
    """PSNR and SSIM of two pictures, whose sums are stored under ``names``."""
    info, area = picture.info, sums.area

    def made(metric: str, value: float | None, implementation: str, reason: str | None = None) -> Score:
        return Score(
            metric=metric,
            value=value,
            image=image,
            stage=stage,
            compared_with=compared_with,
            colour_space=info.colour_space,
            implementation=implementation,
            detail=reason or _profile_note(picture, other, compared_with),
        )

    error = sums.of("error", *names) / (area.width * area.height * info.colour_channels)
    if error:
        yield made("psnr", 10 * math.log10(1 / error), _psnr_implementation())
    else:
        yield made("psnr", None, _psnr_implementation(), "identical")
    width, height = area.width - 2 * SSIM_RADIUS, area.height - 2 * SSIM_RADIUS
    if width > 0 and height > 0:
        similarity = sums.of("similarity", *names) / (width * height * info.colour_channels)
        yield made("ssim", similarity, _ssim_implementation())
    else:
        yield made("ssim", None, _ssim_implementation(), "smaller than 11 px: not compared")


def _profile_note(picture: Source, other: Source, name: str) -> str | None:
    """A note that two pictures have different colour profiles."""
    if picture.info.icc_profile == other.info.icc_profile:
        return None
    return f"the {name.replace('_', ' ')} is in {other.info.colour_space}"


def _no_reference_scores(
    sums: MetricSums, picture: Source, *, image: Which, noise_detail: str | None
) -> Iterator[Score]:
    """The metrics without a comparison image."""

    def made(metric: str, value: float | None, implementation: str, detail: str | None = None) -> Score:
        return Score(
            metric=metric,
            value=value,
            image=image,
            colour_space=picture.info.colour_space,
            implementation=implementation,
            detail="flat, or too small" if value is None else detail,
        )

    yield made("noise_sigma", sums.noise(image), _implementation("estimate_sigma"), noise_detail)
    yield made("blur_effect", _blur_effect(sums, image), _implementation("blur_effect"))
    yield made("contrast", math.sqrt(sums.moments("luma", image)[1]), _own("standard deviation of luma"))
    yield made("colourfulness", _colourfulness(sums, picture, image), _own("Hasler and Süsstrunk 2003"))


def _blur_effect(sums: MetricSums, image: Which) -> float | None:
    """The larger, over both axes, of the share of edges that remains when the picture is blurred again."""
    shares = []
    for axis in (0, 1):
        edges = sums.of(f"edges_{axis}", image)
        if not edges:
            return None
        shares.append(abs(edges - sums.of(f"lost_{axis}", image)) / edges)
    return max(shares)


def _colourfulness(sums: MetricSums, picture: Source, image: Which) -> float:
    """Spread and strength of the two opponent colours; 0 for grey."""
    if picture.info.colour_channels == 1:
        return 0.0
    (mean_rg, variance_rg), (mean_yb, variance_yb) = (
        sums.moments(name, image) for name in ("red_green", "yellow_blue")
    )
    return math.sqrt(variance_rg + variance_yb) + 0.3 * math.hypot(mean_rg, mean_yb)


@cache
def _implementation(function: str) -> str:
    """The implementation label: as computed by a scikit-image function on the whole picture."""
    return f"scikit-image {version('scikit-image')} {function}, in bands"


def _psnr_implementation() -> str:
    return _implementation("peak_signal_noise_ratio")


def _ssim_implementation() -> str:
    return _implementation("structural_similarity (Gaussian weights, sigma 1.5, population covariance)")


def _own(what: str) -> str:
    return f"archive-restoration, {what}"
