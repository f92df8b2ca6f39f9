"""Replicas with one store, and a gateway before and after its restart, remember as one."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
import redis

from router.errors import BadArtefact
from router.providers.breaker import THRESHOLD
from router.serving.app import greeting
from router.serving.stores import SESSIONS_FILE
from router.settings import Settings
from router.storage.valkey import ANSWER_S
from router.values import Interface
from tests.conftest import ROOT
from tests.gateway_rig import PATHS, ask, fake_upstream, gateway, good, replies
from tests.services import free_port, redis_server, soon

CHAT, RESPONSES = PATHS[Interface.CHAT], PATHS[Interface.RESPONSES]
EFFICIENT = "kilo-auto/efficient"
PIN = "anthropic/claude-opus-4.8"
SESSION = {"x-session-id": "s"}
ASK = "fix the crash in the pdf export when a page has no images"
FIRST, SECOND = "openai/gpt-5.5", "anthropic/claude-sonnet-4.6"
"""What the rig's stub decides on, and its fallback."""


@pytest.fixture(scope="module")
def running():
    with redis_server(password="s3cret", keeps=True) as service:
        yield service


@pytest.fixture
def server(running):
    """Return a server that holds nothing."""
    with redis.Redis.from_url(running.url) as client:
        client.flushall()
    return running


def body(text=ASK):
    return ask(Interface.CHAT, EFFICIENT, text=text)


