"""What a reply says it used, in each format, whole and streamed."""

from __future__ import annotations

import orjson

from router.values import Usage
from router.wire import messages
from router.wire.parts import Progress


def seen(*events):
    progress = Progress()
    for event in events:
        assert messages.see(orjson.dumps(event), progress) is None
    return progress


def start(**usage):
    message = {"id": "m", "model": "x", "usage": {"input_tokens": 0, "output_tokens": 0} | usage}
    return {"type": "message_start", "message": message}


def delta(**usage):
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def test_what_a_stream_of_messages_says_at_its_end_adds_to_what_it_said_at_its_start():
    begun = start(
        input_tokens=100, cache_read_input_tokens=40, cache_creation_input_tokens=7, cost=0.5
    )
    assert seen(begun, delta(output_tokens=9)).usage == Usage(147, 9, 40, 7, cost_usd=0.5)
    assert seen(begun, delta(input_tokens=120, cost=0.75)).usage == Usage(147, 0, 40, 7, cost_usd=0.75)  # fmt: skip
    assert seen(begun, {"type": "message_delta", "delta": {}}).usage == Usage(147, 0, 40, 7, cost_usd=0.5)  # fmt: skip
    assert seen(delta(output_tokens=9)).usage == Usage(0, 9)
