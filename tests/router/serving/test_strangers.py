"""Who is who on a running gateway, and that nobody gets at what is another's."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from router.callers.rates import listing
from router.sessions.session import NEW
from router.values import MODEL_CHARS, Interface
from tests.gateway_rig import (
    PATHS,
    ask,
    check_error,
    fake_upstream,
    gateway,
    replies,
    streams,
)

FORMATS = list(Interface)
CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
PAID = "openai/gpt-5.5"
FREE = "kilo-auto/free"


def key(name: str) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(f"key-{name}".encode()).hexdigest()}


def by(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-{name}"} if name else {}


# The owner.


@pytest.mark.parametrize(
    ("headers", "setting"),
    [
        ({"x-forwarded-for": "9.9.9.9"}, "trust_forwarded"),
        ({"forwarded": "for=9.9.9.9"}, "trust_forwarded"),
        ({"via": "1.1 proxy"}, "trust_forwarded"),
        ({"host": "host.docker.internal:4000"}, "own_names"),
        ({"host": "gateway.example"}, "own_names"),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, "allowed_origins"),
        ({"sec-fetch-site": "cross-site"}, "Sec-Fetch-Site"),
    ],
)
@pytest.mark.parametrize("presented", [{}, {"authorization": "Bearer placeholder"}])
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_who_is_not_surely_the_owner_spends_nothing_and_hears_why(
    interface, headers, setting, presented
):
    async with fake_upstream() as fake, gateway(fake) as client:
        for path in (PATHS[interface], "/v1/route"):
            answer = await client.post(path, json=ask(interface, PAID), headers=headers | presented)
            assert answer.status_code == 401
            assert setting in answer.json()["error"]["message"]
        assert not fake.seen


async def test_a_gateway_that_listens_beyond_the_machine_says_that_it_needs_keys():
    async with gateway(host="0.0.0.0") as client:
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, PAID))
        assert answer.status_code == 401
        assert "callers" in check_error(CHAT, answer)["message"]
        assert (await client.post(PATHS[CHAT], json=ask(CHAT, FREE))).status_code == 200


async def test_a_declared_name_and_the_machines_own_are_the_owners():
    async with gateway(own_names="host.docker.internal, gateway.lan") as client:
        for host in ("host.docker.internal:4000", "gateway.lan", "0.0.0.0:4000", "[::1]:4000"):
            answer = await client.post(PATHS[CHAT], json=ask(CHAT, PAID), headers={"host": host})
            assert answer.status_code == 200, host


# Keys.


@pytest.mark.parametrize("right", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
async def test_a_right_key_opens_whatever_stands_beside_it(right):
    names = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
    async with gateway(callers=[key("anna"), key("ben")]) as client:
        for wrong in ("-", "sk-stale", "Bearer sk-stale", "none"):
            headers = dict.fromkeys(names, wrong) | {right: "key-ben"}
            answer = await client.post(PATHS[MESSAGES], json=ask(MESSAGES, PAID), headers=headers)
            assert answer.status_code == 200, wrong
            assert client.records[-1].caller == "ben"
        none = await client.post(
            PATHS[MESSAGES], json=ask(MESSAGES, PAID), headers=dict.fromkeys(names, "sk-stale")
        )
        assert none.status_code == 401


# Sessions.


@pytest.mark.parametrize("interface", FORMATS, ids=str)
@pytest.mark.parametrize("named", [{}, {"x-session-id": "1"}])
async def test_callers_without_a_key_share_no_session_and_no_pin(interface, named):
    """Nothing tells them apart, not even the same words under the same id."""
    async with gateway(callers=[key("anna")]) as client:
        body, path = ask(interface, FREE), PATHS[interface]
        first = await client.post(path, json=body, headers=named)
        ids = [m["id"] for m in (await client.get("/v1/models")).json()["data"]]
        other = next(i for i in ids if i.endswith(":free") and i != first.headers["x-auto-model"])
        pinned = await client.post(path, json=body, headers=named | {"x-auto-pin": other})
        assert pinned.headers["x-auto-model"] == other, "for its own request a pin holds"
        after = await client.post(path, json=body, headers=named)
        assert after.headers["x-auto-model"] == first.headers["x-auto-model"]
        store = client.app.state.gateway.stores.sessions
        assert [await store.get(record.session) for record in client.records] == [NEW] * 3


# What providers keep.


def answered(name: str, *, stream: bool):
    """Return a play that answers in the responses format under an id."""
    response = {
        "id": name, "object": "response", "status": "completed", "model": "m", "error": None,
        "output": [{"type": "message", "id": "m1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "fine", "annotations": []}]}],
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    }  # fmt: skip
    if not stream:
        return replies(200, json.dumps(response).encode())
    last = {"type": "response.completed", "sequence_number": 1, "response": response}
    item = {
        "type": "response.output_item.done", "sequence_number": 0, "output_index": 0,
        "item": response["output"][0],
    }  # fmt: skip
    events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in (item, last)]
    return streams(events)


@pytest.mark.parametrize("model", [PAID, "kilo-auto/efficient"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("named", [{}, {"x-session-id": "s"}])
async def test_an_answer_that_a_provider_keeps_is_its_callers_alone(model, stream, named):
    callers = [key("anna"), key("ben")]
    async with fake_upstream() as fake, gateway(fake, callers=callers) as client:

        async def post(who: str, **more):
            body = ask(RESPONSES, model, stream=stream) | more
            return await client.post(PATHS[RESPONSES], json=body, headers=by(who) | named)

        fake.play = answered("resp_anna", stream=stream)
        assert (await post("anna")).status_code == 200
        fake.play = answered("resp_anna_2", stream=stream)
        n = len(fake.seen)
        for who in ("ben", ""):
            refused = await post(who, previous_response_id="resp_anna")
            if who:
                assert refused.status_code == 404
                error = check_error(RESPONSES, refused)
                assert error["code"] == "previous_response_not_found"
                assert "resp_anna" in error["message"]
            assert refused.status_code >= 400
        assert len(fake.seen) == n
        assert (await post("anna", previous_response_id="resp_anna")).status_code == 200
        assert (await post("ben", previous_response_id="resp_unknown")).status_code == 200


@pytest.mark.parametrize("shape", ["conv_1", {"id": "conv_1"}])
async def test_a_conversation_that_a_provider_keeps_is_its_callers_alone(shape):
    callers = [key("anna"), key("ben")]
    async with fake_upstream() as fake, gateway(fake, callers=callers) as client:
        body = ask(RESPONSES, PAID) | {"conversation": shape}
        codes = [
            (await client.post(PATHS[RESPONSES], json=body, headers=by(who))).status_code
            for who in ("anna", "ben", "anna")
        ]
        assert codes == [200, 404, 200]


async def test_an_id_that_a_server_gives_to_everybody_is_everybodys():
    callers = [key("anna"), key("ben")]
    async with fake_upstream() as fake, gateway(fake, callers=callers) as client:
        fake.play = answered("resp_1", stream=False)
        for who in ("anna", "ben"):
            await client.post(PATHS[RESPONSES], json=ask(RESPONSES, PAID), headers=by(who))
        for who in ("anna", "ben"):
            body = ask(RESPONSES, PAID) | {"previous_response_id": "resp_1"}
            answer = await client.post(PATHS[RESPONSES], json=body, headers=by(who))
            assert answer.status_code == 200


# How often.


async def test_looking_at_what_there_is_spends_nothing_of_what_may_be_asked():
    async with gateway(callers=[key("anna")], anonymous_per_hour=2) as client:
        for path in ("/v1/models", "/v1/models/kilo-auto/free", "/healthz", "/readyz", "/"):
            for _ in range(4):
                assert (await client.get(path)).status_code == 200
                assert (await client.head(path)).status_code == 200
        asked = [await client.post(PATHS[CHAT], json=ask(CHAT, FREE)) for _ in range(3)]
        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert (await client.get("/v1/models")).status_code == 200


async def test_looking_without_a_key_is_bounded_too():
    async with gateway(callers=[key("anna")]) as client:
        accounts, now_s = client.app.state.gateway.stores.accounts, time.time()
        while (await accounts.claim([listing("127.0.0.1")], now_s)).admitted:
            pass
        answer = await client.get("/v1/models")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/v1/models", headers=by("anna"))).status_code == 200


@pytest.mark.parametrize(
    "spelled",
    ["7.7.7.7:{port}", "[2001:db8::7]:{port}", "2001:db8::{port}", "[2001:DB8::{port}]", "{port}x"],
)
async def test_no_spelling_of_a_forwarded_address_is_another_caller(spelled):
    limits = {"callers": [key("anna")], "anonymous_per_hour": 2, "trust_forwarded": True}
    async with gateway(**limits) as client:
        codes = []
        for port in (1001, 1002, 1003):
            headers = {"x-forwarded-for": f"6.6.6.6, {spelled.format(port=port)}"}
            answer = await client.post(PATHS[CHAT], json=ask(CHAT, FREE), headers=headers)
            codes.append(answer.status_code)
        assert codes == [200, 200, 429]


# What is kept of what callers write.


@pytest.mark.parametrize(
    "name", ["x" * (MODEL_CHARS + 1), "x" * 1_000_000, "a\nb", "a\x1b[2Jb", "a\0"]
)
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_long_or_odd_name_of_a_model_is_refused_and_not_kept(interface, name):
    async with gateway() as client:
        answer = await client.post(PATHS[interface], json=ask(interface, name))
        assert answer.status_code == 400
        assert "name of a model" in check_error(interface, answer)["message"]
        assert len(answer.content) < 1000


async def test_a_long_pin_is_refused_and_not_kept():
    async with gateway() as client:
        pin = {"x-auto-pin": "x" * (MODEL_CHARS + 1)}
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, PAID), headers=pin)
        assert answer.status_code == 400
        assert "x-auto-pin" in check_error(CHAT, answer)["message"]
        assert len(client.app.state.gateway.stores.sessions) == 0
