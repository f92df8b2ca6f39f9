"""Changing a field or removing a part changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.splice import Path, edited, set_fields, without
from tests.growth import assert_linear

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

# Changing fields.


@given(BODIES, BODIES, st.sampled_from([None, 1, 3]), st.booleans())
def test_the_result_is_the_object_with_its_changes(fields, changes, indent, ascii_only):
    body = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode()
    done = set_fields(body, orjson.loads(body), changes)
    assert orjson.loads(done) == {**fields, **changes}


def test_every_other_byte_stays():
    body = (
        b'{ "big": 123456789012345678901234567890, "model" : "a/b",\t"t":[{"model":{"x":1}}],'
        b' "html":"\\u003cb\\u003e \\/ \\u003ci\\": 1", "price":1.50 }'
    )
    done = set_fields(body, orjson.loads(body), {"model": "c/d", "effort": "low"})
    assert done == b'{ "effort":"low",' + body.replace(b'"a/b"', b'"c/d"')[2:]


@pytest.mark.parametrize(
    ("body", "done"),
    [
        (  # the key is escaped; the plain one is deeper
            b'{ "mod\\u0065l":"a", "x" :1.50 ,"y":{"model":"a"}}',
            b'{ "model":"z","x" :1.50 ,"y":{"model":"a"}}',
        ),
        (  # the longest key there is, every letter of it escaped
            b'{"%b" : 1e2,"y":{"reasoning_effort":1e2}}'
            % b"".join(b"\\u%04X" % letter for letter in b"reasoning_effort"),
            b'{"reasoning_effort":"z","y":{"reasoning_effort":1e2}}',
        ),
        (
            b'{"\\u0072easoning_effort" : 1e2,"y":{"reasoning_effort":1e2}}',
            b'{"reasoning_effort":"z","y":{"reasoning_effort":1e2}}',
        ),
        (b'{"model":"b","model":"a"}', b'{"model":"z"}'),  # no parser must find the other one
        (b'{"model":"a","b":1,"model":"a"}', b'{"model":"z","b":1}'),
        (  # nothing nearby tells which of them is deeper
            b'{"x":{"model":"a","y":"%b"} , "model":"a" ,"y":"%b"}' % (b"y" * 5000, b"y" * 5000),
            b'{"model":"z","x":{"model":"a","y":"%b"} ,"y":"%b"}' % (b"y" * 5000, b"y" * 5000),
        ),
        (b'{"model":"a","model":"a"}', b'{"model":"z"}'),
        (  # more places than are looked at
            b'{"x":[1%b] , "model":"a"}' % (b',{"model":"a"}' * 99),
            b'{"model":"z","x":[1%b]}' % (b',{"model":"a"}' * 99),
        ),
    ],
)
def test_a_field_that_cannot_be_found_in_place_moves_to_the_front(body, done):
    key = "reasoning_effort" if b"reasoning_effort" in body else "model"
    assert set_fields(body, orjson.loads(body), {key: "z"}) == done


def test_text_that_looks_like_a_field_is_not_one():
    body = json.dumps({"text": '"model": "a"', "model": "a"}).encode()
    done = set_fields(body, orjson.loads(body), {"model": "z"})
    assert done == json.dumps({"text": '"model": "a"', "model": "z"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":{"model":"a"} , "model":TOP }',  # the same value deeper
        b'{"model":TOP,"x":[{"model":"a","y":{"model":"a"}},{"model":"a"}] \n}',
        b'{ "x":{"y":{"model":"b"}, "z":1},"model" : TOP ,"y":{"model":{"type":"string"}}}',
        b'{"model":TOP,"x":{"say \\"model":"b"}}',  # the end of a longer key
        b'{"y":"%b","model":TOP,"x":{"model":{"y":"%b"}}}' % (b"y" * 9000, b"y" * 9000),
        b'{"x":{"model":"a","y":"%b"},"model":TOP}' % (b"y" * 2000),
    ],
)
def test_what_deeper_bears_the_same_name_is_told_apart_and_stays(body):
    before = body.replace(b"TOP", b'"a"')
    done = set_fields(before, orjson.loads(before), {"model": "z"})
    assert done == body.replace(b"TOP", b'"z"')


def test_of_an_object_that_gets_a_member_every_other_byte_stays():
    inner = b'"format": {"price": 1.50, "half": "\\ud83d"} , "big": 123456789012345678901234567890'
    fields = orjson.loads(b'{"text":{"format":{}, "big":1}}')
    changes = {"text": {**fields["text"], "verbosity": "low"}}
    done = set_fields(b'{ "text" : { %b } }' % inner, fields, changes)
    assert done == b'{ "text" : { "verbosity":"low",%b } }' % inner


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b'{"model":' * 900 + b"[" + b"0," * n + b"0]" + b"}" * 900,
        lambda n: b"[%b0]" % ((b'{"model":' * 100 + b"1" + b"}" * 100 + b",") * (n // 1000)),
        lambda n: b"[%b0]" % (b'{"model":"a"},' * (n // 14)),
        lambda n: b'["model"%b, 0]' % (b" " * n),
        lambda n: b"[%b0]" % (b'"model",' * (n // 8)),
        lambda n: b'["%b"]' % (b'\\"model\\":' * (n // 10)),
        lambda n: b'{"x":[%b0]}' % (b'"\\u006dodel",' * (n // 14)),
    ],
    ids=["chain", "chains", "objects", "spaces", "texts", "text", "escapes"],
)
def test_a_field_is_changed_in_time_that_grows_with_the_body(make):
    def work(inner: bytes) -> None:
        body = b'{"model":"a/b","metadata":%b}' % inner
        done = set_fields(body, {"model": "a/b", "metadata": None}, {"model": "z"})
        assert done == b'{"model":"z","metadata":%b}' % inner

    assert_linear(work, make, 30_000)


# Removing parts.  A document is drawn as it is written: with its whitespace, commas and escapes.


@dataclass(frozen=True)
class Part:
    """An element or a member: the comma before it, its key as read and as written, its value."""

    comma: bytes
    key: str | None
    name: bytes
    value: Written


@dataclass(frozen=True)
class Box:
    """An array or an object."""

    brackets: bytes
    first_space: bytes
    parts: list[Part]
    last_space: bytes

    def items(self) -> Iterator[tuple[str | int, Part]]:
        for i, part in enumerate(self.parts):
            yield (i if part.key is None else part.key), part


Written = bytes | Box


def written(doc: Written, gone: frozenset[Path] = frozenset(), path: Path = ()) -> bytes:
    """Write a document without the parts at the paths in ``gone``."""
    if isinstance(doc, bytes):
        return doc
    inside = b""
    for step, part in doc.items():
        if (*path, step) not in gone:
            inside += part.comma if inside else b""
            inside += part.name + written(part.value, gone, (*path, step))
    return doc.brackets[:1] + doc.first_space + inside + doc.last_space + doc.brackets[1:]


def paths_of(doc: Written, path: Path = ()) -> Iterator[Path]:
    for step, part in doc.items() if isinstance(doc, Box) else ():
        yield (*path, step)
        yield from paths_of(part.value, (*path, step))


def left(value: object, gone: frozenset[Path], path: Path = ()) -> object:
    """Return what is left of a parsed value."""
    if isinstance(value, dict):
        parts = {k: v for k, v in value.items() if (*path, k) not in gone}
        return {k: left(v, gone, (*path, k)) for k, v in parts.items()}
    if isinstance(value, list):
        kept = [(i, v) for i, v in enumerate(value) if (*path, i) not in gone]
        return [left(v, gone, (*path, i)) for i, v in kept]
    return value


KEYS = ["a", "messages", 'q"', "b\\", "é", "", "[{", "\n"]
SPACE = st.sampled_from([b"", b"", b" ", b"\n   ", b"\t\r\n"])
COMMA = st.builds(lambda *x: b",".join(x), SPACE, SPACE)
COLON = st.builds(lambda *x: b":".join(x), SPACE, SPACE)
TEXTS = st.text(st.sampled_from('\\\\"[]{},: aé\n\0😀'), max_size=9) | st.sampled_from(KEYS)


def spelled(text: str, how: int) -> bytes:
    """Write a string plainly, in ASCII, or with every character escaped."""
    if how < 2:
        return json.dumps(text, ensure_ascii=how == 1).encode()
    units = text.encode("utf-16-be").hex()
    return b'"%b"' % "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)).encode()


STRINGS = st.builds(spelled, TEXTS, st.integers(0, 2))
LITERALS = st.sampled_from(
    [b"1.50", b"1e2", b"-0", b"-0.0E-5", b"123456789012345678901234567890", b"true", b"null"]
)


def boxes(inner: st.SearchStrategy[Written], *, twice: bool) -> st.SearchStrategy[Written]:
    """Draw arrays and objects; ``twice`` allows an object to name a key again."""
    elements = st.lists(st.builds(Part, COMMA, st.none(), st.just(b""), inner), max_size=4)
    member = st.builds(
        lambda comma, key, how, colon, value: Part(comma, key, spelled(key, how) + colon, value),
        *(COMMA, st.sampled_from(KEYS), st.integers(0, 2), COLON, inner),
    )
    unique = None if twice else lambda part: part.key
    members = st.lists(member, max_size=4, unique_by=unique)
    return st.builds(Box, st.just(b"[]"), SPACE, elements, SPACE) | st.builds(
        Box, st.just(b"{}"), SPACE, members, SPACE
    )


def documents(*, twice: bool = False) -> st.SearchStrategy[Written]:
    return st.recursive(STRINGS | LITERALS, lambda x: boxes(x, twice=twice), max_leaves=15)


STRAY: list[Path] = [("a", 0, "a", 9), ("messages",), (0,), (99,), (-1,), ("no", "where"), ("a", 0)]


def some_paths(data: st.DataObject, doc: Written) -> list[Path]:
    there = sorted(set(paths_of(doc)), key=str)
    return data.draw(st.lists(st.sampled_from(there + STRAY), max_size=6))


@given(st.data(), documents(), SPACE, SPACE)
def test_what_is_left_is_byte_for_byte_what_was_written(data, doc, before, after):
    body = before + written(doc) + after
    paths = some_paths(data, doc)
    done = without(body, paths)
    assert done == before + written(doc, frozenset(paths)) + after
    assert orjson.loads(done) == left(orjson.loads(body), frozenset(paths))


@given(st.data(), documents(twice=True))
def test_keys_named_twice_leave_what_a_parser_would_see(data, doc):
    body, paths = written(doc), some_paths(data, doc)
    assert orjson.loads(without(body, paths)) == left(orjson.loads(body), frozenset(paths))


@given(VALUES, st.data(), st.sampled_from([None, 1, 3]), st.booleans())
def test_what_other_writers_wrote_is_cut_as_well(value, data, indent, ascii_only):
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    every = [*_paths(value), *STRAY]
    gone = data.draw(st.lists(st.sampled_from(every), max_size=4))
    assert orjson.loads(without(body, gone)) == left(value, frozenset(gone))


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    match value:
        case dict():
            parts = list(value.items())
        case list():
            parts = list(enumerate(value))
        case _:
            return
    for step, part in parts:
        yield (*path, step)
        yield from _paths(part, (*path, step))


@pytest.mark.parametrize(
    ("body", "paths", "done"),
    [
        (b"[1 , 2 ,\t3 ]", [(0,)], b"[2 ,\t3 ]"),
        (b"[1 , 2 ,\t3 ]", [(1,)], b"[1 ,\t3 ]"),
        (b"[1 , 2 ,\t3 ]", [(2,)], b"[1 , 2 ]"),
        (b"[1 , 2 ,\t3 ]", [(0,), (1,)], b"[3 ]"),
        (b"[1 , 2 ,\t3 ]", [(2,), (0,)], b"[2 ]"),
        (b"[ 1 , 2 ]", [(0,), (1,)], b"[  ]"),
        (b'{ "a" : [1.50], "b":1e2 }', [("a",)], b'{ "b":1e2 }'),
        (b'{ "a" : [1.50], "b":1e2 }', [("a", 0)], b'{ "a" : [], "b":1e2 }'),
        (b'{"a":[1],"b":2}', [("a",), ("a", 0)], b'{"b":2}'),
        (b'{"a":[1],"b":2}', [("a", 0), ("a",)], b'{"b":2}'),
        (b'{"mess\\u0061ges": [1, 2.50]}', [("messages", 0)], b'{"mess\\u0061ges": [2.50]}'),
        (b'{"a":1, "b":1.50,"\\u0061":2}', [("a",)], b'{"b":1.50}'),  # else it would reappear
        (b'{"a":[1,2], "b":1.50,"a":[3,4]}', [("a", 0)], b'{"a":[4],"b":1.5}'),  # dumped
        (b'{"a":[1,2], "b":1.50,"a":3}', [("a", 0)], b'{"a":3,"b":1.5}'),  # the same
        (b'{"a":{"c":1}, "b":{"c":1}}', [("b", "c")], b'{"a":{"c":1}, "b":{}}'),
        (b' {"a": 1.50} ', [("b",), (0,), ("a", 0), ("a", "b")], b' {"a": 1.50} '),
        (b" 1.50", [(0,), ("a",)], b" 1.50"),
        (b'"a"', [(0,)], b'"a"'),
    ],
)
def test_a_part_goes_with_exactly_one_comma(body, paths, done):
    assert without(body, paths) == done


def test_depth_is_no_hindrance():
    deep = b"[" * 100_000 + b'"]"' + b"]" * 100_000
    body = b'{"x":%b,"messages":[{"a":%b}, %b , 2]}' % (deep, deep, deep)
    done = without(body, [("messages", 1), ("messages", 0, "a")])
    assert done == b'{"x":%b,"messages":[{} , 2]}' % deep


@pytest.mark.slow
@pytest.mark.parametrize(
    "filler",
    [b'"a",' * 300_000, b'"%b",' % (b'\\"' * 500_000), b'"%b",' % (b"\\\\" * 500_000), b"[],{}," * 200_000,
     b"1," * 500_000, b" " * 1_000_000, b'"%b",' % (b"\\u0041" * 200_000)],
    ids=["strings", "quotes", "backslashes", "brackets", "numbers", "spaces", "escapes"],
)  # fmt: skip
def test_a_megabyte_of_anything_is_walked_once(filler):
    """Ends at once when time grows with the length, and not in an hour when with its square."""
    array = b"[%b1 , 2]" % filler
    body = b'{"x":1,"messages":%b,"model":"a"}' % array
    n_filled = len(orjson.loads(array)) - 2
    done = without(body, [("messages", n_filled)])
    end = b",1 , 2]" if n_filled else b"1 , 2]"
    assert done == body.replace(end, b" , 2]" if n_filled else b"2]")
    done = without(body, [("messages", i) for i in range(n_filled)])
    assert orjson.loads(done) == {"x": 1, "messages": [1, 2], "model": "a"}
    done = set_fields(body, {"x": 1, "model": "a"}, {"model": "b"})
    assert done == body.replace(b'"model":"a"', b'"model":"b"')


# Putting parts.


def steps(value, path=()):
    """Yield the paths of everything inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for step, part in inner if isinstance(value, (dict, list)) else ():
        yield (*path, step)
        if isinstance(part, (dict, list)):
            yield from steps(part, (*path, step))


