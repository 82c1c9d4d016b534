"""Quality scores: what each says, of which image, compared with what, in which colour space and data range.

All are of encoded values in [0, 1], worked out in bands of rows. Every sum is taken per row in float64 and the rows are
added exactly (``math.fsum``), so a value depends neither on the bands nor on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from restoration.errors import ImageError
from restoration.image import Area, Crop, ImageInfo, Source

_BAND_PIXELS = 1 << 19  # some 12 MB for each array of three channels
_LEAST_BAND_ROWS = 16
_SSIM_SIGMA, _SSIM_RADIUS = 1.5, 5  # scikit-image cuts the Gaussian at 3.5 sigma
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
_BLUR_SIZE, _BLUR_OVERLAP = 11, 8  # scikit-image's filter; its radius and the Sobel filter's fit in the overlap
_BLUR_FLOOR = float(np.spacing(1))
_WAVELET_OVERLAP = 4  # db2 has four taps
_CHANGED_BY = 8 / 255 + 1e-6  # a change of exactly 8 levels isn't more than that, however it is rounded

_Rows = NDArray[np.float64]
Which = Literal["source", "derivative"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric's value. ``value`` is None where there is none, and ``detail`` then says why."""

    metric: str
    value: float | None
    image: Which
    stage: int | None = None
    compared_with: Literal["source", "reference"] | None = None
    colour_space: str
    data_range: float = 1.0
    implementation: str
    detail: str | None = None


def score(
    *, derivative: Source, source: Source, reference: Source | None = None, area: Area | None = None
) -> list[Score]:
    """All scores of a restored derivative, of its source where that makes sense, and against a reference.

    Args:
        derivative: what was made.
        source: what it was made of, of the same size.
        reference: a clean image of the same scene; one of another size or kind is reported as not compared.
        area: the rectangle that is scored; by itself the whole picture.

    Raises:
        ImageError: an image can't be read, derivative and source differ in size or channels, or the area is outside.
    """
    if (objection := _objection(derivative.info, source.info, "source")) is not None:
        raise ImageError(f"a derivative can't be scored against its source: {objection}")
    objection = None if reference is None else _objection(source.info, reference.info, "reference")
    if area is not None:
        derivative, source = Crop(derivative, area), Crop(source, area)
        reference = Crop(reference, area) if reference is not None and objection is None else reference
    scores = _compare(derivative, source, image="derivative", compared_with="source")
    if reference is not None:
        images: tuple[tuple[Which, Source], ...] = (("source", source), ("derivative", derivative))
        for image, picture in images:
            if objection is None:
                scores += _compare(picture, reference, image=image, compared_with="reference")
            else:
                scores += _not_compared(picture, image=image, reason=objection)
    return [*scores, *_describe(source, image="source"), *_describe(derivative, image="derivative")]


def _objection(info: ImageInfo, other: ImageInfo, name: str) -> str | None:
    """Why ``other`` can't be compared with a picture, in words, or None where it can."""
    if (info.width, info.height) != (other.width, other.height):
        return f"{name} is {other.width}x{other.height}, the picture {info.width}x{info.height}: not compared"
    if info.colour_channels != other.colour_channels:
        kinds = {1: "grey", 3: "RGB"}
        return f"{name} is {kinds[other.colour_channels]}, the picture {kinds[info.colour_channels]}: not compared"
    return None


def _not_compared(picture: Source, *, image: Which, reason: str) -> list[Score]:
    return [
        Score(
            metric=metric,
            value=None,
            image=image,
            compared_with="reference",
            colour_space=picture.info.colour_space,
            implementation=implementation,
            detail=reason,
        )
        for metric, implementation in (("psnr", _psnr_implementation()), ("ssim", _ssim_implementation()))
    ]


