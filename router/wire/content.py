"""Undo a request's ``Content-Encoding``, never beyond a size: a small body can hold a huge one."""

from __future__ import annotations

import io
import zlib

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

from router.errors import BadRequest, TooLarge


def decoded(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """Return the plain body; raises BadRequest, or TooLarge beyond ``limit_bytes``."""
    for name in reversed([e for part in encoding.split(",") if (e := part.strip().lower())]):
        try:
            body = _decode(body, name, limit_bytes + 1)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise BadRequest(f"the request body is not valid {name}: {error}") from error
        if len(body) > limit_bytes:
            raise TooLarge(
                f"the decoded request body is larger than {limit_bytes:,} bytes; shorten it"
            )
    return body


def _decode(body: bytes, name: str, limit: int) -> bytes:
    match name:
        case "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            inflate = zlib.decompressobj(wbits=47)  # reads the header of either format
            plain = inflate.decompress(body, limit)
            if not inflate.eof and len(plain) < limit:
                raise EOFError("it ends too early")
            return plain
        case "br":
            unpack = brotli.Decompressor()
            plain = b""
            while len(plain) < limit and not unpack.is_finished():
                more: bytes = unpack.process(body, output_buffer_limit=limit - len(plain))
                if not more and unpack.can_accept_more_data():
                    raise EOFError("it ends too early")
                plain, body = plain + more, b""
            return plain
        case "zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                io.BytesIO(body)
            )
            return reader.read(limit)
        case _:
            raise BadRequest(f"content-encoding {name!r} is not known; use gzip, br, zstd or none")
