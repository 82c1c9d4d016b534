"""The stored mapping files of earlier ingests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from archive.catalogue import Catalogue
from archive.catalogue.schema.identifier_and_mapping_tables import ColumnMappingText
from archive.errors import NotFoundError, UsageError


def list_mappings(catalogue: Catalogue) -> Sequence[ColumnMappingText]:
    """All stored mapping files, by their first use."""
    with catalogue.reading() as session:
        return session.scalars(select(ColumnMappingText).order_by(ColumnMappingText.id)).all()


def find_mapping(catalogue: Catalogue, sha256: str) -> ColumnMappingText:
    """The mapping file whose SHA-256 begins with ``sha256``.

    Raises:
        NotFoundError: there is none.
        UsageError: there are several.
    """
    found = [mapping for mapping in list_mappings(catalogue) if mapping.sha256.startswith(sha256.lower())]
    if not found:
        raise NotFoundError(f"No mapping {sha256!r}. Run `archive mapping list` to see the mappings.")
    if len(found) > 1:
        raise UsageError(f"{len(found)} mappings begin with {sha256!r}. Give more digits of the SHA-256.")
    return found[0]