def _compare(
    picture: Source, other: Source, *, image: Which, compared_with: Literal["source", "reference"]
) -> list[Score]:
    """PSNR and SSIM of one picture against another and, against the source, the share of pixels that changed."""
    errors: list[float] = []
    similarities: list[float] = []
    changes: list[int] = []
    height = picture.info.height
    for top, bottom, first, last in _bands(picture.info, overlap=_SSIM_RADIUS):
        ours, theirs = _rows(picture, first, last), _rows(other, first, last)
        core = slice(top - first, bottom - first)
        errors += _row_sums((ours[:, core] - theirs[:, core]) ** 2)
        changes.append(int((np.abs(_luma(ours[:, core]) - _luma(theirs[:, core])) > _CHANGED_BY).sum()))
        inner = slice(max(top, _SSIM_RADIUS) - first, min(bottom, height - _SSIM_RADIUS) - first)
        if picture.info.width > 2 * _SSIM_RADIUS and inner.start < inner.stop:
            similarities += _row_sums(_ssim_map(ours, theirs)[:, inner, _SSIM_RADIUS:-_SSIM_RADIUS])
    profile, other_profile = picture.info.icc_profile, other.info.icc_profile
    detail = None if profile == other_profile else f"the {compared_with} is in {other.info.colour_space}"

    def made(metric: str, value: float | None, implementation: str, reason: str | None = None) -> Score:
        return Score(
            metric=metric,
            value=value,
            image=image,
            compared_with=compared_with,
            colour_space=picture.info.colour_space,
            implementation=implementation,
            detail=reason or detail,
        )

    samples = picture.info.width * height * picture.info.colour_channels
    error = math.fsum(errors) / samples
    psnr = (None, "identical") if error == 0 else (10 * math.log10(1 / error), None)
    inside = (picture.info.width - 2 * _SSIM_RADIUS) * (height - 2 * _SSIM_RADIUS) * picture.info.colour_channels
    ssim = (math.fsum(similarities) / inside, None) if similarities else (None, "smaller than 11 px: not compared")
    scores = [
        made("psnr", psnr[0], _psnr_implementation(), psnr[1]),
        made("ssim", ssim[0], _ssim_implementation(), ssim[1]),
    ]
    if compared_with == "source":
        share = sum(changes) / (picture.info.width * height)
        scores.append(made("changed_share", share, _own("luma changed by more than 8/255")))
    return scores


def _ssim_map(ours: _Rows, theirs: _Rows) -> _Rows:
    """Structural similarity of every pixel, (C, h, w): Gaussian weights, population covariance."""
    from scipy.ndimage import gaussian_filter

    def smooth(values: _Rows) -> _Rows:
        # The channels are filtered apart: no sigma along the first axis.
        smoothed: _Rows = gaussian_filter(values, (0, _SSIM_SIGMA, _SSIM_SIGMA), truncate=3.5)
        return smoothed

    our_mean, their_mean = smooth(ours), smooth(theirs)
    product = our_mean * their_mean
    our_square, their_square = our_mean**2, their_mean**2
    covariance = smooth(ours * theirs) - product
    variances = smooth(ours * ours) - our_square + smooth(theirs * theirs) - their_square
    similar: _Rows = ((2 * product + _SSIM_C1) * (2 * covariance + _SSIM_C2)) / (
        (our_square + their_square + _SSIM_C1) * (variances + _SSIM_C2)
    )
    return similar


def _describe(picture: Source, *, image: Which) -> list[Score]:
    """The metrics that need nothing to compare with."""

    def made(metric: str, value: float | None, implementation: str) -> Score:
        return Score(
            metric=metric,
            value=value,
            image=image,
            colour_space=picture.info.colour_space,
            implementation=implementation,
            detail="flat, or too small" if value is None else None,
        )

    return [
        made("noise_sigma", _noise_sigma(picture), _like("estimate_sigma")),
        made("blur_effect", _blur_effect(picture), _like("blur_effect")),
        made("contrast", _contrast(picture), _own("standard deviation of luma")),
        made("colourfulness", _colourfulness(picture), _own("Hasler and Süsstrunk 2003")),
    ]


