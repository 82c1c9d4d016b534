"""Pictures of any size in bounded memory: bands, out-of-memory errors, and interrupted work."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from torch import nn

from restoration.errors import DeviceMemoryError, ImageError
from restoration.execution import Execution
from restoration.grain_profile import GRAIN_NAMES
from restoration.image import Area, ArraySink, Picture, TiffSink, tiff_pixels
from restoration.model_folders import ModelFolder
from restoration.networks import build_generator
from restoration.picture_statistics import STATISTIC_NAMES
from restoration.pipeline import band_writer
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import RestorationRecord
from restoration.pipeline.restore import restore, restore_array
from restoration.pipeline.stages import LoadedRestoration, NetworkStage, Stage, load_restoration
from restoration.pipeline.style_stage import load_style
from restoration.recipe import RecipeStage
from tests.restoration.test_pipeline import made_of, make_version, models_of, recipe_of, scan
from tests.restoration.test_style_stage import version as style_version
from tests.sample_images import CARRIED

SHIPPED_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from restoration import Execution, LoadedModels, Picture, TiffSink, restore, shipped_recipe, shipped_versions
from restoration.grain_profile import GRAIN_NAMES

recipe = shipped_recipe("denoise-deblur")
(folder,) = (each for each in shipped_versions() if each.card.weights_sha256 == recipe.stages[0].weights_sha256)
models = LoadedModels(lambda stage: folder, Execution(device="cpu", precision="fp32", threads=1))
models.restoration(recipe.stages[0]).for_picture(dict.fromkeys(GRAIN_NAMES, 0.1))(np.zeros((1, 3, 64, 64), np.float32))
source = Picture.from_array(np.random.default_rng(0).integers(0, 65536, (620, 700, 3), np.uint16))
used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (int(used.split()[1]) * 1024 + (40 << 20), -1))
with TiffSink(sys.argv[1], source.info) as sink:
    restore(source, recipe, sink, models=models)
"""


@pytest.fixture
def version(tmp_path: Path) -> ModelFolder:
    return make_version(tmp_path / "tiny")


CPU = Execution(device="cpu", precision="fp32").resolved()


class Small:
    """A stage on a device with memory for regions of a given size, and at first for some larger ones."""

    def __init__(self, stage: Stage, *, most_px: int, larger: int, error: Exception) -> None:
        self.margin_px, self.multiple_px = stage.margin_px, stage.multiple_px
        self._stage = stage
        self._most_px = most_px
        self._larger = larger
        self._error = error

    def __call__(self, region: NDArray[np.float32]) -> NDArray[np.float32]:
        if max(region.shape) > self._most_px:
            if self._larger == 0:
                raise self._error
            self._larger -= 1
        return self._stage(region)


class ModelsOnSmallDevice(LoadedModels):
    def __init__(self, version: ModelFolder, *, tile_size: int, **small: Any) -> None:
        models = models_of(version, tile_size=tile_size)
        self.__dict__.update(vars(models))
        self._small = small

    def restoration(self, stage: RecipeStage) -> LoadedRestoration:
        return OnSmallDevice(super().restoration(stage), self._small)


class OnSmallDevice(LoadedRestoration):
    def __init__(self, restoration: LoadedRestoration, small: Mapping[str, Any]) -> None:
        self.__dict__.update(vars(restoration))
        self._small = small

    def for_picture(self, grain: Mapping[str, float]) -> Any:
        return Small(super().for_picture(grain), **self._small)


def large_scan() -> NDArray[Any]:
    return np.tile(scan(), (5, 5, 1))  # 225 x 355


