"""A picture computed in tiles equals the picture computed as a whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from restoration.errors import DeviceError, DeviceMemoryError, ImageError, OutputError
from restoration.execution import Execution
from restoration.grain_profile import measure_grain
from restoration.image import Crop, Picture, Samples, Source
from restoration.image.image_info import Area
from restoration.model_folders import shipped_versions
from restoration.networks import ResidualUNet
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.restore import shipped_recipe
from restoration.pipeline.stages import NetworkStage, Stage
from restoration.pipeline.tiling import RowCache, StageSource

Values = NDArray[np.float32]
SAMPLES = Path(__file__).parents[2] / "sample_archive"


class TinyUNet(nn.Module):
    """Downsamples and upsamples, so that a region that begins at an odd pixel gives other values."""

    margin_px = 8
    multiple_px = 2

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 2, stride=2)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, picture: Tensor) -> Tensor:
        changed: Tensor = self.up(torch.relu(self.body(self.down(torch.relu(self.head(picture))))))
        return picture + changed


@cache
def tiny() -> NetworkStage:
    torch.manual_seed(7)
    network = TinyUNet()
    execution = Execution(device="cpu", precision="fp32").resolved()
    return NetworkStage(network, execution, margin_px=network.margin_px, multiple_px=network.multiple_px)


@cache
def residual_unet(blocks: tuple[int, ...]) -> NetworkStage:
    """A small version of the shipped architecture, with weights large enough to show the effects of padding and
    alignment.
    """
    torch.manual_seed(8)
    network = ResidualUNet(widths=(4, 6, 5)[: len(blocks)], blocks=blocks)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.15)
    execution = Execution(device="cpu", precision="fp32").resolved()
    return NetworkStage(network, execution, margin_px=network.margin_px, multiple_px=network.multiple_px)


class Shift:
    """Shifts the picture to the left: a value depends on the pixel ``margin_px`` to its right."""

    margin_px = 5
    multiple_px = 3

    def __call__(self, region: Values) -> Values:
        return np.pad(region, ((0, 0), (0, 0), (0, 0), (0, self.margin_px)))[..., self.margin_px :]


class Faulty:
    """Returns the given output."""

    margin_px = 0
    multiple_px = 1

    def __init__(self, output: float | None) -> None:
        self.output = output

    def __call__(self, region: Values) -> Values:
        return region[..., :-1] if self.output is None else np.full_like(region, self.output)


def picture(*, width: int, height: int, channels: int = 3) -> Picture:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 65536, (height, width, channels), np.uint16)
    return Picture.from_array(pixels)


def whole(source: StageSource) -> Values:
    return source.read(0, 0, source.info.width, source.info.height)


sizes = st.integers(1, 40)


@settings(max_examples=60, deadline=None)
@given(width=sizes, height=sizes, tile_size=st.integers(1, 24), grey=st.booleans())
def test_tiles_equal_the_whole_for_every_size_of_picture_and_tile(
    width: int, height: int, tile_size: int, grey: bool
) -> None:
    source = picture(width=width, height=height, channels=1 if grey else 3)
    expected = whole(StageSource(source, tiny(), tile_size=64))
    np.testing.assert_allclose(whole(StageSource(source, tiny(), tile_size=tile_size)), expected, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), width=st.integers(1, 90), height=st.integers(1, 90), tile_size=st.integers(8, 32))
def test_the_shipped_architecture_is_equal_in_tiles(
    data: st.DataObject, width: int, height: int, tile_size: int
) -> None:
    # Any depth, and therefore any alignment and margin; most of these pictures are smaller than the margin.
    blocks = tuple(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3), label="blocks"))
    stage = residual_unet(blocks)
    source = picture(width=width, height=height)
    expected = whole(StageSource(source, stage, tile_size=256))
    np.testing.assert_allclose(whole(StageSource(source, stage, tile_size=tile_size)), expected, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), strength=st.sampled_from([0.0, 0.3, 1.0]), tile_size=st.integers(3, 20))
def test_a_picture_area_at_any_strength_is_equal_in_tiles(data: st.DataObject, strength: float, tile_size: int) -> None:
    x, y = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20))
    area = Area(x=x, y=y, width=data.draw(st.integers(1, 37 - x)), height=data.draw(st.integers(1, 29 - y)))
    inside = Crop(picture(width=37, height=29), area)
    expected = whole(StageSource(inside, tiny(), tile_size=64, strength=strength))
    tiled = whole(StageSource(inside, tiny(), tile_size=tile_size, strength=strength))
    np.testing.assert_allclose(tiled, expected, atol=1e-5)


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("bf16", 0.01)])
@pytest.mark.parametrize("name", ["SA.002_recto.tif", "SA.005_recto.tif"])
def test_the_shipped_model_is_equal_in_tiles_within_the_promised_bound(name: str, precision: str, bound: float) -> None:
    recipe = shipped_recipe("denoise-deblur")
    (folder,) = (each for each in shipped_versions() if each.card.weights_sha256 == recipe.stages[0].weights_sha256)
    execution = Execution(device="cpu", precision=precision)
    restoration = LoadedModels(lambda _stage: folder, execution).restoration(recipe.stages[0])
    with Picture.open(SAMPLES / name) as scan:
        stage = restoration.for_picture(measure_grain(scan))
        part = Crop(scan, Area(x=100, y=60, width=151, height=131))
        expected = whole(StageSource(part, stage, tile_size=1024))
        assert np.abs(whole(StageSource(part, stage, tile_size=100)) - expected).max() <= bound
        assert np.abs(expected - part.read(0, 0, 151, 131)).max() > 2 * bound


@settings(max_examples=30, deadline=None)
@given(data=st.data(), width=sizes, height=sizes)
def test_any_window_equals_that_of_the_whole_picture(data: st.DataObject, width: int, height: int) -> None:
    source = picture(width=width, height=height)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(x + 1, width)), data.draw(st.integers(y + 1, height))
    for stage in (tiny(), Shift()):
        expected = whole(StageSource(source, stage, tile_size=64))[..., y:bottom, x:right]
        window = StageSource(source, stage, tile_size=9).read(x, y, right - x, bottom - y)
        np.testing.assert_allclose(window, expected, atol=1e-5)


def test_two_stages_in_tiles_equal_two_stages_on_the_whole() -> None:
    source = picture(width=37, height=23)
    chained = StageSource(StageSource(source, tiny(), tile_size=8), Shift(), tile_size=5)
    expected = whole(StageSource(StageSource(source, tiny(), tile_size=64), Shift(), tile_size=64))
    np.testing.assert_allclose(whole(chained), expected, atol=1e-5)


def test_between_two_stages_every_row_is_computed_once() -> None:
    source = picture(width=60, height=200)
    first = StageSource(source, tiny(), tile_size=20)
    second = StageSource(RowCache(first), residual_unet((1, 1)), tile_size=20)
    made = np.concatenate([second.read(0, top, 60, 20) for top in range(0, 200, 20)], axis=2)
    expected = whole(StageSource(StageSource(source, tiny(), tile_size=256), residual_unet((1, 1)), tile_size=256))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    # Without cached rows, each of the thirty tiles would compute its margins again: nine tiles and more.
    assert first.tiles <= 3 * (200 // 20 + 2)


class Counting:
    """A source that counts how often each of its rows is read."""

    def __init__(self, source: Picture) -> None:
        self.info = source.info
        self._source = source
        self.reads = np.zeros(source.info.height, int)

    def read(self, x: int, y: int, width: int, height: int) -> Values:
        self.reads[y : y + height] += 1
        return self._source.read(x, y, width, height)

    def read_extra(self, x: int, y: int, width: int, height: int) -> Samples:
        return self._source.read_extra(x, y, width, height)


@settings(max_examples=40, deadline=None)
@given(windows=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 9), st.integers(0, 6)), min_size=1, max_size=9))
def test_cached_rows_equal_those_of_the_source(windows: list[tuple[int, int, int]]) -> None:
    source = picture(width=7, height=28)
    rows: Source = RowCache(source)
    for y, height, x in windows:
        np.testing.assert_array_equal(rows.read(x, y, 7 - x, height), source.read(x, y, 7 - x, height))


def test_windows_that_move_downwards_read_each_row_once() -> None:
    source = Counting(picture(width=7, height=28))
    rows = RowCache(source)
    for top in range(0, 20, 4):
        for left in (0, 3):
            rows.read(left, top, 4, 8)
    np.testing.assert_array_equal(source.reads[:24], 1)
    assert rows.read_extra(0, 0, 7, 2).shape == (2, 7, 0)


def test_a_picture_area_is_computed_like_a_separate_picture() -> None:
    source = picture(width=30, height=30)
    area = Area(x=3, y=5, width=20, height=17)
    alone = Picture.from_array((source.read(3, 5, 20, 17)[0].transpose(1, 2, 0)).astype(np.float32))
    ours = whole(StageSource(Crop(source, area), tiny(), tile_size=8))
    np.testing.assert_array_equal(ours, whole(StageSource(alone, tiny(), tile_size=8)))


def test_a_picture_whose_size_is_not_a_multiple_is_padded_by_reflection() -> None:
    seen: list[Values] = []

    class Watching(Faulty):
        multiple_px = 4

        def __call__(self, region: Values) -> Values:
            seen.append(region)
            return region

    row = np.array([[10, 20, 30, 40, 50, 60]], np.uint8)
    whole(StageSource(Picture.from_array(row), Watching(0.0), tile_size=8))
    (region,) = seen
    np.testing.assert_array_equal(np.rint(region[0, 0] * 255), [[10, 20, 30, 40, 50, 60, 50, 40]] * 4)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_strength_interpolates_linearly_between_source_and_output(strength: float) -> None:
    source = picture(width=21, height=13)
    before = source.read(0, 0, 21, 13)
    output = whole(StageSource(source, tiny(), tile_size=8))
    blended = whole(StageSource(source, tiny(), tile_size=8, strength=strength))
    np.testing.assert_allclose(blended, before + strength * (output - before), atol=1e-6)


def test_strength_0_is_exactly_the_source_and_does_not_call_the_network() -> None:
    source = picture(width=21, height=13)
    staged = StageSource(source, Faulty(float("nan")), tile_size=8, strength=0)
    np.testing.assert_array_equal(whole(staged), source.read(0, 0, 21, 13))
    staged.check_output()
    assert staged.tiles == 0


def test_values_are_clipped_to_the_storable_range() -> None:
    assert whole(StageSource(picture(width=4, height=4), Faulty(1.7), tile_size=8)).max() == 1


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), None])
def test_invalid_output_is_an_error_that_names_the_stage(broken: float | None) -> None:
    staged = StageSource(picture(width=9, height=9), Faulty(broken), tile_size=8, name="denoise@9.9")
    with pytest.raises(OutputError, match=r"denoise@9\.9"):
        whole(staged)


def test_a_flat_output_is_an_error_unless_the_picture_was_flat() -> None:
    def checked(source: Picture, stage: Stage) -> None:
        staged = StageSource(source, stage, tile_size=8, strength=0.5)
        whole(staged)
        staged.check_output()

    checked(Picture.from_array(np.full((9, 9), 3, np.uint8)), Faulty(0.4))
    with pytest.raises(OutputError, match="one flat colour"):
        checked(picture(width=9, height=9), Faulty(0.4))


def test_a_window_outside_the_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="isn't inside"):
        StageSource(picture(width=9, height=9), tiny()).read(5, 5, 5, 1)


def test_a_neutral_picture_stays_neutral_with_a_network_that_adds_colour() -> None:
    class Sepia(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            return picture * torch.tensor([1.2, 1.0, 0.8]).reshape(1, 3, 1, 1)

    stage = NetworkStage(Sepia(), Execution(device="cpu", precision="fp32").resolved(), margin_px=0, multiple_px=1)
    grey = np.random.default_rng(0).random((1, 1, 6, 5), np.float32)
    np.testing.assert_allclose(stage(grey), grey, atol=1e-6)


def test_bfloat16_is_close_to_float32_and_reproducible() -> None:
    torch.manual_seed(7)
    network = TinyUNet()
    execution = Execution(device="cpu", precision="bf16").resolved()
    stage = NetworkStage(network, execution, margin_px=network.margin_px, multiple_px=network.multiple_px)
    region = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    made = stage(region)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, stage(region))
    np.testing.assert_allclose(made, tiny()(region), atol=0.05)
    assert (made != tiny()(region)).any()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), DeviceMemoryError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), DeviceMemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried..."), DeviceMemoryError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), DeviceMemoryError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), DeviceMemoryError),
        (RuntimeError("GET was unable to find an engine to execute this computation"), DeviceMemoryError),
        (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), DeviceMemoryError),
        (MemoryError(), DeviceMemoryError),
        (torch.AcceleratorError("device-side assert"), DeviceError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), DeviceError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), DeviceError),
        (RuntimeError("cuBLASLt failed"), DeviceError),
        (RuntimeError("CUDA driver error: unknown error"), DeviceError),
        (RuntimeError("No CUDA GPUs are available"), DeviceError),
        (RuntimeError("Found no NVIDIA driver on your system."), DeviceError),
        (RuntimeError("a mistake of the network"), RuntimeError),
    ],
)
def test_a_device_failure_is_distinguished_from_a_network_error(raised: Exception, expected: type[Exception]) -> None:
    class Failing(nn.Module):
        def forward(self, _given: torch.Tensor) -> torch.Tensor:
            raise raised

    stage = NetworkStage(Failing(), Execution(device="cpu", precision="fp32").resolved(), margin_px=0, multiple_px=1)
    with pytest.raises(expected) as caught:
        stage(np.zeros((1, 3, 8, 8), np.float32))
    assert type(caught.value) is expected
