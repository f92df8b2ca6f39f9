"""Keep which alerts stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go to this version."""
    op.create_table(
        "alerts",
        sa.Column("hook", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=400), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("seen_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hook", "id"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("alerts")
