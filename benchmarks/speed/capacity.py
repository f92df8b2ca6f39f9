"""``python -m benchmarks.speed.capacity``: what a request costs the gateway, by kind and by where the books are.

One worker in front of a fake upstream that is faster than it.  *CPU* is what the worker and all its
threads (the ledger's too) spent on a request, as the kernel counts it; what the driver, the upstream, the
database and the store spend is not in it, and neither is waiting for a core that others use.  Rounds go over the
kinds and the gateways in turn; the median round is shown, beside the lowest and the highest.

*Alone*: how long an answer takes when one client asks one thing after the other, less what the upstream
takes being in all of them alike: what the books and limits add shows as the difference.

``--database`` and ``--store`` name a PostgreSQL and a Redis or Valkey; without them that column is left
out.  ``deploy/trial.py`` shows how to have them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from benchmarks.speed.gateway import CONCRETE, PATH, Running, Server, bodies, free_port
from benchmarks.speed.load import Load
from benchmarks.speed.ratios import TIER, asking, repeated, spend, spread

EMBEDDINGS: Final = "/v1/embeddings"
CONNECTIONS: Final = 16
AGENT_BYTES: Final = 50_000
"""Of a coding agent's request: system prompt, tools and some turns."""

PACE_S: Final = 0.002
"""Between two events of a stream, so that each is relayed by itself, as from a model."""

ALONE: Final = ("short chat, whole", "repeat turn of one, 50 KB", "a model by its name")
"""Kinds that are also asked one after the other."""

ALONE_ROUNDS: Final = 1000
"""Number of the first such round: their sessions are none of those before."""

SETTLES_S: Final = 0.6
"""After which the ledger has written what a round came to: two of its batches."""

OFF, FILE, SHARED = "nothing kept", "SQLite", "PostgreSQL and Redis"


T = TypeVar("T")
Measured = dict[str, dict[str, list[T]]]
"""Kind → where the books are → a value a round."""


class Workload(NamedTuple):
    """One kind of request."""

    made: Callable[[int, int], Iterator[bytes]]
    """(how many, which round) → that many bodies."""
    path: str = PATH
    part: float = 1.0
    """Of the requests of a round: what is dear is sent less often."""


def _short(n: int, round_: int, *, stream: bool) -> Iterator[bytes]:
    pace_s = PACE_S if stream else 0.0
    return bodies("kilo-auto/efficient", n, stream=stream, seed=round_, pace_s=pace_s)


def _agents(n: int, round_: int) -> Iterator[bytes]:
    return asking(TIER, AGENT_BYTES, n, round_ * n)


def _repeated(n: int, round_: int) -> Iterator[bytes]:
    return repeated(AGENT_BYTES, n, round_)


def _named(n: int, round_: int) -> Iterator[bytes]:
    return bodies(CONCRETE, n, stream=False, seed=round_)


def _embeddings(n: int, round_: int) -> Iterator[bytes]:
    for i in range(n):
        text = f"document {round_}-{i}: " + "a line of a file " * 60
        yield orjson.dumps({"model": "text-embedding-3-small", "input": text})


WORKLOADS: Final = {
    "short chat, whole": Workload(partial(_short, stream=False)),
    "short chat, a stream of 256 events": Workload(partial(_short, stream=True), part=0.2),
    "first request of a coding agent, 50 KB": Workload(_agents, part=0.5),
    "repeat turn of one, 50 KB": Workload(_repeated, part=0.5),
    "a model by its name": Workload(_named),
    "embeddings": Workload(_embeddings, EMBEDDINGS),
}


def gateways(upstream: str, folder: Path, database: str, store: str) -> dict[str, Server]:
    """Return what is started, by where its books are."""
    command = (
        sys.executable,
        "-m",
        "auto_efficient",
        "serve",
        "--port",
        "PORT",
        "--upstream",
        upstream,
    )
    kept = {
        OFF: {"STATE_DIR": ""},
        FILE: {"STATE_DIR": str(folder / "one")},
        SHARED: {"STATE_DIR": str(folder / "other"), "DATABASE": database, "STORE": store},
    }
    if not (database and store):
        del kept[SHARED]
    return {
        name: Server(
            name, ("env", *(f"AUTO_EFFICIENT_{k}={v}" for k, v in said.items()), *command), CONCRETE
        )
        for name, said in kept.items()
    }


