"""``archive mapping list`` and ``show``: the mapping files that ingests have used."""

from __future__ import annotations

import hashlib

from tests.small_archive import SmallArchive, write_scan

MAPPING = 'columns = {filename = "Datei", title = "Titel"}\n# Größe und Maß stehen in keiner Spalte.\n'


def test_the_mapping_of_an_ingest_is_listed_and_printed_as_it_was(small: SmallArchive) -> None:
    assert small.done("mapping", "list").output == ""
    write_scan(small.scans / "a.tif")
    table, mapping = small.home / "export.csv", small.home / "mapping.toml"
    table.write_text("Datei;Titel\na.tif;Mühle\n", encoding="cp1252")
    mapping.write_text(MAPPING, encoding="utf-8")
    (small.scans / "export.csv").write_bytes(table.read_bytes())
    small.done("ingest", small.scans, "--metadata", small.scans / "export.csv", "--mapping", mapping)
    mapping.unlink()
    digest = hashlib.sha256(MAPPING.encode()).hexdigest()
    (row,) = small.done("mapping", "list", "--format", "json").json()
    assert (row["sha256"], row["name"]) == (digest, "mapping.toml")
    assert digest[:12] in small.done("mapping", "list").output
    assert small.done("mapping", "show", digest[:12].upper()).output == MAPPING
    missing = small.run("mapping", "show", "ffff")
    assert missing.code == 2
    assert "archive mapping list" in missing.errors
