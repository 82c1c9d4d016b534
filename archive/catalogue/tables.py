"""The catalogue's tables, typed, the same on SQLite and PostgreSQL.

Accession numbers and paths are compared by code point on both databases (PostgreSQL's collation ``C``), so that lists
have one order. Times are UTC. A date of a photograph is kept as written (EDTF) and as the range of days it covers, each
day an integer ``year * 10000 + month * 100 + day``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from archive.catalogue.columns import Digest, Exact, Id, Table, choice
from archive.catalogue.vocabulary import (
    Access,
    AgentType,
    BatchKind,
    ComparedWith,
    Decision,
    DerivativeKind,
    EventType,
    Outcome,
    Polarity,
    ScoredImage,
    StageTask,
    TaskStatus,
    View,
)

_OF_WHOLE_DERIVATIVES = text("image = 'derivative' AND stage IS NULL")


def _where_known(name: str, *columns: str, known: str) -> Index:
    """An index of the rows in which ``known`` isn't NULL: where these are few, it leads to them at once."""
    known_rows = text(f"{known} IS NOT NULL")
    return Index(name, *columns, sqlite_where=known_rows, postgresql_where=known_rows)


class Item(Table):
    """One catalogued photograph."""

    __tablename__ = "items"
    __table_args__ = (
        Index("ix_items_access_accession_number", "access", "accession_number"),  # lists are in this order
        Index("ix_items_collection_accession_number", "collection", "accession_number"),
        Index("ix_items_date_earliest_date_latest", "date_earliest", "date_latest"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    accession_number: Mapped[str] = mapped_column(Exact, unique=True)
    title: Mapped[str | None] = mapped_column(Text)
    creator: Mapped[str | None] = mapped_column(Text)
    date: Mapped[str | None] = mapped_column(Text)  # EDTF, as written
    date_earliest: Mapped[int | None]  # yyyymmdd
    date_latest: Mapped[int | None]
    description: Mapped[str | None] = mapped_column(Text)
    place: Mapped[str | None] = mapped_column(Text)
    process: Mapped[str | None] = mapped_column(Text)
    polarity: Mapped[Polarity | None] = mapped_column(choice(Polarity))
    rights: Mapped[str | None] = mapped_column(Text)
    access: Mapped[Access] = mapped_column(choice(Access))
    collection: Mapped[str | None] = mapped_column(Exact)
    extra: Mapped[dict[str, Any]]  # unknown columns of items.csv, as text
    created_at: Mapped[datetime]

    masters: Mapped[list[Master]] = relationship(back_populates="item", order_by="Master.sequence")


class ItemWord(Table):
    """A folded word at its position in one of an item's text fields: what whole-word and phrase queries look in.

    Words are folded without case and accents by :func:`archive.catalogue.words.fold`, the same for both databases.
    """

    __tablename__ = "item_words"
    __table_args__ = (Index("ix_item_words_item_id_field_word", "item_id", "field", "word"),)

    field: Mapped[str] = mapped_column(String(16), primary_key=True)
    word: Mapped[str] = mapped_column(Exact, primary_key=True)
    item_id: Mapped[int] = mapped_column(Id, ForeignKey("items.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)


class Root(Table):
    """A folder that masters were ingested from; its absence is an unmounted share, not so many lost scans."""

    __tablename__ = "roots"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    path: Mapped[str] = mapped_column(Exact, unique=True)


class Master(Table):
    """One ingested scan. ``current_*`` and the headline scores follow the derivatives and reviews."""

    __tablename__ = "masters"
    __table_args__ = (
        UniqueConstraint("item_id", "sequence"),
        CheckConstraint("sequence >= 1", name="sequence_from_one"),
        # Each leads to items, and tells at once whether one item has such a master.
        *(
            Index(f"ix_masters_{column}_item_id", column, "item_id")
            for column in (
                "view",
                "last_task_status",
                "current_restored_id",
                "current_restored_recipe_id",
                "current_styled_recipe_id",
            )
        ),
        *(
            _where_known(f"ix_masters_{name}_item_id", *columns, "item_id", known=known)
            for name, columns, known in (
                ("restored", (), "current_restored_id"),
                ("styled", (), "current_styled_id"),
                ("refused", (), "refusal"),
                *(
                    (score, (score,), score)
                    for score in ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")
                ),
            )
        ),
        Index("ix_masters_verified_at_id", "verified_at", "id"),  # the longest unchecked first
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    item_id: Mapped[int] = mapped_column(Id, ForeignKey("items.id"))
    sequence: Mapped[int]
    view: Mapped[View] = mapped_column(choice(View))
    root_id: Mapped[int] = mapped_column(Id, ForeignKey("roots.id"), index=True)
    path: Mapped[str] = mapped_column(Exact, unique=True)  # absolute; below the home (a copy) relative to it
    sha256: Mapped[str] = mapped_column(Digest, unique=True)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    format: Mapped[str] = mapped_column(String(16))
    width: Mapped[int]  # upright, px
    height: Mapped[int]
    bits_per_sample: Mapped[int]
    samples_per_pixel: Mapped[int]
    ppi: Mapped[float | None]
    icc_profile: Mapped[str | None] = mapped_column(Text)  # its description
    area_x: Mapped[int | None]  # picture area, px of the upright picture
    area_y: Mapped[int | None]
    area_width: Mapped[int | None]
    area_height: Mapped[int | None]
    reference_path: Mapped[str | None] = mapped_column(Exact)  # absolute
    captured_at: Mapped[str | None] = mapped_column(Text)
    captured_by: Mapped[str | None] = mapped_column(Text)
    ingested_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    last_task_status: Mapped[TaskStatus | None] = mapped_column(choice(TaskStatus))
    refusal: Mapped[str | None] = mapped_column(Text)  # why the last plan left it out
    current_restored_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id", use_alter=True))
    current_styled_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id", use_alter=True), index=True)
    # The recipes of these two, repeated here so that an index leads from a model version to what it is current for.
    current_restored_recipe_id: Mapped[int | None] = mapped_column(Id)
    current_styled_recipe_id: Mapped[int | None] = mapped_column(Id)
    psnr_source: Mapped[float | None]
    ssim_source: Mapped[float | None]
    psnr_reference: Mapped[float | None]
    ssim_reference: Mapped[float | None]

    item: Mapped[Item] = relationship(back_populates="masters")
    root: Mapped[Root] = relationship()
    derivatives: Mapped[list[Derivative]] = relationship(
        back_populates="master", foreign_keys="Derivative.master_id", order_by="Derivative.id"
    )
    current_restored: Mapped[Derivative | None] = relationship(foreign_keys=[current_restored_id], post_update=True)
    current_styled: Mapped[Derivative | None] = relationship(foreign_keys=[current_styled_id], post_update=True)


class Model(Table):
    """A named network."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Exact, unique=True)
    task: Mapped[StageTask] = mapped_column(choice(StageTask))

    versions: Mapped[list[ModelVersion]] = relationship(back_populates="model", order_by="ModelVersion.id")
    aliases: Mapped[list[ModelAlias]] = relationship(back_populates="model", order_by="ModelAlias.alias")


class ModelVersion(Table):
    """One released set of weights of a model, with its whole card."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model_id: Mapped[int] = mapped_column(Id, ForeignKey("models.id"))
    version: Mapped[str] = mapped_column(Exact)
    weights_sha256: Mapped[str] = mapped_column(Digest)
    card: Mapped[dict[str, Any]]
    folder: Mapped[str] = mapped_column(Exact)  # where its files were registered from
    registered_at: Mapped[datetime]

    model: Mapped[Model] = relationship(back_populates="versions")


class ModelAlias(Table):
    """A movable name for a model version; ``approved`` is the one that a museum runs."""

    __tablename__ = "model_aliases"

    model_id: Mapped[int] = mapped_column(Id, ForeignKey("models.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(Exact, primary_key=True)
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)

    model: Mapped[Model] = relationship(back_populates="aliases")
    version: Mapped[ModelVersion] = relationship()


class Recipe(Table):
    """A recipe as canonical JSON (RFC 8785); its SHA-256 names it."""

    __tablename__ = "recipes"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(Digest, unique=True)
    canonical_json: Mapped[str] = mapped_column(Text)
    kind: Mapped[DerivativeKind] = mapped_column(choice(DerivativeKind))

    stages: Mapped[list[RecipeStage]] = relationship(back_populates="recipe", order_by="RecipeStage.position")


class RecipeStage(Table):
    """Which model version a recipe's stage uses: what ``model:`` and ``style:`` queries and staleness look at."""

    __tablename__ = "recipe_stages"

    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[StageTask] = mapped_column(choice(StageTask))
    version_id: Mapped[int] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)

    recipe: Mapped[Recipe] = relationship(back_populates="stages")
    version: Mapped[ModelVersion] = relationship()


class Batch(Table):
    """One request to restore a set of masters. Its status is told from its tasks."""

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[BatchKind] = mapped_column(choice(BatchKind))
    query: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, Any]]  # device, precision, seed as asked for
    created_at: Mapped[datetime]
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))

    agent: Mapped[Agent] = relationship()
    tasks: Mapped[list[Task]] = relationship(back_populates="batch", order_by="Task.id")


class Task(Table):
    """One recipe applied to one master in a batch. Only the holder of ``lease_token`` may record its outcome."""

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("batch_id", "master_id", "recipe_id"),
        Index("ix_tasks_batch_id_status", "batch_id", "status"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    batch_id: Mapped[int] = mapped_column(Id, ForeignKey("batches.id"))
    master_id: Mapped[int] = mapped_column(Id, ForeignKey("masters.id"), index=True)
    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"))
    status: Mapped[TaskStatus] = mapped_column(choice(TaskStatus))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    derivative_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    batch: Mapped[Batch] = relationship(back_populates="tasks")
    master: Mapped[Master] = relationship()
    recipe: Mapped[Recipe] = relationship()


class Derivative(Table):
    """An image made by applying one whole recipe to one master, with all that is needed to make it again."""

    __tablename__ = "derivatives"
    __table_args__ = (
        UniqueConstraint("master_id", "recipe_id"),
        Index("ix_derivatives_verified_at_id", "verified_at", "id"),  # the longest unchecked first
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    master_id: Mapped[int] = mapped_column(Id, ForeignKey("masters.id"))
    recipe_id: Mapped[int] = mapped_column(Id, ForeignKey("recipes.id"), index=True)
    batch_id: Mapped[int] = mapped_column(Id, ForeignKey("batches.id"), index=True)
    kind: Mapped[DerivativeKind] = mapped_column(choice(DerivativeKind))
    path: Mapped[str] = mapped_column(Exact, unique=True)  # relative to the home
    sha256: Mapped[str] = mapped_column(Digest)
    pixel_sha256: Mapped[str] = mapped_column(Digest)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    master_sha256: Mapped[str] = mapped_column(Digest)
    environment: Mapped[dict[str, Any]]  # software, torch, device, instruction set, precision, tile size, threads, seed
    stage_records: Mapped[list[Any]] = mapped_column(JSON)  # one a stage: seconds and what it noticed
    notes: Mapped[list[Any]] = mapped_column(JSON)  # what could not be carried over, in words
    created_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]

    master: Mapped[Master] = relationship(back_populates="derivatives", foreign_keys=[master_id])
    recipe: Mapped[Recipe] = relationship()
    batch: Mapped[Batch] = relationship()
    scores: Mapped[list[QualityScore]] = relationship(back_populates="derivative", order_by="QualityScore.id")
    reviews: Mapped[list[Review]] = relationship(back_populates="derivative", order_by="Review.id")


class QualityScore(Table):
    """One metric's value, with the image it is of and what that was compared with.

    ``value`` is NULL for an infinite PSNR, with ``identical`` in ``detail``.
    """

    __tablename__ = "quality_scores"
    __table_args__ = (
        Index("ix_quality_scores_derivative_id_metric", "derivative_id", "metric"),
        Index(
            "ix_quality_scores_metric_value_derivative_id",
            "metric",
            "value",
            "derivative_id",
            sqlite_where=_OF_WHOLE_DERIVATIVES,
            postgresql_where=_OF_WHOLE_DERIVATIVES,
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"))
    metric: Mapped[str] = mapped_column(String(32))
    value: Mapped[float | None]
    image: Mapped[ScoredImage] = mapped_column(choice(ScoredImage))
    stage: Mapped[int | None]
    compared_with: Mapped[ComparedWith | None] = mapped_column(choice(ComparedWith))
    colour_space: Mapped[str] = mapped_column(Text)
    data_range: Mapped[float]
    implementation: Mapped[str] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)

    derivative: Mapped[Derivative] = relationship(back_populates="scores")


class Review(Table):
    """A person's decision about one derivative's exact bytes. The newest one counts."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_decision_derivative_id", "decision", "derivative_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"), index=True)
    sha256: Mapped[str] = mapped_column(Digest)
    decision: Mapped[Decision] = mapped_column(choice(Decision))
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
    type: Mapped[AgentType] = mapped_column(choice(AgentType))
    name: Mapped[str] = mapped_column(Exact)
    version: Mapped[str] = mapped_column(Exact)  # empty for a person


class Event(Table):
    """PREMIS 3 event: what happened to which object, when, with what outcome, by whom."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    type: Mapped[EventType] = mapped_column(choice(EventType))
    at: Mapped[datetime]
    outcome: Mapped[Outcome] = mapped_column(choice(Outcome))
    detail: Mapped[str | None] = mapped_column(Text)
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))
    item_id: Mapped[int | None] = mapped_column(Id, ForeignKey("items.id"), index=True)
    master_id: Mapped[int | None] = mapped_column(Id, ForeignKey("masters.id"), index=True)
    derivative_id: Mapped[int | None] = mapped_column(Id, ForeignKey("derivatives.id"), index=True)
    version_id: Mapped[int | None] = mapped_column(Id, ForeignKey("model_versions.id"), index=True)

    agent: Mapped[Agent] = relationship()
