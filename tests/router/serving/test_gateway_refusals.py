"""Who is asked next when an upstream refuses, what is remembered of it, and what the client hears."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import httpx
import pytest

from router.books.record import End
from router.providers.attempts import MAX_ATTEMPTS
from router.providers.waits import MAX_WAIT_S
from router.values import Candidate, Candidates, Interface, Support, Unit
from router.wire.format import FORMATS
from tests.gateway_rig import (
    PATHS,
    StubEngine,
    ask,
    check_error,
    fake_upstream,
    gateway,
    good,
    head,
    replies,
)

CHAT = Interface.CHAT
FIRST, SECOND = "openai/gpt-5.5", "anthropic/claude-sonnet-4.6"
"""The stub engine's choice and its fallback."""


def error(message: str, **more) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


OF_THE_MODEL = {
    "gone": (404, error("The model `x` does not exist", code="model_not_found")),
    "retired": (410, error("model retired")),
    "no such path": (404, b"<html>404 Not Found</html>"),
    "no tools": (404, error("No endpoints found that support tool use.", code=404)),
    "no credits": (402, error("Insufficient credits", code=402)),
    "no price": (402, error("You requested 32000 tokens, but can only afford 3000", code=402)),
    "moderated": (403, error("your input was flagged", code=403)),
    "another region": (403, error("this model is not available in your region", code=403)),
    "forbidden": (403, b"<html>Attention required</html>"),
    "too large for a minute": (413, error("tokens per minute (TPM): Limit 8000")),
    "an unknown field": (
        422,
        b'{"detail":[{"loc":["body","x"],"msg":"Extra inputs are not permitted"}]}',
    ),
    "a parameter": (400, error("Unsupported parameter: 'x'", code="unsupported_parameter")),
    "an account": (429, error("quota", code="insufficient_quota")),
    "for legal reasons": (451, b""),
    "an odd status": (418, b"I am a teapot"),
}
"""Status and body of an upstream that refuses what the gateway chose."""


def first_only(play):
    """Let the model that is asked first answer so, and every other one well."""

    async def plays(seen, writer):
        return await (play if seen.fields["model"] == FIRST else good)(seen, writer)

    return plays


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_on_a_tier_a_refusal_of_the_model_is_the_next_ones_turn(interface, stream):
    async with fake_upstream() as fake:
        for name, (status, body) in OF_THE_MODEL.items():
            async with gateway(fake) as client:
                fake.play = first_only(replies(status, body))
                fake.seen.clear()
                asked = ask(interface, "kilo-auto/efficient", stream=stream)
                response = await client.post(PATHS[interface], json=asked)
                assert response.status_code == 200, name
                assert response.headers["x-auto-model"] == SECOND, name
                assert f"{FIRST}=status {status}" in response.headers["x-auto-fallbacks"]
                assert len(fake.seen) == 2, name


@pytest.mark.parametrize("name", sorted(OF_THE_MODEL.keys() - {"moderated", "no tools"}))
async def test_a_model_that_was_refused_is_not_chosen_again_and_again(name):
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = first_only(replies(*OF_THE_MODEL[name]))
        for i in range(8):
            body = ask(CHAT, "kilo-auto/efficient", text=f"Hello {i}")
            response = await client.post(PATHS[CHAT], json=body)
            assert response.status_code == 200
        refused = sum(seen.fields["model"] == FIRST for seen in fake.seen)
        assert refused == 1


async def test_what_lacks_tools_is_passed_over_only_by_requests_with_tools():
    tool = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}
    with_tools = ask(CHAT, "kilo-auto/efficient") | {"tools": [tool]}
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = first_only(replies(*OF_THE_MODEL["no tools"]))
        await client.post(PATHS[CHAT], json=with_tools)
        fake.play = good
        plain = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        assert plain.headers["x-auto-model"] == FIRST
        again = await client.post(PATHS[CHAT], json=with_tools)
        assert again.headers["x-auto-model"] == SECOND


