"""Read a reply with a status of 200 by its bytes, whatever its headers say.

A good answer is not thrown away for its wrapping: events under any content type, encoded though
that was not asked for, whole where a stream was asked for and in pieces where it was not, after
heartbeats.  An answer of nothing is a failure in any wrapping.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final, cast

import httpx

from router.providers.encodings import decoded, encoding_of
from router.wire import sse
from router.wire.faults import code_of, error_in
from router.wire.format import Format
from router.wire.loose import dumps, read
from router.wire.opening import BOM, MAX_HELD_BYTES, NOTHING, SPACE, Opening, is_events
from router.wire.parts import CUT_SHORT, parsed
from router.wire.relay import Relay

MAGIC_BYTES: Final = 4
"""Bytes that tell whether a body is encoded."""

MAX_REPLY_BYTES: Final = 64 << 20

MAX_ERROR_BYTES: Final = 256 << 10

DRAIN_S: Final = 1.0
"""How long to wait for an upstream to end a stream whose last event has come; then it is cut."""

Heard = Callable[[], None]
"""Is called with every sign of life."""


class NotPromised(Exception):
    """A reply with status 200 that is not what its format promises."""


class Reported(Exception):
    """An error that came with status 200, and what it says: a body in the form of its format."""

    def __init__(self, status: int, body: bytes) -> None:
        """Take the status that the error stands for."""
        super().__init__(status)
        self.status = status
        self.body = body


async def start_of(response: httpx.Response, heard: Heard) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return a body's first plain bytes, with one that is no space where there is any, and the rest.

    Raises NotPromised for a flood of spaces.
    """
    pieces = aiter(cast(httpx.AsyncByteStream, response.stream))
    start = b""
    while len(start) < MAGIC_BYTES and (piece := await anext(pieces, None)) is not None:
        heard()
        start += piece
    if encoding := encoding_of(response.headers.get("content-encoding", ""), start):
        start, pieces = b"", decoded(start, pieces, encoding)
    while not start.lstrip(BOM + SPACE) and (piece := await anext(pieces, None)) is not None:
        heard()
        start += piece
        if len(start) > MAX_HELD_BYTES:
            raise NotPromised("a reply of spaces")
    return start.removeprefix(BOM), pieces


async def body_of(
    start: bytes, pieces: AsyncIterator[bytes], limit_bytes: int, heard: Heard
) -> bytes:
    """Read a whole body; raises NotPromised beyond the limit."""
    read = bytearray(start)
    async for piece in pieces:
        heard()
        read += piece
        if len(read) > limit_bytes:
            raise NotPromised(f"reply of more than {limit_bytes:,} bytes")
    return bytes(read)


async def cut_of(
    start: bytes, pieces: AsyncIterator[bytes], limit_bytes: int, heard: Heard
) -> bytes:
    """Read a body as far as the limit: the rest of an error tells no more."""
    read = bytearray(start)
    while len(read) < limit_bytes and (piece := await anext(pieces, None)) is not None:
        heard()
        read += piece
    return bytes(read[:limit_bytes])


async def whole(
    format: Format, start: bytes, pieces: AsyncIterator[bytes], model: str, heard: Heard
) -> tuple[dict[str, Any], bytes]:
    """Read a whole reply, also where it comes in pieces: its fields and its bytes, mended.

    Raises NotPromised or Reported.
    """
    body = await body_of(start, pieces, MAX_REPLY_BYTES, heard)
    return judged(format, gathered(format, body, model) if is_events(start) else body)


def judged(format: Format, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a whole reply and its bytes, mended; raises NotPromised or Reported."""
    try:
        fields, strict = read(body)
    except ValueError:
        raise NotPromised("malformed reply") from None
    if error := error_in(fields):
        raise Reported(error[0], _told(format, fields, *error))
    if not isinstance(fields, dict) or not format.is_reply(fields):
        raise NotPromised("malformed reply")
    if format.is_empty(fields):
        raise NotPromised(NOTHING)
    mended = format.complete(fields)
    try:
        return fields, dumps(fields) if mended or not strict else body
    except ValueError:
        raise NotPromised("malformed reply") from None


def gathered(format: Format, stream: bytes, model: str) -> bytes:
    """Return the whole reply that a stream tells; raises NotPromised or Reported."""
    opening = Opening(format)
    opening.feed(stream)
    check(format, opening)
    relay = Relay(format, wants_usage=True, model=model, first=opening.first, looks_at_all=True)
    sent = relay.feed(opening.held) + relay.close()
    told = [parsed(data) for _, data in sse.events(sent) if data]
    for fields in told if relay.progress.error else ():
        if error := error_in(fields):
            raise Reported(error[0], _told(format, fields, *error))
    if relay.progress.failed:
        raise NotPromised(CUT_SHORT)
    try:
        return dumps(format.assembled(told))
    except ValueError:
        raise NotPromised("half a tool call") from None


async def opened(
    format: Format, start: bytes, pieces: AsyncIterator[bytes], heard: Heard, works: Heard
) -> tuple[Opening, AsyncIterator[bytes]]:
    """Wait for a stream's first word, also where it comes as a whole reply; return what follows.

    ``works`` is called where the upstream says that it works on.  Raises NotPromised or Reported
    when no word comes.
    """
    if not is_events(start):
        body = await body_of(start, pieces, MAX_REPLY_BYTES, heard)
        start, pieces = format.as_events(judged(format, body)[0]), _nothing()
    opening = Opening(format)
    piece: bytes | None = start
    while piece is not None and not opening.feed(piece):
        heard()
        if opening.idles:
            works()
        piece = await anext(pieces, None)
    check(format, opening)
    return opening, pieces


async def _nothing() -> AsyncGenerator[bytes]:
    """Yield nothing: all has come."""
    none: tuple[bytes, ...] = ()
    for piece in none:
        yield piece


async def drain(response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
    """Read to the end, so that the connection can be kept; not for long."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass
    except (TimeoutError, httpx.HTTPError):
        pass
    finally:
        await response.aclose()


def check(format: Format, opening: Opening) -> None:
    """Raise NotPromised or Reported where a stream has begun with no answer."""
    problem = "" if opening.begun or opening.error else opening.close()
    if opening.error:
        raise Reported(opening.error[0], _told(format, parsed(opening.last), *opening.error))
    if problem:
        raise NotPromised(problem)


def _told(format: Format, fields: object, status: int, message: str) -> bytes:
    """Return an error as a body of its format: verbatim where it is one, else what it says.

    One that is longer than an error may be is what it says, too.
    """
    said: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
    if isinstance(said.get("error"), Mapping) and "choices" not in said:
        body = dumps(said)
        if len(body) <= MAX_ERROR_BYTES:
            return body
    return dumps(format.error_body(status, code_of(said), message))
