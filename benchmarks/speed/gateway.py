"""``python -m benchmarks.speed.gateway``: the gateway beside a pass-through and LiteLLM, interleaved.

Every server is one process in front of the same fake upstream; driver, upstream and server share
the machine, so only ratios travel.  Rounds are interleaved and the median is shown.  LiteLLM runs
when ``--litellm`` names its executable (its own virtual environment is best).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.speed.load import Load, drive, post
from benchmarks.speed.upstream import CHUNKS

PATH: Final = "/v1/chat/completions"
CONCRETE: Final = "z-ai/glm-5"

SERVE: Final = """
import sys; from router.serving.app import serve; from router.settings import Settings
serve(Settings(port=int(sys.argv[1]), upstream=sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Something under test: how to start it, and which model to ask it for."""

    name: str
    command: tuple[str, ...]
    model: str
    path: str = PATH
    slow: bool = False


def servers(upstream: str, litellm: str, folder: Path) -> list[Server]:
    """Return what is measured; ``PORT`` stands for the port in a command."""
    python = sys.executable
    passes = (python, "-m", "benchmarks.speed.passthrough", "PORT", upstream)
    ours = (python, "-c", SERVE, "PORT", upstream)
    found = [
        Server("upstream itself", (), CONCRETE),
        Server("FastAPI + stock httpx", (*passes, "stock"), CONCRETE, slow=True),
        Server("FastAPI + our transport", (*passes, "fast"), CONCRETE),
        Server("Auto Efficient, concrete id", ours, CONCRETE),
        Server("Auto Efficient, efficient", ours, "kilo-auto/efficient"),
    ]
    if litellm:
        config = folder / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: fake\n    litellm_params:\n      model: openai/fake\n"
            f"      api_base: {upstream}/v1\n      api_key: sk-x\n"
            "litellm_settings:\n  telemetry: false\n"
            "general_settings:\n  master_key: sk-test\n"
            "  dangerously_permit_weak_or_unset_master_key: true\n"
        )
        command = (litellm, "--config", str(config), "--host", "127.0.0.1", "--port", "PORT")
        found.append(Server("LiteLLM proxy", command, "fake", slow=True))
    return found


def bodies(model: str, n: int, *, stream: bool, seed: int, pace_s: float = 0.0) -> Iterator[bytes]:
    """Make requests that differ, so that every routed one is a new decision."""
    for i in range(n):
        ask = f"Fix bug {seed}-{i}: the parser in module_{i % 97}.py drops the last line of a file"
        fields = {"model": model, "messages": [{"role": "user", "content": ask}], "stream": stream}
        if stream:
            fields["stream_options"] = {"include_usage": True}
        if pace_s:
            fields["pace"] = pace_s
        yield json.dumps(fields).encode()


class Running:
    """A server process, its port, and what it has used."""

    def __init__(self, server: Server, upstream_port: int) -> None:
        """Start it and wait until it answers."""
        self.server = server
        self.port = upstream_port
        self._process: subprocess.Popen[bytes] | None = None
        if server.command:
            self.port = free_port()
            command = [str(self.port) if part == "PORT" else part for part in server.command]
            free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            self._process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=free
            )
            wait_for(self.port, 120 if server.slow else 30)

    def cpu_s(self) -> float:
        """CPU seconds that it, what it started, and all their threads have used so far."""
        if self._process is None:
            return 0.0
        return sum(map(_thread_s, _threads_of(self._process.pid)))

    def memory_mb(self) -> float:
        """Resident memory now."""
        if self._process is None:
            return 0.0
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def run(self, connections: int, n: int, *, stream: bool, seed: int, pace_s: float) -> Round:
        """Measure one round."""
        server = self.server
        made = bodies(server.model, n, stream=stream, seed=seed, pace_s=pace_s)
        requests = (post(server.path, body, self.port) for body in made)
        before = self.cpu_s()
        load = uvloop.run(drive(self.port, requests, connections=connections))
        cpu_us = (self.cpu_s() - before) / max(1, load.requests) * 1e6
        return Round(server.name, connections, load, cpu_us, self.memory_mb())


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one server at one number of connections."""

    name: str
    connections: int
    load: Load
    cpu_us: float
    memory_mb: float


def _threads_of(pid: int) -> Iterator[Path]:
    """Yield the threads of a process and of those that it started."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        yield thread
        for child in (thread / "children").read_text().split():
            yield from _threads_of(int(child))


def _thread_s(thread: Path) -> float:
    """Return the CPU seconds of a thread, as the scheduler counts them."""
    return int((thread / "schedstat").read_text().split()[0]) / 1e9


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float) -> None:
    """Wait until something listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def median(rows: Sequence[Round]) -> dict[str, Any]:
    """Return the medians of rounds of the same thing."""
    of = {key: statistics.median(getattr(r.load, key) for r in rows) for key in (
        "per_s", "p50_ms", "p99_ms", "first_p50_ms", "first_p99_ms"
    )}  # fmt: skip
    return {
        "name": rows[0].name,
        "connections": rows[0].connections,
        **of,
        "failed": sum(r.load.failed for r in rows),
        "cpu_us": statistics.median(r.cpu_us for r in rows),
        "memory_mb": max(r.memory_mb for r in rows),
    }


def measure(
    running: Sequence[Running],
    *,
    connections: int,
    rounds: int,
    requests: int,
    stream: bool,
    pace_s: float = 0.0,
) -> list[dict[str, Any]]:
    """Run interleaved rounds; what is known to be slow gets fewer requests."""
    rows: dict[str, list[Round]] = {}
    for round_ in range(rounds):
        for one in running:
            n = requests // (10 if one.server.slow else 1)
            n = max(n, 2 * connections)
            row = one.run(
                connections, n, stream=stream, seed=round_ * 31 + connections, pace_s=pace_s
            )
            rows.setdefault(one.server.name, []).append(row)
    return [median(found) for found in rows.values()]


def show(title: str, rows: Sequence[dict[str, Any]], base: float, *, stream: bool) -> None:
    """Print a table; added times are over the upstream itself."""
    out = sys.stdout
    key = "first" if stream else ""
    p50, p99 = (f"{key}_p50_ms", f"{key}_p99_ms") if stream else ("p50_ms", "p99_ms")
    cpu = "CPU ms/stream" if stream else "CPU µs/req"
    out.write(
        f"\n{title}\n{'':30}{'req/s':>9}{'p50 ms':>9}{'+p50':>8}{'p99 ms':>9}{cpu:>15}{'MB':>6}{'failed':>8}\n"
    )
    for row in rows:
        cost = row["cpu_us"] / 1000 if stream else row["cpu_us"]
        out.write(
            f"{row['name']:30}{row['per_s']:9.0f}{row[p50]:9.2f}{row[p50] - base:8.2f}"
            f"{row[p99]:9.2f}{cost:15.2f}{row['memory_mb']:6.0f}{row['failed']:8d}\n"
        )
    out.flush()


def main() -> None:
    """Measure everything; print tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", default="", help="path of the litellm executable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=3000, help="per round and server")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--out", type=Path, default=Path("reports/gateway.json"))
    args = parser.parse_args()
    port = free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "benchmarks.speed.upstream", str(port)])
    results: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": args.rounds,
    }
    running: list[Running] = []
    try:
        wait_for(port, 10)
        with tempfile.TemporaryDirectory() as folder:
            for server in servers(f"http://127.0.0.1:{port}", args.litellm, Path(folder)):
                running.append(Running(server, port))
        for one in running:  # warm up
            one.run(8, 200 if not one.server.slow else 40, stream=False, seed=999, pace_s=0)
        for connections in args.connections:
            some = [r for r in running if connections < 512 or not r.server.slow]
            n = args.requests if connections > 1 else args.requests // 3
            rows = measure(
                some, connections=connections, rounds=args.rounds, requests=n, stream=False
            )
            results[f"json {connections}"] = rows
            show(f"JSON, {connections} connections", rows, rows[0]["p50_ms"], stream=False)
        for connections, pace_s in ((8, 0.0), (32, 0.02)):
            n = 320 if not pace_s else 32
            rows = measure(
                running,
                connections=connections,
                rounds=args.rounds,
                requests=n,
                stream=True,
                pace_s=pace_s,
            )
            results[f"stream {connections} pace {pace_s}"] = rows
            title = f"Streams of {CHUNKS} events, {connections} connections, {pace_s * 1e3:.0f} ms apart"
            show(f"{title} (time to first event)", rows, rows[0]["first_p50_ms"], stream=True)
    finally:
        for one in running:
            one.stop()
        upstream.terminate()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
