"""Connections, byte by byte: every one ends, and every client that asks gets its answer."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field

import httptools
import httpx
import pytest

from router.books.record import End
from router.values import Interface
from router.wire.format import FORMATS as FORMAT_OF
from tests.gateway_rig import (
    PATHS,
    Seen,
    ask,
    check_ended,
    chunk,
    error_of,
    events_of,
    fake_upstream,
    gateway,
    good,
    head,
    streams,
)

FORMATS = list(Interface)
CHAT = Interface.CHAT
MODEL = "z-ai/glm-5"
SHORT = {"header_s": 0.5, "body_s": 0.6, "reader_s": 0.5}
"""Times that a test can wait for."""

PATIENT = {"connect_s": 5.0, "first_byte_s": 30.0, "reply_s": 30.0, "idle_s": 30.0}


@dataclass
class Answer:
    """One reply as a strict parser reads it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False


class Answers(list[Answer]):
    """Everything that a connection was answered with, interim answers left out."""

    def __init__(self, data: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.append(Answer())

    def on_header(self, name: bytes, value: bytes) -> None:
        self[-1].headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self[-1].status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self[-1].body += body

    def on_message_complete(self) -> None:
        self[-1].whole = True
        if self[-1].status < 200:
            self.pop()


def request_of(
    interface: Interface, *headers: str, stream: bool = False, version: str = "1.1"
) -> bytes:
    body = json.dumps(ask(interface, MODEL, stream=stream)).encode()
    lines = [f"POST {PATHS[interface]} HTTP/{version}", "host: localhost", *headers]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def connect(client: httpx.AsyncClient):
    return await asyncio.open_connection(client.base_url.host, client.base_url.port)


async def exchange(
    client: httpx.AsyncClient, *pieces: bytes, end: bool = False, wait_s: float = 10
) -> bytes:
    """Send pieces, end our side if asked, and read until the gateway ends its own."""
    reader, writer = await connect(client)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), wait_s)
    finally:
        writer.close()


# Every connection ends.

GET = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"

