"""Gateways that tests run as an operator does: the console command, in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import ROOT

STARTS_S = 60.0
"""A machine that does much else takes its time."""


@dataclass
class Served:
    """A gateway, where it listens, and what it said."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def said(self) -> str:
        """What it wrote to standard error so far."""
        return self.log.read_text("utf-8", "replace")

    @property
    def workers(self) -> list[int]:
        """Its processes that serve, where it has several."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in listed.split()}
        return [pid for pid, line in lines.items() if b"resource_tracker" not in line]

    def all_serve(self, n: int) -> bool:
        """Say whether so many workers have made their application: each then holds its bulletin open."""
        return sum(any("bulletin.db" in path for path in _open(pid)) for pid in self.workers) == n

    def kill(self) -> None:
        """End it at once, and wait for that."""
        self.process.kill()
        self.process.wait(20)

    def stop(self, within_s: float = 40.0) -> int:
        """Tell it to stop; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


@contextmanager
def served(**environ: object) -> Iterator[Served]:
    """Run ``auto-efficient serve`` on a free port, its settings in the environment, until it answers."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("AUTO_EFFICIENT_", "OTEL_"))}
    given = {"port": 0, "simulated_tokens_per_s": 0} | environ
    own |= {f"AUTO_EFFICIENT_{name.upper()}": str(value) for name, value in given.items()}
    own["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="served-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "auto_efficient", "serve"], env=own, stderr=stderr
            )
        running = Served(process, "", log)
        try:
            running.url = _listens(running)
            if (n := int(str(given.get("workers", 1)))) > 1:
                until = time.monotonic() + STARTS_S
                while not running.all_serve(n):
                    assert time.monotonic() < until, running.said
                    time.sleep(0.05)
            yield running
        finally:
            if process.poll() is None:
                children = running.workers
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    for child in children:
                        os.kill(child, signal.SIGKILL)


def _open(pid: int) -> list[str]:
    """Return what a process has open."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(str(path.readlink()))
    return found


def _listens(running: Served) -> str:
    """Wait until a gateway answers; return its URL."""
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until:
        assert running.process.poll() is None, running.said
        lines = running.said.splitlines()
        urls = [line.split()[-1] for line in lines if "listens on" in line]
        if urls:
            try:
                httpx.get(f"{urls[0]}/healthz", timeout=5).raise_for_status()
                return urls[0]
            except httpx.TransportError:
                pass
        time.sleep(0.05)
    raise AssertionError(f"not within {STARTS_S} s: {running.said}")
