"""Single requests: every tier and format, wishes in headers, clients' ways, bodies of every kind."""

from __future__ import annotations

from itertools import cycle

from tests.recording.cases.asks import ASKS, NAMED, TIERS
from tests.recording.cases.case import EFFICIENT, Case, Cases, ask, post
from tests.recording.formats import CHAT, MESSAGES, RESPONSES, SCHEMA, WIRES, Fields, Wire

MODES = [
    "plan", "general", "architect", "orchestrator", "ask", "debug", "build", "explore", "code",
    "Code", "surprise", "title", "compaction",
]  # fmt: skip


def matrix() -> Cases:
    """Yield every tier and some models, in every format, whole and streamed."""
    texts = cycle(ASKS)
    for wire in WIRES:
        for model in TIERS + NAMED:
            for streams in (False, True):
                name = f"{model or 'no model'}{', streamed' * streams}"
                fields = ask(wire, next(texts), model, stream=streams)
                yield post(name, wire, fields, named=False)


def modes() -> Cases:
    for wire, mode in ((wire, mode) for wire in WIRES for mode in MODES):
        model = EFFICIENT if wire is CHAT else "kilo-auto/frontier"
        fields = ask(wire, "Let the user choose a time zone", model)
        yield post(f"mode {mode}", wire, fields, {"x-kilocode-mode": mode})


WISHES: list[dict[str, str]] = [
    *({"x-auto-dial": dial} for dial in ("quality", "balanced", "economy", "Quality", "", "max")),
    *({"x-auto-max-cost": cost} for cost in ("0.02", "0.2", "1e-9", "cheap", "nan", "0")),
    *({"x-auto-min-quality": least} for least in ("0.5", "0.75", "0.99", "good")),
    *({"x-auto-open-weights": word} for word in ("true", "1", "on", "no")),
    {"x-auto-allow": "openai/gpt-5.5, minimax/minimax-m3"},
    {"x-auto-allow": "anthropic/claude-sonnet-4.6"},
    {"x-auto-allow": "acme/unheard-of"},
    {"x-auto-deny": "minimax/minimax-m3 minimax/minimax-m2.7,openai/gpt-5.5"},
    {"x-auto-deny": "anthropic/claude-sonnet-4.6"},
    {"x-auto-allow": "minimax/minimax-m3", "x-auto-deny": "minimax/minimax-m3"},
    {"x-auto-dial": "economy", "x-auto-open-weights": "true", "x-auto-max-cost": "0.5"},
    {"x-auto-dial": "quality", "x-auto-min-quality": "0.3", "x-auto-max-cost": "2"},
    *({"x-auto-pin": model} for model in ("openai/gpt-5.5", "x-ai/grok-4", "acme/unheard-of")),
    *({"x-auto-switch": word} for word in ("off", "on", "perhaps")),
    *({"x-auto-reassess": word} for word in ("true", "soon")),
    {"x-auto-unknown": "anything"},
]


def wishes() -> Cases:
    """Yield what a request may ask for in headers, on two tiers and by name."""
    wires = cycle(WIRES)
    for n, headers in enumerate(WISHES):
        told = " ".join(f"{k}={v}" for k, v in headers.items())
        for model in (EFFICIENT, ("kilo-auto/frontier", "openai/gpt-5.5")[n % 2]):
            wire = next(wires)
            yield post(f"{told} on {model}", wire, ask(wire, ASKS[7], model), headers)


