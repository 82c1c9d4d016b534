"""Identifiers for objects, events and agents outside of the catalogue.

They are UUIDs (version 5) of the attributes that identify an object. So every export uses the same identifier for it,
and exports of two museums never use one identifier for two objects.
"""

from __future__ import annotations

import uuid

from archive.catalogue.schema.tables import Agent, Derivative, Event, Item, Master, ModelVersion, Recipe

_NAMESPACE = uuid.UUID("6f0c5f5e-4c0b-5d0c-9a53-3c0f6f3a7a11")


def item_identifier(item: Item) -> str:
    """Of an item: its accession number and the time at which it was catalogued."""
    return _identifier("item", item.accession_number, item.created_at.isoformat())


def master_identifier(master: Master) -> str:
    """Of a master: the digest of its file, and which of the file's pictures it is."""
    return _identifier("master", master.sha256, str(master.page))


def derivative_identifier(derivative: Derivative) -> str:
    """Of a derivative: its master's digest and page, its recipe and its bytes."""
    page = str(derivative.master.page)
    return _identifier("derivative", derivative.master_sha256, page, derivative.recipe.sha256, derivative.sha256)


def subject_identifier(item: Item, master: Master | None, derivative: Derivative | None) -> str:
    """Of the object of an event: the derivative, else the master, else the item."""
    if derivative is not None:
        return derivative_identifier(derivative)
    return item_identifier(item) if master is None else master_identifier(master)


def event_identifier(event: Event, about: str) -> str:
    """Of an event: its number, type and time, and the identifier of its object."""
    return _identifier("event", str(event.id), event.type, event.at.isoformat(), about)


def agent_identifier(agent: Agent) -> str:
    """Of a person or a piece of software: type, name and version."""
    return _identifier("agent", agent.type, agent.name, agent.version)


def model_identifier(version: ModelVersion) -> str:
    """Of a model version: the digest of its weights, with its name."""
    return _identifier("model", version.model.name, version.version, version.weights_sha256)


def recipe_identifier(recipe: Recipe) -> str:
    """Of a recipe: its digest."""
    return _identifier("recipe", recipe.sha256)


def _identifier(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))
