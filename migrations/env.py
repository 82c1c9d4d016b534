"""Runs migrations on the connection of :mod:`archive.catalogue.schema.migration`, inside its transaction."""

from __future__ import annotations

from alembic import context

from archive.catalogue.schema import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.Item.metadata,
    # SQLite can't alter a table in place: Alembic copies it.
    render_as_batch=True,
)
context.run_migrations()
