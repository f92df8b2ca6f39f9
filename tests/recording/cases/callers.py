"""Callers with keys and limits of their own, and strangers."""

from __future__ import annotations

import hashlib

from tests.recording.cases.asks import ASKS
from tests.recording.cases.case import EFFICIENT, Case, Cases, ask, post, sent
from tests.recording.formats import CHAT, MESSAGES, RESPONSES

CALLERS: dict[str, str] = {
    "anna": 'dial = "economy"\ndeny = ["minimax/minimax-m3", "openai/gpt-5.5"]',
    "ben": 'allow = ["openai/gpt-5.5", "openai/gpt-5-mini", "anthropic/claude-sonnet-4.6"]',
    "cleo": 'pin = "anthropic/claude-opus-4.7"',
    "dora": "open_weights_only = true",
    "emil": "max_cost_usd = 0.08\nbalance = false",
    "fay": 'data_policies = ["no_training"]',
    "gus": 'dial = "quality"\nmin_quality = 0.5',
    "hal": 'pin = "x-ai/grok-4"',
}
CALLED = [
    (CHAT, EFFICIENT), (MESSAGES, EFFICIENT), (RESPONSES, "kilo-auto/balanced"), (CHAT, ""),
    (MESSAGES, "kilo-auto/frontier"), (CHAT, "kilo-auto/free"), (CHAT, "kilo-auto/small"),
    (CHAT, "openai/gpt-5.5"),
]  # fmt: skip


def key_rows() -> str:
    rows = []
    for name, more in CALLERS.items():
        digest = hashlib.sha256(f"key-{name}".encode()).hexdigest()
        rows.append(f'[[callers]]\nname = "{name}"\nsha256 = "{digest}"\n{more}\n')
    return "\n".join(rows)


def callers() -> Cases:
    """Yield what each key's holder gets; then strangers, and callers without a key."""
    for name in (*CALLERS, "stranger", ""):
        keys = ({"authorization": f"Bearer key-{name}"}, {"x-api-key": f"key-{name}"})
        for n, (wire, model) in enumerate(CALLED):
            headers = keys[n % 2] if name else {}
            case = f"{name or 'anonymous'} on {model or 'no model'}"
            yield post(case, wire, ask(wire, ASKS[7], model), headers)
        headers = keys[0] if name else {}
        yield sent(f"{name or 'anonymous'} routes", "/v1/route", ask(CHAT, ASKS[9]), headers)
        yield Case(f"{name or 'anonymous'} lists", "/v1/models", b"", headers, "GET")
    anna = {"authorization": "key-anna", "x-auto-dial": "quality", "x-auto-max-cost": "0.5"}
    yield post("a wish narrows", CHAT, ask(CHAT, ASKS[7]), anna)
    ben = {"x-api-key": "key-ben", "x-auto-allow": "minimax/minimax-m3"}
    yield post("a wish cannot widen", CHAT, ask(CHAT, ASKS[7]), ben)
    free = "stepfun/step-3.7-flash:free"
    yield post("anonymous on a free model", CHAT, ask(CHAT, ASKS[7], free))
