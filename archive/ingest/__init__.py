"""Ingest: records files of scans, with the metadata from ``items.csv``, as checked masters in the catalogue."""

from __future__ import annotations

from archive.ingest.file_discovery import Check
from archive.ingest.ingest_report import IngestReport
from archive.ingest.ingest_run import ingest
from archive.ingest.metadata_rows import place_word
from archive.ingest.table_problems import group_problems, is_problems_file, write_problems

__all__ = ["Check", "IngestReport", "group_problems", "ingest", "is_problems_file", "place_word", "write_problems"]
