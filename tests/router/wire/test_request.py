"""Requests of all three formats are read, needs included, and nothing odd is rejected."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import BadRequest
from router.values import Interface
from router.wire.format import interface_of
from router.wire.request import from_text, parse

ASK = "Fix the login page."
IMAGE = "data:image/png;base64," + "A" * 400_000

BODIES = {
    Interface.CHAT: lambda parts: {"messages": [{"role": "user", "content": parts}]},
    Interface.RESPONSES: lambda parts: {
        "input": [{"type": "message", "role": "user", "content": parts}]
    },
    Interface.MESSAGES: lambda parts: {"messages": [{"role": "user", "content": parts}]},
}
TEXT = {"chat": "text", "responses": "input_text", "messages": "text"}
IMAGES = {
    "chat": {"type": "image_url", "image_url": {"url": IMAGE}},
    "responses": {"type": "input_image", "image_url": IMAGE},
    "messages": {"type": "image", "source": {"type": "base64", "data": IMAGE}},
}


def read(interface, fields, headers=None):
    return parse(orjson.dumps(fields), interface=interface, headers=headers)


def body(interface, *parts, **more):
    text = {"type": TEXT[interface.value], "text": ASK}
    return BODIES[interface]([text, *parts]) | more


@pytest.mark.parametrize("interface", list(Interface))
def test_an_image_is_needed_but_not_counted_as_text(interface):
    request = read(interface, body(interface, IMAGES[interface.value]))
    assert request.conversation.ask == ASK
    assert request.needs.images
    assert request.needs.input_tokens < 5000


@pytest.mark.parametrize(
    ("kind", "need", "tokens"),
    [("image_url", "images", 1600), ("file", "files", 8000), ("input_audio", "audio", 8000)],
)
def test_what_is_no_text_is_needed_and_counts_for_a_fixed_number_of_tokens(kind, need, tokens):
    part = {"type": kind, kind: {"data": "A" * 40_000}}
    plain = read(Interface.CHAT, body(Interface.CHAT)).needs
    for n in (1, 2):
        needs = read(Interface.CHAT, body(Interface.CHAT, *[part] * n)).needs
        assert {name for name in ("images", "files", "audio") if getattr(needs, name)} == {need}
        assert needs.input_tokens - plain.input_tokens == pytest.approx(n * tokens, abs=50)


@pytest.mark.parametrize(
    ("more", "binds"),
    [({"encrypted_content": "x"}, True), ({"encrypted_content": None}, False), ({}, False)],
)
def test_only_reasoning_that_is_encrypted_binds_to_who_can_read_it(more, binds):
    reasoning = {"type": "reasoning", "id": "r", "summary": [], **more}
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    fields = {"input": [{"role": "user", "content": ASK}, reasoning, call]}
    assert read(Interface.RESPONSES, fields).needs.signed_reasoning is binds


@pytest.mark.parametrize("interface", list(Interface))
def test_text_alone_needs_nothing_special(interface):
    needs = read(interface, body(interface)).needs
    assert not (needs.images or needs.files or needs.audio or needs.tools or needs.json_schema)
    assert not (needs.open_tool_call or needs.provider_state or needs.signed_reasoning)
    assert needs.interface is interface


@pytest.mark.parametrize(
    ("interface", "more"),
    [
        (Interface.CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
        (Interface.RESPONSES, {"text": {"format": {"type": "json_schema", "schema": {}}}}),
        (Interface.MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}),
    ],
)
def test_a_wanted_json_schema_is_a_need(interface, more):
    assert read(interface, body(interface, **more)).needs.json_schema


@pytest.mark.parametrize(
    ("interface", "key"),
    [
        (Interface.CHAT, "max_tokens"),
        (Interface.CHAT, "max_completion_tokens"),
        (Interface.RESPONSES, "max_output_tokens"),
        (Interface.MESSAGES, "max_tokens"),
    ],
)
def test_room_for_the_answer_is_kept(interface, key):
    assert read(interface, body(interface, **{key: 777})).needs.output_tokens == 777


def test_tools_are_listed_in_every_spelling():
    nested = {"type": "namespace", "name": "n", "tools": [{"name": "inner"}]}
    tools = [
        {"type": "function", "function": {"name": "a"}},
        {"name": "b"},
        {"type": "web_search"},
        nested,
    ]
    assert read(Interface.RESPONSES, body(Interface.RESPONSES, tools=tools)).conversation.tools == (
        "a", "b", "web_search", "inner",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("interface", "fields"),
    [
        (Interface.MESSAGES, {"messages": [
            {"role": "user", "content": [{"type": "text", "text": ASK}]},
            {"role": "system", "content": "late rules"}], "safeguards": {}, "thinking": {}}),
        (Interface.CHAT, {"messages": [{"role": "developer", "content": "x"},
            {"role": "user", "content": ASK, "__copilotMessageSource": 1}], "description": "stray"}),
        (Interface.RESPONSES, {"input": [{"type": "item_reference", "id": "x"},
            {"type": "reasoning", "summary": []}, {"role": "user", "content": ASK}]}),
        (Interface.RESPONSES, {"input": ASK, "instructions": "be brief"}),
        (Interface.MESSAGES, {"messages": [{"role": "user", "content": [
            {"type": ["x"]}, {"type": {}, "text": "no"}, {"type": "text", "text": ASK}]}]}),
        (Interface.CHAT, {"messages": [None, 3, {"role": 7}, {"role": "user", "content": ASK}]}),
    ],
)  # fmt: skip
def test_what_real_clients_send_is_not_rejected(interface, fields):
    assert read(interface, fields).conversation.ask == ASK


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_cannot_be_read_is_a_clear_error(raw):
    with pytest.raises(BadRequest, match="JSON"):
        parse(raw, interface=Interface.CHAT)


@pytest.mark.parametrize(
    ("path", "interface"),
    [
        ("/v1/chat/completions", Interface.CHAT),
        ("/api/openrouter/chat/completions", Interface.CHAT),
        ("/v1/responses", Interface.RESPONSES),
        ("/v1/messages?beta=true", Interface.MESSAGES),
    ],
)
def test_the_path_tells_the_format(path, interface):
    assert interface_of(path) is interface


def test_an_unknown_path_is_refused_with_the_known_ones():
    with pytest.raises(BadRequest, match="/v1/responses"):
        interface_of("/v1/embeddings")


@pytest.mark.parametrize(
    ("headers", "fields", "session"),
    [
        ({"X-Session-Id": "s1"}, {}, "s1"),
        ({"X-Claude-Code-Session-Id": "s2"}, {}, "s2"),
        ({}, {"prompt_cache_key": "s3"}, "s3"),
        (
            {},
            {"metadata": {"user_id": '{"device_id":"d","session_id":"0a1b2c3d-4e5f"}'}},
            "0a1b2c3d-4e5f",
        ),
    ],
)
def test_the_session_is_found_where_clients_put_it(headers, fields, session):
    request = read(Interface.CHAT, body(Interface.CHAT, **fields), headers)
    assert request.session == session


def test_without_an_id_the_first_turn_identifies_the_session():
    first = {"messages": [{"role": "user", "content": ASK}]}
    later = {"messages": [*first["messages"], {"role": "assistant", "content": "ok"},
                          {"role": "user", "content": "more"}]}  # fmt: skip
    other = {"messages": [{"role": "user", "content": "something else"}]}
    sessions = [read(Interface.CHAT, fields).session for fields in (first, later, other)]
    assert sessions[0] == sessions[1] != sessions[2]


def test_the_mode_header_names_a_mode_or_a_background_task():
    plan = read(Interface.CHAT, body(Interface.CHAT), {"x-kilocode-mode": "Plan"}).conversation
    assert (plan.mode, plan.declared_task) == ("plan", None)
    title = read(Interface.CHAT, body(Interface.CHAT), {"x-kilocode-mode": "title"}).conversation
    assert (title.mode, title.declared_task) == (None, "background/title")


def test_a_bare_text_is_the_smallest_request():
    assert from_text(ASK).conversation.ask == ASK


KEYS = ["messages", "input", "system", "tools", "metadata", "text", "role", "content", "type",
        "tool_calls", "function", "name", "arguments", "output", "max_tokens", "output_config"]  # fmt: skip
LEAVES = st.sampled_from([None, True, -1, 2.5, "", "user", "tool_result", "x" * 50, [], {}])
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(Interface)), st.dictionaries(st.sampled_from(KEYS), NESTED, max_size=4))
def test_any_json_object_is_read_without_an_exception(interface, fields):
    request = read(interface, fields)
    assert request.needs.input_tokens >= 0
    assert request.body == orjson.dumps(fields)
