"""The catalogue's first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
DIGEST = sa.String(64)
NUMBER = sa.Float(53)
MOMENT = sa.DateTime(timezone=True)

# masters and derivatives reference each other. These constraints are added later where the database supports that;
# SQLite has them from the start, because it resolves a referenced table only when rows are written.
LATER = ("current_restored_id", "current_styled_id")


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    _create_items()
    _create_models()
    _create_batches()
    _create_history()
    if op.get_bind().dialect.supports_alter:
        for column in LATER:
            op.create_foreign_key(f"fk_masters_{column}_derivatives", "masters", "derivatives", [column], ["id"])


def downgrade() -> None:
    if op.get_bind().dialect.supports_alter:
        for column in LATER:
            op.drop_constraint(f"fk_masters_{column}_derivatives", "masters", type_="foreignkey")
    for table in (
        "events",
        "reviews",
        "quality_scores",
        "tasks",
        "derivatives",
        "batches",
        "recipe_stages",
        "recipes",
        "model_aliases",
        "model_versions",
        "models",
        "masters",
        "roots",
        "item_words",
        "items",
        "agents",
    ):
        op.drop_table(table)


def _create_items() -> None:
    op.create_table(
        "agents",
        sa.Column("id", ID, nullable=False),
        sa.Column("type", _choice("agenttype", "person", "software"), nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("version", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("type", "name", "version", name=op.f("uq_agents_type_name_version")),
    )
    op.create_table(
        "items",
        sa.Column("id", ID, nullable=False),
        sa.Column("accession_number", EXACT, nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("creator", sa.Text()),
        sa.Column("date", sa.Text()),
        sa.Column("date_earliest", sa.Integer()),
        sa.Column("date_latest", sa.Integer()),
        sa.Column("description", sa.Text()),
        sa.Column("place", sa.Text()),
        sa.Column("process", sa.Text()),
        sa.Column("polarity", _choice("polarity", "positive", "negative")),
        sa.Column("rights", sa.Text()),
        sa.Column("access", _choice("access", "open", "restricted", "sensitive"), nullable=False),
        sa.Column("collection", EXACT),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sa.UniqueConstraint("accession_number", name=op.f("uq_items_accession_number")),
    )
    op.create_index(op.f("ix_items_access"), "items", ["access"])
    op.create_index(op.f("ix_items_collection"), "items", ["collection"])
    op.create_index(op.f("ix_items_date_earliest"), "items", ["date_earliest"])
    op.create_table(
        "item_words",
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("word", EXACT, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_item_words_item_id_items")),
        sa.PrimaryKeyConstraint("field", "word", "item_id", "position", name=op.f("pk_item_words")),
    )
    op.create_index(op.f("ix_item_words_item_id"), "item_words", ["item_id"])
    op.create_table(
        "roots",
        sa.Column("id", ID, nullable=False),
        sa.Column("path", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roots")),
        sa.UniqueConstraint("path", name=op.f("uq_roots_path")),
    )
    op.create_table(
        "masters",
        sa.Column("id", ID, nullable=False),
        sa.Column("item_id", ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("view", _choice("view", "recto", "verso", "detail", "mount", "target"), nullable=False),
        sa.Column("root_id", ID, nullable=False),
        sa.Column("path", EXACT, nullable=False),
        sa.Column("sha256", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bits_per_sample", sa.Integer(), nullable=False),
        sa.Column("samples_per_pixel", sa.Integer(), nullable=False),
        sa.Column("ppi", NUMBER),
        sa.Column("icc_profile", sa.Text()),
        sa.Column("area_x", sa.Integer()),
        sa.Column("area_y", sa.Integer()),
        sa.Column("area_width", sa.Integer()),
        sa.Column("area_height", sa.Integer()),
        sa.Column("reference_path", EXACT),
        sa.Column("captured_at", sa.Text()),
        sa.Column("captured_by", sa.Text()),
        sa.Column("ingested_at", MOMENT, nullable=False),
        sa.Column("verified_at", MOMENT),
        sa.Column(
            "last_task_status", _choice("taskstatus", "pending", "running", "done", "failed", "skipped", "cancelled")
        ),
        sa.Column("refusal", sa.Text()),
        sa.Column("current_restored_id", ID),
        sa.Column("current_styled_id", ID),
        sa.Column("psnr_source", NUMBER),
        sa.Column("ssim_source", NUMBER),
        sa.Column("psnr_reference", NUMBER),
        sa.Column("ssim_reference", NUMBER),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_masters_sequence_from_one")),
        sa.ForeignKeyConstraint(
            ["current_restored_id"],
            ["derivatives.id"],
            name=op.f("fk_masters_current_restored_id_derivatives"),
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(
            ["current_styled_id"],
            ["derivatives.id"],
            name=op.f("fk_masters_current_styled_id_derivatives"),
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_masters_item_id_items")),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name=op.f("fk_masters_root_id_roots")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_masters")),
        sa.UniqueConstraint("item_id", "sequence", name=op.f("uq_masters_item_id_sequence")),
        sa.UniqueConstraint("path", name=op.f("uq_masters_path")),
        sa.UniqueConstraint("sha256", name=op.f("uq_masters_sha256")),
    )
    op.create_index(op.f("ix_masters_current_restored_id"), "masters", ["current_restored_id"])
    op.create_index(op.f("ix_masters_current_styled_id"), "masters", ["current_styled_id"])
    op.create_index(op.f("ix_masters_last_task_status"), "masters", ["last_task_status"])
    op.create_index(op.f("ix_masters_psnr_reference"), "masters", ["psnr_reference"])
    op.create_index(op.f("ix_masters_psnr_source"), "masters", ["psnr_source"])
    op.create_index(op.f("ix_masters_root_id"), "masters", ["root_id"])
    op.create_index(op.f("ix_masters_ssim_reference"), "masters", ["ssim_reference"])
    op.create_index(op.f("ix_masters_ssim_source"), "masters", ["ssim_source"])
    op.create_index(op.f("ix_masters_verified_at"), "masters", ["verified_at"])
    op.create_index(op.f("ix_masters_view"), "masters", ["view"])


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("task", _choice("stagetask", "restoration", "style"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "model_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("version", EXACT, nullable=False),
        sa.Column("weights_sha256", DIGEST, nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("folder", EXACT, nullable=False),
        sa.Column("registered_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_model_versions_model_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("model_id", "version", name=op.f("uq_model_versions_model_id_version")),
    )
    op.create_table(
        "model_aliases",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("alias", EXACT, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_model_aliases_model_id_models")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name=op.f("fk_model_aliases_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("model_id", "alias", name=op.f("pk_model_aliases")),
    )
    op.create_index(op.f("ix_model_aliases_version_id"), "model_aliases", ["version_id"])
    op.create_table(
        "recipes",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", DIGEST, nullable=False),
        sa.Column("canonical_json", sa.Text(), nullable=False),
        sa.Column("kind", _choice("derivativekind", "restored", "styled"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipes")),
        sa.UniqueConstraint("sha256", name=op.f("uq_recipes_sha256")),
    )
    op.create_table(
        "recipe_stages",
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task", _choice("stagetask", "restoration", "style"), nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"], name=op.f("fk_recipe_stages_recipe_id_recipes")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name=op.f("fk_recipe_stages_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("recipe_id", "position", name=op.f("pk_recipe_stages")),
    )
    op.create_index(op.f("ix_recipe_stages_version_id"), "recipe_stages", ["version_id"])


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", _choice("batchkind", "restore", "rerun"), nullable=False),
        sa.Column("query", sa.Text()),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("agent_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_batches_agent_id_agents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_table(
        "derivatives",
        sa.Column("id", ID, nullable=False),
        sa.Column("master_id", ID, nullable=False),
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("kind", _choice("derivativekind", "restored", "styled"), nullable=False),
        sa.Column("path", EXACT, nullable=False),
        sa.Column("sha256", DIGEST, nullable=False),
        sa.Column("pixel_sha256", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("master_sha256", DIGEST, nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("stage_records", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("verified_at", MOMENT),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_derivatives_batch_id_batches")),
        sa.ForeignKeyConstraint(["master_id"], ["masters.id"], name=op.f("fk_derivatives_master_id_masters")),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"], name=op.f("fk_derivatives_recipe_id_recipes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_derivatives")),
        sa.UniqueConstraint("master_id", "recipe_id", name=op.f("uq_derivatives_master_id_recipe_id")),
        sa.UniqueConstraint("path", name=op.f("uq_derivatives_path")),
    )
    op.create_index(op.f("ix_derivatives_batch_id"), "derivatives", ["batch_id"])
    op.create_index(op.f("ix_derivatives_recipe_id"), "derivatives", ["recipe_id"])
    op.create_index(op.f("ix_derivatives_verified_at"), "derivatives", ["verified_at"])
    op.create_table(
        "tasks",
        sa.Column("id", ID, nullable=False),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("master_id", ID, nullable=False),
        sa.Column("recipe_id", ID, nullable=False),
        sa.Column(
            "status",
            _choice("taskstatus", "pending", "running", "done", "failed", "skipped", "cancelled"),
            nullable=False,
        ),
        sa.Column("lease_token", sa.String(length=32)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("derivative_id", ID),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_tasks_batch_id_batches")),
        sa.ForeignKeyConstraint(["derivative_id"], ["derivatives.id"], name=op.f("fk_tasks_derivative_id_derivatives")),
        sa.ForeignKeyConstraint(["master_id"], ["masters.id"], name=op.f("fk_tasks_master_id_masters")),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"], name=op.f("fk_tasks_recipe_id_recipes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("batch_id", "master_id", "recipe_id", name=op.f("uq_tasks_batch_id_master_id_recipe_id")),
    )
    op.create_index("ix_tasks_batch_id_status", "tasks", ["batch_id", "status"])
    op.create_index(op.f("ix_tasks_master_id"), "tasks", ["master_id"])


def _create_history() -> None:
    op.create_table(
        "quality_scores",
        sa.Column("id", ID, nullable=False),
        sa.Column("derivative_id", ID, nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("value", NUMBER),
        sa.Column("image", _choice("scoredimage", "source", "derivative"), nullable=False),
        sa.Column("stage", sa.Integer()),
        sa.Column("compared_with", _choice("comparedwith", "source", "reference", "stage_input", "style")),
        sa.Column("colour_space", sa.Text(), nullable=False),
        sa.Column("data_range", NUMBER, nullable=False),
        sa.Column("implementation", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.ForeignKeyConstraint(
            ["derivative_id"], ["derivatives.id"], name=op.f("fk_quality_scores_derivative_id_derivatives")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_scores")),
    )
    op.create_index("ix_quality_scores_derivative_id_metric", "quality_scores", ["derivative_id", "metric"])
    op.create_table(
        "reviews",
        sa.Column("id", ID, nullable=False),
        sa.Column("derivative_id", ID, nullable=False),
        sa.Column("sha256", DIGEST, nullable=False),
        sa.Column("decision", _choice("decision", "accepted", "rejected"), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_reviews_agent_id_agents")),
        sa.ForeignKeyConstraint(
            ["derivative_id"], ["derivatives.id"], name=op.f("fk_reviews_derivative_id_derivatives")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_derivative_id"), "reviews", ["derivative_id"])
    op.create_table(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column(
            "type",
            _choice(
                "eventtype",
                "ingestion",
                "metadata modification",
                "relocation",
                "fixity check",
                "derivation",
                "review",
                "model registration",
                "alias change",
            ),
            nullable=False,
        ),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("outcome", _choice("outcome", "success", "failure"), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("item_id", ID),
        sa.Column("master_id", ID),
        sa.Column("derivative_id", ID),
        sa.Column("version_id", ID),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_events_agent_id_agents")),
        sa.ForeignKeyConstraint(
            ["derivative_id"], ["derivatives.id"], name=op.f("fk_events_derivative_id_derivatives")
        ),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_events_item_id_items")),
        sa.ForeignKeyConstraint(["master_id"], ["masters.id"], name=op.f("fk_events_master_id_masters")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_versions.id"], name=op.f("fk_events_version_id_model_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_derivative_id"), "events", ["derivative_id"])
    op.create_index(op.f("ix_events_item_id"), "events", ["item_id"])
    op.create_index(op.f("ix_events_master_id"), "events", ["master_id"])
    op.create_index(op.f("ix_events_version_id"), "events", ["version_id"])
