"""Comments on a place: made on a page, shown and exported with the review."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from tests.archive.web.conftest import Server
from tests.small_archive import SmallArchive


def test_a_comment_is_shown_and_exported_with_the_review(server: Server, archive: SmallArchive, tmp_path: Path) -> None:
    browser = server.logged_in()
    place = {"x": "10", "y": "5", "width": "30", "height": "20"}
    assert browser.submit("/derivatives/1/comments", text="the railing", **place)[0] == 303
    assert browser.submit("/derivatives/1/review", decision="rejected", reason="too smooth")[0] == 303
    shown = archive.done("show", "1906.1").output
    assert "comment on 10 5 30 20 (x y width height, px) by A. Curator" in shown
    assert "the railing" in shown
    for form in ("csv", "jsonl"):
        path = tmp_path / f"derivatives.{form}"
        archive.done("export", "--format", form, "--rows", "derivatives", "--output", path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            row: dict[str, Any] = next(csv.DictReader(file)) if form == "csv" else json.loads(file.readline())
        comments = json.loads(row["comments"]) if form == "csv" else row["comments"]
        assert [(each["x"], each["text"], each["author"]) for each in comments] == [(10, "the railing", "A. Curator")]
        assert row["review"] == "rejected"
