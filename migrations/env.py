"""Runs migrations on the connection of :mod:`archive.catalogue.schema.migration`, inside its transaction."""

from __future__ import annotations

from alembic import context

from archive.catalogue.schema import web_review_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=web_review_tables.User.metadata,
    # SQLite can't alter a table in place, so Alembic copies it.
    render_as_batch=True,
)
context.run_migrations()
