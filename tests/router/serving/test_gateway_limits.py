"""A limit holds for every name of a model, in every field, on every way to it; else nobody is called."""

from __future__ import annotations

import hashlib
import json

import pytest

from router.decision.engine import Engine
from router.errors import BadArtefact
from router.serving.app import create_app
from router.settings import Settings
from router.values import Interface
from tests.gateway_rig import PATHS, ask, check_error, fake_upstream, gateway

OPUS, MINI = "anthropic/claude-opus-4.8", "openai/gpt-5.4-mini"

LIMITS = {
    "allow": [MINI],
    "deny": ["anthropic/*"],
    "open_weights_only": True,
    "data_policies": ["none_kept"],
    "pin": MINI,
    "max_cost_usd": 0.0001,
    "min_quality": 0.99,
}
"""Limits, none of which the models below pass."""

SPELLINGS = [
    OPUS,
    "claude-opus-4-8",
    "Anthropic/Claude-Opus-4.8",
    f"{OPUS}:nitro",
    f"{OPUS}:online",
    f"openrouter/{OPUS}",
    "claude-opus-4-8-20260528",
    "openrouter/auto",
    "not/known",
]

every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)


def key_of(name, **limits):
    return {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **limits}


KEYS = [key_of(name, **{name: value}) for name, value in LIMITS.items()]


def ways_to(model, interface):
    """Yield bodies by which a client comes to a model."""
    plain = ask(interface, MINI)
    yield "model", ask(interface, model)
    yield "models", plain | {"models": [model]}
    yield "models alone", {k: v for k, v in plain.items() if k != "model"} | {"models": [model]}
    yield "fallbacks", plain | {"fallbacks": [{"model": model}]}
    yield "after a tier", ask(interface, "kilo-auto/free") | {"models": [model]}
    yield "a tool", plain | {"tools": [{"type": "advisor_20260301", "model": model}]}
    deep = {"type": "namespace", "name": "n", "tools": [{"type": "x", "y": [{"models": [model]}]}]}
    yield "a tool in a tool", plain | {"tools": [deep]}
    yield "a preset", plain | {"preset": "mine"}
    yield "a plugin", plain | {"plugins": [{"id": "auto-router", "allowed_models": [model]}]}


@every_format
async def test_no_name_and_no_field_passes_a_limit(interface):
    async with fake_upstream() as fake, gateway(fake, callers=KEYS) as client:
        for name in LIMITS:
            headers = {"authorization": f"Bearer {name}"}
            for model in SPELLINGS:
                for way, body in ways_to(model, interface):
                    reply = await client.post(PATHS[interface], json=body, headers=headers)
                    assert reply.status_code == 400, (name, model, way, reply.text)
                    check_error(interface, reply)
        assert fake.seen == []


@every_format
async def test_without_a_key_only_a_free_model_by_its_own_name_is_had(interface):
    free = "stepfun/step-3.7-flash:free"
    async with fake_upstream() as fake, gateway(fake, callers=KEYS) as client:
        for model in (*SPELLINGS, f"{free}:online", free.upper()):
            for way, body in ways_to(model, interface):
                reply = await client.post(PATHS[interface], json=body)
                assert reply.status_code == 401, (model, way)
        twice = json.dumps(ask(interface, free))[:-1] + f', "model": "{free}"}}'
        first = twice.replace(free, OPUS, 1).encode()
        reply = await client.post(PATHS[interface], content=first)
        assert reply.status_code == 200
        assert [seen.fields["model"] for seen in fake.seen] == [free]
        assert OPUS.encode() not in fake.seen[0].body


PAID = [
    {"tools": [{"type": "openrouter:web_search"}]},
    {"web_search_options": {}},
    {"plugins": {"id": "web"}},
    {"plugins": "web"},
    {"service_tier": "priority"},
]


@every_format
async def test_without_a_key_or_under_a_cap_no_paid_service_is_had(interface):
    cap, denies = ({"authorization": f"Bearer {name}"} for name in ("max_cost_usd", "deny"))
    free = "stepfun/step-3.7-flash:free"
    async with fake_upstream() as fake, gateway(fake, callers=KEYS) as client:
        for more in PAID:
            for model in (free, "kilo-auto/free"):
                body = ask(interface, model) | more
                reply = await client.post(PATHS[interface], json=body)
                assert reply.status_code == 401, (more, reply.text)
                reply = await client.post(PATHS[interface], json=body, headers=cap)
                assert reply.status_code == 400, (more, reply.text)
        assert fake.seen == []
        body = ask(interface, MINI) | {"service_tier": "priority"}
        reply = await client.post(PATHS[interface], json=body, headers=denies)
        assert reply.status_code == 200, reply.text


async def test_within_a_limit_any_name_of_the_model_serves():
    async with fake_upstream() as fake, gateway(fake, callers=KEYS) as client:
        for name in ("allow", "deny", "pin"):
            for model in (
                MINI,
                "gpt-5.4-mini",
                MINI.upper(),
                f"{MINI}:nitro",
                f"{MINI}-2026-03-17",
            ):
                reply = await client.post(
                    PATHS[Interface.CHAT],
                    json=ask(Interface.CHAT, model),
                    headers={"authorization": f"Bearer {name}"},
                )
                assert reply.status_code == 200, (name, model, reply.text)
        assert {seen.fields["model"] for seen in fake.seen} > {MINI, "gpt-5.4-mini"}


