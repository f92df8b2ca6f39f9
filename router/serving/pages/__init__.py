"""Something to look at: what the gateway did, why, at what cost, drawn by the process that did it.

Every page is HTML from the server and works without scripts, series aside, which have a table.  What
it shows of the books is read by ``router.books.queries`` on a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Engine as Database
from starlette.exceptions import HTTPException

from classifier.tasks import LEVELS, N_LEVELS, TYPES
from router.books import queries
from router.books.queries import LAST, SPANS
from router.books.reconsidered import reconsidered
from router.books.workings import basics_of
from router.callers.directory import Member
from router.decision.engine import Engine
from router.serving.entry import gateway_of, reads
from router.serving.live import history
from router.serving.pages import html, pictures
from router.serving.pages.health import models_of
from router.serving.pages.playground import FIELDS, tried
from router.storage.schema import GROUPS
from router.values import DEFAULT_DIAL, DIALS, Interface

Before = Annotated[int | None, Query(ge=1, le=LAST)]

BASELINES: Final = ("frontier", "balanced")

guarded: Final = [Depends(reads)]
pages = APIRouter(route_class=html.PageRoute, include_in_schema=False)


async def asked(request: Request, query: Callable[..., Any], *given: Any) -> Any:
    """Read the books; raises HTTPException where none are kept."""
    books = gateway_of(request).books
    if books is None:
        raise HTTPException(404)
    return await asyncio.to_thread(query, books.database, *given)


def bookless(request: Request, title: str) -> Response | None:
    """Return a page that says how to keep books, where none are kept."""
    if gateway_of(request).books is not None:
        return None
    return html.page(request, "bookless.html", title=title)


@pages.get("/static/{name}")
async def static(name: str, v: str = "") -> Response:
    """Send a file that pages load."""
    return html.static(name, v)


@pages.get("/")
async def overview(
    request: Request, span: str = "24h", baseline: str = "frontier", by: str = "model"
) -> Response:
    """Show what was spent and saved, and how it went."""
    if "text/html" not in request.headers.get("accept", ""):  # a client that looks who is there
        return html.greeting()
    await reads(request)
    if told := bookless(request, "Overview"):
        return told
    over = SPANS.get(span) or SPANS["24h"]
    by = by if by in GROUPS else "model"
    baseline = baseline if baseline in BASELINES else "frontier"
    shown = await asked(request, _overview, over, time.time(), by)
    given: dict[str, Any] = {
        "span": over,
        "spans": SPANS,
        "baseline": baseline,
        "baselines": BASELINES,
    }
    given |= {"by": by, "groups": GROUPS, "base_url": str(request.base_url).rstrip("/")}
    return html.page(request, "overview.html", title="Overview", **given, **shown)


def _overview(database: Database, span: queries.Span, now_s: float, by: str) -> dict[str, Any]:
    total = queries.totals(database, span, now_s)
    groups = queries.grouped(database, span, now_s, by)
    names = [row["name"] for row in groups[: queries.LINES]]
    return {
        "total": total,
        "first": [queries.quantile_s(total, "first", q) for q in (0.5, 0.95)],
        "took": [queries.quantile_s(total, "total", q) for q in (0.5, 0.95)],
        "series": queries.series(database, span, now_s),
        "rows": groups,
        "grouped_usd": queries.spent(database, span, now_s, by),
        "names": names,
        "lines": queries.lines(database, span, now_s, by, names),
    }


@pages.get("/decisions", dependencies=guarded)
async def decisions(request: Request, before: Before = None) -> Response:
    """List requests, the newest first."""
    if told := bookless(request, "Decisions"):
        return told
    sought = _sought(request)
    found = await asked(request, _page, sought, before)
    catalogue = gateway_of(request).data.current.catalogue
    return html.page(
        request,
        "decisions.html",
        title="Decisions",
        sought=sought,
        found=found,
        before=before,
        window=queries.WINDOW,
        tiers=[tier.id for tier in catalogue.tiers],
        models=[model.id for model in catalogue.models],
        tasks=TYPES,
        ends=("served", "refused", "failed", "left"),
        base_url=str(request.base_url).rstrip("/"),
    )


def _page(database: Database, sought: queries.Filter, before: int | None) -> queries.Page:
    return queries.page(database, sought, before=before)


@pages.get("/decisions/newer", dependencies=guarded)
async def newer(request: Request, after: Annotated[int, Query(ge=0, le=LAST)]) -> Response:
    """Return rows that came since; nothing where none did."""
    rows = await asked(request, queries.newer, sought := _sought(request), after)
    if not rows:
        return Response(status_code=204, headers=html.HEADERS)
    return html.page(request, "newer.html", rows=rows, sought=sought)


def _sought(request: Request) -> queries.Filter:
    given = request.query_params
    names = queries.Filter.__dataclass_fields__
    return queries.Filter(**{name: given.get(name, "")[:256].strip() or None for name in names})


@pages.get("/decisions/{decision_id}", dependencies=guarded)
async def decision(request: Request, decision_id: str) -> Response:
    """Open one decision."""
    if told := bookless(request, "Decision"):
        return told
    row = await asked(request, queries.one, decision_id)
    if row is None:
        raise HTTPException(404)
    made = await asked(request, queries.working, decision_id)
    engine = gateway_of(request).data.current.engine
    others, problem = [], ""
    if made is not None and isinstance(engine, Engine):
        try:
            unit = made["decision"]["model"]
            unit += f"@{effort}" if (effort := made["decision"]["effort"]) else ""
            others = await asyncio.to_thread(reconsidered, basics_of(made), engine, unit)
        except (LookupError, TypeError, ValueError):
            problem = "It was made by another version, from things that this one does not know."
    title = f"Decision {decision_id[:16]}"
    given = {"made": made, "others": others, "problem": problem, "levels": LEVELS, "types": TYPES}
    return html.page(request, "decision.html", title=title, row=row, **given)


@pages.get("/sessions", dependencies=guarded)
async def sessions(request: Request, before: Before = None) -> Response:
    """List sessions, the newest first."""
    if told := bookless(request, "Sessions"):
        return told
    found = await asked(request, queries.sessions, before)
    given = {"found": found, "before": before, "recent": queries.RECENT}
    base_url = str(request.base_url).rstrip("/")
    return html.page(request, "sessions.html", title="Sessions", base_url=base_url, **given)


@pages.get("/sessions/{key}", dependencies=guarded)
async def session(request: Request, key: str) -> Response:
    """Show one session from request to request."""
    if told := bookless(request, "Session"):
        return told
    rows = await asked(request, queries.session, key)
    if not rows:
        raise HTTPException(404)
    given = {"key": key, "rows": rows, "lanes": pictures.lanes(rows), "steps": queries.STEPS}
    return html.page(request, "session.html", title=f"Session {key[:12]}", **given)


@pages.get("/table", dependencies=guarded)
async def table(
    request: Request,
    task: str = TYPES[0],
    level: Annotated[int, Query(ge=1, le=N_LEVELS)] = 2,
    dial: str = DEFAULT_DIAL,
) -> Response:
    """Draw the cost-quality table."""
    data = gateway_of(request).data.current
    task, dial = task if task in TYPES else TYPES[0], dial if dial in DIALS else DEFAULT_DIAL
    given: dict[str, Any] = {"task": task, "level": level, "dial": dial, "dials": DIALS}
    given |= {"levels": LEVELS, "picture": pictures, "problem": data.engine_error}
    if isinstance(data.engine, Engine):
        found = data.engine.table
        given |= {"version": found.version, "heat": pictures.heat(found, dial)}
        given |= {"cell": pictures.cell(found, TYPES.index(task), level - 1)}
    return html.page(request, "table.html", title="Table", **{"heat": {}, "cell": None, **given})


@pages.get("/models", dependencies=guarded)
async def models(request: Request) -> Response:
    """Show what models cost, who has them, how they are, and what they served."""
    gateway = gateway_of(request)
    traffic: list[Any] = []
    if gateway.books is not None:
        traffic = await asked(request, queries.grouped, SPANS["7d"], time.time(), "model")
    requests = {row["name"]: float(row["requests"]) for row in traffic}
    return html.page(request, "models.html", title="Models", rows=models_of(gateway, requests))


@pages.get("/changelog", dependencies=guarded)
async def changelog(request: Request) -> Response:
    """List what of mappings and tables changed."""
    gateway = gateway_of(request)
    seen = [] if gateway.books is None else await asked(request, queries.changes)
    told = history(gateway.data.current, gateway.data.changes)
    return html.page(request, "changelog.html", title="Changelog", told=told, seen=seen)


@pages.get("/playground", dependencies=guarded)
async def playground(request: Request) -> Response:
    """Ask what would serve a request."""
    return _playground(request, {}, None, "")


@pages.post("/playground")
async def play(request: Request, member: Annotated[Member, Depends(reads)]) -> Response:
    """Show what would serve who looks, before it is paid for."""
    fields, routed, problem = await tried(gateway_of(request), request, member)
    return _playground(request, fields, routed, problem)


def _playground(request: Request, fields: dict[str, str], routed: Any, problem: str) -> Response:
    data = gateway_of(request).data.current
    names = [tier.id for tier in data.catalogue.tiers] + [m.id for m in data.catalogue.models]
    given: dict[str, Any] = {
        "names": names,
        "formats": [i.value for i in Interface],
        "dials": DIALS,
    }
    given |= {"fields": dict.fromkeys(FIELDS, "") | fields, "routed": routed, "problem": problem}
    return html.page(request, "playground.html", title="Playground", **given)
