"""Keys and budgets as pages: forms change what the admin API changes, for who may change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.callers.meters import held_back
from tests.gateway_rig import gateway

HTML = {"accept": "text/html"}


def registry(client):
    return client.app.state.gateway.books.registry


async def test_terms_are_set_by_a_form_and_kept_as_they_were_said(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        form = {"usd_month": "50", "requests_per_minute": "30", "rest": '{"deny": ["openai/*"]}'}
        saved = await client.post("/keys/org", data=form, headers=HTML)
        assert (saved.status_code, saved.headers["location"]) == (303, "/keys/org")
        terms = registry(client).terms()["org"]
        assert [(b.usd, b.per) for b in terms.budgets] == [(50, "month")]
        assert (terms.requests_per_minute, terms.deny) == (30, frozenset({"openai/*"}))
        shown = (await client.get("/keys/org", headers=HTML)).text
        assert 'value="50"' in shown
        assert "terms.set" in shown
        again = await client.post("/keys/org", data={"rest": ""}, headers=HTML)
        assert again.status_code == 303
        assert not registry(client).terms().get("org")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"rest": "{"}, "no JSON"),
        ({"rest": "[]"}, "JSON object"),
        ({"requests_per_minute": "inf"}, "is no number"),
        ({"tokens_per_minute": "nan"}, "is no number"),
        ({"requests_per_minute": "1.5"}, "requests_per_minute"),
        ({"usd_day": "much"}, "is no number"),
        ({"rest": '{"dail": "economy"}'}, "dail"),
        ({"rest": '{"tiers": {"code": "kilo-auto/nothing"}}'}, "kilo-auto/nothing"),
    ],
)
async def test_a_form_that_cannot_hold_says_why_and_keeps_what_was_written(tmp_path, form, said):
    async with gateway(state_dir=tmp_path) as client:
        told = await client.post("/keys/org", data=form, headers=HTML)
        assert told.status_code == 400
        assert said in told.text
        assert registry(client).terms() == {}


@pytest.mark.parametrize("usd", ["12345.67", "1234567.89", "0.000001", "50"])
async def test_a_budget_that_is_saved_as_it_is_shown_stays_what_it_was(tmp_path, usd):
    async with gateway(state_dir=tmp_path) as client:
        await client.post("/keys/org", data={"usd_month": usd}, headers=HTML)
        shown = (await client.get("/keys/org", headers=HTML)).text
        value = shown.partition('name="usd_month"')[2].partition('value="')[2].partition('"')[0]
        await client.post("/keys/org", data={"usd_month": value}, headers=HTML)
        [budget] = registry(client).terms()["org"].budgets
        assert budget.usd == float(usd)


async def test_a_key_is_shown_once_rotated_and_revoked(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        boss = registry(client).create("boss", "test", scopes=["admin"]).key
        client.app.state.gateway.keys.renew(registry(client).directory())
        client.headers["authorization"] = f"Bearer {boss}"
        made = await client.post("/keys", data={"name": "anna", "inference": "1"}, headers=HTML)
        key = made.text.partition('<pre tabindex="0">')[2].partition("</pre>")[0]
        assert made.headers["cache-control"] == "no-store"
        assert key.startswith("sk-auto-")
        assert key not in (await client.get("/keys", headers=HTML)).text
        turned = await client.post("/keys/rotate", data={"name": "anna"}, headers=HTML)
        assert "sk-auto-" in turned.text
        assert key not in turned.text
        gone = await client.post("/keys/revoke", data={"name": "anna"}, headers=HTML)
        assert gone.status_code == 303
        refused = await client.get("/v1/key", headers={"authorization": f"Bearer {key}"})
        assert refused.status_code == 401


async def test_who_may_only_look_has_no_forms_and_changes_nothing(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        registry(client).create("boss", "test", scopes=["admin"])
        look = registry(client).create("look", "test", scopes=["read"]).key
        anna = registry(client).create("anna", "test").key
        client.app.state.gateway.keys.renew(registry(client).directory())
        reader = HTML | {"authorization": f"Bearer {look}"}
        for path in ("/keys", "/keys/org"):
            page = await client.get(path, headers=reader)
            assert page.status_code == 200
            assert 'action="/keys' not in page.text
        for path in ("/keys", "/keys/org", "/keys/teams", "/keys/rotate", "/keys/revoke"):
            assert (await client.post(path, data={"name": "x"}, headers=reader)).status_code == 403
        caller = HTML | {"authorization": f"Bearer {anna}"}
        assert (await client.get("/keys", headers=caller)).status_code == 403
        nobody = await client.get("/keys", headers=HTML)
        assert (nobody.status_code, nobody.headers["location"]) == (303, "/login")


async def test_a_form_of_another_origin_changes_nothing(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        foreign = HTML | {"origin": "https://evil.example"}
        told = await client.post("/keys/org", data={"usd_day": "1"}, headers=foreign)
        assert told.status_code in (401, 403)
        crossed = HTML | {"sec-fetch-site": "cross-site"}
        assert (await client.post("/keys/org", data={}, headers=crossed)).status_code in (401, 403)
        assert registry(client).terms() == {}


async def test_no_page_of_another_origin_signs_a_browser_in_or_out(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        boss = registry(client).create("boss", "test", scopes=["admin"]).key
        client.app.state.gateway.keys.renew(registry(client).directory())
        foreign = HTML | {"origin": "https://evil.example"}
        for path in ("/login", "/logout"):
            told = await client.post(path, data={"key": boss}, headers=foreign)
            assert told.status_code == 403
            assert "set-cookie" not in told.headers


async def test_a_list_that_looks_for_newer_rows_is_not_sent_to_sign_in(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        registry(client).create("boss", "test", scopes=["admin"])
        client.app.state.gateway.keys.renew(registry(client).directory())
        path = "/decisions/newer?after=0"
        told = await client.get(path, headers={"hx-request": "true"})
        assert told.status_code == 401
        assert (await client.get(path, headers=HTML)).headers["location"] == "/login"


async def test_a_wrong_key_does_not_sign_in(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        registry(client).create("boss", "test", scopes=["admin"])
        anna = registry(client).create("anna", "test").key
        client.app.state.gateway.keys.renew(registry(client).directory())
        for key, status in (("sk-auto-wrong", 401), (anna, 403), ("", 401)):
            told = await client.post("/login", data={"key": key}, headers=HTML)
            assert told.status_code == status
            assert "set-cookie" not in told.headers


class Unreadable:
    """Accounts whose ledger is away."""

    async def readings(self, charges, now_s):
        return held_back(charges, "the ledger cannot be read", 1.0).readings


async def test_a_budget_that_cannot_be_read_is_not_shown_as_whole(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        await client.post("/keys/org", data={"usd_month": "50"}, headers=HTML)
        running = client.app.state.gateway
        stores, running.stores = running.stores, replace(running.stores, accounts=Unreadable())
        for path in ("/keys", "/keys/org"):
            page = await client.get(path, headers=HTML)
            assert page.status_code == 200
            assert "$0.00" not in page.text
        running.stores = stores


async def test_a_form_that_is_too_long_is_refused(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        told = await client.post("/keys/org", data={"rest": "x" * 70_000}, headers=HTML)
        assert told.status_code == 400
