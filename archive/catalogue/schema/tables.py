"""The catalogue's tables, typed, the same on SQLite and PostgreSQL.

Accession numbers and paths are compared by code point on both databases (PostgreSQL's collation ``C``), so lists have
the same order. Times are UTC. The date of a photograph is stored as written, as EDTF, and as the range of days that it
covers, each day an integer ``year * 10000 + month * 100 + day``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, composite, mapped_column, relationship

from archive.catalogue.schema import indexes
from archive.catalogue.schema.column_types import NEVER_REUSE_IDS, Digest, ExactText, Id, Table, enum_column
from archive.catalogue.schema.picture_area import PictureArea
from archive.catalogue.schema.vocabularies import (
    Access,
    AgentType,
    BatchKind,
    ComparedWith,
    Decision,
    DerivativeKind,
    EventType,
    FileFault,
    Outcome,
    Polarity,
    ScoredImage,
    StageTask,
    TaskStatus,
    View,
)


class Item(Table):
    """One catalogued photograph."""

    __tablename__ = "items"
    __table_args__ = (*indexes.ITEM_INDEXES, NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    accession_number: Mapped[str] = mapped_column(ExactText, unique=True)
    title: Mapped[str | None] = mapped_column(Text)
    creator: Mapped[str | None] = mapped_column(Text)
    date: Mapped[str | None] = mapped_column(Text)  # EDTF
    date_text: Mapped[str | None] = mapped_column(Text)  # in the museum's words
    date_earliest: Mapped[int | None]  # yyyymmdd
    date_latest: Mapped[int | None]
    description: Mapped[str | None] = mapped_column(Text)
    place: Mapped[str | None] = mapped_column(Text)
    process: Mapped[str | None] = mapped_column(Text)
    polarity: Mapped[Polarity | None] = mapped_column(enum_column(Polarity))
    rights: Mapped[str | None] = mapped_column(Text)
    access: Mapped[Access] = mapped_column(enum_column(Access))
    collection: Mapped[str | None] = mapped_column(ExactText)
    extra: Mapped[dict[str, Any]]  # unknown columns of items.csv, as text
    created_at: Mapped[datetime]

    masters: Mapped[list[Master]] = relationship(back_populates="item", order_by="Master.sequence")


class Root(Table):
    """A folder from which masters were ingested; if it is missing, a share is unmounted, and its scans are not lost."""

    __tablename__ = "roots"
    __table_args__ = NEVER_REUSE_IDS

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    path: Mapped[str] = mapped_column(ExactText, unique=True)


class Master(Table):
    """One ingested scan: a file, or one of the pictures in a file, which share its path and digest.

    ``current_*``, ``is_stale`` and the headline scores are derived from the derivatives, the reviews and the approved
    model versions: see :mod:`archive.catalogue.current_derivative`.
    """

    __tablename__ = "masters"
    __table_args__ = (
        UniqueConstraint("item_id", "sequence"),
        UniqueConstraint("path", "page"),
        UniqueConstraint("sha256", "page"),
        CheckConstraint("sequence >= 1", name="sequence_from_one"),
        CheckConstraint("page >= 1", name="page_from_one"),
        *indexes.MASTER_INDEXES,
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    item_id: Mapped[int] = mapped_column(Id, ForeignKey("items.id"))
    sequence: Mapped[int]
    view: Mapped[View] = mapped_column(enum_column(View))
    root_id: Mapped[int] = mapped_column(Id, ForeignKey("roots.id"), index=True)
    path: Mapped[str] = mapped_column(ExactText)  # absolute; for a copy in the home relative to it
    page: Mapped[int] = mapped_column(default=1)  # the picture's number in the file, from 1; previews don't count
    sha256: Mapped[str] = mapped_column(Digest)  # of the file
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    format: Mapped[str] = mapped_column(String(16))
    width: Mapped[int]  # upright, px
    height: Mapped[int]
    bits_per_sample: Mapped[int]
    samples_per_pixel: Mapped[int]
    ppi: Mapped[float | None]
    icc_profile: Mapped[str | None] = mapped_column(Text)  # its description
    area_x: Mapped[int | None]
    area_y: Mapped[int | None]
    area_width: Mapped[int | None]
    area_height: Mapped[int | None]
    picture_area: Mapped[PictureArea | None] = composite(
        PictureArea.of_columns, "area_x", "area_y", "area_width", "area_height"
    )
    reference_path: Mapped[str | None] = mapped_column(ExactText)  # absolute
    captured_at: Mapped[str | None] = mapped_column(Text)
    captured_by: Mapped[str | None] = mapped_column(Text)
    ingested_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    file_fault: Mapped[FileFault | None] = mapped_column(enum_column(FileFault))  # the result of the last check
    last_task_status: Mapped[TaskStatus | None] = mapped_column(enum_column(TaskStatus))
    unsupported: Mapped[str | None] = mapped_column(Text)  # why its kind can't be preserved faithfully, if so
    refusal: Mapped[str | None] = mapped_column(Text)  # why the last plan excluded it; set at ingest if unsupported
    current_restored_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id", use_alter=True))
    current_styled_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id", use_alter=True), index=True)
    # The recipes of these two derivatives, duplicated here so that an index finds the masters of a model version.
    current_restored_recipe_id: Mapped[int | None] = mapped_column(Id)
    current_styled_recipe_id: Mapped[int | None] = mapped_column(Id)
    is_stale: Mapped[bool] = mapped_column(default=False)
    psnr_source: Mapped[float | None]
    ssim_source: Mapped[float | None]
    psnr_reference: Mapped[float | None]
    ssim_reference: Mapped[float | None]

    item: Mapped[Item] = relationship(back_populates="masters")
    root: Mapped[Root] = relationship()
    derivatives: Mapped[list[Derivative]] = relationship(
        back_populates="master", foreign_keys="Derivative.master_id", order_by="Derivative.id"
    )

    @property
    def is_copy(self) -> bool:
        """Whether its file is a copy in the home."""
        return not self.path.startswith("/")


class Model(Table):
    """A named network."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(ExactText, unique=True)
    task: Mapped[StageTask] = mapped_column(enum_column(StageTask))

    versions: Mapped[list[ModelVersion]] = relationship(back_populates="model", order_by="ModelVersion.id")
    aliases: Mapped[list[ModelAlias]] = relationship(back_populates="model", order_by="ModelAlias.alias")