async def test_the_models_of_a_body_are_tried_in_turn_and_sent_on_by_nobody():
    async with fake_upstream() as fake, gateway(fake) as client:
        good = fake.play

        async def play(seen, writer):
            if seen.fields["model"] in {"a/one", "openai/gpt-5.5"}:
                writer.write(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")
                return True
            return await good(seen, writer)

        fake.play = play
        for first in ("a/one", "kilo-auto/efficient"):
            fake.seen.clear()
            body = ask(Interface.CHAT, first) | {
                "models": ["b/two", "c/three"],
                "route": "fallback",
            }
            reply = await client.post(PATHS[Interface.CHAT], json=body)
            assert reply.headers["x-auto-model"] == "b/two"
            assert fake.seen[-1].fields["model"] == "b/two"
            assert all(not {"models", "route"} & seen.fields.keys() for seen in fake.seen)


TIERS = ["frontier", "balanced", "efficient", "small", "free"]


async def test_a_cap_that_nobody_is_within_serves_nobody_and_says_what_the_cheapest_needs():
    engine = Engine.load()
    async with fake_upstream() as fake, gateway(fake, engine=engine) as client:
        for tier in TIERS:
            body = ask(Interface.CHAT, f"kilo-auto/{tier}", text="Fix the race in the scheduler")
            reply = await client.post(
                PATHS[Interface.CHAT], json=body, headers={"x-auto-max-cost": "0.000001"}
            )
            if tier == "free":
                assert reply.status_code == 200
                continue
            assert reply.status_code == 400, tier
            said = check_error(Interface.CHAT, reply)["message"]
            assert "the cap $1e-06" in said
            needed = said.partition("which needs a price cap of $")[2].split(";")[0].split(":")[0]
            enough = {"x-auto-max-cost": str(float(needed.split(")")[0]) * 1.01)}
            told = await client.post("/v1/route", json=body, headers=enough)
            assert told.status_code == 200, (tier, said, told.text)
        assert {engine.catalogue.model(seen.fields["model"]).free for seen in fake.seen} == {True}


@pytest.mark.parametrize("tier", TIERS[:3])
async def test_under_a_cap_who_serves_is_within_it_and_the_reason_names_it(tier):
    engine = Engine.load()
    async with fake_upstream() as fake, gateway(fake, engine=engine) as client:
        body = ask(Interface.CHAT, f"kilo-auto/{tier}", text="Fix the race in the scheduler")
        headers = {"x-auto-max-cost": "0.3"}
        told = await client.post("/v1/route", json=body, headers=headers)
        reply = await client.post(PATHS[Interface.CHAT], json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        assert "the cap $0.3" in reply.headers["x-auto-reason"]
        assert told.json()["why"] == reply.headers["x-auto-reason"]


@pytest.mark.parametrize("header", ["x-auto-allow", "x-auto-deny"])
async def test_a_header_that_names_nothing_is_refused_with_what_was_meant(header):
    async with gateway() as client:
        reply = await client.post(
            PATHS[Interface.CHAT],
            json=ask(Interface.CHAT, "kilo-auto/efficient"),
            headers={header: "openai/gpt5.5"},
        )
        assert reply.status_code == 400
        said = check_error(Interface.CHAT, reply)["message"]
        assert said.startswith(f"{header}: there is no model 'openai/gpt5.5'; did you mean openai/")


@pytest.mark.parametrize("field", ["allow", "deny"])
def test_a_key_that_names_nothing_keeps_the_gateway_from_starting(field):
    callers = [key_of("anna", **{field: ["openai/gpt5.5"]})]
    with pytest.raises(BadArtefact, match=f"callers: anna: {field}: there is no model"):
        create_app(Settings.model_validate({"callers": callers}), environ={})


async def test_a_providers_object_that_lets_nobody_in_is_refused_by_its_fields():
    async with fake_upstream() as fake:
        row = {"name": "openai", "base_url": fake.url, "formats": ["chat"], "serves": ["openai/"]}
        async with gateway(providers=[row], keys={"openai": "k"}) as client:
            path = PATHS[Interface.CHAT]
            for given in ({"zdr": True}, {"only": ["azure"]}, {"ignore": ["openai"]}):
                [field] = given
                for model in ("openai/gpt-5.5", "kilo-auto/balanced"):
                    body = ask(Interface.CHAT, model) | {"provider": given}
                    reply = await client.post(path, json=body)
                    assert reply.status_code == 400
                    assert f"`provider.{field}`" in check_error(Interface.CHAT, reply)["message"]
            assert fake.seen == []
            body = ask(Interface.CHAT, "openai/gpt-5.5") | {"provider": {"only": ["openai"]}}
            assert (await client.post(path, json=body)).status_code == 200
            assert "provider" not in fake.seen[-1].fields
