"""Outbound proxies: which leads where, and real ones on loopback that are asked for the way."""

from __future__ import annotations

import asyncio
import re
import struct
from contextlib import asynccontextmanager

import httpx
import pytest

from router.errors import BadArtefact
from router.providers.proxies import Proxies
from router.providers.transport import FastTransport
from router.serving.app import greeting
from router.settings import Settings
from router.values import Interface
from tests.gateway_rig import ask, check_error, fake_upstream, gateway, good, replies
from tests.router.providers.test_transport import post, secure_server, whole

ENV = {"HTTPS_PROXY": "http://user:p%40ss@proxy.corp:3128", "NO_PROXY": "corp.example, 10.0.0.0/8"}


def way(environ: dict[str, str], url: str) -> str:
    parsed = httpx.URL(url)
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    return str(Proxies.of(environ).to(parsed.scheme, parsed.host, port) or "")


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        (ENV, "https://api.openai.com/v1", "http://proxy.corp:3128 (HTTPS_PROXY)"),
        (ENV, "http://api.openai.com/v1", ""),
        (ENV, "https://corp.example", ""),
        (ENV, "https://llm.corp.example", ""),
        (ENV, "https://notcorp.example", "http://proxy.corp:3128 (HTTPS_PROXY)"),
        (ENV, "https://10.1.2.3", ""),
        (ENV, "https://11.1.2.3", "http://proxy.corp:3128 (HTTPS_PROXY)"),
        (ENV, "https://localhost:1", ""),
        (ENV, "https://127.8.9.1", ""),
        (ENV, "https://[::1]:1", ""),
        (ENV | {"no_proxy": "*"}, "https://api.openai.com", ""),
        (ENV | {"no_proxy": ".openai.com"}, "https://api.openai.com", ""),
        (ENV | {"no_proxy": "*.openai.com"}, "https://api.openai.com", ""),
        (ENV | {"no_proxy": "api.openai.com:8443"}, "https://api.openai.com:8443", ""),
        (
            ENV | {"no_proxy": "api.openai.com:8443"},
            "https://api.openai.com",
            "http://proxy.corp:3128 (HTTPS_PROXY)",
        ),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "q:2"}, "https://x", "http://p:1 (https_proxy)"),
        ({"ALL_PROXY": "socks5h://[::9]"}, "http://x", "socks5://[::9]:1080 (ALL_PROXY)"),
        ({"all_proxy": "p", "HTTP_PROXY": "q"}, "http://x", "http://q:80 (HTTP_PROXY)"),
        ({"HTTPS_PROXY": " "}, "https://x", ""),
        ({}, "https://x", ""),
    ],
)
def test_the_environment_names_proxies_as_everywhere(environ, url, expected):
    assert way(environ, url) == expected


@pytest.mark.parametrize(
    "url", ["https://p:1", "ftp://p", "http://", "http://p:x", "http://u:geheim@:1"]
)
def test_what_is_no_proxy_is_an_error_that_names_the_variable_and_keeps_the_password(url):
    with pytest.raises(BadArtefact, match=r"^HTTPS_PROXY names no proxy") as caught:
        Proxies.of({"HTTPS_PROXY": url})
    assert "geheim" not in str(caught.value)


def test_no_password_is_shown():
    found = Proxies.of(ENV)
    assert "p@ss" not in str(found) + repr(found)
    assert "proxy.corp:3128 (HTTPS_PROXY)" in str(found)


