"""What calls no model, and what is refused: dry runs, listings, bodies that cannot be read."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

from tests.recording.cases.asks import ASKS, TIERS
from tests.recording.cases.case import Case, Cases, ask, get, sent
from tests.recording.cases.requests import LOG, WISHES
from tests.recording.cases.sessions import SCRIPTS, talk
from tests.recording.formats import CHAT, MESSAGES, RESPONSES, WIRES


def routes() -> Cases:
    """Yield dry runs, alone and inside a session."""
    for n, text in enumerate(ASKS[::3]):
        wire = WIRES[n % 3]
        more = {"top_k": 5} if wire is MESSAGES else {}
        headers = WISHES[n % len(WISHES)]
        yield sent(f"route {n}", "/v1/route", ask(wire, text, **more), headers)
    for model in (*TIERS[1:5], "openai/gpt-5.5", "acme/unheard-of", ""):
        fields = ask(MESSAGES, ASKS[2], model)
        yield sent(f"route {model or 'no model'}", "/v1/route?format=messages", fields)
    for format in ("responses", "chat", "telegram"):
        yield sent(f"route as {format}", f"/v1/route?format={format}", ask(RESPONSES, ASKS[2]))
    yield from talk(CHAT, "before a dry run", SCRIPTS["failing tests"][:6])
    inside = {"x-session-id": "before a dry run chat"}
    yield sent("route in a session", "/v1/route", ask(CHAT, ASKS[0], **CHAT.base), inside)
    for wire in WIRES:
        fields = ask(wire, LOG) | wire.base
        yield sent(f"count {wire.name}", "/v1/messages/count_tokens", fields)


LISTED = [
    "/v1/models", "/v1/models?hidden=true", "/api/gateway/models", "/api/openrouter/v1/models",
    *(f"/v1/models/{name}" for name in (*TIERS[:8], "anthropic/claude-haiku-4.5", "acme/none")),
    "/", "/healthz", "/readyz", "/openapi.json", "/v1/models/", "/v1/model", "/v1/route",
]  # fmt: skip


def listings() -> Cases:
    for path in LISTED:
        yield get(path)
    for path in ("/v1/models", "/healthz", "/v1/chat/completions"):
        for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
            yield Case(f"{method} {path}", path, method=method)


SMALL = json.dumps(ask(CHAT, "Name this branch", "kilo-auto/small")).encode()
BROTLI = base64.b64decode(
    b"G1oAQCyOx903hCoqwnMex2uRvbetlbbWOixdfQOkRVpe2DjlgL1lYWC1f348eAyfF1qJ4/roy6IEK7iHhTvQPZJRjBhHxSHEdw=="
)
ZSTD = base64.b64decode(
    b"KLUv/SBblQIAMsURF5CnbUKRCJZeH40g3wX80A6i3yCk7o4hxaC4KegSwfiYNtQLNMJGW27jCVlhbvoSGDmj4ZhRb+OZpwzYVkdsnsONPLGw+hUCADajAgvUHg=="
)
"""The ask to name a branch in two encodings that the standard library cannot write."""

REFUSED: list[tuple[str, bytes, dict[str, str]]] = [
    ("no body", b"", {}),
    ("no JSON", b'{"model": ', {}),
    ("a list", b"[1, 2]", {}),
    ("not UTF-8", b'{"model": "\xff"}', {}),
    ("half a surrogate", rb'{"messages": [{"role": "user", "content": "\ud800"}]}', {}),
    ("nested", b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}", {}),
    ("nested too deeply", b'{"messages": ' + b"[" * 3000 + b"]" * 3000 + b"}", {}),
    ("odd types", b'{"model": 7, "stream": "yes", "messages": ["hi", {}], "tools": 1}', {}),
    ("too many tools", json.dumps(ask(CHAT, "hi", tools=[{}] * 2001)).encode(), {}),
    ("unknown encoding", SMALL, {"content-encoding": "rot13"}),
    ("broken gzip", b"\x1f\x8bnothing", {"content-encoding": "gzip"}),
    ("broken br", b"\xff\xff\xff", {"content-encoding": "br"}),
    ("broken zstd", b"\x28\xb5\x2f\xfdno", {"content-encoding": "zstd"}),
    ("cut gzip", gzip.compress(SMALL, mtime=0)[:-12], {"content-encoding": "gzip"}),
    ("foreign page", SMALL, {"origin": "https://evil.example"}),
    ("local page", SMALL, {"origin": "http://localhost:3000"}),
    ("foreign host", SMALL, {"host": "gateway.example"}),
    ("key of a stranger", SMALL, {"x-provider-key-acme": "sk-1"}),
    ("unicode header", SMALL, {"x-session-id": "s\u00e9ance"}),
]
ENCODED: list[tuple[str, bytes]] = [
    ("gzip", gzip.compress(SMALL, mtime=0)),
    ("deflate", zlib.compress(SMALL)),
    ("br", BROTLI),
    ("zstd", ZSTD),
    ("gzip, gzip", gzip.compress(gzip.compress(SMALL, mtime=0), mtime=0)),
    ("identity", SMALL),
]
PREFIXES = [
    "/v1", "/api/gateway", "/api/gateway/v1", "/api/openrouter", "/api/openrouter/v1", "/v2",
]  # fmt: skip


def refusals() -> Cases:
    """Yield what cannot be read, bodies that are encoded, and every path there is."""
    for wire in WIRES:
        for name, body, headers in REFUSED:
            yield Case(f"{wire.name}: {name}", wire.path, body, headers)
    for name, body in ENCODED:
        yield Case(f"encoded {name}", CHAT.path, body, {"content-encoding": name})
        yield Case(f"route encoded {name}", "/v1/route", body, {"content-encoding": name})
    for prefix in PREFIXES:
        for wire in WIRES:
            fields = ask(wire, ASKS[8], "kilo-auto/balanced")
            path = prefix + wire.path.removeprefix("/v1")
            yield sent(f"path {path}", path, fields, {"anthropic-version": "2023-06-01"})
    yield Case("route refuses", "/v1/route", b"nothing")
    yield Case("count refuses", "/v1/messages/count_tokens", b"[]")
    yield sent("beta", "/v1/messages?beta=true", ask(MESSAGES, "hi"))
