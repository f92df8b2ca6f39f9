"""``python -m benchmarks.speed.ratios``: what a request costs, over what a pass-through costs.

Everything runs interleaved in one run on one machine, unpinned: in every round each server gets the
same number of agent-like requests over 32 connections, and what a round shows is the ratio of its
own parts.  *CPU* is what a server's processes and all their threads spent on a request, as the kernel counts
it, so load driver and upstream, which share the cores, do not count.  The median round is shown,
beside the lowest and the highest.

*fresh*: every request begins a session; *repeat turn*: its session has nothing new; *concrete id*: a
model by its name.  *LiteLLM* runs where ``--litellm`` names its executable, made by
``python -m venv VENV && VENV/bin/pip install 'litellm[proxy]==1.80.0'``; its router chooses between two
deployments.

*Two workers over one*: the answers per second of two over those of one.  Driver and upstream need a
part of the same cores, which bounds that; how much CPU each side took per answer is shown beside it,
and ``of workers alone``: twice the CPU of an answer with one over that with two.

*First word*: the median time to a stream's first word that says anything, less the upstream's own.  The
gateway holds back what comes before it, so that another model can still answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from benchmarks.speed.gateway import CONCRETE, PATH, Running, Server, free_port
from benchmarks.speed.latency import SIZES, requests
from benchmarks.speed.load import Load, drive, post
from benchmarks.speed.upstream import FIRST_WORD
from router.values import Interface

TIER: Final = b'"kilo-auto/efficient"'

CONNECTIONS: Final = 32

SESSIONS: Final = 64
"""Whose repeat turns are measured in turn."""

SLOW_PART: Final = 20
"""A server that is known to be slow gets one request in so many."""

PASSES: Final = "pass-through"
FRESH: Final = "fresh"
REPEAT: Final = "repeat turn"
NAMED: Final = "concrete id"
LITELLM: Final = "LiteLLM"

STREAMING: Final = b'{"stream":true,"pace":0.002,'
STREAMS: Final = 64
STREAMS_AT_ONCE: Final = 4

Bodies = Callable[[int, int, int], Iterator[bytes]]
"""(size in bytes, how many, where to start) → that many bodies; another start, other bodies."""


class Asked(NamedTuple):
    """One kind of request to one server."""

    name: str
    running: Running
    bodies: Bodies
    slow: bool = False


class Spent(NamedTuple):
    """What one round of one kind came to."""

    load: Load
    cpu_us: float
    """Of the server, per request."""
    beside_us: float
    """Of the load driver, per request."""


def asking(model: bytes, size: int, n: int, start: int) -> Iterator[bytes]:
    """Yield requests for a model or tier, each the first of a session."""
    for _, body in requests(size, n, start=start, formats=(Interface.CHAT,)):
        yield body.replace(TIER, model, 1)


def repeated(size: int, n: int, start: int) -> Iterator[bytes]:
    """Yield the same few requests again and again: nothing in them is new."""
    same = list(asking(TIER, size, SESSIONS, 0))
    return itertools.islice(itertools.cycle(same), n)


def streamed(bodies: Bodies) -> Bodies:
    """Return the same, asking for a stream."""
    return lambda *where: (STREAMING + body[1:] for body in bodies(*where))


def kinds(running: dict[str, Running]) -> list[Asked]:
    """Return what is measured: each kind of request, at the server that it goes to."""
    fresh, named = partial(asking, TIER), partial(asking, f'"{CONCRETE}"'.encode())
    found = [
        Asked(PASSES, running[PASSES], named),
        Asked(FRESH, running["ours"], fresh),
        Asked(REPEAT, running["ours"], repeated),
        Asked(NAMED, running["ours"], named),
    ]
    if LITELLM in running:
        found.append(Asked(LITELLM, running[LITELLM], partial(asking, b'"fake"'), slow=True))
    return found


def servers(upstream: str, litellm: str, folder: Path) -> dict[str, Server]:
    """Return what is started; the first is what the others are measured against."""
    python = sys.executable
    serve = (python, "-m", "auto_efficient", "serve", "--port", "PORT", "--upstream", upstream)
    passes = (python, "-m", "benchmarks.speed.passthrough", "PORT", upstream, "fast")
    found = {
        PASSES: Server(PASSES, passes, CONCRETE),
        "ours": Server("ours", serve, CONCRETE),
        "two": Server("two", (*serve, "--workers", "2"), CONCRETE),
    }
    if litellm:
        config = folder / "litellm.json"
        deployment = {"model": "openai/fake", "api_base": f"{upstream}/v1", "api_key": "sk-x"}
        same = {"model_name": "fake", "litellm_params": deployment}
        config.write_text(json.dumps({"model_list": [same, same]}))
        command = (litellm, "--config", str(config), "--host", "127.0.0.1", "--port", "PORT")
        found[LITELLM] = Server(LITELLM, command, "fake", slow=True)
    return found


def spend(running: Running, bodies: Iterator[bytes], connections: int, path: str = PATH) -> Spent:
    """Send some requests, and say what they cost; raises RuntimeError when one is not answered."""
    sent = [post(path, body, running.port) for body in bodies]
    before, own = running.cpu_s(), _own_s()
    load = uvloop.run(drive(running.port, iter(sent), connections=connections, first=FIRST_WORD))
    cpu_us, beside_us = (
        seconds / len(sent) * 1e6 for seconds in (running.cpu_s() - before, _own_s() - own)
    )
    if load.failed:
        raise RuntimeError(f"{running.server.name}: {load.failed} of {len(sent)} requests failed")
    return Spent(load, cpu_us, beside_us)


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest."""
    return {
        name: round(of(values), 2)
        for name, of in (("median", statistics.median), ("low", min), ("high", max))
    }


