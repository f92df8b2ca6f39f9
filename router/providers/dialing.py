"""The way to a server: the first of its addresses that answers, directly or through a proxy.

A name often stands for several addresses, and a route to some of them may lead nowhere: each gets
a head start, then the next is tried beside it (RFC 8305, "happy eyeballs").  uvloop lacks asyncio's
own, so it is here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from base64 import b64encode
from collections import deque
from itertools import chain, zip_longest
from typing import Any, Final

from router.providers.connection import cause
from router.providers.proxies import Proxy

HEAD_START_S: Final = 0.25
"""How long an address is tried alone: RFC 8305's "connection attempt delay"."""

MAX_PROXY_HEAD: Final = 64 << 10
"""Longest answer of a proxy to a request for a tunnel, in bytes."""

Origin = tuple[str, str, int]
"""Scheme, host and port of a server."""

Address = tuple[socket.AddressFamily, Any]


async def dial(origin: Origin, proxy: Proxy | None) -> socket.socket:
    """Return a socket that leads to a server; raises OSError, or httpx.ProxyError."""
    scheme, host, port = origin
    if proxy is None:
        return await reach(host, port)
    try:
        held = await reach(proxy.host, proxy.port)
    except OSError as error:
        raise proxy.failed(f"cannot connect{cause(error)}") from error
    if proxy.asked_in_full(scheme):
        return held
    try:
        await TUNNELS[proxy.scheme](held, proxy, host, port)
    except OSError as error:
        held.close()
        raise proxy.failed(f"broke off{cause(error)}") from error
    except BaseException:
        held.close()
        raise
    return held


async def reach(host: str, port: int) -> socket.socket:
    """Connect to a host; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await first_of([(family, address) for family, _, _, _, address in found])


async def first_of(addresses: list[Address]) -> socket.socket:
    """Connect to the first address that answers, in their order; raises OSError."""
    waiting = deque(_alternating(addresses))
    trying: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("there is no address")
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connect(*waiting.popleft())))
            alone_s = HEAD_START_S if waiting else None
            await asyncio.wait(trying, timeout=alone_s, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in trying if task.done()]:
                trying.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                failure = error
        raise failure
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_let_go)


def _alternating(addresses: list[Address]) -> list[Address]:
    """Order addresses so that their families alternate, each in the system's order."""
    first = [a for a in addresses if a[0] == addresses[0][0]]
    others = [a for a in addresses if a[0] != addresses[0][0]]
    return [a for a in chain.from_iterable(zip_longest(first, others)) if a is not None]


async def _connect(family: socket.AddressFamily, address: Any) -> socket.socket:
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setblocking(False)
        await asyncio.get_running_loop().sock_connect(held, address)
    except BaseException:
        held.close()
        raise
    return held


def _let_go(task: asyncio.Task[socket.socket]) -> None:
    """Close what came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect_through(held: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask an HTTP proxy for a tunnel (``CONNECT``)."""
    loop = asyncio.get_running_loop()
    name = host.encode("idna").decode()
    where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    asked = f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n".encode("ascii")
    if login := basic(proxy):
        asked += b"proxy-authorization: %s\r\n" % login
    await loop.sock_sendall(held, asked + b"\r\n")
    said = b""
    while b"\r\n\r\n" not in said:
        more = await loop.sock_recv(held, 4096)
        if not more or len(said) > MAX_PROXY_HEAD:
            raise proxy.failed(f"gave no HTTP answer to CONNECT {where}")
        said += more
    status = said.partition(b"\r\n")[0].decode("latin-1").partition(" ")[2]
    if not status.startswith("2"):
        raise proxy.failed(f"refused CONNECT {where}: {status[:100]!r}")


async def _socks_through(held: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask a SOCKS 5 proxy for a tunnel (RFC 1928, 1929); it resolves the name."""
    loop = asyncio.get_running_loop()

    async def answer(sent: bytes, n_bytes: int) -> bytes:
        await loop.sock_sendall(held, sent)
        said = b""
        while len(said) < n_bytes:
            if not (more := await loop.sock_recv(held, n_bytes - len(said))):
                raise proxy.failed("does not speak SOCKS 5")
            said += more
        return said

    method = (await answer(b"\x05\x01\x02" if proxy.user else b"\x05\x01\x00", 2))[1]
    if method == 2 and proxy.user:
        user, password = proxy.user.encode(), proxy.password.encode()
        login = (
            struct.pack("!BB", 1, len(user)) + user + struct.pack("!B", len(password)) + password
        )
        method = (await answer(login, 2))[1]
    if method:
        raise proxy.failed("refused the way to log in, or the login")
    name = host.encode("idna")
    wanted = b"\x05\x01\x00\x03" + struct.pack("!B", len(name)) + name + struct.pack("!H", port)
    _, code, _, kind = await answer(wanted, 4)
    if code:
        raise proxy.failed(f"cannot reach {host}:{port} (SOCKS error {code})")
    length = (await answer(b"", 1))[0] if kind == 3 else 4 if kind == 1 else 16
    await answer(b"", length + 2)


TUNNELS: Final = {"http": _connect_through, "socks5": _socks_through}
"""A proxy's scheme → how to ask it for a tunnel."""


def basic(proxy: Proxy) -> bytes:
    """Return the value of ``Proxy-Authorization``; empty without a login."""
    login = f"{proxy.user}:{proxy.password}".encode()
    return b"Basic " + b64encode(login) if proxy.user else b""