TITLED = {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {}}}}
CALLS: list[tuple[str, Wire, dict[str, str], Fields]] = [
    ("title by an agent without tools", CHAT, {"user-agent": "opencode/1.0"}, {}),
    ("title by a small model's name", CHAT, {"user-agent": "qwencode/1"}, {"model": "auto-small"}),
    ("title by its schema", MESSAGES, {"user-agent": "claude-cli/2"}, {"output_config": {"format": TITLED}}),
    ("title by its schema", RESPONSES, {"user-agent": "codex_cli"}, {"text": {"format": TITLED}}),
    ("agent with tools", CHAT, {"user-agent": "Kilo-Code/5.1"}, {"tools": CHAT.base["tools"]}),
    ("compaction declared", MESSAGES, {"x-claude-code-request-class": "compaction"}, {}),
    ("auxiliary", MESSAGES, {"x-claude-code-request-class": "auxiliary"}, {}),
    ("side reply", MESSAGES, {"x-claude-code-request-class": "side_reply"}, {"tools": MESSAGES.base["tools"]}),
    ("subagent", MESSAGES, {"x-claude-code-agent-id": "a7", "x-claude-code-session-id": "s7"}, {}),
    ("subagent", CHAT, {"x-kilocode-parent-taskid": "t1", "x-kilocode-taskid": "t2"}, {}),
    ("turn metadata", RESPONSES, {"x-codex-turn-metadata": '{"request_kind": "compaction"}'}, {}),
    ("memory in the body", RESPONSES, {"originator": "codex_cli"}, {"client_metadata": {"request_kind": "memory"}}),
    ("thread", RESPONSES, {"originator": "codex_exec", "thread-id": "th_1", "session-id": "se_1"}, {}),
]  # fmt: skip
SESSION_IDS: list[tuple[str, Wire, dict[str, str], Fields]] = [
    *((f"named by {name}", CHAT, {name: f"session-{name}"}, {}) for name in (
        "x-kilocode-taskid", "x-claude-code-session-id", "session-id", "x-session-id", "thread-id",
    )),
    ("named by a cache key", RESPONSES, {}, {"prompt_cache_key": "key-1"}),
    ("named by a conversation", RESPONSES, {}, {"conversation": {"id": "conv_2"}}),
    ("named by the answer before", RESPONSES, {}, {"previous_response_id": "resp_3"}),
    ("named by a user id", MESSAGES, {}, {"metadata": {"user_id": '{"session_id": "s-1"}'}}),
    ("named by an old user id", MESSAGES, {}, {"metadata": {"user_id": "u_session_0a1b2c3d4e"}}),
]  # fmt: skip


