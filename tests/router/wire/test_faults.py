"""Errors that come with a status of 200, and fields of that name that say nothing."""

from __future__ import annotations

import pytest

from router.wire.faults import code_of, error_in
from router.wire.parts import cost_in, count

GOOD = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "error",
    [
        None, {}, [], "", False, 0, "null", {"code": 0, "message": ""}, {"code": None},
        {"code": 0, "message": "success"}, {"code": 200, "message": "OK", "details": {}},
    ],
    ids=repr,
)  # fmt: skip
def test_an_error_that_says_nothing_is_none(error):
    assert error_in(GOOD | {"error": error}) is None
    assert error_in({"response": {"error": error}}) is None
    choice = GOOD["choices"][0] | {"error": error}
    assert error_in({"choices": [choice]}) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"error": "overloaded"}, (502, "overloaded")),
        ({"error": {"code": 503, "message": "no"}}, (503, "no")),
        ({"error": {"code": "429", "message": "no"}}, (429, "no")),
        ({"error": {"status": 404, "message": "no"}}, (404, "no")),
        ({"error": {"type": "overloaded_error", "message": "no"}}, (529, "no")),
        ({"error": {"code": "context_length_exceeded", "message": "no"}}, (400, "no")),
        ({"type": "error", "code": "insufficient_quota", "message": "no"}, (429, "no")),
        ({"object": "error", "message": "no", "code": 400}, (400, "no")),
        ({"choices": [], "base_resp": {"status_code": 1002, "status_msg": "slow"}}, (429, "slow")),
        ({"base_resp": {"status_code": 4711}}, (502, "status 4711")),
        ({"response": {"status": "failed", "error": {"message": "no"}}}, (502, "no")),
        ({"choices": [{"error": {"code": 502, "message": "no"}}]}, (502, "no")),
        ({"error": 429}, (429, "429")),
    ],
)
def test_an_error_is_found_wherever_it_stands(fields, said):
    assert error_in(fields) == said


def test_a_failed_answer_without_words_is_an_error_all_the_same():
    for fields in ({"status": "failed"}, {"choices": [{"finish_reason": "error"}]}):
        status, text = error_in(fields)
        assert status == 502
        assert "failed" in text


def test_one_good_answer_of_several_is_an_answer():
    bad = {"index": 1, "finish_reason": "error"}
    assert error_in({"choices": [*GOOD["choices"], bad]}) is None
    assert error_in({"base_resp": {"status_code": 0, "status_msg": "success"}}) is None


def test_a_code_is_found_beside_its_message():
    assert code_of({"error": {"code": "a"}}) == "a"
    assert code_of({"response": {"error": {"code": "a"}}}) == "a"
    assert code_of({"code": "a"}) == "a"
    assert code_of({"error": {"code": 5}}) == ""


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5), (5.9, 5), ("5", 5), (" 5 ", 5), (-5, 0), (True, 0), (None, 0), ([5], 0), ("x", 0),
        ({}, 0), (1e308, 0), (10**40, 0), (float("nan"), 0), ("1e999", 0), ("9" * 40, 0),
    ],
    ids=repr,
)  # fmt: skip
def test_a_number_of_tokens_is_believed_when_it_can_be_one(value, number):
    assert count({"usage": {"tokens": value}}, "usage", "tokens") == number
    assert count({"usage": value}, "usage", "tokens") == 0


@pytest.mark.parametrize(
    ("value", "dollars"),
    [(0.5, 0.5), ("0.5", 0.5), (0, 0.0), (-1, None), (1e308, None), (True, None), ("x", None)],
    ids=repr,
)
def test_a_cost_is_believed_when_it_can_be_one(value, dollars):
    assert cost_in({"cost": value}) == dollars
