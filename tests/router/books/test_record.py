"""The record of a request: told once at every end, and no text of anybody's in it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json

import httpx
import pytest

from router.books.record import End, Record
from router.values import Interface, Move, Unit
from tests.gateway_rig import (
    PATHS,
    StubEngine,
    ask,
    chunk,
    events_of,
    fake_upstream,
    gateway,
    head,
    replies,
)

CHAT = Interface.CHAT
MODEL, EFFICIENT = "z-ai/glm-5", "kilo-auto/efficient"
PROMPT, TOLD = "my most private question", "an error text of the upstream's"
ERROR = json.dumps({"error": {"message": TOLD, "type": "x", "code": "y"}}).encode()
every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)
whole_or_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def the(client) -> Record:
    """Return the one record there is, which holds no text of anybody's."""
    [record] = client.records
    check_bare(record)
    if record.workings is not None:
        check_bare(record.workings().made.decode())
    assert 0 <= (record.first_s or 0) <= record.total_s
    return record


def check_bare(value) -> None:
    """Walk a record: plain small values all the way down, none of them what somebody wrote."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != "workings":
                check_bare(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            check_bare(part)
    else:
        assert value is None or isinstance(value, str | int | float), value
        for said in (PROMPT, "private", TOLD, "simulated reply"):
            assert said not in str(value)


async def settled(client) -> Record:
    """Wait for a record whose client does not, and for one more that must not come."""
    while not client.records:  # noqa: ASYNC110 - the books tell nobody
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    return the(client)


async def post(client, interface=CHAT, model=MODEL, *, stream=False, headers=None):
    body = ask(interface, model, stream=stream, text=PROMPT)
    return await client.post(PATHS[interface], json=body, headers=headers)


async def leave(client, fake, body: bytes, *, length=None, until=b"") -> None:
    """Send a request, wait until the upstream or the client has seen of it, and hang up."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(f"POST {PATHS[CHAT]} HTTP/1.1\r\nhost: localhost\r\n".encode())
    writer.write(b"content-length: %d\r\n\r\n%s" % (length or len(body), body))
    if until:
        await reader.readuntil(until)
    elif length is None:
        await fake.arrived.wait()
    else:
        await asyncio.sleep(0.05)
    writer.close()


# Served.


