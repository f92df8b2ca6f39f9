"""What only its own vendor can honour keeps every other vendor out."""

from __future__ import annotations

import orjson
import pytest

from router.values import Interface
from router.wire.request import parse
from tests.gateway_rig import PATHS, ask, gateway

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
FUNCTION = {"type": "function", "name": "f", "parameters": {}}


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
    (RESPONSES, {"tools": [FUNCTION, {"type": "web_search"}]}, "openai"),
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


async def test_a_tier_serves_with_that_vendor_or_says_what_binds():
    body = ask(RESPONSES, "kilo-auto/balanced") | {"tools": [{"type": "web_search"}]}
    async with gateway() as client:
        served = await client.post(PATHS[RESPONSES], json=body)
        assert served.headers["x-auto-model"].startswith("openai/")
        body["model"] = "kilo-auto/free"
        refused = await client.post(PATHS[RESPONSES], json=body)
    assert refused.status_code == 400
    assert (
        "its tool web_search works with openai or x-ai only" in refused.json()["error"]["message"]
    )
