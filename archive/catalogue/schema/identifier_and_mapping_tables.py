"""Tables of the museum's own description: its identifiers, and the mappings for its spreadsheets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from archive.catalogue.schema.column_types import Digest, ExactName, ExactText, Id, Table


class ItemIdentifier(Table):
    """An identifier that the museum uses for an item besides its accession number, such as an ARK or a URI."""

    __tablename__ = "item_identifiers"
    __table_args__ = (Index("ix_item_identifiers_value_item_id", "value", "item_id"),)

    item_id: Mapped[int] = mapped_column(Id, ForeignKey("items.id"), primary_key=True)
    scheme: Mapped[str] = mapped_column(ExactName, primary_key=True)
    value: Mapped[str] = mapped_column(ExactText, primary_key=True)


class ColumnMappingText(Table):
    """A mapping file that an ingest has used; events refer to it by its digest."""

    __tablename__ = "column_mappings"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(Digest, unique=True)
    name: Mapped[str] = mapped_column(ExactText)  # of the file
    text: Mapped[str] = mapped_column(Text)
    first_used_at: Mapped[datetime]
