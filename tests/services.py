"""Real servers that tests start and end: Redis and PostgreSQL, each in a folder and on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
"""Where Debian keeps the programs that it does not put on the path."""

STARTS_S = 20.0


@dataclass
class Service:
    """A server that can be stopped, and started again on the same port with what it kept."""

    command: list[str]
    folder: Path
    port: int
    url: str
    socket: str
    """Its URL over a socket of the file system."""
    answers: Callable[[], bool]
    ends: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        until = time.monotonic() + STARTS_S
        while not self.answers():
            gone = self.process.poll() is not None or time.monotonic() > until
            assert not gone, (self.folder / "log").read_text("utf-8", "replace")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as its own tools do; what it keeps on disk stays."""
        self.kill(self.ends)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it at once, or as told."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STARTS_S)
            self.process = None

    def pause(self) -> None:
        """Let it hang: connections are taken, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def program(name: str) -> str:
    """Return where a program is; skips the test where there is none."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{POSTGRES_BIN}")
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def redis_server(*, password: str = "", keeps: bool = False) -> Iterator[Service]:
    """Run a Redis server; what it ``keeps`` is there when it starts again."""
    import redis

    command, port = program("redis-server"), free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as name:
        folder = Path(name)
        path, secret = folder / "redis.sock", f":{password}@" if password else ""
        options = {
            "--port": str(port),
            "--bind": "127.0.0.1",
            "--unixsocket": str(path),
            "--dir": name,
            "--save": "",
            "--appendonly": "yes" if keeps else "no",
            "--appendfsync": "always",
            **({"--requirepass": password} if password else {}),
        }

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(service.url) as client:
                return bool(client.ping())
            return False

        service = Service(
            [command, *(part for option in options.items() for part in option)],
            folder,
            port,
            f"redis://{secret}127.0.0.1:{port}/0",
            f"unix://{secret}{path}",
            answers,
        )
        with _running(service):
            yield service


@contextmanager
def postgres_server() -> Iterator[Service]:
    """Run a PostgreSQL server with one database, ``postgres``, that trusts whoever asks.

    It refuses to run as root, so there it runs as the user ``postgres``.
    """
    initdb, postgres, ready = map(program, ("initdb", "postgres", "pg_isready"))
    port, root = free_port(), os.geteuid() == 0
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    other = [program("setpriv"), *user] if root else []
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if root:
            shutil.chown(data, "postgres", "postgres")
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(
            [*other, initdb, "-D", str(data), *options], capture_output=True, cwd="/"
        )
        assert made.returncode == 0, made.stderr.decode("utf-8", "replace")
        of = ["-h", "127.0.0.1", "-p", str(port)]

        def answers() -> bool:
            return subprocess.run([ready, *of], capture_output=True).returncode == 0

        service = Service(
            [*other, postgres, "-D", str(data), *of, "-k", str(data), "-c", "fsync=off"],
            folder,
            port,
            f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres",
            f"postgresql+psycopg://postgres@/postgres?host={data}&port={port}",
            answers,
            ends=signal.SIGINT,  # its "fast shutdown": who is connected is disconnected
        )
        with _running(service):
            yield service


@contextmanager
def _running(service: Service) -> Iterator[None]:
    service.start()
    try:
        yield
    finally:
        if service.process is not None:
            service.resume()
        service.stop()


async def soon(check: Callable[[], object], within_s: float) -> None:
    """Wait until something holds; asserts that it does in time."""
    until = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < until, f"not within {within_s} s"
        await asyncio.sleep(0.01)
