"""Review in the browser: accounts, shared queues, comments on an area, and decisions that were undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
DECISION = "ck_reviews_decision"


def upgrade() -> None:
    _limit_decisions("'accepted', 'rejected', 'undone'")
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", EXACT, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sa.CheckConstraint("role IN ('viewer', 'reviewer', 'manager')", name=op.f("ck_users_role")),
    )
    op.create_table(
        "review_queues",
        sa.Column("id", ID, nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("sort_by", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_queues")),
    )
    op.create_table(
        "review_queue_entries",
        sa.Column("queue_id", ID, _to("review_queue_entries", "queue_id", "review_queues"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("derivative_id", ID, _to("review_queue_entries", "derivative_id", "derivatives"), nullable=False),
        sa.Column("last_review_id", ID),
        sa.Column("claimed_by", EXACT),
        sa.Column("claim_expires_at", MOMENT),
        sa.PrimaryKeyConstraint("queue_id", "position", name=op.f("pk_review_queue_entries")),
    )
    op.create_index(op.f("ix_review_queue_entries_derivative_id"), "review_queue_entries", ["derivative_id"])
    op.create_table(
        "comments",
        sa.Column("id", ID, nullable=False),
        sa.Column("derivative_id", ID, _to("comments", "derivative_id", "derivatives"), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("x", "y", "width", "height")),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("agent_id", ID, _to("comments", "agent_id", "agents"), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
        sa.CheckConstraint("x >= 0 AND y >= 0 AND width >= 1 AND height >= 1", name=op.f("ck_comments_rectangle")),
    )
    op.create_index(op.f("ix_comments_derivative_id"), "comments", ["derivative_id"])


def downgrade() -> None:
    undone = op.get_bind().scalar(sa.text("SELECT count(*) FROM reviews WHERE decision = 'undone'"))
    if undone:
        raise RuntimeError(f"{undone} decisions were taken back, which the older schema can't hold: keep this one")
    for table in ("comments", "review_queue_entries", "review_queues", "users"):
        op.drop_table(table)
    _limit_decisions("'accepted', 'rejected'")


def _to(table: str, column: str, referred: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{referred}.id", name=op.f(f"fk_{table}_{column}_{referred}"))


def _limit_decisions(values: str) -> None:
    with op.batch_alter_table("reviews") as reviews:
        reviews.drop_constraint(op.f(DECISION), type_="check")
        reviews.create_check_constraint(op.f(DECISION), f"decision IN ({values})")
