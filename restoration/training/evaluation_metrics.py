"""Metrics of a restored picture: fidelity to the clean picture, texture, marks; for real scans, retained shares.

Pictures are float32 (H, W, C), C 1 or 3, encoded values with data range 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from restoration.colour.colour_operations import luma
from restoration.image import Picture
from restoration.quality import count_filled
from restoration.quality.smoothing_detection import find_smoothed_blocks

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Metrics = dict[str, float]
"""Values by metric name; NaN where there was nothing to measure."""

_MIN_CYCLES, _MAX_CYCLES = 1 / 32, 1 / 2  # per pixel: from coarser than grain to the Nyquist limit
_PAPER_REACH_PX = 4  # around a mark: the paper it is compared with
_PIECE_PX = 32  # long marks are measured in pieces, so that a partial loss is counted
_MIN_PIECE_PIXELS = 16  # px
_MIN_KEPT_CONTRAST = 1 / 3  # of its contrast; a mark with less counts as lost
_MIN_VISIBLE_CONTRAST = 0.12  # luma; a mark with less contrast to its paper is not visible to a reader


def reference_metrics(target: Array, restored: Array) -> Metrics:
    """Computes ``psnr`` (dB) and ``ssim`` as scikit-image does, and ``spectrum_distance`` (dB)."""
    return {
        "psnr": psnr(target, restored),
        "ssim": _ssim_map(target, restored)[0],
        "spectrum_distance": spectrum_distance(target, restored),
    }


def psnr(target: Array, restored: Array) -> float:
    """Peak signal-to-noise ratio in dB of pictures or selected pixels; infinite if they are identical."""
    if not target.size:
        return float("nan")
    error = float(np.mean((target.astype(np.float64) - restored) ** 2))
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def spectrum_distance(target: Array, restored: Array) -> float:
    """Mean absolute difference, in dB, of the radially averaged power spectra of the luma.

    The spectra use a Hann window and frequencies from 1/32 to 1/2 cycles per pixel. 0 means the same texture, wherever
    its grains lie.
    """
    return float(np.mean(np.abs(_radial_spectrum(target) - _radial_spectrum(restored))))


def _radial_spectrum(picture: Array) -> NDArray[np.float64]:
    height, width = picture.shape[:2]
    plane = luma(picture).astype(np.float64)
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    inside = (radius >= _MIN_CYCLES) & (radius < _MAX_CYCLES)
    step = max(1 / 64, 1 / min(height, width))
    ring = ((radius[inside] - _MIN_CYCLES) / step).astype(int)
    means = np.bincount(ring, power[inside]) / np.bincount(ring)
    return np.asarray(10 * np.log10(means + 1e-9), dtype=np.float64)


def mark_metrics(target: Array, restored: Array, ink: Mask) -> Metrics:
    """Computes ``ssim`` on and around marks, and ``marks_kept``, the share of their pieces that are still visible.

    Args:
        target: the clean picture with its marks.
        restored: the restored picture of a noisy scan of it.
        ink: (H, W), the pixels of the marks.

    A piece is the part of a connected mark inside a square of 32 px. It counts as kept if its luma contrast to the
    paper around it is at least a third of the contrast in the target. Smaller losses of contrast lower ``ssim``.
    """
    pieces, paper = _label_pieces(ink)
    piece_numbers = np.arange(1, pieces.max() + 1)
    target_contrast, contrast = (
        _piece_contrast(luma(picture), pieces, paper, piece_numbers) for picture in (target, restored)
    )
    large = np.bincount(pieces.ravel(), minlength=piece_numbers.size + 1)[1:] >= _MIN_PIECE_PIXELS
    visible = large & (np.abs(target_contrast) >= _MIN_VISIBLE_CONTRAST)
    if not visible.any():
        return {"ssim": float("nan"), "marks_kept": float("nan")}
    near_ink = ndimage.binary_dilation(ink, iterations=3)
    return {
        "ssim": float(_ssim_map(target, restored)[1][near_ink].mean()),
        "marks_kept": float(np.mean(contrast[visible] / target_contrast[visible] >= _MIN_KEPT_CONTRAST)),
    }


def _label_pieces(ink: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Labels each pixel with the mark piece it belongs to, and with the piece whose paper it is; 0 for none."""
    connected, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    rows, columns = np.indices(ink.shape) // _PIECE_PX
    cells = (connected * (rows.max() + 1) + rows) * (columns.max() + 1) + columns
    pieces = np.zeros(ink.shape, dtype=np.intp)
    if not ink.any():
        return pieces, pieces
    pieces[ink] = np.unique(cells[ink], return_inverse=True)[1] + 1
    distance, nearest = ndimage.distance_transform_edt(~ink, return_indices=True)
    paper = np.where((distance > 1.5) & (distance <= 1.5 + _PAPER_REACH_PX), pieces[tuple(nearest)], 0)
    return pieces, paper


