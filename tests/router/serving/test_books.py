"""A gateway keeps its books: a row at every end, in every format, and the dollars in its replies."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from router.books.record import End, as_row
from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.storage.database import file_url, open_database
from router.storage.schema import hours, workings
from router.values import Interface
from tests.books_rig import n_rows, rows_of
from tests.gateway_rig import (
    PATHS,
    ask,
    chunk,
    event_data,
    events_of,
    fake_upstream,
    gateway,
    head,
    replies,
    streams,
)
from tests.services import soon

CHAT, MODEL, EFFICIENT = Interface.CHAT, "z-ai/glm-5", "kilo-auto/efficient"
every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)
whole_or_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PATIENT = {"first_byte_s": 30, "reply_s": 30, "idle_s": 30}


@asynccontextmanager
async def keeping(tmp_path, fake=None, **options):
    """Run a gateway with books; yield its client and the database."""
    async with gateway(fake, state_dir=tmp_path, **options) as client:
        yield client, client.app.state.gateway.books.database


async def the_row(database):
    await soon(lambda: n_rows(database), 5)
    [row] = rows_of(database)
    return row


async def post(client, interface, *, stream=False, model=EFFICIENT, **headers):
    body = ask(interface, model, stream=stream)
    return await client.post(PATHS[interface], json=body, headers=headers)


# A row at every end.


@whole_or_streamed
@every_format
async def test_what_is_served_is_a_row(interface, stream, tmp_path):
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, database):
        answer = await post(
            client, interface, stream=stream, **{"x-claude-code-agent-type": "explore"}
        )
        row = await the_row(database)
        assert (row["end"], row["status"]) == (End.SERVED, 200)
        assert (row["interface"], row["streams"]) == (interface, stream)
        assert row["decision_id"] == answer.headers["x-auto-decision-id"]
        assert row["agent"] == "explore"
        assert row["frontier_usd"] > 0
        assert row["usd"] > 0
        assert row["saved_usd"] == pytest.approx(row["frontier_usd"] - row["usd"])
        [told] = client.records
        assert as_row(told).items() <= row.items()
        assert n_rows(database, workings) == 1
        assert [one["served"] for one in rows_of(database, hours)] == [1]


@whole_or_streamed
@every_format
async def test_what_is_refused_is_a_row(interface, stream, tmp_path):
    async with keeping(tmp_path) as (client, database):
        body = json.dumps(ask(interface, "nobody/\ud800\0", stream=stream))
        answer = await client.post(PATHS[interface], content=body)
        row = await the_row(database)
        assert (row["end"], row["status"]) == (End.REFUSED, answer.status_code)
        assert (row["interface"], row["model"], row["usd"]) == (interface, None, None)


@whole_or_streamed
@every_format
async def test_what_fails_is_a_row(interface, stream, tmp_path):
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, database):
        fake.play = replies(500, b"{}")
        await post(client, interface, stream=stream)
        row = await the_row(database)
        assert (row["end"], row["status"], row["error"]) == (End.FAILED, 502, "upstream_error")
        assert "(upstream 500, the moment)" in row["failures"]


@whole_or_streamed
@every_format
async def test_what_is_left_is_a_row(interface, stream, tmp_path):
    async def hang(seen, writer):
        await seen.left.wait()

    async with (
        fake_upstream() as fake,
        keeping(tmp_path, fake, timeouts=PATIENT) as (client, database),
    ):
        fake.play = hang
        asking = asyncio.create_task(post(client, interface, stream=stream))
        await fake.arrived.wait()
        asking.cancel()
        row = await the_row(database)
        assert (row["end"], row["status"], row["usd"]) == (End.LEFT, None, None)


async def test_a_stream_that_is_left_is_a_row(tmp_path):
    async def begin(seen, writer):
        writer.write(head(200, "text/event-stream") + chunk(b"".join(events_of(seen)[:3])))
        await seen.left.wait()

    async with (
        fake_upstream() as fake,
        keeping(tmp_path, fake, timeouts=PATIENT) as (client, database),
    ):
        fake.play = begin
        body = ask(CHAT, EFFICIENT, stream=True)
        async with client.stream("POST", PATHS[CHAT], json=body) as answer:
            async for _ in answer.aiter_bytes():
                break
        row = await the_row(database)
        assert (row["end"], row["status"]) == (End.LEFT, 200)


async def test_what_ends_as_the_gateway_stops_is_in_the_books(tmp_path):
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, _):
        await asyncio.gather(*(post(client, CHAT) for _ in range(20)))
    database = open_database(file_url(tmp_path / "books.db"))
    assert n_rows(database) == 20
    database.dispose()


async def test_a_request_whose_settling_fails_is_in_the_books(tmp_path):
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, database):
        running = client.app.state.gateway

        async def fails(passage):
            raise ConnectionError("the store is gone")

        running._settle = fails
        await post(client, CHAT)
        assert (await the_row(database))["end"] == End.SERVED


async def test_without_a_folder_nothing_is_kept():
    async with gateway() as client:
        assert client.app.state.gateway.books is None
        for path in ("/v1/generation?id=x", "/v1/decisions/x", "/v1/export/requests"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert "state_dir" in answer.json()["error"]["message"]


# Dollars in replies.


def costs_in(data: bytes) -> list[float]:
    """Return the costs that a stream tells."""
    found = []
    for event in event_data(data):
        held = event if isinstance(event, dict) else {}
        for usage in (held.get("usage"), (held.get("response") or {}).get("usage")):
            if isinstance(usage, dict) and "cost" in usage:
                found.append(usage["cost"])
    return found


def asked_with_usage(interface, *, stream):
    body = ask(interface, EFFICIENT, stream=stream)
    wants = stream and interface is CHAT
    return body | ({"stream_options": {"include_usage": True}} if wants else {})


@every_format
async def test_a_reply_and_a_stream_tell_what_they_cost(interface, tmp_path):
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, database):
        whole = await client.post(PATHS[interface], json=asked_with_usage(interface, stream=False))
        streamed = await client.post(
            PATHS[interface], json=asked_with_usage(interface, stream=True)
        )
        await soon(lambda: n_rows(database) == 2, 5)
        first, second = rows_of(database)
        assert whole.json()["usage"]["cost"] == pytest.approx(first["usd"])
        assert float(whole.headers["x-auto-cost-usd"]) == pytest.approx(first["usd"], abs=1e-8)
        assert float(whole.headers["x-auto-saved-usd"]) == pytest.approx(
            first["saved_usd"], abs=1e-8
        )
        assert costs_in(streamed.content) == [pytest.approx(second["usd"])]


@every_format
async def test_only_the_event_that_tells_the_usage_changes(interface):
    sent, told = [], {}
    async with fake_upstream() as fake:

        async def play(seen, writer):
            sent[:] = events_of(seen)
            return await streams(sent)(seen, writer)

        fake.play = play
        for on in (True, False):
            async with gateway(fake, reply_cost=on) as client:
                body = asked_with_usage(interface, stream=True)
                answer = await client.post(PATHS[interface], json=body)
                told[on] = answer.content
                expected = b"".join(sent)
                if not on:
                    assert told[on] == expected
    kept = told[False].split(b"\n\n")
    changed = [i for i, raw in enumerate(told[True].split(b"\n\n")) if raw != kept[i]]
    assert len(changed) == 1
    assert b'"cost":' in told[True].split(b"\n\n")[changed[0]]


@every_format
async def test_switched_off_a_reply_is_byte_for_byte_as_it_came(interface):
    async with fake_upstream() as fake, gateway(fake, reply_cost=False) as client:
        sent = []

        async def play(seen, writer):
            fields = WRITERS[seen.interface].whole(make_answer(seen.fields, seen.interface))
            sent.append(json.dumps(fields, indent=1).encode())
            return await replies(200, sent[0])(seen, writer)

        fake.play = play
        answer = await post(client, interface)
        assert answer.content == sent[0]


async def test_the_providers_own_word_of_the_cost_stays(tmp_path):
    said = {"message": {"content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}, "cost": 0.0625}
    body = json.dumps({"choices": [said], "usage": usage}).encode()
    async with fake_upstream() as fake, keeping(tmp_path, fake) as (client, database):
        fake.play = replies(200, body)
        answer = await post(client, CHAT)
        assert answer.content == body
        assert (await the_row(database))["usd"] == 0.0625


async def test_the_openai_sdk_reads_the_cost():
    async with fake_upstream() as fake, gateway(fake) as client:
        base = f"{client.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="any", max_retries=0) as sdk:
            said = [{"role": "user", "content": "Hello"}]
            reply = await sdk.chat.completions.create(model=EFFICIENT, messages=said)
            assert reply.usage.model_extra["cost"] > 0
            stream = await sdk.chat.completions.create(
                model=EFFICIENT,
                messages=said,
                stream=True,
                stream_options={"include_usage": True},
            )
            usages = [piece.usage async for piece in stream if piece.usage]
            assert [usage.model_extra["cost"] > 0 for usage in usages] == [True]
            response = await sdk.responses.create(model=EFFICIENT, input="Hello")
            assert response.usage.model_extra["cost"] > 0
            async with sdk.responses.stream(model=EFFICIENT, input="Hello") as events:
                final = await events.get_final_response()
            assert final.usage.model_extra["cost"] > 0


async def test_the_anthropic_sdk_reads_the_cost():
    async with (
        fake_upstream() as fake,
        gateway(fake) as client,
        anthropic.AsyncAnthropic(
            base_url=str(client.base_url), api_key="any", max_retries=0
        ) as sdk,
    ):
        asked = {
            "model": EFFICIENT,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "Hello"}],
        }
        reply = await sdk.messages.create(**asked)
        assert reply.usage.model_extra["cost"] > 0
        async with sdk.messages.stream(**asked) as events:
            deltas = [e async for e in events if e.type == "message_delta"]
        assert [delta.usage.model_extra["cost"] > 0 for delta in deltas] == [True]
