"""What a request came to, asked for afterwards: by its caller, by who reads the books, by nobody else."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from contextlib import asynccontextmanager

import pytest

from router.books.entries import entry_of
from router.decision.engine import Engine
from router.storage.schema import feedback
from router.values import Interface
from tests.books_rig import n_rows, put, record, rows_of
from tests.gateway_rig import PATHS, ask, gateway
from tests.services import soon

CHAT, EFFICIENT = PATHS[Interface.CHAT], "kilo-auto/efficient"
KEYS = ("anna", "ben", "reader", "admin")


def as_(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-key"}


@asynccontextmanager
async def keyed(tmp_path, **options):
    """Run a gateway with books and four keys: two that ask, one that reads, one that rules."""
    callers = [{"name": n, "sha256": hashlib.sha256(f"{n}-key".encode()).hexdigest()} for n in KEYS]
    callers[2]["scopes"] = ["read"]
    callers[3]["scopes"] = ["admin"]
    async with gateway(state_dir=tmp_path, callers=callers, **options) as client:
        yield client, client.app.state.gateway.books.database


async def answered(client, name="anna", **headers) -> tuple[str, str]:
    """Ask for something; return the decision's id and the answer's."""
    body = ask(Interface.CHAT, EFFICIENT, text="Fix the crash in the export")
    answer = await client.post(CHAT, json=body, headers=as_(name) | headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-auto-decision-id"], answer.json()["id"]


@pytest.mark.parametrize("path", ["/v1/generation?id={}", "/v1/decisions/{}"])
async def test_a_caller_finds_its_own_requests_and_nobody_elses(tmp_path, path):
    async with keyed(tmp_path) as (client, _):
        for name in await answered(client):
            codes = {
                who: (await client.get(path.format(name), headers=as_(who))).status_code
                for who in KEYS
            }
            assert codes == {"anna": 200, "ben": 404, "reader": 200, "admin": 200}
        for who in KEYS:
            assert (await client.get(path.format("nobody"), headers=as_(who))).status_code == 404
        unknown = await client.get(path.format("nobody"), headers=as_("eve"))
        assert unknown.status_code == 401


@pytest.mark.parametrize("name", ["%00", "%ED%A0%80", "x" * 5000, "'%20OR%201=1--", "%F0%9F%98%80"])
async def test_a_name_that_is_none_is_not_found(tmp_path, name):
    async with keyed(tmp_path) as (client, _):
        for path in (f"/v1/generation?id={name}", f"/v1/decisions/{name}"):
            answer = await client.get(path, headers=as_("anna"))
            assert answer.status_code == 404, answer.text
        body = {"decision_id": "\0", "outcome": "success"}
        said = await client.post("/v1/feedback", json=body, headers=as_("anna"))
        assert said.status_code == 404


async def test_the_owner_of_the_machine_finds_its_own_without_a_key(tmp_path):
    async with gateway(state_dir=tmp_path) as client:
        answer = await client.post(CHAT, json=ask(Interface.CHAT, EFFICIENT))
        for name in (answer.headers["x-auto-decision-id"], answer.json()["id"]):
            found = await client.get(f"/v1/generation?id={name}")
            assert found.status_code == 200
        exported = await client.get("/v1/export/requests")
        assert exported.status_code == 200


async def test_a_generation_tells_tokens_and_dollars(tmp_path):
    async with keyed(tmp_path) as (client, database):
        decision_id, answer_id = await answered(client)
        data = (await client.get(f"/v1/generation?id={answer_id}", headers=as_("anna"))).json()[
            "data"
        ]
        [row] = rows_of(database)
        assert (data["id"], data["decision_id"]) == (answer_id, decision_id)
        assert (data["total_cost"], data["usage"]) == (row["usd"], row["usd"])
        assert data["tokens_prompt"] == row["input_tokens"] > 0
        assert (data["model"], data["cancelled"], data["streamed"]) == (row["model"], False, False)
        assert data["generation_time"] >= 0


async def test_a_row_with_no_more_than_its_end_is_told(tmp_path):
    async with keyed(tmp_path) as (client, database):
        bare = record(usage=None, usd=None, first_s=None, unit=None, answer_id=None, at_s=0.0)
        put(database, entry_of(bare, keep_ask=False))
        for path in ("/v1/generation?id=", "/v1/decisions/"):
            answer = await client.get(f"{path}{bare.decision_id}", headers=as_("anna"))
            assert answer.status_code == 200, answer.text


async def test_a_decision_is_opened_and_made_again_with_todays_table(tmp_path):
    async with keyed(tmp_path, engine=Engine.load()) as (client, _):
        for _ in range(2):  # the second from memory
            decision_id, _answer = await answered(client, **{"x-session-id": "s"})
            found = await client.get(f"/v1/decisions/{decision_id}", headers=as_("anna"))
            told = found.json()
            assert told["request"]["decision_id"] == decision_id
            assert told["made_from"]["decision"]["model"] == told["request"]["model"]
            assert told["today"]["same"] is True, told["today"]
        assert "Fix the crash" not in found.text


async def test_two_callers_may_be_given_answers_of_one_name(tmp_path):
    async with keyed(tmp_path) as (client, database):
        for who in ("anna", "ben"):
            put(database, entry_of(record(caller=who, answer_id="same"), keep_ask=False))
        for who in ("anna", "ben"):
            found = await client.get("/v1/decisions/same", headers=as_(who))
            assert found.json()["request"]["caller"] == who


# Feedback.


async def test_feedback_is_kept_with_the_ask_of_its_request(tmp_path):
    async with keyed(tmp_path) as (client, database):
        _, answer_id = await answered(client)
        said = {"decision_id": answer_id, "outcome": "success", "score": 0.5, "comment": "w\0ell"}
        answer = await client.post("/v1/feedback", json=said, headers=as_("anna"))
        assert answer.status_code == 201
        [row], [kept] = rows_of(database), rows_of(database, feedback)
        assert (kept["decision_id"], kept["ask"]) == (row["decision_id"], row["ask"])
        assert (kept["caller"], kept["outcome"], kept["score"]) == ("anna", "success", 0.5)
        assert kept["comment"] == "w\N{REPLACEMENT CHARACTER}ell"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 400),
        ({"outcome": "fine"}, 400),
        ({"score": 1.5}, 400),
        ({"score": "NaN"}, 400),
        ({"outcome": "success", "comment": "x" * 4001}, 400),
        ({"outcome": "success", "more": 1}, 400),
    ],
)
async def test_feedback_that_says_nothing_is_refused(tmp_path, said, status):
    async with keyed(tmp_path) as (client, database):
        decision_id, _ = await answered(client)
        body = {"decision_id": decision_id, **said}
        answer = await client.post("/v1/feedback", json=body, headers=as_("anna"))
        assert answer.status_code == status, answer.text
        assert not rows_of(database, feedback)


async def test_nobody_speaks_of_anothers_answer(tmp_path):
    async with keyed(tmp_path) as (client, database):
        decision_id, _ = await answered(client)
        said = {"decision_id": decision_id, "outcome": "failure"}
        answer = await client.post("/v1/feedback", json=said, headers=as_("ben"))
        assert answer.status_code == 404
        assert not rows_of(database, feedback)


# Exports.


async def test_an_export_is_for_who_reads_the_books(tmp_path):
    async with keyed(tmp_path) as (client, _):
        codes = {
            who: (await client.get("/v1/export/requests", headers=as_(who))).status_code
            for who in (*KEYS, "eve")
        }
        assert codes == {"anna": 403, "ben": 403, "reader": 200, "admin": 200, "eve": 401}


async def test_who_reads_on_from_a_cursor_has_every_row_once_while_rows_are_written(tmp_path):
    async with keyed(tmp_path) as (client, database):

        async def asks() -> list[str]:
            return [(await answered(client, who))[0] for who in ("anna", "ben") * 15]

        async def page(after: str) -> tuple[list[str], str]:
            asked = {"after": after, "limit": 7}
            got = await client.get("/v1/export/requests", params=asked, headers=as_("reader"))
            lines = [json.loads(line)["decision_id"] for line in got.text.splitlines()]
            return lines, got.headers["x-next-cursor"]

        asking, seen, after = asyncio.gather(asks(), asks()), [], "0"
        while not asking.done():
            new, after = await page(after)
            seen += new
        expected = [name for names in asking.result() for name in names]
        await soon(lambda: n_rows(database) == len(expected), 5)
        while True:
            new, after = await page(after)
            if not new:
                break
            seen += new
        assert sorted(seen) == sorted(expected)


async def test_an_export_as_csv_says_the_same(tmp_path):
    async with keyed(tmp_path) as (client, database):
        decision_id, _ = await answered(client)
        await soon(lambda: n_rows(database), 5)
        got = await client.get("/v1/export/requests?format=csv", headers=as_("reader"))
        assert got.headers["content-type"].startswith("text/csv")
        [row] = csv.DictReader(io.StringIO(got.text))
        assert row["decision_id"] == decision_id


@pytest.mark.parametrize(
    "asked", ["after=-1", "after=x", f"after={1 << 70}", "limit=0", "limit=1e9"]
)
async def test_a_cursor_that_is_none_is_refused(tmp_path, asked):
    async with keyed(tmp_path) as (client, _):
        answer = await client.get(f"/v1/export/requests?{asked}", headers=as_("reader"))
        assert answer.status_code == 400
