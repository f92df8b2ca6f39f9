"""The simulated provider is a good citizen: its replies are whole, and it keeps to what is asked."""

from __future__ import annotations

import json

import httpx
import openresponses_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.simulated.names import is_known
from router.providers.simulated.provider import SimulatedTransport
from router.providers.simulated.shape import value_of
from router.values import Interface
from tests.gateway_rig import PATHS, ask, event_data

ALL = pytest.mark.parametrize("interface", list(Interface), ids=str)
CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}
FORCED = {"type": "function", "name": "get_weather"}


def knows(name):
    return is_known(name, ["a/b-1", "openai/gpt-5.5", "anthropic/claude-opus-4.8"])


async def post(interface, body, what=""):
    transport = SimulatedTransport(knows=knows, clock=lambda: 1_790_000_000.9)
    async with httpx.AsyncClient(transport=transport, base_url="http://simulated") as client:
        return await client.post(PATHS[interface], json=body, headers={"x-simulate": what})


async def send(interface, what="", *, stream=False, said="Hello", **fields):
    return await post(interface, ask(interface, "a/b-1", stream=stream, text=said) | fields, what)


EVENTS = {
    kind: model
    for name, model in vars(openresponses_types).items()
    if name.endswith("StreamingEvent")
    for kind in (getattr(k, "value", k) for k in model.model_fields["type"].annotation)
}


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("", {}),
        ("", {"input": "hi", "instructions": "be brief", "metadata": {"a": "b"}, "store": False}),
        ("", {"max_output_tokens": 16, "temperature": 0.2, "top_p": 0.5, "truncation": "auto"}),
        ("", {"tools": [WEATHER], "tool_choice": "required"}),
        ("", {"tools": [WEATHER], "tool_choice": FORCED, "parallel_tool_calls": False}),
        ("reasoning", {"reasoning": {"effort": "low", "summary": "auto"}}),
    ],
)
async def test_a_response_and_its_events_are_complete_by_the_specification(what, fields):
    whole = (await send(RESPONSES, what, **fields)).json()
    openresponses_types.ResponseResource.model_validate(whole)
    assert {
        name: whole[name] for name in fields if name not in ("input", "tools", "reasoning")
    } == {
        name: value for name, value in fields.items() if name not in ("input", "tools", "reasoning")
    }
    events = event_data((await send(RESPONSES, what, stream=True, **fields)).content)
    for event in events:
        EVENTS[event["type"]].model_validate(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] | {"usage": whole["usage"]} == whole


def cut_of(interface, reply):
    """Return the words of a reply, and how it says that it was cut."""
    if interface is CHAT:
        choice = reply["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]
    if interface is MESSAGES:
        return reply["content"][0]["text"], reply["stop_reason"]
    return reply["output"][0]["content"][0]["text"], reply["incomplete_details"]["reason"]


@pytest.mark.parametrize(
    ("interface", "field", "said"),
    [
        (CHAT, "max_tokens", "length"),
        (CHAT, "max_completion_tokens", "length"),
        (RESPONSES, "max_output_tokens", "max_output_tokens"),
        (MESSAGES, "max_tokens", "max_tokens"),
    ],
)
async def test_an_answer_ends_at_its_limit_and_says_so(interface, field, said):
    words, reason = cut_of(interface, (await send(interface, **{field: 5})).json())
    assert (len(words), reason) == (20, said)
    assert said in (await send(interface, stream=True, **{field: 5})).text


@pytest.mark.parametrize(
    ("interface", "field", "said"),
    [(CHAT, "stop", "stop"), (MESSAGES, "stop_sequences", "stop_sequence")],
)
async def test_an_answer_ends_before_a_stop_word(interface, field, said):
    words, reason = cut_of(interface, (await send(interface, **{field: ["reply", "x"]})).json())
    assert (words, reason) == ("This is a simulated ", said)


SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}, "n": {"anyOf": [{"type": "null"}]}},
    "required": ["a", "n"],
    "$defs": {"a": {"type": "array", "items": {"const": 7}, "minItems": 2}},
}


