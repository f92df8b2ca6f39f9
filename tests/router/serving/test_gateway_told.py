"""What is told of an upstream's failure: all that helps, no secret, and no more than is read."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.values import Interface
from router.wire import sse
from tests.gateway_rig import (
    PATHS,
    QUICK,
    Seen,
    ask,
    check_error,
    chunk,
    error_of,
    event_data,
    events_of,
    fake_upstream,
    gateway,
    good,
    head,
    replies,
    streams,
)

CHAT = Interface.CHAT
EACH = pytest.mark.parametrize("interface", list(Interface), ids=str)
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
FIRST, SECOND = "openai/gpt-5.5", "anthropic/claude-sonnet-4.6"
"""The stub engine's choice and its fallback."""
MODEL = "z-ai/glm-5"
KEY = "sk-upstream-0123456789abcdef"


def keyed(fake):
    return gateway(fake, upstream_key=KEY, log_requests=True)


def first_only(play):
    """Let only the first choice answer so."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        return bool(await (play if seen.fields["model"] == FIRST else good)(seen, writer))

    return answer


def breaking(text: str):
    """Answer in events, of which an error comes after the first words."""

    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        error = {"type": "error", "error": {"message": text, "type": "x", "code": "y"}}
        events = [*events_of(seen)[:6], sse.event(json.dumps(error).encode(), "error")]
        return await streams(events)(seen, writer)

    return play


@EACH
@EITHER
async def test_an_error_after_words_tells_no_key_in_body_headers_or_record(interface, stream):
    async with fake_upstream() as fake, keyed(fake) as client:
        fake.play = breaking(f"bad key {KEY}")
        response = await client.post(PATHS[interface], json=ask(interface, MODEL, stream=stream))
        assert any(KEY in str(seen.headers) for seen in fake.seen)
        assert KEY not in response.text + str(response.headers) + str(client.records)
        said = error_of(interface, response.content) if stream else response.text
        assert stream <= ("bad key ***" in said)


@EACH
@EITHER
@pytest.mark.parametrize("words", [0, 6], ids=["first", "after words"])
async def test_an_error_of_any_length_is_told_in_a_short_answer(interface, stream, words):
    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        text = json.dumps({"type": "error", "error": {"message": "x" * 3_000_000, "type": "y"}})
        events = [*events_of(seen)[:words], sse.event(text.encode(), "error")]
        return await streams(events)(seen, writer)

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = play
        response = await client.post(PATHS[interface], json=ask(interface, MODEL, stream=stream))
        if not (stream and words):  # what was begun passes as it comes
            check_error(interface, response)
            assert len(response.content) < 10_000
        assert len(str(response.headers)) < 4_000
        assert len(str(client.records[-1])) < 8_000


@EACH
async def test_half_a_character_in_an_error_is_told_like_any(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for play in (breaking("a \ud83d b"), replies(502, b'{"error":{"message":"\\ud83d"}}')):
            fake.play = play
            response = await client.post(PATHS[interface], json=ask(interface, f"{MODEL}-a"))
            assert response.status_code == 502
            assert response.headers["x-auto-decision-id"]
            check_error(interface, response)


async def test_half_a_character_in_a_request_is_told_like_any():
    async with gateway() as client:
        for body in ({"model": "\ud83d"}, {"model": "kilo-auto/frontier", "models": ["\ud83d"]}):
            said = json.dumps({**body, "messages": [{"role": "user", "content": "a"}]})
            for path in (PATHS[CHAT], "/v1/route"):
                response = await client.post(path, content=said)
                assert response.status_code < 500
                assert response.json()


def deep(depth: int) -> bytes:
    """Return a reply that must be mended, nested deeply."""
    nested = b"[" * depth + b"NaN" + b"]" * depth
    return b'{"id":"i","choices":[{"message":{"content":"hi"}}],"usage":null,"more":%s}' % nested


ODD = {
    "encoded nothing": replies(200, b"", "content-encoding: deflate"),
    "encoded dust": replies(200, b"x", "content-encoding: deflate"),
    **{f"{depth} deep": replies(200, deep(depth)) for depth in (955, 965, 1_000, 1_020, 9_000)},
}


@EITHER
@pytest.mark.parametrize("name", ODD)
async def test_an_answer_that_breaks_its_reader_is_the_next_models_turn(name, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = first_only(ODD[name])
        body = ask(CHAT, "kilo-auto/efficient", stream=stream)
        response = await client.post(PATHS[CHAT], json=body)
        assert response.status_code == 200
        assert len(fake.seen) in (1, 2)


async def test_what_nobody_foresaw_while_reading_is_logged_and_the_next_models_turn(caplog):
    class Unforeseen(Exception):
        pass

    async with fake_upstream() as fake, gateway(fake) as client:
        upstream = client.app.state.gateway.upstream
        read = upstream._read

        async def breaks(order, attempt, response, patience):
            if attempt.target.unit.model == FIRST:
                raise Unforeseen
            return await read(order, attempt, response, patience)

        upstream._read = breaks
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        assert response.headers["x-auto-model"] == SECOND
        assert "Unforeseen" in caplog.text


@EITHER
async def test_a_model_that_is_passed_over_is_told_with_the_reason(stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = first_only(replies(429, b"{}", "retry-after: 30"))
        for i in range(2):
            body = ask(CHAT, "kilo-auto/efficient", stream=stream, text=f"Hello {i}")
            response = await client.post(PATHS[CHAT], json=body)
            assert response.headers["x-auto-model"] == SECOND
            assert response.headers["x-auto-fallbacks"].startswith(f"{FIRST}=")
        assert "waits" in response.headers["x-auto-fallbacks"]
        [failure] = client.records[-1].failures
        assert not failure.called
        forgiven = first_only(replies(404, b'{"error":{"code":"model_not_found"}}'))
        fake.play = forgiven
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = forgiven
        for i in range(2):
            body = ask(CHAT, "kilo-auto/efficient", stream=stream, text=f"Hello {i}")
            response = await client.post(PATHS[CHAT], json=body)
        assert "goes last" in response.headers["x-auto-fallbacks"]


@EACH
async def test_a_whole_answer_to_a_stream_shows_life_by_every_piece(interface):
    async def slowly(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        fields = seen.fields | {"stream": False}
        inner = Seen(seen.path, seen.headers, json.dumps(fields).encode())
        held: list[bytes] = []

        class Holder:
            write = staticmethod(held.append)

            async def drain(self):
                pass

        await good(inner, Holder())
        body = b"".join(held).partition(b"\r\n\r\n")[2]
        writer.write(head(200))
        for at in range(0, len(body), len(body) // 6):
            await asyncio.sleep(0.15)
            writer.write(chunk(body[at : at + len(body) // 6]))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    times = {**QUICK, "first_byte_s": 0.5, "reply_s": 10.0}
    async with fake_upstream() as fake, gateway(fake, timeouts=times) as client:
        fake.play = slowly
        response = await client.post(PATHS[interface], json=ask(interface, MODEL, stream=True))
        assert response.status_code == 200
        assert not error_of(interface, response.content)


async def test_of_several_answers_none_that_a_reset_took_ends_well():
    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(head(200, "text/event-stream"))
        for choice in (
            {"index": 0, "delta": {"content": "hi"}},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ):
            writer.write(chunk(sse.event(json.dumps({"choices": [choice]}).encode())))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        return False

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = play
        body = ask(CHAT, MODEL, stream=True) | {"n": 2}
        response = await client.post(PATHS[CHAT], json=body)
        *_, end, done = event_data(response.content)
        assert done == "[DONE]"
        assert [(c["index"], c["finish_reason"]) for c in end["choices"]] == [(1, "error")]
        assert end["error"]["message"]
