"""Tables of the review in the browser: accounts, shared queues, and comments on an area."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from archive.catalogue.schema.column_types import NEVER_REUSE_IDS, ExactText, Id, Table, enum_column
from archive.catalogue.schema.tables import Agent, Derivative
from archive.catalogue.schema.vocabularies import Role


class User(Table):
    """An account of the web server. Without a password hash, only a trusted proxy can log its user in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(ExactText, unique=True)
    role: Mapped[Role] = mapped_column(enum_column(Role))
    password_hash: Mapped[str | None] = mapped_column(Text)  # argon2id, with its parameters
    created_at: Mapped[datetime]


class ReviewQueue(Table):
    """A list of derivatives to review, fixed when the queue is opened."""

    __tablename__ = "review_queues"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    query: Mapped[str] = mapped_column(Text)
    sort_by: Mapped[str] = mapped_column(Text)  # "accession_number" or a metric, worst first
    created_at: Mapped[datetime]

    entries: Mapped[list[ReviewQueueEntry]] = relationship(order_by="ReviewQueueEntry.position")


class ReviewQueueEntry(Table):
    """One derivative in a queue. A claim reserves it for one reviewer until the claim expires."""

    __tablename__ = "review_queue_entries"
    __table_args__ = (Index("ix_review_queue_entries_derivative_id", "derivative_id"),)

    queue_id: Mapped[int] = mapped_column(Id, ForeignKey("review_queues.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"))
    last_review_id: Mapped[int | None] = mapped_column(Id)  # the derivative's newest review when the queue was opened
    claimed_by: Mapped[str | None] = mapped_column(ExactText)
    claim_expires_at: Mapped[datetime | None]

    derivative: Mapped[Derivative] = relationship()


class Comment(Table):
    """A person's note on a rectangle of a derivative, in pixels of the upright picture."""

    __tablename__ = "comments"
    __table_args__ = (
        CheckConstraint("x >= 0 AND y >= 0 AND width >= 1 AND height >= 1", name="rectangle"),
        Index("ix_comments_derivative_id", "derivative_id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    derivative_id: Mapped[int] = mapped_column(Id, ForeignKey("derivatives.id"))
    x: Mapped[int]
    y: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    agent_id: Mapped[int] = mapped_column(Id, ForeignKey("agents.id"))
    at: Mapped[datetime]

    agent: Mapped[Agent] = relationship()
