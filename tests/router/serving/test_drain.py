"""A gateway that is told to stop says so first, ends what it began, and then goes."""

from __future__ import annotations

import time

import httpx
import pytest

from router.values import Interface
from tests.gateway_rig import PATHS, ask, check_ended, gateway
from tests.processes import served

CHAT = PATHS[Interface.CHAT]
DELAY_S = 3.0


def status(url):
    answer = httpx.get(f"{url}/readyz")
    return answer.status_code, answer.json()["status"]


async def test_a_gateway_that_drains_is_alive_and_not_ready():
    async with gateway() as client:
        assert (await client.get("/readyz")).status_code == 200
        client.app.state.gateway.draining = True
        told = await client.get("/readyz")
        assert (told.status_code, told.json()["status"]) == (503, "draining")
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_stop_it_is_not_ready_at_once_and_open_streams_end(workers, tmp_path):
    environ = {"shutdown_delay_s": DELAY_S, "simulated_tokens_per_s": 10, "state_dir": tmp_path}
    with served(workers=workers, **environ) as running:
        assert status(running.url) == (200, "ok")
        body = ask(Interface.CHAT, "kilo-auto/efficient", stream=True)
        with httpx.stream("POST", running.url + CHAT, json=body, timeout=30) as answer:
            pieces = answer.iter_raw()
            read = next(pieces)
            running.process.terminate()
            began = time.monotonic()
            while status(running.url) != (503, "draining"):
                assert time.monotonic() - began < DELAY_S
            late = httpx.post(running.url + CHAT, json=ask(Interface.CHAT, "kilo-auto/free"))
            assert late.status_code == 200, "what a load balancer sends meanwhile is served"
            read += b"".join(pieces)
            took_s = time.monotonic() - began
        check_ended(Interface.CHAT, read)
        assert running.process.wait(20) in (0, -15)
        assert took_s > DELAY_S, "the stream went on while nobody new was taken"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/healthz")
        assert "Traceback" not in running.said


@pytest.mark.slow
def test_without_a_delay_nobody_new_is_taken_and_open_streams_end(tmp_path):
    with served(simulated_tokens_per_s=20, state_dir=tmp_path) as running:
        body = ask(Interface.CHAT, "kilo-auto/efficient", stream=True)
        with httpx.stream("POST", running.url + CHAT, json=body, timeout=30) as answer:
            pieces = answer.iter_raw()
            read = next(pieces)
            running.process.terminate()
            until = time.monotonic() + 2
            with pytest.raises(httpx.ConnectError):
                while time.monotonic() < until:
                    httpx.get(f"{running.url}/readyz")
            read += b"".join(pieces)
        check_ended(Interface.CHAT, read)
        assert running.process.wait(20) in (0, -15)
