"""What is held back of a stream: in order, byte for byte, and no longer than it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.wire import opening
from router.wire.format import FORMATS
from router.wire.opening import NOTHING, Opening, is_events
from router.wire.parts import CUT_SHORT
from tests.gateway_rig import ask

SPOKEN = pytest.mark.parametrize("interface", WRITERS)
HARMLESS = [b": hi\n\n", b"\n", b"retry: 5\n\n", b'event: ping\ndata: {"type":"ping"}\n\n']


def events_of(interface, directive=""):
    return [*WRITERS[interface].events(make_answer(ask(interface, "a/x"), interface, directive))]


@SPOKEN
@given(data=st.data())
def test_what_is_held_is_relayed_as_it_came_however_it_was_cut(interface, data):
    before = data.draw(st.lists(st.sampled_from(HARMLESS), max_size=4))
    directive = data.draw(st.sampled_from(["", "reasoning"]))
    stream = b"".join([*before, *events_of(interface, directive)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    made = Opening(FORMATS[interface])
    taken = 0
    for end in [*cuts, len(stream)]:
        known = made.feed(stream[taken:end])
        taken = end
        if known:
            break
    assert made.begun
    assert made.error is None
    assert made.held == stream[:taken]


@SPOKEN
def test_no_event_before_the_first_word_begins_an_answer(interface):
    """Every event alone, in turn: once it has begun, it is for a reason."""
    made, said = Opening(FORMATS[interface]), b""
    for event in events_of(interface):
        said = event
        if made.feed(event):
            break
    assert made.begun
    assert b"simulated" in said


@SPOKEN
def test_an_end_before_the_first_word_is_none(interface):
    first = events_of(interface)[0]
    made = Opening(FORMATS[interface])
    assert not made.feed(first)
    assert made.close() == CUT_SHORT
    assert Opening(FORMATS[interface]).close() not in ("", NOTHING, CUT_SHORT)


@SPOKEN
def test_what_is_held_has_a_bound(interface, monkeypatch):
    monkeypatch.setattr(opening, "MAX_HELD_BYTES", 5000)
    first = events_of(interface)[0]
    made = Opening(FORMATS[interface])
    assert not made.feed(first)
    while not made.feed(b": wait\n\n" * 10):
        pass
    assert made.begun
    flood = Opening(FORMATS[interface])
    while not flood.feed(b": wait\n\n" * 10):
        pass
    assert not flood.begun
    assert flood.close()


@pytest.mark.parametrize(
    "start", [b"data: x", b": x", b"event: x", b"\xef\xbb\xbfdata: x", b"\n\nid: x"]
)
def test_events_are_told_by_their_first_bytes(start):
    assert is_events(start)


@pytest.mark.parametrize(
    "start", [b"", b" \n", b"{", b" \n{", b"[1]", b"<html>", b'"x"', b"\xef\xbb\xbf{"]
)
def test_json_and_pages_are_no_events(start):
    assert not is_events(start)
