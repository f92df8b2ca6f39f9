"""Keys, teams and budgets as pages: what holds for whom, how it stands, and forms that change it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from router.callers.directory import Access, Member, key_account, team_account
from router.callers.registry import Made
from router.callers.terms import ORG, Terms
from router.errors import BadRequest, RouterError
from router.serving.admin import (
    DAY_S,
    around_of,
    changed,
    dumped,
    looked,
    set_terms_of,
    standing,
)
from router.serving.entry import gateway_of, must_be_own_page, reads, rules, sign_in, sign_out
from router.serving.pages import html
from router.serving.watch import unknown
from router.values import DIALS

accounts = APIRouter(route_class=html.PageRoute, include_in_schema=False)

Reader = Annotated[Member, Depends(reads)]
Ruler = Annotated[Member, Depends(rules)]

FORM_BYTES: Final = 64 << 10
"""Longest form; terms have some hundred bytes."""

PERIODS: Final = ("day", "week", "month")

HISTORY: Final = 50
"""Changes that a page shows."""

EASY: Final = ("dial", "open_weights_only", "requests_per_minute", "tokens_per_minute", "budgets")
"""Terms that have fields of their own in the form; the others are written as JSON."""


async def form_of(request: Request) -> dict[str, str]:
    """Read a form; raises BadRequest for one that is too long."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES:
            raise BadRequest(f"a form has at most {FORM_BYTES:,} bytes")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _may_change(member: Member) -> bool:
    return member.opens(Access.ADMIN)


@accounts.get("/keys")
async def keys(request: Request, member: Reader) -> Response:
    """List keys, teams and how budgets stand."""
    return await _keys(request, member)


async def _keys(
    request: Request, member: Member, made: Made | None = None, problem: str = ""
) -> Response:
    if gateway_of(request).books is None:
        return html.page(request, "bookless.html", title="Keys and budgets")
    listed = await looked(request, lambda registry: registry.listed())
    teams = await looked(request, lambda registry: registry.teams())
    fixed = [key.name for key in gateway_of(request).settings.callers]
    return html.page(
        request,
        "keys.html",
        title="Keys and budgets",
        status=400 if problem else 200,
        rows=listed,
        teams=teams,
        fixed=fixed,
        readings=await standing(request),
        made=made,
        problem=problem,
        unknown=unknown,
        scopes=list(Access),
        may_change=_may_change(member),
        has_keys=gateway_of(request).keys.directory.has_keys,
        now_s=gateway_of(request).now_s(),
        org=ORG,
        key_account=key_account,
        team_account=team_account,
    )


@accounts.post("/keys")
async def create(request: Request, member: Ruler) -> Response:
    """Make a key, and show it once."""
    form = await form_of(request)
    actor, now_s = member.caller.name, gateway_of(request).now_s()
    try:
        days = _number(form, "expires_in_days")
        made = await changed(
            request,
            lambda registry: registry.create(
                form.get("name", ""),
                actor,
                team=form.get("team") or None,
                scopes=[scope for scope in Access if form.get(scope)],
                expires_s=None if days is None else now_s + days * DAY_S,
            ),
        )
    except RouterError as error:
        return await _keys(request, member, problem=str(error))
    return await _keys(request, member, made=made)


@accounts.post("/keys/teams")
async def create_team(request: Request, member: Ruler) -> Response:
    """Make a team."""
    form, actor = await form_of(request), member.caller.name
    try:
        await changed(request, lambda r: r.create_team(form.get("name", ""), actor))
    except RouterError as error:
        return await _keys(request, member, problem=str(error))
    return RedirectResponse("/keys", 303)


@accounts.post("/keys/rotate")
async def rotate(request: Request, member: Ruler) -> Response:
    """Make a new key for a name, and show it once."""
    form, actor = await form_of(request), member.caller.name
    made = await changed(request, lambda r: r.rotate(form.get("name", ""), actor))
    return await _keys(request, member, made=made)


