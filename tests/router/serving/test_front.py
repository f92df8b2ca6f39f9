"""The client's side of HTTP: who may read an answer, how a path is spelled, what is not offered."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR
from router.serving.front import EXPOSED
from router.serving.headers import TOLD
from router.serving.routes import OURS
from router.values import Interface
from tests.gateway_rig import PATHS, ask, check_ended, check_error, fake_upstream, gateway, replies

FORMATS = list(Interface)
CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
LOCAL = ("http://localhost:5173", "app://obsidian.md", "vscode-webview://1a2b", "tauri://localhost")
FOREIGN = ("https://evil.example", "null", "http://localhost.evil.example", "file://")
PAID = "openai/gpt-5.5"


def readable_by(response: httpx.Response) -> str | None:
    return response.headers.get("access-control-allow-origin")


async def preflight(client: httpx.AsyncClient, path: str, origin: str, **more: str):
    asked = {f"access-control-request-{k.replace('_', '-')}": v for k, v in more.items()}
    headers = {"origin": origin, "access-control-request-method": "POST"} | asked
    return await client.options(path, headers=headers)


# Pages.


@pytest.mark.parametrize("origin", LOCAL)
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_local_page_may_ask_and_read_every_answer(interface, origin):
    path, headers = PATHS[interface], {"origin": origin, "sec-fetch-site": "cross-site"}
    async with gateway() as client:
        wanted = "authorization,content-type,x-auto-dial"
        before = await preflight(client, path, origin, headers=wanted, private_network="true")
        assert before.status_code == 204
        assert readable_by(before) == origin
        assert before.headers["access-control-allow-headers"] == wanted
        assert "POST" in before.headers["access-control-allow-methods"]
        assert before.headers["access-control-allow-private-network"] == "true"
        whole = await client.post(path, json=ask(interface, PAID), headers=headers)
        stream = await client.post(path, json=ask(interface, PAID, stream=True), headers=headers)
        check_ended(interface, stream.content)
        wrong = await client.post(path, content=b"nonsense", headers=headers)
        check_error(interface, wrong)
        lost = await client.post(path + "/nothing", headers=headers)
        models = await client.get("/v1/models", headers=headers)
        answers = (whole, stream, wrong, lost, models)
        assert [a.status_code for a in answers] == [200, 200, 400, 404, 200]
        for answer in answers:
            assert readable_by(answer) == origin
            assert "origin" in answer.headers["vary"].lower()
            shown = answer.headers["access-control-expose-headers"].split(", ")
            assert {told.name for told in TOLD} <= set(shown)


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("interface", FORMATS, ids=str)
async def test_a_foreign_page_may_neither_spend_nor_read(interface, origin):
    path = PATHS[interface]
    async with fake_upstream() as fake, gateway(fake) as client:
        before = await preflight(client, path, origin, headers="x", private_network="true")
        assert before.status_code == 403
        assert repr(origin) in check_error(interface, before)["message"]
        asked = await client.post(path, json=ask(interface, PAID), headers={"origin": origin})
        assert asked.status_code == 401
        assert "allowed_origins" in check_error(interface, asked)["message"]
        models = await client.get("/v1/models", headers={"origin": origin})
        for answer in (before, asked, models):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert not fake.seen


async def test_an_origin_that_is_allowed_is_a_local_one_and_the_key_still_counts():
    page = "https://chat.example"
    async with gateway(allowed_origins=[page + "/"]) as client:
        assert readable_by(await preflight(client, PATHS[CHAT], page)) == page
        headers = {"origin": page, "sec-fetch-site": "cross-site"}
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, PAID), headers=headers)
        assert (answer.status_code, readable_by(answer)) == (200, page)
    keyed = {"callers": [{"name": "anna", "sha256": "0" * 64}], "allowed_origins": [page]}
    async with gateway(**keyed) as client:
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, PAID), headers={"origin": page})
        assert (answer.status_code, readable_by(answer)) == (401, page)


async def test_odd_header_names_of_a_preflight_are_not_echoed():
    async with gateway() as client:
        for odd in ("x" * 9000, "a;b", "é".encode().decode("latin-1")):
            headers = {b"access-control-request-headers": odd.encode("latin-1")}
            headers |= {b"origin": b"http://localhost", b"access-control-request-method": b"POST"}
            answer = await client.options(PATHS[CHAT], headers=headers)
            assert answer.status_code == 204
            assert "access-control-allow-headers" not in answer.headers


async def test_what_is_no_preflight_is_a_method_like_any_other():
    async with gateway() as client:
        answer = await client.options(PATHS[CHAT], headers={"origin": "http://localhost"})
        assert answer.status_code == 405


def test_what_a_page_may_read_has_no_line_break():
    assert EXPOSED.isascii()
    assert b"\n" not in EXPOSED


# Paths.

SPELLINGS = (
    "{}", "/{}", "{}/", "//{}//", "/v1/v1{bare}", "/v1//v1//{bare}/", "{bare}", "//{bare}/",
    "/api/gateway{bare}", "/api/openrouter/v1/{bare}/",
)  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_however_a_base_and_a_path_are_joined_the_request_is_served_there(spelling):
    async with gateway() as client:
        for interface in FORMATS:
            path = PATHS[interface]
            url = f"{client.base_url}{spelling.format(path, bare=path.removeprefix('/v1'))}"
            answer = await client.post(httpx.URL(url), json=ask(interface, PAID))
            assert answer.status_code == 200, url
            wrong = await client.post(httpx.URL(url), content=b"nonsense")
            check_error(interface, wrong)
        counted = spelling.format("/v1/messages/count_tokens", bare="/messages/count_tokens")
        answer = await client.post(
            httpx.URL(f"{client.base_url}{counted}"), json=ask(MESSAGES, PAID)
        )
        assert answer.json()["input_tokens"] > 0
        listed = spelling.format("/v1/models", bare="/models")
        assert (await client.get(httpx.URL(f"{client.base_url}{listed}"))).json()["data"]
        one = spelling.format("/v1/models/kilo-auto/free", bare="/models/kilo-auto/free")
        assert (await client.get(httpx.URL(f"{client.base_url}{one}"))).json()[
            "id"
        ] == "kilo-auto/free"


async def test_no_request_is_redirected():
    async with gateway() as client:
        for path in ("/docs/", "/healthz/", "/v1/nothing/", "/v1/", "/readyz//", "//", "/v1"):
            answer = await client.get(httpx.URL(f"{client.base_url}{path}"))
            assert not answer.is_redirect, path
            assert "location" not in answer.headers


@given(
    st.lists(st.sampled_from(["/", "v1", "models", "messages", "api", "own", "/v1"]), max_size=9)
)
def test_a_path_has_one_spelling_and_one_that_is_not_ours_its_own(parts):
    path = "/" + "".join(parts)
    once = OURS.spelled(path)
    assert OURS.spelled(once) == once
    assert once == path or "//" not in once
    if path.lstrip("/").startswith("own"):
        assert once == path


async def test_further_routes_of_who_embeds_the_gateway_are_theirs():
    async with gateway() as client:
        client.app.get("/chat/")(lambda: "theirs")
        assert (await client.get("/chat/")).json() == "theirs"


async def test_what_can_be_got_can_be_asked_for_by_its_head():
    async with gateway() as client:
        for path in (
            "/",
            "/api/hello",
            "/healthz",
            "/readyz",
            "/v1/models",
            "/v1/models/kilo-auto/free",
        ):
            whole, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))
        assert (await client.head("/nothing")).status_code == 404
        assert (await client.head(PATHS[MESSAGES])).status_code == 405


# What is not offered, and what fails.


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/", "/responses"])
async def test_a_websocket_is_refused_at_once_and_without_a_word_in_the_log(path, caplog):
    asked = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    async with gateway() as client:
        uvicorn = logging.getLogger("uvicorn.error")
        uvicorn.addHandler(caplog.handler)
        uvicorn.setLevel(logging.WARNING)
        answer = await client.get(path, headers=asked | {"sec-websocket-key": "AAAA"})
        assert answer.status_code == 426
        assert answer.headers["connection"].startswith("close")
        assert "POST" in check_error(RESPONSES, answer)["message"]
        assert not caplog.records
        uvicorn.removeHandler(caplog.handler)
        after = await client.post(PATHS[RESPONSES], json=ask(RESPONSES, PAID))
        assert after.status_code == 200


class FailingEngine:
    """Fails in a way that nobody foresaw."""

    @property
    def models(self):
        raise ZeroDivisionError("secret\n2026-01-01 00:00:00,000 INFO forged line")


@pytest.mark.parametrize(
    ("path", "interface"), [("/v1/models", CHAT), ("/v1/models", MESSAGES), ("/models", CHAT)]
)
async def test_what_fails_inside_is_told_in_the_callers_format(path, interface, caplog):
    headers = {"anthropic-version": "2023-06-01"} if interface is MESSAGES else {}
    async with gateway(engine=FailingEngine()) as client:
        answer = await client.get(path, headers=headers | {"origin": "http://localhost"})
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert check_error(interface, answer)
        assert readable_by(answer) == "http://localhost"


async def test_a_query_that_cannot_be_read_is_told_in_the_callers_format():
    async with gateway() as client:
        for answer in (
            await client.get("/v1/models?hidden=perhaps"),
            await client.post("/v1/route?format=morse", json=ask(CHAT, PAID)),
        ):
            assert answer.status_code == 400
            assert check_error(CHAT, answer)["message"].startswith("query ")


async def test_an_error_repeats_no_long_path():
    async with gateway() as client:
        answer = await client.get("/v1/" + "x" * 20_000)
        assert len(check_error(CHAT, answer)["message"]) < 400


async def test_no_client_hears_where_the_data_lies(tmp_path):
    def broken(folder, catalogue):
        raise BadArtefact(f"cannot read {folder}/table.json: [Errno 2] '/srv/of some/x.onnx'")

    for name in ("catalogue.toml", "providers.toml"):
        shutil.copy(MODELS_DIR / name, tmp_path)
    folder = tmp_path
    async with gateway(models_dir=tmp_path, load_engine=broken) as client:
        ready = await client.get("/readyz")
        answer = await client.post(PATHS[CHAT], json=ask(CHAT, "kilo-auto/efficient"))
        for told in (ready.text, answer.headers["x-auto-reason"]):
            assert "table.json" in told
            assert str(folder) not in told
            assert "/srv" not in told


@pytest.mark.parametrize("interface", FORMATS, ids=str)
@pytest.mark.parametrize("single", [True, False])
async def test_a_key_for_a_provider_that_does_not_exist_is_refused_by_name(interface, single):
    body = ask(interface, PAID)
    async with fake_upstream() as fake, gateway(fake if single else None) as client:
        fake.play = replies(200, json.dumps({}).encode())
        for name, hint in (("opnai", "did you mean openai?"), ("zzz", "there are ")):
            for path in (PATHS[interface], "/v1/route"):
                answer = await client.post(path, json=body, headers={f"x-provider-key-{name}": "k"})
                assert answer.status_code == 400
                message = answer.json()["error"]["message"]
                assert f"x-provider-key-{name}" in message
                assert hint in message
        assert not fake.seen


@pytest.mark.parametrize("target", ["*", "/", "//", "/v1", "x"])
async def test_no_target_of_a_request_fails_inside(target, caplog):
    """``OPTIONS *`` asks about the server, and has no path at all."""
    async with gateway() as client:
        url = client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        asked = f"OPTIONS {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        writer.write(asked.encode())
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    status = int(said.split(b" ", 2)[1])
    assert 400 <= status < 500, said
    assert b'"error"' in said
    assert "Traceback" not in caplog.text
