"""What a serving process sets for itself, seen in servers that really run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from threadpoolctl import threadpool_info

from router.values import Interface
from tests.conftest import ROOT
from tests.gateway_rig import PATHS, ask

SERVES = """
from router.serving.app import serve
from router.settings import Settings
from tests.router.serving.test_process import say_threads
serve(Settings(port=0, workers={workers}), record=say_threads)
"""
EMBEDS = """
import numpy as np
np.ones((300, 300)) @ np.ones((300, 300))  # BLAS has begun its threads by now
import socket, sys, uvicorn
from router.serving.app import create_app
from router.settings import Settings
from tests.router.serving.test_process import say_threads
app = create_app(Settings(), record=say_threads)
bound = socket.create_server(("127.0.0.1", 0))
print(f"listens on http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[bound])
"""


def say_threads(record):
    """Say at the end of a request how many threads its process computes with."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    sys.stderr.write(f"threads {os.getpid()} {max(pools, default=0)}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def server(code):
    """Run a server; yields its process, its address and the lines that it says."""
    own = {"PYTHONPATH": str(ROOT)}
    environ = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | own
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as run:
        try:
            url = next(line.split()[-1] for line in run.stderr if "listens on" in line)
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    assert httpx.get(f"{url}/healthz").status_code == 200
                    break
                time.sleep(0.1)
            yield run, url
        finally:
            run.send_signal(signal.SIGTERM)
            assert run.wait(20) in (0, -15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "processes"),
    [
        (SERVES.format(workers=1), 1),
        (SERVES.format(workers=2), 2),
        (EMBEDS, 1),
    ],
    ids=["one worker", "two workers", "embedded, numpy loaded before"],
)
def test_a_server_computes_on_one_thread(code, processes):
    with server(code) as (run, url):
        seen = {}
        while len(seen) < processes:
            body = ask(Interface.CHAT, "kilo-auto/efficient", text=f"Fix bug {time.time()}")
            assert httpx.post(f"{url}{PATHS[Interface.CHAT]}", json=body).status_code == 200
            line = next(line for line in run.stderr if line.startswith("threads"))
            _, pid, threads = line.split()
            seen[pid] = int(threads)
        assert set(seen.values()) == {1}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads the kernel's figures")
def test_who_only_minds_workers_loads_nothing_that_decides():
    """The evidence and the classifier alone are more than the difference that is asked for here."""
    with server(SERVES.format(workers=2)) as (run, _):
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        own, *others = (anonymous_kb(pid) for pid in (run.pid, *children))
    assert own < max(others) * 2 / 3


def anonymous_kb(pid):
    """Return the memory of a process that no file backs."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
