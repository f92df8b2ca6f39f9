"""Every example runs as it stands, and does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager

import httpx

from auto_efficient import Settings, create_app
from tests.conftest import ROOT

MODULES = {"decide.py", "record_hook.py"}
FILES = {"own_provider.toml"}

TASK = "fix the crash in the pdf export when a page has no images"


def environ(**more):
    """Return this process's environment without any provider's key or setting of ours."""
    kept = {k: v for k, v in os.environ.items() if not re.search(r"_(API_KEY|BASE_URL)$", k)}
    return {k: v for k, v in kept.items() if not k.startswith("AUTO_EFFICIENT_")} | more


@asynccontextmanager
async def client_of(app):
    """Drive an application without a socket; enough where no stream is timed."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def body(text=TASK, model="kilo-auto/efficient"):
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def test_no_example_is_without_a_test():
    found = {path.name for path in (ROOT / "examples").iterdir() if path.is_file()}
    assert found == MODULES | FILES


# decide.py


def test_decide_prints_what_and_why():
    done = subprocess.run(
        [sys.executable, "-m", "examples.decide"],
        cwd=ROOT,
        env=environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    read, why = done.stdout.splitlines()
    assert read.startswith("debugging/root_cause level ")
    assert read.rpartition(" ")[2] in why


# record_hook.py


def test_record_hook_writes_a_line_per_request(tmp_path):
    """As a user runs it: a server on any free port, two requests, and a signal to end."""
    path = tmp_path / "requests.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "examples.record_hook", str(path)],
        cwd=ROOT,
        env=environ(AUTO_EFFICIENT_PORT="0", AUTO_EFFICIENT_SIMULATED_TOKENS_PER_S="0"),
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        greeting = next(line for line in server.stderr if "listens on" in line)
        url = greeting.split()[-1]
        served = httpx.post(f"{url}/v1/chat/completions", json=body())
        refused = httpx.post(f"{url}/v1/chat/completions", content=b"{")
        server.terminate()
        server.stderr.read()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["end"] for row in rows] == ["served", "refused"]
    assert [row["status"] for row in rows] == [served.status_code, refused.status_code]
    assert rows[0]["model"] == served.headers["x-auto-model"]
    assert rows[0]["decision_id"] == served.headers["x-auto-decision-id"]
    assert rows[0]["output_tokens"] > 0
    assert TASK not in path.read_text("utf-8")


# own_provider.toml


async def test_own_provider_is_called_under_its_own_names():
    sent = []

    def play(request):
        sent.append((str(request.url), json.loads(request.content)["model"], request.headers))
        return httpx.Response(200, json={"choices": [{"message": {"content": "ok"}}]})

    settings = Settings.load(environ={}, config=ROOT / "examples" / "own_provider.toml")
    app = create_app(settings, environ={}, transport=httpx.MockTransport(play))
    async with client_of(app) as client:
        for model in ("workstation/qwen3", "gpt-4o-mini", "kilo-auto/efficient"):
            reply = await client.post(
                "/v1/chat/completions",
                json=body("rename getUser to fetchUser in src/api", model),
                headers={"authorization": "Bearer of-the-client"},
            )
            assert reply.status_code == 200
            assert reply.headers["x-auto-provider"] == "workstation"
    assert {url for url, _, _ in sent} == {"http://127.0.0.1:8000/v1/chat/completions"}
    assert [model for _, model, _ in sent] == ["qwen3", "gemma-4-31b", "gemma-4-31b"]
    assert all("authorization" not in headers for _, _, headers in sent)
