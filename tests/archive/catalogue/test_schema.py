from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from archive.catalogue import Catalogue, schema
from archive.errors import HomeError
from archive.settings import Settings


def test_a_new_database_is_brought_to_head_and_has_nothing_to_complain_of(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=empty_database_url)
    assert schema.current(settings) is None
    schema.upgrade(settings)
    assert schema.current(settings) == schema.head()
    assert schema.check(settings) == []


def test_upgrading_twice_changes_nothing(settings: Settings) -> None:
    schema.upgrade(settings)
    assert schema.check(settings) == []
