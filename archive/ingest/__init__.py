"""Ingest: from files of scans, and what items.csv says of them, to checked masters in the catalogue."""

from __future__ import annotations

from archive.ingest.report import IngestReport
from archive.ingest.run import ingest

__all__ = ["IngestReport", "ingest"]
