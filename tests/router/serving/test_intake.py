"""What one request costs is bounded: its values, its bytes, and the time of everybody else."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Busy, TooSlow
from router.providers.large import LARGE_BYTES
from router.serving.asgi import read_body
from router.serving.room import Room, Share
from router.settings import RequestLimits
from router.values import Interface
from router.wire.json_text import holds_more_values
from tests.gateway_rig import PATHS, ask, fake_upstream, gateway, good, replies
from tests.growth import assert_linear

CHAT = Interface.CHAT
PATIENT = {"first_byte_s": 60, "reply_s": 60}
ANSWER = b'{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}]}'
TEXT = st.text(st.sampled_from('\\",:[]{}a1 \n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def count(value):
    """Count values and keys."""
    match value:
        case dict():
            return 1 + sum(1 + count(part) for part in value.values())
        case list():
            return 1 + sum(map(count, value))
    return 1


def containers(value):
    match value:
        case dict():
            return 1 + sum(map(containers, value.values()))
        case list():
            return 1 + sum(map(containers, value))
    return 0


@given(VALUES, st.integers(0, 60))
def test_values_are_counted_outside_of_texts(value, most):
    """An empty container counts for two at most, and no text for more than itself."""
    body = json.dumps(value, separators=(",", ":")).encode()
    if holds_more_values(body, most):
        assert count(value) + containers(value) > most
    else:
        assert count(value) <= max(most, len(body) // 2) + 1


def test_a_text_full_of_marks_is_one_value():
    body = json.dumps({"content": ',:[{\\"' * 100_000, "more": ["\\", '"', ","] * 10}).encode()
    assert not holds_more_values(body, 100)
    assert holds_more_values(body, 20)


@pytest.mark.parametrize("filler", [b"[],", b'"\\\\\\"",', b"{},", b'",",', b"1,"])
def test_values_are_counted_in_time_that_grows_with_the_body(filler):
    assert_linear(
        lambda body: holds_more_values(body, len(body) // 3),
        lambda n: b"[%b0]" % (filler * n),
        40_000,
    )


@pytest.mark.parametrize("interface", list(Interface))
async def test_a_small_body_of_many_values_is_refused_in_the_clients_format(interface):
    fields = ask(interface, "a/b") | {"x": 1}
    bomb = json.dumps(fields).encode().replace(b'"x": 1', b'"x":[%b[]]' % (b"[]," * 3_000_000))
    async with fake_upstream() as fake, gateway(fake) as client:
        reply = await client.post(
            PATHS[interface],
            content=gzip.compress(bomb),
            headers={"content-encoding": "gzip"},
            timeout=60,
        )
        assert reply.status_code == 413
        assert "1,000,000 JSON values" in reply.json()["error"]["message"]
        assert not fake.seen
        room = client.app.state.gateway.intake.room
        assert room.held_bytes == 0


@pytest.mark.parametrize(
    "body",
    [
        lambda: ask(CHAT, "a/b") | {"x": [{"model": {"model": [0] * 9}}] * 20_000},
        lambda: ask(CHAT, "a/b", text="<system-reminder></system-reminder>" * 60_000),
        lambda: ask(CHAT, "a/b") | {"messages": [{"role": "user", "content": "a"}] * 50_000},
        lambda: ask(CHAT, "a/b", text="a\u00e9\U0001f600" * 300_000),
        lambda: ask(CHAT, "a/b") | {"metadata": {str(n): "\ud83d" for n in range(60_000)}},
    ],
    ids=["models", "blocks", "turns", "text", "halves"],
)
async def test_others_are_served_while_a_large_body_is_read(body):
    """A look at the gateway's health waits for one step of the work at most."""
    raw = json.dumps(body()).encode()
    assert len(raw) > LARGE_BYTES
    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        fake.play = replies(200, ANSWER)
        worst_s, done = 0.0, asyncio.Event()

        async def look() -> None:
            nonlocal worst_s
            while not done.is_set():
                began = time.monotonic()
                assert (await client.get("/healthz", timeout=60)).status_code == 200
                worst_s = max(worst_s, time.monotonic() - began)

        looking = asyncio.create_task(look())
        began = time.monotonic()
        reply = await client.post(PATHS[CHAT], content=raw, timeout=120)
        took_s = time.monotonic() - began
        done.set()
        await looking
        assert reply.status_code == 200, reply.text
        assert fake.seen[0].fields == json.loads(raw)
        assert worst_s < max(0.5, took_s / 2)


# Room.


async def test_a_body_takes_room_until_its_answer_begins():
    async with fake_upstream() as fake, gateway(fake) as client:
        room, held = client.app.state.gateway.intake.room, []

        async def play(seen, writer):
            held.append(room.held_bytes)
            return await good(seen, writer)

        fake.play = play
        for stream in (False, True):
            for size in (10, 2 * LARGE_BYTES):
                body = json.dumps(ask(CHAT, "a/b", stream=stream, text="x" * size)).encode()
                reply = await client.post(
                    PATHS[CHAT], content=gzip.compress(body), headers={"content-encoding": "gzip"}
                )
                assert reply.status_code == 200
                assert held.pop() == len(body)
                assert room.held_bytes == 0
        assert client.records[-1].body_bytes == len(body)
        fake.play = replies(400, b"{}")
        for path in (PATHS[CHAT], "/v1/route"):
            await client.post(path, json=ask(CHAT, "a/b"))
            await client.post(path, content=b"{")
            assert room.held_bytes == 0


