"""The catalogue: the database of items, masters, derivatives, models and events."""

from __future__ import annotations

from archive.catalogue.sessions import Catalogue

__all__ = ["Catalogue"]
