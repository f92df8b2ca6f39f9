"""Who calls, and what they may do: keys, the local owner, anonymous callers.

A key is a long random string, so its plain SHA-256 is what the configuration stores; a presented
key is compared with every stored one in constant time.  Three kinds of caller exist.  With no
key configured and the socket bound to loopback, whoever can reach it owns the machine, so any
bearer token or none will do (clients insist on having one).  Otherwise a presented key must be
known, and a caller without one is anonymous.  A web page in the owner's browser can reach
loopback too; its requests carry an ``Origin`` or a foreign ``Host``, and are anonymous.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import Field, field_validator

from router.callers.wishes import STOPS, dial_named
from router.errors import Unauthenticated
from router.values import DEFAULT_DIAL, DIALS, Caller, Limits

OWN_KEY_PREFIX: Final = "x-provider-key-"
"""``x-provider-key-openai: sk-…`` brings the caller's own key to a provider, for one request."""

KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key")
"""Where clients put a key that is no bearer token: Anthropic's, Google's."""

_LOCAL = re.compile(r"(?:https?://)?(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?/?", re.I)


class Key(Limits):
    """A caller's key as configured: hashed, with the limits that hold for its holder.

    Make ``sha256`` with ``printf %s KEY | sha256sum``.
    """

    name: Annotated[
        str, Field(min_length=1, description="Who holds it; scopes sessions, stands in logs.")
    ]
    sha256: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="The key's SHA-256, in hexadecimal.")
    ]
    balance: Annotated[
        bool, Field(description="Has a paid balance, which decides kilo-auto/small.")
    ] = True
    dial: Annotated[str, Field(description="The dial's stop where a request names none.")] = (
        DEFAULT_DIAL
    )

    @field_validator("dial")
    @classmethod
    def _is_a_stop(cls, name: str) -> str:
        try:
            return dial_named(name).name
        except ValueError as error:
            raise ValueError(f"{error}; it takes {STOPS}") from None

    @field_validator("allow", "data_policies")
    @classmethod
    def _allows_something(cls, listed: frozenset[str] | None) -> frozenset[str] | None:
        if listed is not None and not listed:
            raise ValueError("an empty list allows no model at all; leave it out to allow all")
        return listed

    @property
    def caller(self) -> Caller:
        """Its holder."""
        limits = Limits.model_validate({name: getattr(self, name) for name in Limits.model_fields})
        return Caller(self.name, balance=self.balance, dial=DIALS[self.dial], limits=limits)


OWNER: Final = Caller("owner", owner=True)


class Keys:
    """The configured keys."""

    def __init__(self, keys: Iterable[Key], *, local: bool) -> None:
        """Keep the keys; ``local`` says that the socket is bound to loopback."""
        self._callers = [(bytes.fromhex(key.sha256), key.caller) for key in keys]
        self._local = local

    def identify(self, headers: Mapping[str, str], address: str) -> Caller:
        """Return who calls; raises Unauthenticated for a key that is not ours."""
        if not self._callers and self._local and is_local(headers):
            return OWNER
        presented = presented_key(headers)
        if not presented:
            return Caller(f"anonymous {address}", anonymous=True, balance=False)
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        found = [caller for known, caller in self._callers if hmac.compare_digest(known, digest)]
        if not found:
            raise Unauthenticated(
                "this API key is not known to the gateway; use one of its keys, or send none "
                "to use kilo-auto/free"
            )
        return found[0]


def is_local(headers: Mapping[str, str]) -> bool:
    """Say whether a request names this machine and does not come from a foreign web page.

    A page may hide where it comes from (a sandboxed frame says ``null``): then it counts as foreign.
    """
    origin, host = headers.get("origin", ""), headers.get("host", "")
    web = origin == "null" or origin.startswith(("http://", "https://"))
    if web and not _LOCAL.fullmatch(origin):
        return False
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    return not host or _LOCAL.fullmatch(host) is not None


def presented_key(headers: Mapping[str, str]) -> str:
    """Return the key in one of ``KEY_HEADERS`` or ``Authorization``, if there is one."""
    for name in KEY_HEADERS:
        if key := headers.get(name, "").strip():
            return key
    authorization = headers.get("authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else authorization


def own_keys(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the provider keys that the caller brought for this request."""
    return {
        name.removeprefix(OWN_KEY_PREFIX): value.strip()
        for name, value in headers.items()
        if name.startswith(OWN_KEY_PREFIX) and value.strip()
    }
