"""How long a decision takes, bytes → ``Decision``, on one core: ``python -m benchmarks.speed.latency``.

Requests look like a coding agent's: a system prompt, tool schemas, a history of tool calls, and
the ask, padded to 5 KB, 50 KB and 1 MB in each wire format.  *Fresh* asks are all different, so
nothing is answered from memory; *repeat* turns bring their session nothing new.  What a session
costs on top of reading a request is timed apart: finding it, deciding, and noting what came of it.
All of them, and plain JSON parsing as the yardstick, are timed in turn within one run.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from classifier.model import Assessment
from router.decision.engine import Engine
from router.sessions.session import NEW, Session
from router.sessions.steps import hear, key_of, on_decision, on_request, on_serving, on_usage
from router.values import Decision, Interface, Usage
from router.wire.request import ChatRequest, parse

T = TypeVar("T")

SIZES: Final = {"5 KB": 5_000, "50 KB": 50_000, "1 MB": 1_000_000}
ASKS: Final = (
    "Add a retry with backoff to the {} client and make the limit configurable.",
    "Why does the {} page show yesterday's numbers until you reload it twice?",
    "rename {} everywhere in the billing package",
    "Our nightly {} job fails since Tuesday with 'connection reset by peer'. Find out what changed, "
    "fix it, and add a test that would have caught it. Do not touch the schema. The log is below.",
)
WORDS: Final = [
    "order",
    "invoice",
    "sensor",
    "ticket",
    "parcel",
    "patient",
    "tenant",
    "lesson",
    "wallet",
    "recipe",
]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one kind of call on one size of request."""

    size: str
    what: str
    calls: int
    p50_ms: float
    p99_ms: float


def requests(
    size: int, n: int, *, start: int = 0, formats: Sequence[Interface] = tuple(Interface)
) -> Iterator[tuple[Interface, bytes]]:
    """Yield ``n`` requests of about ``size`` bytes, each with another ask, formats in turn.

    Those of another ``start`` are others, as long as they are ``n`` apart.
    """
    filler = "def handler(event):\n    return {'status': 200, 'body': event}\n" * (size // 60 + 1)
    for i in range(start, start + n):
        ask = ASKS[i % len(ASKS)].format(f"{WORDS[i % len(WORDS)]}_{size}_{i}")
        interface = formats[i % len(formats)]
        yield interface, orjson.dumps(_body(interface, ask, filler, size))


def _body(interface: Interface, ask: str, filler: str, size: int) -> dict[str, Any]:
    """A request whose tools take a third of ``size``, system and history the rest."""
    third = max(200, size // 3 - 400)
    schema = {
        "type": "object",
        "properties": {"p": {"type": "string", "description": filler[:third]}},
    }
    system, result = filler[:third], filler[:third]
    if interface is Interface.RESPONSES:
        return {
            "model": "kilo-auto/efficient",
            "instructions": system,
            "tools": [{"type": "function", "name": "bash", "parameters": schema}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": ask}]},
                {"type": "function_call", "name": "bash", "arguments": "{}", "call_id": "c"},
                {"type": "function_call_output", "call_id": "c", "output": result},
            ],
        }
    if interface is Interface.MESSAGES:
        return {
            "model": "kilo-auto/efficient",
            "system": [{"type": "text", "text": system}],
            "tools": [{"name": "bash", "input_schema": schema}],
            "max_tokens": 4096,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": ask}]},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c", "name": "bash", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c", "content": result}],
                },
            ],
        }
    return {
        "model": "kilo-auto/efficient",
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": schema}}],
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": ask},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "bash", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": result},
        ],
    }


def measure(engine: Engine, *, calls: int = 1000) -> list[Timing]:
    """Time every size; calls of all kinds alternate request by request."""
    timings = []
    for name, size in SIZES.items():
        n = calls if size < 500_000 else max(20, calls // 5)
        spent: dict[str, list[float]] = {}

        def clocked(kind: str, call: Callable[[], T]) -> T:
            start = time.perf_counter()
            made = call()
            spent.setdefault(kind, []).append(time.perf_counter() - start)  # noqa: B023 - run at once
            return made

        for interface, body in requests(size, n):
            clocked("parse JSON only", partial(orjson.loads, body))
            request = clocked("read the request", partial(parse, body, interface=interface))
            first = engine.decide(request)
            session = turn(request, NEW, first)
            clocked("decide, fresh ask", partial(_decide, engine, interface, body, NEW))
            clocked("decide, repeat turn", partial(_decide, engine, interface, body, session))
            clocked("repeat turn beyond reading", partial(repeat, engine, request, session))
        for kind, seconds in spent.items():
            p50, p99 = np.quantile(np.array(seconds[len(seconds) // 20 :]) * 1e3, (0.5, 0.99))
            timings.append(
                Timing(name, kind, len(seconds), round(float(p50), 4), round(float(p99), 4))
            )
    return timings


def _decide(engine: Engine, interface: Interface, body: bytes, session: Session) -> object:
    return engine.decide(parse(body, interface=interface), session=session)


def repeat(engine: Engine, request: ChatRequest, session: Session) -> Session:
    """Do all that a session adds to a turn that brings nothing new."""
    key_of("owner", request.session, request.agent)
    made = engine.decide(request, session=session)
    if made[1].candidates:
        raise RuntimeError(
            "this turn was decided anew: the benchmark does not measure what it says"
        )
    return turn(request, session, made)


def turn(request: ChatRequest, session: Session, made: tuple[Assessment, Decision]) -> Session:
    """Change a session as the gateway does when a request is served and paid for."""
    unit, heard = made[1].unit, hear(request, carries=made[0].carries)
    held = on_decision(on_request(session, heard), *made, unit)
    held = on_serving(held, unit, heard, 0.0)
    tokens = heard.input_tokens
    usage = Usage(input_tokens=tokens, output_tokens=300, cached_tokens=tokens)
    return on_usage(
        held, unit.model, usage, estimated_tokens=tokens, cached_before=tokens, now_s=0.0
    )


def main() -> None:
    """Measure on one core and print a table, or JSON with ``--json``."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    engine = Engine.load()
    gc.freeze()
    timings = measure(engine)
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(t) for t in timings], indent=1) + "\n")
        return
    for t in timings:
        line = (
            f"{t.size:6} {t.what:26} p50 {t.p50_ms:8.3f} ms   p99 {t.p99_ms:8.3f} ms   n={t.calls}"
        )
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
