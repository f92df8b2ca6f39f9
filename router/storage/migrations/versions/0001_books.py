"""Keep the books."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Go to this version."""
    op.create_table(
        "asks",
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index(op.f("ix_asks_at_s"), "asks", ["at_s"], unique=False)
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_audit_at_s"), "audit", ["at_s"], unique=False)
    op.create_table(
        "changes",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("at_s", "said", name=op.f("uq_changes_at_s")),
    )
    op.create_index(op.f("ix_changes_at_s"), "changes", ["at_s"], unique=False)
    op.create_table(
        "days",
        sa.Column("day_s", sa.BigInteger(), nullable=False),
        sa.Column("caller", sa.String(length=256), nullable=False),
        sa.Column("team", sa.String(length=256), nullable=False),
        sa.Column("tier", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("task", sa.String(length=256), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.Column("fallbacks", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("frontier_usd", sa.Float(), nullable=False),
        sa.Column("balanced_usd", sa.Float(), nullable=False),
        sa.Column("saved_usd", sa.Float(), nullable=False),
        sa.Column("priced", sa.BigInteger(), nullable=False),
        sa.Column("related", sa.BigInteger(), nullable=False),
        sa.Column("prior", sa.BigInteger(), nullable=False),
        sa.Column("measured", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day_s", "caller", "team", "tier", "model", "task"),
    )
    op.create_table(
        "feedback",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("caller", sa.String(length=256), nullable=True),
        sa.Column("ask", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_feedback_decision_id"), "feedback", ["decision_id"], unique=False)
    op.create_table(
        "hours",
        sa.Column("hour_s", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.String(length=256), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("provider", sa.String(length=256), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("left", sa.BigInteger(), nullable=False),
        sa.Column("fallbacks", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usd", sa.Float(), nullable=False),
        sa.Column("frontier_usd", sa.Float(), nullable=False),
        sa.Column("balanced_usd", sa.Float(), nullable=False),
        sa.Column("saved_usd", sa.Float(), nullable=False),
        sa.Column("priced", sa.BigInteger(), nullable=False),
        sa.Column("related", sa.BigInteger(), nullable=False),
        sa.Column("prior", sa.BigInteger(), nullable=False),
        sa.Column("measured", sa.BigInteger(), nullable=False),
        sa.Column("first_0", sa.BigInteger(), nullable=False),
        sa.Column("first_1", sa.BigInteger(), nullable=False),
        sa.Column("first_2", sa.BigInteger(), nullable=False),
        sa.Column("first_3", sa.BigInteger(), nullable=False),
        sa.Column("first_4", sa.BigInteger(), nullable=False),
        sa.Column("first_5", sa.BigInteger(), nullable=False),
        sa.Column("first_6", sa.BigInteger(), nullable=False),
        sa.Column("first_7", sa.BigInteger(), nullable=False),
        sa.Column("first_8", sa.BigInteger(), nullable=False),
        sa.Column("first_9", sa.BigInteger(), nullable=False),
        sa.Column("first_10", sa.BigInteger(), nullable=False),
        sa.Column("first_11", sa.BigInteger(), nullable=False),
        sa.Column("total_0", sa.BigInteger(), nullable=False),
        sa.Column("total_1", sa.BigInteger(), nullable=False),
        sa.Column("total_2", sa.BigInteger(), nullable=False),
        sa.Column("total_3", sa.BigInteger(), nullable=False),
        sa.Column("total_4", sa.BigInteger(), nullable=False),
        sa.Column("total_5", sa.BigInteger(), nullable=False),
        sa.Column("total_6", sa.BigInteger(), nullable=False),
        sa.Column("total_7", sa.BigInteger(), nullable=False),
        sa.Column("total_8", sa.BigInteger(), nullable=False),
        sa.Column("total_9", sa.BigInteger(), nullable=False),
        sa.Column("total_10", sa.BigInteger(), nullable=False),
        sa.Column("total_11", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_s", "tier", "model", "provider"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=256), nullable=True),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("created_s", sa.Float(), nullable=False),
        sa.Column("expires_s", sa.Float(), nullable=True),
        sa.Column("revoked_s", sa.Float(), nullable=True),
        sa.Column("used_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256", name=op.f("uq_keys_sha256")),
    )
    op.create_index(op.f("ix_keys_name"), "keys", ["name"], unique=False)
    op.create_table(
        "requests",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("answer_id", sa.String(length=128), nullable=True),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("end", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("interface", sa.String(length=16), nullable=False),
        sa.Column("total_s", sa.Float(), nullable=False),
        sa.Column("first_s", sa.Float(), nullable=True),
        sa.Column("decided_s", sa.Float(), nullable=True),
        sa.Column("caller", sa.String(length=256), nullable=True),
        sa.Column("team", sa.String(length=256), nullable=True),
        sa.Column("anonymous", sa.Boolean(), nullable=False),
        sa.Column("asked_model", sa.Text(), nullable=True),
        sa.Column("streams", sa.Boolean(), nullable=True),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("subagent", sa.Boolean(), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=True),
        sa.Column("ask", sa.String(length=64), nullable=True),
        sa.Column("tier", sa.String(length=64), nullable=True),
        sa.Column("task", sa.String(length=64), nullable=True),
        sa.Column("difficulty", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("move", sa.String(length=16), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("evidence", sa.String(length=16), nullable=True),
        sa.Column("expected_quality", sa.Float(), nullable=True),
        sa.Column("expected_cost_usd", sa.Float(), nullable=True),
        sa.Column("candidates", sa.Text(), nullable=True),
        sa.Column("model", sa.String(length=256), nullable=True),
        sa.Column("effort", sa.String(length=32), nullable=True),
        sa.Column("provider", sa.String(length=128), nullable=True),
        sa.Column("served_model", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("usd", sa.Float(), nullable=True),
        sa.Column("frontier_usd", sa.Float(), nullable=True),
        sa.Column("balanced_usd", sa.Float(), nullable=True),
        sa.Column("former_usd", sa.Float(), nullable=True),
        sa.Column("saved_usd", sa.Float(), nullable=True),
        sa.Column("failures", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("decision_id", name=op.f("uq_requests_decision_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_requests_answer", "requests", ["answer_id"], unique=False)
    op.create_index(op.f("ix_requests_at_s"), "requests", ["at_s"], unique=False)
    op.create_index("ix_requests_caller", "requests", ["caller", "at_s"], unique=False)
    op.create_index("ix_requests_session", "requests", ["session", "at_s"], unique=False)
    op.create_table(
        "revisions",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "secrets",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "provider"),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("created_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "terms",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("changed_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "workings",
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("made", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index(op.f("ix_workings_at_s"), "workings", ["at_s"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_index(op.f("ix_workings_at_s"), table_name="workings")
    op.drop_table("workings")
    op.drop_table("terms")
    op.drop_table("teams")
    op.drop_table("secrets")
    op.drop_table("revisions")
    op.drop_index("ix_requests_session", table_name="requests")
    op.drop_index("ix_requests_caller", table_name="requests")
    op.drop_index(op.f("ix_requests_at_s"), table_name="requests")
    op.drop_index("ix_requests_answer", table_name="requests")
    op.drop_table("requests")
    op.drop_index(op.f("ix_keys_name"), table_name="keys")
    op.drop_table("keys")
    op.drop_table("hours")
    op.drop_index(op.f("ix_feedback_decision_id"), table_name="feedback")
    op.drop_table("feedback")
    op.drop_table("days")
    op.drop_index(op.f("ix_changes_at_s"), table_name="changes")
    op.drop_table("changes")
    op.drop_index(op.f("ix_audit_at_s"), table_name="audit")
    op.drop_table("audit")
    op.drop_index(op.f("ix_asks_at_s"), table_name="asks")
    op.drop_table("asks")
