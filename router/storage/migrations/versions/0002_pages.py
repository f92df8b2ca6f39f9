"""Let pages read fast: requests of a caller, a model or an end, and days by one thing alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COUNTS = (
    "requests", "served", "refused", "failed", "left", "fallbacks", "input_tokens", "cached_tokens",
    "output_tokens", "priced", "related", "prior", "measured",
)  # fmt: skip
DOLLARS = ("usd", "frontier_usd", "balanced_usd", "saved_usd")


def upgrade() -> None:
    """Go to this version; what was summed up by then is kept."""
    for column in ("caller", "model", "end"):
        op.create_index(f"ix_requests_{column}_seq", "requests", [column, "seq"], unique=False)
    op.create_table(
        "days_by",
        sa.Column("day_s", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Float(), nullable=False) for name in DOLLARS),
        sa.PrimaryKeyConstraint("day_s", "by", "name"),
    )
    names = ", ".join(f'"{name}"' for name in (*COUNTS, *DOLLARS))
    sums = ", ".join(f'sum("{name}")' for name in (*COUNTS, *DOLLARS))
    for by in ("tier", "model", "task", "caller", "team"):
        op.execute(
            f'INSERT INTO days_by (day_s, "by", name, {names}) '
            f"SELECT day_s, '{by}', {by}, {sums} FROM days GROUP BY day_s, {by}"
        )
