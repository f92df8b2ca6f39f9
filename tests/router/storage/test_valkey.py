"""A server that replicas share costs little while it is away, comes back, and tells no password."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from router.errors import BadArtefact
from router.storage.valkey import AGAIN_S, ANSWER_S, LOOKS, StoreAway, Valkey, checked, within
from tests.services import free_port, redis_server

SECRET = "s3cret"


@pytest.fixture(scope="module")
def server():
    with redis_server(password=SECRET) as running:
        yield running


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize("over", ["url", "socket"])
async def test_it_is_asked_over_a_port_and_over_a_socket(server, over):
    url = getattr(server, over)
    shared = Valkey(url)
    assert shared.problem == ""
    assert await shared.ask("ECHO", "hello") == b"hello"
    await shared.aclose()


async def test_valkeys_own_scheme_is_taken_as_the_same(server):
    shared = Valkey(server.url.replace("redis://", "valkey://"))
    assert await shared.ask("PING")
    await shared.aclose()


async def test_a_server_that_hangs_is_waited_for_once_and_comes_back_by_itself(server):
    clock = Clock()
    shared = Valkey(server.url, clock)
    server.pause()
    try:
        began = time.monotonic()
        for _ in range(9):
            with pytest.raises(StoreAway):
                await shared.ask("PING")
        assert ANSWER_S <= time.monotonic() - began < 2 * ANSWER_S
    finally:
        server.resume()
    with pytest.raises(StoreAway):
        await shared.ask("PING")
    clock.now_s += AGAIN_S
    assert await shared.ask("PING")
    assert shared.problem == ""
    await shared.aclose()


async def test_a_server_that_stopped_is_one_again_when_it_starts(server, caplog):
    clock = Clock()
    shared = Valkey(server.url, clock)
    await shared.ask("PING")
    server.stop()
    for _ in range(5):
        with pytest.raises(StoreAway):
            await shared.ask("PING")
        clock.now_s += AGAIN_S
    server.start()
    assert await shared.ask("PING")
    told = [record.message.partition(":")[0] for record in caplog.records]
    assert told == ["the shared store cannot be used", "the shared store answers again"]
    await shared.aclose()


async def test_one_that_is_not_there_at_the_start_is_a_problem_and_no_end(caplog):
    caplog.set_level(logging.WARNING)
    shared = Valkey(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    assert shared.problem in caplog.text
    assert SECRET not in caplog.text
    await shared.aclose()


async def test_a_wrong_password_is_a_problem_that_does_not_repeat_it(server):
    shared = Valkey(server.url.replace(SECRET, "wr0ng"))
    assert "password" in shared.problem
    assert "wr0ng" not in shared.problem
    await shared.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        SECRET,
        f"http://:{SECRET}@h",
        "redis://",
        f"redis://:{SECRET}@:6379",
        f"redis://:{SECRET}@h:port",
        f"redis://:{SECRET}@h/zero",
        f"redis://:{SECRET}/x@h:6379",
        "unix://",
    ],
)
def test_a_malformed_url_is_refused_without_being_repeated(url):
    with pytest.raises(ValueError, match="URL") as refused:
        checked(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("option", ["nonsense=1", "socket_timeout=x"])
def test_an_option_that_there_is_not_is_refused(option):
    with pytest.raises(BadArtefact, match=r"store: .*(nonsense|socket_timeout)"):
        Valkey(f"redis://:{SECRET}@127.0.0.1:1/0?{option}")


async def test_a_busy_process_takes_no_server_for_away_whose_answer_waits():
    loop, answer = asyncio.get_running_loop(), asyncio.Event()
    loop.call_later(0.11, answer.set)
    loop.call_soon(time.sleep, 0.2)
    async with within(0.1):
        await asyncio.sleep(0)
        await answer.wait()


async def test_a_server_that_does_not_answer_is_away_however_busy_the_process():
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with within(0.1):
            await asyncio.Event().wait()
    assert 0.09 < time.monotonic() - began < 2.0

    async def be_busy():
        while True:
            sum(range(100_000))
            await asyncio.sleep(0)

    busy = asyncio.create_task(be_busy())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with within(0.1):
            await asyncio.Event().wait()
    assert 0.09 < time.monotonic() - began < LOOKS * 0.1 + 2.0
    busy.cancel()
