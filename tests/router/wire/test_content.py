"""Encoded bodies are read whole, in every legal form, and never beyond a size."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadRequest, TooLarge, UnknownEncoding
from router.wire.content import MAX_MEMBERS, decoded
from tests.growth import assert_linear

LIMIT = 1 << 20


def bare(data: bytes) -> bytes:
    """Deflate without zlib's header, which many clients call deflate."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def squeezed(data: bytes) -> bytes:
    return brotli.compress(data, quality=3)


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    " Deflate": bare,
    "br": squeezed,
    "zstd": zstandard.ZstdCompressor().compress,
    "ZSTD": zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress,
    "identity": bytes,
    "": bytes,
    "gzip, zstd": lambda data: zstandard.ZstdCompressor().compress(gzip.compress(data)),
    "identity,br": squeezed,
}
SEVERAL = ("gzip", "x-gzip", "zstd", "ZSTD")
SKIPPED = struct.pack("<II", 0x184D2A50, 5) + b"hello"
"""A frame that zstd passes over."""


def read(body, encoding, limit=LIMIT):
    return decoded(body, encoding, limit_bytes=limit)


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=200), st.integers(1, 5000))
def test_what_was_encoded_is_read(encoding, data, times):
    assert read(ENCODERS[encoding](data * times), encoding) == data * times


@given(st.sampled_from(SEVERAL), st.lists(st.binary(max_size=9000), max_size=5), st.integers(0, 9))
def test_members_that_follow_each_other_are_one_body(encoding, parts, padding):
    body = b"".join(map(ENCODERS[encoding], [b"", *parts])) + b"\0" * padding
    assert read(body, encoding) == b"".join(parts)


def test_a_frame_that_holds_nothing_is_passed_over():
    frame = ENCODERS["zstd"](b"whole")
    assert read(SKIPPED + frame + SKIPPED + frame, "zstd") == b"wholewhole"


@given(st.sampled_from([e for e in ENCODERS if e not in ("", "identity")]), st.data())
def test_a_cut_body_is_said_to_be_cut_and_in_which_encoding(encoding, data):
    whole = ENCODERS[encoding](bytes(range(256)) * 40)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(
        BadRequest, match=f"not valid ({'|'.join(encoding.lower().replace(',', ' ').split())})"
    ):
        read(cut, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\0" * 99])
def test_what_is_not_so_encoded_is_told(encoding, body):
    with pytest.raises(BadRequest, match=f"not valid {encoding}"):
        read(body, encoding)


def test_what_follows_the_end_is_not_dropped_in_silence():
    for encoding in SEVERAL:
        with pytest.raises(BadRequest):
            read(ENCODERS[encoding](b"{}") + b"{}", encoding)


@pytest.mark.parametrize("encoding", ["compress", "x", "aws-chunked", "gzip, x"])
def test_an_encoding_that_is_not_read_is_named_with_those_that_are(encoding):
    with pytest.raises(UnknownEncoding, match="use gzip, deflate, br, zstd") as told:
        read(gzip.compress(b"{}"), encoding)
    assert told.value.status == 415


def test_encodings_are_not_stacked_without_end():
    with pytest.raises(BadRequest, match="use one"):
        read(b"{}", ",".join(["identity"] * 100))


@pytest.mark.parametrize("encoding", [e for e in ENCODERS if e not in ("", "identity")])
@pytest.mark.parametrize("parts", [1, 40])
def test_a_bomb_stops_at_the_limit_and_takes_little_memory(encoding, parts):
    bomb = ENCODERS[encoding](b"\0" * (80_000_000 // parts))
    bomb = bomb * parts if encoding in SEVERAL else bomb
    assert read(ENCODERS[encoding](b"\0" * LIMIT), encoding) == b"\0" * LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read(bomb, encoding)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", SEVERAL)
def test_members_without_end_are_refused_in_little_time(encoding):
    empty = ENCODERS[encoding](b"")
    assert read(empty * MAX_MEMBERS, encoding) == b""
    with pytest.raises(BadRequest, match="parts"):
        read(empty * 500_000, encoding)


@pytest.mark.parametrize("encoding", [e for e in ENCODERS if e not in ("", "identity")])
def test_an_encoded_body_is_read_in_time_that_grows_with_it(encoding):
    def work(body: bytes) -> None:
        read(body, encoding, 1 << 30)

    noise = bytes(range(256))
    assert_linear(work, lambda n: ENCODERS[encoding](noise * n), 2000)
