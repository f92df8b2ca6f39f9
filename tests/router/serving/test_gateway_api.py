"""What clients see of a working gateway: SDKs, headers, bodies, listing, errors, safety."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from typing import Any

import anthropic
import brotli
import httpx
import openai
import pytest
import zstandard

from router.evidence.catalogue import MODELS_DIR
from router.serving.headers import TOLD
from router.values import Interface
from tests.gateway_rig import (
    PATHS,
    ask,
    check_ended,
    check_error,
    event_data,
    fake_upstream,
    gateway,
    good,
    replies,
)

FORMATS = list(Interface)
CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
TEXT = "This is a simulated reply"
TOOL = {
    "name": "read_file",
    "description": "Read.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["path"],
    },
}


def openai_sdk(client: httpx.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{client.base_url}/v1", api_key="any", max_retries=0)


def anthropic_sdk(client: httpx.AsyncClient) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=str(client.base_url), api_key="any", max_retries=0)


# The SDKs, with the simulated provider behind.


async def test_the_openai_sdk_gets_chat_completions():
    async with gateway() as client, openai_sdk(client) as sdk:
        messages: Any = [{"role": "user", "content": "Hello"}]
        got = await sdk.chat.completions.create(model="kilo-auto/efficient", messages=messages)
        assert TEXT in got.choices[0].message.content
        assert got.usage.prompt_tokens_details.cached_tokens == 0
        raw = await sdk.chat.completions.with_raw_response.create(
            model="kilo-auto/efficient", messages=messages, stream=True
        )
        assert raw.headers["x-auto-model"] == "openai/gpt-5.5"
        pieces = [c.choices[0].delta.content or "" async for c in raw.parse()]
        assert TEXT in "".join(pieces)
        assert len(pieces) > 5


async def test_the_openai_sdk_gets_responses():
    async with gateway() as client, openai_sdk(client) as sdk:
        got = await sdk.responses.create(model="kilo-auto/efficient", input="Hello")
        assert TEXT in got.output_text
        async with sdk.responses.stream(model="kilo-auto/efficient", input="Hello") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert TEXT in final.output_text
        assert kinds[-1] == "response.completed"


async def test_the_anthropic_sdk_gets_messages():
    async with gateway() as client, anthropic_sdk(client) as sdk:
        messages: Any = [{"role": "user", "content": "Hello"}]
        settings: Any = {"model": "kilo-auto/efficient", "max_tokens": 50, "messages": messages}
        got = await sdk.messages.create(**settings)
        assert TEXT in got.content[0].text
        async with sdk.messages.stream(**settings) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert TEXT in text
        assert final.stop_reason == "end_turn"
        counted = await sdk.messages.count_tokens(model="kilo-auto/efficient", messages=messages)
        assert counted.input_tokens > 0
        beta = await sdk.beta.messages.create(**settings, betas=["context-management-2025-06-27"])
        assert beta.content


async def test_tools_and_reasoning_reach_the_sdks():
    async with gateway() as client, openai_sdk(client) as o, anthropic_sdk(client) as a:
        text = "Please use read_file [[simulate: reasoning]]"
        chat = await o.chat.completions.create(
            model="openai/gpt-5.5",
            messages=[{"role": "user", "content": text}],
            tools=[{"type": "function", "function": TOOL}],
        )
        call = chat.choices[0].message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"path": "simulated"}
        tool = {k: TOOL[k] for k in ("name", "description")} | {"input_schema": TOOL["parameters"]}
        async with a.messages.stream(
            model="openai/gpt-5.5",
            max_tokens=9,
            messages=[{"role": "user", "content": text}],
            tools=[tool],
        ) as stream:
            final = await stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "tool_use"]
        assert final.content[1].input == {"path": "simulated"}
        async with o.responses.stream(
            model="openai/gpt-5.5",
            input=text,
            tools=[{"type": "function", "strict": False, **TOOL}],
        ) as stream:
            done = await stream.get_final_response()
        assert [item.type for item in done.output] == ["reasoning", "function_call"]


async def test_the_sdks_see_errors_as_their_own():
    async with gateway() as client, openai_sdk(client) as o, anthropic_sdk(client) as a:
        messages: Any = [{"role": "user", "content": "[[simulate: status=400]]"}]
        with pytest.raises(openai.BadRequestError) as told:
            await o.chat.completions.create(model="openai/gpt-5.5", messages=messages)
        assert told.value.code == "context_length_exceeded"
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            await a.messages.create(model="openai/gpt-5.5", max_tokens=5, messages=messages)
        messages = [{"role": "user", "content": "[[simulate: cut=3]]"}]
        with pytest.raises(openai.APIError):
            stream = await o.chat.completions.create(
                model="openai/gpt-5.5", messages=messages, stream=True
            )
            [chunk async for chunk in stream]
        with pytest.raises(anthropic.APIError):
            async with a.messages.stream(
                model="openai/gpt-5.5", max_tokens=5, messages=messages
            ) as stream:
                await stream.get_final_message()


async def test_models_are_listed_for_both_sdks():
    async with gateway() as client, openai_sdk(client) as o, anthropic_sdk(client) as a:
        listed = [model.id async for model in o.models.list()]
        assert listed[:4] == [
            f"kilo-auto/{tier}" for tier in ("frontier", "balanced", "efficient", "free")
        ]
        assert (await o.models.retrieve("kilo-auto/efficient")).id == "kilo-auto/efficient"
        assert (await o.models.retrieve("kilo/auto")).id == "kilo-auto/frontier"
        assert [model.id async for model in a.models.list()] == listed
        assert (await a.models.retrieve("kilo-auto/free")).display_name == "Auto Free"
        with pytest.raises(openai.NotFoundError):
            await o.models.retrieve("no/such")


# Headers, paths and the dry run.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_headers_say_what_was_decided(interface, stream):
    async with gateway() as client:
        body = ask(interface, "kilo-auto/efficient", stream=stream)
        response = await client.post(PATHS[interface], json=body)
        headers = response.headers
        assert headers["x-auto-tier"] == "kilo-auto/efficient"
        assert headers["x-auto-model"] == "openai/gpt-5.5"
        assert headers["x-auto-effort"] == "low"
        assert "/" in headers["x-auto-task"]
        assert 1 <= float(headers["x-auto-difficulty"]) <= 4
        assert 0 <= float(headers["x-auto-confidence"]) <= 1
        assert headers["x-auto-reason"] == "the stub decided ? ?so??"
        assert len(headers["x-auto-decision-id"]) == 16
        assert "x-auto-fallbacks" not in headers
        if stream:
            check_ended(interface, response.content)


@pytest.mark.parametrize("prefix", ["/v1", "/api/gateway", "/api/gateway/v1", "/api/openrouter",
                                    "/api/openrouter/v1"])  # fmt: skip
async def test_every_prefix_serves_the_whole_api(prefix):
    async with gateway() as client:
        for interface in FORMATS:
            path = prefix + PATHS[interface].removeprefix("/v1")
            response = await client.post(path, json=ask(interface, "openai/gpt-5.5"))
            assert response.status_code == 200
        assert (await client.get(prefix + "/models")).json()["data"][0]["preferredIndex"] == 0
        quoted = await client.get(prefix + "/models/kilo-auto%2Fefficient")
        assert quoted.json()["id"] == "kilo-auto/efficient"
        counted = await client.post(
            prefix + "/messages/count_tokens", json=ask(MESSAGES, "openai/gpt-5.5")
        )
        assert counted.json()["input_tokens"] > 0


async def test_the_list_has_what_pickers_read():
    async with gateway() as client:
        shown = (await client.get("/v1/models?hidden=false")).json()["data"]
        hidden = (await client.get("/v1/models")).json()["data"]
        extra = {e["id"] for e in hidden} - {e["id"] for e in shown}
        assert extra == {"kilo-auto/small"}
        for entry in hidden:
            assert entry["name"]
            assert entry["description"]
            assert entry["context_length"] > 0 or not entry["id"].startswith("kilo-auto")
            assert all(isinstance(price, str) for price in entry["pricing"].values())
            assert "text" in entry["architecture"]["input_modalities"]
            assert isinstance(entry["isFree"], bool)
            assert entry["data_handling"]
        tiers = {e["id"]: e for e in hidden if e["id"].startswith("kilo-auto/")}
        variants = tiers["kilo-auto/frontier"]["opencode"]["variants"]
        assert variants["plan"]["reasoning"]["effort"] == "medium"
        assert len(tiers["kilo-auto/free"]["autoRouting"]["models"]) == 4
        assert tiers["kilo-auto/free"]["isFree"]


async def test_the_list_tells_when_a_model_ends_or_was_found_gone():
    async with gateway() as client:
        listed = {e["id"]: e for e in (await client.get("/v1/models")).json()["data"]}
        assert listed["openai/gpt-5-mini"]["expiration_date"] == "2026-12-11"
        assert listed["minimax/minimax-m2.1"]["expiration_date"] == "2026-11-20"
        assert listed["openai/gpt-5.5"]["expiration_date"] is None
        assert "minimax/minimax-m2.1" not in listed["kilo-auto/efficient"]["autoRouting"]["models"]


async def test_a_model_that_was_found_gone_is_still_had_by_its_name():
    async with gateway() as client:
        reply = await client.post(PATHS[CHAT], json=ask(CHAT, "x-ai/grok-4"))
        assert reply.status_code == 200
        assert reply.headers["x-auto-model"] == "x-ai/grok-4"


async def test_the_dry_run_tells_the_formats_apart_and_calls_nothing():
    async with fake_upstream() as fake, gateway(fake) as client:
        for interface in FORMATS:
            body = ask(interface, "kilo-auto/balanced") | (
                {"system": "x"} if interface is MESSAGES else {}
            )
            told = (await client.post("/v1/route", json=body)).json()
            assert told["interface"] == interface.value
            assert told["attempts"][0]["model"] == told["model"]
            assert told["why"]
        assert not fake.seen


async def test_health_says_what_is_degraded(tmp_path):
    for name in ("catalogue.toml", "providers.toml"):
        shutil.copy(MODELS_DIR / name, tmp_path)
    async with gateway(models_dir=tmp_path) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json()["status"] == "ok"
        path = tmp_path / "catalogue.toml"
        path.write_text("broken = [")
        os.utime(path, ns=(1, 1))
        for _ in range(100):
            ready = (await client.get("/readyz")).json()
            if ready["status"] == "degraded":
                break
            await asyncio.sleep(0.02)
        assert "catalogue" in ready["problem"]
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/balanced"))
        assert answer.headers["x-auto-model"] == "qwen/qwen3.6-plus"


# What the upstream sees.


async def sent_for(body: dict[str, Any], interface: Interface, headers=None, **overrides):
    async with fake_upstream() as fake, gateway(fake, **overrides) as client:
        response = await client.post(PATHS[interface], json=body, headers=headers)
        assert response.status_code == 200
        return fake.seen[-1]


async def test_effort_and_verbosity_are_written_in_each_formats_own_fields():
    chat = (await sent_for(ask(CHAT, "kilo-auto/frontier"), CHAT)).fields
    assert (chat["reasoning_effort"], chat["verbosity"]) == ("medium", "medium")
    body = ask(RESPONSES, "kilo-auto/frontier") | {"reasoning": {"summary": "auto"}}
    responses = (await sent_for(body, RESPONSES)).fields
    assert responses["reasoning"] == {"summary": "auto", "effort": "medium"}
    assert responses["text"] == {"verbosity": "medium"}
    body = ask(MESSAGES, "kilo-auto/frontier") | {"output_config": {"effort": "high", "format": {}}}
    messages = (await sent_for(body, MESSAGES)).fields
    assert messages["output_config"] == {"effort": "medium", "format": {}}
    assert "verbosity" not in messages
    balanced = (await sent_for(ask(CHAT, "kilo-auto/balanced"), CHAT)).fields
    assert balanced["reasoning"] == {"enabled": True}


@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_concrete_id_passes_byte_for_byte(interface):
    body = ask(interface, "any/model:free") | {"unknown": [1e400 > 1, {"é": None}], "store": False}
    raw = json.dumps(body, indent=3).encode()
    async with fake_upstream() as fake, gateway(fake) as client:
        await client.post(PATHS[interface], content=raw)
        assert fake.seen[-1].body == raw


async def test_nothing_of_the_clients_identity_reaches_the_upstream():
    secret = {
        "authorization": "Bearer client-secret", "x-api-key": "client-secret",
        "cookie": "a=client-secret", "x-forwarded-for": "9.9.9.9", "forwarded": "for=9.9.9.9",
        "x-real-ip": "9.9.9.9", "proxy-authorization": "client-secret", "te": "trailers",
        "x-provider-key-openai": "client-secret", "x-secret": "client-secret",
        "anthropic-beta": "tools-1", "x-title": "Kilo Code",
    }  # fmt: skip
    theirs = secret | {"x-goog-api-key": "good-key"}
    keyed = {"upstream_key": "our-key", "callers": [caller()]}
    seen = await sent_for(ask(MESSAGES, "a/b"), MESSAGES, theirs, **keyed)
    assert set(seen.headers) <= {
        "host", "content-type", "accept", "accept-encoding", "user-agent", "content-length",
        "authorization", "anthropic-version", "anthropic-beta", "x-title",
    }  # fmt: skip
    assert seen.headers["authorization"] == "Bearer our-key"
    assert "client-secret" not in str(seen.headers)


async def test_nothing_of_ours_reaches_the_client():
    error = b'{"error":{"message":"bad request by our-secret-key"}}'
    async with fake_upstream() as fake, gateway(fake, upstream_key="our-secret-key") as client:
        fake.play = replies(400, error, "set-cookie: a=b", "x-organization: us", "request-id: r1")
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "a/b"))
        assert "our-secret-key" not in response.text
        assert "set-cookie" not in response.headers
        assert "x-organization" not in response.headers
        assert response.headers["request-id"] == "r1"
        fake.play = replies(401, error)
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "a/b"))
        assert response.status_code == 503
        assert "our-secret-key" not in response.text


async def test_a_key_the_client_brought_is_used_and_its_refusal_is_the_clients():
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer mine"
        assert str(request.url) == "https://api.openai.com/v1/chat/completions"
        assert json.loads(request.content)["model"] == "gpt-5.5"
        return httpx.Response(401, json={"error": {"message": "bad key mine"}})

    async with gateway(transport=httpx.MockTransport(answer)) as client:
        headers = {"x-provider-key-openai": "mine"}
        body = ask(CHAT, "openai/gpt-5.5")
        response = await client.post(PATHS[CHAT], json=body, headers=headers)
        assert response.status_code == 401
        assert response.json() == {"error": {"message": "bad key ***"}}


async def test_references_to_what_a_provider_stored_are_dropped():
    body = ask(RESPONSES, "kilo-auto/balanced")
    body["input"].insert(0, {"type": "item_reference", "id": "rs_1"})
    seen = await sent_for(body, RESPONSES)
    assert [item.get("type") for item in seen.fields["input"]] == [None]


REASONING = {
    CHAT: {
        "role": "assistant",
        "content": "hi",
        "reasoning_content": "aloud",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "sig"}],
    },
    MESSAGES: {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "hi"},
        ],
    },
    RESPONSES: {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
}


@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_foreign_reasoning_goes_when_the_family_changes_and_only_then(interface):
    async with fake_upstream() as fake, gateway(fake) as client:

        async def turn(model: str, *more: Any) -> dict[str, Any]:
            body = ask(interface, model) | {"prompt_cache_key": "session-1"}
            body["input" if interface is RESPONSES else "messages"].extend(more)
            await client.post(PATHS[interface], json=body)
            return fake.seen[-1].fields

        said, user = REASONING[interface], {"role": "user", "content": "go on"}
        await turn("anthropic/claude-opus-4.7")
        same = await turn("anthropic/claude-sonnet-4.6", said, user)
        assert said in same.get("messages", same.get("input"))
        other = await turn("openai/gpt-5.5", said, user)
        items = other.get("messages", other.get("input"))
        assert said not in items
        assert "sig" not in str(items)
        assert "hm" not in str(items)
        assert ("aloud" in str(items)) == (interface is CHAT)
        assert items[-1] == user


def strict_provider(seen: list[dict[str, Any]]):
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        said = {"message": {"content": "yes"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [said], "usage": {"prompt_tokens": 1}})

    return httpx.MockTransport(answer)


async def test_a_strict_vendor_is_not_sent_what_it_refuses():
    seen: list[dict[str, Any]] = []
    body = ask(CHAT, "openai/gpt-5.5") | {"description": "a model", "usage": {"include": True}}
    body["messages"][0]["__copilotMessageSource"] = "x"
    environ = {"OPENAI_API_KEY": "k"}
    async with gateway(transport=strict_provider(seen), environ=environ) as client:
        response = await client.post(PATHS[CHAT], json=body)
    assert response.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert seen == [ask(CHAT, "gpt-5.5")]


# Who may call, and how much.


def caller(**more: Any) -> dict[str, Any]:
    return {"name": "anna", "sha256": hashlib.sha256(b"good-key").hexdigest(), **more}


@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_with_a_key_configured_keys_count(interface):
    async with gateway(callers=[caller(balance=False, deny=["a/b"])]) as client:
        path = PATHS[interface]
        wrong = await client.post(path, json=ask(interface, "a/b"), headers={"x-api-key": "no"})
        assert wrong.status_code == 401
        check_error(interface, wrong)
        none = await client.post(path, json=ask(interface, "kilo-auto/frontier"))
        assert none.status_code == 401
        assert "kilo-auto/free" in check_error(interface, none)["message"]
        free = await client.post(path, json=ask(interface, ""))
        assert free.headers["x-auto-tier"] == "kilo-auto/free"
        good = {"authorization": "Bearer good-key"}
        small = await client.post(path, json=ask(interface, "auto-small"), headers=good)
        assert small.headers["x-auto-model"] == "google/gemma-4-26b-a4b-it:free"
        denied = await client.post(path, json=ask(interface, "a/b"), headers=good)
        assert denied.status_code == 400
        default = await client.post(path, json=ask(interface, ""), headers=good)
        assert default.headers["x-auto-tier"] == "kilo-auto/balanced"


async def test_anonymous_callers_are_limited_by_address():
    limits = {"callers": [caller()], "anonymous_per_hour": 3, "trust_forwarded": True}
    async with gateway(**limits) as client:

        async def status(address: str, **headers: str) -> httpx.Response:
            headers["x-forwarded-for"] = f"6.6.6.6, {address}"
            body = ask(CHAT, "kilo-auto/free")
            return await client.post(PATHS[CHAT], json=body, headers=headers)

        assert [(await status("1.1.1.1")).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = await status("1.1.1.1")
        assert 0 < int(refused.headers["retry-after"]) <= 3600
        assert (await status("2.2.2.2")).status_code == 200
        assert (await status("1.1.1.1", authorization="Bearer good-key")).status_code == 200


async def test_a_forwarded_address_counts_only_when_the_proxy_is_trusted():
    async with gateway(callers=[caller()], anonymous_per_hour=1) as client:
        codes = [
            (
                await client.post(
                    PATHS[CHAT],
                    json=ask(CHAT, "kilo-auto/free"),
                    headers={"x-forwarded-for": f"{i}.1.1.1"},
                )
            ).status_code
            for i in range(2)
        ]
        assert codes == [200, 429]


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
async def test_encoded_bodies_are_read_and_sent_on_plain(encoding):
    raw = json.dumps(ask(CHAT, "a/b", text="x" * 100_000)).encode()
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    async with fake_upstream() as fake, gateway(fake, requests={"body_bytes": 200_000}) as client:
        packed = ENCODERS[encoding](raw)
        response = await client.post(PATHS[CHAT], content=packed, headers=headers)
        assert response.status_code == 200
        assert fake.seen[-1].body == raw
        bomb = ENCODERS[encoding](b" " * 50_000_000)
        refused = await client.post(PATHS[CHAT], content=bomb, headers=headers)
        assert refused.status_code == 413
        for broken in (packed[:-20], b"nonsense", b""):
            bad = await client.post(PATHS[CHAT], content=broken, headers=headers)
            assert bad.status_code == 400, broken[:20]


NESTED = b'{"model":"a/b","messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
TOOLS = (
    b'{"model":"kilo-auto/efficient","tools":' + b'[{"tools":' * 400 + b"[]" + b"}]" * 400 + b"}"
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"nonsense", 400), (b"[]", 400), (b'"x"', 400), (b'{"model":', 400),
        (NESTED, 400), (b" " * 300_000, 413),
        (json.dumps({"model": "a/b", "tools": [{}] * 3000}).encode(), 413),
        (b'{"model":"kilo-auto/efficient","messages":"\xff"}', 400),
        (TOOLS, (200, 400)), (b'{"model":5}', (200, 400)), (b"{}", (200, 400)),
        (b'{"model":"kilo-auto/efficient","messages":7}', (200, 400)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_hostile_bodies_are_refused_clearly(interface, body, status):
    async with gateway(requests={"body_bytes": 200_000}) as client:
        response = await client.post(PATHS[interface], content=body)
        expected = status if isinstance(status, tuple) else (status,)
        assert response.status_code in expected, response.text
        if response.status_code >= 400:
            check_error(interface, response)


async def raw(client: httpx.AsyncClient, data: bytes, wait_s: float = 3) -> bytes:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), wait_s)
    finally:
        writer.close()


async def test_slow_and_smuggled_requests_are_refused():
    async with gateway(requests={"body_s": 0.2, "header_s": 0.2}) as client:
        assert b" 408 " in await raw(client, b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n")
        assert b" 408 " in await raw(client, b"")
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
        assert b" 408 " in await raw(client, head + b"content-length: 50\r\n\r\n{")
        assert b" 431 " in await raw(client, head + b"x: " + b"a" * 100_000)
        both = b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        assert b" 400 " in await raw(client, head + both)
        assert b" 400 " in await raw(client, head + b"content-length: -1\r\n\r\n")
        assert b" 400 " in await raw(client, head + b"bad header\r\n\r\n")


async def test_the_limit_of_a_head_is_what_the_settings_say():
    async with gateway(requests={"header_bytes": 500}) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/healthz", headers={"x": "a" * 5000})).status_code == 431


async def test_unknown_paths_and_methods_are_told_in_the_callers_format():
    async with gateway() as client:
        for path, interface in (("/v1/nothing", CHAT), ("/v1/messages/x", MESSAGES)):
            response = await client.post(path, json={})
            assert response.status_code == 404
            check_error(interface, response)
        assert (await client.get("/v1/chat/completions")).json()["data"] == []
        assert (await client.put("/v1/chat/completions")).status_code == 405


async def test_open_streams_are_drained_on_shutdown():
    async with httpx.AsyncClient(timeout=5) as other:
        async with gateway(simulated_tokens_per_s=400) as client:
            url = f"{client.base_url}{PATHS[CHAT]}"
            task = asyncio.create_task(
                other.post(url, json=ask(CHAT, "openai/gpt-5.5", stream=True))
            )
            await asyncio.sleep(0.1)
        response = await task
    check_ended(CHAT, response.content)
    assert len(event_data(response.content)) > 10


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_says_where_it_is_answers_and_stops_when_told(workers):
    code = (
        "from router.serving.app import serve; from router.settings import Settings;"
        f"serve(Settings(port=0, workers={workers}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as run:
        try:
            url = next(line.split()[-1] for line in run.stderr if "listens on" in line)
            for _ in range(600):  # two workers on a busy machine take their time
                with contextlib.suppress(httpx.ConnectError):
                    assert httpx.get(f"{url}/healthz").status_code == 200
                    break
                time.sleep(0.1)
            body = ask(CHAT, "kilo-auto/efficient", stream=True)
            response = httpx.post(f"{url}{PATHS[CHAT]}", json=body, timeout=10)
            check_ended(CHAT, response.content)
        finally:
            run.terminate()
            assert run.wait(10) in (0, -15)


async def test_every_header_that_is_sent_has_a_row():
    """What documents the headers is what writes them; nothing is sent beside it."""
    async with fake_upstream() as fake, gateway(fake) as client:

        async def second(seen, writer):
            play = good if "sonnet" in seen.fields["model"] else replies(500, b"")
            return await play(seen, writer)

        fake.play = second
        served = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        failed = await client.post(PATHS[CHAT], json=ask(CHAT, "z-ai/glm-5"))
        sent = {name for name in served.headers if name.startswith("x-auto-")}
        assert sent | {"x-auto-served-model"} == {told.name for told in TOLD}
        assert {name for name in failed.headers if name.startswith("x-auto-")} <= sent


async def test_an_error_after_a_plan_says_what_was_planned_and_why():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(500, b"")
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/frontier"))
        assert response.status_code == 502
        assert response.headers["x-auto-tier"] == "kilo-auto/frontier"
        assert response.headers["x-auto-reason"].startswith("Auto Frontier: no known mode maps to")
        assert response.headers["x-auto-fallbacks"].count("=status 500") == 2
