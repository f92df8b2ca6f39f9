"""``python -m benchmarks.speed.soak``: many requests, many failures; nothing lost or left over.

Every request carries its own number.  The fake upstream counts how often each number was
answered well; the driver knows which the client saw answered.  Lost: neither an answer nor an
error.  Duplicated: answered more than once by the upstream.  Left over: tasks, connections or
memory of the gateway after the load.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
import uvloop

from benchmarks.speed.gateway import free_port, wait_for
from benchmarks.speed.load import drive, post
from router.decision.engine import Engine
from router.providers.transport import FastTransport
from router.serving.app import create_app
from router.serving.guard import GuardedConfig
from router.serving.live import LoadEngine
from router.settings import Settings

FAULTS: Final = (
    *[""] * 6, "429", "500", "503", "400", "drop", "page", "cut",
    "429@sonnet", "500@sonnet", "drop@sonnet", "page@sonnet", "500@ultra", "drop@gemma",
)  # fmt: skip
"""``@`` says whose: there a fallback answers."""


def requests(numbers: range, port: int) -> Iterator[bytes]:
    """Make numbered requests, streamed or not, two thirds of them with a failure."""
    rng = random.Random(numbers.start)
    for i in numbers:
        fault = rng.choice(FAULTS)
        fields: dict[str, Any] = {
            "model": rng.choice(["kilo-auto/frontier", "kilo-auto/free", "z-ai/glm-5", "a/b"]),
            "messages": [{"role": "user", "content": f"request {i}"}],
            "n": i,
            "stream": rng.random() < 0.3,
        }
        if fault:
            fields["fault"] = fault
        yield post("/v1/chat/completions", json.dumps(fields).encode(), port)


def ended(reply: bytes) -> bool:
    """Say whether a client got what it can act on: an answer, an ended stream, or an error."""
    if b"text/event-stream" in reply[:400]:
        return b"data: [DONE]" in reply[-40:] and b'"finish_reason":"' in reply
    return b'{"error"' in reply or b'"choices"' in reply


async def soak(
    n: int, connections: int, *, load_engine: LoadEngine = Engine.load
) -> dict[str, Any]:
    """Run the gateway in this process, load it, and look at what is left."""
    upstream_port = free_port()
    command = [sys.executable, "-m", "benchmarks.speed.upstream", str(upstream_port)]
    upstream = await asyncio.create_subprocess_exec(*command)
    await asyncio.to_thread(wait_for, upstream_port, 10)
    transport = FastTransport()
    settings = Settings(upstream=f"http://127.0.0.1:{upstream_port}")
    app = create_app(settings, environ={}, transport=transport, load_engine=load_engine)
    config = GuardedConfig(app, limits=settings.requests, port=free_port(), log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(wait_for, config.port, 10)
    seen: Counter[bytes] = Counter()

    def check(reply: bytes) -> bool:
        seen[reply[9:12] if b"text/event-stream" not in reply[:400] else b"SSE"] += 1
        return ended(reply)

    rows = []
    try:
        before = len(asyncio.all_tasks())
        for part in range(4):  # equal parts, so that growth shows
            load = await drive(
                config.port,
                requests(range(part * n // 4, (part + 1) * n // 4), config.port),
                connections=connections,
                check=check,
            )
            gc.collect()
            rows.append(
                {"failed": load.failed, "per_s": round(load.per_s), "mb": round(memory_mb())}
            )
        await asyncio.sleep(0.5)
        counted = await asyncio.to_thread(_counts, upstream_port)
        return {
            "requests": n,
            "connections": connections,
            "seen": {kind.decode(): count for kind, count in sorted(seen.items())},
            "lost": n - sum(seen.values()),
            "not_ended": sum(row["failed"] for row in rows),
            "duplicated": sum(count > 1 for count in counted.values()),
            "tasks_left": len(asyncio.all_tasks()) - before,
            "upstream_connections_left": transport.open_connections,
            "parts": rows,
        }
    finally:
        server.should_exit = True
        await serving
        upstream.terminate()
        await upstream.wait()


def memory_mb() -> float:
    """Resident memory now; where /proc is missing, the most it ever was."""
    try:
        with open("/proc/self/statm") as statm:  # noqa: PTH123 - one number of a kernel file
            return int(statm.read().split()[1]) * resource.getpagesize() / (1 << 20)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _counts(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as reply:
        found: dict[str, int] = json.load(reply)
        return found


def main() -> None:
    """Run it and print what was found; exits with 1 when anything was lost or is left over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    began = time.perf_counter()
    found = uvloop.run(soak(args.requests, args.connections))
    found["seconds"] = round(time.perf_counter() - began, 1)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    sys.exit(
        any(
            found[k]
            for k in ("lost", "not_ended", "duplicated", "tasks_left", "upstream_connections_left")
        )
    )


if __name__ == "__main__":
    main()
