"""What only its own vendor can honour keeps every other vendor out."""

from __future__ import annotations

import orjson
import pytest

from router.values import Interface, Unit
from router.wire.request import parse
from tests.gateway_rig import PATHS, StubEngine, ask, fake_upstream, gateway

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
FUNCTION = {"type": "function", "name": "f", "parameters": {}}


SEARCH = {"type": "web_search_20250305", "name": "search"}


def part(interface, *parts):
    key = "input" if interface is RESPONSES else "messages"
    return {key: [{"role": "user", "content": list(parts)}]}


def vendors(interface, more):
    needs = parse(orjson.dumps(ask(interface, "m") | more), interface=interface).needs
    known = ("openai/gpt-5.5", "anthropic/claude-opus-4.8", "google/gemini-3.5-flash", "a/b")
    return {m.partition("/")[0] for m in known if not any(b.refuses(m) for b in needs.bound)}


ANY = {"openai", "anthropic", "google", "a"}

KEPT = [
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "anthropic"),
    (MESSAGES, {"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "anthropic"),
    (MESSAGES, {"tools": [{"name": "f"}, {"type": "bash_20250124", "name": "bash"}]}, "anthropic"),
    (MESSAGES, {"container": "container_1"}, "anthropic"),
    (MESSAGES, {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, "anthropic"),
    (MESSAGES, part(MESSAGES, {"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
     "anthropic"),
    (MESSAGES, part(MESSAGES, {"type": "container_upload", "file_id": "file_1"}), "anthropic"),
    (MESSAGES, {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}]}]}, "anthropic"),
    (RESPONSES, {"tools": [{"type": "web_search"}]}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "web_search"}], "tool_choice": {"type": "web_search"}},
     "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "web_search"}], "tool_choice": {"type": "allowed_tools",
     "tools": [{"type": "web_search"}]}}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "web_search_preview"}], "input": [
        {"role": "user", "content": "hi"}, {"type": "web_search_call", "id": "w"}]}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["v"]}]}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "mcp", "server_label": "x"}]}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "local_shell"}]}, "openai"),
    (RESPONSES, {"tools": [FUNCTION, {"type": "code_interpreter", "container": "c"}]}, "openai"),
    (MESSAGES, {"tools": [{"name": "f"}, SEARCH], "tool_choice": {"type": "tool", "name": "search"}},
     "anthropic"),
    (CHAT, {"tools": [FUNCTION, {"google_search": {}}], "tool_choice": {"type": "google_search"}},
     "google"),
    (RESPONSES, {"tools": [{"type": "web_search_preview"}]}, "openai"),
    (RESPONSES, {"tools": [{"type": "file_search", "vector_store_ids": ["vs"]}]}, "openai"),
    (RESPONSES, {"tools": [{"type": "computer_use_preview"}]}, "openai"),
    (RESPONSES, {"tools": [{"type": "mcp", "server_label": "x"}]}, "openai"),
    (RESPONSES, {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "openai"),
    (RESPONSES, {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]},
     "openai"),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "openai"),
    (RESPONSES, part(RESPONSES, {"type": "input_file", "file_id": "file-1"}), "openai"),
    (RESPONSES, part(RESPONSES, {"type": "input_image", "file_id": "file-1"}), "openai"),
    (CHAT, part(CHAT, {"type": "file", "file": {"file_id": "file-1"}}), "openai"),
    (CHAT, {"tools": [{"google_search": {}}]}, "google"),
    (CHAT, {"cached_content": "cachedContents/1"}, "google"),
    (CHAT, {"extra_body": {"google": {"cached_content": "cachedContents/1"}}}, "google"),
]  # fmt: skip


@pytest.mark.parametrize(("interface", "more", "vendor"), KEPT)
def test_what_a_vendor_runs_or_keeps_goes_to_that_vendor(interface, more, vendor):
    assert vendors(interface, more) == {vendor}


