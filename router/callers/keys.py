"""Who calls, and what they may do: keys, the local owner, anonymous callers.

A key is a long random string, so its plain SHA-256 is what is stored, and a presented key is looked
up by it.  Three kinds of caller exist.  With no
key configured and the socket bound to loopback, a request that is this machine's own
(``router.callers.local``) is its owner's, whatever key it bears (clients insist on having one).
Otherwise any key that is known opens, whatever else is presented beside it, and a caller without
one is anonymous.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from router.callers.directory import (
    ANONYMOUS_NAME,
    OWNER_NAME,
    Access,
    Directory,
    Holder,
    Member,
    key_account,
)
from router.callers.local import NO_MORE, Home, seen
from router.callers.terms import Terms, caller_of
from router.errors import BadRequest, Unauthenticated
from router.values import Caller

OWN_KEY_PREFIX: Final = "x-provider-key-"
"""``x-provider-key-openai: sk-…`` brings the caller's own key to a provider, for one request."""

OWN_KEY_CHARS: Final = 4096
"""The longest that is taken for a key; Google's access tokens have up to 2,048, Entra's somewhat more."""

KEY_HEADERS: Final = ("x-api-key", "api-key", "x-goog-api-key", "authorization")
"""Where clients put a key: Anthropic's, Azure's, Google's, everybody's."""

MAX_PRESENTED: Final = 4
"""Keys in one header that are looked at; a client that repeats it is rare."""


class Key(Terms):
    """A caller's key as configured: hashed, with the terms that hold for its holder.

    Make ``sha256`` with ``printf %s KEY | sha256sum``.
    """

    name: Annotated[
        str, Field(min_length=1, description="Who holds it; scopes sessions, stands in logs.")
    ]
    sha256: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="The key's SHA-256, in hexadecimal.")
    ]
    team: Annotated[str | None, Field(min_length=1, description="The team it belongs to.")] = None
    scopes: Annotated[
        frozenset[Access],
        Field(
            min_length=1,
            description="What it opens: `inference` (models), `read` (pages, metrics, exports), `admin` "
            "(everything).",
        ),
    ] = frozenset({Access.INFERENCE})

    @property
    def terms(self) -> Terms:
        """What it says, as terms of its account."""
        said = self.model_fields_set & set(Terms.model_fields)
        return Terms.model_validate({name: getattr(self, name) for name in said})

    @property
    def holder(self) -> Holder:
        """The key as the directory has it."""
        return Holder(self.name, self.sha256, self.team, self.scopes)

    @property
    def caller(self) -> Caller:
        """Its holder, under no other terms than its own."""
        return caller_of(self.name, [self.terms], team=self.team)


OWNER: Final = Caller(OWNER_NAME, owner=True)


def reserved(name: str) -> bool:
    """Say whether a name is somebody's who needs no key."""
    return name in (OWNER_NAME, ANONYMOUS_NAME) or name.startswith(f"{ANONYMOUS_NAME} ")


def fixed_holders(keys: Iterable[Key]) -> list[Holder]:
    """Return the keys of the settings as a directory has them."""
    return [key.holder for key in keys]


def fixed_terms(keys: Iterable[Key]) -> dict[str, Terms]:
    """Return the terms of the keys of the settings by account."""
    return {key_account(key.name): key.terms for key in keys}


BEYOND_LOOPBACK: Final = (
    "the gateway listens beyond this machine and has no key; set up [[callers]] with keys, or bind "
    "it to 127.0.0.1"
)


class Keys:
    """Who is known by what; ``directory`` changes with keys and terms."""

    def __init__(self, directory: Directory, *, local: bool, home: Home = NO_MORE) -> None:
        """Keep the keys; ``local`` says that the socket is bound to loopback."""
        self.directory = directory
        self._local = local
        self._home = home

    def renew(self, directory: Directory) -> None:
        """Take a directory, unless a newer one is here: one that was read first may arrive last."""
        if directory.revision >= self.directory.revision:
            self.directory = directory

    def identify(self, headers: Mapping[str, str], address: str, now_s: float) -> Member:
        """Return who calls; raises Unauthenticated where no key that is presented is ours.

        ``now_s`` is in seconds since 1970.
        """
        directory = self.directory
        objection = "" if directory.has_keys else self._objection(headers, address)
        if not directory.has_keys and not objection:
            return directory.owner
        presented = presented_keys(headers)
        if not presented:
            member = directory.anonymous
            name = f"{member.caller.name} {address}"
            return replace(member, caller=replace(member.caller, name=name, objection=objection))
        found = next(filter(None, (directory.of_key(key, now_s) for key in presented)), None)
        if found is None:
            raise Unauthenticated(not_the_owners(UNKNOWN_KEY, objection))
        return found

    def _objection(self, headers: Mapping[str, str], address: str) -> str:
        return self._home.objection(headers, address) if self._local else BEYOND_LOOPBACK


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
