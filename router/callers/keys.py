"""Who calls, and what they may do: keys, the local owner, anonymous callers.

A key is a long random string, so its plain SHA-256 is what the configuration stores; a presented
key is compared with every stored one in constant time.  Three kinds of caller exist.  With no
key configured and the socket bound to loopback, a request that is this machine's own
(``router.callers.local``) is its owner's, whatever key it bears (clients insist on having one).
Otherwise any key that is known opens, whatever else is presented beside it, and a caller without
one is anonymous.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import Field, field_validator

from router.callers.local import NO_MORE, Home, seen
from router.errors import BadRequest, Unauthenticated
from router.values import DEFAULT_DIAL, STOPS, Caller, Limits, dial_named

OWN_KEY_PREFIX: Final = "x-provider-key-"

OWN_KEY_CHARS: Final = 4096
"""The longest that is taken for a key; Google's access tokens have up to 2,048, Entra's somewhat more."""

"""``x-provider-key-openai: sk-…`` brings the caller's own key to a provider, for one request."""

KEY_HEADERS: Final = ("x-api-key", "api-key", "x-goog-api-key", "authorization")
"""Where clients put a key: Anthropic's, Azure's, Google's, everybody's."""

MAX_PRESENTED: Final = 4
"""Keys in one header that are looked at; a client that repeats it is rare."""


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
    dial: Annotated[
        str,
        Field(description="The dial where a request sets none: a stop, or a margin between two."),
    ] = DEFAULT_DIAL
    tiers: Annotated[
        dict[str, str],
        Field(
            description="Mode or agent, or `subagent` → the tier that serves it, whichever tier it asks for."
        ),
    ] = {}
    mappings: Annotated[
        dict[str, dict[str, str]],
        Field(
            description="Tier → mode, agent, format, `paid`, `unpaid` or `default` → the model, or "
            "`model@effort`, that it maps to for this key."
        ),
    ] = {}
    team: Annotated[str | None, Field(min_length=1, description="The team it belongs to.")] = None

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
        return Caller(
            self.name,
            balance=self.balance,
            dial=dial_named(self.dial),
            limits=limits,
            tiers=self.tiers,
            mappings=self.mappings,
            team=self.team,
        )


OWNER: Final = Caller("owner", owner=True)


def reserved(name: str) -> bool:
    """Say whether a name is somebody's who needs no key."""
    return name == OWNER.name or name == "anonymous" or name.startswith("anonymous ")


BEYOND_LOOPBACK: Final = (
    "the gateway listens beyond this machine and has no key; set up [[callers]] with keys, or bind "
    "it to 127.0.0.1"
)


class Keys:
    """The configured keys."""

    def __init__(self, keys: Iterable[Key], *, local: bool, home: Home = NO_MORE) -> None:
        """Keep the keys; ``local`` says that the socket is bound to loopback."""
        self._callers = [(bytes.fromhex(key.sha256), key.caller) for key in keys]
        self._local = local
        self._home = home

    def identify(self, headers: Mapping[str, str], address: str) -> Caller:
        """Return who calls; raises Unauthenticated where no key that is presented is ours."""
        objection = "" if self._callers else self._objection(headers, address)
        if not self._callers and not objection:
            return OWNER
        presented = presented_keys(headers)
        if not presented:
            name = f"anonymous {address}"
            return Caller(name, anonymous=True, balance=False, objection=objection)
        found = [caller for key in presented for caller in self._known_by(key)]
        if not found:
            raise Unauthenticated(not_the_owners(UNKNOWN_KEY, objection))
        return found[0]

    def _objection(self, headers: Mapping[str, str], address: str) -> str:
        return self._home.objection(headers, address) if self._local else BEYOND_LOOPBACK

    def _known_by(self, key: str) -> list[Caller]:
        """Return whose key this is; every stored one is compared, whichever it is."""
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        return [caller for known, caller in self._callers if hmac.compare_digest(known, digest)]


UNKNOWN_KEY: Final = (
    "this API key is not known to the gateway; use one of its keys, or send none to use "
    "kilo-auto/free"
)


def not_the_owners(message: str, objection: str) -> str:
    """Add why a request is not the machine owner's, where one could be."""
    return (
        f"{message}. This request does not count as the owner's: {objection}"
        if objection
        else message
    )


def presented_keys(headers: Mapping[str, str]) -> list[str]:
    """Return the keys in ``KEY_HEADERS``; of a header that is repeated, each."""
    found: list[str] = []
    for name in KEY_HEADERS:
        whole = headers.get(name, "")
        several = whole.split(",", MAX_PRESENTED)[:MAX_PRESENTED] if "," in whole else ()
        for value in (whole, *several):
            scheme, _, token = value.strip().partition(" ")
            key = token.strip() if scheme.lower() == "bearer" else value.strip()
            if key:
                found.append(key)
    return found


def own_keys(headers: Mapping[str, str], known: frozenset[str] | None = None) -> dict[str, str]:
    """Return the provider keys that the caller brought for this request.

    Raises BadRequest for a provider that is not ``known``, since a request that should be billed to
    its caller must not be billed to somebody else in silence, and for what is too long for a key.
    """
    found = {
        name.removeprefix(OWN_KEY_PREFIX): value.strip()
        for name, value in headers.items()
        if name.startswith(OWN_KEY_PREFIX) and value.strip()
    }
    for name, key in found.items():
        if len(key) > OWN_KEY_CHARS:
            raise BadRequest(
                f"{OWN_KEY_PREFIX}{name[:80]}: {len(key):,} characters are no key; the most is "
                f"{OWN_KEY_CHARS:,}"
            )
    if known is not None:
        for name in found.keys() - known:
            raise BadRequest(_no_such_provider(name, known))
    return found


def _no_such_provider(name: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return f"{OWN_KEY_PREFIX}{name[:80]}: there is no provider {seen(name)}; {hint}"