def measure(database: str, store: str, rounds: int, n: int) -> dict[str, Any]:
    """Start everything, measure, and end it."""
    fake = Server("upstream", (sys.executable, "-m", "benchmarks.speed.upstream", "PORT"), CONCRETE)
    upstream = Running(fake, free_port())
    started = [upstream]
    try:
        with tempfile.TemporaryDirectory() as folder:
            at = f"http://127.0.0.1:{upstream.port}"
            for server in gateways(at, Path(folder), database, store).values():
                started.append(Running(server, upstream.port))
            fresh_mb = {one.server.name: one.memory_mb() for one in started[1:]}
            cpu = _shared(started[1:], rounds, n)
            took = _asked_alone(started[1:], rounds, n // 2)
            full_mb = {one.server.name: one.memory_mb() for one in started[1:]}
            for one in reversed(started[1:]):
                one.stop()
    finally:
        for one in reversed(started):
            one.stop()
    return {
        "machine": f"{os.cpu_count()} cores ({_processor()}), Python {platform.python_version()}",
        "rounds": rounds,
        "requests": n,
        "cpu_us": {kind: {k: spread(v) for k, v in by.items()} for kind, by in cpu.items()},
        "alone_ms": {
            kind: {name: _times(loads) for name, loads in by.items()} for kind, by in took.items()
        },
        "memory_mb": {k: [round(fresh_mb[k]), round(full_mb[k])] for k in fresh_mb},
    }


def _shared(servers: Sequence[Running], rounds: int, n: int) -> Measured[float]:
    """Return CPU microseconds of a request, a value a round."""
    cpu: Measured[float] = {kind: {} for kind in WORKLOADS}
    for round_ in range(rounds + 1):  # the first warms up
        for kind, workload in WORKLOADS.items():
            for one in servers:
                made = workload.made(max(CONNECTIONS, int(n * workload.part)), round_)
                cpu_us = _cpu_us(one, list(made), workload.path)
                if round_:
                    cpu[kind].setdefault(one.server.name, []).append(cpu_us)
    return cpu


def _asked_alone(servers: Sequence[Running], rounds: int, n: int) -> Measured[Load]:
    """Return how long answers took to one client that asks one thing after the other."""
    took: Measured[Load] = {kind: {} for kind in ALONE}
    for round_ in range(ALONE_ROUNDS, ALONE_ROUNDS + rounds):
        for kind in ALONE:
            for one in servers:
                made = WORKLOADS[kind].made(n, round_)
                load = spend(one, made, 1, WORKLOADS[kind].path).load
                took[kind].setdefault(one.server.name, []).append(load)
    return took


def _cpu_us(running: Running, made: Sequence[bytes], path: str) -> float:
    """Return the CPU of a request, its row in the books included."""
    before_s = running.cpu_s()
    spend(running, iter(made), CONNECTIONS, path)
    time.sleep(SETTLES_S)
    return (running.cpu_s() - before_s) / len(made) * 1e6


def _times(loads: Sequence[Load]) -> dict[str, float]:
    """Return the median round's median and 99th percentile, in milliseconds."""
    return {
        "p50": round(statistics.median(load.p50_ms for load in loads), 3),
        "p99": round(statistics.median(load.p99_ms for load in loads), 3),
    }


def _processor() -> str:
    """Return what the kernel calls the processor; where it says nothing, its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="", help="URL of a PostgreSQL")
    parser.add_argument("--store", default="", help="URL of a Redis or Valkey")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=500, help="per round, kind and gateway")
    parser.add_argument("--out", type=Path, default=Path("reports/capacity.json"))
    args = parser.parse_args()
    found = measure(args.database, args.store, args.rounds, args.requests)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
