"""Evaluation: the stated defect is what is made, rows are what they say, and the peers are worth beating."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from restoration.degradation import Softness
from restoration.degradation.defects import blur_kernel, soften
from restoration.errors import TrainingError
from restoration.training.evaluation import Array, Row, by_stage, cases, evaluate, read_clean
from restoration.training.peers import deblurrers, denoisers

COLOUR = data.astronaut()[0:160, 120:280].astype(np.float32) / 255
GREY = data.camera()[60:220, 150:310, None].astype(np.float32) / 255


def _rows(picture: Array) -> dict[tuple[str, str], Row]:
    return {(row.case, row.method): row for row in evaluate(np.array, [picture], method="nothing")}


@pytest.mark.parametrize("picture", [COLOUR, GREY], ids=["colour", "grey"])
def test_doing_nothing_scores_as_the_input_does_and_peers_do_better(picture: Array) -> None:
    rows = _rows(picture)
    for case in cases():
        nothing, given = rows[case.name, "nothing"], rows[case.name, "input"]
        if "not clipped" not in case.name:
            assert nothing.psnr == given.psnr
    assert rows["noise 25/255, not clipped", "input"].psnr == pytest.approx(20.17, abs=0.1)
    assert rows["noise 25/255, clipped", "input"].psnr > 20.2  # type: ignore[operator]
    assert rows["clean", "input"].psnr is None
    assert rows["scratches, hairs and dust, inside them", "input"].ssim is None
    for method in ("non-local means", "total variation"):
        gain = rows["noise 25/255, clipped", method].psnr - rows["noise 25/255, clipped", "input"].psnr  # type: ignore[operator]
        assert gain > 4
    blurred = "gaussian blur 1.6 px, noise 2 %"
    for method in ("Wiener", "Richardson-Lucy"):
        assert rows[blurred, method].psnr > rows[blurred, "input"].psnr  # type: ignore[operator]


def test_rows_do_not_change_from_run_to_run() -> None:
    def without_peers() -> list[Row]:
        return list(evaluate(np.array, [GREY], method="nothing", with_peers=False))

    assert without_peers() == without_peers()


def test_peers_keep_the_shape_and_undo_a_known_blur() -> None:
    softness = Softness(kind="motion", extent_px=9, angle=0.4)
    blurred = soften(COLOUR, softness)
    for peer in (*denoisers(0.1).values(), *deblurrers(blur_kernel(softness), 0.01).values()):
        assert peer(blurred).shape == COLOUR.shape
    wiener = deblurrers(blur_kernel(softness), 0.01)["Wiener"](blurred)
    before = peak_signal_noise_ratio(COLOUR, blurred, data_range=1.0)
    assert peak_signal_noise_ratio(COLOUR, np.clip(wiener, 0, 1), data_range=1.0) > before + 1.5


def test_a_stage_is_given_what_it_needs_and_its_padding_taken_off() -> None:
    class Doubling:
        margin_px = 8
        multiple_px = 8

        def __call__(self, region: Array) -> Array:
            assert region.shape[0] == 1
            assert region.shape[2] % 8 == region.shape[3] % 8 == 0
            return 2 * region

    picture = COLOUR[:61, :50]
    np.testing.assert_allclose(by_stage(Doubling())(picture), 2 * picture)


def test_clean_pictures_keep_their_channels_and_small_ones_are_refused(tmp_path: Path) -> None:
    Image.fromarray((GREY[..., 0] * 255).astype(np.uint8)).save(tmp_path / "grey.png")
    assert read_clean(tmp_path / "grey.png").shape == GREY.shape
    with pytest.raises(TrainingError, match="too small"):
        list(evaluate(np.array, [COLOUR[:30]], method="nothing"))