UNFINISHED = {
    "silence": (b"", b""),
    "a head in drops": (GET + b"x: ", b"a"),
    "blank lines before a head": (b"", b"\r\n"),
    "blank lines after an answer": (GET + b"\r\n", b"\r\n"),
    "a second head in drops": (GET + b"\r\n" + GET + b"x: ", b"a"),
    "a body in drops": (POST + b"content-length: 99999\r\n\r\n", b" "),
    "a chunked body in drops": (POST + CHUNKED, b"1\r\n \r\n"),
    "a second body in drops": (GET + b"\r\n" + POST + b"content-length: 99999\r\n\r\n", b" "),
    "a body that nobody reads, in drops": (GET + b"content-length: 99999\r\n\r\n", b" "),
    "chunks that nobody reads, in drops": (GET + CHUNKED, b"1\r\n \r\n"),
    "trailers in drops": (POST + CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n"),
    "half a chunk": (POST + CHUNKED + b"5\r\nabc", b""),
    "a rest that comes, then blank lines": (GET + b"content-length: 2\r\n\r\nab", b"\r\n"),
    "an upgrade whose body comes in drops": (
        POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 99999\r\n\r\n",
        b" ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "drop"), UNFINISHED.values(), ids=UNFINISHED)
async def test_a_connection_without_a_whole_request_ends(first, drop):
    async with gateway(requests=SHORT) as client:
        reader, writer = await connect(client)
        ended = asyncio.create_task(reader.read())
        writer.write(first)
        until = time.monotonic() + 8
        while drop and not ended.done() and time.monotonic() < until:
            await asyncio.wait([ended], timeout=0.1)
            writer.write(drop)
        with suppress(ConnectionError):
            await asyncio.wait_for(ended, 8)
        writer.close()


ENDLESS = {
    "a header": (POST + b"x: ", b"y" * 9000),
    "headers": (POST, b"x: y\r\n" * 1000),
    "trailers": (POST + CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n" * 1000),
    "a trailer": (POST + CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"y" * 9000),
    "what is said beside a chunk's size": (POST + CHUNKED + b"2;x=", b"y" * 9000),
    "the same after an answer": (GET + b"\r\n" + POST + CHUNKED + b"2;x=", b"y" * 9000),
}


@pytest.mark.parametrize(("first", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_what_frames_a_request_has_an_end(first, more):
    """It is refused when it is too long, long before its time is over."""
    async with gateway() as client:
        reader, writer = await connect(client)
        writer.write(first)
        sent = 0
        try:
            while not reader.at_eof() and sent < 50_000_000:
                writer.write(more)
                await writer.drain()
                sent += len(more)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        writer.close()
        assert sent < 20_000_000, "what the sockets hold is sent in vain"


async def test_bodies_in_tiny_chunks_are_no_flood():
    body = json.dumps(ask(CHAT, MODEL, text="x" * 50_000)).encode()
    chunks = b"".join(chunk(b"%c" % b) for b in body) + b"0\r\n\r\n"
    async with fake_upstream() as fake, gateway(fake) as client:
        data = await exchange(client, POST + b"connection: close\r\n" + CHUNKED, chunks)
        assert [a.status for a in Answers(data)] == [200]


async def flood(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Stream without end, as fast as it is taken."""
    writer.write(head(200, "text/event-stream"))
    event = next(e for e in events_of(seen) if b"delta" in e)
    while not seen.left.is_set():
        writer.write(chunk(event) * 200)
        await writer.drain()
        await asyncio.sleep(0)
    return False


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_client_that_stops_reading_is_let_go_with_its_upstream(interface, version):
    async with (
        fake_upstream() as fake,
        gateway(fake, requests=SHORT, timeouts=PATIENT) as client,
    ):
        fake.play = flood
        reader, writer = await connect(client)
        writer.transport.pause_reading()
        writer.write(request_of(interface, stream=True, version=version))
        await fake.arrived.wait()
        async with asyncio.timeout(10):
            while fake.open or not client.records:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        assert client.records[-1].end is End.LEFT
        writer.transport.abort()


async def test_a_client_that_reads_slowly_gets_all_of_it():
    """It takes longer than one may not read, and keeps the pace."""
    events = [b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * 60_000)] * 100
    done = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with (
        fake_upstream() as fake,
        gateway(fake, requests=SHORT | {"reader_s": 1.0}, timeouts=PATIENT) as client,
    ):
        fake.play = streams([*events, done])
        reader, writer = await connect(client)
        writer.write(request_of(CHAT, "connection: close", stream=True))
        data = b""
        while piece := await reader.read(100_000):
            data += piece
            await asyncio.sleep(0.02)
        (answer,) = Answers(data)
        assert answer.whole
        assert len(answer.body) > 6_000_000
        writer.close()


# Nobody's answer is disturbed.


@pytest.mark.parametrize(
    "then",
    [b"GET /healthz HTTP/1.1\r\nx: ", b"\x00nonsense\r\n\r\n", GET + b"x: " + b"y" * 200_000],
    ids=["half a head", "nonsense", "a long head"],
)
async def test_what_follows_a_request_never_gets_into_its_answer(then):
    async def late(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        first, *rest = events_of(seen)
        writer.write(head(200, "text/event-stream") + chunk(first))
        await asyncio.sleep(1.2)
        for event in rest:
            writer.write(chunk(event))
        writer.write(b"0\r\n\r\n")
        return True

    for stream, play in ((True, late), (False, good)):
        async with (
            fake_upstream() as fake,
            gateway(fake, requests=SHORT, timeouts=PATIENT) as client,
        ):
            fake.play = play
            data = await exchange(client, request_of(CHAT, stream=stream), then)
            first, *others = Answers(data)
            assert (first.status, first.whole) == (200, True)
            if stream:
                check_ended(CHAT, first.body)
                assert not error_of(CHAT, first.body)
            assert {a.status for a in others} <= {400, 408, 431}


async def test_pipelined_requests_are_answered_in_their_order():
    """However they are cut, and also when a body and the next head come in one piece."""
    sent = b"".join(request_of(i, stream=s) for i in FORMATS for s in (False, True))
    big = json.dumps(ask(CHAT, MODEL, text="x" * 150_000)).encode()
    sent += POST + b"content-length: %d\r\n\r\n" % len(big) + big
    sent += GET + b"connection: close\r\n\r\n"
    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        for step in (997, len(sent)):
            pieces = [sent[i : i + step] for i in range(0, len(sent), step)]
            answers = Answers(await exchange(client, *pieces))
            assert [a.status for a in answers] == [200] * 8
            assert [a.headers["content-type"].partition(";")[0] for a in answers] == [
                *["application/json", "text/event-stream"] * 3,
                *["application/json"] * 2,
            ]
            assert answers[-1].body == b'{"status":"ok"}'


# Every client that asks gets its answer.


@pytest.mark.parametrize("interface", FORMATS, ids=str)
@pytest.mark.parametrize(
    "wish",
    [
        ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB"),
        ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZQ=="),
        ("connection: keep-alive, Upgrade", "upgrade: TLS/1.2, irc/6.9"),
    ],
    ids=["h2c", "websocket", "others"],
)
async def test_a_wish_for_another_protocol_is_answered_in_this_one(interface, wish):
    """The body is whole, however it is framed and cut, and the connection is kept."""
    body = json.dumps(ask(interface, MODEL)).encode()
    start = "\r\n".join(
        [f"POST {PATHS[interface]} HTTP/1.1", "host: localhost", *wish, ""]
    ).encode()
    framings = (
        b"content-length: %d\r\n\r\n%s" % (len(body), body),
        CHUNKED + chunk(body[:9]) + chunk(body[9:]) + b"0\r\n\r\n",
    )
    async with fake_upstream() as fake, gateway(fake) as client:
        for framed in framings:
            for step in (1, 50, 10_000):
                sent = start + framed + GET + b"connection: close\r\n\r\n"
                pieces = [sent[i : i + step] for i in range(0, len(sent), step)]
                answers = Answers(await exchange(client, *pieces))
                assert [a.status for a in answers] == [200, 200]
                assert fake.seen[-1].fields["model"] == MODEL
                assert "upgrade" not in fake.seen[-1].headers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n\x16\x03\x01", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
    ],
    ids=["a tunnel", "HTTP/2", "TLS", "HTTP/9.9"],
)
async def test_what_is_not_spoken_here_is_refused_in_words(sent, status):
    async with gateway() as client:
        (answer,) = Answers(await exchange(client, sent))
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_http_1_0_gets_no_chunks(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        sent = request_of(interface, "expect: 100-continue", stream=stream, version="1.0")
        began, _, body = (await exchange(client, sent)).partition(b"\r\n\r\n")
        assert began.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in began.lower()
        assert b"\r\nconnection: close" in began
        if stream:
            assert b"content-length" not in began
            check_ended(interface, body)
        else:
            assert json.loads(body)["model"]
        nothing = await exchange(client, b"GET /v1/nothing HTTP/1.0\r\n\r\n")
        assert json.loads(nothing.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize("pause_s", [0, 0.8], ids=["at once", "later"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_client_that_ends_its_side_gets_its_answer(interface, stream, version, pause_s):
    """As ``nc`` does; the upstream takes its time before and in the middle of its answer."""

    async def slow(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(pause_s)
        if not stream:
            return await good(seen, writer)
        first, *rest = events_of(seen)
        writer.write(head(200, "text/event-stream") + chunk(first))
        await asyncio.sleep(pause_s)
        for event in rest:
            writer.write(chunk(event))
        writer.write(b"0\r\n\r\n")
        return True

    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        fake.play = slow
        sent = request_of(interface, stream=stream, version=version)
        data = await exchange(client, sent, end=True)
        if version == "1.1":
            (answer,) = Answers(data)
            assert (answer.status, answer.whole) == (200, True)
            body = answer.body
        else:
            body = data.partition(b"\r\n\r\n")[2]
        if stream:
            check_ended(interface, body)
            assert not error_of(interface, body)
        else:
            assert json.loads(body)["model"]
        assert client.records[-1].end is End.SERVED


async def test_pipelined_requests_are_answered_to_a_client_that_ended_its_side():
    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        sent = request_of(CHAT) + request_of(CHAT, stream=True) + GET + b"\r\n"
        answers = Answers(await exchange(client, sent, end=True))
        assert [(a.status, a.whole) for a in answers] == [(200, True)] * 3


@pytest.mark.parametrize("sent", [b"", GET, POST + b"content-length: 9\r\n\r\n{"])
async def test_a_client_that_ends_its_side_before_it_asked_is_let_go_at_once(sent):
    async with gateway() as client:
        assert await exchange(client, sent, end=True, wait_s=3) == b""


@pytest.mark.parametrize("when", ["before the first byte", "mid-stream"])
async def test_a_client_that_first_ends_its_side_and_then_leaves_cancels_the_upstream(when):
    async def endless(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        if when == "mid-stream":
            writer.write(head(200, "text/event-stream") + chunk(events_of(seen)[0]))
        await asyncio.wait_for(seen.left.wait(), 8)
        return False

    async with fake_upstream() as fake, gateway(fake, timeouts=PATIENT) as client:
        fake.play = endless
        reader, writer = await connect(client)
        writer.write(request_of(CHAT, stream=True))
        writer.write_eof()
        await reader.readuntil(b"\r\n\r\n")  # the head, or the question whether we read
        assert not fake.seen[0].left.is_set()
        writer.transport.abort()
        await asyncio.wait_for(fake.seen[0].left.wait(), 3)


async def test_a_body_is_asked_for_when_its_sender_waits_for_that():
    begun = request_of(CHAT, "expect: 100-continue", "connection: close")
    start, _, body = begun.partition(b"\r\n\r\n")
    async with fake_upstream() as fake, gateway(fake) as client:
        reader, writer = await connect(client)
        writer.write(start + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        (answer,) = Answers(await asyncio.wait_for(reader.read(), 5))
        assert answer.status == 200
        writer.close()


@pytest.mark.parametrize("interface", FORMATS)
@pytest.mark.parametrize(
    "more",
    [
        b"x: %b\r\n" % (b"y" * 70_000),
        b"x: %b\r\n\r\n" % (b"y" * 70_000),
        b"no header\r\n\r\n",
        b"x: ",
    ],
    ids=["endless", "long", "odd", "late"],
)
async def test_a_head_that_is_refused_is_told_so_in_the_clients_format(interface, more):
    async with gateway(requests=SHORT) as client:
        asked = f"POST {PATHS[interface]}?beta=true HTTP/1.1\r\nhost: localhost\r\n"
        answers = Answers(await exchange(client, asked.encode() + more))
    assert [a.status in (400, 408, 431) for a in answers] == [True]
    body = json.loads(answers[0].body)
    assert FORMAT_OF[interface].is_error(body)
    assert (body.get("type") == "error") == (interface is Interface.MESSAGES)
