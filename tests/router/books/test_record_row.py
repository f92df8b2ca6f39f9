"""A record becomes one flat row that any file or database takes."""

from __future__ import annotations

import json
from dataclasses import fields

from router.books.record import TOKENS, UNFOLDED, End, Record, as_row
from router.values import Failure, Interface, Move, Unit, Usage

REFUSED = Record(
    decision_id="1",
    end=End.REFUSED,
    status=400,
    error="invalid_request",
    interface=Interface.CHAT,
    total_s=0.001,
)
SERVED = Record(
    decision_id="2",
    end=End.SERVED,
    status=200,
    error=None,
    interface=Interface.MESSAGES,
    total_s=1.5,
    move=Move.STAY,
    unit=Unit("openai/gpt-5.5", "low"),
    usage=Usage(input_tokens=100, output_tokens=20, cached_tokens=80, reasoning_tokens=5),
    usd=0.01,
    failures=(
        Failure(Unit("minimax/minimax-m3"), "openrouter", 429, "status 429"),
        Failure(Unit("z-ai/glm-5"), "openrouter", 504, "timeout while waiting"),
    ),
)


def test_every_row_has_the_same_keys():
    assert list(as_row(REFUSED)) == list(as_row(SERVED))


def test_a_row_is_plain_and_survives_json():
    """Exact types: an enum is a string to ``json`` and no string to some databases."""
    for record in (REFUSED, SERVED):
        row = as_row(record)
        assert {type(value) for value in row.values()} <= {str, int, float, bool, type(None)}
        assert json.loads(json.dumps(row)) == row


def test_unit_usage_and_failures_are_unfolded():
    row = as_row(SERVED)
    assert (row["model"], row["effort"]) == ("openai/gpt-5.5", "low")
    assert [row[name] for name in TOKENS] == [100, 20, 80, 0, 5]
    assert row["failures"] == (
        "minimax/minimax-m3=status 429 (openrouter 429, the moment), "
        "z-ai/glm-5=timeout while waiting (openrouter 504, the moment)"
    )
    assert (row["end"], row["interface"], row["move"]) == ("served", "messages", "stay")


def test_what_was_not_known_stays_unknown():
    row = as_row(REFUSED)
    assert row["model"] is row["effort"] is row["input_tokens"] is row["usd"] is None
    assert row["failures"] == ""


def test_no_field_of_a_record_is_lost():
    names = {field.name for field in fields(Record)}
    assert names - UNFOLDED <= set(as_row(SERVED))


def test_every_count_of_tokens_is_kept():
    counts = {field.name for field in fields(Usage) if field.name.endswith("_tokens")}
    assert set(TOKENS) == counts
