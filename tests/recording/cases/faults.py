"""Failures: of one model, of some of a tier's, and what is too slow or too much."""

from __future__ import annotations

import gzip

from tests.recording.cases.asks import ASKS
from tests.recording.cases.case import Case, Cases, ask, post
from tests.recording.formats import CHAT, RESPONSES, WIRES
from tests.recording.upstream import STATUSES

TIGHT = """anonymous_per_hour = 3
timeouts = { connect_s = 0.8, first_byte_s = 0.8, reply_s = 0.8, idle_s = 0.8 }
requests = { body_bytes = 20000, tools = 8, items = 40 }
"""
FAULTS = [
    *STATUSES, "cut", "drop", "page", "malformed", "first-error", "late-error", "no-end", "empty",
]  # fmt: skip


def faults() -> Cases:
    """Yield every failure of a model asked for by name, which no other model replaces."""
    for wire in WIRES:
        for n, (fault, streams) in enumerate((f, s) for f in FAULTS for s in (False, True)):
            name = f"{fault}{', streamed' * streams}"
            text = f"Hello [[upstream: {fault}]]"
            fields = ask(wire, text, f"{wire.name}/model-{n}", stream=streams)
            yield post(name, wire, fields)


def falls() -> Cases:
    """Yield failures of some of a tier's models: the others take over, and penalties are kept."""
    for fault in ("down", "drop", "page", "first-error", "limited"):
        for wire in WIRES:
            text = f"{ASKS[0]} [[upstream: {fault} for minimax/]]"
            yield post(f"{fault} falls", wire, ask(wire, text, stream=fault == "first-error"))
            yield post(f"after {fault}", wire, ask(wire, ASKS[0]))
    for n in range(7):
        text = f"Again {n} [[upstream: {'down' if n < 6 else 'fine'} for acme/flaky]]"
        yield post(f"circuit {n}", CHAT, ask(CHAT, text, "acme/flaky"))
    for n in range(3):
        text = "Wait [[upstream: limited for acme/]]"
        yield post(f"penalty {n}", CHAT, ask(CHAT, text, "acme/busy"))
    limited, frontier = f"{ASKS[4]} [[upstream: limited]]", "kilo-auto/frontier"
    yield post("all limited", CHAT, ask(CHAT, limited, frontier))
    yield post("none left", CHAT, ask(CHAT, ASKS[4], frontier))


def impatience() -> Cases:
    """Yield what takes too long or is too much for tight settings, then an hour's last requests."""
    key = {"authorization": "Bearer key-anna"}
    for n, wire in enumerate(WIRES):
        streams = wire is RESPONSES
        fields = ask(wire, "Hello [[upstream: silent]]", f"acme/slow-{n}", stream=streams)
        yield post("silence", wire, fields, key)
    yield post("large", CHAT, ask(CHAT, "a" * 30_000), key)
    yield post("many tools", CHAT, ask(CHAT, "hi", tools=[{}] * 9), key)
    yield post("many items", RESPONSES, ask(RESPONSES, "hi") | {"input": [{}] * 41}, key)
    bomb = {**key, "content-encoding": "gzip"}
    yield Case("swollen", CHAT.path, gzip.compress(b" " * 90_000, mtime=0), bomb)
    for n in range(5):
        yield post(f"anonymous {n}", CHAT, ask(CHAT, "hi", "kilo-auto/free"))
    yield Case("anonymous listing", "/v1/models", method="GET")