@pytest.mark.parametrize(
    ("interface", "fields"),
    [
        (
            CHAT,
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        ),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    ],
)
async def test_an_answer_has_the_shape_that_is_wanted(interface, fields):
    reply = (await send(interface, **fields)).json() | {"incomplete_details": {"reason": ""}}
    assert json.loads(cut_of(interface, reply)[0]) == {"a": [7, 7], "n": None}


async def test_an_answer_in_json_of_no_schema_is_an_object():
    reply = (await send(CHAT, response_format={"type": "json_object"})).json()
    assert isinstance(json.loads(cut_of(CHAT, reply)[0]), dict)


async def test_as_many_answers_come_as_are_wanted():
    choices = (await send(CHAT, n=3)).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    chunks = event_data((await send(CHAT, n=3, stream=True)).content)
    assert {choice["index"] for chunk in chunks[:-1] for choice in chunk["choices"]} == {0, 1, 2}


@ALL
async def test_a_reply_is_dated(interface):
    reply = (await send(interface)).json()
    if interface is not MESSAGES:
        assert reply.get("created", reply.get("created_at")) == 1_790_000_000


@pytest.mark.parametrize(
    ("interface", "body"),
    [
        (CHAT, {"model": "a/b-1"}),
        (CHAT, {"model": "a/b-1", "messages": []}),
        (CHAT, {"model": "a/b-1", "messages": "hi"}),
        (MESSAGES, {"model": "a/b-1", "messages": [{"role": "user", "content": "hi"}]}),
        (RESPONSES, {"model": "a/b-1", "input": 3}),
    ],
)
async def test_a_request_without_what_it_must_have_is_refused(interface, body):
    reply = await post(interface, body)
    assert reply.status_code == 400
    assert "field required" in reply.json()["error"]["message"]


@ALL
@pytest.mark.parametrize("model", ["gpt-none", "no-such-model", "nobody/gpt-5.5", "a/gpt-5.5"])
async def test_a_model_that_nobody_makes_is_not_found(interface, model):
    reply = await send(interface, model=model)
    assert reply.status_code == 404
    assert model in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "model", ["gpt-5.5", "openai/gpt-5.5", "gpt-6-astra", "claude-opus-5-5", "OPENAI/GPT-5.5"]
)
async def test_a_model_that_its_vendor_may_make_answers(model):
    assert (await send(CHAT, model=model)).status_code == 200


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", False),
        ("auto", True),
        ({"type": "none"}, False),
        ({"type": "allowed_tools", "mode": "required", "tools": [FORCED]}, True),
    ],
)
async def test_a_tool_is_called_where_the_ask_is_about_it_and_only_where_it_may_be(choice, called):
    text = "use get_weather: what is the weather in Bern?"
    reply = await send(RESPONSES, said=text, tools=[WEATHER], tool_choice=choice)
    assert (reply.json()["output"][0]["type"] == "function_call") is called


async def test_the_only_tool_is_called_when_the_ask_speaks_of_it():
    reply = await send(RESPONSES, said="What's the weather like?", tools=[WEATHER])
    assert reply.json()["output"][0]["type"] == "function_call"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 300_000_000},
        {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
        {
            "type": "object",
            "required": [f"p{i}" for i in range(120)],
            "properties": {f"p{i}": {"$ref": "#"} for i in range(120)},
        },
        {
            "type": "object",
            "required": [f"p{i}" for i in range(900)],
            "properties": {f"p{i}": {"$ref": "#/c"} for i in range(900)},
            "c": {"const": "x" * 100_000},
        },
    ],
)
def test_a_small_schema_never_asks_for_a_large_answer(schema):
    assert len(json.dumps(value_of(schema))) < 300_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "$ref",
                    "anyOf",
                    "items",
                    "minItems",
                    "minLength",
                    "required",
                    "properties",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_schema_is_answered(schema):
    json.dumps(value_of(schema))
