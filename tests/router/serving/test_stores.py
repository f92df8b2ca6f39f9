"""What a gateway remembers is shared by its workers, and outlives a restart where it must."""

from __future__ import annotations

import hashlib
import logging
from functools import partial

import httpx
import pytest

from auto_efficient import FileSessions, Settings, create_app
from router.errors import BadArtefact
from tests.router.callers.redis_rig import redis_server

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ASK = "fix the crash in the pdf export when a page has no images"
BEARER = {"authorization": "Bearer secret"}
CALLERS = [{"name": "a", "sha256": hashlib.sha256(b"secret").hexdigest()}]


def said(text=ASK, model="kilo-auto/efficient"):
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def worker(settings, shared=None):
    """Return a client of one worker's application, driven without a socket."""
    app = create_app(settings, environ={}, shared=shared)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_a_pin_that_one_worker_heard_holds_at_every_other(tmp_path):
    workers = [worker(Settings(workers=2), tmp_path) for _ in range(2)]
    session, pin = {"x-session-id": "s"}, "anthropic/claude-opus-4.8"
    await workers[0].post(CHAT, json=said(), headers=session | {"x-auto-pin": pin})
    models = [
        (await workers[n % 2].post(CHAT, json=said(), headers=session)).headers["x-auto-model"]
        for n in range(6)
    ]
    assert models == [pin] * 6
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ASK.encode() not in written


async def test_workers_count_an_anonymous_caller_together(tmp_path):
    settings = Settings(workers=2, anonymous_per_hour=10, callers=CALLERS)
    workers = [worker(settings, tmp_path) for _ in range(2)]
    statuses = [
        (await workers[n % 2].post(CHAT, json=said(model="kilo-auto/free"))).status_code
        for n in range(24)
    ]
    assert statuses == [200] * 10 + [429] * 14


@pytest.mark.parametrize("named", [{}, {"x-session-id": "s"}])
async def test_a_conversation_that_its_provider_keeps_stays_there_after_a_restart(tmp_path, named):
    """Also where the client named a session."""
    settings, pin = Settings(state_dir=tmp_path), "openai/gpt-5.5"
    first = {"model": "kilo-auto/efficient", "input": "Prove that the consensus protocol is safe"}
    before = worker(settings)
    told = await before.post(RESPONSES, json=first, headers=named | {"x-auto-pin": pin})
    follow = {
        "model": "kilo-auto/efficient",
        "previous_response_id": told.json()["id"],
    }
    for name in ("bar", "baz"):
        follow["input"] = f"now rename foo to {name}"
        after = await worker(settings).post(RESPONSES, json=follow, headers=named)
        assert (after.headers["x-auto-model"], after.headers["x-auto-move"]) == (pin, "locked")


async def test_a_conversation_that_nobody_here_knows_is_told_as_such():
    follow = {
        "model": "kilo-auto/efficient", "input": "rename foo", "previous_response_id": "resp_1"
    }  # fmt: skip
    reply = await worker(Settings()).post(RESPONSES, json=follow)
    assert "does not know" in reply.headers["x-auto-reason"]


async def test_a_folder_that_cannot_be_written_costs_the_memory_and_not_the_start(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    caplog.set_level(logging.WARNING)
    client = worker(Settings(state_dir=tmp_path / "file" / "below"))
    assert (await client.post(CHAT, json=said())).status_code == 200
    assert "forgotten on a restart" in caplog.text


async def test_the_setting_makes_the_store_that_is_used(tmp_path):
    make = partial(FileSessions, tmp_path / "sessions.db", limit=9, idle_s=60.0)
    client = worker(Settings(session_store=make))
    key = (await client.post("/v1/route", json=said())).json()["session"]
    await client.post(CHAT, json=said())
    assert (await make().get(key)).task.calls == 1


def test_the_command_keeps_its_state_where_the_system_wants_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = {"HOME": "/home/anna"}
    load = Settings.load
    assert str(load(environ=home).state_dir) == "/home/anna/.local/state/auto-efficient"
    assert str(load(environ=home | {"XDG_STATE_HOME": "/s"}).state_dir) == "/s/auto-efficient"
    assert load(environ=home | {"AUTO_EFFICIENT_STATE_DIR": ""}).state_dir is None
    assert load(environ={}).state_dir is None


async def test_what_an_anonymous_caller_asked_outlives_a_restart(tmp_path):
    settings = Settings(state_dir=tmp_path, anonymous_per_hour=3, callers=CALLERS)
    statuses = [
        (await worker(settings).post(CHAT, json=said(model="kilo-auto/free"))).status_code
        for _ in range(5)
    ]
    assert statuses == [200] * 3 + [429] * 2


def test_a_store_that_is_none_keeps_the_gateway_from_starting():
    with pytest.raises(BadArtefact, match="settings: store: ") as told:
        Settings.load(environ={"AUTO_EFFICIENT_STORE": "ftp://nobody:secret@nowhere"})
    assert "secret" not in str(told.value)


async def test_replicas_count_an_anonymous_caller_together_and_each_a_share_while_they_cannot():
    with redis_server() as server:
        settings = Settings(store=server.url, anonymous_per_hour=20, callers=CALLERS)
        replicas = [worker(settings) for _ in range(2)]

        async def statuses(n):
            body = said(model="kilo-auto/free")
            return [(await replicas[k % 2].post(CHAT, json=body)).status_code for k in range(n)]

        assert await statuses(10) == [200] * 10
        server.stop()
        # Each last knew of 10 or 11 left, so the share of each is one request.
        told = await statuses(8)
        assert told.count(200) in (2, 3)
        assert set(told[4:]) == {429}
        server.start()
        for replica in replicas:
            await replica._transport.app.state.gateway.stores.aclose()