# Real ones.


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxy(upstream: str, *, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"):
    """Serve an HTTP and SOCKS 5 proxy whose every way leads to ``upstream``; yield it with what it saw."""
    seen: list[str] = []
    url = httpx.URL(upstream)

    async def socks(reader, writer) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05" + methods[:1])
        if methods[:1] == b"\x02":
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            seen.append(f"login {user.decode()}:{password.decode()}")
            writer.write(b"\x01\x00")
        *_, kind, length = await reader.readexactly(5)
        assert kind == 3
        name = await reader.readexactly(length)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        seen.append(f"{name.decode()}:{port}")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))

    async def serve(reader, writer) -> None:
        first = await reader.readexactly(1)
        behind, out = await asyncio.open_connection(url.host, url.port)
        if first == b"\x05":
            await socks(reader, writer)
        else:
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
            seen.append(head)
            if not head.startswith("CONNECT"):
                out.write(head.encode())
            else:
                writer.write(answer)
        await asyncio.gather(pump(reader, out), pump(behind, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


async def test_plain_requests_go_to_the_proxy_with_the_whole_address():
    async with fake_upstream() as fake, proxy(fake.url) as (port, seen):
        fake.play = replies(200, b"hi")
        known = Proxies.of({"http_proxy": f"http://me:p%40ss@127.0.0.1:{port}"})
        async with FastTransport(proxies=known) as transport:
            for _ in range(2):
                assert await whole(transport, post("http://llm.test:81/v1/x?y")) == (200, b"hi")
    assert len(seen) == 1, "the connection is kept"
    assert seen[0].startswith("POST http://llm.test:81/v1/x?y HTTP/1.1\r\n")
    assert "proxy-authorization: Basic bWU6cEBzcw==\r\n" in seen[0]


async def test_tls_goes_through_a_tunnel_to_the_upstream_itself(tmp_path):
    async with (
        secure_server(tmp_path) as (upstream, trusting),
        proxy(f"http://127.0.0.1:{upstream}") as (port, seen),
    ):
        known = Proxies.of({"https_proxy": f"me:pw@127.0.0.1:{port}"})
        async with FastTransport(verify=trusting, proxies=known) as transport:
            assert await whole(transport, post("https://llm.test/v1")) == (200, b"hi")
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await whole(transport, post("https://übung.test/v1"))
            assert seen[1].startswith("CONNECT xn--bung-zra.test:443 ")
        async with FastTransport(proxies=known) as transport:
            with pytest.raises(httpx.ConnectError):
                await whole(transport, post("https://llm.test/v1"))
    assert seen[0].startswith("CONNECT llm.test:443 HTTP/1.1\r\nhost: llm.test:443\r\n")
    assert "proxy-authorization: Basic bWU6cHc=\r\n" in seen[0]


@pytest.mark.parametrize("login", ["", "me:pw@"])
async def test_socks_carries_both(login):
    async with fake_upstream() as fake, proxy(fake.url) as (port, seen):
        fake.play = replies(200, b"hi")
        known = Proxies.of({"ALL_PROXY": f"socks5://{login}127.0.0.1:{port}"})
        async with FastTransport(proxies=known) as transport:
            assert await whole(transport, post("http://llm.test:81/v1")) == (200, b"hi")
    assert seen == (["login me:pw"] if login else []) + ["llm.test:81"]


async def test_this_machine_is_reached_directly():
    async with fake_upstream() as fake:
        fake.play = replies(200, b"hi")
        async with FastTransport(
            proxies=Proxies.of({"ALL_PROXY": "http://127.0.0.1:1"})
        ) as transport:
            assert await whole(transport, post(fake.url)) == (200, b"hi")


REFUSALS = {
    "refuses": (
        b"HTTP/1.1 403 Forbidden by policy\r\n\r\n",
        "refused CONNECT.*403 Forbidden by policy",
    ),
    "wants a login": (b"HTTP/1.1 407 Login\r\n\r\n", "refused CONNECT.*407"),
    "is no proxy": (b"SSH-2.0\r\n\r\n", "refused CONNECT"),
    "floods": (b"x" * 200_000, "no HTTP answer"),
}


@pytest.mark.parametrize(("answer", "said"), REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_refuses_is_named_in_the_log_and_its_variable_to_clients(
    answer, said, caplog
):
    async with fake_upstream() as fake, proxy(fake.url, answer=answer) as (port, _):
        known = Proxies.of({"HTTPS_PROXY": f"http://me:geheim@127.0.0.1:{port}"})
        async with FastTransport(proxies=known) as transport:
            with pytest.raises(httpx.ProxyError) as caught:
                await whole(transport, post("https://llm.test"))
    assert str(caught.value) == "the outbound proxy failed (HTTPS_PROXY)"
    assert f"http://127.0.0.1:{port} (HTTPS_PROXY)" in caplog.text
    assert re.search(said, caplog.text)
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("url", ["http://llm.test/v1", "https://llm.test/v1"])
async def test_clients_and_logs_are_told_of_a_proxy_that_is_not_there(url, caplog):
    environ = {"ALL_PROXY": "http://127.0.0.1:1"}
    async with gateway(upstream=url, environ=environ) as client:
        body = ask(Interface.CHAT, "a/b")
        response = await client.post("/v1/chat/completions", json=body)
        assert response.status_code == 502
        told = check_error(Interface.CHAT, response)["message"]
        assert "the outbound proxy failed (ALL_PROXY)" in told
        assert "127.0.0.1" not in f"{response.text}{response.headers.multi_items()}"
        assert "http://127.0.0.1:1 (ALL_PROXY) failed: cannot connect" in caplog.text


async def test_the_banner_says_which_proxy_is_used_and_no_password():
    async with gateway() as client:
        shown = greeting(Settings(), 4000, client.app.state.gateway, Proxies.of(ENV))
        assert "proxy       https by http://proxy.corp:3128 (HTTPS_PROXY)" in shown
        assert "directly: corp.example, 10.0.0.0/8" in shown
        assert "p@ss" not in shown
        assert "p%40ss" not in shown
        assert "proxy " not in greeting(Settings(), 4000, client.app.state.gateway, Proxies())


async def test_a_gateway_takes_its_proxies_from_the_environment():
    async with fake_upstream() as fake, proxy(fake.url) as (port, seen):
        fake.play = good
        environ = {"HTTP_PROXY": f"http://127.0.0.1:{port}"}
        async with gateway(upstream="http://llm.test/v1", environ=environ) as client:
            body = ask(Interface.CHAT, "a/b")
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    assert any(head.startswith("POST http://llm.test/v1/chat/completions ") for head in seen)
