"""The simulated provider: it goes wrong just as it is told, and calls tools as their schemas ask."""

from __future__ import annotations

import json

import httpx
import pytest

from router.providers.simulated.provider import SimulatedTransport
from router.values import Interface
from tests.gateway_rig import PATHS, ask, check_ended, error_of, event_data

ALL = pytest.mark.parametrize("interface", list(Interface), ids=str)
CHAT = Interface.CHAT


async def send(interface=CHAT, what="", *, stream=False, read_s=0.01, text="Hello", **fields):
    """Ask the provider alone, as the gateway's pool of connections does."""
    body = ask(interface, "a/b", stream=stream, text=text) | fields
    async with httpx.AsyncClient(
        transport=SimulatedTransport(), base_url="http://simulated", timeout=read_s
    ) as client:
        return await client.post(PATHS[interface], json=body, headers={"x-simulate": what})


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("refuse", httpx.ConnectError),
        ("stall", httpx.ReadTimeout),
        ("cut=3", httpx.ReadError),
        ("stall_at=3", httpx.ReadTimeout),
    ],
)
async def test_a_connection_fails_as_it_is_told_to(what, error):
    with pytest.raises(error, match="simulated"):
        await send(what=what, stream=True)


@ALL
async def test_an_error_status_comes_in_its_format_with_how_long_to_wait(interface):
    response = await send(interface, "status=429; retry_after=2")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "2"
    assert response.json()["error"]["message"] == "simulated: 429"
    assert "retry-after" not in (await send(interface, "status=503")).headers


async def test_a_refused_size_says_so_as_providers_do():
    response = await send(what="status=400")
    assert response.json()["error"]["code"] == "context_length_exceeded"


async def test_what_is_no_reply_is_sent_where_it_is_asked_for():
    page = await send(what="page")
    assert page.headers["content-type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        (await send(what="broken")).json()


@ALL
async def test_a_stream_breaks_off_with_an_error_event_where_it_is_told_to(interface):
    whole = event_data((await send(interface, stream=True)).content)
    broken = (await send(interface, "error_at=3", stream=True)).content
    assert event_data(broken)[:3] == whole[:3]
    assert len(event_data(broken)) == 4
    assert error_of(interface, broken) == "simulated error"


@ALL
async def test_a_directive_for_another_model_is_not_followed(interface):
    response = await send(interface, "status=500; model=c/", stream=True)
    assert response.status_code == 200
    check_ended(interface, response.content)
    assert (await send(interface, "status=500; model=a/")).status_code == 500


async def test_a_directive_may_stand_in_the_newest_ask():
    assert (await send(text="Hello [[simulate: status=418]]")).status_code == 418


def listed(*names, **schema):
    return [{"type": "function", "function": {"name": n, "parameters": schema}} for n in names]


async def called(what="", text="Hello", **fields):
    message = (await send(what=what, text=text, **fields)).json()["choices"][0]["message"]
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"tool_choice": {"type": "function", "function": {"name": "write"}}},
        {"tool_choice": {"type": "tool", "name": "write"}},
        {"what": "tool=write"},
        {"text": "Please use the tool `write` now"},
        {"text": "use write"},
    ],
)
async def test_the_tool_that_is_asked_for_is_called(asked):
    tools = listed("read", "write")
    assert await called(**asked, tools=tools) == [("write", {})]
    assert await called(**asked, tools=listed("read")) == []


@pytest.mark.parametrize("choice", ["required", "any", {"type": "any"}])
async def test_where_any_tool_must_be_called_the_first_is(choice):
    assert await called(tool_choice=choice, tools=listed("read", "write")) == [("read", {})]
    assert await called(tool_choice=choice) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"type": "integer"}, 1),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, False),
        ({"type": "array"}, []),
        ({"type": "object", "properties": {"y": {"type": "integer"}}, "required": ["y"]}, {"y": 1}),
        ({"type": "object", "properties": {"y": {}}}, {}),
        ("nonsense", {}),
    ],
)
async def test_arguments_satisfy_what_the_schema_requires(schema, value):
    properties = {"x": schema, "not_required": {"type": "string"}}
    tools = listed("f", type="object", properties=properties, required=["x"])
    assert await called("tool=f", tools=tools) == [("f", {"x": value})]


async def test_a_schema_without_an_end_gets_arguments_all_the_same():
    deep = {"type": "string"}
    for _ in range(20):
        deep = {"type": "object", "properties": {"x": deep}, "required": ["x"]}
    ((_, arguments),) = await called("tool=f", tools=listed("f", **deep))
    assert json.dumps(arguments).count("x") == 6


async def test_a_tool_whose_result_is_there_is_not_called_again():
    messages = [
        {"role": "user", "content": "use read"},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]
    assert await called(tools=listed("read"), messages=messages[:1]) == [("read", {})]
    assert await called(tools=listed("read"), messages=messages) == []
