"""No input makes the gateway fail: bodies, headers, streams, and whatever the schema allows."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.serving.app import create_app
from router.settings import Settings
from router.values import Interface
from router.wire import sse
from router.wire.format import FORMATS
from router.wire.relay import Relay
from tests.gateway_rig import PATHS, StubEngine, ask, check_ended, error_of

ALL = list(Interface)
QUIET = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def simulated_app():
    return create_app(
        Settings(simulated_tokens_per_s=0),
        environ={},
        load_engine=lambda folder, catalogue: StubEngine(),
    )


@contextmanager
def application():
    """An application over its own event loop, which hypothesis can call into."""
    app = simulated_app()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    def call(method: str, path: str, **more) -> httpx.Response:
        request = client.request(method, path, **more)
        return asyncio.run_coroutine_threadsafe(request, loop).result(10)

    try:
        yield call
    finally:
        asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def call():
    with application() as made:
        yield made


KEYS = st.sampled_from(
    ["model", "messages", "input", "tools", "stream", "role", "content", "type", "text", "name",
     "function", "tool_calls", "arguments", "system", "metadata", "user_id", "usage", "reasoning",
     "output_config", "tool_choice", "stream_options", "max_tokens", "response_format", "thinking"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["user", "assistant", "system", "tool", "kilo-auto/efficient", "kilo-auto/free", "a/b", "",
     "text", "tool_result", "tool_use", "thinking", "reasoning", "item_reference", "message"]
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | WORDS
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize("interface", ALL, ids=str)
@given(fields=st.dictionaries(KEYS, JSON, max_size=8))
@QUIET
def test_no_json_body_fails(call, interface, fields):
    response = call("POST", PATHS[interface], content=json.dumps(fields).encode())
    assert response.status_code < 500, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        check_ended(interface, response.content)


@given(
    body=st.binary(max_size=200),
    encoding=st.sampled_from(["", "gzip", "br", "zstd", "deflate", "x"]),
)
@QUIET
def test_no_bytes_fail(call, body, encoding):
    headers = {"content-encoding": encoding} if encoding else {}
    response = call("POST", PATHS[Interface.CHAT], content=body, headers=headers)
    assert response.status_code < 500, response.text


NAMES = st.sampled_from(
    ["authorization", "x-api-key", "x-auto-dial", "x-auto-max-cost", "x-auto-deny", "x-auto-pin",
     "x-kilocode-mode", "x-session-id", "origin", "host", "x-forwarded-for", "content-type",
     "user-agent", "x-simulate", "x-claude-code-request-class", "x-provider-key-openai", "accept"]
)  # fmt: skip


@given(headers=st.dictionaries(NAMES, st.text(st.characters(max_codepoint=255), max_size=30)))
@QUIET
def test_no_headers_fail(call, headers):
    raw = {k: v.replace("\r", "").replace("\n", "").encode("latin-1") for k, v in headers.items()}
    if b"status" in raw.get("x-simulate", b""):
        raw.pop("x-simulate")
    body = ask(Interface.CHAT, "kilo-auto/efficient")
    response = call("POST", PATHS[Interface.CHAT], json=body, headers=raw)
    assert response.status_code < 500, response.text


# Streams, through the relay alone.

EVENTS = JSON.map(lambda fields: b"data: %s\n\n" % json.dumps(fields).encode())


@pytest.mark.parametrize("interface", ALL, ids=str)
@given(
    end=st.integers(0, 10_000),
    cuts=st.lists(st.integers(1, 10_000), max_size=10),
    directive=st.sampled_from(["", "no_usage", "no_finish", "reasoning", "words=9"]),
    problem=st.sampled_from(["", "the upstream broke off"]),
)
@QUIET
def test_a_stream_cut_anywhere_ends_properly_however_it_arrives(
    interface, end, cuts, directive, problem
):
    body = ask(interface, "a/b", stream=True)
    stream = b"".join(WRITERS[interface].events(make_answer(body, interface, directive)))
    broken = stream[: end % (len(stream) + 1)]
    ends = sorted({c % (len(broken) + 1) for c in cuts} | {0, len(broken)})
    sent = []
    for pieces in (zip(ends, ends[1:], strict=False), [(0, len(broken))]):
        relay = Relay(FORMATS[interface], wants_usage=True, model="a/b")
        out = b"".join(relay.feed(broken[a:b]) for a, b in pieces) + relay.close(problem)
        check_ended(interface, out)
        sent.append(out)
    assert sent[0] == sent[1]
    if broken == stream and not directive.startswith("no_"):
        assert sent[0] == stream
        assert not error_of(interface, sent[0])


@pytest.mark.parametrize("interface", ALL, ids=str)
@pytest.mark.parametrize(
    "written", [{}, {"separators": (",", ":")}, {"separators": (" , ", "  : ")}]
)
def test_what_matters_is_seen_however_the_json_is_written(interface, written):
    body = ask(interface, "a/b", stream=True)
    events = WRITERS[interface].events(make_answer(body, interface))
    datas = [data for event in events for _, data in sse.events(event)]
    lines = [d if d == b"[DONE]" else json.dumps(json.loads(d), **written).encode() for d in datas]
    relay = Relay(FORMATS[interface], wants_usage=True, model="a/b", first=lines[0])
    out = b"".join(relay.feed(sse.event(line)) for line in lines) + relay.close()
    check_ended(interface, out)
    assert out == b"".join(map(sse.event, lines))
    assert relay.progress.usage.output_tokens > 20


@pytest.mark.parametrize("interface", ALL, ids=str)
@given(garbage=st.lists(st.binary(max_size=40) | EVENTS, max_size=8))
@QUIET
def test_no_garbage_in_a_stream_breaks_the_relay(interface, garbage):
    relay = Relay(FORMATS[interface], wants_usage=True, model="a/b")
    for piece in garbage:
        relay.feed(piece)
    assert isinstance(relay.close("broke"), bytes)


# Whatever the OpenAPI schema allows.

schema = schemathesis.openapi.from_asgi("/openapi.json", simulated_app())


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_schema_allows_never_fails(case):
    response = case.call()
    assert response.status_code < 500, response.text
