"""What is measured of a restored picture: nearness to the clean one, texture, marks; and, without a clean one, shares.

Pictures are float32 (H, W, C), C 1 or 3, encoded values with data range 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from restoration.colour.toning import luma
from restoration.image import Picture
from restoration.quality import change_map, score

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Figures = dict[str, float]
"""Numbers by name; NaN where there was nothing to measure."""

_LEAST_CYCLES, _MOST_CYCLES = 1 / 32, 1 / 2  # a pixel: coarser than grain, and the finest that pixels carry
_REACH_PX = 4  # around a mark: the paper that it stands out from
_PIECE_PX = 32  # long marks are judged by pieces, so that none is lost in part
_SMALLEST_PIECE = 16  # px
_KEPT = 1 / 3  # of its contrast; a mark that has less is as good as gone
_LEAST_CONTRAST = 0.12  # luma; a mark with less contrast to its paper is not visible to a reader


def reference_metrics(target: Array, made: Array) -> Figures:
    """``psnr`` in dB and ``ssim`` as scikit-image gives them, and ``spectrum_distance``."""
    return {
        "psnr": psnr(target, made),
        "ssim": _similarity(target, made)[0],
        "spectrum_distance": spectrum_distance(target, made),
    }


def psnr(target: Array, made: Array) -> float:
    """Peak signal-to-noise ratio in dB, of pictures or of any pixels of them; infinite where they are identical."""
    if not target.size:
        return float("nan")
    error = float(np.mean((target.astype(np.float64) - made) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def spectrum_distance(target: Array, made: Array) -> float:
    """How far the texture's strength at each fineness is from the target's, in dB, mean over finenesses.

    The luma's power spectrum under a Hann window, averaged around circles of equal frequency from 1/32 to 1/2 cycles a
    pixel; of the two spectra the mean absolute difference in decibels. 0 is the same texture, wherever its grains lie.
    """
    return float(np.mean(np.abs(_radial_spectrum(target) - _radial_spectrum(made))))


def _radial_spectrum(picture: Array) -> NDArray[np.float64]:
    height, width = picture.shape[:2]
    plane = luma(picture).astype(np.float64)
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    inside = (radius >= _LEAST_CYCLES) & (radius < _MOST_CYCLES)
    step = max(1 / 64, 1 / min(height, width))
    ring = ((radius[inside] - _LEAST_CYCLES) / step).astype(int)
    means = np.bincount(ring, power[inside]) / np.bincount(ring)
    return np.asarray(10 * np.log10(means + 1e-9), dtype=np.float64)


def mark_metrics(target: Array, made: Array, ink: Mask) -> Figures:
    """``ssim`` of marks and the pixels about them, and ``marks_kept``: the share of their pieces that still stand out.

    Args:
        target: the clean picture with its marks.
        made: what a restoration made of a noisy scan of it.
        ink: (H, W), where the marks are.

    A piece is what of a connected mark lies in a square of 32 px. It is kept where its luma differs from that of the
    paper around it by at least a third of what it differs by in the target; what is only paler shows in ``ssim``.
    """
    pieces, paper = _pieces(ink)
    numbers = np.arange(1, pieces.max() + 1)
    clean, left = (_contrast(luma(picture), pieces, paper, numbers) for picture in (target, made))
    large = np.bincount(pieces.ravel(), minlength=numbers.size + 1)[1:] >= _SMALLEST_PIECE
    read = large & (np.abs(clean) >= _LEAST_CONTRAST)
    if not read.any():
        return {"ssim": float("nan"), "marks_kept": float("nan")}
    about = ndimage.binary_dilation(ink, iterations=3)
    return {
        "ssim": float(_similarity(target, made)[1][about].mean()),
        "marks_kept": float(np.mean(left[read] / clean[read] >= _KEPT)),
    }


def _pieces(ink: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each pixel's piece of a mark by number, and the piece whose paper it is; 0 for none."""
    connected, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    rows, columns = np.indices(ink.shape) // _PIECE_PX
    cells = (connected * (rows.max() + 1) + rows) * (columns.max() + 1) + columns
    pieces = np.zeros(ink.shape, dtype=np.intp)
    if not ink.any():
        return pieces, pieces
    pieces[ink] = np.unique(cells[ink], return_inverse=True)[1] + 1
    distance, nearest = ndimage.distance_transform_edt(~ink, return_indices=True)
    paper = np.where((distance > 1.5) & (distance <= 1.5 + _REACH_PX), pieces[tuple(nearest)], 0)
    return pieces, paper


