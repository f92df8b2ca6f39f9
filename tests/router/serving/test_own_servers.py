"""A server of one's own: what it lists is there and nothing else, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.decision.engine import Engine
from router.providers.inventory import ASKING_S, Inventory
from router.providers.shelf import Listed
from router.values import Interface
from tests.gateway_rig import PATHS, ask, check_error, fake_upstream, gateway, good, lists, replies

CHAT = Interface.CHAT
TIERS = ("efficient", "frontier", "balanced", "small", "free")
OLLAMA = ("llama3.2:3b", "qwen2.5-coder:latest", "nomic-embed-text:latest")


@pytest.fixture(scope="module")
def engine():
    return Engine.load


async def listed(client):
    found = (await client.get("/v1/models")).json()["data"]
    return [entry["id"] for entry in found if not entry["id"].startswith("kilo-auto/")]


def own_row(fake, name="ollama", **more):
    row = {"name": name, "base_url": f"{fake.url}/v1", "auth": "none", "formats": ["chat"]}
    return {"providers": [row | {"serves": [f"{name}/"], "strip": f"{name}/"} | more]}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("interface", Interface)
async def test_every_tier_is_served_by_what_is_there_and_says_that_nothing_is_known_of_it(
    engine, interface, tier
):
    async with fake_upstream() as fake:
        fake.lists = lists(*OLLAMA)
        async with gateway(fake, load_engine=engine) as client:
            said = await client.post(PATHS[interface], json=ask(interface, f"kilo-auto/{tier}"))
        assert said.status_code == 200, said.text
        assert said.headers["x-auto-model"] == fake.seen[0].fields["model"] == OLLAMA[0]
        assert "no evidence about it" in said.headers["x-auto-reason"]
        assert (len(fake.asked), fake.asked[0].path) == (1, "/v1/models")


async def test_only_what_is_there_is_listed_claimed_named_and_tried():
    async with fake_upstream() as fake:
        fake.lists = lists(*OLLAMA)
        async with gateway(fake) as client:
            assert await listed(client) == list(OLLAMA[:2])
            for name in ("llama3.2:3b", "LLAMA3.2:3B", "qwen2.5-coder", OLLAMA[2]):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name))
                assert said.status_code == 200, name
            sent = [seen.fields["model"] for seen in fake.seen]
            assert sent == [OLLAMA[0], OLLAMA[0], OLLAMA[1], OLLAMA[2]]
            for name in ("openai/gpt-5.5", "llama3.2", "qwen2.5-coder:7b", "claude-opus-4-8"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name))
                assert said.status_code == 404, name
                assert OLLAMA[0] in check_error(CHAT, said)["message"]
                assert (await client.get(f"/v1/models/{name}")).status_code == 404
            assert len(fake.seen) == 4


async def test_the_catalogues_models_are_found_under_the_servers_own_names(engine):
    names = ("gpt-5.5", "claude-opus-4-8", "moonshotai/Kimi-K2.6", "mine")
    async with fake_upstream() as fake:
        fake.lists = lists(*names)
        async with gateway(fake, load_engine=engine) as client:
            ids = ["anthropic/claude-opus-4.8", "moonshotai/kimi-k2.6", "openai/gpt-5.5", "mine"]
            assert sorted(await listed(client)) == sorted(ids)
            for model_id, name in zip(sorted(ids), sorted(names), strict=True):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, model_id))
                assert said.status_code == 200
                assert {fake.seen[-1].fields["model"], name} <= {*names}
            made = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
            assert made.headers["x-auto-model"] in ids[:3]
            assert fake.seen[-1].fields["model"] in names[:3]


SILENT = {
    "status 404": replies(404, b"{}"),
    "the answer is not JSON": replies(200, b"<html>", kind="text/html"),
    "the answer is no list of models": replies(200, b'{"object": "chat.completion"}'),
    "the list holds no model's name": replies(200, b'{"data": [{"id": 3}, "x", null]}'),
}


async def never(seen, writer):
    await seen.left.wait()
    return False


@pytest.mark.parametrize("why", [*SILENT, f"no answer within {ASKING_S:g} s"])
async def test_a_server_that_does_not_list_is_taken_to_have_everything(why):
    async with fake_upstream() as fake:
        fake.lists = SILENT.get(why, never)
        async with gateway(fake) as client:
            assert client.app.state.gateway.data.inventory.silent == {"upstream": why}
            for name in ("openai/gpt-5.5", "whatever", "kilo-auto/frontier"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name))
                assert said.status_code == 200
            assert len(await listed(client)) > 20


async def test_a_server_that_is_not_there_does_not_stop_the_start():
    async with gateway(upstream="http://127.0.0.1:9/v1") as client:
        assert "upstream" in client.app.state.gateway.data.inventory.silent
        assert (await client.get("/v1/models")).status_code == 200


async def test_a_server_without_models_serves_nothing_and_the_error_says_so():
    async with fake_upstream() as fake:
        fake.lists = replies(200, b'{"object": "list", "data": null}')
        async with gateway(fake) as client:
            assert not await listed(client)
            said = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
            assert said.status_code == 400
            assert "add one to upstream, which lists none" in check_error(CHAT, said)["message"]
            assert not fake.seen


async def test_a_private_provider_is_asked_and_its_models_go_by_its_name():
    async with fake_upstream() as fake:
        fake.lists = lists(*OLLAMA)
        async with gateway(**own_row(fake)) as client:
            assert await listed(client) == ["ollama/llama3.2:3b", "ollama/qwen2.5-coder:latest"]
            for name in ("ollama/llama3.2:3b", "llama3.2:3b", "kilo-auto/frontier"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name))
                assert said.status_code == 200, name
                assert fake.seen[-1].fields["model"] == "llama3.2:3b"
            said = await client.post(PATHS[CHAT], json=ask(CHAT, "ollama/mistral"))
            assert said.status_code == 404
            assert "ollama lists ollama/llama3.2:3b" in check_error(CHAT, said)["message"]


async def test_beside_a_vendor_ones_own_models_serve_only_where_nothing_else_can():
    vendor = {"name": "openai", "base_url": "", "formats": ["chat"], "serves": ["openai/"]}
    async with fake_upstream() as fake, fake_upstream() as paid:
        fake.lists = lists(*OLLAMA)
        rows = own_row(fake)["providers"] + [vendor | {"base_url": f"{paid.url}/v1"}]
        async with gateway(providers=rows, keys={"openai": "k"}) as client:
            for tier in TIERS[:4]:
                said = await client.post(PATHS[CHAT], json=ask(CHAT, f"kilo-auto/{tier}"))
                assert said.headers["x-auto-provider"] == "openai", tier
            said = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/free"))
            assert said.headers["x-auto-provider"] == "ollama"
            assert not paid.asked


async def test_an_alias_may_lead_to_a_model_of_ones_own():
    async with fake_upstream() as fake:
        fake.lists = lists(*OLLAMA)
        async with gateway(fake, aliases={"claude-haiku-*": "qwen2.5-coder"}) as client:
            said = await client.post(PATHS[CHAT], json=ask(CHAT, "claude-haiku-4-5"))
            assert said.status_code == 200
            assert fake.seen[0].fields["model"] == OLLAMA[1]


OWN = "llama3.2:3b"
HELD = [
    ({"x-auto-deny": OWN}, True),
    ({"x-auto-deny": "llama*"}, True),
    ({"x-auto-allow": "openai/*"}, True),
    ({"x-auto-open-weights": "on"}, True),
    ({"x-auto-min-quality": "0.1"}, True),
    ({"x-auto-data-policies": "none_kept"}, True),
    ({"x-auto-deny": "openai/*"}, False),
    ({"x-auto-allow": OWN}, False),
    ({"x-auto-max-cost": "0"}, False),
    ({"x-auto-data-policies": "local"}, False),
]


@pytest.mark.parametrize(("wish", "refused"), HELD)
async def test_limits_hold_for_ones_own_models(wish, refused):
    async with fake_upstream() as fake:
        fake.lists = lists(OWN)
        async with gateway(fake) as client:
            for name in (OWN, "kilo-auto/frontier"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name), headers=wish)
                assert (said.status_code == 400) == refused, (name, said.text)
            assert bool(fake.seen) != refused


@pytest.mark.parametrize("wish", [{"x-auto-max-cost": "9"}, {"x-auto-deny": "openai/*"}])
async def test_of_what_may_be_a_proxy_neither_price_nor_meaning_is_known(wish):
    async with fake_upstream() as fake:
        fake.lists = lists("fast")
        async with gateway(fake, upstream_key="k") as client:
            assert fake.asked[0].headers["authorization"] == "Bearer k"
            for name in ("fast", "kilo-auto/frontier"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name), headers=wish)
                assert said.status_code == 400
            said = await client.post(PATHS[CHAT], json=ask(CHAT, "fast"))
            assert said.status_code == 200


async def test_without_a_key_ones_own_machine_serves_nobody():
    async with fake_upstream() as fake:
        fake.lists = lists(OWN)
        callers = [{"name": "anna", "sha256": "0" * 64}]
        async with gateway(fake, callers=callers) as client:
            for name in (OWN, "kilo-auto/free"):
                said = await client.post(PATHS[CHAT], json=ask(CHAT, name))
                assert said.status_code in (400, 401)
            assert not fake.seen


async def test_what_is_pulled_later_is_there_when_it_is_asked_again():
    async with fake_upstream() as fake:
        fake.lists = lists(OWN)
        async with gateway(fake) as client:
            data = client.app.state.gateway.data
            more = Inventory({"upstream": (Listed(OWN), Listed("mistral"))})
            assert await asyncio.to_thread(data.restock, more)
            assert await listed(client) == [OWN, "mistral"]
            assert not data.restock(Inventory(silent={"upstream": "status 500"}))
            assert await listed(client) == [OWN, "mistral"]


def calls_itself(name):
    """Answer as a sound provider whose replies give their model this name."""

    async def play(seen, writer):
        seen.body = json.dumps(seen.fields | {"model": name}).encode()
        return await good(seen, writer)

    return play


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("interface", Interface)
@pytest.mark.parametrize(
    ("name", "model", "own_name"),
    [
        ("gpt-5.5-2026-04-01", "openai/gpt-5.5", None),
        ("qwen2.5-coder", "qwen2.5-coder:latest", "qwen2.5-coder"),
        ("claude-opus-4-8", "anthropic/claude-opus-4.8", "claude-opus-4-8"),
        ("some-new-model", "openai/gpt-5.5", "some-new-model"),
    ],
)
async def test_the_headers_and_the_record_tell_what_the_reply_calls_its_model(
    interface, stream, name, model, own_name
):
    async with fake_upstream() as fake:
        fake.lists, fake.play = lists("openai/gpt-5.5", *OLLAMA), calls_itself(name)
        async with gateway(fake) as client:
            body = ask(interface, "openai/gpt-5.5", stream=stream)
            said = await client.post(PATHS[interface], json=body)
            assert said.status_code == 200
            assert said.headers["x-auto-model"] == model
            assert said.headers.get("x-auto-served-model") == own_name
            assert client.records[-1].served_model == own_name
            assert client.records[-1].unit.model == "openai/gpt-5.5"


async def test_where_the_headers_are_sent_already_a_comment_tells_it():
    times = {"connect_s": 20, "first_byte_s": 20, "reply_s": 20, "idle_s": 20, "heartbeat_s": 0.02}
    async with fake_upstream() as fake, gateway(fake, timeouts=times) as client:
        begun = asyncio.Event()

        async def late(seen, writer):
            await begun.wait()
            return await calls_itself("some-new-model")(seen, writer)

        fake.play = late
        body = ask(CHAT, "openai/gpt-5.5", stream=True)
        async with client.stream("POST", PATHS[CHAT], json=body) as said:
            assert "x-auto-served-model" not in said.headers
            begun.set()
            assert b": x-auto-served-model: some-new-model" in await said.aread()


@pytest.mark.parametrize("name", [" ollama/secret", "ollama/secret ", "\tOLLAMA/secret"])
async def test_a_private_name_stays_at_home_however_it_is_written(name):
    rest = {"name": "rest", "formats": ["chat"], "serves": [""]}
    async with fake_upstream() as fake, fake_upstream() as out:
        fake.lists = lists("secret")
        rows = own_row(fake)["providers"] + [rest | {"base_url": f"{out.url}/v1"}]
        async with gateway(providers=rows, keys={"rest": "k"}) as client:
            for asked in ({"model": name}, {"model": "ollama/none", "models": [name]}):
                await client.post(PATHS[CHAT], json=ask(CHAT, "") | asked)
        assert [seen.fields["model"] for seen in fake.seen] == ["secret", "secret"]
        assert not out.seen
