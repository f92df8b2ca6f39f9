"""Undo the content encoding of a reply as it comes, though none was asked for.

Whatever a piece decodes to is handed on in bounded pieces, because a few bytes can hold gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import brotli  # type: ignore[import-untyped]  # ships no types
import httpx
import zstandard

PIECE_BYTES: Final = 256 << 10
"""Most bytes handed on at once: what the transport reads ahead."""

ZSTD_STEP: Final = 256
"""Encoded bytes decoded at once where the decoder knows no limit: a block of three bytes holds at
most 128 KiB (RFC 8878), so a step makes some 8 MiB at worst."""

MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""How encoded bodies begin, whatever their headers say; no JSON and no event begins so."""

Decode = Callable[[bytes], Iterator[bytes]]


def encoding_of(declared: str, start: bytes) -> str:
    """Return how a body is encoded, by its first four bytes before its header; empty if it is not."""
    for magic, name in MAGIC.items():
        if start.startswith(magic):
            return name
    named = declared.strip().lower()
    return named if named in ("br", "deflate") else ""


async def decoded(
    start: bytes, pieces: AsyncIterator[bytes], encoding: str
) -> AsyncIterator[bytes]:
    """Yield a body's plain pieces; raises httpx.DecodingError."""
    decode = DECODERS[encoding]()
    try:
        for plain in decode(start):
            yield plain
        async for piece in pieces:
            for plain in decode(piece):
                yield plain
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise httpx.DecodingError(f"the reply is not valid {encoding}: {error}") from error


def _inflating() -> Decode:
    """Decode gzip, one member after the other, and deflate with or without its header."""
    inflate, wbits = None, 0

    def decode(data: bytes) -> Iterator[bytes]:
        nonlocal inflate, wbits
        if not data:
            return
        wbits = wbits or _wbits(data)
        inflate = inflate or zlib.decompressobj(wbits)
        while data:
            if plain := inflate.decompress(data, PIECE_BYTES):
                yield plain
            data = inflate.unconsumed_tail
            if inflate.eof and (data := inflate.unused_data):
                inflate = zlib.decompressobj(wbits)

    return decode


def _wbits(start: bytes) -> int:
    """Say what is to be inflated: a zlib header is a multiple of 31 and names its method, 8."""
    zlib_header = start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return 47 if zlib_header or start.startswith(b"\x1f\x8b") else -15


def _unpacking() -> Decode:
    unpack = brotli.Decompressor()

    def decode(data: bytes) -> Iterator[bytes]:
        while not unpack.is_finished():
            plain: bytes = unpack.process(data, output_buffer_limit=PIECE_BYTES)
            if not plain:
                return
            data = b""
            yield plain

    return decode


def _unfolding() -> Decode:
    unfold = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(
        read_across_frames=True
    )

    def decode(data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), ZSTD_STEP):
            if plain := unfold.decompress(data[at : at + ZSTD_STEP]):
                yield plain

    return decode


DECODERS: Final[dict[str, Callable[[], Decode]]] = {
    "gzip": _inflating,
    "deflate": _inflating,
    "br": _unpacking,
    "zstd": _unfolding,
}
