"""Masters that are one of several pictures in a file, and masters of an unsupported kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("masters") as masters:
        masters.add_column(sa.Column("page", sa.Integer(), nullable=False, server_default="1"))
        masters.add_column(sa.Column("unsupported", sa.Text()))
        masters.drop_constraint(op.f("uq_masters_path"), type_="unique")
        masters.drop_constraint(op.f("uq_masters_sha256"), type_="unique")
        masters.create_unique_constraint(op.f("uq_masters_path_page"), ["path", "page"])
        masters.create_unique_constraint(op.f("uq_masters_sha256_page"), ["sha256", "page"])
        masters.create_check_constraint(op.f("ck_masters_page_from_one"), "page >= 1")
    with op.batch_alter_table("masters") as masters:
        masters.alter_column("page", server_default=None)


def downgrade() -> None:
    further = op.get_bind().scalar(sa.text("SELECT count(*) FROM masters WHERE page > 1"))
    if further:
        raise RuntimeError(
            f"{further} masters are further pictures of a file, which the older schema can't hold: keep this one"
        )
    with op.batch_alter_table("masters") as masters:
        masters.drop_constraint(op.f("ck_masters_page_from_one"), type_="check")
        masters.drop_constraint(op.f("uq_masters_path_page"), type_="unique")
        masters.drop_constraint(op.f("uq_masters_sha256_page"), type_="unique")
        masters.drop_column("unsupported")
        masters.drop_column("page")
        masters.create_unique_constraint(op.f("uq_masters_path"), ["path"])
        masters.create_unique_constraint(op.f("uq_masters_sha256"), ["sha256"])
