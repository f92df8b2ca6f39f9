"""``keys``, ``teams`` and ``terms`` on the command line, in the database of a gateway that runs or not."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from auto_efficient.cli import app
from router.values import Interface
from tests.gateway_rig import ask, gateway


@pytest.fixture
def run(tmp_path):
    config = tmp_path / "auto-efficient.toml"
    config.write_text(f'state_dir = "{tmp_path / "state"}"\n', "utf-8")

    def runs(*words: str, fails: bool = False):
        asked = [*words, "--config", str(config)]
        done = CliRunner().invoke(app, asked, env={"OPENAI_API_KEY": "k", "COLUMNS": "200"})
        assert (done.exit_code != 0) is fails, done.output
        return done

    return runs


def test_a_key_is_printed_once_alone_and_listed_by_its_end(run):
    key = run("keys", "create", "anna", "--scope", "read", "--scope", "inference").stdout.strip()
    assert key.startswith("sk-auto-")
    listed = run("keys", "list").output
    assert key[-4:] in listed
    assert key not in listed
    new = run("keys", "rotate", "anna", "--grace-hours", "0").stdout.strip()
    assert new != key
    assert "open nothing any more" in run("keys", "revoke", "anna").output
    run("keys", "revoke", "anna", fails=True)


@pytest.mark.parametrize(
    "words",
    [
        ("--expires-in-days", "0"),
        ("--expires-in-days", "nan"),
        ("--expires-in-days", "inf"),
        ("--scope", "root"),
        ("--team", "none"),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_a_line(run, words):
    told = run("keys", "create", "anna", *words, fails=True)
    assert told.exit_code == 2
    assert "Traceback" not in told.output
    assert "anna" not in run("keys", "list").output


def test_terms_are_set_shown_and_held_to_the_catalogue(run):
    run("teams", "create", "core")
    assert run("teams", "list").stdout.split() == ["core"]
    said = {"tiers": {"code": "kilo-auto/frontier"}, "budgets": [{"usd": 5.0, "per": "month"}]}
    run("terms", "set", "team:core", json.dumps(said))
    assert json.loads(run("terms", "show", "team:core").stdout) == {"team:core": said}
    for wrong in (
        {"tiers": {"code": "kilo-auto/none"}},
        {"deny": ["openai/gtp-5.5"]},
        {"mappings": {"kilo-auto/balanced": {"default": "openai/gpt-9"}}},
        {"nonsense": 1},
    ):
        told = run("terms", "set", "team:core", json.dumps(wrong), fails=True)
        assert "terms: " in told.output
    run("terms", "set", "team:core", "{", fails=True)
    run("terms", "set", "team:core", "[]", fails=True)
    run("terms", "set", "team:none", "{}", fails=True)
    run("terms", "set", "team:core", "{}")
    assert json.loads(run("terms", "show").stdout) == {}


async def test_a_running_gateway_learns_of_a_change_within_a_second(run, tmp_path):
    async with gateway(state_dir=tmp_path / "state") as client:

        async def says(key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            body = ask(Interface.CHAT, "openai/gpt-5.5")
            return (
                await client.post("/v1/chat/completions", json=body, headers=headers)
            ).status_code

        async def becomes(key: str, status: int) -> None:
            async with asyncio.timeout(2.0):
                while await says(key) != status:  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.02)

        key = (await asyncio.to_thread(run, "keys", "create", "anna")).stdout.strip()
        await becomes("wrong", 401)
        assert await says(key) == 200
        budget = '{"budgets": [{"usd": 0, "per": "day"}]}'
        await asyncio.to_thread(run, "terms", "set", "key:anna", budget)
        await becomes(key, 402)
        await asyncio.to_thread(run, "keys", "revoke", "anna")
        await becomes(key, 401)
