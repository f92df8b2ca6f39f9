"""Embeddings and legacy completions pass through: who may, where to, byte for byte, and its record."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct

import httpx
import openai
import pytest

from router.books.record import End
from router.values import PassThrough
from tests.gateway_rig import chunk, fake_upstream, gateway, head, lists, replies

EMBEDDER = "openai/text-embedding-3-small"
WRITER = "openai/gpt-3.5-turbo-instruct"
KINDS = list(PassThrough)
BODIES = {
    PassThrough.EMBEDDINGS: {"model": EMBEDDER, "input": "Hello"},
    PassThrough.COMPLETIONS: {"model": WRITER, "prompt": "Hello"},
}
VECTORS = (
    b'{"object":"list",  "data":[{"object":"embedding","index":0,"embedding":[0.5,0.50]}],'
    b'"model":"m","usage":{"prompt_tokens":7,"total_tokens":7, "cost": 0.25}}'
)


def sdk_of(client: httpx.AsyncClient, **options) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{client.base_url}/v1", api_key="any", max_retries=0, **options
    )


def length_of(vector) -> float:
    return sum(x * x for x in vector) ** 0.5


# With the simulated provider behind.


async def test_the_openai_sdk_gets_embeddings_without_a_key():
    async with gateway() as client, sdk_of(client) as sdk:
        got = await sdk.embeddings.create(model=EMBEDDER, input=["one", "two", "one"])
    one, two, again = (row.embedding for row in got.data)
    assert len(one) == 1536
    assert length_of(one) == pytest.approx(1, abs=1e-5)
    assert one == again != two
    assert got.usage.prompt_tokens > 0


async def test_floats_and_base64_are_the_same_vector():
    async with gateway() as client:
        asked = BODIES[PassThrough.EMBEDDINGS] | {"dimensions": 8}
        floats = (await client.post("/v1/embeddings", json=asked)).json()
        coded = (
            await client.post("/v1/embeddings", json=asked | {"encoding_format": "base64"})
        ).json()
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == floats["data"][0]["embedding"]


async def test_the_openai_sdk_gets_completions_whole_and_streamed():
    async with gateway() as client, sdk_of(client) as sdk:
        whole = await sdk.completions.create(model=WRITER, prompt="Say", max_tokens=20)
        stream = await sdk.completions.create(
            model=WRITER,
            prompt="Say",
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
        events = [event async for event in stream]
        records = client.records
    told = "".join(choice.text for event in events for choice in event.choices)
    assert told == whole.choices[0].text != ""
    assert events[-1].usage == whole.usage
    assert [r.interface for r in records] == [PassThrough.COMPLETIONS] * 2
    assert [r.streams for r in records] == [False, True]
    assert [r.usage.output_tokens for r in records] == [whole.usage.completion_tokens] * 2


async def test_it_is_served_under_every_prefix_and_spelling():
    async with gateway() as client:
        for path in ("/api/openrouter/v1/embeddings", "/embeddings", "/v1//embeddings/"):
            got = await client.post(path, json=BODIES[PassThrough.EMBEDDINGS])
            assert got.status_code == 200, path


async def test_it_says_who_answered():
    async with gateway() as client:
        got = await client.post("/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS])
        record = client.records[-1]
    assert got.headers["x-auto-model"] == EMBEDDER
    assert got.headers["x-auto-provider"] == "simulated"
    assert got.headers["x-auto-decision-id"] == record.decision_id
    assert record.end is End.SERVED
    assert (record.tier, record.unit.model, record.asked_model) == (None, EMBEDDER, EMBEDDER)
    assert record.usage.input_tokens > 0
    assert record.first_s is not None


# Who may, and what is refused.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tier", ["kilo-auto/efficient", "kilo-auto/nothing"])
async def test_a_tier_is_told_to_name_a_model(kind, tier):
    async with gateway() as client:
        got = await client.post("/v1" + kind.path, json=BODIES[kind] | {"model": tier})
    assert got.status_code == 400
    assert "name a model" in got.json()["error"]["message"]


async def test_an_alias_of_a_tier_is_a_tier():
    async with gateway(aliases={"ada": "kilo-auto/efficient"}) as client:
        got = await client.post("/v1/embeddings", json={"model": "ada", "input": "x"})
    assert got.status_code == 400


@pytest.mark.parametrize("body", [{"input": "x"}, {"model": " ", "input": "x"}])
async def test_without_a_model_nothing_is_chosen(body):
    async with gateway() as client:
        got = await client.post("/v1/embeddings", json=body)
    assert got.status_code == 400
    assert "model" in got.json()["error"]["message"]


KEY = {"name": "anna", "sha256": hashlib.sha256(b"secret").hexdigest()}


@pytest.mark.parametrize("kind", KINDS)
async def test_anonymous_callers_are_refused(kind):
    async with gateway(callers=[KEY]) as client:
        got = await client.post("/v1" + kind.path, json=BODIES[kind])
        wrong = await client.post(
            "/v1" + kind.path, json=BODIES[kind], headers={"authorization": "Bearer wrong"}
        )
        ours = await client.post(
            "/v1" + kind.path, json=BODIES[kind], headers={"authorization": "Bearer secret"}
        )
        ends = [record.end for record in client.records]
    assert [got.status_code, wrong.status_code, ours.status_code] == [401, 401, 200]
    assert ends == [End.REFUSED, End.REFUSED, End.SERVED]


@pytest.mark.parametrize(
    "limits",
    [
        {"deny": ["openai/*"]},
        {"allow": ["openai/gpt-5.5"]},
        {"open_weights_only": True},
        {"max_cost_usd": 0.01},
    ],
)
async def test_the_limits_of_a_key_hold(limits):
    async with fake_upstream() as fake, gateway(fake, callers=[KEY | limits]) as client:
        got = await client.post(
            "/v1/embeddings",
            json=BODIES[PassThrough.EMBEDDINGS],
            headers={"authorization": "Bearer secret"},
        )
        assert got.status_code == 400
        assert "not allowed" in got.json()["error"]["message"]
        assert fake.seen == []


async def test_a_denied_model_hides_behind_no_second_name():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(200, VECTORS)
        deny = {"x-auto-deny": "openai/gpt-5.5", "x-auto-allow": "m/*,openai/*"}
        twice = b'{"model": "openai/gpt-5.5", "input": "x", "model": "m/a"}'
        got = await client.post("/v1/embeddings", content=twice, headers=deny)
        assert got.status_code == 200
        assert fake.seen[0].body.count(b'"model"') == 1
        others = {"model": "m/a", "input": "x", "models": ["openai/gpt-5.5"]}
        got = await client.post("/v1/embeddings", json=others)
        assert got.status_code == 400


async def test_a_provider_that_takes_none_is_not_asked():
    async with gateway(environ={"ANTHROPIC_API_KEY": "k"}) as client:
        got = await client.post("/v1/embeddings", json={"model": "claude-x", "input": "x"})
    assert got.status_code == 404
    assert "prefix" in got.json()["error"]["message"]


async def test_a_body_may_be_no_longer_than_others():
    async with gateway(requests={"body_bytes": 1000}) as client:
        long = BODIES[PassThrough.EMBEDDINGS] | {"input": "x" * 2000}
        assert (await client.post("/v1/embeddings", json=long)).status_code == 413


# To a provider and back.


def transport_of(answer) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


async def test_only_the_models_name_changes_and_the_reply_comes_as_it_is():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        kind = {"content-type": "application/json; charset=utf-8"}
        return httpx.Response(200, headers=kind, content=VECTORS)

    body = b'{ "input":["\\u00e9", 1.50],\n "model" : "openai/text-embedding-3-small" ,"x": 1e2}'
    async with gateway(
        transport=transport_of(answer), environ={"OPENAI_API_KEY": "ours"}
    ) as client:
        got = await client.post("/v1/embeddings?a=b", content=body)
        record = client.records[-1]
    assert str(seen[0].url) == "https://api.openai.com/v1/embeddings"
    assert seen[0].headers["authorization"] == "Bearer ours"
    assert seen[0].content == body.replace(b"openai/text", b"text")
    assert got.content == VECTORS
    assert got.headers["content-type"] == "application/json; charset=utf-8"
    assert (record.usage.input_tokens, record.usd) == (7, 0.25)


@pytest.mark.parametrize(
    ("environ", "model", "host", "name"),
    [
        ({"OPENAI_API_KEY": "k"}, "text-embedding-3-small", "api.openai.com", None),
        ({"OPENROUTER_API_KEY": "k"}, EMBEDDER, "openrouter.ai", EMBEDDER),
        ({"MISTRAL_API_KEY": "k"}, "mistral-embed", "api.mistral.ai", None),
        ({"TOGETHER_API_KEY": "k"}, "together/BAAI/bge-m3", "api.together.xyz", "BAAI/bge-m3"),
    ],
)
async def test_a_prefix_leads_to_its_provider(environ, model, host, name):
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=VECTORS)

    async with gateway(transport=transport_of(answer), environ=environ) as client:
        got = await client.post("/v1/embeddings", json={"model": model, "input": "x"})
    assert got.status_code == 200
    assert seen[0].url.host == host
    assert json.loads(seen[0].content)["model"] == (name or model)


async def test_a_providers_error_goes_back_as_it_is_without_our_key():
    said = b'{"error": {"message":  "no model for sk-very-secret-1234567890", "type": "x"}}'
    tried = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        return httpx.Response(404, content=said, headers={"content-type": "application/json"})

    environ = {"OPENAI_API_KEY": "sk-very-secret-1234567890", "OPENROUTER_API_KEY": "k2"}
    async with gateway(transport=transport_of(answer), environ=environ) as client:
        got = await client.post("/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS])
        record = client.records[-1]
    assert got.status_code == 404
    assert got.content == said.replace(b"sk-very-secret-1234567890", b"***")
    assert len(tried) == 1
    assert record.end is End.REFUSED
    assert record.usage is None


async def test_when_to_come_back_is_passed_on():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            429, json={"error": {"message": "slow"}}, headers={"retry-after": "3"}
        )

    async with gateway(transport=transport_of(answer), environ={"OPENAI_API_KEY": "k"}) as client:
        got = await client.post("/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS])
    assert (got.status_code, got.headers["retry-after"]) == (429, "3")


async def test_a_large_body_passes_whole_and_is_let_go():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(200, content=VECTORS)

    async with gateway(transport=transport_of(answer), environ={"OPENAI_API_KEY": "k"}) as client:
        asked = {"input": ["word " * 1000] * 200, "model": EMBEDDER}
        body = json.dumps(asked).encode()
        assert (await client.post("/v1/embeddings", content=body)).status_code == 200
        room, record = client.app.state.gateway.intake.room, client.records[-1]
    assert seen == [body.replace(EMBEDDER.encode(), b"text-embedding-3-small")]
    assert record.body_bytes == len(body)
    assert room.held_bytes == 0


async def test_a_refusal_of_our_key_is_not_the_clients():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": "Incorrect API key"}})

    async with gateway(transport=transport_of(answer), environ={"OPENAI_API_KEY": "k"}) as client:
        ours = await client.post("/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS])
        own = {"x-provider-key-openai": "theirs"}
        theirs = await client.post(
            "/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS], headers=own
        )
    assert (ours.status_code, theirs.status_code) == (503, 401)


@pytest.mark.parametrize(("error", "status"), [(httpx.ConnectError, 200), (httpx.ReadError, 502)])
async def test_another_is_asked_only_when_nothing_was_sent(error, status):
    tried = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.url.host)
        if request.url.host == "api.openai.com":
            raise error("broken")
        return httpx.Response(200, content=VECTORS)

    environ = {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "k2"}
    async with gateway(transport=transport_of(answer), environ=environ) as client:
        got = await client.post("/v1/embeddings", json=BODIES[PassThrough.EMBEDDINGS])
        record = client.records[-1]
    assert got.status_code == status
    assert len(tried) == (2 if status == 200 else 1)
    assert len(record.failures) == 1
    assert record.end is (End.SERVED if status == 200 else End.FAILED)


async def test_silence_is_a_timeout():
    async with fake_upstream() as fake, gateway(fake) as client:

        async def silent(seen, writer):
            await seen.left.wait()

        fake.play = silent
        got = await client.post("/v1/embeddings", json={"model": "m/a", "input": "x"})
    assert got.status_code == 504


async def test_a_stream_that_breaks_off_ends_in_an_error():
    events = [b'data: {"choices":[{"text":"a"}]}\n\n']

    async def cut(seen, writer):
        writer.write(head(200, "text/event-stream") + chunk(events[0]))
        await writer.drain()

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = cut
        asked = {"model": "m/a", "prompt": "x", "stream": True}
        got = await client.post("/v1/completions", json=asked)
        record = client.records[-1]
    assert got.content.startswith(events[0])
    assert b'"error"' in got.content
    assert record.end is End.FAILED


async def test_a_client_that_leaves_takes_its_upstream_along():
    async with fake_upstream() as fake, gateway(fake, timeouts={}) as client:

        async def slow(seen, writer):
            writer.write(head(200, "text/event-stream") + chunk(b"data: 1\n\n"))
            await writer.drain()
            await seen.left.wait()

        fake.play = slow
        asked = {"model": "m/a", "prompt": "x", "stream": True}
        async with client.stream("POST", "/v1/completions", json=asked) as got:
            await anext(got.aiter_bytes())
        await asyncio.wait_for(fake.seen[0].left.wait(), 5)
        for _ in range(200):
            if client.records:
                break
            await asyncio.sleep(0.01)
    assert client.records[-1].end is End.LEFT


async def test_a_server_of_ones_own_is_asked_for_what_it_lists():
    async with fake_upstream() as fake:
        fake.lists = lists("nomic-embed-text:latest")
        fake.play = replies(200, VECTORS)
        async with gateway(environ={"OLLAMA_BASE_URL": f"{fake.url}/v1"}) as client:
            asked = {"model": "ollama/nomic-embed-text", "input": "x"}
            got = await client.post("/v1/embeddings", json=asked)
    assert got.status_code == 200
    assert fake.seen[0].path == "/v1/embeddings"
    assert fake.seen[0].fields["model"].startswith("nomic-embed-text")
