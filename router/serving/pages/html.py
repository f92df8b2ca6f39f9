"""Pages as they are sent: rendered, with a policy that runs nothing but our own files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from router.errors import RouterError
from router.serving.entry import COOKIE, SignIn, gateway_of
from router.serving.pages.shown import FILTERS, share

HERE: Final = Path(__file__).parent

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer makes browsers hide the origin of our own forms
    "cache-control": "no-store",
}

THEMES: Final = ("light", "dark")

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For a file whose address names its content."""


class Destination(NamedTuple):
    """An entry of the navigation."""

    path: str
    title: str


PLACES: Final = (
    Destination("/", "Overview"),
    Destination("/decisions", "Decisions"),
    Destination("/sessions", "Sessions"),
    Destination("/table", "Table"),
    Destination("/models", "Models"),
    Destination("/keys", "Keys"),
    Destination("/changelog", "Changelog"),
    Destination("/playground", "Playground"),
)
"""The navigation; a page that is added stands here."""


class Static(NamedTuple):
    """A file that pages load."""

    data: bytes
    kind: str
    version: str
    """Digest of its content."""


KINDS: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def _static(path: Path) -> Static:
    data = path.read_bytes()
    return Static(data, KINDS[path.suffix], hashlib.sha256(data).hexdigest()[:12])


STATIC: Final = {
    path.name: _static(path) for path in sorted((HERE / "static").iterdir()) if path.suffix in KINDS
}


def loaded(name: str) -> str:
    """Return the address of a file that pages load."""
    return f"/static/{name}?v={STATIC[name].version}"


ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(FILTERS)
_TIME: Any = ENVIRONMENT.get_template("time.html").module
ENVIRONMENT.filters["when"] = _TIME.when
ENVIRONMENT.globals.update(loaded=loaded, places=PLACES, share=share)


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> Response:
    """Return a page; ``shown`` is what its template names."""
    theme = request.cookies.get("theme", "")
    here = {"url": request.url, "theme": theme if theme in THEMES else ""}
    here["signed_in"] = COOKIE in request.cookies
    html = ENVIRONMENT.get_template(template).render(**here, **shown)
    headers = {**HEADERS, "vary": "accept, cookie"}
    return Response(html, status, headers, media_type="text/html")


def greeting() -> Response:
    """Say what this is to a client that reads no HTML."""
    told = b'{"service":"auto-efficient","try":"GET /v1/models, POST /v1/route"}'
    return Response(told, media_type="application/json", headers={"vary": "accept"})


def static(name: str, version: str) -> Response:
    """Return a file that pages load; raises HTTPException."""
    found = STATIC.get(name)
    if found is None:
        raise HTTPException(404)
    kept = FOR_EVER if version == found.version else "no-cache"
    headers = {**HEADERS, "cache-control": kept, "etag": f'"{found.version}"'}
    return Response(found.data, headers=headers, media_type=found.kind)


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        answer = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await answer(request)
            except SignIn as error:
                if asks_page(request) and gateway_of(request).keys.directory.has_keys:
                    return RedirectResponse("/login", 303)
                return refused(request, error.status, str(error))
            except RouterError as error:
                return refused(request, error.status, str(error))
            except HTTPException as error:
                return refused(request, error.status_code, "There is no such page.")
            except RequestValidationError as error:
                first = error.errors()[0]
                return refused(request, 400, f"{first['loc'][-1]}: {first['msg'].lower()}")
            except DataError:  # of PostgreSQL, which has no text with a zero character
                return refused(request, 404, "There is no such page.")
            except SQLAlchemyError:
                told = (
                    "The books cannot be read at the moment; what is served does not wait for them."
                )
                return refused(request, 503, told)

        return answered


def asks_page(request: Request) -> bool:
    """Say whether a page is asked for, not a form sent or a part of a page looked for by its script."""
    return request.method == "GET" and "hx-request" not in request.headers


def refused(request: Request, status: int, told: str) -> Response:
    """Return a page that says what is wrong."""
    return page(request, "error.html", status=status, told=told, title=f"Error {status}")