@whole_or_streamed
@every_format
async def test_an_answer_is_recorded_with_who_gave_it_why_and_for_how_much(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        headers = {"x-session-id": "s", "x-kilocode-mode": "plan"}
        answer = await post(client, interface, EFFICIENT, stream=stream, headers=headers)
        record = the(client)
        assert (record.end, record.status, record.error) == (End.SERVED, 200, None)
        assert record.decision_id == answer.headers["x-auto-decision-id"]
        assert (record.interface, record.streams, record.asked_model) == (
            interface, stream, EFFICIENT
        )  # fmt: skip
        assert (record.caller, record.anonymous, record.mode) == ("owner", False, "plan")
        assert (record.tier, record.unit) == (EFFICIENT, StubEngine.unit)
        assert (record.provider, record.move) == ("upstream", Move.BEGIN)
        assert (record.expected_quality, record.expected_cost_usd) == (0.9, 0.1)
        assert record.usage.output_tokens > 20
        assert record.usd > 0
        assert record.body_bytes > len(PROMPT)
        assert record.first_s > 0
        assert record.session not in (None, "s")
        assert record.failures == ()


async def test_the_attempts_before_an_answer_are_recorded_in_order():
    async with fake_upstream() as fake, gateway(fake) as client:

        async def second(seen, writer):
            said = {"message": {"content": "yes"}, "finish_reason": "stop"}
            good = {"choices": [said], "usage": {"prompt_tokens": 1}}
            failing = "sonnet" in seen.fields["model"]
            play = replies(429, ERROR) if failing else replies(200, json.dumps(good).encode())
            return await play(seen, writer)

        fake.play = second
        await post(client, model="kilo-auto/frontier")
        record = the(client)
        [failure] = record.failures
        assert record.end is End.SERVED
        assert (failure.unit.model, failure.status) == ("anthropic/claude-sonnet-4.6", 429)
        assert record.unit == Unit("anthropic/claude-opus-4.7", "medium")


# Refused.


async def test_a_body_that_cannot_be_read_is_recorded():
    async with gateway() as client:
        answer = await client.post(PATHS[Interface.MESSAGES], content=PROMPT.encode())
        record = the(client)
        assert answer.status_code == record.status == 400
        assert (record.end, record.error) == (End.REFUSED, "invalid_request")
        assert (record.interface, record.caller) == (Interface.MESSAGES, "owner")
        assert (record.asked_model, record.session, record.unit, record.usage) == (None,) * 4


async def test_a_key_that_is_not_known_is_recorded_without_it():
    sha256 = hashlib.sha256(b"good").hexdigest()
    async with gateway(callers=[{"name": "anna", "sha256": sha256}]) as client:
        answer = await post(client, headers={"x-api-key": "private-key"})
        record = the(client)
        assert answer.status_code == record.status == 401
        assert (record.end, record.error) == (End.REFUSED, "invalid_api_key")
        assert record.caller is None


async def test_a_wish_that_cannot_be_read_is_recorded():
    async with gateway() as client:
        await post(client, headers={"x-auto-dial": "private"})
        record = the(client)
        assert (record.end, record.status, record.error) == (End.REFUSED, 400, "invalid_request")


async def test_a_model_that_nobody_serves_is_recorded_with_its_plan():
    environ = {"OPENAI_API_KEY": "k"}
    transport = httpx.MockTransport(lambda request: httpx.Response(500))
    async with gateway(environ=environ, transport=transport) as client:
        answer = await post(client)
        record = the(client)
        assert answer.status_code == record.status == 404
        assert (record.end, record.error) == (End.REFUSED, "model_not_found")
        assert (record.asked_model, record.tier) == (MODEL, None)
        assert record.why == f"{MODEL} was asked for by name."
        assert record.unit is None


@whole_or_streamed
async def test_what_the_upstream_refuses_verbatim_is_recorded_as_refused(stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(400, ERROR)
        answer = await post(client, stream=stream)
        assert answer.content == ERROR
        record = the(client)
        assert (record.end, record.status, record.error) == (End.REFUSED, 400, None)
        assert (record.unit, record.provider) == (Unit(MODEL), "upstream")
        assert record.usage is None
        assert record.usd is None


# Failed.


@whole_or_streamed
async def test_when_nobody_can_answer_every_failure_is_recorded(stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(500, ERROR)
        answer = await post(client, model="kilo-auto/frontier", stream=stream)
        record = the(client)
        assert answer.status_code == record.status == 502
        assert (record.end, record.error) == (End.FAILED, "upstream_error")
        assert [failure.status for failure in record.failures] == [500, 500]
        assert (record.tier, record.unit) == ("kilo-auto/frontier", None)
        assert record.first_s is None


@every_format
async def test_a_stream_that_breaks_is_recorded_as_failed(interface):
    async def broken(seen, writer):
        writer.write(head(200, "text/event-stream") + chunk(b"".join(events_of(seen)[:6])))
        await writer.drain()
        writer.transport.abort()

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = broken
        await post(client, interface, stream=True)
        record = the(client)
        assert (record.end, record.status) == (End.FAILED, 200)
        assert record.unit == Unit(MODEL)


async def test_a_failure_of_our_own_is_recorded():
    async with gateway() as client:
        client.app.state.gateway.choose = None
        answer = await post(client)
        record = the(client)
        assert answer.status_code == record.status == 500
        assert (record.end, record.error) == (End.FAILED, "internal_error")


# Left.


async def hang(seen, writer):
    await seen.left.wait()


async def begin(seen, writer):
    writer.write(head(200, "text/event-stream") + chunk(b"".join(events_of(seen)[:3])))
    await seen.left.wait()


PATIENT = {"first_byte_s": 30, "reply_s": 30, "idle_s": 30}


async def test_a_client_that_leaves_before_its_body_is_here_is_recorded():
    async with fake_upstream() as fake, gateway(fake) as client:
        await leave(client, fake, b'{"model": ', length=500)
        record = await settled(client)
        assert (record.end, record.status, record.error) == (End.LEFT, None, None)
        assert (record.caller, record.streams) == ("owner", None)


@whole_or_streamed
async def test_a_client_that_leaves_before_the_answer_is_recorded(stream):
    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        fake.play = hang
        body = ask(CHAT, EFFICIENT, stream=stream, text=PROMPT)
        await leave(client, fake, json.dumps(body).encode())
        record = await settled(client)
        assert (record.end, record.status, record.error) == (End.LEFT, None, None)
        assert (record.tier, record.move, record.unit) == (EFFICIENT, Move.BEGIN, None)


async def test_a_client_that_leaves_during_the_answer_is_recorded():
    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        fake.play = begin
        body = ask(CHAT, EFFICIENT, stream=True, text=PROMPT)
        await leave(client, fake, json.dumps(body).encode(), until=b"data: ")
        record = await settled(client)
        assert (record.end, record.status, record.error) == (End.LEFT, 200, None)
        assert record.unit == StubEngine.unit
        assert record.first_s is not None


# Nothing else.


async def test_what_asks_for_no_answer_leaves_no_record():
    async with gateway() as client:
        await client.post("/v1/route", json=ask(CHAT, EFFICIENT))
        await client.post("/v1/messages/count_tokens", json=ask(Interface.MESSAGES, MODEL))
        await client.get("/v1/models")
        await client.post("/v1/nothing", json={})
        assert not client.records


async def test_a_record_is_small_whatever_the_request():
    async with fake_upstream() as fake, gateway(fake) as client:
        body = ask(CHAT, MODEL, text=PROMPT * 10_000) | {"model": "m" * 10_000}
        await client.post(PATHS[CHAT], json=body, headers={"x-kilocode-mode": "x" * 10_000})
        assert len(repr(the(client))) < 4_000
