"""Streams of items, from which all exports are written."""

from __future__ import annotations

import gc
import weakref

from archive.catalogue import Catalogue
from archive.export.item_records import stream_items
from archive.export.table_rows import make_rows


def test_items_are_freed_without_the_cyclic_garbage_collector(museum_catalogue: Catalogue) -> None:
    """Memory stays flat. Python 3.11 crashes where its collector frees such objects while others are loaded."""
    freed = []
    gc.disable()
    try:
        with museum_catalogue.reading() as session:
            for record in stream_items(session, None, include_restricted=True):
                assert list(make_rows(museum_catalogue, record, "derivatives")) or not list(record.derivatives)
                freed += [weakref.ref(each) for each in (record.item, *record.masters, *record.derivatives)]
        del record
        assert len(freed) == 13
        assert [each() for each in freed if each() is not None] == []
    finally:
        gc.enable()