def cpu_ratios(measured: Sequence[Asked], size: int, rounds: int, n: int) -> dict[str, Any]:
    """Return each kind's CPU per request over the pass-through's of the same round."""
    found: dict[str, list[float]] = {kind.name: [] for kind in measured}
    for round_ in range(rounds + 1):  # the first warms up, and begins the sessions that repeat
        spent = {}
        for kind in measured:
            count = n // SLOW_PART if kind.slow else n
            bodies = kind.bodies(size, count, round_ * n)
            spent[kind.name] = spend(kind.running, bodies, CONNECTIONS).cpu_us
        for name, cpu_us in spent.items() if round_ else ():
            found[name].append(cpu_us / spent[PASSES])
    return {name: spread(ratios) for name, ratios in found.items() if name != PASSES}


def worker_ratios(
    one: Running, two: Running, upstream: Running, size: int, rounds: int, n: int
) -> dict[str, Any]:
    """Compare two workers with one, on requests that each begin a session."""
    per_s, alone, beside = [], [], []
    for round_ in range(rounds + 1):
        used = upstream.cpu_s()
        first, second = (
            spend(running, asking(TIER, size, n, (rounds + 1 + round_) * n), CONNECTIONS)
            for running in (one, two)
        )
        used = (upstream.cpu_s() - used) / (2 * n) * 1e6
        if round_:
            per_s.append(second.load.per_s / first.load.per_s)
            alone.append(2 * first.cpu_us / second.cpu_us)
            beside.append((second.beside_us + used) / second.cpu_us)
    return {
        "answers per second": spread(per_s),
        "of workers alone": spread(alone),
        "CPU of driver and upstream over that of the workers": spread(beside),
    }


def first_words(
    measured: Sequence[Asked], upstream: Running, size: int, rounds: int
) -> dict[str, Any]:
    """Return each kind's added time to the first word over the pass-through's, and that in ms."""
    found: dict[str, list[float]] = {kind.name: [] for kind in measured}
    for round_ in range(rounds):
        start = 10_000_000 + round_ * STREAMS
        bodies = streamed(partial(asking, TIER))(size, STREAMS, start)
        base = spend(upstream, bodies, STREAMS_AT_ONCE).load.first_p50_ms
        for kind in measured:
            bodies = streamed(kind.bodies)(size, STREAMS, start)
            load = spend(kind.running, bodies, STREAMS_AT_ONCE).load
            found[kind.name].append(load.first_p50_ms - base)
    passed = statistics.median(found[PASSES])
    return {
        name: {
            "ratio": round(statistics.median(added) / passed, 2),
            "ms": round(statistics.median(added), 2),
        }
        for name, added in found.items()
    }


def measure(litellm: str, rounds: int, n: int, *, streams: bool) -> dict[str, Any]:
    """Start everything, measure, and end it."""
    fake = Server("upstream", (sys.executable, "-m", "benchmarks.speed.upstream", "PORT"), CONCRETE)
    upstream = Running(fake, free_port())
    started = [upstream]
    try:
        with tempfile.TemporaryDirectory() as folder:
            at = f"http://127.0.0.1:{upstream.port}"
            running = {}
            for name, server in servers(at, litellm, Path(folder)).items():
                running[name] = Running(server, upstream.port)
                started.append(running[name])
        measured = kinds(running)
        cpu = {
            name: cpu_ratios(measured, size, rounds, n)
            for name, size in SIZES.items()
            if size < 500_000
        }
        size = SIZES["5 KB"]
        return {
            "rounds": rounds,
            "requests": n,
            "cpu": cpu,
            "workers": worker_ratios(running["ours"], running["two"], upstream, size, rounds, n),
            "first_word": first_words(measured, upstream, size, rounds) if streams else {},
        }
    finally:
        for one in reversed(started):
            one.stop()


def main() -> None:
    """Measure, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", default="", help="path of the litellm executable")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=1500, help="per round and kind")
    parser.add_argument("--no-streams", action="store_true", help="leave out the first word")
    args = parser.parse_args()
    found = measure(args.litellm, args.rounds, args.requests, streams=not args.no_streams)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
