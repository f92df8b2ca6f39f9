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
from dataclasses import dataclass, field
from typing import Final

from pydantic import Field

from router.decision.policy import DEFAULT_DIAL, DIALS, Dial, Limits
from router.errors import BadRequest, Unauthenticated
from router.evidence.catalogue import Entry

OWN_KEY_PREFIX: Final = "x-provider-key-"
"""``x-provider-key-openai: sk-…`` brings the caller's own key to a provider, for one request."""

_LOCAL = re.compile(r"(?:https?://)?(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?/?", re.I)


class Key(Entry):
    """A caller's key as configured: hashed, with what its holder may do.

    Make ``sha256`` with ``printf %s KEY | sha256sum``.
    """

    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    balance: bool = True
    dial: str = DEFAULT_DIAL
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    max_cost_usd: float | None = None
    min_quality: float = 0.0
    open_weights_only: bool = False
    data_policies: frozenset[str] = frozenset()
    pin: str = ""

    @property
    def limits(self) -> Limits:
        """What the key's holder allows."""
        return Limits(
            allow=self.allow,
            deny=self.deny,
            max_cost_usd=self.max_cost_usd,
            min_quality=self.min_quality,
            open_weights_only=self.open_weights_only,
            data_policies=self.data_policies,
            pin=self.pin,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from; ``name`` scopes sessions and is fit for logs."""

    name: str
    anonymous: bool = False
    balance: bool = True
    dial: Dial = DIALS[DEFAULT_DIAL]
    limits: Limits = field(default_factory=Limits)


OWNER: Final = Caller("owner")


class Keys:
    """The configured keys."""

    def __init__(self, keys: Iterable[Key], *, local: bool) -> None:
        """Keep the keys; ``local`` says that the socket is bound to loopback."""
        self._callers = [
            (
                bytes.fromhex(key.sha256),
                Caller(key.name, balance=key.balance, dial=dial_named(key.dial), limits=key.limits),
            )
            for key in keys
        ]
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
    """Say whether a request names this machine and does not come from a foreign web page."""
    origin, host = headers.get("origin", ""), headers.get("host", "")
    foreign = origin.startswith(("http://", "https://")) and not _LOCAL.fullmatch(origin)
    return not foreign and (not host or _LOCAL.fullmatch(host) is not None)


def presented_key(headers: Mapping[str, str]) -> str:
    """Return the key in ``x-api-key`` or ``Authorization``, if there is one."""
    if key := headers.get("x-api-key", "").strip():
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


def dial_named(name: str) -> Dial:
    """Return a stop of the dial; raises BadRequest naming the stops."""
    if dial := DIALS.get(name.strip().lower()):
        return dial
    raise BadRequest(f"there is no dial {name!r}; the stops are {', '.join(DIALS)}")


def with_wishes(caller: Caller, headers: Mapping[str, str]) -> Caller:
    """Tighten a caller's limits by what the request itself asks for in ``x-auto-…`` headers.

    A request can narrow what its key allows, never widen it.  Raises BadRequest.
    """
    wishes = {n.removeprefix("x-auto-"): v for n, v in headers.items() if n.startswith("x-auto-")}
    if not wishes:
        return caller
    old = caller.limits
    allow = _ids(wishes.get("allow", ""))
    cost = _number(wishes, "max-cost")
    limits = Limits(
        allow=(old.allow & allow or frozenset({"nothing"}))
        if old.allow and allow
        else old.allow | allow,
        deny=old.deny | _ids(wishes.get("deny", "")),
        max_cost_usd=cost
        if old.max_cost_usd is None
        else min(old.max_cost_usd, cost or old.max_cost_usd),
        min_quality=max(old.min_quality, _number(wishes, "min-quality") or 0.0),
        open_weights_only=old.open_weights_only
        or wishes.get("open-weights", "").lower() in {"1", "true"},
        data_policies=old.data_policies,
        pin=old.pin,
    )
    dial = dial_named(wishes["dial"]) if wishes.get("dial") else caller.dial
    return Caller(caller.name, caller.anonymous, caller.balance, dial, limits)


def _ids(value: str) -> frozenset[str]:
    return frozenset(part for part in re.split(r"[,\s]+", value) if part)


def _number(wishes: Mapping[str, str], name: str) -> float | None:
    value = wishes.get(name, "").strip()
    if not value:
        return None
    try:
        return float(value)
    except ValueError as error:
        raise BadRequest(f"x-auto-{name}: {value!r} is not a number") from error