@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_when_all_refuse_the_first_refusal_comes_back_verbatim(interface):
    bodies = [
        (404, json.dumps(FORMATS[interface].error_body(404, "c", "model gone"), indent=2).encode()),
        (403, json.dumps(FORMATS[interface].error_body(403, "c", "not for you")).encode()),
    ]

    async def play(seen, writer):
        return await replies(*bodies[seen.fields["model"] != FIRST])(seen, writer)

    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = play
        response = await client.post(PATHS[interface], json=ask(interface, "kilo-auto/efficient"))
        assert (response.status_code, response.content) == bodies[0]
        assert len(fake.seen) == 2
        assert client.records[-1].end is End.REFUSED
        assert [failure.status for failure in client.records[-1].failures] == [404, 403]


async def test_a_refusal_beside_an_outage_is_an_outage():
    """A client that hears of the outage comes back; one that hears of the model does not."""
    async with fake_upstream() as fake, gateway(fake) as client:

        async def play(seen, writer):
            gone = seen.fields["model"] == FIRST
            return await replies(404 if gone else 429, error("model gone"), "retry-after: 9")(
                seen, writer
            )

        fake.play = play
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        assert response.status_code == 429
        assert response.headers["retry-after"] == "9"


BAD = {
    "a field": (400, error("messages: field required")),
    "a role": (
        400,
        error("Invalid value: 'x'. Supported values are: 'user'.", param="messages[0].role"),
    ),
    "no words": (400, b""),
    "validated": (
        422,
        b'{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}',
    ),
    "an item": (404, error("Item with id 'rs_1' not found.")),
}


@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_a_request_that_is_really_bad_is_told_so_after_one_call(interface):
    async with fake_upstream() as fake, gateway(fake) as client:
        for name, (status, body) in BAD.items():
            fake.play, before = replies(status, body), len(fake.seen)
            asked = ask(interface, "kilo-auto/efficient")
            response = await client.post(PATHS[interface], json=asked)
            assert response.status_code == status, name
            assert len(fake.seen) == before + 1, name
            check_error(interface, response) if status == 422 else response.json()


@pytest.mark.parametrize("name", OF_THE_MODEL)
async def test_a_model_asked_for_by_name_gets_the_upstreams_own_refusal(name):
    status, body = OF_THE_MODEL[name]
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(status, body)
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "a/b"))
        assert response.status_code == status
        assert len(fake.seen) == 1
        if body.startswith(b'{"error"'):
            assert response.content == body
        else:
            check_error(CHAT, response)


async def test_naming_a_model_holds_nothing_against_it_on_a_tier():
    async with fake_upstream() as fake, gateway(fake) as client:
        for name in ("gone", "a parameter", "forbidden"):
            fake.play = replies(*OF_THE_MODEL[name])
            await client.post(PATHS[CHAT], json=ask(CHAT, FIRST))
        fake.play = good
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        assert response.headers["x-auto-model"] == FIRST


# Contexts that are too long.


class Windows(StubEngine):
    """Chooses a model with a small context, falls back on a smaller one, and knows larger ones."""

    unit = Unit("minimax/minimax-m2.5")

    @staticmethod
    def written(unit):
        return Candidate(
            unit=unit, quality=0.9, lower=0.8, evidence=Support.MEASURED, p_near=0.9,
            near=unit.model != "openai/gpt-5.2", tolerable=True, ordinary_usd=0.1, task_usd=0.1,
            plan_usd=0.1, score=0.1, second=None,
        )  # fmt: skip

    def decide(self, request, **asked):
        assessment, decision = super().decide(request, **asked)
        others = ("openai/gpt-5.2", "qwen/qwen3.6-plus", FIRST)
        known = Candidates((), self.written)
        if asked["reassess"] or not request.stored:
            units = [Unit(model, "high") for model in ("anthropic/claude-opus-4.5", *others)]
            known = Candidates(units, lambda at: self.written(units[at]))
        fallbacks = (Unit("deepseek/deepseek-v3.2"),)
        return assessment, replace(decision, unit=self.unit, fallbacks=fallbacks, candidates=known)


