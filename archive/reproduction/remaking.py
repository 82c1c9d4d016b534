"""Recreates one derivative from its record, as a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archive import model_registry
from archive.batches.running.task_processing import write_derivative
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import ModelVersion
from archive.errors import ModelRegistryError
from archive.image_limits import image_limits
from archive.reproduction.derivative_record import DerivativeRecord
from archive.storage import digest_file
from restoration.errors import DeviceError, RecipeError
from restoration.image import Picture
from restoration.model_folders import ModelFolder
from restoration.pipeline.loaded_models import LoadedModels
from restoration.pipeline.record import Environment
from restoration.recipe import PIPELINE_VERSION, RecipeStage

if TYPE_CHECKING:
    from restoration.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Remade:
    """A recreated derivative."""

    path: Path
    sha256: str
    pixel_sha256: str
    environment: Environment


class Remaker:
    """Recreates derivatives, each with the precision, tile size, threads and seed of its record.

    The networks are kept for the next derivative if these settings stay the same.
    """

    def __init__(self, catalogue: Catalogue, *, device: str | None = None) -> None:
        """Takes ``device`` for every derivative; by default each gets the kind of device that its record names.

        Where a record names a GPU and this machine has none, the processor is used.
        """
        self._catalogue = catalogue
        self._device = device
        self._execution: Execution | None = None
        self._models: LoadedModels | None = None
        self._folders: dict[tuple[str, str], ModelFolder] = {}
        self._versions: dict[tuple[str, str], ModelVersion] = {}

    def remake(self, record: DerivativeRecord, path: Path) -> Remade:
        """Recreates the derivative as ``path``, which must not exist.

        Raises:
            ModelRegistryError: weights are missing or changed.
            RestorationError: the pipeline has another version, the master is missing or changed, or the device fails.
            OSError: a file can't be read or written.
        """
        recipe = record.provenance.recipe
        if recipe.pipeline_version != PIPELINE_VERSION:
            raise RecipeError(
                f"it was made by pipeline version {recipe.pipeline_version}, and this software has version "
                f"{PIPELINE_VERSION}: use software version {record.environment.get('software_version')}"
            )
        models = self._loaded_models(record)
        limits = image_limits(self._catalogue.settings)
        with Picture.open(
            record.master_path,
            page=record.provenance.master_page,
            limits=limits,
            expected_sha256=record.provenance.master_sha256,
        ) as master:
            written, _ = write_derivative(
                master, record.provenance, models, path, mask_path=record.mask_path, style_input=None, limits=limits
            )
            master.verify_unchanged()
        sha256, _ = digest_file(path)
        return Remade(path=path, sha256=sha256, pixel_sha256=written.pixel_sha256, environment=written.environment)

    def _loaded_models(self, record: DerivativeRecord) -> LoadedModels:
        self._versions |= record.versions
        for stage in record.provenance.recipe.stages:
            self._folder(stage)  # before torch is loaded, and so that its reason is the registry's
        execution = self._execution_of(record)
        if self._models is None or execution != self._execution:
            # Built again even if it exists: torch's number of threads is set when it is built.
            self._models, self._execution = LoadedModels(self._folder, execution), execution
        return self._models

    def _folder(self, stage: RecipeStage) -> ModelFolder:
        key = stage.model, stage.version
        if key not in self._folders:
            version = self._versions[key]
            if version.weights_sha256 != stage.weights_sha256:
                raise ModelRegistryError(
                    f"the catalogue's {stage.model}@{stage.version} has weights {version.weights_sha256}, and the "
                    f"recipe names {stage.weights_sha256}: take the catalogue back from a backup"
                )
            self._folders[key] = model_registry.checked_folder(self._catalogue, version)
        return self._folders[key]

    def _execution_of(self, record: DerivativeRecord) -> Execution:
        from restoration.execution import Execution  # brings torch

        recorded = record.environment
        execution = Execution(
            device=self._device or str(recorded["device"]).split()[0],
            precision=recorded["precision"],
            tile_size=recorded["tile_size"],
            threads=recorded["threads"],
            seed=recorded["seed"],
        )
        if self._device is None and execution.device != "cpu":
            try:
                execution.resolved()
            except DeviceError:
                return replace(execution, device="cpu")
        return execution
