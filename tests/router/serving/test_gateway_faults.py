"""Each failure × each format × stream or not × before or after the first byte."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest

from router.books.record import End
from router.values import Interface
from router.wire import sse
from tests.gateway_rig import (
    PATHS,
    QUICK,
    Seen,
    ask,
    check_ended,
    check_error,
    chunk,
    error_of,
    event_data,
    events_of,
    fake_upstream,
    forget,
    gateway,
    good,
    head,
    replies,
    streams,
)

FORMATS = list(Interface)
MODEL = "z-ai/glm-5"
ERROR = b'{"error":{"message":"no","type":"x","code":"y"}}'


async def hang(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    await seen.left.wait()
    return False


async def drop(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return False


async def half_head(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
    return False


async def no_http(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    return False


async def short_body(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    kind = "text/event-stream" if seen.fields["stream"] else "application/json"
    writer.write(head(200, kind, length=1000) + b'{"a":')
    return False


BEFORE = {
    "connection dropped": (drop, 502),
    "half a head": (half_head, 502),
    "not HTTP": (no_http, 502),
    "body cut short": (short_body, 502),
    "silence": (hang, 504),
    "408": (replies(408, ERROR), 502),
    "409": (replies(409, ERROR), 502),
    "425": (replies(425, ERROR), 502),
    "429": (replies(429, ERROR), 429),
    "429 with a wait": (replies(429, ERROR, "retry-after: 7"), 429),
    "500": (replies(500, ERROR), 502),
    "500 without a body": (replies(500, b""), 502),
    "503": (replies(503, b"<html>down</html>", kind="text/html"), 502),
    "529": (replies(529, ERROR), 502),
    "our key refused": (replies(401, ERROR), 503),
    "a redirect": (replies(302, b"", "location: http://evil/"), 502),
    "a page": (replies(200, b"<html>hi</html>", kind="text/html"), 502),
    "broken JSON": (replies(200, b'{"choices": ['), 502),
    "JSON of another kind": (replies(200, b'{"hello": 1}'), 502),
    "a list": (replies(200, b"[]"), 502),
    "an error with status 200": (replies(200, b'{"error":{"code":503,"message":"no"}}'), 502),
    "an empty stream": (replies(200, b"", kind="text/event-stream"), 502),
    "only comments": (replies(200, b": wait\n\n", kind="text/event-stream"), 502),
    "a malformed event": (replies(200, b"data: {oops\n\n", kind="text/event-stream"), 502),
    "an error event first": (
        replies(200, b'data: {"error":{"code":502,"message":"no"}}\n\n', kind="text/event-stream"),
        502,
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_every_failure_before_the_first_byte_is_told_in_the_clients_format(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for i, (name, (play, status)) in enumerate(BEFORE.items()):
            fake.play = play
            before = len(fake.seen)
            body = ask(interface, f"{MODEL}-{i}", stream=stream)
            response = await client.post(PATHS[interface], json=body)
            assert response.status_code == status, name
            check_error(interface, response)
            if status == 429:
                wait = response.headers["retry-after"]
                assert wait == ("7" if "wait" in name else "2"), name
            assert len(fake.seen) - before == 1, name


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_every_failure_before_the_first_byte_falls_back(interface, stream):
    """The second model of the tier answers, once, and the headers name what failed."""
    async with fake_upstream() as fake, gateway(fake) as client:
        for name, (play, status) in BEFORE.items():
            if status == 503:
                continue  # a provider that refuses our key is not asked again
            forget(client)

            async def first_fails(seen, writer, play=play):
                failing = "sonnet" in seen.fields["model"]
                return await (play if failing else good)(seen, writer)

            fake.play = first_fails
            body = ask(interface, "kilo-auto/frontier", stream=stream)
            response = await client.post(PATHS[interface], json=body)
            assert response.status_code == 200, name
            assert response.headers["x-auto-model"] == "anthropic/claude-opus-4.7"
            assert response.headers["x-auto-fallbacks"].startswith("anthropic/claude-sonnet-4.6=")
            if stream:
                check_ended(interface, response.content)
                assert not error_of(interface, response.content)
            else:
                assert response.json()["model"] == "anthropic/claude-opus-4.7"


def cut(after: int, how: str):
    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        events = events_of(seen)[:after]
        writer.write(head(200, "text/event-stream"))
        for event in events:
            writer.write(chunk(event))
            await writer.drain()
            await asyncio.sleep(0.002)
        match how:
            case "reset":
                writer.transport.abort()
            case "closed":
                pass
            case "clean end":
                writer.write(b"0\r\n\r\n")
                return True
            case "half an event":
                writer.write(chunk(b'data: {"choices":[{"del'))
                await writer.drain()
            case "silence":
                await seen.left.wait()
            case "garbage":
                writer.write(b"zzz not a chunk\r\n")
            case "error event":
                error = b'data: {"type":"error","error":{"message":"overloaded","type":"x"}}\n\n'
                writer.write(chunk(error) + b"0\r\n\r\n")
                return True
        return False

    return play


HOWS = ["reset", "closed", "clean end", "half an event", "silence", "garbage", "error event"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_every_failure_after_the_first_word_ends_the_stream_with_an_error(interface, how):
    """In the format's own way, with its terminator, no healthy end, and no second call."""
    async with fake_upstream() as fake, gateway(fake) as client:
        for after in (5, 7):
            fake.play = cut(after, how)
            before = len(fake.seen)
            began = time.monotonic()
            body = ask(interface, "kilo-auto/frontier", stream=True)
            response = await client.post(PATHS[interface], json=body)
            assert response.status_code == 200
            assert time.monotonic() - began < 3
            check_ended(interface, response.content)
            assert len(fake.seen) == before + 1
            assert error_of(interface, response.content)
            assert not HEALTHY & reasons_of(response.content)
            assert client.records[-1].end is End.FAILED


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_every_failure_before_the_first_word_falls_back(interface, how):
    """A role, a start, a ping are no answer: the next model's is whole and alone."""
    async with fake_upstream() as fake, gateway(fake) as client:
        for after in (1,) if interface is Interface.CHAT else (1, 2):
            forget(client)

            async def first_fails(seen, writer, after=after):
                failing = "sonnet" in seen.fields["model"]
                return await (cut(after, how) if failing else good)(seen, writer)

            fake.play = first_fails
            body = ask(interface, "kilo-auto/frontier", stream=True)
            response = await client.post(PATHS[interface], json=body)
            assert client.records[-1].unit.model == "anthropic/claude-opus-4.7"
            check_ended(interface, response.content)
            assert not error_of(interface, response.content)
            answer = [raw for raw, data in sse.events(response.content) if data]
            assert b"sonnet" not in b"".join(answer)


