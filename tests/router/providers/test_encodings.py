"""A reply's encoding is undone as it comes, however it is cut, and in bounded pieces."""

from __future__ import annotations

import gzip
import zlib
from functools import partial

import brotli
import httpx
import pytest
import zstandard

from router.providers.encodings import DECODERS, decoded, encoding_of

BODY = b"data: hello\n\n" * 100_000


def deflated(body: bytes, wbits: int) -> bytes:
    deflate = zlib.compressobj(wbits=wbits)
    return deflate.compress(body) + deflate.flush()


ENCODED = {
    "gzip": ("gzip", gzip.compress(BODY)),
    "gzip in two members": ("gzip", gzip.compress(BODY[:999]) + gzip.compress(BODY[999:])),
    "gzip that nobody declared": ("", gzip.compress(BODY)),
    "deflate": ("deflate", zlib.compress(BODY)),
    "deflate without its header": ("Deflate", deflated(BODY, -15)),
    "br": ("br", brotli.compress(BODY)),
    "zstd": ("zstd", zstandard.compress(BODY)),
    "zstd under another name": ("gzip", zstandard.compress(BODY)),
}


async def plain(data, encoding, step):
    async def rest():
        for at in range(4, len(data), step):
            yield data[at : at + step]

    return [piece async for piece in decoded(data[:4], rest(), encoding)]


@pytest.mark.parametrize("step", [1, 7, 1_000_000])
@pytest.mark.parametrize("name", ENCODED)
async def test_what_is_encoded_is_read_however_it_is_cut(name, step):
    declared, data = ENCODED[name]
    pieces = await plain(data, encoding_of(declared, data[:4]), step)
    assert b"".join(pieces) == BODY


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("br", partial(brotli.compress, quality=5)),
        ("zstd", zstandard.compress),
    ],
)
async def test_a_few_bytes_are_not_blown_up_at_once(encoding, encode):
    size = 40_000_000
    pieces = await plain(encode(b" " * size), encoding, size)
    assert sum(map(len, pieces)) == size
    assert max(map(len, pieces)) < size / 2


@pytest.mark.parametrize("start", [b"data", b'{"a"', b": hi", b"\xef\xbb\xbf{"])
@pytest.mark.parametrize("declared", ["", "identity", "gzip", "zstd", "x"])
def test_what_is_plain_is_plain_whatever_its_header_says(declared, start):
    assert encoding_of(declared, start) == ""


async def test_what_is_broken_is_a_broken_transfer():
    with pytest.raises(httpx.DecodingError):
        await plain(gzip.compress(BODY)[:10] + b"\xff" * 500, "gzip", 10)


@pytest.mark.parametrize("data", [b"", b"\0", b"x"], ids=["nothing", "a zero", "a letter"])
@pytest.mark.parametrize("encoding", DECODERS)
async def test_a_body_too_short_to_be_encoded_breaks_no_decoder(encoding, data):
    try:
        assert b"".join(await plain(data, encoding, 1)) == b""
    except httpx.DecodingError:
        assert data