TOO_LONG = {
    CHAT: (400, error("maximum context length is 196608 tokens", code="context_length_exceeded")),
    Interface.RESPONSES: (500, error("the request exceeds the available context size")),
    Interface.MESSAGES: (
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: '
        b'210000 tokens > 196608 maximum"}}',
    ),
}


@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_a_context_that_is_too_long_goes_to_larger_ones_only(interface):
    async def play(seen, writer):
        answers = seen.fields["model"] == FIRST
        return await (good if answers else replies(*TOO_LONG[interface]))(seen, writer)

    async with fake_upstream() as fake, gateway(fake, engine=Windows()) as client:
        fake.play = play
        response = await client.post(PATHS[interface], json=ask(interface, "kilo-auto/efficient"))
        assert response.status_code == 200
        called = [seen.fields["model"] for seen in fake.seen]
        assert called[0] == "minimax/minimax-m2.5"
        assert "deepseek/deepseek-v3.2" not in called
        assert called[-1] == FIRST
        fake.play = replies(*TOO_LONG[interface])
        body = ask(interface, "kilo-auto/efficient", text="again")
        response = await client.post(PATHS[interface], json=body)
        assert (response.status_code, response.content) == TOO_LONG[interface]
        assert client.records[-1].failures


async def test_a_context_that_is_too_long_for_a_named_model_is_told_at_once():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(*TOO_LONG[CHAT])
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "a/b"))
        assert (response.status_code, response.content) == TOO_LONG[CHAT]
        assert len(fake.seen) == 1


# One caller, and the others.


def key_of(name: str) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest()}


async def test_one_callers_failing_requests_shut_no_model_for_another():
    async with (
        fake_upstream() as fake,
        gateway(fake, callers=[key_of("anna"), key_of("odd")]) as client,
    ):
        for status in (500, 403, 400):
            fake.play = first_only(replies(status, error("cannot be routed")))
            for i in range(9):
                await client.post(
                    PATHS[CHAT],
                    json=ask(CHAT, "kilo-auto/efficient", text=f"odd {i}"),
                    headers={"authorization": "Bearer odd"},
                )
        fake.play = good
        body, headers = ask(CHAT, "kilo-auto/efficient"), {"authorization": "Bearer anna"}
        response = await client.post(PATHS[CHAT], json=body, headers=headers)
        assert response.headers["x-auto-model"] == FIRST


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
async def test_failures_with_a_callers_own_key_are_its_own(status):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != "Bearer ours":
            return httpx.Response(
                status, json={"error": {"message": "no"}}, headers={"retry-after": "300"}
            )
        return httpx.Response(200, json={"id": "c", "object": "chat.completion", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]})  # fmt: skip

    transport = httpx.MockTransport(answer)
    async with gateway(transport=transport, keys={"openai": "ours"}) as client:
        body = ask(CHAT, FIRST)
        for i in range(9):
            headers = {"x-provider-key-openai": f"theirs {i % 2}"}
            refused = await client.post(PATHS[CHAT], json=body, headers=headers)
            assert refused.status_code in (status, 429, 502), refused.text
        served = await client.post(PATHS[CHAT], json=body)
        assert served.status_code == 200


async def test_a_key_of_ours_that_was_refused_stands_against_its_provider():
    """Every model of it goes last, until a while has passed."""
    called = []

    def answer(request: httpx.Request) -> httpx.Response:
        called.append(request.url.host)
        if request.url.host == "api.openai.com":
            return httpx.Response(401, json={"error": {"message": "bad key"}})
        return httpx.Response(200, json={"id": "c", "object": "chat.completion", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]})  # fmt: skip

    transport = httpx.MockTransport(answer)
    keys = {"openai": "dead", "openrouter": "alive"}
    async with gateway(transport=transport, keys=keys) as client:
        for model in ("openai/gpt-5.5", "openai/gpt-5.4", "kilo-auto/efficient"):
            response = await client.post(PATHS[CHAT], json=ask(CHAT, model))
            assert response.status_code == 200
    assert called.count("api.openai.com") == 1


