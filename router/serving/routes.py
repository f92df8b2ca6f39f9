"""The gateway's HTTP API: one table of routes, the same under every prefix that clients expect.

The model endpoints are hot: ``HotPaths`` hands them to ``Gateway.serve`` as bare ASGI before
FastAPI's routing and dependencies, which cost as much again as the gateway's own work.  FastAPI
documents them, and serves everything else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from router.books.changes import kept
from router.decision.explain import as_json
from router.errors import RouterError, UnknownModel
from router.evidence.changelog import as_json as change_as_json
from router.serving.asgi import Headers, Message, Receive, Scope, Send, read_headers
from router.serving.front import Paths
from router.serving.gateway import Gateway, must_reach
from router.serving.headers import error_headers
from router.serving.listing import entries
from router.serving.live import history
from router.serving.pages.html import PLACES
from router.serving.passage import Inbound, Routed
from router.values import Interface, PassThrough, Spoken
from router.wire.format import FORMATS, pattern_of, spoken_in
from router.wire.loose import dumps

PREFIXES: Final = (
    "/v1",
    "/v1beta",
    "/api/gateway",
    "/api/gateway/v1",
    "/api/openrouter",
    "/api/openrouter/v1",
)
"""Where clients expect the API; the first is the documented one."""

OURS: Final = Paths(
    roots=frozenset(
        {
            *(prefix.split("/")[1] for prefix in PREFIXES),
            *("", "docs", "healthz", "login", "logout", "metrics", "readyz", "static"),
            *(place.path.split("/")[1] for place in PLACES),
        }
    ),
    endings=frozenset(
        {
            *(path for format in FORMATS.values() for path in format.PATHS),
            *(path for format in FORMATS.values() if (path := format.COUNT_PATH)),
            *(kind.path for kind in PassThrough),
            *("/models", "/route", "/changelog", "/generation", "/feedback"),
        }
    ),
    pages=frozenset(place.path for place in PLACES),
)

READ: Final = (
    "/route",
    *(path.rpartition("}")[2] for format in FORMATS.values() if (path := format.COUNT_PATH)),
)
"""How paths end that take a request for a model without asking one."""

SMALL_BYTES: Final = 1 << 20
"""Longest body of every other: terms of a caller have some hundreds of bytes."""

PATH_CHARS: Final = 200
"""Longest path that an error repeats."""


class PassedOn(NamedTuple):
    """How an endpoint that passes requests through is documented."""

    summary: str
    holds: str
    """The field that its body must have beside ``model``."""
    example: str
    """A model."""


PASSED: Final = {
    PassThrough.EMBEDDINGS: PassedOn(
        "Pass a request for embeddings on to the provider of its model.",
        "input",
        "openai/text-embedding-3-small",
    ),
    PassThrough.COMPLETIONS: PassedOn(
        "Pass a legacy completion on to the provider of its model, streamed or not.",
        "prompt",
        "openai/gpt-3.5-turbo-instruct",
    ),
}

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "What is wrong with the request, in the client's own format."},
    "5XX": {"description": "No upstream could answer, in the client's own format."},
}


class HotPaths:
    """Pure ASGI middleware: serve the model endpoints, pass on the rest."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        self._app = app
        self._exact: dict[str, Callable[..., Awaitable[None]]] = {}
        self._patterns: list[tuple[re.Pattern[str], Callable[..., Awaitable[None]]]] = []
        for interface, format in FORMATS.items():
            serve = partial(gateway.serve, interface)
            for path in (prefix + ending for prefix in PREFIXES for ending in format.PATHS):
                if "{" in path:
                    self._patterns.append((re.compile(pattern_of(path)), serve))
                else:
                    self._exact[path] = serve
        for kind in PassThrough:
            for prefix in PREFIXES:
                self._exact[prefix + kind.path] = partial(gateway.serve, kind)
        self._longest = gateway.settings.requests.body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look the path up."""
        serve = self._served_by(scope.get("path", "")) if scope.get("method") == "POST" else None
        if serve is not None:
            await serve(scope, receive, send)
            return
        reads = scope.get("path", "").endswith(READ)
        longest = self._longest if reads else min(self._longest, SMALL_BYTES)
        await self._app(scope, _bounded(receive, longest), send)

    def _served_by(self, path: str) -> Callable[..., Awaitable[None]] | None:
        if found := self._exact.get(path):
            return found
        return next((serve for pattern, serve in self._patterns if pattern.fullmatch(path)), None)


def _bounded(receive: Receive, longest: int) -> Receive:
    """Return the same, which ends at a body that is too long: the framework would hold all of it."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > longest:
            raise HTTPException(413, f"the body is longer than the {longest:,} bytes allowed")
        return message

    return bounded


class Handed(Response):
    """A response that hands the bare ASGI call on."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let it answer."""
        await self._serve(scope, receive, send)