def clients() -> Cases:
    """Yield what coding clients say beside the text; a free model shows which session was read."""
    for name, wire, headers, more in CALLS:
        yield post(name, wire, ask(wire, ASKS[21]) | more, headers, named=False)
    for name, wire, headers, more in SESSION_IDS:
        fields = ask(wire, ASKS[0], "kilo-auto/free") | more
        yield post(name, wire, fields, headers, named=False)
    marked = {"type": "text", "text": ASKS[3], "cache_control": {"type": "ephemeral"}}
    said = [{"role": "user", "content": [marked]}, {"role": "user", "content": "What is this?"}]
    fork = {**MESSAGES.base, "model": EFFICIENT, "messages": said}
    yield post("a fork by its marks", MESSAGES, fork, {"user-agent": "claude-cli/2.1"})


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BLOCKS = "<system-reminder>Two files are open.</system-reminder>\n<task>\n{}\n</task>\n<environment_details>\nIt is noon.\n</environment_details>"
URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}
SOURCE = {"type": "base64", "media_type": "image/png", "data": DOT}
LOG = "\n".join(f"line {i}: value {i * 37 % 101} was read" for i in range(150))
CONTENTS: list[tuple[str, Wire, object, Fields]] = [
    ("image", CHAT, [{"type": "text", "text": ASKS[24]}, URL], {}),
    ("image", RESPONSES, [{"type": "input_text", "text": ASKS[24]}, {"type": "input_image", "image_url": URL["image_url"]["url"]}], {}),
    ("image", MESSAGES, [{"type": "image", "source": SOURCE}, {"type": "text", "text": ASKS[24]}], {}),
    ("document", MESSAGES, [{"type": "document", "source": SOURCE}, {"type": "text", "text": "Sum it up"}], {}),
    ("file", CHAT, [{"type": "file", "file": {"file_data": DOT}}, {"type": "text", "text": "Sum it up"}], {}),
    ("audio", CHAT, [{"type": "input_audio", "input_audio": {"data": DOT, "format": "wav"}}], {}),
    ("schema", CHAT, ASKS[37], {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}),
    ("schema", RESPONSES, ASKS[37], {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}}),
    ("schema", MESSAGES, ASKS[37], {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    ("namespaced tools", RESPONSES, ASKS[27], {"tools": [{"type": "namespace", "name": "fs", "tools": [{"name": "ls"}]}, {"type": "web_search"}]}),
    ("old functions", CHAT, ASKS[27], {"functions": [{"name": "ls"}]}),
    *(("client's blocks", wire, BLOCKS.format(ASKS[5]), {}) for wire in WIRES),
    *(("instruction before a paste", wire, f"{ASKS[31]}\n\n{LOG}", {}) for wire in WIRES),
    ("instruction after a paste", CHAT, f"{LOG}\n\nWhich of these lines is odd?", {}),
    ("very long", CHAT, LOG * 60, {}), ("huge answer", CHAT, ASKS[2], {"max_tokens": 200_000}),
    ("quoted", CHAT, r'"fix the \"total\" in orders.py"', {}), ("quoting", CHAT, '"a" and "b" differ', {}),
    ("nothing said", CHAT, "", {}), ("no text", MESSAGES, [], {}), ("a number", CHAT, 7, {}),
    ("bare input", RESPONSES, ASKS[3], {"input": ASKS[3], "store": False}),
    ("reasoning asked for", CHAT, ASKS[4], {"reasoning": {"effort": "high", "exclude": True}, "verbosity": "low"}),
    ("reasoning asked for", RESPONSES, ASKS[4], {"reasoning": {"effort": "minimal", "summary": "auto"}, "text": {"verbosity": "high"}}),
    ("thinking asked for", MESSAGES, ASKS[4], {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ("usage asked for", CHAT, ASKS[4], {"stream": True, "stream_options": {"include_usage": True, "x": 1}}),
    ("usage in a router's words", CHAT, ASKS[4], {"stream": True, "usage": {"include": True}}),
    ("usage not wanted", CHAT, ASKS[4], {"stream": True, "stream_options": {"include_usage": False}}),
    *(("an answer with a call", wire, "List it [[upstream: tool]]", {"stream": s}) for wire in WIRES for s in (False, True)),
    *(("an answer with thoughts", wire, "Think [[upstream: think]]", {"stream": s}) for wire in WIRES for s in (False, True)),
    *(("a bare usage", wire, "Hello [[upstream: bare]]", {"stream": s}) for wire in WIRES for s in (False, True)),
    *(("no usage", wire, "Hello [[upstream: unmetered]]", {"stream": s}) for wire in WIRES for s in (False, True)),
    *(("an odd stream", wire, "Hello [[upstream: odd]]", {"stream": True}) for wire in WIRES),
]  # fmt: skip

ODD_BODY = rb"""{ "stream" : false , "temperature": 1.50,	"seed":123456789012345678901234567890, "n":1e0,
 "metadata":{"note":"caf\u00e9 \/ \ud83d\ude00","model":"a\"model\": \\"}, "max_tokens":300,
 "model" : "%b", "%b":[{"content":"\u0041dd a log line \u003cb\u003e","role":"user" , "x":1.50}] }
"""


def contents() -> Cases:
    """Yield what else a body may hold, and bodies whose every byte must stay."""
    for name, wire, content, more in CONTENTS:
        streamed = ", streamed" * bool(more.get("stream"))
        yield post(name + streamed, wire, ask(wire, content) | more)
    for wire in WIRES:
        for model in (EFFICIENT, "kilo-auto/frontier", "openai/gpt-5.5"):
            body = ODD_BODY % (model.encode(), wire.items.encode())
            yield Case(f"{wire.name}: odd bytes to {model}", wire.path, body)
            hidden = body.replace(b'"model" :', b'"m\\u006fdel":')
            yield Case(f"{wire.name}: an odd key to {model}", wire.path, hidden)
