"""Who may look at the books, and who may change what holds: the guard of pages and of the admin API.

Without keys that is whoever is this machine's owner, as for models (``router.callers.local``).  Else a key
with the scope ``read`` looks and one with ``admin`` does everything, presented as any key is or, by a
browser, as the cookie that signing in sets.  A form comes from our own pages or not at all: the cookie is
``SameSite=Strict`` and the origin of what changes something is looked at.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from router.callers.directory import Access, Member
from router.callers.keys import presented_keys
from router.callers.local import address_of
from router.callers.seal import Seal
from router.errors import Forbidden, NotKept, Unauthenticated
from router.serving.asgi import read_headers
from router.serving.books import Books
from router.serving.gateway import Gateway

COOKIE: Final = "auto_efficient"
SIGN_IN: Final = "sign-in"
"""What the cookie is signed for."""

COOKIE_S: Final = 12 * 3600.0
"""How long a browser stays signed in: a working day."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SignIn(Unauthenticated):
    """Nobody who may look is known by this request."""


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that serves a request."""
    found: Gateway = request.app.state.gateway
    return found


def books_of_request(request: Request) -> Books:
    """Return the books; raises NotKept where nothing is kept."""
    books = gateway_of(request).books
    if books is None:
        raise NotKept(
            "nothing is kept here: set `state_dir` (a folder) or `database` (a URL) in the settings"
        )
    return books


async def reads(request: Request) -> Member:
    """Admit who may look; raises Unauthenticated or Forbidden."""
    return _entered(request, Access.READ)


async def rules(request: Request) -> Member:
    """Admit who may change what holds; raises Unauthenticated or Forbidden."""
    return _entered(request, Access.ADMIN)


def _entered(request: Request, access: Access) -> Member:
    gateway = gateway_of(request)
    headers = read_headers(request.scope)
    member = _by_cookie(request) or _by_key(gateway, request, headers)
    if not member.opens(access):
        raise Forbidden(
            f"the key of {member.caller.name} does not open this; it takes one with the scope {access}"
        )
    must_be_own_page(request)
    return member


def must_be_own_page(request: Request) -> None:
    """Let no page of another origin change something; raises Forbidden."""
    if request.method not in SAFE and not _is_own_page(request, read_headers(request.scope)):
        raise Forbidden(
            "this comes from a page of another origin; only our own may change something"
        )


def _by_key(gateway: Gateway, request: Request, headers: dict[str, str]) -> Member:
    peer = request.client.host if request.client else None
    address = address_of(peer, headers, trust_forwarded=gateway.settings.trust_forwarded)
    member = gateway.keys.identify(headers, address, gateway.now_s())
    if member.caller.anonymous:
        raise SignIn(
            f"{member.caller.objection or 'this is for keys with the scope read or admin'}; present one as "
            "a bearer token, or sign in"
        )
    return member


def _is_own_page(request: Request, headers: dict[str, str]) -> bool:
    """Say whether a change comes from no page at all, or from one of ours."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return urlsplit(origin).netloc == headers.get("host")


# Signing in.


def _by_cookie(request: Request) -> Member | None:
    """Return who signed in; None for nobody, or whose key opens nothing any more."""
    gateway, given = gateway_of(request), request.cookies.get(COOKIE)
    if not given or gateway.books is None:
        return None
    text = gateway.books.seal.verified(given, SIGN_IN)
    digest, _, until_s = (text or "").partition(" ")
    now_s = gateway.now_s()
    if not until_s or float(until_s) <= now_s:
        return None
    member = gateway.keys.directory.by_digest.get(bytes.fromhex(digest))
    if member is None or (member.expires_s is not None and member.expires_s <= now_s):
        return None
    return member


def sign_in(request: Request, response: Response, key: str) -> Member:
    """Let a browser stay signed in by a key; raises Unauthenticated or Forbidden."""
    gateway = gateway_of(request)
    seal, now_s = books_of_request(request).seal, gateway.now_s()
    [presented] = presented_keys({"x-api-key": key.strip()})[:1] or [""]
    member = gateway.keys.directory.of_key(presented, now_s)
    if member is None:
        raise Unauthenticated("this key is not known here")
    if not member.opens(Access.READ):
        raise Forbidden("this key opens models only; sign in with one of the scope read or admin")
    response.set_cookie(
        COOKIE,
        _cookie(seal, presented, now_s + COOKIE_S),
        max_age=math.floor(COOKIE_S),
        httponly=True,
        samesite="strict",
        secure=_is_tls(gateway, request),
    )
    return member


def _is_tls(gateway: Gateway, request: Request) -> bool:
    """Say whether the browser speaks TLS, to us or to a proxy that we trust to say so."""
    forwarded = gateway.settings.trust_forwarded and request.headers.get("x-forwarded-proto")
    return "https" in (request.url.scheme, forwarded)


def _cookie(seal: Seal, key: str, until_s: float) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    return seal.signed(f"{digest} {until_s:.0f}", SIGN_IN)


def sign_out(response: Response) -> None:
    """Let a browser forget who signed in."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
