"""Partial indexes and indexes of several columns; large catalogues need them for quick queries.

Indexes of one column are declared with the column in :mod:`archive.catalogue.schema.tables`. Lists are ordered by
accession number and show items, so most of these indexes end with the accession number or the item's id.
"""

from __future__ import annotations

from sqlalchemy import Index, text


def _where(condition: str, name: str, *columns: str, unique: bool = False) -> Index:
    """A partial index: only of the rows that fulfil ``condition``, so it is small where these are few."""
    return Index(name, *columns, unique=unique, sqlite_where=text(condition), postgresql_where=text(condition))


def _with_id(name: str, *columns: str) -> Index:
    """An index that holds the id of each row, as SQLite's do, so that PostgreSQL doesn't read the row for it."""
    return Index(name, *columns, postgresql_include=["id"])


ITEM_INDEXES = (
    Index("ix_items_access_accession_number", "access", "accession_number"),
    Index("ix_items_collection_accession_number", "collection", "accession_number"),
    Index("ix_items_date_earliest_date_latest", "date_earliest", "date_latest"),
)
ITEM_WORD_INDEXES = (Index("ix_item_words_item_id_field_word", "item_id", "field", "word"),)
MASTER_INDEXES = (
    # Each finds items by a column of their masters, and tells whether a given item has such a master.
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
        _where(f"{column} IS NOT NULL", f"ix_masters_{name}_item_id", "item_id")
        for name, column in (
            ("restored", "current_restored_id"),
            ("styled", "current_styled_id"),
            ("refused", "refusal"),
        )
    ),
    *(
        _where(f"{score} IS NOT NULL", f"ix_masters_{score}_item_id", score, "item_id")
        for score in ("psnr_source", "ssim_source", "psnr_reference", "ssim_reference")
    ),
    _where("file_fault IS NOT NULL", "ix_masters_file_fault_item_id", "file_fault", "item_id"),
    # SQLite uses it only if a statement repeats its condition, as SQLAlchemy writes ``is_stale == true()``.
    Index(
        "ix_masters_is_stale_item_id",
        "is_stale",
        "item_id",
        sqlite_where=text("is_stale = 1"),
        postgresql_where=text("is_stale"),
    ),
    Index("ix_masters_verified_at_id", "verified_at", "id"),  # the oldest check first
)
TASK_INDEXES = (
    Index("ix_tasks_batch_id_status_attempts_id", "batch_id", "status", "attempts", "id"),  # the order of claims
)
DERIVATIVE_INDEXES = (
    Index("ix_derivatives_verified_at_id", "verified_at", "id"),
    _where("withdrawn_at IS NOT NULL", "ix_derivatives_withdrawn_master_id", "master_id"),
    Index("ix_derivatives_created_at_master_id", "created_at", "master_id"),
    Index("ix_derivatives_batch_id_master_id", "batch_id", "master_id"),
    # A master and a recipe have one derivative; lost ones that were recreated with other bytes don't count.
    _where(
        "file_fault IS NULL OR file_fault <> 'lost'",
        "uq_derivatives_master_id_recipe_id",
        "master_id",
        "recipe_id",
        unique=True,
    ),
    _with_id("ix_derivatives_master_id_recipe_id", "master_id", "recipe_id"),
    _where("file_fault IS NOT NULL", "ix_derivatives_file_fault_master_id", "file_fault", "master_id"),
)
QUALITY_SCORE_INDEXES = (
    Index("ix_quality_scores_derivative_id_metric", "derivative_id", "metric"),
    _where(
        "image = 'derivative' AND stage IS NULL",
        "ix_quality_scores_metric_value_derivative_id",
        "metric",
        "value",
        "derivative_id",
    ),
)
REVIEW_INDEXES = (
    _with_id("ix_reviews_derivative_id", "derivative_id"),
    _with_id("ix_reviews_decision_derivative_id", "decision", "derivative_id"),
    Index("ix_reviews_agent_id_derivative_id", "agent_id", "derivative_id"),
    Index("ix_reviews_at_derivative_id", "at", "derivative_id"),
)
