"""A name with several addresses: the first that answers is taken, and nothing is left open."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import closing

import httpx
import pytest

from router.providers.dialing import HEAD_START_S, dial, reach
from router.providers.transport import FastTransport
from tests.gateway_rig import fake_upstream, replies
from tests.router.providers.test_transport import post, whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has 127.0.0.2")


def resolves_to(monkeypatch, *hosts: str) -> None:
    """Let every name stand for some addresses of this machine."""

    async def found(host, port, **_):
        return [
            (socket.AF_INET6 if ":" in h else socket.AF_INET, socket.SOCK_STREAM, 6, "", (h, port))
            for h in hosts
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


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
async def test_an_address_that_never_answers_is_not_waited_for(dead, monkeypatch, n_dead):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", dead)
    resolves_to(monkeypatch, *["127.0.0.2"] * n_dead, "127.0.0.1")
    async with FastTransport() as transport:
        request = post(f"http://provider.test:{dead}")
        request.extensions["timeout"] = {"connect": 5.0}
        began = asyncio.get_running_loop().time()
        assert await whole(transport, request) == (200, b"hi")
        assert asyncio.get_running_loop().time() - began < HEAD_START_S * n_dead + 2
    server.close()


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(monkeypatch):
    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = replies(200, b"hi")
        resolves_to(monkeypatch, "::9", "127.0.0.2", "127.0.0.1")
        port = httpx.URL(fake.url).port
        assert await whole(transport, post(f"http://provider.test:{port}")) == (200, b"hi")


async def test_dead_addresses_end_in_the_time_to_connect(dead, monkeypatch):
    resolves_to(monkeypatch, "127.0.0.2", "127.0.0.2")
    async with FastTransport() as transport:
        request = post(f"http://provider.test:{dead}")
        request.extensions["timeout"] = {"connect": 0.6}
        with pytest.raises(httpx.ConnectTimeout, match=r"provider\.test in 0\.6 s"):
            await whole(transport, request)


async def test_a_name_without_a_working_address_is_an_error(monkeypatch):
    resolves_to(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        await reach("provider.test", 1)
    resolves_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    with pytest.raises(ConnectionRefusedError):
        await dial(("https", "provider.test", 1), None)


async def test_what_connects_too_late_is_closed(monkeypatch):
    """All answer; a warning about an unclosed socket would fail the test."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        resolves_to(monkeypatch, *["127.0.0.1"] * 5)
        port = server.getsockname()[1]
        for _ in range(5):
            (await reach("provider.test", port)).close()
        left = asyncio.create_task(reach("provider.test", port))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
