"""JSON that strict parsers refuse and the world takes."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.loose import dumps, loads, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(VALUES)
def test_whatever_python_writes_is_read_and_written_for_everybody(value):
    """Numbers that are none become null; halves of characters stay."""
    found = loads(json.dumps(value).encode())
    again = json.loads(dumps(found), parse_constant=pytest.fail)
    assert json.loads(json.dumps(again)) == again
    assert loads(dumps(found)) == found


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":NaN,"b":[-Infinity,1e999]}', {"a": None, "b": [None, None]}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'"\\ud83d"', "\ud83d"),
        (b'"a\nb"', "a\nb"),
        (b'"\xff"', "�"),
    ],
)
def test_what_strict_parsers_refuse_is_read(data, value):
    assert read(data) == (value, False)
    assert loads(dumps(value)) == value


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b"[" * 100_000, b"[DONE]"])
def test_what_nobody_can_read_is_refused(data):
    with pytest.raises(ValueError):
        loads(data)


def test_what_is_strict_is_told_so():
    assert read(b"[1]") == ([1], True)
    assert dumps([1]) == orjson.dumps([1])


@pytest.mark.parametrize("depth", [100, 300, 900, 961, 1_000, 1_024, 5_000])
def test_what_is_nested_deeply_is_written_or_refused(depth):
    value: object = 0
    for _ in range(depth):
        value = [value]
    try:
        assert dumps(value) == b"[" * depth + b"0" + b"]" * depth
    except ValueError:
        assert depth >= 900