@pytest.mark.parametrize("area", [None, Area(x=41, y=3, width=300, height=205)])
@pytest.mark.parametrize("error", [DeviceMemoryError("full"), MemoryError()])
@pytest.mark.parametrize("larger", [0, 3])  # at once, and after one row of tiles
def test_out_of_memory_halves_the_tiles_and_restarts_the_picture(
    tmp_path: Path, version: ModelFolder, larger: int, error: Exception, area: Area | None
) -> None:
    models = ModelsOnSmallDevice(
        version, tile_size=256 if larger == 0 else 128, most_px=120, larger=larger, error=error
    )
    source = Picture.from_array(large_scan())
    with TiffSink(tmp_path / "out.tif", source.info) as sink:
        record = restore(source, recipe_of(version), sink, models=models, picture_area=area)
    # As if these tiles had been used from the first row on, so that the record reproduces the result.
    expected, same = made_of(large_scan(), recipe_of(version), models_of(version, tile_size=64), area=area)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)
    assert (record.pixel_sha256, record.environment) == (same.pixel_sha256, same.environment)
    assert record.stages[0].tiles == same.stages[0].tiles
    assert record.notes[-1] == "made in tiles of 64 px, because for 128 px there was not enough memory"
    # The shortage may be temporary: the next picture starts with the requested tile size.
    assert models.tile_size == models.environment.tile_size > 64


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeviceMemoryError("the memory is full"), r"full, with tiles of only 100 px.*another device"),
        (MemoryError("this machine's"), "this machine's"),
    ],
)
def test_out_of_memory_with_the_smallest_tiles_is_an_error_and_leaves_no_file(
    tmp_path: Path, version: ModelFolder, error: Exception, reason: str
) -> None:
    models = ModelsOnSmallDevice(version, tile_size=200, most_px=60, larger=0, error=error)
    source = Picture.from_array(large_scan())
    with (
        pytest.raises(type(error), match=reason),
        TiffSink(tmp_path / "out.tif", source.info) as sink,
    ):
        restore(source, recipe_of(version), sink, models=models)
    assert not (tmp_path / "out.tif").exists()


