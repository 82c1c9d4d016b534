"""The catalogue: what is known of every item, master, derivative, model and event."""

from __future__ import annotations

from archive.catalogue.sessions import Catalogue

__all__ = ["Catalogue"]