async def model_of(client, **headers):
    answer = await client.post(CHAT, json=body(), headers=SESSION | headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-auto-model"]


async def ready(client):
    return (await client.get("/readyz")).json()


async def problem_goes(client):
    """Wait until a gateway reports none; it looks by itself."""
    await soon(lambda: not client.app.state.gateway.stores.problems, 5.0)


async def test_a_pin_heard_by_one_replica_holds_at_the_other_and_when_that_one_is_gone(server):
    async with gateway(store=server.url) as b:
        async with gateway(store=server.url) as a:
            assert await model_of(a) == FIRST
            assert await model_of(a, **{"x-auto-pin": PIN}) == PIN
            assert [await model_of(client) for client in (b, a, b)] == [PIN] * 3
            assert await model_of(b, **{"x-auto-pin": "off"}) == FIRST
            assert await model_of(a) == FIRST
            assert await model_of(a, **{"x-auto-pin": PIN}) == PIN
        assert await model_of(b) == PIN


async def test_a_stored_answer_that_one_gave_is_known_to_the_other(server):
    asked = {"model": EFFICIENT, "input": ASK}
    async with gateway(store=server.url) as a, gateway(store=server.url) as b:
        told = await a.post(RESPONSES, json=asked, headers={"x-auto-pin": "openai/gpt-5.4"})
        follow = asked | {"input": "now rename foo", "previous_response_id": told.json()["id"]}
        after = await b.post(RESPONSES, json=follow)
        assert after.headers["x-auto-model"] == "openai/gpt-5.4"


async def test_the_store_stops_and_starts_and_no_session_is_lost(server):
    async with gateway(store=server.url) as a, gateway(store=server.url) as b:
        await model_of(a, **{"x-auto-pin": PIN})
        assert await model_of(b) == PIN
        server.stop()
        assert [await model_of(client) for client in (a, b, a, b)] == [PIN] * 4
        told = await ready(a)
        assert (told["status"], told["problem"]) == ("degraded", "the shared store cannot be used")
        server.start()
        for client in (a, b):
            await problem_goes(client)
            assert (await ready(client))["status"] == "ok"
            assert await model_of(client) == PIN
    async with gateway(store=server.url) as c:
        assert await model_of(c) == PIN


async def test_a_store_that_hangs_costs_one_request_a_moment_and_the_others_nothing(server):
    async with gateway(store=server.url) as client:
        await model_of(client, **{"x-auto-pin": PIN})
        server.pause()
        try:
            took = []
            for _ in range(10):
                took.append((await client.post(CHAT, json=body(), headers=SESSION)).elapsed)
        finally:
            server.resume()
        assert sum(elapsed.total_seconds() for elapsed in took) < 3 * ANSWER_S + 1.0
        await problem_goes(client)


async def test_what_fails_at_one_replica_is_passed_over_at_the_other(server):
    async def first_is_down(seen, writer):
        if seen.fields["model"] == FIRST:
            return await replies(503, b"{}")(seen, writer)
        return await good(seen, writer)

    async with (
        fake_upstream() as fake,
        gateway(fake, store=server.url) as a,
        gateway(fake, store=server.url) as b,
    ):
        fake.play = first_is_down
        for n in range(THRESHOLD):
            answer = await a.post(CHAT, json=body(f"{ASK}, {n}"))
            assert answer.headers["x-auto-model"] == SECOND
        breaker = b.app.state.gateway.upstream.memory._ours
        await soon(lambda: any(held.open_until for held in breaker._states.values()), 2.0)
        fake.seen.clear()
        assert (await b.post(CHAT, json=body())).headers["x-auto-model"] == SECOND
        assert [seen.fields["model"] for seen in fake.seen] == [SECOND]
        fake.play = good
        named = ask(Interface.CHAT, FIRST)
        assert (await b.post(CHAT, json=named)).status_code == 200, "nobody else has it"
        held = a.app.state.gateway.upstream.memory._ours
        await soon(lambda: not held.remembers, 2.0)
        assert (await a.post(CHAT, json=body())).headers["x-auto-model"] == FIRST


async def test_the_server_is_given_no_text_and_no_name(server):
    async with fake_upstream() as fake, gateway(fake, store=server.url) as client:
        fake.play = replies(503, b"{}")
        await client.post(CHAT, json=body(), headers={"x-session-id": "a-name-of-mine"})
        fake.play = good
        await client.post(CHAT, json=body(), headers={"x-session-id": "a-name-of-mine"})
        asks = client.app.state.gateway.stores.server.ask
        await soon(lambda: not client.app.state.gateway.upstream.memory._ours._changed, 2.0)
        kept = [await asks("DUMP", key) for key in await asks("KEYS", "*")]
        assert kept
        written = b"".join([*kept, *(await asks("KEYS", "*"))])
        for secret in (ASK, "a-name-of-mine", "owner"):
            assert secret.encode() not in written


async def test_a_store_that_is_away_at_the_start_is_told_and_the_gateway_serves(caplog):
    caplog.set_level(logging.WARNING)
    url = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
    async with gateway(store=url) as client:
        assert await model_of(client) == FIRST
        assert (await ready(client))["status"] == "degraded"
        running = client.app.state.gateway
        text = greeting(running.settings, 1, running, proxies=NoProxy)
        assert "problem     the shared store cannot be used" in text
        assert "s3cret" not in text + caplog.text + repr(running.settings)


class NoProxy:
    by_scheme = ()


@pytest.mark.parametrize("url", ["http://:s3cret@h", "redis://:s3cret@h:port", "s3cret"])
def test_a_malformed_url_ends_the_start_and_is_not_repeated(url):
    with pytest.raises(BadArtefact, match="settings: store: .*URL") as refused:
        Settings.load(environ={"AUTO_EFFICIENT_STORE": url})
    assert "s3cret" not in str(refused.value)


def test_an_empty_url_is_none():
    assert Settings.load(environ={"AUTO_EFFICIENT_STORE": ""}).store is None


@pytest.mark.slow
def test_without_the_library_one_line_says_what_to_install():
    code = "import sys; sys.modules['redis'] = None; from auto_efficient.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0"],
        env=os.environ | {"AUTO_EFFICIENT_STORE": "redis://localhost", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 2
    assert told.stderr.strip() == (
        "auto-efficient serve: redis is not installed; install auto-efficient with its redis extra"
    )


async def test_a_gateway_that_ends_and_begins_again_keeps_pins_and_conversations(tmp_path):
    asked = {"model": EFFICIENT, "input": ASK}
    async with gateway(state_dir=tmp_path) as before:
        await model_of(before, **{"x-auto-pin": PIN})
        told = await before.post(RESPONSES, json=asked, headers={"x-auto-pin": "openai/gpt-5.4"})
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ASK.encode() not in written
    async with gateway(state_dir=tmp_path) as after:
        assert await model_of(after) == PIN
        follow = asked | {"input": "now rename foo", "previous_response_id": told.json()["id"]}
        answer = await after.post(RESPONSES, json=follow)
        assert answer.headers["x-auto-model"] == "openai/gpt-5.4"


@contextmanager
def served(**environ):
    """Run the command in a process of its own, and say where it listens."""
    found = os.environ | {"PYTHONPATH": str(ROOT)}
    found |= {f"AUTO_EFFICIENT_{name.upper()}": str(value) for name, value in environ.items()}
    command = [sys.executable, "-m", "auto_efficient", "serve", "--port", "0"]
    with subprocess.Popen(command, env=found, stderr=subprocess.PIPE, text=True) as run:
        try:
            said = []
            for line in run.stderr:
                said.append(line)
                if "try " in line:
                    break
            yield run, next(line.split()[-1] for line in said if "listens on" in line), said
        finally:
            run.terminate()
            run.wait(20)


def post(url, **headers):
    for _ in range(100):
        try:
            return httpx.post(url + CHAT, json=body(), headers=SESSION | headers, timeout=20)
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.slow
def test_a_process_that_is_killed_loses_less_than_its_last_second(tmp_path):
    environ = {"state_dir": tmp_path, "simulated_tokens_per_s": 0}
    with served(**environ) as (run, url, _):
        assert post(url, **{"x-auto-pin": PIN}).headers["x-auto-model"] == PIN
        until = time.monotonic() + 1.0
        with contextlib.closing(sqlite3.connect(tmp_path / SESSIONS_FILE)) as reader:
            while not reader.execute("SELECT 1 FROM sessions").fetchone():
                assert time.monotonic() < until
        run.kill()
    with served(**environ) as (_, url, _):
        assert post(url).headers["x-auto-model"] == PIN


@pytest.mark.slow
def test_workers_keep_sessions_over_a_restart_and_say_what_they_share(tmp_path):
    environ = {"state_dir": tmp_path, "workers": 2, "simulated_tokens_per_s": 0}
    with served(**environ) as (_, url, said):
        assert post(url, **{"x-auto-pin": PIN}).headers["x-auto-model"] == PIN
        assert "what is known of failing providers" in "".join(said)
    with served(**environ) as (_, url, _):
        assert {post(url).headers["x-auto-model"] for _ in range(6)} == {PIN}


@pytest.mark.slow
def test_one_of_two_replicas_is_killed_and_the_other_goes_on(server):
    environ = {"store": server.url, "state_dir": "", "simulated_tokens_per_s": 0}
    with served(**environ) as (a, url_a, said), served(**environ) as (_, url_b, _):
        assert post(url_a, **{"x-auto-pin": PIN}).headers["x-auto-model"] == PIN
        a.kill()
        a.wait(20)
        assert post(url_b).headers["x-auto-model"] == PIN
    assert "s3cret" not in "".join(said)
    assert "problem" not in "".join(said)
