"""What is no text is seen in any dialect's part types, and its data is never counted as text."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.values import ABILITIES, Interface
from router.wire.request import parse

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
MEDIA = ("images", "video", "files", "audio")
DATA = "QUJD" * 100_000
TALK = "look at this"


def needs(interface, *parts):
    text = {"type": "input_text" if interface is RESPONSES else "text", "text": TALK}
    items = [{"role": "user", "content": [text, *parts]}]
    key = "input" if interface is RESPONSES else "messages"
    return parse(orjson.dumps({key: items}), interface=interface).needs


def found(needs):
    return {name for name in MEDIA if getattr(needs, name)}


URL, INLINE = "https://x/y", f"data:video/mp4;base64,{DATA}"

PARTS = [
    ("images", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
    ("images", {"type": "image", "source": {"type": "base64", "data": DATA}}),
    ("images", {"type": "input_image", "image_url": URL}),
    ("images", {"type": "computer_screenshot", "image_url": URL}),
    ("images", {"type": "blob", "mimeType": "image/webp", "data": DATA}),
    ("images", {"inlineData": {"mimeType": "image/png", "data": DATA}}),
    ("images", {"type": "resource", "resource": {"uri": f"data:image/png;base64,{DATA}"}}),
    ("video", {"type": "video_url", "video_url": {"url": URL}}),
    ("video", {"type": "input_video", "video_url": INLINE}),
    ("video", {"type": "video", "video": [f"data:image/jpeg;base64,{DATA}"] * 3}),
    ("video", {"type": "media", "media_type": "video/mp4", "uri": URL}),
    ("audio", {"type": "audio_url", "audio_url": {"url": URL}}),
    ("audio", {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}),
    ("audio", {"type": "file_data", "file_data": URL} | {"type": "voice"}),
    ("files", {"type": "document", "source": {"type": "base64", "data": DATA}}),
    ("files", {"type": "input_file", "file_data": f"data:application/pdf;base64,{DATA}"}),
    ("files", {"type": "never_heard_of", "payload": {"bytes": DATA}}),
]


@pytest.mark.parametrize("interface", Interface)
@pytest.mark.parametrize(("need", "part"), PARTS)
def test_each_kind_of_part_is_the_need_it_is(interface, need, part):
    seen = needs(interface, part)
    assert found(seen) == {need}
    assert need in ABILITIES
    assert seen.input_tokens < 20_000


@pytest.mark.parametrize(
    "result",
    [
        (CHAT, [{"role": "tool", "tool_call_id": "1", "content": [PARTS[0][1]]}]),
        (CHAT, [{"role": "assistant", "content": "here", "images": [PARTS[0][1]]}]),
        (CHAT, [{"role": "user", "content": "this?", "images": [DATA]}]),
        (MESSAGES, [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [PARTS[1][1]]}]}]),
        (RESPONSES, [{"type": "computer_call_output", "call_id": "1", "output": PARTS[3][1]}]),
        (RESPONSES, [{"type": "function_call_output", "call_id": "1", "output": [PARTS[2][1]]}]),
        (RESPONSES, [{"type": "image_generation_call", "id": "1", "result": DATA}]),
    ],
)  # fmt: skip
def test_what_tools_and_models_show_is_seen_too(result):
    interface, items = result
    key = "input" if interface is RESPONSES else "messages"
    seen = parse(orjson.dumps({key: items}), interface=interface).needs
    assert found(seen) == {"images"}
    assert seen.input_tokens < 20_000


PLAIN = [
    (MESSAGES, {"type": "thinking", "thinking": "hm", "signature": DATA}),
    (MESSAGES, {"type": "redacted_thinking", "data": DATA}),
    (MESSAGES, {"type": "tool_use", "id": "1", "name": "f", "input": {"image": DATA}}),
    (MESSAGES, {"type": "web_search_tool_result", "content": [{"encrypted_content": DATA}]}),
    (CHAT, {"type": "refusal", "refusal": "I cannot"}),
    (CHAT, {"type": "note", "words": "of any kind, with an image in the text"}),
]


@pytest.mark.parametrize(("interface", "part"), PLAIN)
def test_words_and_the_conversations_own_data_are_no_media(interface, part):
    assert not found(needs(interface, part))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.just("A" * 300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.sampled_from(list(Interface)), st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_no_part_is_too_odd(interface, part):
    assert needs(interface, part).input_tokens > 0