@pytest.mark.parametrize("interface", list(Interface))
async def test_a_body_that_finds_no_room_is_told_to_come_back(interface):
    limits = {"held_bytes": 1 << 20, "wait_s": 0.05}
    async with fake_upstream() as fake, gateway(fake, requests=limits) as client:
        gate = asyncio.Event()

        async def play(seen, writer):
            await gate.wait()
            return await good(seen, writer)

        fake.play = play
        large = ask(interface, "a/b", text="x" * 400_000)
        first = asyncio.create_task(client.post(PATHS[interface], json=large))
        await fake.arrived.wait()
        told = await client.post(PATHS[interface], json=large)
        assert told.status_code == 503
        assert int(told.headers["retry-after"]) >= 1
        assert "busy" in told.json()["error"]["message"]
        small = asyncio.create_task(client.post(PATHS[interface], json=ask(interface, "a/b")))
        while len(fake.seen) < 2:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.005)
        gate.set()
        assert (await first).status_code == (await small).status_code == 200
        assert client.app.state.gateway.intake.room.held_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3 * LARGE_BYTES)), max_size=20))
async def test_no_more_is_held_than_there_is_room_for_but_by_one_alone(steps):
    size = 4 * LARGE_BYTES
    room = Room(size, 0.0)
    shares, held = [Share(room) for _ in range(4)], [0] * 4
    for who, more in steps:
        others = sum(held) - held[who]
        try:
            await shares[who].grow(more)
        except Busy:
            assert others
            shares[who].give_back()
            held[who] = 0
            continue
        held[who] += more
        allowed = size if held[who] <= LARGE_BYTES else size // 2
        assert not others or not more or sum(held) <= allowed
        assert room.held_bytes == sum(held)


async def test_who_waits_goes_on_when_there_is_room():
    room = Room(1000, 5.0)
    first, second = Share(room), Share(room)
    await first.grow(900)
    waiting = asyncio.create_task(second.grow(200))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.give_back()
    await waiting
    assert room.held_bytes == 200


async def test_who_waits_goes_on_when_another_takes_less():
    room = Room(1000, 5.0)
    first, second = Share(room), Share(room)
    await first.grow(900)
    waiting = asyncio.create_task(second.grow(200))
    await asyncio.sleep(0)
    await first.grow(-500)
    await waiting
    assert room.held_bytes == 600


def sent(*pieces: bytes):
    """Return a sender that falls silent after its pieces."""
    left = list(pieces)

    async def receive():
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    return receive


@pytest.mark.parametrize("first", [b"", b"x", b"x" * (8 << 20)], ids=len)
async def test_a_fast_beginning_earns_no_silence_after_it(first):
    limits = RequestLimits(body_s=0.2)
    began = time.monotonic()
    with pytest.raises(TooSlow):
        await read_body(sent(first), {}, limits, Share(Room(64 << 20, 1.0)))
    assert time.monotonic() - began < 5.0


async def test_a_body_that_keeps_its_pace_may_take_long():
    pieces = [b"x" * (32 << 10)] * 8

    async def receive():
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    limits = RequestLimits(body_s=0.5)
    assert len(await read_body(receive, {}, limits, Share(Room(64 << 20, 1.0)))) == 8 * (32 << 10)


async def test_senders_that_fall_silent_keep_no_room_from_others():
    """However many take it all: each that waits has one of them give way."""
    limits = {"held_bytes": 4 << 20, "wait_s": 2.0, "body_s": 60.0}
    async with fake_upstream() as fake, gateway(fake, requests=limits) as client:
        fake.play = replies(200, ANSWER)
        url, held = client.base_url, []
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\r\n"
        room = client.app.state.gateway.intake.room
        for _ in range(4):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(head + b" " * (500 << 10))
            await writer.drain()
            held.append(writer)
        while room.held_bytes < 2_000_000:  # noqa: ASYNC110 - a number has no event
            await asyncio.sleep(0.005)
        large = ask(CHAT, "a/b", text="x" * 400_000)
        reply = await client.post(PATHS[CHAT], json=large, timeout=30)
        for writer in held:
            writer.close()
    assert reply.status_code == 200, reply.text


async def test_a_body_that_waits_for_room_holds_up_no_other_large_one():
    limits = {"held_bytes": 4 << 20, "wait_s": 5.0}
    async with fake_upstream() as fake, gateway(fake, requests=limits) as client:
        fake.play = replies(200, ANSWER)
        gate = client.app.state.gateway.intake
        other = Share(gate.room)
        await other.grow(1 << 20)
        packed = gzip.compress(json.dumps(ask(CHAT, "a/b", text="x" * (3 << 20))).encode())
        headers = {"content-encoding": "gzip"}
        waits = asyncio.create_task(
            client.post(PATHS[CHAT], content=packed, headers=headers, timeout=30)
        )
        large = ask(CHAT, "a/b", text="x" * 400_000)
        reply = await client.post(PATHS[CHAT], json=large, timeout=30)
        assert reply.status_code == 200, reply.text
        assert not waits.done()
        other.give_back()
        assert (await waits).status_code == 200
        assert gate.room.held_bytes == 0