def test_a_kept_log_record_does_not_keep_the_failed_attempt_in_memory(
    version: ModelFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempted: list[weakref.ref[NDArray[np.float32]]] = []
    call = NetworkStage.__call__

    def in_little_memory(stage: NetworkStage, region: NDArray[np.float32]) -> NDArray[np.float32]:
        if max(region.shape) > 120:
            attempted.append(weakref.ref(region))
            raise DeviceMemoryError("full")
        gc.collect()
        assert attempted[0]() is None
        return call(stage, region)

    monkeypatch.setattr(NetworkStage, "__call__", in_little_memory)
    restore_array(large_scan(), recipe_of(version), models=models_of(version, tile_size=128))
    assert [record.getMessage() for record in caplog.records] == ["restarting with tiles of 64 px: full"]


@pytest.mark.parametrize("load", [load_restoration, load_style])
def test_a_device_without_memory_for_the_network_is_a_device_error(
    tmp_path: Path, load: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = (
        make_version(tmp_path / "tiny")
        if load is load_restoration
        else style_version(tmp_path / "style", "simulated-toned", "toned")
    )
    monkeypatch.setattr(nn.Module, "to", _out_of_memory)
    with pytest.raises(DeviceMemoryError, match="the device's memory is full"):
        load(folder, {}, CPU)


@pytest.mark.parametrize("kind", ["restoration", "style"])
def test_a_picture_takes_device_memory_only_when_its_stage_is_called(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = np.zeros((1, 3, 64, 64), np.float32)
    if kind == "restoration":
        network = build_generator("residual-unet", {"widths": (4, 6), "blocks": (1, 1), "conditions": GRAIN_NAMES})
        restoration = LoadedRestoration(network, CPU, repair=())
        monkeypatch.setattr(torch.Tensor, "to", _out_of_memory)
        stage: Callable[..., object] = restoration.for_picture(dict.fromkeys(GRAIN_NAMES, 0.1))
    else:
        style = load_style(style_version(tmp_path / "style", "simulated-toned", "toned"), {}, CPU)
        monkeypatch.setattr(torch.Tensor, "to", _out_of_memory)
        stage = style.for_picture(dict.fromkeys(STATISTIC_NAMES, 0.5)).at(0, 0)
    with pytest.raises(DeviceMemoryError):
        stage(region)


def _out_of_memory(*_arguments: Any, **_options: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit holds on Linux only")
def test_out_of_memory_is_distinguished_from_a_failing_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHIPPED_IN_LITTLE_MEMORY, tmp_path / "out.tif"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DeviceMemoryError: the device's memory is full (" in done.stderr
    assert "with tiles of only 100 px" in done.stderr
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("area", [None, Area(x=5, y=70, width=61, height=130)])
def test_bands_of_a_wide_picture_are_lower_without_changing_pixels(
    version: ModelFolder, area: Area | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.tile(scan(), (5, 1, 1))

    def made() -> tuple[NDArray[Any], RestorationRecord, list[int]]:
        source = Picture.from_array(array)
        sink, ends = ArraySink(source.info), list[int]()
        models = models_of(version, tile_size=128)
        record = restore(
            source,
            recipe_of(version),
            sink,
            models=models,
            picture_area=area,
            progress=lambda done, _: ends.append(done),
        )
        return sink.array, record, ends

    expected, _, ends = made()
    monkeypatch.setattr(band_writer, "_BAND_PIXELS", 70 * 71)
    monkeypatch.setattr(band_writer, "_WRITTEN_PIXELS", 1000)
    lower, _, more_ends = made()
    assert len(more_ends) > len(ends)
    np.testing.assert_allclose(lower.astype(int), expected.astype(int), atol=1)


@pytest.mark.parametrize("orientation", range(5, 9))
@pytest.mark.parametrize("layout", [{"planarconfig": "contig"}, {"planarconfig": "separate"}], ids=str)
def test_a_large_rotated_picture_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, layout: dict[str, Any]
) -> None:
    array = scan(height=150, width=70)
    path = tmp_path / "scan.tif"
    tifffile.imwrite(
        path,
        array.transpose(2, 0, 1) if layout["planarconfig"] == "separate" else array,
        photometric="rgb",
        metadata=None,
        compression="zlib",
        rowsperstrip=4,
        extratags=[(274, 3, 1, orientation, True)],
        **layout,
    )
    with Picture.open(path) as all_kept:
        expected = all_kept.read(0, 0, 150, 70)
    monkeypatch.setattr(tiff_pixels, "_CACHE_BYTES", 10_000)
    read, pieces = tiff_pixels.TiffPixels._read_bytes, list[int]()

    def counting(self: tiff_pixels.TiffPixels, offset: int, count: int) -> bytes:
        pieces.append(offset)
        return read(self, offset, count)

    monkeypatch.setattr(tiff_pixels.TiffPixels, "_read_bytes", counting)
    with Picture.open(path) as picture:
        rows = [picture.read(0, y, 150, 7) for y in range(0, 70, 7)]
    np.testing.assert_array_equal(np.concatenate(rows, axis=2), expected)
    assert len(pieces) == len(set(pieces))


@pytest.mark.parametrize("kind", CARRIED)
def test_samples_outside_the_picture_area_are_unchanged_for_every_format(
    tmp_path: Path, version: ModelFolder, kind: str
) -> None:
    (tmp_path / "scan").write_bytes(CARRIED[kind]())
    with Picture.open(tmp_path / "scan") as source, TiffSink(tmp_path / "out.tif", source.info) as sink:
        info = source.info
        area = Area(x=5, y=6, width=info.width - 12, height=info.height - 9)
        restore(source, recipe_of(version), sink, models=models_of(version), picture_area=area)
        window = (0, 0, info.width, info.height)
        before = np.rint(source.read(*window)[0].transpose(1, 2, 0) * info.largest_sample)
        extra = source.read_extra(*window)
    written = tifffile.imread(tmp_path / "out.tif").reshape(info.height, info.width, -1)
    outside = np.ones((info.height, info.width), bool)
    outside[6 : 6 + area.height, 5 : 5 + area.width] = False
    np.testing.assert_array_equal(written[outside][:, : info.colour_channels], before[outside])
    np.testing.assert_array_equal(written[..., info.colour_channels :], extra)
    assert (written[~outside][:, : info.colour_channels] != before[~outside]).any()


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit, ImageError])
def test_interrupted_work_leaves_no_file(tmp_path: Path, version: ModelFolder, stopped: type[BaseException]) -> None:
    def stop(done: int, _rows: int) -> None:
        if done > 64:
            raise stopped

    source = Picture.from_array(large_scan())
    with pytest.raises(stopped), TiffSink(tmp_path / "out.tif", source.info) as sink:
        restore(source, recipe_of(version), sink, models=models_of(version), progress=stop)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("width", [900, 20])  # the rows of the small one are still buffered when the file is closed
def test_a_full_disk_leaves_no_file(tmp_path: Path, width: int) -> None:
    source = Picture.from_array(scan(width=width))
    window = (0, 0, width, source.info.height)
    room, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = TiffSink(tmp_path / "out.tif", source.info)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
        with pytest.raises(OSError, match="too large"), sink:
            sink.write(0, source.read(*window), source.read_extra(*window))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    assert not (tmp_path / "out.tif").exists()
