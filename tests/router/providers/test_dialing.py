"""A name with several addresses: the first that answers is taken, and nothing is left open."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import closing

import httpx
import pytest

from router.providers.dialing import HEAD_START_S, Address, dial, first_of
from router.providers.transport import FastTransport
from tests.router.providers.test_transport import post, whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has 127.0.0.2")


def at(port: int, *hosts: str) -> list[Address]:
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)) for host in hosts]


@pytest.fixture
def dead():
    """Return a port that drops what comes at 127.0.0.2, as a route to nowhere does."""
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for client in fill:
            client.setblocking(False)
            client.connect_ex(("127.0.0.2", port))
        yield port
        for client in fill:
            client.close()


@pytest.mark.parametrize("n_dead", [1, 3])
async def test_an_address_that_never_answers_is_not_waited_for(dead, n_dead):
    with socket.create_server(("127.0.0.1", dead)):
        began = time.monotonic()
        async with asyncio.timeout(5):
            found = await first_of(at(dead, *["127.0.0.2"] * n_dead, "127.0.0.1"))
        with found:
            assert found.getpeername()[0] == "127.0.0.1"
        assert HEAD_START_S * n_dead * 0.9 < time.monotonic() - began < HEAD_START_S * n_dead + 2


async def test_an_address_that_refuses_is_followed_by_the_next_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        began = time.monotonic()
        with await first_of(at(port, "127.0.0.3", "127.0.0.2", "127.0.0.1")) as found:
            assert found.getpeername()[0] == "127.0.0.1"
        assert time.monotonic() - began < HEAD_START_S


async def test_families_take_turns(dead):
    """Three dead addresses of one family do not stand before the first of the other."""
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    try:
        server = socket.create_server(("::1", dead), family=socket.AF_INET6)
    except OSError:
        pytest.skip("needs IPv6")
    with server:
        began = time.monotonic()
        with await first_of(at(dead, *["127.0.0.2"] * 9, "::1")) as found:
            assert found.getpeername()[0] == "::1"
        assert time.monotonic() - began < HEAD_START_S * 5


async def test_dead_addresses_end_in_the_time_to_connect(dead):
    async with FastTransport() as transport:
        request = post(f"http://127.0.0.2:{dead}")
        request.extensions["timeout"] = {"connect": 0.6}
        with pytest.raises(httpx.ConnectTimeout, match=r"127\.0\.0\.2 in 0\.6 s"):
            await whole(transport, request)


async def test_no_working_address_is_an_error():
    with pytest.raises(OSError, match="no address"):
        await first_of([])
    with pytest.raises(ConnectionRefusedError):
        await first_of(at(1, "127.0.0.1", "127.0.0.2"))
    with pytest.raises(ConnectionRefusedError):
        await dial(("http", "localhost", 1), None)


async def test_what_connects_too_late_is_closed():
    """All answer; a warning about an unclosed socket would fail the test."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        addresses = at(server.getsockname()[1], *["127.0.0.1"] * 5)
        for _ in range(5):
            (await first_of(addresses)).close()
        left = asyncio.create_task(first_of(addresses))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
