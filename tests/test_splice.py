"""Changing a field changes nothing else."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.splice import set_fields

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "a", "effort", 'q"uote']), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(["model", "effort", "b", "tools", "é"]), VALUES, max_size=5
)


@given(BODIES, BODIES, st.sampled_from([None, 1, 3]), st.booleans())
def test_the_result_is_the_object_with_its_changes(fields, changes, indent, ascii_only):
    body = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode()
    done = set_fields(body, orjson.loads(body), changes)
    assert orjson.loads(done) == {**fields, **changes}


def test_every_other_byte_stays():
    body = b'{ "big": 123456789012345678901234567890, "model" : "a/b",\t"t":[{"model":{"x":1}}] }'
    done = set_fields(body, orjson.loads(body), {"model": "c/d", "effort": "low"})
    assert done == (
        b'{ "effort":"low","big": 123456789012345678901234567890, "model" : "c/d",'
        b'\t"t":[{"model":{"x":1}}] }'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"mod\\u0065l":"a","x":{"model":"a"}}',  # the key is escaped; the plain one is deeper
        b'{"model":"b","model":"a"}',  # named twice: the last counts
        b'{"x":{"model":"a"},"model":"a"}',  # the same value deeper
    ],
)
def test_ambiguous_bodies_are_dumped_whole(body):
    fields = orjson.loads(body)
    done = orjson.loads(set_fields(body, fields, {"model": "z"}))
    assert done == {**fields, "model": "z"}


def test_text_that_looks_like_a_field_is_not_one():
    body = json.dumps({"text": '"model": "a"', "model": "a"}).encode()
    done = set_fields(body, orjson.loads(body), {"model": "z"})
    assert done == json.dumps({"text": '"model": "a"', "model": "z"}).encode()


def test_dropped_fields_are_gone():
    assert set_fields(b'{"a":1,"b":2}', {"a": 1, "b": 2}, {"a": 3}, drop={"b"}) == b'{"a":3}'
