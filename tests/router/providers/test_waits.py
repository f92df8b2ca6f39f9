"""What an upstream may say of waiting, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.waits import AGAIN_IN, MAX_WAIT_S, told, wait_s, wait_said_s
from tests.growth import assert_linear

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7.0), (" 7 ", 7.0), ("0", 0.0), ("1.5", 1.5), ("-5", 0.0), ("86400", MAX_WAIT_S),
        ("inf", MAX_WAIT_S), ("-inf", 0.0), ("1e30", MAX_WAIT_S), ("9" * 400, MAX_WAIT_S),
        ("120s", 120.0), ("1m2.5s", 62.5), ("850ms", 0.85), ("60, 120", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("nan", None), ("", None), ("soon", None), ("Sun, 06 Nov 1994", None), (",", None),
        ("1994-11-06T08:49:37Z", None),
    ],
)  # fmt: skip
def test_a_header_is_read_as_a_wait_within_reason(value, wait):
    assert wait_s({"retry-after": value}, NOW) == wait


def test_milliseconds_come_first_and_nonsense_in_them_is_passed_over():
    assert wait_s({"retry-after-ms": "1500", "retry-after": "9"}, NOW) == 1.5
    for nonsense in ("soon", "nan", ""):
        assert wait_s({"retry-after-ms": nonsense, "retry-after": "9"}, NOW) == 9.0


@pytest.mark.parametrize(
    ("words", "wait"),
    [
        ("rate limit reached. please try again in 7.66s. visit our page", 7.66),
        ("please try again in 6m0s.", MAX_WAIT_S),
        ("please retry in 36.9s.", 36.9),
        ("try again in 20 seconds", 20.0),
        ("try again in 20ms", 0.02),
        ("try again later", None),
    ],
)
def test_words_name_a_wait_too(words, wait):
    assert wait_said_s(words) == wait


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_headers_hold_a_client_is_told_whole_seconds_within_reason(value, ms):
    headers = [("retry-after", value), ("retry-after-ms", ms), ("request-id", "r")]
    found = told(headers, NOW)
    assert ("request-id", "r") in found
    for name, text in found:
        if name == "retry-after":
            assert 1 <= int(text) <= MAX_WAIT_S
        if name == "retry-after-ms":
            assert 0 <= int(text) <= 1000 * MAX_WAIT_S


@given(st.text(max_size=200))
def test_whatever_words_hold_a_wait_is_within_reason(words):
    wait = wait_said_s(words)
    assert wait is None or 0 <= wait <= MAX_WAIT_S


@pytest.mark.parametrize(
    "piece", ["reset", "try again in 1", "retry after 1.", "1ms", "retry in 1s 1"]
)
def test_words_are_read_in_time_that_grows_with_them(piece):
    assert_linear(AGAIN_IN.search, lambda n: piece * (n // len(piece)), 8_000)
    assert_linear(wait_said_s, lambda n: piece * (n // len(piece)), 8_000)
