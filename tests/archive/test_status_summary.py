from __future__ import annotations

from archive.catalogue import Catalogue
from archive.status_summary import summarise_archive
from tests.catalogue_rows import add_item, add_master


def test_each_file_of_masters_counts_once_even_if_its_first_picture_was_removed(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        item = add_item(session, "A")
        whole = item.masters[0]
        whole.size = 1000
        add_master(session, item, path=whole.path, sha256=whole.sha256, page=2, size=1000)
        for page in (2, 3):  # the first picture of this file was removed
            add_master(session, item, path="/scans/rest.tif", sha256="f" * 64, page=page, size=70)
    with catalogue.reading() as session:
        assert summarise_archive(catalogue, session)["disk"]["masters"] == 1070