@pytest.mark.parametrize(
    ("interface", "more"),
    [
        (MESSAGES, {"tools": [{"name": "web_search", "input_schema": {}}, {"type": "custom"}]}),
        (RESPONSES, {"tools": [FUNCTION, {"type": "namespace", "name": "n", "tools": [FUNCTION]}]}),
        (RESPONSES, {"tools": [{"type": "openrouter:web_search"}], "background": False}),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "web_search"}}]}),
        (CHAT, {"tools": [{"name": "f"}, {}]}),
        (
            CHAT,
            part(CHAT, {"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}}),
        ),
    ],
)
def test_the_clients_own_tools_and_files_go_to_anyone(interface, more):
    assert vendors(interface, more) == ANY


def decides_on(unit):
    engine = StubEngine()
    engine.unit = unit
    return engine


LISTED = [
    (CHAT, {"google_search": {}}, "google_search", "openai/gpt-5.5"),
    (RESPONSES, {"type": "web_search"}, "web_search", "deepseek/deepseek-v4-pro"),
    (RESPONSES, {"type": "image_generation"}, "image_generation", "deepseek/deepseek-v4-pro"),
    (MESSAGES, SEARCH, "web_search_20250305", "openai/gpt-5.5"),
]


@pytest.mark.parametrize(("interface", "tool", "kind", "model"), LISTED)
async def test_beside_the_clients_own_a_tool_is_left_out_where_it_is_not_run(
    interface, tool, kind, model
):
    own = {"name": "f", "input_schema": {}} if interface is MESSAGES else FUNCTION
    body = ask(interface, "kilo-auto/efficient") | {"tools": [own, tool, own]}
    assert vendors(interface, body) == ANY
    async with fake_upstream() as fake, gateway(fake, engine=decides_on(Unit(model))) as client:
        said = await client.post(PATHS[interface], json=body)
        assert said.headers["x-auto-model"] == model
        assert fake.seen[-1].fields["tools"] == [own, own]
        assert f"refuses {kind}: left out" in said.headers["x-auto-reason"]
        said = await client.post(PATHS[interface], json=body | {"model": model})
        assert fake.seen[-1].fields["tools"] == [own, tool, own]


async def test_who_runs_a_tool_is_sent_it():
    body = ask(RESPONSES, "kilo-auto/efficient") | {"tools": [FUNCTION, {"type": "web_search"}]}
    unit = Unit("openai/gpt-5.5", "low")
    async with fake_upstream() as fake, gateway(fake, engine=decides_on(unit)) as client:
        said = await client.post(PATHS[RESPONSES], json=body)
        assert fake.seen[-1].fields["tools"] == body["tools"]
        assert "left out" not in said.headers["x-auto-reason"]


async def test_a_tool_that_an_item_adds_is_left_out_too():
    added = {"type": "additional_tools", "tools": [FUNCTION, {"type": "web_search"}]}
    items = [added, {"role": "user", "content": "hi"}]
    body = ask(RESPONSES, "kilo-auto/efficient") | {"input": items}
    engine = decides_on(Unit("deepseek/deepseek-v4-pro"))
    async with fake_upstream() as fake, gateway(fake, engine=engine) as client:
        said = await client.post(PATHS[RESPONSES], json=body)
        assert said.status_code == 200
        assert b"web_search" not in fake.seen[-1].body
        assert b'"f"' in fake.seen[-1].body


async def test_a_tier_serves_with_that_vendor_or_says_what_binds():
    body = ask(RESPONSES, "kilo-auto/balanced") | {"tools": [{"type": "web_search"}]}
    async with gateway() as client:
        served = await client.post(PATHS[RESPONSES], json=body)
        assert served.headers["x-auto-model"].startswith("openai/")
        body["model"] = "kilo-auto/free"
        refused = await client.post(PATHS[RESPONSES], json=body)
    assert refused.status_code == 400
    said = refused.json()["error"]["message"]
    assert "its tool web_search works with openai or x-ai only" in said
    assert 'turn off web_search in the client (Codex: web_search = "disabled"' in said
    assert "_API_KEY" not in said


async def test_where_a_key_would_bring_the_vendor_the_error_offers_it():
    body = ask(RESPONSES, "kilo-auto/efficient") | {"tools": [{"type": "web_search"}]}
    async with gateway(environ={"GROQ_API_KEY": "k"}) as client:
        said = (await client.post(PATHS[RESPONSES], json=body)).json()["error"]["message"]
    assert "turn off web_search in the client" in said
    assert "OPENROUTER_API_KEY" in said