def rebuilt(value, cuts, puts, path=()):
    """Do to a parsed value what is to be done to its text."""
    if path and path in puts:
        return puts[path]
    if isinstance(value, list):
        kept = [i for i in range(len(value)) if (*path, i) not in cuts]
        return [rebuilt(value[i], cuts, puts, (*path, i)) for i in kept]
    if isinstance(value, dict):
        new = {p[-1]: v for p, v in puts.items() if p[:-1] == path and isinstance(p[-1], str)}
        kept = [k for k in value if (*path, k) not in cuts]
        there = {k: rebuilt(value[k], cuts, puts, (*path, k)) for k in kept}
        return there | {k: v for k, v in new.items() if (*path, k) not in cuts}
    return value


@given(data=st.data())
def test_what_is_put_and_cut_is_all_that_differs(data):
    fields = data.draw(st.dictionaries(st.sampled_from(["model", "b", "é"]), VALUES, max_size=4))
    paths = [*steps(fields), ("new",)]
    objects = [p for p in paths[:-1] if isinstance(value_at(fields, p), dict)]
    paths += [(*p, "new") for p in objects]
    cuts = set(data.draw(st.lists(st.sampled_from(paths), max_size=3)))
    puts = data.draw(st.dictionaries(st.sampled_from(paths), VALUES, max_size=4))
    inside = [p for p in puts if any(p[: len(q)] == q for q in (*cuts, *puts) if q != p)]
    puts = {p: v for p, v in puts.items() if p not in inside and p not in cuts}
    body = json.dumps(fields, indent=data.draw(st.sampled_from([None, 1]))).encode()
    assert orjson.loads(edited(body, cuts, puts)) == rebuilt(fields, cuts, puts)
    assert edited(body, [], {}) == body


def value_at(value, path):
    for step in path:
        value = value[step]
    return value


def test_what_is_put_stands_where_the_old_stood_and_new_members_at_the_end():
    body = b'{ "a":[ {"id" : "long","n":1.50 , "x":1} ,{} ], "b":"\\u00e9" }'
    puts = {("a", 0, "id"): "s", ("a", 0, "new"): "", ("a", 1, "new"): [1], ("a", 7, "id"): "no"}
    done = edited(body, [("a", 0, "x")], puts)
    assert done == (b'{ "a":[ {"id" : "s","n":1.50,"new":""} ,{"new":[1]} ], "b":"\\u00e9" }')


def test_a_body_that_names_a_way_twice_is_edited_as_a_parser_reads_it():
    body = b'{"a":{"x":1},"a":{"x":2,"y":3}}'
    done = edited(body, [("a", "y")], {("a", "x"): "z", ("a", "n"): 0})
    assert orjson.loads(done) == {"a": {"x": "z", "n": 0}}
