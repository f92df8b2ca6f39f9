"""A real Redis server that a test stops, starts again and lets hang."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STARTS_S = 20.0


class RedisServer:
    """A server on a socket of its own; what it keeps on disk is there when it starts again."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        named = f"--port 0 --unixsocket {self.socket} --dir {folder}"
        self._command = [program, *named.split(), "--appendonly", "yes", "--save", ""]

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until_s = time.monotonic() + STARTS_S
        while "eady to accept" not in (said := (self.folder / "log").read_text("utf-8")):
            assert self._process.poll() is None and time.monotonic() < until_s, said
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(STARTS_S)
        (self.folder / "log").unlink()

    def forget(self) -> None:
        """Lose what is on disk, while it is stopped."""
        shutil.rmtree(self.folder / "appendonlydir")

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(program, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.resume()
            server.stop()
