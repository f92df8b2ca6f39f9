"""What strict parsers refuse and the world takes is read, and goes on byte for byte."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadRequest
from router.values import Interface
from router.wire.json_text import as_utf8, read
from router.wire.request import parse
from router.wire.splice import set_fields, without
from tests.growth import assert_linear

HALF = "\ud83d"
UNITS = st.text(
    st.characters(codec="utf-8") | st.sampled_from('\ud83d\ude00\udfff\ud800\\"u\n\x01d8'),
    max_size=12,
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | UNITS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(UNITS | st.sampled_from(["model", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def whole(value):
    """Return a tree as it is read: with U+FFFD for what is half a character, long integers as floats."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {whole(key): whole(part) for key, part in value.items()}
        case list():
            return [whole(part) for part in value]
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**64:
            return float(value)
    return value


@given(TREES)
def test_any_tree_that_a_lenient_writer_writes_is_read(tree):
    assert read(json.dumps(tree).encode()) == whole(json.loads(json.dumps(tree)))


@given(st.dictionaries(UNITS, TREES, max_size=4), st.sampled_from([None, 1]))
def test_what_is_read_with_halves_goes_on_byte_for_byte(tree, indent):
    """Only the model changes, and no writer after us needs to know what half a character is."""
    body = json.dumps({"model": 1, **tree, "x": 1} | {"model": "a/b"}, indent=indent).encode()
    fields = read(body)
    orjson.dumps(fields)
    done = set_fields(body, fields, {"model": "z"})
    assert without(done, [("model",)]) == without(body, [("model",)])
    assert read(done) == {**fields, "model": "z"}


@given(TREES, TREES)
def test_a_part_is_cut_from_among_halves(kept, cut):
    body = json.dumps({"a": kept, HALF: [cut, kept]}).encode()
    assert without(body, [("\ufffd", 0)]) == json.dumps({"a": kept, HALF: [kept]}).encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uDE00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (b'"a\x01\n"', "a\x01\n"),
        (b"[NaN, -Infinity, 1]", [None, None, 1]),
        (b"1e999", float("inf")),
        (b"1" * 25, float("1" * 25)),
        (b"9" * 400, float("inf")),
        (b"18446744073709551615", 2**64 - 1),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_what_the_world_writes_is_read(text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'"a\xff"',
        b'"\xed\xa0\xbd"',
        b'{"a":1,}',
        b"{'a':1}",
        b"01",
        b"{} {}",
        b"//",
        b"nan",
    ],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match="char|codec"):
        read(text)


ASK = "Corrige la página de acceso: \u4fee\u590d \U0001f389"
FIELDS = {"model": "a/b", "messages": [{"role": "user", "content": ASK}]}
PLAIN = json.dumps(FIELDS, ensure_ascii=False)


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32-le"),
        PLAIN.encode() + b"\0",
        b"\n " + PLAIN.encode() + b"\r\n\0\0\n",
    ],
)
def test_what_stands_around_a_text_and_its_encoding_are_ours_to_undo(body):
    """The upstream is told ``application/json``, and so gets UTF-8."""
    request = parse(body, interface=Interface.CHAT)
    assert request.conversation.ask == ASK
    assert orjson.loads(request.body) == FIELDS


@pytest.mark.parametrize("named", ["ISO-8859-1", '"windows-1252"', "latin1"])
def test_an_encoding_that_is_declared_is_believed_of_what_is_no_utf8(named):
    fields = {"messages": [{"role": "user", "content": "Corrige la página"}]}
    headers = {"Content-Type": f"application/json; charset={named}"}
    for encoding in ("latin-1", "utf-8"):
        body = json.dumps(fields, ensure_ascii=False).encode(encoding)
        request = parse(body, interface=Interface.CHAT, headers=headers)
        assert orjson.loads(request.body) == fields


@pytest.mark.parametrize("named", ["zlib", "unicode_escape", "idna", "no-such", "utf-16", ""])
def test_an_encoding_that_is_none_harms_nothing(named):
    headers = {"content-type": f"application/json; charset={named}"}
    with pytest.raises(BadRequest, match="utf-8"):
        parse(b'{"input":"p\xe1gina"}', interface=Interface.RESPONSES, headers=headers)
    assert parse(b'{"input":"p\xc3\xa1gina"}', interface=Interface.RESPONSES, headers=headers)


@given(st.binary(max_size=60))
def test_no_bytes_fail_to_be_made_utf8(body):
    as_utf8(body, "application/json; charset=gbk")


@pytest.mark.parametrize("interface", list(Interface))
def test_fields_nested_a_thousand_deep_pass_and_a_hundred_thousand_are_told(interface):
    def body(depth):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        listed = b'{"tools":[' * depth + b"]}" * depth
        return (
            b'{"model":"a/b","metadata":%b,"tools":[{"name":"t","input_schema":%b},'
            b'{"type":"function","function":{"name":%b,"parameters":%b}},%b],'
            b'"messages":[{"role":"user","content":"Fix it"},'
            b'{"role":"assistant","content":[{"type":"tool_use","id":"1","name":%b,"input":%b}]},'
            b'{"role":%b,"content":%b}]}' % (*[deep] * 4, listed, *[deep] * 4)
        )

    request = parse(body(500), interface=interface)
    assert request.needs.tools
    done = set_fields(request.body, request.fields, {"model": "z", "x": 1})
    assert orjson.loads(done)["metadata"] == request.fields["metadata"]
    with pytest.raises(BadRequest, match="nested too deeply"):
        parse(body(100_000), interface=interface)


@pytest.mark.parametrize("at", ["metadata", "tools", "input"])
def test_one_optional_field_may_be_a_thousand_deep(at):
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000
    written = {
        "metadata": b'"metadata":' + deep,
        "tools": b'"tools":[{"name":"t","input_schema":%b}]' % deep,
        "input": b'"messages":[{"role":"assistant","content":[{"type":"tool_use","input":%b}]}]'
        % deep,
    }[at]
    body = b'{"model":"a/b",%b}' % written
    request = parse(body, interface=Interface.MESSAGES)
    assert set_fields(body, request.fields, {"model": "z"}) == b'{"model":"z",%b}' % written


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b'"%b"' % (rb"\ud83d" * n),
        lambda n: b'"%b"' % (b"\\\\" * n),
        lambda n: b"[%b0]" % (b"NaN," * n),
        lambda n: b'"%b"' % (b"\x01" * n),
        lambda n: b"[%b0]" % (b"123456789012345678901234567890," * (n // 10)),
        lambda n: b"9" * n,
    ],
    ids=["halves", "backslashes", "NaN", "controls", "integers", "digits"],
)
def test_odd_text_is_read_in_time_that_grows_with_it(make):
    assert_linear(read, make, 50_000)
