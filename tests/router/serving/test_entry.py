"""Who may look and who may change: by key, by cookie, as the machine's owner; and from which pages."""

from __future__ import annotations

import hashlib

import pytest
from starlette.requests import Request
from starlette.responses import Response

from router.errors import Forbidden, Unauthenticated
from router.serving.entry import COOKIE, COOKIE_S, sign_in, sign_out
from tests.gateway_rig import gateway

SCOPES = ("inference", "read", "admin")
KEYS = [
    {"name": scope, "sha256": hashlib.sha256(scope.encode()).hexdigest(), "scopes": [scope]}
    for scope in SCOPES
]
PROVIDER_KEY = "/v1/admin/provider-keys/org/openai"
READS = [
    *("/v1/admin/keys", "/v1/admin/teams", "/v1/admin/terms", "/v1/admin/terms/org"),
    *("/v1/admin/budgets", "/v1/admin/provider-keys", "/v1/admin/audit", "/v1/export/requests"),
]
CHANGES = [
    ("POST", "/v1/admin/keys", {"name": "x"}),
    ("PATCH", "/v1/admin/keys/x", {"team": None}),
    ("POST", "/v1/admin/keys/x/rotate", {}),
    ("DELETE", "/v1/admin/keys/x", None),
    ("POST", "/v1/admin/teams", {"name": "x"}),
    ("PUT", "/v1/admin/terms/org", {}),
    ("PATCH", "/v1/admin/terms/org", {}),
    ("PUT", PROVIDER_KEY, {"key": "k"}),
    ("DELETE", PROVIDER_KEY, None),
    ("DELETE", "/v1/admin/callers/x/rows", None),
]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_every_route_of_the_admin_api_is_tried_here():
    from router.serving.admin import admin

    tried = {("GET", path) for path in READS} | {(method, path) for method, path, _ in CHANGES}
    shapes = {
        (method, path.replace("{name}", "x").replace("{account}/{provider}", "org/openai"))
        for route in admin.routes
        for method in route.methods
        for path in [route.path]
    }
    assert {(m, p.replace("{account}", "org")) for m, p in shapes} <= tried


async def test_a_route_opens_to_the_scopes_that_it_names(tmp_path):
    async with gateway(callers=KEYS, state_dir=tmp_path) as client:
        for path in READS:
            said = [(await client.get(path, headers=bearer(s))).status_code for s in SCOPES]
            assert said == [403, 200, 200], path
            assert (await client.get(path)).status_code == 401, path
            assert (await client.get(path, headers=bearer("wrong"))).status_code == 401, path
        for method, path, asked in CHANGES:
            said = [
                (await client.request(method, path, json=asked, headers=headers)).status_code
                for headers in ({}, bearer("wrong"), bearer("inference"), bearer("read"))
            ]
            assert said == [401, 401, 403, 403], path
            got = await client.request(method, path, json=asked, headers=bearer("admin"))
            assert got.status_code in (200, 201, 404), (path, got.text)


async def test_models_open_to_inference_and_admin(tmp_path):
    asked = {"model": "kilo-auto/free", "messages": [{"role": "user", "content": "Hi"}]}
    async with gateway(callers=KEYS, state_dir=tmp_path) as client:
        said = [
            (
                await client.post("/v1/chat/completions", json=asked, headers=bearer(scope))
            ).status_code
            for scope in SCOPES
        ]
    assert said == [200, 403, 200]


async def test_without_keys_the_machines_owner_administers_and_a_foreign_page_does_not(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        assert (await client.put("/v1/admin/terms/org", json={})).status_code == 200
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"host": "evil.example", "origin": "http://evil.example"},
            {"x-forwarded-for": "1.2.3.4"},
        ):
            got = await client.put("/v1/admin/terms/org", json={}, headers=headers)
            assert got.status_code in (401, 403), headers


async def test_a_page_of_another_port_may_change_nothing(tmp_path):
    async with gateway(state_dir=tmp_path, callers=KEYS) as client:
        for origin in ("http://localhost:3000", "https://evil.example", "null"):
            headers = bearer("admin") | {"origin": origin}
            got = await client.put("/v1/admin/terms/org", json={}, headers=headers)
            assert got.status_code == 403
            assert (await client.get("/v1/admin/terms", headers=headers)).status_code == 200


# Signing in.


def request_of(client, method="GET", scheme="http", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "scheme": scheme, "path": "/", "headers": raw}
    server = {"server": ("127.0.0.1", 80), "query_string": b"", "app": client.app}
    return Request(scope | server | {"client": ("127.0.0.1", 1)})


def signed_in(client, key="read", **more) -> str:
    response = Response()
    sign_in(request_of(client, **more), response, key)
    return response.headers["set-cookie"]


async def test_a_cookie_opens_what_its_key_does_and_no_script_or_other_site_sends_it(tmp_path):
    async with gateway(callers=KEYS, state_dir=tmp_path) as client:
        cookie = signed_in(client)
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert f"Max-Age={COOKIE_S:.0f}" in cookie
        assert "Secure" not in cookie
        assert "Secure" in signed_in(client, scheme="https")
        held = {"cookie": cookie.partition(";")[0]}
        assert (await client.get("/v1/admin/terms", headers=held)).status_code == 200
        assert (await client.put("/v1/admin/terms/org", json={}, headers=held)).status_code == 403
        admin = {"cookie": signed_in(client, "admin").partition(";")[0]}
        ours = admin | {"origin": str(client.base_url).rstrip("/")}
        assert (await client.put("/v1/admin/terms/org", json={}, headers=ours)).status_code == 200
        for foreign in ({"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}):
            got = await client.put("/v1/admin/terms/org", json={}, headers=admin | foreign)
            assert got.status_code == 403


async def test_a_cookie_is_secure_behind_a_proxy_that_says_tls_and_is_trusted(tmp_path):
    async with gateway(callers=KEYS, state_dir=tmp_path, trust_forwarded=True) as client:
        assert "Secure" in signed_in(client, x_forwarded_proto="https")


async def test_a_cookie_that_was_changed_or_whose_key_is_revoked_opens_nothing(tmp_path):
    async with gateway(callers=KEYS, state_dir=tmp_path) as client:
        registry = client.app.state.gateway.books.registry
        made = registry.create("boss", "test", scopes=["read"])
        client.app.state.gateway.keys.renew(registry.directory())
        value = signed_in(client, made.key).partition(";")[0].partition("=")[2].strip('"')
        assert made.key not in value

        async def opens(cookie: str) -> int:
            headers = {"cookie": f'{COOKIE}="{cookie}"'}
            return (await client.get("/v1/admin/terms", headers=headers)).status_code

        assert await opens(value) == 200
        digest, _, rest = value.partition(" ")
        other = hashlib.sha256(b"admin").hexdigest()
        for forged in (f"{other} {rest}", value[:-1], "x", "", f"{digest} 9e99{rest}"):
            assert await opens(forged) == 401, forged
        await client.delete("/v1/admin/keys/boss", headers=bearer("admin"))
        assert await opens(value) == 401


async def test_who_has_no_key_to_look_does_not_sign_in(tmp_path):
    async with gateway(callers=KEYS, state_dir=tmp_path) as client:
        with pytest.raises(Forbidden):
            signed_in(client, "inference")
        for wrong in ("wrong", "", " ", "Bearer"):
            with pytest.raises(Unauthenticated):
                signed_in(client, wrong)
        response = Response()
        sign_out(response)
        assert "Max-Age=0" in response.headers["set-cookie"]