def _noise_sigma(picture: Source) -> float | None:
    """The median of the finest diagonal wavelet details that aren't zero, as a standard deviation, mean of channels."""
    import pywt
    from scipy.stats import norm

    height, sigmas = picture.info.height, []
    for channel in range(picture.info.colour_channels):
        details = []
        # Coefficient k is made of rows 2k - 2 to 2k + 1, so bands begin at even rows and coefficients at half of them.
        for top, bottom, first, last in _bands(picture.info, overlap=_WAVELET_OVERLAP):
            band = np.abs(pywt.dwtn(_rows(picture, first, last)[channel], "db2")["dd"])
            end = band.shape[0] if bottom == height else (bottom - first) // 2
            kept = band[(top - first) // 2 : end]
            details.append(kept[kept != 0].astype(np.float32))
        found = np.concatenate(details)
        if not found.size:
            return None
        sigmas.append(float(np.median(found, overwrite_input=True)) / float(norm.ppf(0.75)))
    return math.fsum(sigmas) / len(sigmas)


def _blur_effect(picture: Source) -> float | None:
    """The larger, over both axes, of the share of edges that stays when the picture is blurred again."""
    from scipy.ndimage import uniform_filter1d
    from skimage.filters import sobel

    height, width = picture.info.height, picture.info.width
    sharp_sums: tuple[list[float], list[float]] = ([], [])
    lost_sums: tuple[list[float], list[float]] = ([], [])
    for top, bottom, first, last in _bands(picture.info, overlap=_BLUR_OVERLAP):
        luma = _luma(_rows(picture, first, last))
        inner = (slice(max(top, 2) - first, min(bottom, height - 1) - first), slice(2, width - 1))
        for axis in (0, 1):
            sharp = np.maximum(_BLUR_FLOOR, np.abs(sobel(luma, axis=axis)))[inner]
            blurred = uniform_filter1d(luma, _BLUR_SIZE, axis=axis)
            lost = np.maximum(0, sharp - np.maximum(_BLUR_FLOOR, np.abs(sobel(blurred, axis=axis)))[inner])
            sharp_sums[axis].extend(_row_sums(sharp[np.newaxis]))
            lost_sums[axis].extend(_row_sums(lost[np.newaxis]))
    edges = [math.fsum(sums) for sums in sharp_sums]
    if not all(edges):
        return None
    return max(abs(edge - math.fsum(lost)) / edge for edge, lost in zip(edges, lost_sums, strict=True))


def _contrast(picture: Source) -> float:
    return _moments(picture, _luma)[1]


def _colourfulness(picture: Source) -> float:
    """Spread and strength of the two opponent colours; 0 for grey."""
    if picture.info.colour_channels == 1:
        return 0.0
    mean_rg, spread_rg = _moments(picture, lambda rows: rows[0] - rows[1])
    mean_yb, spread_yb = _moments(picture, lambda rows: (rows[0] + rows[1]) / 2 - rows[2])
    return math.hypot(spread_rg, spread_yb) + 0.3 * math.hypot(mean_rg, mean_yb)


def _moments(picture: Source, of: Callable[[_Rows], _Rows]) -> tuple[float, float]:
    """Mean and standard deviation of what ``of`` makes of (C, h, w)."""
    sums: list[float] = []
    squares: list[float] = []
    # Taken about the first value, so that a flat picture's spread is exactly 0.
    origin = float(of(_rows(picture, 0, 1))[0, 0])
    for top, bottom, _, _ in _bands(picture.info, overlap=0):
        values = of(_rows(picture, top, bottom))[np.newaxis] - origin
        sums += _row_sums(values)
        squares += _row_sums(values**2)
    pixels = picture.info.width * picture.info.height
    mean = math.fsum(sums) / pixels
    return mean + origin, math.sqrt(max(0.0, math.fsum(squares) / pixels - mean**2))


def _bands(info: ImageInfo, *, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows of each band, and the rows to read for it with the overlap on both sides that the picture has.

    Bands begin at even rows.
    """
    height, rows = info.height, max(_LEAST_BAND_ROWS, _BAND_PIXELS // info.width // 2 * 2)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield top, bottom, max(0, top - overlap), min(height, bottom + overlap)


def _rows(picture: Source, first: int, last: int) -> _Rows:
    """Rows of a picture, (C, h, w)."""
    rows: _Rows = picture.read(0, first, picture.info.width, last - first)[0].astype(np.float64)
    return rows


def _luma(rows: _Rows) -> _Rows:
    """Luma of (C, h, w), (h, w), with the weights of scikit-image's rgb2gray."""
    if rows.shape[0] == 1:
        grey: _Rows = rows[0]
        return grey
    luma: _Rows = 0.2125 * rows[0] + 0.7154 * rows[1] + 0.0721 * rows[2]
    return luma


def _row_sums(values: _Rows) -> list[float]:
    """The sum of every row of (C, h, w)."""
    sums: list[float] = np.ascontiguousarray(values).sum(axis=-1).ravel().tolist()
    return sums


@cache
def _like(function: str) -> str:
    """What is worked out here as scikit-image does on the whole picture."""
    return f"scikit-image {version('scikit-image')} {function}, in bands"


def _psnr_implementation() -> str:
    return _like("peak_signal_noise_ratio")


def _ssim_implementation() -> str:
    return _like("structural_similarity (Gaussian weights, sigma 1.5, population covariance)")


def _own(what: str) -> str:
    return f"archive-restoration, {what}"
