"""Events do not depend on how their bytes were cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.wire import sse
from router.wire.sse import Splitter

END = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINE = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data: ",
        b"data",
        b": comment",
        b"event: x",
        b"id: 7",
        b"junk",
        b"d\xff",
    ]
)


@st.composite
def streams(draw):
    """A stream whose events end in any of the ways that lines may end."""
    whole = b""
    for lines in draw(st.lists(st.lists(LINE, min_size=1, max_size=4), max_size=6)):
        end = draw(END)
        whole += end.join(lines) + end + end
    return whole


def cut(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({i % (len(data) + 1) for i in at} | {0, len(data)})
    return [data[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def datas(blocks: list[bytes]) -> list[bytes]:
    return [data for block in blocks for raw, data in sse.events(block) if raw.strip(b"\r\n")]


@given(streams(), st.lists(st.integers(0, 1000), max_size=12))
def test_events_do_not_depend_on_how_bytes_were_cut(stream, at):
    splitter = Splitter()
    blocks = [splitter.feed(piece) for piece in cut(stream, at)]
    rest = splitter.rest()
    assert b"".join(blocks) + rest == stream
    assert not rest.strip(b"\r\n")
    assert datas(blocks) == datas([stream])


@given(streams())
def test_one_byte_at_a_time_is_the_same_as_whole(stream):
    splitter = Splitter()
    blocks = [splitter.feed(stream[i : i + 1]) for i in range(len(stream))]
    assert datas(blocks) == datas([stream])


@given(st.lists(st.binary().map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")), max_size=5))
def test_what_is_written_is_read_back(payloads):
    block = b"".join(sse.event(data, "x") for data in payloads)
    assert [data for _, data in sse.events(block)] == payloads


def test_data_lines_are_joined_and_comments_are_empty():
    assert list(sse.events(b"data: a\ndata: b\n\n: c\n\n")) == [
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b": c\n\n", b""),
    ]


def test_of_spaces_after_the_colon_one_is_no_data():
    assert sse.data_of(b"data:a\ndata: b\ndata:  c\ndata:\n\n") == b"a\nb\n c\n"


def test_an_endless_event_is_passed_on_in_pieces(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10)
    splitter = Splitter()
    assert splitter.feed(b"data: 1234") == b""
    assert splitter.feed(b"567") == b"data: 1234567"
    assert splitter.rest() == b""
