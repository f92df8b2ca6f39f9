"""Prometheus is told by one process or by several, and only where the machine's owner asks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.callers.directory import Access
from router.values import Interface
from tests.gateway_rig import PATHS, ask, fake_upstream, gateway, replies
from tests.router.serving.test_replicas import served

CHAT = PATHS[Interface.CHAT]
BODY = ask(Interface.CHAT, "kilo-auto/efficient", text="fix the crash")
FIRST = "openai/gpt-5.5"


def totals(text):
    """Return name → labels and value of all samples."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("auto_efficient_"), []).append(sample)
    return found


def count(text, name="requests_total"):
    return sum(sample.value for sample in totals(text).get(name, ()))


async def test_what_the_gateway_did_is_told_where_prometheus_asks():
    async with gateway() as client:
        assert (await client.post(CHAT, json=BODY)).status_code == 200
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        found = totals(answer.text)
        [sample] = found["requests_total"]
        assert sample.labels == {
            "end": "served",
            "tier": "kilo-auto/efficient",
            "interface": "chat",
        }
        assert {s.labels["model"] for s in found["tokens_total"]} == {FIRST}
        assert found["table_info"][0].labels["version"]
        assert "_created" not in answer.text
        om = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert om.text.endswith("# EOF\n")
        assert (await client.head("/metrics")).status_code == 200


async def test_models_that_clients_make_up_are_one_series():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, f"made/up-{i}"))
        text = (await client.get("/metrics")).text
        assert "made/up" not in text
        assert {s.labels["model"] for s in totals(text)["fallbacks_total"]} == {"other"}


async def test_an_open_circuit_is_told_until_somebody_is_served():
    async with fake_upstream() as fake, gateway(fake) as client:
        play, fake.play = fake.play, replies(503, b"{}")
        for i in range(5):
            await client.post(CHAT, json=ask(Interface.CHAT, FIRST, text=f"ask {i}"))
        [opened] = totals((await client.get("/metrics")).text)["breaker_open"]
        assert (opened.labels["model"], opened.value) == (FIRST, 1)
        fake.play = play
        assert (await client.post(CHAT, json=ask(Interface.CHAT, FIRST))).status_code == 200
        assert "breaker_open" not in totals((await client.get("/metrics")).text)


@pytest.mark.parametrize(
    "headers", [{"x-forwarded-for": "198.51.100.7"}, {"origin": "https://elsewhere.example"}]
)
async def test_nobody_else_is_told(headers):
    async with gateway() as client:
        answer = await client.get("/metrics", headers=headers)
        assert answer.status_code in (401, 403)
        assert "auto_efficient" not in answer.text


async def test_where_there_are_keys_one_with_the_scope_read_opens_it(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        running = client.app.state.gateway
        registry = running.books.registry
        reader = registry.create("prometheus", "test", scopes=[Access.READ]).key
        asks = registry.create("anna", "test").key
        terms = {"budgets": [{"usd": 10, "per": "week"}]}
        registry.set_terms("key:anna", terms, "test")
        running.keys.directory = registry.directory()
        assert (await client.get("/metrics")).status_code == 401
        refused = await client.get("/metrics", headers={"authorization": f"Bearer {asks}"})
        assert refused.status_code == 403
        await client.app.state.watch.turn(None)
        told = await client.get("/metrics", headers={"authorization": f"Bearer {reader}"})
        [left] = totals(told.text)["budget_left_usd"]
        assert left.labels == {"account": "key:anna", "period": "week"}
        assert left.value == 10


async def test_no_database_is_asked(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        await client.post(CHAT, json=BODY)
        client.app.state.gateway.books.database.dispose()
        client.app.state.gateway.books.database.connect = None
        assert count((await client.get("/metrics")).text) == 1


def workers_of(run):
    """Return the processes of a server that answer for it."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def get(url):
    """Ask a server on a new connection, whichever of its workers that reaches."""
    for _ in range(200):
        try:
            return httpx.get(f"{url}/metrics", timeout=20)
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")
def test_workers_count_together_and_what_one_counted_outlives_it():
    environ = {"workers": 2, "state_dir": "", "simulated_tokens_per_s": 0}
    with served(**environ) as (run, url, _):
        assert get(url).status_code == 200
        for _ in range(12):
            assert httpx.post(url + CHAT, json=BODY, timeout=20).status_code == 200
        assert [count(get(url).text) for _ in range(4)] == [12] * 4
        shared = Path(f"/proc/{run.pid}/environ").read_bytes()
        assert b"PROMETHEUS_MULTIPROC_DIR" not in shared, "only what it begins is told"
        before = set(workers_of(run))
        gone = before.pop()
        folder = metrics_folder(gone)
        os.kill(int(gone), signal.SIGKILL)
        until = time.monotonic() + 20
        while not set(workers_of(run)) - before or any(gone == pid for pid in workers_of(run)):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert count(get(url).text) == 12
        assert (folder / f"counter_{gone}.db").exists()
        assert not (folder / f"gauge_livesum_{gone}.db").exists()
        assert count(get(url).text, "ledger_waiting_rows") == 0


def metrics_folder(pid):
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    [named] = [v for v in variables if v.startswith(b"PROMETHEUS_MULTIPROC_DIR=")]
    return Path(named.partition(b"=")[2].decode())