def _piece_contrast(
    plane: Array, pieces: NDArray[np.intp], paper: NDArray[np.intp], piece_numbers: NDArray[np.intp]
) -> NDArray[np.float64]:
    ink_level, ink_count = _label_sums(plane, pieces, piece_numbers)
    paper_level, paper_count = _label_sums(plane, paper, piece_numbers)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = ink_level / ink_count - paper_level / paper_count
    return np.nan_to_num(difference)  # a piece without surrounding paper has no contrast


def _label_sums(
    plane: Array, labels: NDArray[np.intp], piece_numbers: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    length = piece_numbers.size + 1
    sums = np.asarray(np.bincount(labels.ravel(), plane.ravel(), minlength=length)[1:], dtype=np.float64)
    return sums, np.bincount(labels.ravel(), minlength=length)[1:].astype(np.float64)


def _ssim_map(target: Array, restored: Array) -> tuple[float, Array]:
    """Mean SSIM of the picture, as scikit-image computes it, and the SSIM map, (H, W)."""
    mean, values = structural_similarity(
        target,
        restored,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean), np.asarray(values.mean(axis=-1), dtype=np.float32)


def kept_energy(source: Array, restored: Array) -> Metrics:
    """Computes how much of a clean picture's fine detail is kept: ``kept_energy``, ``kept_energy_1st_percentile``.

    The picture is divided into blocks of 32 x 32 px, one every 16 px. For each block, the energy of the high-pass (luma
    minus its Gaussian of 1.5 px) is divided by the source's and limited to 1. The results are the mean, and the 1st
    percentile, which shows a smeared corner that the mean hides. Blocks with a high-pass deviation below 2/255 have no
    detail and are ignored.
    """
    before, after = (_block_energy(luma(picture)) for picture in (source, restored))
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


def filled_metrics(source: Array, restored: Array) -> Metrics:
    """Computes ``filled_share`` (of the pixels) and ``filled_places`` as the scores of a derivative do."""
    pixels, places = count_filled(_as_picture(source), _as_picture(restored))
    return {"filled_share": pixels / (source.shape[0] * source.shape[1]), "filled_places": float(places)}


def smoothed_metrics(source: Array, restored: Array) -> Metrics:
    """Computes ``smoothed_share`` (of the blocks) as the score of a derivative does."""
    smoothed = find_smoothed_blocks(_as_picture(source), _as_picture(restored))
    return {"smoothed_share": float(np.mean(smoothed)) if smoothed.size else float("nan")}


def _as_picture(picture: Array) -> Picture:
    return Picture.from_array(picture[..., 0] if picture.shape[2] == 1 else picture)


def retained_shares(source: Array, restored: Array) -> Metrics:
    """Computes the shares of a real scan's grain and edges that a restoration retained; needs no ground truth.

    ``grain_fine`` and ``grain_coarse`` are standard deviations of the band-passed luma (Gaussians of 0.7 and 1.4 px,
    and of 1.4 and 2.8 px) in the flattest fifth of the picture. ``edges`` is the mean gradient of the luma, smoothed by
    1 px, at the source's strongest 0.5 % of gradients. Each is divided by the source's value. The flattest fifth has
    the smallest gradients of the source's luma, smoothed by 4 px.
    """
    before, after = luma(source), luma(restored)
    slope = ndimage.gaussian_gradient_magnitude(before, 4.0)
    flat = slope <= np.quantile(slope, 0.2)
    steep = ndimage.gaussian_gradient_magnitude(before, 1.0)
    edge = steep >= np.quantile(steep, 0.995)
    return {
        "grain_fine": _ratio(_band_pass(after, 0.7)[flat].std(), _band_pass(before, 0.7)[flat].std()),
        "grain_coarse": _ratio(_band_pass(after, 1.4)[flat].std(), _band_pass(before, 1.4)[flat].std()),
        "edges": _ratio(ndimage.gaussian_gradient_magnitude(after, 1.0)[edge].mean(), steep[edge].mean()),
    }


def _band_pass(plane: Array, sigma: float) -> Array:
    passed: Array = ndimage.gaussian_filter(plane, sigma) - ndimage.gaussian_filter(plane, 2 * sigma)
    return passed


def _ratio(after: np.floating, before: np.floating) -> float:
    return float(after / before) if before > 0 else float("nan")
