"""Budgets, credit and rates through the API: held on every route, reserved before and settled after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from contextlib import AsyncExitStack

import httpx
import pytest

from router.callers.meters import Charge, Meter, Period, Resource
from router.callers.registry import Registry
from router.callers.seal import seal_of
from router.serving.books import BOOKS_FILE
from router.serving.routes import PREFIXES
from router.storage.database import file_url, open_database
from router.values import Interface
from tests.gateway_rig import (
    PATHS,
    ask,
    check_error,
    chunk,
    events_of,
    fake_upstream,
    gateway,
    good,
    head,
    replies,
    streams,
)
from tests.router.serving.test_replicas import served
from tests.services import redis_server, soon

MODEL = "openai/gpt-5.5"
FREE = "kilo-auto/free"
KEY = {"name": "anna", "sha256": hashlib.sha256(b"secret").hexdigest()}
ANNA = {"authorization": "Bearer secret"}
PATIENT = {"connect_s": 10.0, "first_byte_s": 20.0, "reply_s": 20.0, "idle_s": 20.0}
OUTPUT_USD = 30 / 1e6
"""A token of answer of ``MODEL``, by the catalogue."""

ANSWER = 1000
ROUTES = {
    **{path: ask(interface, MODEL) for interface, path in PATHS.items()},
    "/v1/embeddings": {"model": "openai/text-embedding-3-small", "input": "Hello"},
    "/v1/completions": {"model": "openai/gpt-3.5-turbo-instruct", "prompt": "Hello"},
}


TOKENS = {"tokens_per_minute": 10**6}


def monthly(usd: float) -> dict:
    return {"budgets": [{"usd": usd, "per": "month"}]}


def body(model=MODEL, **more):
    return ask(Interface.CHAT, model) | {"max_tokens": ANSWER} | more


async def chat(client, model=MODEL, headers=ANNA, **more):
    return await client.post(PATHS[Interface.CHAT], json=body(model, **more), headers=headers)


async def meter(client, account="key:anna", period=Period.MONTH, resource=Resource.USD):
    running = client.app.state.gateway
    charge = Charge(account, Meter(resource, period, 1e9))
    (reading,) = await running.stores.accounts.readings((charge,), running.now_s())
    return reading


async def settled(client, account="key:anna"):
    """Wait until nothing is held, and return what was spent."""
    for _ in range(400):
        reading = await meter(client, account)
        if reading.held < 1e-12:
            return reading.spent
        await asyncio.sleep(0.005)
    raise AssertionError(f"{reading.held} is still held")


# Reserved up front.


async def at_once(clients, fake, n=100, headers=ANNA) -> list[int]:
    """Ask all at once, while the upstream holds its answers until the others are refused."""
    release = asyncio.Event()

    async def held(seen, writer):
        await release.wait()
        return await good(seen, writer)

    fake.play = held
    asked = {
        asyncio.create_task(chat(clients[i % len(clients)], headers=headers)) for i in range(n)
    }
    waiting = asked
    while len(waiting) > 11:
        _, waiting = await asyncio.wait(waiting, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    await soon(lambda: len(fake.seen) >= len(waiting), 10)
    release.set()
    return [(await task).status_code for task in asked]


ROOM = 10.0 * OUTPUT_USD * ANSWER


async def test_with_room_for_ten_of_a_hundred_at_once_at_most_eleven_are_asked():
    limits = {"callers": [KEY | monthly(ROOM)], "timeouts": PATIENT}
    async with fake_upstream() as fake, gateway(fake, **limits) as client:
        client.timeout = 30
        said = await at_once([client], fake)
        assert len(fake.seen) == said.count(200) in (10, 11)
        assert said.count(402) == 100 - len(fake.seen)
        assert await settled(client) == pytest.approx(sum(r.usd for r in client.records if r.usd))


@pytest.mark.parametrize(
    ("path", "asked", "n"),
    [
        (PATHS[Interface.CHAT], ask(Interface.CHAT, MODEL) | {"n": 8}, 8),
        ("/v1/completions", ROUTES["/v1/completions"] | {"n": 2, "best_of": 8}, 8),
        ("/v1/completions", ROUTES["/v1/completions"] | {"prompt": ["a", "b"], "n": 3}, 6),
        ("/v1/completions", ROUTES["/v1/completions"] | {"prompt": [[1, 2], [3]]}, 2),
        ("/v1/completions", ROUTES["/v1/completions"] | {"prompt": [1, 2, 3]}, 1),
    ],
)
async def test_every_answer_that_is_asked_for_is_reserved(path, asked, n):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | TOKENS]) as client:
        release = asyncio.Event()

        async def held(seen, writer):
            await release.wait()
            return await good(seen, writer)

        fake.play = held
        told = asked | {"max_tokens": ANSWER}
        waits = asyncio.create_task(client.post(path, json=told, headers=ANNA))
        await fake.arrived.wait()
        reserved = (await meter(client, period=Period.MINUTE, resource=Resource.TOKENS)).held
        release.set()
        await waits
        assert n * ANSWER <= reserved < (n + 1) * ANSWER


async def test_two_gateways_on_one_file_count_together(tmp_path):
    limits = {"callers": [KEY | monthly(ROOM)], "timeouts": PATIENT, "state_dir": tmp_path}
    async with fake_upstream() as fake, gateway(fake, **limits) as a, gateway(fake, **limits) as b:
        a.timeout = b.timeout = 30
        said = await at_once([a, b], fake)
        assert len(fake.seen) == said.count(200) in (10, 11)
        spent = sum(r.usd for client in (a, b) for r in client.records if r.usd)
        assert await settled(a) == await settled(b) == pytest.approx(spent)


async def test_two_gateways_on_one_redis_count_together():
    with redis_server() as server:
        limits = {"callers": [KEY | monthly(ROOM)], "timeouts": PATIENT, "store": server.url}
        async with AsyncExitStack() as stack:
            fake = await stack.enter_async_context(fake_upstream())
            a = await stack.enter_async_context(gateway(fake, **limits))
            b = await stack.enter_async_context(gateway(fake, **limits))
            a.timeout = b.timeout = 30
            said = await at_once([a, b], fake)
            assert len(fake.seen) == said.count(200) in (10, 11)
            await soon(lambda: len(a.records) + len(b.records) == len(said), 10)
            spent = sum(r.usd for client in (a, b) for r in client.records if r.usd)
            assert await settled(a) == pytest.approx(spent)


@pytest.mark.slow
async def test_two_workers_count_together_and_one_start_shows_one_admin_key(tmp_path):
    engine = open_database(file_url(tmp_path / BOOKS_FILE))
    registry = Registry(engine, seal_of("", tmp_path))
    key = registry.create("anna", "test").key
    registry.set_terms("key:anna", monthly(ROOM), "test")
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_upstream())
        gate = served(state_dir=tmp_path, workers=2, upstream=fake.url, host="0.0.0.0")
        _, url, said = await asyncio.to_thread(gate.__enter__)
        try:
            assert "".join(said).count("sk-auto-") == 1
            base = url.replace("0.0.0.0", "127.0.0.1")
            headers = {"authorization": f"Bearer {key}"}
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=base, timeout=60, headers=headers)
                )
                for _ in range(10)
            ]
            for client in clients:
                await up(client)
            answers = await at_once(clients, fake, headers={})
            assert len(fake.seen) == answers.count(200) in (10, 11)
            assert answers.count(402) == 100 - len(fake.seen)
        finally:
            await asyncio.to_thread(gate.__exit__, None, None, None)
    engine.dispose()
    async with fake_upstream() as fake, gateway(fake, state_dir=tmp_path) as client:
        assert (await meter(client)).held == 0
        assert (await meter(client)).spent > 0


async def up(client) -> None:
    """Wait until a gateway answers."""
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            await client.get("/healthz")
            return
        await asyncio.sleep(0.1)
    raise AssertionError("nobody answers")


# Settled at every end.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("interface", Interface)
async def test_what_was_served_costs_what_it_took(interface, stream):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | monthly(1)]) as client:
        asked = ask(interface, MODEL, stream=stream)
        got = await client.post(PATHS[interface], json=asked, headers=ANNA)
        assert got.status_code == 200
        await soon(lambda: client.records, 10)
        assert await settled(client) == pytest.approx(client.records[-1].usd)
        assert client.records[-1].usd > 0


@pytest.mark.parametrize("status", [400, 500])
async def test_what_an_upstream_refused_or_failed_costs_nothing(status):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | monthly(1)]) as client:
        fake.play = replies(status, b'{"error":{"message":"no"}}')
        for path, asked in ROUTES.items():
            assert (await client.post(path, json=asked, headers=ANNA)).status_code >= 400
        assert await settled(client) == 0


async def test_who_leaves_before_the_answer_leaves_nothing_reserved():
    limits = {"callers": [KEY | monthly(1)], "timeouts": PATIENT}
    async with fake_upstream() as fake, gateway(fake, **limits) as client:

        async def silent(seen, writer):
            await seen.left.wait()

        fake.play = silent
        for stream in (False, True):
            fake.arrived.clear()
            asked = asyncio.create_task(chat(client, stream=stream))
            await fake.arrived.wait()
            assert (await meter(client)).held > 0
            asked.cancel()
            assert await settled(client) == 0


@pytest.mark.parametrize("interface", Interface)
async def test_who_leaves_amid_a_stream_pays_for_what_came(interface):
    async with (
        fake_upstream() as fake,
        gateway(fake, callers=[KEY | monthly(1)], timeouts=PATIENT) as client,
    ):

        async def some(seen, writer):
            writer.write(head(200, "text/event-stream"))
            text = [e for e in events_of(seen) if b"delta" in e]
            first = events_of(seen)[0]
            for event in (first, *([text[len(text) // 2]] * 50)):
                writer.write(chunk(event))
            await writer.drain()
            await seen.left.wait()

        fake.play = some
        asked = ask(interface, MODEL, stream=True) | {"max_tokens": ANSWER}
        async with client.stream("POST", PATHS[interface], json=asked, headers=ANNA) as answer:
            got = b""
            async for data in answer.aiter_raw():
                got += data
                if got.count(b"\n\n") > 50:
                    break
        spent = await settled(client)
        assert 50 * OUTPUT_USD < spent < ANSWER * OUTPUT_USD


async def test_a_stream_whose_usage_nobody_tells_costs_what_was_sent():
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | monthly(1)]) as client:

        async def untold(seen, writer):
            events = [e for e in events_of(seen) if b'"usage":{' not in e.replace(b" ", b"")]
            return await streams(events)(seen, writer)

        fake.play = untold
        assert (await chat(client, stream=True)).status_code == 200
        assert 0 < await settled(client) < ANSWER * OUTPUT_USD


async def test_a_failure_inside_the_gateway_leaves_nothing_reserved():
    def fails(request):
        raise RuntimeError("a bug")

    limits = {"callers": [KEY | monthly(1)], "environ": {"OPENAI_API_KEY": "k"}}
    async with gateway(transport=httpx.MockTransport(fails), **limits) as client:
        assert (await chat(client)).status_code >= 500
        assert await settled(client) == 0


async def test_what_a_shutdown_cancels_is_settled(tmp_path):
    limits = {"callers": [KEY | monthly(1)], "timeouts": PATIENT, "state_dir": tmp_path}
    async with fake_upstream() as fake:

        async def hangs(seen, writer):
            events = events_of(seen)
            writer.write(head(200, "text/event-stream") + chunk(events[0]) + chunk(events[1]))
            await writer.drain()
            await seen.left.wait()

        fake.play = hangs
        async with gateway(fake, **limits) as client:
            asked = asyncio.create_task(chat(client, stream=True))
            await fake.arrived.wait()
            records = client.records
        await asyncio.gather(asked, return_exceptions=True)
        assert len(records) == 1
        async with gateway(fake, **limits) as client:
            assert (await meter(client)).held == 0


# Refused, in the client's words.


@pytest.mark.parametrize("interface", Interface)
async def test_a_spent_budget_is_a_402_in_the_clients_format(interface):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | monthly(0)]) as client:
        for stream in (False, True):
            asked = ask(interface, MODEL, stream=stream)
            got = await client.post(PATHS[interface], json=asked, headers=ANNA)
            assert got.status_code == 402
            error = check_error(interface, got)
            assert "this month's budget of key:anna is used up: $0.0000 of $0" in error["message"]
            assert "begins anew in" in error["message"]
            assert int(got.headers["retry-after"]) > 0
        assert fake.seen == []
        assert client.records[-1].error == "budget_exceeded"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_it_holds_on_every_route_under_every_prefix(prefix):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | monthly(0)]) as client:
        for path, asked in ROUTES.items():
            path = prefix + path.removeprefix("/v1")
            got = await client.post(path, json=asked, headers=ANNA)
            assert got.status_code == 402, path
        assert fake.seen == []


@pytest.mark.parametrize("path", ROUTES)
async def test_too_many_a_minute_is_a_429_with_a_time(path):
    async with (
        fake_upstream() as fake,
        gateway(
            fake, callers=[KEY | {"requests_per_minute": 2, "tokens_per_minute": 1_000_000}]
        ) as client,
    ):
        fake.play = replies(200, b'{"usage":{"prompt_tokens":1,"total_tokens":1}}')
        said = [await client.post(path, json=ROUTES[path], headers=ANNA) for _ in range(3)]
        assert [got.status_code for got in said][2] == 429
        assert len(fake.seen) == 2
        last = said[-1].headers
        assert 0 < int(last["retry-after"]) <= 60
        assert last["x-ratelimit-limit-requests"] == "2"
        assert [got.headers["x-ratelimit-remaining-requests"] for got in said] == ["1", "0", "0"]
        assert last["x-ratelimit-reset-requests"].endswith("s")
        assert int(said[0].headers["x-ratelimit-remaining-tokens"]) < 1_000_000
        assert "x-should-retry" not in last


# Whose it is.


async def test_a_teams_budget_is_shared_by_its_keys_and_not_by_others(tmp_path):
    async with fake_upstream() as fake, gateway(fake, state_dir=tmp_path) as client:
        registry = client.app.state.gateway.books.registry
        registry.create_team("core", "test")
        made = [registry.create(name, "test", team="core") for name in ("a", "b")]
        other = registry.create("c", "test")
        registry.set_terms("team:core", monthly(1e-9), "test")
        client.app.state.gateway.keys.renew(registry.directory())
        a, b, c = ({"authorization": f"Bearer {m.key}"} for m in (*made, other))
        assert (await chat(client, headers=a)).status_code == 200
        refused = await chat(client, headers=b)
        assert refused.status_code == 402
        assert "team:core" in refused.json()["error"]["message"]
        assert (await chat(client, headers=c)).status_code == 200


async def test_the_organisations_budget_holds_for_the_owner(tmp_path):
    async with fake_upstream() as fake, gateway(fake, state_dir=tmp_path) as client:
        got = await client.put("/v1/admin/terms/org", json=monthly(0))
        assert got.status_code == 200
        assert (await chat(client, headers={})).status_code == 402


async def test_and_for_anonymous_callers(tmp_path):
    async with fake_upstream() as fake, gateway(fake, state_dir=tmp_path, callers=[KEY]) as client:
        assert (await chat(client, FREE, headers={})).status_code == 200
        registry = client.app.state.gateway.books.registry
        registry.set_terms("org", monthly(0), "test")
        client.app.state.gateway.keys.renew(registry.directory())
        assert (await chat(client, FREE, headers={})).status_code == 402


async def test_from_four_fifths_of_a_budget_on_replies_say_so():
    async with (
        fake_upstream() as fake,
        gateway(fake, callers=[KEY | monthly(1.2 * OUTPUT_USD * ANSWER)]) as client,
    ):
        got = await chat(client)
        assert got.headers["x-auto-budget-warning"].startswith("key:anna: $0.03 of $0.036")
        assert "x-auto-budget-warning" not in (await chat(client, max_tokens=10)).headers


async def test_spent_credit_serves_what_is_free_and_decides_small():
    async with (
        fake_upstream() as fake,
        gateway(fake, callers=[KEY | {"credit_usd": 1e-9}]) as client,
    ):
        paid = (await chat(client, "kilo-auto/small")).headers["x-auto-model"]
        refused = await chat(client)
        assert refused.status_code == 402
        assert "kilo-auto/free" in refused.json()["error"]["message"]
        assert (await chat(client, FREE)).status_code == 200
        small = await chat(client, "kilo-auto/small")
        assert small.status_code == 200
        assert small.headers["x-auto-model"] != paid
        assert not (await client.get("/v1/key", headers=ANNA)).json()["data"]["limit_remaining"]


async def test_an_own_servers_embedding_costs_nothing():
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | {"credit_usd": 0}]) as client:
        fake.play = replies(200, b'{"usage":{"prompt_tokens":1,"total_tokens":1}}')
        got = await client.post(
            "/v1/embeddings", json={"model": "nomic-embed", "input": "x"}, headers=ANNA
        )
        assert got.status_code == 402, "whose it is nobody said, and it counts as the dearest"
