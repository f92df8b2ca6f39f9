"""The admin API: keys, teams, terms, own provider keys; what it changes holds, here and elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
from urllib.parse import quote

import httpx
import pytest

from router.callers.registry import FIRST_ADMIN
from router.serving.app import _first_admin, greeting
from router.serving.routes import SMALL_BYTES
from router.values import Interface
from tests.gateway_rig import ask, fake_upstream, gateway, replies

BOSS = {"name": "boss", "sha256": hashlib.sha256(b"boss").hexdigest(), "scopes": ["admin"]}
ADMIN = {"authorization": "Bearer boss"}
MODEL = "openai/gpt-5.5"


async def asked(client, method, path, status=200, **fields):
    got = await client.request(method, f"/v1/admin/{path}", json=fields or None, headers=ADMIN)
    assert got.status_code == status, got.text
    return got.json()


async def chat(client, key, model=MODEL, **headers):
    headers |= {"authorization": f"Bearer {key}"}
    body = ask(Interface.CHAT, model)
    return await client.post("/v1/chat/completions", json=body, headers=headers)


def administered(tmp_path, fake=None, **more):
    return gateway(fake, callers=[BOSS], state_dir=tmp_path, **more)


async def test_a_keys_whole_life(tmp_path):
    async with administered(tmp_path) as client:
        await asked(client, "POST", "teams", 201, name="core")
        made = await asked(client, "POST", "keys", 201, name="anna", team="core")
        assert (await chat(client, made["key"])).status_code == 200
        new = await asked(client, "POST", "keys/anna/rotate", grace_s=0.0)
        assert (await chat(client, made["key"])).status_code == 401
        assert (await chat(client, new["key"])).status_code == 200
        told = await asked(client, "PATCH", "keys/anna", scopes=["read"], team=None)
        assert (told["team"], told["scopes"]) == (None, "read")
        assert (await chat(client, new["key"])).status_code == 403
        await asked(client, "DELETE", "keys/anna")
        assert (await chat(client, new["key"])).status_code == 401
        await asked(client, "DELETE", "keys/anna", 404)
        rows = (await asked(client, "GET", "audit"))["data"]
        assert [row["action"] for row in rows] == [
            *("key.revoke", "key.change", "key.rotate", "key.create", "team.create")
        ]
        assert {row["actor"] for row in rows} == {"boss"}
        everything = json.dumps(rows) + json.dumps(await asked(client, "GET", "keys"))
        assert made["key"] not in everything
        assert new["key"] not in everything


async def test_a_key_that_is_revoked_at_one_gateway_ends_at_the_other_within_a_second(tmp_path):
    async with administered(tmp_path) as a, administered(tmp_path) as b:
        key = (await asked(a, "POST", "keys", 201, name="anna"))["key"]
        for status in (200, 401):
            async with asyncio.timeout(1.5):
                while (await chat(b, key)).status_code != status:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.02)
            if status == 200:
                await asked(a, "DELETE", "keys/anna")


@pytest.mark.parametrize("name", ["Zoë Ünal", "a:b", "100%", "x?y#z", "名前"])
async def test_a_name_of_any_letters_is_one_key(tmp_path, name):
    async with administered(tmp_path) as client:
        key = (await asked(client, "POST", "keys", 201, name=name))["key"]
        path = quote(name)
        await asked(client, "PUT", f"terms/key:{path}", dial="economy")
        mine = await client.get("/v1/key", headers={"authorization": f"Bearer {key}"})
        assert (mine.json()["data"]["label"], mine.json()["data"]["dial"]) == (name, "economy")
        assert (await chat(client, key)).status_code == 200
        await asked(client, "DELETE", f"keys/{path}")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"},
        {"name": ""},
        {"name": "boss"},
        {"name": "owner"},
        {"name": "anna", "scopes": []},
        {"name": "anna", "scopes": ["root"]},
        {"name": "anna", "expires_in_days": 0},
        {"name": "anna", "expires_in_days": 1e300},
        {"name": "anna", "nonsense": 1},
    ],
)
async def test_a_key_that_cannot_be_is_refused_and_none_is_made(tmp_path, fields):
    async with administered(tmp_path) as client:
        await asked(client, "POST", "keys", 400, **fields)
        assert (await asked(client, "GET", "keys"))["data"] == []
        await asked(client, "POST", "keys", 404, name="anna", team="none")


async def test_infinite_and_huge_numbers_are_refused(tmp_path):
    async with administered(tmp_path) as client:
        for path, body in (
            ("keys", b'{"name": "anna", "expires_in_days": 1e999}'),
            ("terms/org", b'{"credit_usd": 1e999}'),
            ("terms/org", b'{"credit_usd": NaN}'),
            ("terms/org", b'{"requests_per_minute": ' + b"9" * 400 + b"}"),
            ("terms/org", b"[" * 5000),
            ("terms/org", b"[]"),
            ("terms/org", b""),
        ):
            method = "POST" if path == "keys" else "PUT"
            got = await client.request(method, f"/v1/admin/{path}", content=body, headers=ADMIN)
            assert got.status_code == 400, (body[:40], got.text)
        for limit in (-1, 0, 1001):
            got = await client.get(f"/v1/admin/audit?limit={limit}", headers=ADMIN)
            assert got.status_code == 400


async def test_a_body_of_any_length_is_not_held(tmp_path):
    async with administered(tmp_path) as client:
        got = await client.post("/v1/admin/keys", content=b"x" * (SMALL_BYTES + 1))
        assert got.status_code == 413
        long = ask(Interface.CHAT, MODEL, text="x" * (SMALL_BYTES + 1))
        assert (await client.post("/v1/route", json=long, headers=ADMIN)).status_code == 200


# Terms.


async def test_put_says_all_patch_a_part_and_null_no_more(tmp_path):
    async with administered(tmp_path) as client:
        await asked(client, "POST", "teams", 201, name="core")
        await asked(client, "PUT", "terms/org", deny=["openai/*"], dial="economy")
        await asked(client, "PUT", "terms/team:core", requests_per_minute=5, dial="quality")
        told = await asked(client, "PATCH", "terms/team:core", dial=None, credit_usd=3)
        assert told["terms"] == {"requests_per_minute": 5, "credit_usd": 3.0}
        told = await asked(client, "GET", "terms/team:core")
        assert told["inherits_from"] == ["org"]
        assert told["limits"] == {"deny": ["openai/*"]}
        assert {meter["account"] for meter in told["meters"]} == {"team:core"}
        assert set(await asked(client, "GET", "terms")) == {"org", "team:core", "key:boss"}
        await asked(client, "GET", "terms/team:none", 404)
        await asked(client, "GET", "terms/key:none", 404)
        await asked(client, "PATCH", "terms/key:boss", 400, dial="economy")


async def test_what_an_organisation_denies_no_key_gets(tmp_path):
    async with administered(tmp_path) as client:
        key = (await asked(client, "POST", "keys", 201, name="anna"))["key"]
        await asked(client, "PUT", "terms/org", deny=[MODEL], prompt_logging=False)
        await asked(client, "PUT", "terms/key:anna", allow=[MODEL, "z-ai/*"], prompt_logging=True)
        assert (await chat(client, key)).status_code == 400
        headers = {"x-auto-prompt-logging": "on"}
        assert (await chat(client, key, "kilo-auto/efficient", **headers)).status_code == 400
        await asked(client, "PUT", "terms/key:anna", pin="z-ai/glm-5")
        await asked(client, "PUT", "terms/org", pin="anthropic/claude-opus-4.8")
        got = await chat(client, key, "kilo-auto/balanced")
        assert got.headers["x-auto-model"] == "anthropic/claude-opus-4.8"


@pytest.mark.parametrize(
    "fields",
    [
        {"deny": ["openai/gtp-5.5"]},
        {"allow": ["kilo-auto/efficient"]},
        {"pin": "openai/gpt-9"},
        {"pin": "openai/*"},
        {"tiers": {"code": "kilo-auto/none"}},
        {"tiers": {"exploer": "kilo-auto/free"}},
        {"mappings": {"kilo-auto/none": {"default": MODEL}}},
        {"mappings": {"kilo-auto/balanced": {"default": "openai/gpt-9"}}},
        {"budgets": [{"usd": 1, "per": "day"}, {"usd": 2, "per": "day"}]},
    ],
)
async def test_terms_that_name_what_there_is_not_are_refused(tmp_path, fields):
    async with administered(tmp_path, environ={"OPENAI_API_KEY": "k"}) as client:
        for method in ("PUT", "PATCH"):
            told = await asked(client, method, "terms/org", 400, **fields)
            assert "terms: " in told["error"]["message"]
        assert "org" not in await asked(client, "GET", "terms")


async def test_terms_that_name_a_model_that_is_gone_refuse_and_say_so(tmp_path):
    async with administered(tmp_path) as client:
        registry = client.app.state.gateway.books.registry
        key = registry.create("anna", "test").key
        registry.set_terms("key:anna", {"deny": ["openai/gpt-0"]}, "test")
        client.app.state.gateway.keys.renew(registry.directory())
        got = await chat(client, key)
        assert got.status_code == 400
        assert "have its terms changed" in got.json()["error"]["message"]


# Budgets, own keys, forgetting.


async def test_budgets_are_told_with_what_is_left(tmp_path):
    async with administered(tmp_path) as client:
        await asked(client, "POST", "teams", 201, name="core")
        await asked(client, "PUT", "terms/team:core", budgets=[{"usd": 2, "per": "week"}])
        (told,) = (await asked(client, "GET", "budgets"))["data"]
        assert (told["account"], told["per"], told["left_usd"]) == ("team:core", "week", 2.0)
        assert 0 < told["resets_in_s"] <= 7 * 86_400


async def test_an_own_provider_key_is_used_and_never_told(tmp_path):
    seen = []

    def answer(request):
        seen.append(request.headers["authorization"])
        return httpx.Response(401, json={"error": {"message": "no sk-own-very-secret here"}})

    environ = {"OPENAI_API_KEY": "sk-ours"}
    transport = httpx.MockTransport(answer)
    async with administered(tmp_path, transport=transport, environ=environ) as client:
        key = (await asked(client, "POST", "keys", 201, name="anna"))["key"]
        await asked(client, "PUT", "provider-keys/key:anna/openai", key="sk-own-very-secret")
        await asked(client, "PUT", "provider-keys/key:anna/none", 404, key="k")
        await asked(client, "PUT", "provider-keys/key:none/openai", 404, key="k")
        got = await chat(client, key)
        assert seen == ["Bearer sk-own-very-secret"]
        told = await asked(client, "GET", "provider-keys")
        assert told == {"key:anna": {"openai": "readable"}}
        audit = json.dumps(await asked(client, "GET", "audit"))
        mine = await client.get("/v1/key", headers={"authorization": f"Bearer {key}"})
        for said in (audit, got.text, str(got.headers), mine.text):
            assert "very-secret" not in said
        await asked(client, "DELETE", "provider-keys/key:anna/openai")
        await chat(client, key)
        assert seen[-1] == "Bearer sk-ours"


async def test_forgetting_a_caller_is_written_down(tmp_path):
    async with administered(tmp_path) as client:
        assert await asked(client, "DELETE", "callers/anna/rows") == {
            "caller": "anna",
            "deleted": 0,
        }
        (row,) = (await asked(client, "GET", "audit"))["data"]
        assert (row["action"], row["subject"], row["actor"]) == ("rows.forget", "key:anna", "boss")


# Who am I.


async def test_a_key_is_told_what_holds_and_what_is_left(tmp_path):
    async with fake_upstream() as fake, administered(tmp_path, fake) as client:
        fake.play = replies(200, b'{"usage":{"prompt_tokens":5,"total_tokens":5,"cost":0.25}}')
        await asked(client, "POST", "teams", 201, name="core")
        key = (await asked(client, "POST", "keys", 201, name="anna", team="core"))["key"]
        await asked(client, "PUT", "terms/team:core", budgets=[{"usd": 10, "per": "month"}])
        await asked(client, "PUT", "terms/key:anna", credit_usd=1, requests_per_minute=9)
        embed = {"model": "openai/text-embedding-3-small", "input": "x"}
        headers = {"authorization": f"Bearer {key}"}
        assert (await client.post("/v1/embeddings", json=embed, headers=headers)).status_code == 200
        data = (await client.get("/v1/key", headers=headers)).json()["data"]
        assert (data["label"], data["team"], data["scopes"]) == ("anna", "core", ["inference"])
        assert (data["limit"], data["usage"], data["limit_remaining"]) == (1.0, 0.25, 0.75)
        assert data["rate_limit"] == {"requests": 9, "interval": "60s"}
        assert data["is_free_tier"] is False
        assert [(b["account"], b["left_usd"]) for b in data["budgets"]] == [
            ("team:core", 9.75),
            ("key:anna", 0.75),
        ]
        assert [(r["of"], r["left"]) for r in data["rates"]] == [("requests", 8.0)]
        assert (await client.get("/v1/key")).status_code == 401
        none = (await client.get("/v1/key", headers=ADMIN)).json()["data"]
        assert (none["limit"], none["rate_limit"]["requests"]) == (None, -1)


async def test_the_owner_is_told_too_without_a_key_and_without_books():
    async with gateway() as client:
        assert (await client.get("/v1/key")).json()["data"]["label"] == "owner"


# The first admin key.


async def test_beyond_loopback_a_start_makes_the_first_admin_key_once(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        running = client.app.state.gateway
        beyond = running.settings.model_copy(update={"host": "0.0.0.0"})
        assert _first_admin(running, running.settings) == ""
        said = _first_admin(running, beyond)
        text = greeting(beyond, 1, running, NoProxy, said)
        assert "  admin       sk-auto-" in text
        key = said.split()[0]
        again = _first_admin(running, beyond)
        assert "keys rotate first-admin" in again
        assert key not in again
        headers = {"authorization": f"Bearer {key}"}
        made = await client.post(
            "/v1/admin/keys", json={"name": "boss", "scopes": ["admin"]}, headers=headers
        )
        assert made.status_code == 201
        assert (await client.get("/v1/admin/keys", headers=headers)).status_code == 401
        ours = {"authorization": f"Bearer {made.json()['key']}"}
        rows = (await client.get("/v1/admin/keys", headers=ours)).json()["data"]
        assert {row["name"]: row["revoked_s"] is None for row in rows} == {
            FIRST_ADMIN: False,
            "boss": True,
        }
        assert _first_admin(running, beyond) == ""


class NoProxy:
    by_scheme = ()
