"""JSON lines: one object per line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, TextIO

_LINE_BYTES_MAX = 16 * 1024 * 1024


def write_jsonl(rows: Iterable[Mapping[str, Any]], fields: Sequence[str], file: TextIO) -> None:
    """Writes ``fields`` of each row as one JSON object per line."""
    for row in rows:
        chosen = {field: row[field] for field in fields}
        file.write(json.dumps(chosen, ensure_ascii=False, allow_nan=False) + "\n")


def read_first_keys(file: BinaryIO) -> tuple[str, ...]:
    """The keys of the first object; empty if the file does not begin with a line that is one JSON object."""
    try:
        found = json.loads(file.readline(_LINE_BYTES_MAX))
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if isinstance(found, dict) else ()
