"""Webhooks are told of what begins and what ends, once, and hold up nobody."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import httpx
import pytest

from router.books.alerts import EVERY_S, LEAST, QUIET_S, SIGNATURE, Tally, signed
from router.books.metrics import Metrics
from router.callers.meters import Charge, Meter, Period, Resource
from router.providers.transport import FastTransport
from router.serving.telemetry import Telemetry
from router.serving.watch import Watch
from router.values import Interface
from tests.gateway_rig import PATHS, ask, fake_upstream, gateway, replies
from tests.router.serving.test_replicas import served
from tests.services import soon

CHAT = PATHS[Interface.CHAT]
FIRST = "openai/gpt-5.5"
BUDGET = Charge("team:core", Meter(Resource.USD, Period.MONTH, 10.0), 9.0)


class Receiver(ThreadingHTTPServer):
    """Takes alerts; ``answers`` are the statuses that it gives first."""

    def __init__(self):
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.lock = Lock()
        super().__init__(("127.0.0.1", 0), Telling)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def texts(self):
        return [json.loads(body)["text"] for _, body in self.told]


class Telling(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            status = self.server.answers.pop(0) if self.server.answers else 200
            self.server.told.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with Receiver() as found:
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


class Clock:
    """Says what time it is."""

    def __init__(self):
        self.now_s = time.time()

    def __call__(self):
        return self.now_s


@asynccontextmanager
async def watched(receiver, fake=None, folder=None, alerts=None, **hook):
    """Run a gateway and a watch whose turns are the test's."""
    alerts = alerts or [{"url": receiver.url, **hook}]
    transport, clock = FastTransport(), Clock()
    async with gateway(fake, alerts=alerts, state_dir=folder) as client:
        found = Watch(
            client.app.state.gateway,
            Telemetry(Metrics(models=bool, providers=bool, tiers=bool), Tally(), None),
            transport=transport,
            clock=clock,
            waits_s=(0.0, 0.0, 0.0),
        )
        try:
            yield client, found, clock
        finally:
            await transport.aclose()


async def told(receiver, n):
    """Wait until so many alerts are told."""
    await soon(lambda: len(receiver.told) >= n, 5.0)
    return receiver.texts


async def test_a_budget_is_told_of_signed_and_once(receiver, tmp_path):
    async with watched(receiver, folder=tmp_path, secret="s3cret") as (client, watch, clock):
        running = client.app.state.gateway
        accounts, registry = running.stores.accounts, running.books.registry
        registry.create_team("core", "test")
        registry.create("anna", actor="test", team="core")
        registry.set_terms("team:core", {"budgets": [{"usd": 10, "per": "month"}]}, "test")
        running.keys.directory = registry.directory()
        await watch.turn(None)
        claim = await accounts.claim([BUDGET], clock())
        await accounts.settle(claim, [8.5])
        for _ in range(3):
            await watch.turn(None)
        [text] = await told(receiver, 1)
        assert text == "team:core has spent 80% of its budget of this month: $8.50 of $10.00"
        [(headers, body)] = receiver.told
        assert headers[SIGNATURE] == signed(body, "s3cret")
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["details"]["account"] == "team:core"


async def test_a_provider_that_is_down_is_told_of_and_its_recovery(receiver):
    async with fake_upstream() as fake, watched(receiver, fake) as (client, watch, clock):
        good, fake.play = fake.play, replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, FIRST, text=f"ask {i}"))
        await watch.turn(None)
        clock.now_s += 61
        await watch.turn(None)
        [text] = await told(receiver, 1)
        assert f"fails at {FIRST}" in text
        fake.play = good
        assert (await client.post(CHAT, json=ask(Interface.CHAT, FIRST))).status_code == 200
        await watch.turn(None)
        clock.now_s += QUIET_S + 1
        await watch.turn(None)
        _, ended = await told(receiver, 2)
        assert ended.startswith("Over: ")


class Unreadable:
    """Accounts of a store that is away."""

    async def readings(self, charges, now_s):
        raise ConnectionError


async def test_without_a_database_what_nobody_can_read_has_not_ended(receiver, tmp_path):
    async with watched(receiver, folder=tmp_path) as (client, watch, clock):
        running = client.app.state.gateway
        accounts, registry = running.stores.accounts, running.books.registry
        registry.create_team("core", "test")
        registry.create("anna", actor="test", team="core")
        registry.set_terms("team:core", {"budgets": [{"usd": 10, "per": "month"}]}, "test")
        running.keys.directory = registry.directory()
        await accounts.settle(await accounts.claim([BUDGET], clock()), [8.5])
        await watch.turn(None)
        stores = running.stores
        for found in (replace(stores, accounts=Unreadable()), stores):
            running.stores = found
            clock.now_s += QUIET_S + 1
            await watch.turn(None)
        running.stores = stores
        await told(receiver, 1)
    assert len(receiver.told) == 1


async def test_two_webhooks_of_one_address_are_not_each_other_s_end(receiver):
    alerts = [{"url": receiver.url, "on": ["provider"], "open_s": 0}]
    alerts += [{"url": receiver.url, "on": ["errors"]}]
    async with (
        fake_upstream() as fake,
        watched(receiver, fake, alerts=alerts) as (client, watch, _),
    ):
        fake.play = replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, FIRST, text=f"ask {i}"))
        for _ in range(3):
            await watch.turn(None)
        await told(receiver, 1)
    assert [text.startswith("Over") for text in receiver.texts] == [False]


async def test_who_answers_badly_is_asked_again_and_led_nowhere(receiver, caplog):
    receiver.answers = [500, 302, 500]
    async with fake_upstream() as fake, watched(receiver, fake, open_s=0) as (client, watch, _):
        fake.play = replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, FIRST, text=f"ask {i}"))
        await watch.turn(None)
        texts = await told(receiver, 4)
        assert len(set(texts)) == 1
    assert "does not take" not in caplog.text


async def test_who_never_answers_well_is_told_of_in_the_log(receiver, caplog):
    receiver.answers = [500] * 4
    async with fake_upstream() as fake, watched(receiver, fake, open_s=0) as (client, watch, _):
        fake.play = replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, FIRST, text=f"ask {i}"))
        await watch.turn(None)
        await soon(lambda: "does not take provider:" in caplog.text, 5.0)
        assert len(receiver.told) == 4
        assert receiver.url not in caplog.text


@pytest.mark.slow
def test_of_several_workers_one_tells(receiver, tmp_path):
    config = tmp_path / "auto-efficient.toml"
    config.write_text(
        f'[timeouts]\nfirst_byte_s = 5.0\n[[alerts]]\nurl = "{receiver.url}"\non = ["errors"]\n'
    )
    environ = {
        "config": config,
        "workers": 2,
        "state_dir": tmp_path,
        "simulated_tokens_per_s": 0,
        "log_requests": "false",
    }
    with served(**environ) as (run, url, _):
        until = time.monotonic() + 20
        failing = {"x-simulate": "status=503"}
        body = ask(Interface.CHAT, "kilo-auto/efficient")
        while not receiver.told and time.monotonic() < until:
            for _ in range(LEAST):
                try:
                    httpx.post(url + CHAT, json=body, headers=failing, timeout=20)
                except httpx.TransportError:
                    time.sleep(0.1)
        time.sleep(2 * EVERY_S)
    assert len(receiver.told) == 1, receiver.texts
    assert "of requests failed" in receiver.texts[0]