class ModelVersion(Table):
    """One released set of weights of a model, with its whole card."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model_id: Mapped[int] = mapped_column(Id, ForeignKey("models.id"))
    version: Mapped[str] = mapped_column(ExactText)
    weights_sha256: Mapped[str] = mapped_column(Digest)
    card: Mapped[dict[str, Any]]
    folder: Mapped[str] = mapped_column(ExactText)  # where its files were registered from
    registered_at: Mapped[datetime]

    model: Mapped[Model] = relationship(back_populates="versions")


class ModelAlias(Table):
    """A movable name for a model version; ``approved`` marks the version in use."""

    __tablename__ = "model_aliases"

    model_id: Mapped[int] = mapped_column(Id, ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(ExactText, primary_key=True)
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)
    unapplied_since: Mapped[datetime | None]  # when it was moved, until all masters are judged by it

    model: Mapped[Model] = relationship(back_populates="aliases")
    version: Mapped[ModelVersion] = relationship()


class Recipe(Table):
    """A recipe as canonical JSON (RFC 8785), identified by its SHA-256."""

    __tablename__ = "recipes"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(Digest, unique=True)
    canonical_json: Mapped[str] = mapped_column(Text)
    kind: Mapped[DerivativeKind] = mapped_column(enum_column(DerivativeKind))

    stages: Mapped[list[RecipeStage]] = relationship(back_populates="recipe", order_by="RecipeStage.position")


class RecipeStage(Table):
    """The model version of a recipe's stage, for ``model:`` and ``style:`` queries and for staleness."""

    __tablename__ = "recipe_stages"

    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[StageTask] = mapped_column(enum_column(StageTask))
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)
    strength: Mapped[float | None]  # its parameter of this name, duplicated for queries

    recipe: Mapped[Recipe] = relationship(back_populates="stages")
    version: Mapped[ModelVersion] = relationship()


