"""What tests of pages stand on: a gateway with its real engine, some traffic in its books, a browser."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from benchmarks.speed import books as filler
from router.books import queries, rollups
from router.decision.engine import Engine
from router.storage.database import writing
from router.storage.schema import requests
from tests.gateway_rig import gateway
from tests.services import soon

CHAT = "/v1/chat/completions"
HTML = {"accept": "text/html"}

TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]
ASKS = (
    "Fix the crash in parser.py: it fails on an empty file, and add a test for it",
    "Rename the function load to read in utils.py",
    "Why is the deadlock in the scheduler only seen under load? Find it and fix it",
    "Write a docstring for this function",
)
REAL = (
    "openai/gpt-5.6-luna",
    "anthropic/claude-opus-5",
    "google/gemini-3.5-flash",
    "minimax/minimax-m3",
)


@dataclass
class Shown:
    """A gateway that has pages to look at."""

    client: httpx.AsyncClient
    url: str
    decision: str
    """A request that was decided on evidence."""
    session: str

    async def html(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, headers=HTML, **options)

    @property
    def pages(self) -> dict[str, str]:
        """The pages by name."""
        return {
            "overview": "/?span=7d",
            "decisions": "/decisions",
            "decision": f"/decisions/{self.decision}",
            "sessions": "/sessions",
            "session": f"/sessions/{self.session}",
            "table": "/table",
            "models": "/models",
            "changelog": "/changelog",
            "playground": "/playground",
            "keys": "/keys",
            "account": "/keys/org",
            "login": "/login",
        }


@asynccontextmanager
async def shown(folder: Path, *, history: int = 3000, **settings: Any) -> AsyncIterator[Shown]:
    """Run a gateway with some past, whose newest requests it served itself."""
    given = {"state_dir": folder, "load_engine": Engine.load, "reload_s": 60} | settings
    async with gateway(**given) as client:
        database = client.app.state.gateway.books.database
        if history:
            rows = [{k: v for k, v in row.items() if k != "seq"} for row in past(history)]
            with writing(database) as connection:
                connection.execute(insert(requests), rows)
                rollups.add(connection, rows)
        before = queries.newest(database)
        for i, ask in enumerate(ASKS):
            said = [{"role": "user", "content": ask}]
            for _ in range(3):
                body = {"model": "kilo-auto/efficient", "messages": said, "tools": TOOLS}
                reply = await client.post(CHAT, json=body, headers={"x-session-id": f"s{i}"})
                answer = reply.json()["choices"][0]["message"]["content"]
                said += [
                    {"role": "assistant", "content": answer},
                    {"role": "user", "content": "The tests fail again"},
                ]
        n = before + 3 * len(ASKS)
        await soon(lambda: queries.newest(database) == n, 10)
        row = queries.page(database, queries.Filter(), before=before + 2).rows[0]
        busy = queries.sessions(database, None).rows
        session = max(busy, key=lambda r: (r["requests"] < 40, r["requests"])) if history else row
        yield Shown(client, str(client.base_url), row["decision_id"], session["session"])


def past(n: int) -> list[dict[str, Any]]:
    """Return rows of the last days, of a few callers, and of models that there are."""
    rows, now_s, models = list(filler.rows_of(n, 0, n, time.time())), time.time(), list(REAL)
    serving: dict[str, int] = {}
    for i, row in enumerate(rows):
        who, key = int(row["caller"][-3:]) % 7, f"{int(row['session'], 16) % 160}"
        moved = row["move"] in ("switch", "escalate") or i % 13 == 0
        serving[key] = at = (serving.get(key, len(key) + i) + moved) % len(models)
        row |= {
            "at_s": now_s - (now_s - row["at_s"]) / 12,
            "model": models[at],
            "effort": ("low", "high")[at % 2],
            "move": "switch" if moved else "stay",
            "caller": f"caller-{who}",
            "team": f"team-{who % 3}",
            "session": hashlib.sha256(key.encode()).hexdigest()[:32],
            "cached_tokens": int(row["input_tokens"] * (0 if moved else 0.3 + i % 7 / 10)),
        }
    return rows


def chromium() -> str:
    """Return where the system's browser is; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium, which is not installed")
    return found


def arguments() -> list[str]:
    """Return how the browser is started: root has no sandbox."""
    return ["--no-sandbox"] if os.geteuid() == 0 else []
