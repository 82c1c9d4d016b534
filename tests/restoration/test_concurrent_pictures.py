"""Concurrent pictures that share one network give the same pixels as sequential ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restoration import Execution, LoadedModels, Picture, restore, restore_array, shipped_recipe, shipped_versions
from restoration.image import ArraySink

ROUNDS = 15  # threads could conflict at the first use of a freshly loaded network


def test_concurrent_pictures_give_the_same_pixels_as_sequential_ones() -> None:
    recipe = shipped_recipe("denoise-deblur")
    (folder,) = (each for each in shipped_versions() if each.card.weights_sha256 == recipe.stages[0].weights_sha256)
    pictures = [
        np.random.default_rng(seed).integers(0, 65536, (40, 50, 3) if seed % 2 else (40, 50), dtype=np.uint16)
        for seed in range(6)
    ]
    execution = Execution(device="cpu")
    alone = LoadedModels(lambda _stage: folder, execution)
    expected = [restore_array(pixels, recipe, models=alone) for pixels in pictures]

    for _ in range(ROUNDS):
        models = LoadedModels(lambda _stage: folder, execution)
        models.load(recipe.stages[0])
        with ThreadPoolExecutor(1) as device, ThreadPoolExecutor(3) as tasks:

            def restored(
                pixels: NDArray[Any], models: LoadedModels = models, device: ThreadPoolExecutor = device
            ) -> NDArray[Any]:
                source = Picture.from_array(pixels)
                sink = ArraySink(source.info)
                restore(source, recipe, sink, models=models, scheduler=lambda call: device.submit(call).result())
                return sink.array.reshape(pixels.shape)

            for made, wanted in zip(tasks.map(restored, pictures), expected, strict=True):
                np.testing.assert_array_equal(made, wanted)
