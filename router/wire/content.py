"""Undo a request's ``Content-Encoding``, never beyond a size: a small body can hold a huge one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

from router.errors import BadRequest, TooLarge, UnknownEncoding

MAX_ENCODINGS: Final = 3
"""Encodings on top of each other; clients use one, and a proxy may add one."""

MAX_MEMBERS: Final = 1024
"""Members of a gzip body, or frames of a zstd one: what writes them by blocks makes one of 64 KB, 512
of the longest body, and each costs some microseconds however little it holds."""

ZSTD_WINDOW: Final = 1 << 27
"""Bytes that a zstd body may look back; as much as its own command line takes."""


class Unpack(Protocol):
    """What undoes one member of an encoding, as zlib's and zstandard's objects do."""

    @property
    def eof(self) -> bool:
        """Whether the member ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was given to it beyond that end."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """Undo the next piece."""
        ...


def decoded(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """Return the plain body; raises BadRequest, UnknownEncoding, or TooLarge beyond ``limit_bytes``."""
    names = [name for part in encoding.split(",") if (name := part.strip().lower())]
    if len(names) > MAX_ENCODINGS:
        raise BadRequest(f"a body of {len(names)} content encodings is not read; use one")
    for name in reversed(names):
        try:
            body = _decode(body, name, limit_bytes)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise BadRequest(f"the request body is not valid {name}: {error}") from error
    return body


def _decode(body: bytes, name: str, limit: int) -> bytes:
    match name:
        case "identity":
            return body
        case "gzip" | "x-gzip":
            return _members(body, lambda head: zlib.decompressobj(wbits=47), 4096, limit)
        case "deflate":
            return _members(body, _inflate, 4096, limit)
        case "zstd":
            return _members(body, _unzstd, 512, limit)
        case "br":
            return _unbrotli(body, limit)
        case _:
            raise UnknownEncoding(
                f"content-encoding {name!r} is not known; use gzip, deflate, br, zstd or none"
            )


def _members(body: bytes, begin: Callable[[bytes], Unpack], piece: int, limit: int) -> bytes:
    """Undo members that follow each other; raises EOFError where the last is cut.

    A member is fed ``piece`` bytes at a time, which come to at most 16 MB: a thousand times as much
    where it is zlib's, and a block of 128 KB of four bytes where it is zstd's.
    """
    plain = bytearray()
    at = 0
    for _ in range(MAX_MEMBERS):
        unpack = begin(body[at : at + 2])
        while not unpack.eof:
            if at >= len(body):
                raise EOFError("it ends too early")
            plain += unpack.decompress(body[at : at + piece])
            at += piece
            _hold(plain, limit)
        at = min(at, len(body)) - len(unpack.unused_data)
        if at >= len(body) or (body[at] == 0 and not body[at:].strip(b"\0")):
            return bytes(plain)
    raise EOFError(f"it has more than {MAX_MEMBERS:,} parts")


def _inflate(head: bytes) -> Unpack:
    """Read zlib's format, or what many clients send under its name: the bare data."""
    framed = len(head) == 2 and (head == b"\x1f\x8b" or (head[0] & 15 == 8 and not _check(head)))
    return zlib.decompressobj(wbits=47 if framed else -15)


def _check(head: bytes) -> int:
    return int.from_bytes(head, "big") % 31


def _unzstd(head: bytes) -> Unpack:
    return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()


def _unbrotli(body: bytes, limit: int) -> bytes:
    unpack = brotli.Decompressor()
    plain = bytearray()
    while not unpack.is_finished():
        more: bytes = unpack.process(body, output_buffer_limit=limit + 1 - len(plain))
        if not (more or unpack.is_finished()) and unpack.can_accept_more_data():
            raise EOFError("it ends too early")
        plain += more
        body = b""
        _hold(plain, limit)
    return bytes(plain)


def _hold(plain: bytearray, limit: int) -> None:
    if len(plain) > limit:
        raise TooLarge(f"the decoded request body is larger than {limit:,} bytes; shorten it")
