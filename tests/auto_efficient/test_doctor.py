"""The doctor finds what is wrong, says what to do, and tells no key."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from auto_efficient.checks import CHECKS, EXTRAS, Health, examine
from auto_efficient.examined import Examined
from router.evidence.catalogue import MODELS_DIR
from router.storage.database import NEWEST, file_url, open_database
from tests.gateway_rig import fake_upstream, gateway, lists, replies
from tests.services import redis_server

ROOT = Path(__file__).resolve().parents[2]


def environ_of(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(tmp_path), "AUTO_EFFICIENT_PORT": "0", **more}


def found(tmp_path: Path, config: Path | None = None, **more: str):
    return [*examine(Examined(environ_of(tmp_path, **more), config))]


async def found_beside(tmp_path: Path, **more: str):
    return await asyncio.to_thread(found, tmp_path, **more)


def of(findings, about: str):
    return [finding for finding in findings if finding.about == about]


def failures(findings):
    return [finding for finding in findings if finding.health is Health.FAILURE]


def test_a_fresh_machine_only_lacks_a_key(tmp_path):
    findings = found(tmp_path)
    assert failures(findings) == []
    (providers,) = of(findings, "providers")
    assert providers.health is Health.WARNING
    assert "OPENROUTER_API_KEY" in providers.do
    assert of(findings, "tiers")[0].health is Health.OK
    assert of(findings, "state")[0].health is Health.OK


def test_every_failure_and_warning_says_what_to_do(tmp_path):
    findings = found(
        tmp_path,
        OPENAI_API_KEY="k",
        HTTPS_PROXY="http://127.0.0.1:9",
        OLLAMA_BASE_URL="http://127.0.0.1:9/v1",
        AUTO_EFFICIENT_STATE_DIR="/proc/nowhere",
        AUTO_EFFICIENT_PROT="1",
    )
    assert {f.about for f in failures(findings)} >= {"provider openai", "provider ollama", "state"}
    assert of(findings, "settings")[-1].found == "AUTO_EFFICIENT_PROT is read by nobody"
    for finding in findings:
        assert finding.do or finding.health is Health.OK, finding


@pytest.mark.parametrize("text", ["port = [", "prot = 1", 'keys = { nobody = "sk-secret" }'])
def test_broken_settings_are_told_once(tmp_path, text):
    config = tmp_path / "auto-efficient.toml"
    config.write_text(text)
    findings = found(tmp_path, config)
    (failure,) = failures(findings)
    assert failure.found
    assert "sk-secret" not in failure.found


def test_the_file_of_settings_is_named(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text("log_requests = true\n")
    assert of(found(tmp_path, config), "settings")[0].found == str(config)


def test_bad_models_are_a_failure(tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(MODELS_DIR, folder)
    (folder / "table.json").write_text("{}")
    findings = found(tmp_path, AUTO_EFFICIENT_MODELS_DIR=str(folder))
    (models,) = of(findings, "models")
    assert models.health is Health.FAILURE
    assert "table" in models.found


async def test_a_port_that_is_ours_is_told_from_anothers(tmp_path):
    async with gateway() as client:
        findings = await found_beside(tmp_path, AUTO_EFFICIENT_PORT=str(client.base_url.port))
    (ours,) = of(findings, "port")
    assert (ours.health, "runs there already" in ours.found) == (Health.OK, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        asyncio.get_running_loop().call_later(0.3, taken.shutdown, socket.SHUT_RDWR)
        (others,) = of(await found_beside(tmp_path, AUTO_EFFICIENT_PORT=port), "port")
    assert others.health is Health.FAILURE
    assert "--port" in others.do


PROVIDER = """
[[providers]]
name = "office"
base_url = "{url}/v1"
key_env = ["OFFICE_KEY"]
formats = ["chat"]
serves = ["office/"]
private = false
"""


@pytest.mark.parametrize(
    ("answer", "health", "said"),
    [
        (lists("office/a"), Health.OK, "answers"),
        (replies(404, b"{}"), Health.OK, "answers"),
        (replies(401, b"{}"), Health.FAILURE, "the key is refused"),
        (replies(503, b"{}"), Health.WARNING, "answers 503"),
    ],
    ids=["lists", "has no list", "refuses the key", "is down"],
)
async def test_a_provider_is_asked_with_its_key(tmp_path, answer, health, said):
    async with fake_upstream() as fake:
        fake.lists = answer
        config = tmp_path / "a.toml"
        config.write_text(PROVIDER.format(url=fake.url))
        findings = await found_beside(
            tmp_path, AUTO_EFFICIENT_CONFIG=str(config), OFFICE_KEY="sk-secret"
        )
    (provider,) = of(findings, "provider office")
    assert provider.health is health
    assert said in provider.found
    assert fake.asked[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(findings)
    if health is Health.FAILURE:
        assert "OFFICE_KEY" in provider.do


async def test_own_servers_tell_what_they_have(tmp_path):
    async with fake_upstream() as fake:
        fake.lists = lists("llama3:latest")
        findings = await found_beside(tmp_path, OLLAMA_BASE_URL=f"{fake.url}/v1")
    (own,) = of(findings, "own servers")
    assert own.health is Health.OK
    assert "llama3" in own.found


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_store_is_asked_under_any_of_its_names(tmp_path, scheme):
    with redis_server() as server:
        url = server.url.replace("redis", scheme, 1)
        (store,) = of(found(tmp_path, AUTO_EFFICIENT_STORE=url), "store")
    assert (store.health, store.found) == (Health.OK, "127.0.0.1 answers")


@pytest.mark.parametrize(
    ("version", "health"),
    [("0001", Health.WARNING), (NEWEST, Health.OK), ("9999", Health.FAILURE)],
)
def test_a_database_that_serve_would_refuse_is_a_failure(tmp_path, version, health):
    url = file_url(tmp_path / "books.db")
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    engine.dispose()
    (database,) = of(found(tmp_path, AUTO_EFFICIENT_DATABASE=url), "database")
    assert database.health is health


def test_what_nobody_serves_is_told_with_the_way_out(tmp_path):
    findings = found(tmp_path, OPENAI_API_KEY="k", HTTPS_PROXY="http://127.0.0.1:9")
    gaps = of(findings, "tiers")
    assert {gap.health for gap in gaps} == {Health.WARNING}
    assert all("OPENROUTER_API_KEY" in gap.do for gap in gaps)


def test_every_extra_of_the_package_is_looked_for():
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(declared["optional-dependencies"])


def test_every_check_has_a_name_of_its_own():
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "COLUMNS": "200", **environ}
    if path := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = path
    command = [sys.executable, "-m", "auto_efficient", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_the_command_prints_a_table_and_exits_by_what_it_found(tmp_path):
    good = run(**environ_of(tmp_path))
    assert good.returncode == 0, good.stderr
    assert "what to do" in good.stdout
    bad = run("--json", **environ_of(tmp_path, AUTO_EFFICIENT_STATE_DIR="/proc/nowhere"))
    assert bad.returncode == 1
    told = {row["about"]: row["health"] for row in json.loads(bad.stdout)}
    assert told["state"] == "failure"
    assert told["version"] == "ok"