HEALTHY = {"stop", "tool_calls", "end_turn", "tool_use", "completed"}


def reasons_of(stream: bytes) -> set[str]:
    """Return every word that could say how a stream ended."""
    found = re.findall(r'"(?:finish_reason|stop_reason|status)": ?"(\w+)"', stream.decode())
    return set(found)


# The time of a request in all.


async def lively(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Say something again and again, and never come to an end."""
    writer.write(head(200, "text/event-stream"))
    first = next(e for e in events_of(seen) if b"delta" in e and b"simulated" in e)
    while not seen.left.is_set():
        writer.write(chunk(first))
        await writer.drain()
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_attempts_that_hang_end_together_and_are_told_as_a_timeout(interface, stream):
    waits = QUICK | {"first_byte_s": 0.4, "reply_s": 0.4, "total_s": 0.6}
    async with fake_upstream() as fake, gateway(fake, timeouts=waits) as client:
        fake.play = hang
        began = time.monotonic()
        body = ask(interface, "kilo-auto/frontier", stream=stream)
        response = await client.post(PATHS[interface], json=body)
        assert response.status_code == 504
        assert "no model answered in 0.6 s" in check_error(interface, response)["message"]
        assert time.monotonic() - began < 3
        assert len(fake.seen) == 2, "the third is not tried when the time is over"
        assert client.records[-1].end is End.FAILED
        assert len(client.records[-1].failures) == 2


@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_stream_that_never_ends_is_cut_when_the_time_is_over(interface):
    async with fake_upstream() as fake, gateway(fake, timeouts=QUICK | {"total_s": 0.8}) as client:
        fake.play = lively
        body = ask(interface, "kilo-auto/frontier", stream=True)
        response = await client.post(PATHS[interface], json=body)
        assert response.status_code == 200
        check_ended(interface, response.content)
        assert "total_s" in error_of(interface, response.content)
        await asyncio.wait_for(fake.seen[0].left.wait(), 2)
        assert len(fake.seen) == 1


@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_stream_that_makes_progress_may_take_longer_than_its_beginning(interface):
    """The limits of an answer's beginning are over long before its end."""

    async def slowly(seen, writer):
        events = events_of(seen)
        writer.write(head(200, "text/event-stream"))
        for event in events:
            writer.write(chunk(event))
            await asyncio.sleep(2 / len(events))
        writer.write(b"0\r\n\r\n")
        return True

    waits = {"connect_s": 1.0, "first_byte_s": 1.2, "reply_s": 1.2, "idle_s": 1.5}
    async with fake_upstream() as fake, gateway(fake, timeouts=waits) as client:
        fake.play = slowly
        response = await client.post(PATHS[interface], json=ask(interface, MODEL, stream=True))
        check_ended(interface, response.content)
        assert not error_of(interface, response.content)


@pytest.mark.parametrize("directive", ["no_finish", "no_finish; tool=t"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_an_answer_without_its_formats_own_end_is_given_none(interface, directive):
    """Whether it was whole nobody said: no reason to stop is invented, and an error is told."""

    async def unfinished(seen, writer):
        seen.headers["x-simulate"] = directive
        return await streams(events_of(seen))(seen, writer)

    tool = {"name": "t", "type": "function", "function": {"name": "t"}}
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = unfinished
        body = ask(interface, MODEL, stream=True) | {"tools": [tool]}
        response = await client.post(PATHS[interface], json=body)
        check_ended(interface, response.content)
        assert error_of(interface, response.content)
        assert not (HEALTHY - {"completed"}) & reasons_of(response.content)
        assert client.records[-1].end is End.FAILED


async def test_done_without_a_finish_reason_gets_one():
    async def play(seen, writer):
        keep = [e for e in events_of(seen) if b'"finish_reason":"' not in e]
        return await streams(keep)(seen, writer)

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = play
        body = ask(Interface.CHAT, MODEL, stream=True)
        response = await client.post(PATHS[Interface.CHAT], json=body)
        check_ended(Interface.CHAT, response.content)
        assert not error_of(Interface.CHAT, response.content)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_providers_own_4xx_about_the_request_comes_back_verbatim(interface, status, stream):
    error = b'{"type":"error", "error": {"message":"no role","type":"invalid_request_error"}}'
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(status, error)
        body = ask(interface, "kilo-auto/frontier", stream=stream)
        response = await client.post(PATHS[interface], json=body)
        assert (response.status_code, response.content) == (status, error)
        assert len(fake.seen) == 1


async def test_a_model_in_penalty_is_not_called_for_its_time():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(429, ERROR, "retry-after: 30")
        body = ask(Interface.CHAT, MODEL)
        await client.post(PATHS[Interface.CHAT], json=body)
        fake.play = good
        response = await client.post(PATHS[Interface.CHAT], json=body)
        assert response.status_code == 429
        assert 28 <= int(response.headers["retry-after"]) <= 30
        assert len(fake.seen) == 1
        other = await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, "z-ai/glm-5.1"))
        assert other.status_code == 200


@pytest.mark.parametrize("when", ["before the first byte", "mid-stream", "not streamed"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_client_that_leaves_cancels_the_upstream_at_once(interface, when):
    async def endless(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if when == "mid-stream":
            begun = b"".join(events_of(seen)[:5])
            writer.write(head(200, "text/event-stream") + chunk(begun))
        await asyncio.wait_for(seen.left.wait(), 2)
        return False

    slow = {"first_byte_s": 30, "reply_s": 30, "idle_s": 30}
    async with fake_upstream() as fake, gateway(fake, timeouts=slow) as client:
        fake.play = endless
        body = json.dumps(ask(interface, MODEL, stream=when != "not streamed")).encode()
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        request = f"POST {PATHS[interface]} HTTP/1.1\r\nhost: localhost\r\n"
        writer.write(request.encode() + b"content-length: %d\r\n\r\n%s" % (len(body), body))
        if when == "mid-stream":
            await reader.readuntil(b"\r\n\r\n")
        await fake.arrived.wait()
        writer.close()
        await asyncio.wait_for(fake.seen[0].left.wait(), 1)
        assert len(fake.seen) == 1


async def test_a_slow_reader_slows_the_upstream_and_grows_no_memory():
    """The upstream can send no more than the buffers between it and the client hold."""
    sent = 0

    async def flood(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(head(200, "text/event-stream"))
        event = chunk(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 60_000))
        while not seen.left.is_set():
            writer.write(event)
            await writer.drain()
            sent += len(event)
            await asyncio.sleep(0)
        return False

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = flood
        body = json.dumps(ask(Interface.CHAT, MODEL, stream=True)).encode()
        reader, writer = await asyncio.open_connection(
            client.base_url.host, client.base_url.port, limit=1000
        )
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
        last = -1
        while sent != last:
            last = sent
            await asyncio.sleep(0.15)
        assert 0 < sent < 20_000_000
        writer.transport.abort()


async def test_usage_is_read_on_the_way():
    async with fake_upstream() as fake, gateway(fake) as client:
        for interface in FORMATS:
            for stream in (False, True):
                body = ask(interface, MODEL, stream=stream)
                await client.post(PATHS[interface], json=body)
                usage = client.records[-1].usage
                assert usage.input_tokens > 5, (interface, stream)
                assert usage.output_tokens > 20, (interface, stream)


@pytest.mark.parametrize("asked", [{}, {"usage": {"include": True}}], ids=["not asked", "asked"])
async def test_usage_events_reach_only_clients_that_asked_and_name_cached_tokens(asked):
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}\n\n'

    async def play(seen, writer):
        assert seen.fields["stream_options"] == {"include_usage": True}
        events = [e for e in events_of(seen) if b'"usage"' not in e]
        return await streams([*events[:-1], usage, events[-1]])(seen, writer)

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = play
        body = ask(Interface.CHAT, "kilo-auto/frontier", stream=True) | asked
        response = await client.post(PATHS[Interface.CHAT], json=body)
        found = [e for e in event_data(response.content) if "usage" in e]
        assert len(found) == bool(asked)
        if asked:
            assert found[0]["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
        assert client.records[-1].usage.input_tokens == 9