@accounts.post("/keys/revoke")
async def revoke(request: Request, member: Ruler) -> Response:
    """Let the keys of a name open nothing any more."""
    form, actor = await form_of(request), member.caller.name
    await changed(request, lambda r: r.revoke(form.get("name", ""), actor))
    return RedirectResponse("/keys", 303)


@accounts.get("/keys/{account:path}")
async def account(request: Request, account: str, member: Reader) -> Response:
    """Show what holds for an account, what changed of it, and a form to change it."""
    return await _account(request, account, member)


async def _account(
    request: Request, account: str, member: Member, problem: str = "", given: str = ""
) -> Response:
    around = await around_of(request, account)
    said = await looked(request, lambda registry: registry.terms())
    own = dumped(said.get(account, Terms()))
    inherited = {name: dumped(said[name]) for name in around[:-1] if name in said}
    rest = {name: value for name, value in own.items() if name not in EASY}
    return html.page(
        request,
        "account.html",
        title=account,
        status=400 if problem else 200,
        account=account,
        own=own,
        rest=given or (_pretty(rest) if rest else ""),
        inherited={name: _pretty(terms) for name, terms in inherited.items()},
        readings=[r for r in await standing(request) if r.charge.account in around],
        history=await looked(request, lambda registry: registry.history(account, HISTORY)),
        dials=list(DIALS),
        periods=PERIODS,
        budgets={budget["per"]: _written(budget["usd"]) for budget in own.get("budgets", ())},
        may_change=_may_change(member),
        problem=problem,
        unknown=unknown,
    )


@accounts.post("/keys/{account:path}")
async def set_account(request: Request, account: str, member: Ruler) -> Response:
    """Say what holds for an account."""
    form = await form_of(request)
    try:
        await set_terms_of(request, account, _terms_in(form), member)
    except RouterError as error:
        return await _account(request, account, member, str(error), form.get("rest", ""))
    return RedirectResponse(str(request.url.path), 303)


def _terms_in(form: Mapping[str, str]) -> dict[str, Any]:
    """Read terms from a form; raises BadRequest."""
    rest = form.get("rest", "").strip() or "{}"
    try:
        fields = orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"further terms: that is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequest("further terms: they are a JSON object")
    if form.get("dial"):
        fields["dial"] = form["dial"]
    if form.get("open_weights_only"):
        fields["open_weights_only"] = True
    for name in ("requests_per_minute", "tokens_per_minute"):
        if (value := _number(form, name)) is not None:
            fields[name] = int(value) if value.is_integer() else value
    budgets = [
        {"usd": usd, "per": period}
        for period in PERIODS
        if (usd := _number(form, f"usd_{period}")) is not None
    ]
    return fields | ({"budgets": budgets} if budgets else {})


def _number(form: Mapping[str, str], name: str) -> float | None:
    """Read a number that may be left out; raises BadRequest."""
    text = form.get(name, "").strip().lstrip("$")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{name.replace('_', ' ')}: {text[:40]!r} is no number")
    return value


def _written(usd: float) -> str:
    """Write dollars with every digit: what a form shows it sends back."""
    return str(usd).removesuffix(".0")


def _pretty(fields: Mapping[str, Any]) -> str:
    return orjson.dumps(fields, option=orjson.OPT_INDENT_2).decode()


# Signing in.


@accounts.get("/login")
async def login(request: Request) -> Response:
    """Ask for a key."""
    return html.page(request, "login.html", title="Sign in", problem="")


@accounts.post("/login")
async def enter(request: Request) -> Response:
    """Let a browser stay signed in by a key."""
    must_be_own_page(request)
    form = await form_of(request)
    response = RedirectResponse("/", 303)
    try:
        sign_in(request, response, form.get("key", ""))
    except RouterError as error:
        return html.page(
            request, "login.html", status=error.status, title="Sign in", problem=str(error)
        )
    return response


@accounts.post("/logout")
async def leave(request: Request) -> Response:
    """Let a browser forget who signed in."""
    must_be_own_page(request)
    response = RedirectResponse("/login", 303)
    sign_out(response)
    return response
