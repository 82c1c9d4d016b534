"""JSON lines: one object per line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO


def write_jsonl(rows: Iterable[Mapping[str, Any]], fields: Sequence[str], file: TextIO) -> None:
    """Writes ``fields`` of each row as one JSON object per line."""
    for row in rows:
        chosen = {field: row[field] for field in fields}
        file.write(json.dumps(chosen, ensure_ascii=False, allow_nan=False) + "\n")
