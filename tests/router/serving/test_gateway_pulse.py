"""While an upstream thinks the client of a stream is sent signs of life, and then the truth."""

from __future__ import annotations

import asyncio
import time

import pytest

from router.values import Interface
from router.wire.format import FORMATS
from tests.gateway_rig import (
    PATHS,
    QUICK,
    ask,
    check_ended,
    chunk,
    error_of,
    event_data,
    events_of,
    fake_upstream,
    gateway,
    good,
    head,
    replies,
    streams,
)

EACH = pytest.mark.parametrize("interface", list(Interface), ids=str)
MODEL = "z-ai/glm-5"
BEATING = {"connect_s": 20, "first_byte_s": 20, "reply_s": 20, "idle_s": 20, "heartbeat_s": 0.02}


async def heard(client, interface, model, beats, go) -> tuple[dict, bytes]:
    """Ask for a stream; once it has beaten so often let the upstream go on.  Return all of it."""
    beat, got = FORMATS[interface].HEARTBEAT, b""
    body = ask(interface, model, stream=True) | {"usage": {"include": True}}
    async with client.stream("POST", PATHS[interface], json=body) as response:
        async for data in response.aiter_raw():
            got += data
            if got.count(beat) >= beats:
                go.set()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    return dict(response.headers), got


def after(go: asyncio.Event, play):
    async def waits(seen, writer):
        await go.wait()
        return await play(seen, writer)

    return waits


@EACH
async def test_a_silent_wait_is_filled_and_the_answer_comes_whole(interface):
    go = asyncio.Event()
    async with fake_upstream() as fake, gateway(fake, timeouts=BEATING, reply_cost=False) as client:
        fake.play = after(go, good)
        headers, got = await heard(client, interface, "kilo-auto/frontier", 3, go)
        assert headers["x-auto-tier"] == "kilo-auto/frontier"
        assert "x-auto-model" not in headers
        assert b": x-auto-model: anthropic/claude-sonnet-4.6\n" in got
        beats = len(FORMATS[interface].HEARTBEAT)
        assert got.startswith(FORMATS[interface].HEARTBEAT)
        answer = b"".join(events_of(fake.seen[0]))
        assert got.endswith(answer)
        assert len(got) > len(answer) + 3 * beats
        assert len(fake.seen) == 1


@EACH
async def test_once_begun_the_next_model_can_still_serve(interface):
    go = asyncio.Event()

    async def play(seen, writer):
        if "sonnet" in seen.fields["model"]:
            return await after(go, replies(500, b"{}"))(seen, writer)
        return await good(seen, writer)

    async with fake_upstream() as fake, gateway(fake, timeouts=BEATING, reply_cost=False) as client:
        fake.play = play
        _, got = await heard(client, interface, "kilo-auto/frontier", 1, go)
        assert b": x-auto-model: anthropic/claude-opus-4.7\n" in got
        assert b": x-auto-fallbacks: anthropic/claude-sonnet-4.6" in got
        check_ended(interface, got)
        assert not error_of(interface, got)


@EACH
@pytest.mark.parametrize(("status", "text"), [(429, "too long"), (400, "too long")])
async def test_once_begun_a_refusal_is_an_error_event(interface, status, text):
    go = asyncio.Event()
    error = b'{"error":{"message":"the prompt is too long","code":"context_length_exceeded"}}'
    async with fake_upstream() as fake, gateway(fake, timeouts=BEATING, reply_cost=False) as client:
        fake.play = after(go, replies(status, error, "retry-after: 7"))
        _, got = await heard(client, interface, MODEL, 1, go)
        assert text in error_of(interface, got)
        assert b": retry-after: 7\n" in got
        check_ended(interface, got)
        assert not {"stop", "end_turn", "completed"} & set(str(event_data(got)).split("'"))
        if status == 400 and interface is not Interface.MESSAGES:
            assert b'"context_length_exceeded"' in got


@EACH
async def test_between_words_there_is_a_pulse_too_and_never_within_an_event(interface):
    go = asyncio.Event()

    async def play(seen, writer):
        *first, last = events_of(seen)
        writer.write(head(200, "text/event-stream") + chunk(b"".join(first) + last[:9]))
        await go.wait()
        writer.write(chunk(last[9:]) + b"0\r\n\r\n")
        return True

    async with fake_upstream() as fake, gateway(fake, timeouts=BEATING, reply_cost=False) as client:
        fake.play = play
        _, got = await heard(client, interface, MODEL, 3, go)
        ping = {"type": "ping"}
        said = [event for event in event_data(got) if event != ping]
        sent = event_data(b"".join(events_of(fake.seen[0])))
        assert said == [event for event in sent if event != ping]


async def test_a_whole_reply_has_no_pulse():
    async with (
        fake_upstream() as fake,
        gateway(fake, timeouts=BEATING | {"reply_s": 0.2}) as client,
    ):
        fake.play = after(asyncio.Event(), good)
        body = ask(Interface.CHAT, MODEL)
        response = await client.post(PATHS[Interface.CHAT], json=body)
        assert response.status_code == 504


@EACH
async def test_comments_of_the_upstream_renew_its_wait_and_the_client_is_told_in_time(interface):
    """The client hears within half of the wait though its own pulse is slow."""
    times = QUICK | {"reply_s": 20, "heartbeat_s": 20}

    async def play(seen, writer):
        writer.write(head(200, "text/event-stream"))
        for _ in range(8):
            writer.write(chunk(b": PROCESSING\n\n"))
            await writer.drain()
            await asyncio.sleep(times["first_byte_s"] / 4)
        for event in events_of(seen):
            writer.write(chunk(event))
        writer.write(b"0\r\n\r\n")
        return True

    async with fake_upstream() as fake, gateway(fake, timeouts=times, reply_cost=False) as client:
        fake.play = play
        _, got = await heard(client, interface, MODEL, 1, asyncio.Event())
        assert b": PROCESSING\n\n" * 8 in got
        check_ended(interface, got)
        assert len(fake.seen) == 1


async def test_comments_without_end_do_not_hold_a_client_for_ever():
    async def play(seen, writer):
        writer.write(head(200, "text/event-stream"))
        while not seen.left.is_set():
            writer.write(chunk(b": PROCESSING\n\n"))
            await writer.drain()
            await asyncio.sleep(0.05)
        return False

    async with fake_upstream() as fake, gateway(fake, timeouts=QUICK | {"reply_s": 1}) as client:
        fake.play = play
        began = time.monotonic()
        body = ask(Interface.CHAT, MODEL, stream=True)
        response = await client.post(PATHS[Interface.CHAT], json=body)
        assert "no model answered" in error_of(Interface.CHAT, response.content)
        assert 0.9 < time.monotonic() - began < 5


async def test_a_silence_amid_a_stream_is_the_idle_limit_whatever_the_first_wait_was():
    times = {"connect_s": 9, "first_byte_s": 9, "reply_s": 9, "idle_s": 0.3}

    async def play(seen, writer):
        await streams(events_of(seen)[:5], end=False)(seen, writer)
        await seen.left.wait()
        return False

    async with fake_upstream() as fake, gateway(fake, timeouts=times, reply_cost=False) as client:
        fake.play = play
        began = time.monotonic()
        body = ask(Interface.CHAT, MODEL, stream=True)
        response = await client.post(PATHS[Interface.CHAT], json=body)
        assert "silent for 0.3 s" in error_of(Interface.CHAT, response.content)
        assert time.monotonic() - began < 5