def _contrast(
    plane: Array, pieces: NDArray[np.intp], paper: NDArray[np.intp], numbers: NDArray[np.intp]
) -> NDArray[np.float64]:
    ink_level, ink_count = _sums(plane, pieces, numbers)
    paper_level, paper_count = _sums(plane, paper, numbers)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = ink_level / ink_count - paper_level / paper_count
    return np.nan_to_num(difference)  # a piece without paper of its own stands out from nothing


def _sums(
    plane: Array, labels: NDArray[np.intp], numbers: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    length = numbers.size + 1
    sums = np.asarray(np.bincount(labels.ravel(), plane.ravel(), minlength=length)[1:], dtype=np.float64)
    return sums, np.bincount(labels.ravel(), minlength=length)[1:].astype(np.float64)


def _similarity(target: Array, made: Array) -> tuple[float, Array]:
    """SSIM of the picture, as scikit-image takes its mean, and of each pixel, (H, W)."""
    mean, values = structural_similarity(
        target,
        made,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean), np.asarray(values.mean(axis=-1), dtype=np.float32)


def kept_energy(source: Array, made: Array) -> Figures:
    """How much of a clean picture's fine detail is kept: ``kept_energy`` and ``kept_energy_1st_percentile``.

    Of blocks of 32 x 32 px, every 16 px, the energy of the luma's high-pass (less its Gaussian of 1.5 px) as a share of
    the source's, at most 1; the mean, and the 1st percentile, which shows a smeared corner that the mean hides. Blocks
    whose high-pass deviates by less than 2/255 have no detail and don't count.
    """
    before, after = (_block_energy(luma(picture)) for picture in (source, made))
    detailed = before > (2 / 255) ** 2
    if not detailed.any():
        return {"kept_energy": float("nan"), "kept_energy_1st_percentile": float("nan")}
    kept = np.minimum(after[detailed] / before[detailed], 1)
    return {"kept_energy": float(kept.mean()), "kept_energy_1st_percentile": float(np.percentile(kept, 1))}


def _block_energy(plane: Array) -> NDArray[np.float64]:
    high = plane - ndimage.gaussian_filter(plane, 1.5)
    blocks = np.lib.stride_tricks.sliding_window_view(high.astype(np.float64), (32, 32))[::16, ::16]
    energy: NDArray[np.float64] = blocks.var(axis=(2, 3))
    return energy


def filled_metrics(source: Array, made: Array) -> Figures:
    """``filled_share`` of the pixels and ``filled_places``, as the scores of a derivative say."""
    pictures = [Picture.from_array(picture[..., 0] if picture.shape[2] == 1 else picture) for picture in (source, made)]
    changes = change_map(*pictures)
    share = changes.filled_pixels / (source.shape[0] * source.shape[1])
    return {"filled_share": share, "filled_places": float(changes.filled_places)}


def smoothed_metrics(source: Array, made: Array) -> Figures:
    """``smoothed_share`` of the blocks, as the score of a derivative says."""
    pictures = [Picture.from_array(picture[..., 0] if picture.shape[2] == 1 else picture) for picture in (source, made)]
    (share,) = (
        each.value for each in score(derivative=pictures[1], source=pictures[0]) if each.metric == "smoothed_share"
    )
    return {"smoothed_share": float("nan") if share is None else share}


def remaining_shares(source: Array, made: Array) -> Figures:
    """What a restoration left of a real scan's grain and edges, of which no clean original is known.

    ``grain_fine`` and ``grain_coarse`` are spreads of the luma between Gaussians of 0.7 and 1.4 px, and of 1.4 and 2.8
    px, over the flattest fifth of the picture; ``edges`` is the mean gradient, of the luma smoothed by 1 px, where the
    source has its strongest 0.5 %. Each is a share of the source's. The flattest fifth is where the source's luma,
    smoothed by 4 px, rises least.
    """
    before, after = luma(source), luma(made)
    slope = ndimage.gaussian_gradient_magnitude(before, 4.0)
    flat = slope <= np.quantile(slope, 0.2)
    steep = ndimage.gaussian_gradient_magnitude(before, 1.0)
    edge = steep >= np.quantile(steep, 0.995)
    return {
        "grain_fine": _share(_band(after, 0.7)[flat].std(), _band(before, 0.7)[flat].std()),
        "grain_coarse": _share(_band(after, 1.4)[flat].std(), _band(before, 1.4)[flat].std()),
        "edges": _share(ndimage.gaussian_gradient_magnitude(after, 1.0)[edge].mean(), steep[edge].mean()),
    }


def _band(plane: Array, sigma: float) -> Array:
    passed: Array = ndimage.gaussian_filter(plane, sigma) - ndimage.gaussian_filter(plane, 2 * sigma)
    return passed


def _share(after: np.floating, before: np.floating) -> float:
    return float(after / before) if before > 0 else float("nan")
