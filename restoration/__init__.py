"""Restores scanned photographs tile by tile, from file to file or from array to array.

>>> import numpy as np
>>> from restoration import Picture
>>> scan = Picture.from_array(np.array([[0, 51, 102], [153, 204, 255]], np.uint8))
>>> scan.info.width, scan.info.height, scan.info.bits_per_sample
(3, 2, 8)
>>> scan.read(x=1, y=0, width=2, height=2)
array([[[[0.2, 0.4],
         [0.8, 1. ]]]], dtype=float32)

A file is restored into a TIFF of the same bit depth, colour profile and resolution::

    from restoration import Picture, TiffSink, restore, score, shipped_recipe

    recipe = shipped_recipe("denoise-deblur", strength=0.8)
    with Picture.open("scan.tif") as scan, TiffSink("restored.tif", scan.info) as sink:
        record = restore(scan, recipe, sink)

    with Picture.open("scan.tif") as scan, Picture.open("restored.tif") as restored:
        for value in score(derivative=restored, source=scan):
            print(value.metric, value.image, value.compared_with, value.value)

For arrays use ``restore_array(scan, recipe)``. Public names are imported lazily; torch is imported with the first
network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restoration.execution import Execution as Execution
    from restoration.image import Area as Area
    from restoration.image import ArraySink as ArraySink
    from restoration.image import ImageInfo as ImageInfo
    from restoration.image import Picture as Picture
    from restoration.image import Resolution as Resolution
    from restoration.image import Sink as Sink
    from restoration.image import Source as Source
    from restoration.image import TiffSink as TiffSink
    from restoration.image import inspect as inspect
    from restoration.model_folders import ModelFolder as ModelFolder
    from restoration.model_folders import shipped_versions as shipped_versions
    from restoration.pipeline.loaded_models import LoadedModels as LoadedModels
    from restoration.pipeline.record import RestorationRecord as RestorationRecord
    from restoration.pipeline.restore import derivative_info as derivative_info
    from restoration.pipeline.restore import restore as restore
    from restoration.pipeline.restore import restore_array as restore_array
    from restoration.pipeline.restore import shipped_recipe as shipped_recipe
    from restoration.quality import ChangeMap as ChangeMap
    from restoration.quality import Score as Score
    from restoration.quality import change_map as change_map
    from restoration.quality import score as score
    from restoration.recipe import Recipe as Recipe
    from restoration.recipe import RecipeStage as RecipeStage

_MODULE_OF = {
    "Area": "image",
    "ArraySink": "image",
    "ChangeMap": "quality",
    "Execution": "execution",
    "ImageInfo": "image",
    "LoadedModels": "pipeline.loaded_models",
    "ModelFolder": "model_folders",
    "Picture": "image",
    "Recipe": "recipe",
    "RecipeStage": "recipe",
    "Resolution": "image",
    "RestorationRecord": "pipeline.record",
    "Score": "quality",
    "Sink": "image",
    "Source": "image",
    "TiffSink": "image",
    "change_map": "quality",
    "derivative_info": "pipeline.restore",
    "inspect": "image",
    "restore": "pipeline.restore",
    "restore_array": "pipeline.restore",
    "score": "quality",
    "shipped_recipe": "pipeline.restore",
    "shipped_versions": "model_folders",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