class Json(Response):
    """A JSON body."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Dump the content."""
        return dumps(content)


def _body(*required: str) -> dict[str, Any]:
    """Document a body: its format's own fields are the vendor's, and unknown ones pass."""
    schema = {
        "type": "object",
        "properties": {
            "model": {"type": "string", "example": "kilo-auto/efficient"},
            "stream": {"type": "boolean"},
            "messages": {"type": "array", "items": {"type": "object"}},
            "input": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        },
        "required": list(required),
        "additionalProperties": True,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _passed_body(what: PassedOn) -> dict[str, Any]:
    """Document the body of what passes through: a model by name, and what its provider takes."""
    named = {"model": {"type": "string", "example": what.example}}
    schema = {
        "type": "object",
        "properties": named | {what.holds: {"anyOf": [{"type": "string"}, {"type": "array"}]}},
        "required": ["model", what.holds],
        "additionalProperties": True,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _route_of(template: str) -> str:
    """Return the same for FastAPI, whose names end at a slash unless they say otherwise."""
    return template.replace("}", ":path}")


def _named_in(template: str) -> dict[str, Any]:
    """Document what a format names in its path."""
    string = {"in": "path", "required": True, "schema": {"type": "string"}}
    named = [{"name": name, **string} for name in re.findall(r"\{(\w+)\}", template)]
    return {"parameters": named} if named else {}


def _gateway(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


async def _read(request: Request, interface: Interface | None) -> Inbound:
    """Read the request of a route that calls no model; None: in any format."""

    async def send(message: Any) -> None:
        raise AssertionError("FastAPI sends the reply")

    gateway = _gateway(request)
    call = gateway.call_of(interface, request.scope, request.receive, send)
    member = await gateway.identify(call.headers, call.address)
    share = gateway.share()
    try:
        return await gateway.read(call, member, share)
    finally:
        share.give_back()


# The same under every prefix.

api = APIRouter(default_response_class=Json, responses=ERRORS)


def _answers(interface: Spoken) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Handed(partial(_gateway(request).serve, interface))

    return answer


def _counts(interface: Interface) -> Callable[[Request], Awaitable[Response]]:
    async def count_tokens(request: Request) -> Response:
        asked = (await _read(request, interface)).request
        return Json(FORMATS[interface].counted(max(1, asked.needs.input_tokens or 0)))

    return count_tokens


for _interface, _format in FORMATS.items():
    for _path in _format.PATHS:
        api.add_api_route(
            _route_of(_path),
            _answers(_interface),
            methods=["POST"],
            name=_interface.value,
            summary=f"Answer a request in the {_interface.value} format, streamed or not.",
            response_class=Response,
            openapi_extra=_body(_format.ITEMS) | _named_in(_path),
        )
    if _format.COUNT_PATH:
        api.add_api_route(
            _route_of(_format.COUNT_PATH),
            _counts(_interface),
            methods=["POST"],
            name=f"{_interface.value}: count tokens",
            summary="Estimate the input tokens of a request from its bytes.",
            openapi_extra=_body(_format.ITEMS) | _named_in(_format.COUNT_PATH),
        )


for _kind, _what in PASSED.items():
    api.add_api_route(
        _kind.path,
        _answers(_kind),
        methods=["POST"],
        name=_kind.value,
        summary=_what.summary,
        response_class=Response,
        openapi_extra=_passed_body(_what),
    )


@api.get("/chat/completions", include_in_schema=False)
async def stored(request: Request) -> Response:
    """List the stored completions: none, the gateway keeps no answer."""
    return Json(
        {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    )


@api.get("/models")
async def models(request: Request, hidden: bool = True) -> Response:
    """List the tiers, then the models that a configured provider serves and the caller may use.

    A tier has its `pool`, and in `opencode.variants` what it maps to by mode, format or balance. A tier for background jobs is listed too, because clients send their titles only to what is
    listed; `hidden=false` leaves out what a person need not pick.
    """
    found = await _listed(request, hidden=hidden)
    first, last = found[0]["id"], found[-1]["id"]
    page = {"has_more": False, "first_id": first, "last_id": last}
    return Json({"object": "list", "data": found, **page})


@api.get("/models/{model_id:path}")
async def model(request: Request, model_id: str) -> Response:
    """Describe one tier or model."""
    listed = await _listed(request, hidden=True)
    data = _gateway(request).data.current
    tier = data.catalogue.tier(model_id)
    named = data.names.of(model_id)
    wanted = tier.id if tier else model_id if named.variant else named.id
    for entry in listed:
        if entry["id"] == wanted:
            return Json(entry)
    if not named.known:
        lacks = f"there is no model {model_id!r}"
    elif any(named.id in served for served in data.reachable.values()):
        lacks = f"{model_id!r} is not for this caller"
    else:
        lacks = f"no configured provider serves {model_id!r}"
    raise UnknownModel(f"{lacks}; GET /v1/models lists what there is")


async def _listed(request: Request, *, hidden: bool) -> list[dict[str, Any]]:
    gateway, headers = _gateway(request), read_headers(request.scope)
    member = await gateway.identify(headers, gateway.address_of(request.scope, headers), lists=True)
    caller, _ = gateway.under_wishes(await gateway.caller_of(member), headers)
    return entries(gateway.data.current, caller, hidden=hidden)


# Once.

own = APIRouter(default_response_class=Json)


@own.post("/v1/route", openapi_extra=_body(), responses=ERRORS)
async def route(request: Request, format: Interface | None = None) -> Response:
    """Decide what would serve a request, and why; calls no model.

    The body is a request in any of the formats, told apart by its shape unless ``format`` says
    which it is.
    """
    inbound = await _read(request, format)
    gateway = _gateway(request)
    routed = await gateway.choose(inbound)
    must_reach(routed, gateway.providers)
    return Json(told_of(routed))


def told_of(routed: Routed) -> dict[str, Any]:
    """Return what would serve a request, and why, as JSON."""
    made, first = routed.plan, routed.plan.targets[0]
    decided: Mapping[str, Any] = (
        as_json(made.assessment, made.decision) if made.assessment and made.decision else {}
    )
    return {
        "tier": made.tier,
        "interface": routed.inbound.request.interface.value,
        "session": routed.key,
        "model": first.unit.model,
        "effort": first.unit.effort,
        "verbosity": first.verbosity,
        "fallbacks": [target.unit.model for target in made.targets[1:]],
        "attempts": [
            {"model": a.target.unit.model, "provider": a.endpoint.provider.name}
            for a in routed.attempts
        ],
        "why": made.why,
        **{k: v for k, v in decided.items() if k not in {"why", "model"}},
    }


@own.get("/v1/changelog", responses=ERRORS)
async def changelog(request: Request) -> Response:
    """List what tiers mapped to and when that changed, the newest first; also since this process runs."""
    gateway, headers = _gateway(request), read_headers(request.scope)
    await gateway.identify(headers, gateway.address_of(request.scope, headers), lists=True)
    seen = gateway.data.changes
    if gateway.books is not None:
        seen = tuple(dict.fromkeys((*seen, *await asyncio.to_thread(kept, gateway.books.database))))
    told = history(gateway.data.current, seen)
    return Json({"object": "list", "data": [change_as_json(change) for change in told]})


@own.get("/healthz")
async def healthz() -> Response:
    """Say that the process runs."""
    return Json({"status": "ok"})


@own.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say whether data and stores are good; the last good data serves while it is not.

    503 when it was told to stop: what is sent from now on may be refused.
    """
    gateway = _gateway(request)
    if gateway.draining:
        told = "it was told to stop; ask another replica"
        return Json({"status": "draining", "problem": told}, status_code=503)
    data = gateway.data
    stores = (problem.partition(":")[0] for problem in gateway.stores.problems)
    problem = "; ".join(filter(None, (data.problem, *stores)))
    efficient = "decides" if data.current.engine else "falls back to kilo-auto/balanced"
    return Json(
        {
            "status": "degraded" if problem else "ok",
            "problem": problem or None,
            "efficient": efficient,
            "providers": [p.name for p in gateway.providers.configured],
        }
    )


@own.get("/api/hello", include_in_schema=False)
async def hello() -> Response:
    """Answer a client that asks whether its server is there, as Claude Code does."""
    return Json({"message": "hello"})


# Errors, in the format of the client that asks.


async def tell_router_error(request: Request, error: Exception) -> Response:
    """Answer with an error of our own."""
    assert isinstance(error, RouterError)
    return _told(request, error.status, error.code, str(error), error_headers(error))


async def tell_http_error(request: Request, error: Exception) -> Response:
    """Answer with an error of the framework's."""
    assert isinstance(error, HTTPException)
    hint = "see /docs for the paths and methods there are"
    message = f"{error.detail}: {request.method} {request.url.path[:PATH_CHARS]}; {hint}"
    headers = [(k.encode(), v.encode()) for k, v in (error.headers or {}).items()]
    code = "not_found" if error.status_code == 404 else "invalid_request"
    return _told(request, error.status_code, code, message, headers)


async def tell_invalid(request: Request, error: Exception) -> Response:
    """Answer where a part of the address cannot be read."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = " ".join(str(part) for part in first["loc"])
    return _told(request, 400, "invalid_request", f"{place}: {first['msg'].lower()}", [])


def _told(request: Request, status: int, code: str, message: str, headers: Headers) -> Response:
    format = FORMATS[spoken_in(request.url.path, request.headers)]
    response = Json(format.error_body(status, code, message), status_code=status)
    response.raw_headers += [h for h in headers if h[0] != b"content-type"]
    return response
