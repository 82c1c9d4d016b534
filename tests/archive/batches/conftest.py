"""A small archive to plan and run batches in: real TIFF masters, registered models, and stages that need no network."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import save
from sqlalchemy import select

from archive import model_aliases, model_registry
from archive.batches.planning.planner import Plan, RestoreRequest, plan_restore
from archive.batches.running.runner import BatchResult, run_batch
from archive.catalogue import Catalogue
from archive.catalogue.listings import get_batch
from archive.catalogue.schema.tables import Derivative, Item, Master, ModelVersion, Root, Task
from archive.catalogue.schema.vocabularies import Access, Polarity, TaskStatus, View
from restoration.image import ArraySink, Picture
from restoration.pipeline.restore import restore
from restoration.pipeline.stages import Stage
from restoration.recipe import Recipe as FullRecipe
from tests.fake_models import FakeModels, FakeStage, FakeStyle, worker


@dataclass(kw_only=True)
class Workshop:
    """An archive with a folder of scans beside it."""

    catalogue: Catalogue
    scans: Path
    model_folders: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def model(
        self,
        version: str = "1.0",
        *,
        name: str = "mend",
        parameters: Mapping[str, Any] | None = None,
        task: str = "restoration",
        unsuited: Iterable[str] = (),
        weights: bytes | None = None,
        architecture: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> ModelVersion:
        """Registers a version with a card; ``more`` are further entries of it."""
        folder = self.model_folders / name / version
        folder.mkdir(parents=True)
        weights = weights or save({"w": self.rng.random(4, dtype=np.float32)})
        (folder / "weights.safetensors").write_bytes(weights)
        card = {
            "name": name,
            "version": version,
            "task": task,
            "architecture": architecture or {"name": "none"},
            "parameters": {"strength": {"default": 1.0, "range": [0, 1]}} if parameters is None else parameters,
            "suited_to": {"polarity": ["positive"], "unsuited_processes": list(unsuited), "minimum_size_px": 16},
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "training": {},
            "evaluation": {},
            **more,
        }
        (folder / "card.json").write_text(json.dumps(card))
        return model_registry.add_version(self.catalogue, folder)

    def style(self, name: str = "simulated-sepia", *, palette: str = "toned", **more: Any) -> ModelVersion:
        """Registers version 1.0 of a style that takes the parameters of all styles."""
        shift = {"default": 0.0, "range": [-1, 1]}
        parameters = {
            "strength": {"default": 1.0, "range": [0, 1]},
            "weight": {"default": 1.0, "range": [0, 1]},
            **dict.fromkeys(("temperature", "tint", "brightness"), shift),
        }
        return self.model(name=name, task="style", parameters=parameters, style={"palette": palette, **more})

    def mask(self, accession_number: str, values: Any, *, sequence: int = 1) -> Path:
        """Writes a mask of these values, (height, width), and gives its folder."""
        folder = self.scans / "masks"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(values)).save(folder / f"{accession_number}_{sequence:03d}.png")
        return folder

    def approve(self, version: str, *, name: str = "mend") -> None:
        model_aliases.set_alias(self.catalogue, name, version, "approved", "A. Curator")

    def master(
        self,
        accession_number: str,
        *,
        view: View = View.RECTO,
        size: tuple[int, int] = (40, 32),
        polarity: Polarity | None = None,
        process: str | None = None,
        root: str = "scans",
        with_reference: bool = False,
        icc_profile: bytes | None = None,
    ) -> int:
        """Writes a 16-bit grey TIFF of ``size`` (width, height) and enters it; its id."""
        folder = self.scans / root
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(accession_number.encode()).hexdigest()[:8]}-{view}.tif"
        pixels = self.rng.integers(0, 65536, (size[1], size[0]), dtype=np.uint16)
        tifffile.imwrite(path, pixels, photometric="minisblack", iccprofile=icc_profile, metadata=None)
        reference = path.with_suffix(".reference.tif")
        if with_reference:
            tifffile.imwrite(reference, pixels // 2 + 16000, photometric="minisblack", metadata=None)
        with self.catalogue.session() as session:
            now = self.catalogue.now(session)
            item = session.scalar(select(Item).where(Item.accession_number == accession_number))
            if item is None:
                item = Item(
                    accession_number=accession_number,
                    access=Access.OPEN,
                    extra={},
                    created_at=now,
                    polarity=polarity,
                    process=process,
                )
            row = session.scalar(select(Root).where(Root.path == str(folder))) or Root(path=str(folder))
            master = Master(
                item=item,
                sequence=len(item.masters) + 1,
                view=view,
                root=row,
                path=str(path),
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size=path.stat().st_size,
                format="TIFF",
                width=size[0],
                height=size[1],
                bits_per_sample=16,
                samples_per_pixel=1,
                reference_path=str(reference) if with_reference else None,
                ingested_at=now,
            )
            session.add(master)
            session.flush()
            return master.id

    def plan(
        self,
        query: str | None = None,
        *,
        model: str = "mend",
        dry_run: bool = False,
        must_fit: bool = True,
        **options: Any,
    ) -> Plan:
        request = RestoreRequest(model=model, **options)
        return plan_restore(self.catalogue, query, request, dry_run=dry_run, must_fit=must_fit)

    def planned(self, query: str | None = None, **options: Any) -> int:
        """Plans a batch that is known to have tasks; its id."""
        batch_id = self.plan(query, **options).batch_id
        assert batch_id is not None
        return batch_id

    def prepared(self, *accession_numbers: str, **options: Any) -> int:
        """A planned batch of small masters of these accession numbers, with a model; its id."""
        self.model()
        for accession_number in accession_numbers:
            self.master(accession_number, size=(16, 16), **options)
        return self.planned()

    def run(
        self,
        batch_id: int,
        restoration: Stage | None = None,
        *,
        style: FakeStyle | None = None,
        scores_device: str | None = None,
        **options: Any,
    ) -> BatchResult:
        def make_models(folder_of: Any, _execution: object) -> FakeModels:
            return FakeModels(restoration or FakeStage(), style, folder_of, scores_device=scores_device)

        return run_batch(self.catalogue, batch_id, make_models=make_models, **options)

    def worker(self, batch_id: int, **options: Any) -> Any:
        """A process that works on the batch; see :func:`tests.fake_models.work`."""
        return worker(self.catalogue.settings.home, batch_id, **options)

    def set(self, **settings: Any) -> None:
        """Changes settings, in archive.toml too."""
        self.catalogue = replace(self.catalogue, settings=replace(self.catalogue.settings, **settings))
        path = self.catalogue.settings.home / "archive.toml"
        kept = [line for line in path.read_text().splitlines() if line.split(" = ")[0] not in settings]
        path.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in settings.items())]) + "\n")

    def assert_interrupted(self, batch_id: int, reason: str) -> None:
        """Lists show that the batch was begun and waits to be resumed, and why its last run stopped."""
        with self.catalogue.reading() as session:
            found = get_batch(session, batch_id)
        assert found["status"] == "interrupted"
        assert re.search(reason, found["last_run"]["reason"])
        assert found["last_run"]["begun_at"] <= found["last_run"]["ended_at"] == found["last_worked_at"]

    def assert_whole(self, *batch_ids: int) -> None:
        """Each task is done, its derivative there once with the bytes of its row and the right pixels; nothing else."""
        home = self.catalogue.settings.home
        with self.catalogue.reading() as session:
            tasks = session.scalars(select(Task).where(Task.batch_id.in_(batch_ids))).all()
            assert {task.status for task in tasks} <= {TaskStatus.DONE, TaskStatus.SKIPPED}
            made = session.scalars(select(Derivative)).all()
            assert sorted({(task.master_id, task.recipe_id) for task in tasks}) == sorted(
                (derivative.master_id, derivative.recipe_id) for derivative in made
            )
            assert self.files() == sorted(home / derivative.path for derivative in made)
            for derivative in made:
                data = (home / derivative.path).read_bytes()
                assert (hashlib.sha256(data).hexdigest(), len(data)) == (derivative.sha256, derivative.size)
                recipe = FullRecipe.from_json(derivative.recipe.canonical_json)
                with Picture.open(derivative.master.path) as picture:
                    sink = ArraySink(picture.info)
                    restore(picture, recipe, sink, models=FakeModels(FakeStage()))
                assert derivative.pixel_sha256 == sink.pixel_sha256

    def masters(self) -> list[Master]:
        with self.catalogue.reading() as session:
            return list(session.scalars(select(Master).order_by(Master.id)))

    def path_of(self, master_id: int) -> Path:
        with self.catalogue.reading() as session:
            return Path(session.get_one(Master, master_id).path)

    def tasks(self, batch_id: int) -> list[Task]:
        with self.catalogue.reading() as session:
            return list(session.scalars(select(Task).where(Task.batch_id == batch_id).order_by(Task.id)))

    def statuses(self, batch_id: int) -> list[TaskStatus]:
        return [task.status for task in self.tasks(batch_id)]

    def derivatives(self) -> list[Derivative]:
        """All of them, in the order of their masters."""
        with self.catalogue.reading() as session:
            return list(session.scalars(select(Derivative).order_by(Derivative.master_id, Derivative.id)))

    def files(self) -> list[Path]:
        """Everything that lies below ``derivatives`` in the home, hidden temporary files included."""
        return sorted(path for path in (self.catalogue.settings.home / "derivatives").rglob("*") if path.is_file())


@pytest.fixture
def workshop(catalogue: Catalogue, tmp_path: Path) -> Workshop:
    """A workshop in which an absent database is not waited for as long as in a museum."""
    made = Workshop(catalogue=catalogue, scans=tmp_path / "pictures", model_folders=tmp_path / "models")
    made.set(database_wait_seconds=2)
    return made
