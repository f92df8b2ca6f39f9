"""Several providers, the simulated one, and a gateway whose data cannot be loaded."""

from __future__ import annotations

from tests.recording.cases.asks import ASKS
from tests.recording.cases.case import EFFICIENT, Cases, ask, get, post, sent
from tests.recording.cases.sessions import SCRIPTS, talk
from tests.recording.formats import CHAT, MESSAGES, WIRES

ROWS = """
keys = { openai = "sk-openai", anthropic = "sk-anthropic", google = "sk-google", openrouter = "AGGREGATED" }
providers = [
  { name = "openai", base_url = "UPSTREAM/openai/v1", formats = ["chat", "responses"], serves = ["openai/"], strip = "openai/", bare = ["gpt-"], strict = true, stateful = true, forward = ["openai-beta"] },
  { name = "anthropic", base_url = "UPSTREAM/anthropic/v1", auth = "x-api-key", formats = ["messages"], serves = ["anthropic/"], strip = "anthropic/", dashes = true, bare = ["claude-"], headers = { anthropic-version = "2023-06-01" } },
  { name = "google", base_url = "UPSTREAM/google/v1beta/openai/", formats = ["chat"], serves = ["google/gemini-"], strip = "google/", bare = ["gemini-"], strict = true },
  { name = "workstation", base_url = "UPSTREAM/workstation/v1", bases = { messages = "UPSTREAM/workstation/anthropic/v1" }, auth = "none", formats = ["chat", "messages"], serves = ["workstation/"], strip = "workstation/", models = { "deepseek/deepseek-v4-pro" = "ds-v4" }, reports_usage = false },
  { name = "openrouter", base_url = "UPSTREAM/openrouter/api/v1", formats = ["chat", "responses", "messages"], serves = [""], forward = ["http-referer", "x-title"] },
]
"""
"""Rows of the table of providers; without a key for it the aggregator is there for callers' own keys."""
SERVED = [
    EFFICIENT, "kilo-auto/frontier", "kilo-auto/balanced", "kilo-auto/free", "kilo-auto/small",
    "openai/gpt-5.5", "gpt-5.4-mini", "anthropic/claude-opus-4.7", "claude-opus-4-7",
    "google/gemini-3.5-flash", "deepseek/deepseek-v4-pro", "workstation/llama", "acme/unheard-of",
]  # fmt: skip
SAID = {
    "http-referer": "https://editor.example", "x-title": "Editor", "openai-beta": "responses=v1",
    "anthropic-beta": "thinking-2026", "anthropic-version": "2024-01-01", "cookie": "secret=1",
    "authorization": "Bearer mine", "x-forwarded-for": "10.0.0.9",
}  # fmt: skip
STRICT = {"reasoning": {"effort": "low"}, "usage": {"include": True}, "provider": {"only": ["a"]}}
OWN_OPENAI = {"x-provider-key-openai": "sk-own-openai"}
OWN_BOTH = {**OWN_OPENAI, "x-provider-key-openrouter": "sk-own-openrouter"}


def providers() -> Cases:
    """Yield models at several providers: names, keys, dialects, headers, refusals, own keys."""
    for wire in WIRES:
        for n, model in enumerate(SERVED):
            fields = ask(wire, ASKS[n], model, stream=n % 2 == 1)
            yield post(model, wire, fields, SAID if n % 3 == 0 else {})
        for model in (EFFICIENT, "openai/gpt-5.5", "openai/gpt-5.4"):
            fields = ask(wire, ASKS[2], model, **STRICT, transforms=["middle-out"])
            thought = {"reasoning_content": "hm", "provider_specific_fields": {}, "content": "Yes"}
            fields[wire.items] = [
                {"role": "user", "content": "Well?"},
                {"role": "assistant", **thought},
                *fields[wire.items],
            ]
            yield post(f"a stranger's fields to {model}", wire, fields)
        for name, headers in (("openai", OWN_OPENAI), ("both", OWN_BOTH)):
            for model in (EFFICIENT, "openai/gpt-5.5", "kilo-auto/balanced"):
                yield post(f"own key {name} on {model}", wire, ask(wire, ASKS[3], model), headers)
        refused = ask(wire, "Hello [[upstream: refused]]", "openai/gpt-5.2")
        yield post("own key refused", wire, refused, OWN_BOTH)
    yield get("/v1/models")
    yield get("/readyz")


HANDED_OVER = [
    (CHAT, "openai/gpt-5.2", "gpt-5.2"),
    (MESSAGES, "anthropic/claude-opus-4.5", "claude-opus-4-5"),
    (CHAT, "anthropic/claude-opus-4.6", "claude-opus-4-6"),
]
"""The model asked for, and what its first provider calls it."""


def handovers() -> Cases:
    """Yield failures that another provider of the same model makes good, and sessions."""
    for fault in ("down", "limited", "unpaid"):
        for wire, asked, model in HANDED_OVER:
            text = f"Hello [[upstream: {fault} for {model}]]"
            yield post(f"{fault} at {model}", wire, ask(wire, text, asked))
    for wire in WIRES:
        for name in ("failing tests", "thoughts", "fallback"):
            yield from talk(wire, name, SCRIPTS[name])


PLAYED = ["status=429; retry_after=9", "cut=3", "broken", "tool=bash", "reasoning; words=60"]


def simulated() -> Cases:
    """Yield what the provider without a key answers, and how it plays what it is told to."""
    for wire in WIRES:
        for model in (EFFICIENT, "kilo-auto/free", "openai/gpt-5.5"):
            for streams in (False, True):
                name = f"{model}{', streamed' * streams}"
                yield post(name, wire, ask(wire, ASKS[4], model, stream=streams, **wire.base))
        for what in PLAYED:
            text, model = f"Hello [[simulate: {what}]]", f"{wire.name}/{what[:4]}"
            yield post(what, wire, ask(wire, text, model, stream=True, **wire.base))
    for path in ("/readyz", "/v1/models"):
        yield get(path)


def unread() -> Cases:
    """Yield what is served when the engine's data cannot be loaded."""
    for wire in WIRES:
        yield post("fallback", wire, ask(wire, ASKS[4]))
    yield get("/readyz")
    yield get("/v1/models")
    yield sent("route", "/v1/route", ask(CHAT, ASKS[4]))
