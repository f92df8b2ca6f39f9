"""A good answer is served in any wrapping, once; an answer of nothing is a failure in any."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import anthropic
import brotli
import openai
import pytest
import zstandard

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.values import Interface
from tests.gateway_rig import (
    PATHS,
    ask,
    check_ended,
    chunk,
    error_of,
    events_of,
    fake_upstream,
    forget,
    gateway,
    good,
    head,
    replies,
)

FORMATS = list(Interface)
MODEL = "z-ai/glm-5"
SAID = "is a simulated"

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
EACH = pytest.mark.parametrize("interface", FORMATS, ids=str)

KINDS = ["text/event-stream;charset=UTF-8", "Text/Event-Stream", "text/plain", "application/json",
         "application/octet-stream", "application/x-ndjson", ""]  # fmt: skip

BEFORE = {
    "a byte order mark": b"\xef\xbb\xbf",
    "comments": b": PROCESSING\n\n: PROCESSING\n\n",
    "an empty event": b"data:\n\ndata: \n\n",
    "a broken event": b"data: {\n\n",
    "an event of nothing": b"data: null\n\n",
    "fields that are no data": b"id: 1\nretry: 5\n\n",
    "blank lines": b"\n\n\n",
    "a ping": b'event: ping\ndata: {"type": "ping"}\n\n',
}

ENCODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "": gzip.compress,
}


def whole_of(seen) -> dict:
    return WRITERS[seen.interface].whole(make_answer(seen.fields, seen.interface))


def body_of(seen, stream: bool) -> bytes:
    return b"".join(events_of(seen)) if stream else json.dumps(whole_of(seen)).encode()


def sends(make, kind: str = "application/json", *more: str):
    """Answer with what ``make`` makes of the request."""

    async def play(seen, writer):
        body = make(seen)
        lines = [line for line in (f"content-type: {kind}" if kind else "", *more) if line]
        told = "\r\n".join(["HTTP/1.1 200 X", *lines, f"content-length: {len(body)}"])
        writer.write(told.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        return True

    return play


async def served(client, fake, interface, stream, play) -> bytes:
    """Ask once; return what came, which must be an answer, made by one call."""
    fake.play = play
    before = len(fake.seen)
    response = await client.post(PATHS[interface], json=ask(interface, MODEL, stream=stream))
    assert response.status_code == 200, response.text
    assert len(fake.seen) == before + 1
    assert SAID in response.text
    if stream:
        assert response.headers["content-type"].startswith("text/event-stream")
        check_ended(interface, response.content)
        assert not error_of(interface, response.content)
    else:
        assert response.headers["content-type"] == "application/json"
        assert response.json()["model"] == MODEL
    assert client.records[-1].usage.output_tokens > 20
    return response.content


@EACH
async def test_a_stream_is_one_by_its_bytes(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for kind in KINDS:
            play = sends(lambda seen: body_of(seen, True), kind)
            await served(client, fake, interface, True, play)


@EACH
async def test_what_is_not_heard_of_the_stream_flag_is_turned_into_what_was_asked_for(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for stream in (False, True):
            for kind in ("application/json", "text/event-stream"):
                play = sends(lambda seen, stream=stream: body_of(seen, not stream), kind)
                await served(client, fake, interface, stream, play)


@EACH
@STREAM
async def test_an_encoding_that_nobody_asked_for_is_undone(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for name, encode in ENCODINGS.items():
            more = [f"content-encoding: {name}"] if name else []
            play = sends(lambda seen, e=encode: e(body_of(seen, stream)), "text/plain", *more)
            await served(client, fake, interface, stream, play)


@EACH
async def test_what_comes_before_an_answer_costs_nothing(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for before in BEFORE.values():
            play = sends(lambda seen, b=before: b + body_of(seen, True), "text/event-stream")
            sent = await served(client, fake, interface, True, play)
            assert not {b"data:", b"data: ", b"data: {"} & set(sent.splitlines())
        for before in (b"\n\n  ", b"\xef\xbb\xbf"):
            play = sends(lambda seen, b=before: b + body_of(seen, False))
            await served(client, fake, interface, False, play)


@EACH
@STREAM
async def test_numbers_that_are_none_reach_the_client_as_null(interface, stream):
    odd = b'"odd":[NaN,-Infinity,Infinity],'
    async with fake_upstream() as fake, gateway(fake) as client:
        play = sends(lambda seen: body_of(seen, stream).replace(b"{", b"{" + odd, 1))
        sent = await served(client, fake, interface, stream, play)
        assert b'"odd":[null,null,null]' in sent


@EACH
@STREAM
async def test_halves_of_characters_reach_the_client(interface, stream):
    def make(seen):
        return body_of(seen, stream).replace(b"is a simulated", b"\\ud83d is a simulated", 1)

    async with fake_upstream() as fake, gateway(fake) as client:
        sent = await served(client, fake, interface, stream, sends(make))
        assert b"\\ud83d is a simulated" in sent


@EACH
@STREAM
async def test_an_error_that_says_nothing_is_none(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for error in (b"null", b"{}", b'{"code":0,"message":""}', b'""'):
            field = b'"error":%s,' % error
            play = sends(lambda seen, f=field: body_of(seen, stream).replace(b"{", b"{" + f, 1))
            await served(client, fake, interface, stream, play)


USAGES = ["x", 5, True, [1], {}, {"prompt_tokens": "5", "input_tokens": [[1]]},
          {"prompt_tokens": -5, "output_tokens": 1e308, "cost": -1},
          {"prompt_tokens_details": "x", "input_tokens_details": [1], "cost": "1"}]  # fmt: skip


@EACH
@STREAM
async def test_usage_of_any_shape_costs_no_answer(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for usage in USAGES:

            def make(seen, usage=usage):
                whole = whole_of(seen) | {"usage": usage}
                return json.dumps(whole).encode()

            fake.play = sends(make)
            body = ask(interface, MODEL, stream=stream)
            response = await client.post(PATHS[interface], json=body)
            assert response.status_code == 200, usage
            assert SAID in response.text, usage


async def test_real_clients_read_what_was_turned():
    async with fake_upstream() as fake, gateway(fake) as client:
        base = str(client.base_url)
        oai = openai.AsyncOpenAI(api_key="x", base_url=base + "/v1", max_retries=0)
        ant = anthropic.AsyncAnthropic(api_key="x", base_url=base, max_retries=0)
        hi = [{"role": "user", "content": "Hello there"}]
        fake.play = sends(lambda seen: body_of(seen, False))
        async with oai.responses.stream(model=MODEL, input="Hello there") as events:
            assert SAID in (await events.get_final_response()).output_text
        async with ant.messages.stream(model=MODEL, messages=hi, max_tokens=50) as events:
            assert SAID in await events.get_final_text()
        async with oai.chat.completions.stream(model=MODEL, messages=hi) as events:
            assert SAID in (await events.get_final_completion()).choices[0].message.content
        fake.play = sends(lambda seen: body_of(seen, True))
        assert SAID in (await oai.responses.create(model=MODEL, input="Hello there")).output_text
        message = await ant.messages.create(model=MODEL, messages=hi, max_tokens=50)
        assert SAID in message.content[0].text
        completion = await oai.chat.completions.create(model=MODEL, messages=hi)
        assert SAID in completion.choices[0].message.content
        await oai.close()
        await ant.close()


# An answer of nothing.


def chat(message=None, reason="stop", tokens=0, **more):
    choice = {"index": 0, "message": message or {"content": None}, "finish_reason": reason}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens}
    return {"id": "c", "object": "chat.completion", "choices": [choice | more], "usage": usage}


def message(*content, reason="end_turn", tokens=0):
    usage = {"input_tokens": 5, "output_tokens": tokens}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m"}
    return head | {"content": [*content], "stop_reason": reason, "usage": usage}


def response(*output, status="completed", tokens=0, **more):
    usage = {"input_tokens": 5, "output_tokens": tokens}
    head = {"id": "r", "object": "response", "model": "m", "status": status}
    return head | {"output": [*output], "usage": usage} | more


THOUGHT = {"type": "reasoning", "id": "x", "summary": []}

NOTHING = [
    (Interface.CHAT, chat()),
    (Interface.CHAT, chat({"role": "assistant", "content": "", "tool_calls": []})),
    (Interface.CHAT, chat(reason="tool_calls")),
    (Interface.CHAT, chat(reason="error", tokens=5)),
    (Interface.CHAT, chat({"content": "half"}, error={"message": "no"})),
    (Interface.CHAT, {"choices": []}),
    (Interface.CHAT, {"choices": [], "base_resp": {"status_code": 1002, "status_msg": "no"}}),
    (Interface.MESSAGES, message()),
    (Interface.MESSAGES, message({"type": "text", "text": ""})),
    (Interface.MESSAGES, message(reason=None, tokens=5)),
    (Interface.RESPONSES, response()),
    (Interface.RESPONSES, response(THOUGHT)),
    (Interface.RESPONSES, response(status="failed", error={"message": "no", "code": "x"})),
    (Interface.RESPONSES, response(status="incomplete", tokens=5)),
]

LITTLE = [
    (Interface.CHAT, chat({"content": None, "tool_calls": [{"id": "t", "function": {}}]})),
    (Interface.CHAT, chat({"content": "", "reasoning_content": "hm"})),
    (Interface.CHAT, chat({"content": "", "refusal": "no"})),
    (Interface.CHAT, chat(tokens=7)),
    (Interface.CHAT, chat(reason="length")),
    (Interface.CHAT, chat(reason="content_filter")),
    (Interface.MESSAGES, message({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
    (Interface.MESSAGES, message({"type": "thinking", "thinking": "hm", "signature": ""})),
    (Interface.MESSAGES, message(tokens=3)),
    (Interface.MESSAGES, message(reason="max_tokens", tokens=1)),
    (Interface.MESSAGES, message(reason="refusal")),
    (Interface.RESPONSES, response({"type": "function_call", "name": "f", "arguments": "{}"})),
    (Interface.RESPONSES, response(THOUGHT, tokens=5)),
    (
        Interface.RESPONSES,
        response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    ),
    (Interface.RESPONSES, response(status="queued")),
]


@STREAM
async def test_an_answer_of_nothing_is_the_next_models_turn(stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for interface, nothing in NOTHING:
            forget(client)
            empty = replies(200, json.dumps(nothing).encode())

            async def first_fails(seen, writer, empty=empty):
                failing = "sonnet" in seen.fields["model"]
                return await (empty if failing else good)(seen, writer)

            fake.play = first_fails
            body = ask(interface, "kilo-auto/frontier", stream=stream)
            answered = await client.post(PATHS[interface], json=body)
            assert answered.status_code == 200, nothing
            assert answered.headers["x-auto-fallbacks"].startswith("anthropic/"), nothing
            assert SAID in answered.text


STREAMS_OF_NOTHING = {
    Interface.CHAT: [
        b"data: [DONE]\n\n",
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n',
        b'event: error\ndata: {"message": "no"}\n\n',
    ],
    Interface.MESSAGES: [
        b'data: {"type":"message_start","message":{"content":[],"usage":{"output_tokens":1}}}\n\n'
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":0}}\n\ndata: {"type":"message_stop"}\n\n',
        b'data: {"type":"message_stop"}\n\n',
    ],
    Interface.RESPONSES: [
        b'data: {"type":"response.created","response":{"status":"in_progress"}}\n\n'
        b'data: {"type":"response.completed","response":{"status":"completed","output":[]}}\n\n',
        b'data: {"type":"error","code":"x","message":"no"}\n\n',
        b'data: {"type":"response.failed","response":{"status":"failed"}}\n\n',
    ],
}


@EACH
async def test_a_stream_of_nothing_is_the_next_models_turn(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for nothing in STREAMS_OF_NOTHING[interface]:
            forget(client)
            empty = replies(200, nothing, kind="text/event-stream")

            async def first_fails(seen, writer, empty=empty):
                failing = "sonnet" in seen.fields["model"]
                return await (empty if failing else good)(seen, writer)

            fake.play = first_fails
            body = ask(interface, "kilo-auto/frontier", stream=True)
            answered = await client.post(PATHS[interface], json=body)
            assert answered.status_code == 200, nothing
            assert answered.headers["x-auto-fallbacks"].startswith("anthropic/"), nothing
            check_ended(interface, answered.content)


@STREAM
async def test_a_short_answer_that_says_why_is_an_answer(stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for interface, little in LITTLE:
            fake.play = replies(200, json.dumps(little).encode())
            before = len(fake.seen)
            body = ask(interface, "kilo-auto/frontier", stream=stream)
            answered = await client.post(PATHS[interface], json=body)
            assert answered.status_code == 200, little
            assert len(fake.seen) == before + 1, little
            if stream:
                check_ended(interface, answered.content)
                assert not error_of(interface, answered.content)


# The end.


@EACH
async def test_a_reply_ends_at_its_terminator_and_not_when_its_upstream_lets_go(interface):
    async def lingers(seen, writer):
        writer.write(head(200, "text/event-stream") + chunk(b"".join(events_of(seen))))
        await writer.drain()
        await seen.left.wait()
        return False

    patient = {"connect_s": 9, "first_byte_s": 9, "reply_s": 9, "idle_s": 9}
    async with fake_upstream() as fake, gateway(fake, timeouts=patient) as client:
        fake.play = lingers
        async with asyncio.timeout(30):
            body = ask(interface, MODEL, stream=True)
            answered = await client.post(PATHS[interface], json=body)
            assert not fake.seen[-1].left.is_set()
            check_ended(interface, answered.content)
            await fake.seen[-1].left.wait()


async def test_a_connection_is_kept_though_its_end_came_after_the_clients():
    connections = set()

    async def ends_late(seen, writer):
        connections.add(writer)
        writer.write(head(200, "text/event-stream") + chunk(b"".join(events_of(seen))))
        await writer.drain()
        await served.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = ends_late
        upstream = client.app.state.gateway.upstream
        for _ in range(3):
            served = asyncio.Event()
            body = ask(Interface.CHAT, MODEL, stream=True)
            await client.post(PATHS[Interface.CHAT], json=body)
            served.set()
            await asyncio.gather(*upstream._drained)
        assert len(connections) == 1


@EACH
async def test_a_failure_inside_the_gateway_amid_a_stream_is_no_clean_end(interface, caplog):
    class Bad(Exception):
        pass

    def fails(data):
        raise Bad

    async with fake_upstream() as fake, gateway(fake) as client:
        upstream = client.app.state.gateway.upstream
        relayed = upstream._relayed

        def breaks(relay, response, pieces, seen):
            feed = relay.feed
            relay.feed = lambda data: feed(data) if data is seen else fails(data)
            return relayed(relay, response, pieces, seen)

        upstream._relayed = breaks

        async def slowly(seen, writer):
            writer.write(head(200, "text/event-stream"))
            for event in events_of(seen):
                writer.write(chunk(event))
                await writer.drain()
                await asyncio.sleep(0.002)
            return False

        fake.play = slowly
        body = ask(interface, MODEL, stream=True)
        answered = await client.post(PATHS[interface], json=body)
        assert "the gateway failed" in error_of(interface, answered.content)
        check_ended(interface, answered.content)