class Batch(Table):
    """One request to restore a set of masters. Its status is derived from its tasks."""

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[BatchKind] = mapped_column(enum_column(BatchKind))
    query: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, Any]]  # device, precision; for a sample size, seed and the access shown on its sheet
    priority: Mapped[int] = mapped_column(default=0)  # workers help more urgent batches first
    created_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]  # when it was first run
    last_run: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # begun_at, ended_at, reason, process while it runs
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))  # the software that planned it
    operator_id: Mapped[int | None] = mapped_column(Id, ForeignKey("agents.id"))  # the person who asked for it

    agent: Mapped[Agent] = relationship(foreign_keys=[agent_id])
    operator: Mapped[Agent | None] = relationship(foreign_keys=[operator_id])
    tasks: Mapped[list[Task]] = relationship(back_populates="batch", order_by="Task.id")

    @property
    def is_trial(self) -> bool:
        """Whether its derivatives don't become current automatically."""
        return bool(self.options.get("trial") or "sample" in self.options)

    @property
    def adopts_trials(self) -> bool:
        """Whether it makes derivatives of trials count if it asks for their recipe; a repair doesn't."""
        return not self.is_trial and self.kind is not BatchKind.REPAIR


class Task(Table):
    """One recipe applied to one master in a batch.

    Only the holder of ``lease_token`` may record its outcome, and only until the lease expires by the database's clock.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("batch_id", "master_id", "recipe_id"),
        *indexes.TASK_INDEXES,
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    batch_id: Mapped[int] = mapped_column(Id, ForeignKey("batches.id"))
    master_id: Mapped[int] = mapped_column(Id, ForeignKey("masters.id"), index=True)
    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"))
    status: Mapped[TaskStatus] = mapped_column(enum_column(TaskStatus))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_expires_at: Mapped[datetime | None]
    lease_host: Mapped[str | None] = mapped_column(ExactText)  # the machine and boot of the holder,
    lease_pid: Mapped[int | None]  # its process id
    lease_started: Mapped[int | None] = mapped_column(BigInteger)  # and the process's start time, in ticks since boot
    lease_device: Mapped[str | None] = mapped_column(Text)  # the device of its networks
    lease_renewed_at: Mapped[datetime | None]  # the holder's last heartbeat
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    derivative_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id"), index=True)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    step_seconds: Mapped[dict[str, float] | None] = mapped_column(JSON)  # read, restore, device, score, digest

    batch: Mapped[Batch] = relationship(back_populates="tasks")
    master: Mapped[Master] = relationship()
    recipe: Mapped[Recipe] = relationship()


class Derivative(Table):
    """An image made by applying one whole recipe to one master, with all that is needed to make it again."""

    __tablename__ = "derivatives"
    __table_args__ = (*indexes.DERIVATIVE_INDEXES, NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    master_id: Mapped[int] = mapped_column(Id, ForeignKey("masters.id"))
    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"), index=True)
    batch_id: Mapped[int] = mapped_column(Id, ForeignKey("batches.id"))
    kind: Mapped[DerivativeKind] = mapped_column(enum_column(DerivativeKind))
    path: Mapped[str] = mapped_column(ExactText, unique=True)  # relative to the home
    sha256: Mapped[str] = mapped_column(Digest)
    pixel_sha256: Mapped[str] = mapped_column(Digest)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    master_sha256: Mapped[str] = mapped_column(Digest)
    environment: Mapped[dict[str, Any]]  # software, torch, device, instruction set, precision, tile size, threads, seed
    stage_records: Mapped[list[Any]] = mapped_column(JSON)  # one a stage: seconds and what it noticed
    notes: Mapped[list[Any]] = mapped_column(JSON)  # what could not be carried over, in words
    created_at: Mapped[datetime]
    operator_id: Mapped[int | None] = mapped_column(Id, ForeignKey("agents.id"), index=True)  # the person who ran it
    verified_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]  # its file was removed by a person's decision; the row is kept
    withdrawn_by_id: Mapped[int | None] = mapped_column(Id, ForeignKey("agents.id"))
    withdrawal_reason: Mapped[str | None] = mapped_column(Text)
    file_fault: Mapped[FileFault | None] = mapped_column(enum_column(FileFault))  # as the last check found it
    is_trial: Mapped[bool] = mapped_column(default=False)  # made by a trial only: not current by itself
    promoted_at: Mapped[datetime | None]  # when a person, or a full run of its recipe, let it count as new

    master: Mapped[Master] = relationship(back_populates="derivatives", foreign_keys=[master_id])
    withdrawn_by: Mapped[Agent | None] = relationship(foreign_keys=[withdrawn_by_id])
    recipe: Mapped[Recipe] = relationship()
    batch: Mapped[Batch] = relationship()
    operator: Mapped[Agent | None] = relationship(foreign_keys=[operator_id])
    scores: Mapped[list[QualityScore]] = relationship(back_populates="derivative", order_by="QualityScore.id")
    reviews: Mapped[list[Review]] = relationship(back_populates="derivative", order_by="Review.id")


class QualityScore(Table):
    """One metric's value, with the image it is of and what that was compared with.

    ``value`` is NULL for an infinite PSNR, with ``identical`` in ``detail``.
    """

    __tablename__ = "quality_scores"
    __table_args__ = indexes.QUALITY_SCORE_INDEXES

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"))
    metric: Mapped[str] = mapped_column(String(32))
    value: Mapped[float | None]
    image: Mapped[ScoredImage] = mapped_column(enum_column(ScoredImage))
    stage: Mapped[int | None]
    compared_with: Mapped[ComparedWith | None] = mapped_column(enum_column(ComparedWith))
    colour_space: Mapped[str] = mapped_column(Text)
    data_range: Mapped[float]
    implementation: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)

    derivative: Mapped[Derivative] = relationship(back_populates="scores")


class Review(Table):
    """A person's decision about one derivative's exact bytes. The newest one counts."""

    __tablename__ = "reviews"
    __table_args__ = (*indexes.REVIEW_INDEXES, NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"))
    sha256: Mapped[str] = mapped_column(Digest)
    decision: Mapped[Decision] = mapped_column(enum_column(Decision))
    reason: Mapped[str | None] = mapped_column(Text)
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))
    at: Mapped[datetime]

    derivative: Mapped[Derivative] = relationship(back_populates="reviews")
    agent: Mapped[Agent] = relationship()


class Agent(Table):
    """PREMIS 3 agent: a person, or a piece of software at a version."""

    __tablename__ = "agents"
    __table_args__ = (UniqueConstraint("type", "name", "version"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    type: Mapped[AgentType] = mapped_column(enum_column(AgentType))
    name: Mapped[str] = mapped_column(ExactText)
    version: Mapped[str] = mapped_column(ExactText)  # empty for a person


class Event(Table):
    """PREMIS 3 event: what happened to which object, when, with what outcome, by whom."""

    __tablename__ = "events"
    __table_args__ = NEVER_REUSE_IDS

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    type: Mapped[EventType] = mapped_column(enum_column(EventType))
    at: Mapped[datetime]
    outcome: Mapped[Outcome] = mapped_column(enum_column(Outcome))
    detail: Mapped[str | None] = mapped_column(Text)
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))
    operator_id: Mapped[int | None] = mapped_column(Id, ForeignKey("agents.id"))  # the person on whose behalf
    item_id: Mapped[int | None] = mapped_column(Id, ForeignKey("items.id"), index=True)
    master_id: Mapped[int | None] = mapped_column(Id, ForeignKey("masters.id"), index=True)
    derivative_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id"), index=True)
    version_id: Mapped[int | None] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)

    agent: Mapped[Agent] = relationship(foreign_keys=[agent_id])
    operator: Mapped[Agent | None] = relationship(foreign_keys=[operator_id])
