"""The transport: connections are kept, cut, replaced and bounded as its text says."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.providers.connection import HIGH_WATER, Connection
from router.providers.transport import FastTransport
from tests.gateway_rig import chunk, fake_upstream, head, replies

EXTENSIONS = {"timeout": {"connect": 1.0, "read": 0.3}}


def post(url: str, body: bytes = b"{}", **headers: str) -> httpx.Request:
    return httpx.Request("POST", url, content=body, headers=headers, extensions=EXTENSIONS)


async def whole(transport: FastTransport, request: httpx.Request) -> tuple[int, bytes]:
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, b"".join([piece async for piece in response.stream])
    finally:
        await response.aclose()


async def test_connections_are_kept_and_one_exchange_uses_one():
    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = replies(200, b"hi")
        for _ in range(5):
            assert await whole(transport, post(fake.url)) == (200, b"hi")
        assert fake.open == 1
        await asyncio.gather(*(whole(transport, post(fake.url)) for _ in range(9)))
        assert fake.open == 9
        assert transport.open_connections == 0


async def test_large_bodies_pass_both_ways():
    async def echo(seen, writer):
        writer.write(head(200, length=len(seen.body)) + seen.body)
        await writer.drain()
        return True

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = echo
        body = b"x" * (HIGH_WATER * 20)
        assert (await whole(transport, post(fake.url, body)))[1] == body


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
    ],
)
async def test_every_framing_is_read_however_it_is_cut(wire):
    for step in (1, 7, len(wire)):

        async def play(seen, writer, step=step):
            for i in range(0, len(wire), step):
                writer.write(wire[i : i + step])
                await writer.drain()
                await asyncio.sleep(0)
            return b"length" in wire.lower() or b"chunked" in wire

        async with fake_upstream() as fake, FastTransport() as transport:
            fake.play = play
            assert await whole(transport, post(fake.url)) == (200, b"hi")
            assert await whole(transport, post(fake.url)) == (200, b"hi")


async def test_a_kept_connection_that_its_server_closed_is_not_used():
    async def close_after(seen, writer):
        await replies(200, b"hi")(seen, writer)
        return False

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = close_after
        for _ in range(30):
            assert await whole(transport, post(fake.url)) == (200, b"hi")
        assert len(fake.seen) == 30


@pytest.mark.parametrize("ends", ["abort", "close"])
async def test_a_request_that_was_written_is_not_sent_again(ends):
    """Nobody can tell whether it was served."""

    async def drop(seen, writer):
        getattr(writer.transport, ends)()
        return False

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = replies(200, b"hi")
        await whole(transport, post(fake.url))
        fake.play = drop
        with pytest.raises(httpx.ReadError):
            await whole(transport, post(fake.url))
        assert len(fake.seen) == 2


@pytest.mark.parametrize(("said", "opened"), [("timeout=1, max=9", 2), ("timeout=60", 1), ("?", 1)])
async def test_a_connection_is_kept_no_longer_than_its_server_says(said, opened):
    ports = set()

    async def play(seen, writer):
        ports.add(writer.get_extra_info("peername")[1])
        return await replies(200, b"hi", f"keep-alive: {said}")(seen, writer)

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = play
        for _ in range(2):
            await whole(transport, post(fake.url))
    assert len(ports) == opened


async def nobody_is_served(fake) -> None:
    async with asyncio.timeout(5):
        while fake.open:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def test_connections_that_nobody_needs_any_more_are_closed():
    """Their server keeps them; a burst has opened more than are used later."""
    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = replies(200, b"hi", "keep-alive: timeout=2")
        await asyncio.gather(*(whole(transport, post(fake.url)) for _ in range(9)))
        async with asyncio.timeout(8):
            while fake.open > 1:
                await whole(transport, post(fake.url))
                await asyncio.sleep(0.05)


ENDLESS = {
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 9000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n" * 200),
    "the size of a chunk": (head(200), b"0" * 9000),
    "what is said beside it": (head(200) + b"5;x=", b"y" * 9000),
    "trailers": (head(200) + b"2\r\nhi\r\n0\r\n", b"x: y\r\n" * 1000),
    "a trailer": (head(200) + b"2\r\nhi\r\n0\r\nx: ", b"y" * 9000),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_what_frames_a_reply_has_an_end(begin, more):
    sent = 0

    async def endless(seen, writer):
        nonlocal sent
        writer.write(begin)
        while not seen.left.is_set():
            writer.write(more)
            await writer.drain()
            sent += len(more)
            await asyncio.sleep(0)

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = endless
        request = post(fake.url)
        request.extensions["timeout"] = {}
        with pytest.raises(httpx.RemoteProtocolError):
            await whole(transport, request)
        await nobody_is_served(fake)
        assert sent < 20_000_000, "what the sockets between hold is sent in vain"


async def test_chunks_of_single_bytes_are_no_flood():
    body = b"x" * 60_000
    wire = head(200) + b"".join(chunk(b"%c" % b) for b in body) + b"0\r\n\r\n"

    async def play(seen, writer):
        writer.write(wire)
        await writer.drain()

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = play
        assert await whole(transport, post(fake.url)) == (200, body)


async def test_a_reply_that_never_ends_is_cut_at_the_time_of_the_whole_request():
    """It is never silent: no other limit holds."""

    async def lively(seen, writer):
        writer.write(head(200))
        while not seen.left.is_set():
            writer.write(chunk(b": alive\n\n"))
            await asyncio.sleep(0.02)

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = lively
        request = post(fake.url)
        request.extensions["timeout"] = {"connect": 1.0, "read": 5.0, "total": 0.5}
        with pytest.raises(httpx.ReadTimeout, match="total_s"):
            await whole(transport, request)
        await nobody_is_served(fake)


async def test_a_server_that_would_like_to_upgrade_is_read_all_the_same():
    """Apache says so in every reply."""
    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = replies(200, b"hi", "upgrade: h2,h2c", "connection: Upgrade, Keep-Alive")
        assert await whole(transport, post(fake.url)) == (200, b"hi")


async def test_silence_and_refusal_are_errors_of_httpx():
    async def silent(seen, writer):
        await seen.left.wait()

    async def silent_later(seen, writer):
        writer.write(head(200) + chunk(b"hi"))
        await seen.left.wait()

    async with fake_upstream() as fake, FastTransport() as transport:
        for play in (silent, silent_later):
            fake.play = play
            with pytest.raises(httpx.ReadTimeout):
                await whole(transport, post(fake.url))
        with pytest.raises(httpx.ConnectError):
            await whole(transport, post("http://127.0.0.1:1"))
        assert transport.open_connections == 0


async def test_leaving_early_closes_the_connection():
    async def endless(seen, writer):
        writer.write(head(200) + chunk(b"hi"))
        await seen.left.wait()

    async with fake_upstream() as fake, FastTransport() as transport:
        fake.play = endless
        response = await transport.handle_async_request(post(fake.url))
        await response.aclose()
        await asyncio.wait_for(fake.seen[0].left.wait(), 1)
        task = asyncio.create_task(transport.handle_async_request(post(fake.url)))
        fake.arrived.clear()
        await fake.arrived.wait()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(fake.seen[-1].left.wait(), 1)


async def test_a_header_cannot_smuggle_in_another():
    async with FastTransport() as transport:
        request = post("http://127.0.0.1:1")
        request.headers["x"] = "a\r\nevil: b"
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(request)


class Mute(asyncio.Transport):
    def write(self, data):
        pass

    def abort(self):
        pass

    def pause_reading(self):
        pass


@given(st.lists(st.binary(max_size=60), max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_of_an_upstream_break_the_connection(pieces):
    """Whatever comes, an exchange ends in a reply or in an error of httpx."""

    async def run() -> None:
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(Mute())
        connection.start(b"GET", b"")
        for piece in pieces:
            if not connection.closed:
                connection.data_received(piece)
        connection.connection_lost(None)
        assert connection.complete or connection.error is not None

    asyncio.run(run())


@asynccontextmanager
async def secure_server(folder):
    """Serve "hi" over TLS as localhost and llm.test; yield the port and a context that trusts it."""
    key, cert = folder / "k.pem", folder / "c.pem"
    made = subprocess.run(  # noqa: ASYNC221 - before anything else runs
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,DNS:llm.test"],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)

    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(head(200, length=2) + b"hi")
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    try:
        yield server.sockets[0].getsockname()[1], ssl.create_default_context(cafile=str(cert))
    finally:
        server.close()


async def test_tls_is_verified(tmp_path):
    """A server whose certificate is not trusted is refused; a trusted one is read."""
    async with secure_server(tmp_path) as (port, trusting):
        url = f"https://localhost:{port}"
        async with FastTransport(verify=trusting) as transport:
            assert await whole(transport, post(url)) == (200, b"hi")
        async with FastTransport() as transport:
            with pytest.raises(httpx.ConnectError):
                await whole(transport, post(url))