# What it costs, and what is told.


@pytest.mark.parametrize("how", ["closed", "half", "500", "gone", "too long"])
async def test_no_request_makes_more_calls_than_the_limit(how):
    async def play(seen, writer):
        if how == "closed":
            return False
        if how == "half":
            writer.write(head(200, length=100) + b"{")
            return False
        status, body = {"gone": OF_THE_MODEL["gone"], "too long": TOO_LONG[CHAT]}.get(
            how, (500, b"")
        )
        return await replies(status, body)(seen, writer)

    async with fake_upstream() as fake, gateway(fake, engine=Windows()) as client:
        for i in range(4):
            await client.post(PATHS[CHAT], json=ask(CHAT, f"warm/up-{i}"))
        fake.play = play
        for model in ("a/b", "kilo-auto/frontier", "kilo-auto/efficient", "kilo-auto/free"):
            before = len(fake.seen)
            await client.post(PATHS[CHAT], json=ask(CHAT, model))
            assert len(fake.seen) - before <= (1 if model == "a/b" else MAX_ATTEMPTS)


@pytest.mark.parametrize(
    "value", ["86400", "inf", "nan", "-5", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "soon"]
)
@pytest.mark.parametrize("status", [400, 402, 429, 503])
async def test_a_client_is_never_told_to_wait_for_long(status, value):
    async with fake_upstream() as fake, gateway(fake) as client:
        for header in ("retry-after", "retry-after-ms"):
            fake.play = replies(status, error("no"), f"{header}: {value}")
            response = await client.post(PATHS[CHAT], json=ask(CHAT, f"a/{header}"))
            assert response.status_code == (502 if status == 503 else status)
            assert 1 <= int(response.headers.get("retry-after", "1")) <= MAX_WAIT_S
            assert 0 <= int(response.headers.get("retry-after-ms", "0")) <= 1000 * MAX_WAIT_S


FOREIGN = [
    (404, b"<html><h1>404 Not Found</h1><script>x</script></html>", "text/html"),
    (
        400,
        b'[{"error":{"code":400,"message":"not like that","status":"INVALID_ARGUMENT"}}]',
        "application/json",
    ),
    (422, b'{"detail":"not like that"}', "application/json"),
    (
        400,
        b"<?xml version='1.0'?><Error><Code>Bad</Code><Message>no</Message></Error>",
        "application/xml",
    ),
    (400, b"not like that", "text/plain"),
    (400, b"", "text/plain"),
    (400, b'{"error":"not like that"}', "application/json"),
    (400, b"\xff\xfe\x00", "application/json"),
    (418, b'data: {"error":{"message":"no"}}\n\n', "text/event-stream"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_a_foreign_error_is_told_in_the_clients_format_with_its_status(interface, stream):
    async with fake_upstream() as fake, gateway(fake) as client:
        for status, body, kind in FOREIGN:
            fake.play = replies(status, body, kind=kind)
            asked = ask(interface, "a/b", stream=stream)
            response = await client.post(PATHS[interface], json=asked)
            assert response.status_code == status
            assert response.headers["content-type"] == "application/json"
            assert "<" not in check_error(interface, response)["message"]


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 302, 304, 307, 308])
async def test_a_status_that_is_neither_an_answer_nor_a_refusal_fails(status):
    async with fake_upstream() as fake, gateway(fake) as client:
        body = b"" if status in (204, 304) else b"{}"
        fake.play = first_only(replies(status, body, "location: http://elsewhere/"))
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        assert response.status_code == 200
        assert response.headers["x-auto-model"] == SECOND


async def test_a_refusal_of_any_length_keeps_its_status():
    async with fake_upstream() as fake, gateway(fake) as client:
        fake.play = replies(400, error("no " * 200_000))
        response = await client.post(PATHS[CHAT], json=ask(CHAT, "a/b"))
        assert response.status_code == 400
        assert len(response.content) < 2000
        check_error(CHAT, response)
