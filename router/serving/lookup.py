"""What a request came to, asked for afterwards: its cost, its decision, feedback on it, exports of all.

A caller finds its own requests; who may read the books (``router.serving.entry``) finds everybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import insert

from router.books.entries import fit_text
from router.books.export import as_csv
from router.books.find import EXPORT_ROWS, exported, made_of, row_of
from router.books.ledger import FLUSH_S
from router.books.workings import again, basics_of
from router.callers.directory import Access, Member
from router.decision.engine import Engine
from router.errors import BadRequest, NotFound, RouterError
from router.serving.asgi import read_headers
from router.serving.entry import books_of_request, gateway_of, reads
from router.storage.database import writing
from router.storage.schema import feedback

lookup = APIRouter(tags=["books"])

MOST: Final = 2**63 - 1
"""The highest number that a row can have."""

LOOKS: Final = 4
"""Times that a row is looked for which may not be written yet, a flush apart."""


class Outcome(StrEnum):
    """What became of an answer."""

    SUCCESS = "success"
    FAILURE = "failure"


class Feedback(BaseModel):
    """What a user, or a test, says of an answer."""

    model_config = ConfigDict(extra="forbid")

    decision_id: str = Field(description="As in `x-auto-decision-id`, or the id of the answer.")
    outcome: Outcome | None = Field(default=None, description="Whether it did what was asked for.")
    score: float | None = Field(default=None, ge=0, le=1, description="How well, 0 to 1.")
    comment: str | None = Field(default=None, max_length=4000)


async def _asker(request: Request) -> Member:
    """Say who asks: any key will do."""
    gateway, headers = gateway_of(request), read_headers(request.scope)
    address = gateway.address_of(request.scope, headers)
    return await gateway.identify(headers, address, lists=True)


async def _row(request: Request, name: str) -> dict[str, Any]:
    """Find a row that the caller may see; raises NotFound."""
    member, engine = await _asker(request), books_of_request(request).database
    everybodys = member.scopes & {Access.READ, Access.ADMIN}
    whose = None if everybodys else member.caller.name
    for look in range(LOOKS):
        if row := await asyncio.to_thread(row_of, engine, name, whose):
            return row
        if look + 1 < LOOKS:
            await asyncio.sleep(FLUSH_S)
    raise NotFound(f"no request {name[:80]!r} of yours is in the books")


@lookup.get("/v1/generation")
async def generation(request: Request, id: str) -> dict[str, Any]:
    """Say what a request took and cost, in the shape that users of OpenRouter know.

    ``id`` is that of the answer, or ``x-auto-decision-id``.
    """
    row = await _row(request, id)
    first_ms = None if row["first_s"] is None else round(row["first_s"] * 1e3)
    total_ms = round(row["total_s"] * 1e3)
    return {
        "data": {
            "id": row["answer_id"] or row["decision_id"],
            "created_at": datetime.fromtimestamp(row["at_s"] - row["total_s"], UTC).isoformat(),
            "model": row["model"],
            "provider_name": row["provider"],
            "streamed": row["streams"],
            "cancelled": row["end"] == "left",
            "latency": first_ms,
            "generation_time": None if first_ms is None else total_ms - first_ms,
            "tokens_prompt": row["input_tokens"],
            "tokens_completion": row["output_tokens"],
            "native_tokens_prompt": row["input_tokens"],
            "native_tokens_completion": row["output_tokens"],
            "native_tokens_reasoning": row["reasoning_tokens"],
            "native_tokens_cached": row["cached_tokens"],
            "total_cost": row["usd"],
            "usage": row["usd"],
            "saved": row["saved_usd"],
            "decision_id": row["decision_id"],
            "tier": row["tier"],
            "effort": row["effort"],
        }
    }


@lookup.get("/v1/decisions/{decision_id}")
async def decision(request: Request, decision_id: str) -> dict[str, Any]:
    """Return a whole decision: its row, what it was made from, and what would be decided today."""
    row = await _row(request, decision_id)
    books, engine = books_of_request(request), gateway_of(request).data.current.engine
    made = await asyncio.to_thread(made_of, books.database, row["decision_id"])
    today = None
    if made is not None and isinstance(engine, Engine):
        today = await asyncio.to_thread(replayed, made, engine)
    return {"request": row, "made_from": made, "today": today}


def replayed(made: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """Make a decision again with today's table; say what comes of it."""
    try:
        decided = again(basics_of(made), engine)
    except RouterError as error:
        return {"unit": None, "why": str(error), "same": False}
    except (LookupError, TypeError, ValueError):
        return {"unit": None, "why": "another version of the gateway decided this", "same": False}
    unit, before = decided.unit, made["decision"]
    return {
        "unit": str(unit),
        "why": decided.why,
        "same": (unit.model, unit.effort) == (before["model"], before["effort"]),
        "expected_quality": decided.expected_quality,
        "expected_cost_usd": decided.expected_cost_usd,
        "table": engine.table.version,
    }


@lookup.post("/v1/feedback", status_code=201)
async def give_feedback(request: Request, said: Feedback) -> dict[str, Any]:
    """Keep what became of an answer; it is credited to the ask, not to the session."""
    if said.outcome is None and said.score is None:
        raise BadRequest("feedback has an `outcome` (success or failure) or a `score` (0 to 1)")
    row = await _row(request, said.decision_id)
    kept = {
        "decision_id": row["decision_id"],
        "at_s": gateway_of(request).now_s(),
        "caller": row["caller"],
        "ask": row["ask"],
        "outcome": said.outcome and said.outcome.value,
        "score": said.score,
        "comment": said.comment and fit_text(said.comment, None),
    }
    engine = books_of_request(request).database

    def keep() -> None:
        with writing(engine) as connection:
            connection.execute(insert(feedback), kept)

    await asyncio.to_thread(keep)
    return {"object": "feedback", **kept}


class Written(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"


@lookup.get("/v1/export/requests", response_class=PlainTextResponse)
async def export(
    request: Request,
    after: Annotated[int, Query(ge=0, le=MOST)] = 0,
    limit: Annotated[int, Query(ge=1, le=EXPORT_ROWS)] = EXPORT_ROWS,
    format: Written = Written.JSONL,
) -> PlainTextResponse:
    """Return rows of the ledger, those after a cursor; ``x-next-cursor`` is that of the next page.

    It takes a key with the scope read.
    """
    await reads(request)
    engine = books_of_request(request).database

    def page() -> tuple[str, int]:
        rows = exported(engine, after=after, limit=limit)
        text = as_csv(rows) if format is Written.CSV else _lines(rows)
        return text, rows[-1]["seq"] if rows else after

    text, cursor = await asyncio.to_thread(page)
    kind = "text/csv" if format is Written.CSV else "application/jsonl"
    return PlainTextResponse(text, media_type=kind, headers={"x-next-cursor": str(cursor)})


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(orjson.dumps(row).decode() + "\n" for row in rows)
