"""Predicates on the files of masters and derivatives: the only definition of each."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import aliased

from archive.catalogue.schema.tables import Derivative, Master
from archive.catalogue.schema.vocabularies import FileFault

HAS_FILE: ColumnElement[bool] = and_(
    Derivative.withdrawn_at.is_(None), or_(Derivative.file_fault.is_(None), Derivative.file_fault != FileFault.LOST)
)
"""True for a derivative whose file should be there: neither withdrawn nor replaced by one with other bytes."""

IS_COPY: ColumnElement[bool] = ~Master.path.startswith("/")
"""True for a master whose file is a copy in the home; of a single master, see :attr:`Master.is_copy`."""

_of_file = aliased(Master)
FIRST_OF_FILE: ColumnElement[bool] = Master.page == (
    select(func.min(_of_file.page)).where(_of_file.path == Master.path).scalar_subquery()
)
"""True for one master of each file: that of its first picture, or of the next one whose master was not removed."""
