"""What a derivative's rows are good for: making it again, with the network itself and not a stand-in."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from sqlalchemy import select

from archive import model_registry
from archive.batches.running.runner import run_batch
from archive.batches.running.task_processing import image_description
from archive.catalogue.schema.tables import Derivative
from restoration.execution import Execution
from restoration.image import Picture, Provenance, TiffSink
from restoration.networks import build_generator
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.restore import restore
from restoration.recipe import Recipe

_NUMBERS = {"widths": [4, 8], "blocks": [1, 1]}


def test_a_derivative_can_be_made_again_from_its_record_alone(workshop: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = save(build_generator("residual-unet", _NUMBERS).state_dict())
    workshop.model(weights=weights, architecture={"name": "residual-unet", **_NUMBERS})
    workshop.master("A", size=(70, 50))
    assert (
        run_batch(
            workshop.catalogue, workshop.planned(parameters={"strength": 0.5}, precision="fp32"), device="cpu"
        ).done
        == 1
    )

    with workshop.catalogue.reading() as session:
        derivative = session.scalars(select(Derivative)).one()
        recipe = Recipe.from_json(derivative.recipe.canonical_json)
        versions = {(v.model.name, v.version): v for v in (stage.version for stage in derivative.recipe.stages)}
        master = derivative.master
    environment = derivative.environment
    execution = Execution(
        device=environment["device"].split()[0],
        precision=environment["precision"],
        tile_size=environment["tile_size"],
        threads=environment["threads"],
        seed=environment["seed"],
    )
    loaded = LoadedModels(
        lambda stage: model_registry.checked_folder(workshop.catalogue, versions[stage.model, stage.version]), execution
    )
    provenance = Provenance.from_record(
        environment["provenance"], master_sha256=derivative.master_sha256, recipe=recipe
    )
    again = tmp_path / "again.tif"
    with (
        Picture.open(master.path, page=provenance.master_page, expected_sha256=derivative.master_sha256) as picture,
        TiffSink(
            again,
            picture.info,
            provenance=provenance,
            description=image_description(provenance),
            software=provenance.software,
        ) as sink,
    ):
        restore(picture, recipe, sink, models=loaded, picture_area=provenance.picture_area)
    assert sink.pixel_sha256 == derivative.pixel_sha256
    assert hashlib.sha256(again.read_bytes()).hexdigest() == derivative.sha256
    assert derivative.stage_records[0]["values"] == "encoded grey, no profile"


def test_two_batches_at_once_make_each_derivative_once(workshop: Any) -> None:
    workshop.model()
    for number in range(6):
        workshop.master(f"N{number}", size=(16, 16))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(workshop.run, [workshop.planned(), workshop.planned()]))
    assert [result.done + result.skipped for result in results] == [6, 6]
    assert sum(result.done for result in results) == len(workshop.derivatives()) == len(workshop.files()) == 6
