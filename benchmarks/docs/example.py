"""One request, really decided with the shipped artefacts: what was sent, and what came back.

Both pages that show it show the same bytes, so that no number of one contradicts the other.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import httpx

from benchmarks.docs.pages import Block, Sources, fenced
from router.serving.app import create_app
from router.serving.headers import TOLD
from router.settings import Settings

URL: Final = "http://127.0.0.1:4000"

BODY: Final = """{"model": "kilo-auto/efficient", "messages": [{"role": "user",
    "content": "Fix the crash when the PDF export meets an empty page"}]}"""

RANDOM: Final = "x-auto-decision-id"
"""Differs each time."""

SHOWN_SHARES: Final = 2
"""Families and types that are shown of a dry run; all of them come back."""


def answer(sources: Sources) -> str:
    """Show the request, and the headers that tell of its decision."""
    reply = _posted("/v1/chat/completions", sources)
    names = [told.name for told in TOLD if told.name in reply.headers and told.name != RANDOM]
    status = f"HTTP/1.1 {reply.status_code} {reply.reason_phrase}"
    lines = [status, *(f"{name}: {reply.headers[name]}" for name in names)]
    return fenced(
        f"$ curl -si {URL}/v1/chat/completions -d '{BODY}'\n" + "\n".join(lines), "console"
    )


def dry_run(sources: Sources) -> str:
    """Show what deciding the same request alone answers."""
    found: dict[str, Any] = _posted("/v1/route", sources).json()
    task = found["task"]
    for name in ("families", "types"):
        likeliest = sorted(task[name].items(), key=lambda item: -item[1])[:SHOWN_SHARES]
        task[name] = dict(likeliest)
    return fenced(json.dumps(found, indent=2, ensure_ascii=False), "json")


def _posted(path: str, sources: Sources) -> httpx.Response:
    """Send the request to a gateway of its own, which has no provider's key."""
    app = create_app(Settings(models_dir=sources.models, simulated_tokens_per_s=0), environ={})

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.post(path, content=BODY.encode())

    return asyncio.run(post())


BLOCKS: Final[dict[str, Block]] = {"answer": answer, "dry-run": dry_run}
