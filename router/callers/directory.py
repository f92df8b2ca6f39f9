"""Who may ask and under what: every key with its terms, as one frozen value that is looked up in.

It is made from the settings and the database (``router.callers.registry``) whenever these change, so that
saying who calls touches neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from router.callers.terms import ORG, Allowance, Terms, allowances_of, caller_of
from router.values import Caller


class Access(StrEnum):
    """What a key opens."""

    INFERENCE = "inference"
    """Models."""
    READ = "read"
    """The books: pages, metrics, exports; changes nothing."""
    ADMIN = "admin"
    """Everything: also keys, teams, terms."""


@dataclass(frozen=True, slots=True)
class Member:
    """A holder of a key, or who stands for many: the owner, anonymous callers."""

    caller: Caller
    scopes: frozenset[Access]
    allowances: tuple[Allowance, ...] = ()
    expires_s: float | None = None
    """Seconds since 1970; None: never."""
    own_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Provider → the holder's own key to it."""

    def opens(self, access: Access) -> bool:
        """Say whether the key opens something; one with the scope admin opens everything."""
        return access in self.scopes or Access.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class Holder:
    """A key as it is kept."""

    name: str
    sha256: str
    team: str | None
    scopes: frozenset[Access]
    expires_s: float | None = None


EVERYTHING: Final = frozenset(Access)

OWNER_NAME: Final = "owner"
ANONYMOUS_NAME: Final = "anonymous"


@dataclass(frozen=True, slots=True)
class Directory:
    """Every key that opens something."""

    by_digest: Mapping[bytes, Member]
    """SHA-256 of the key → its holder.  A lookup by digest tells no timing of a key: whoever asks
    cannot choose digests."""
    owner: Member
    anonymous: Member
    """What holds for all anonymous callers together."""
    terms: Mapping[str, Terms]
    """Account → what it says itself."""
    has_keys: bool
    """Whether anybody needs one.  Where there ever was a key this stays so: the last one that is revoked,
    or expires, must not make an owner of everybody on the machine."""
    revision: int = 0
    """Of the database, as it was read."""

    def of_key(self, key: str, now_s: float) -> Member | None:
        """Return who holds a key that has not expired at ``now_s``, in seconds since 1970."""
        found = self.by_digest.get(hashlib.sha256(key.encode("utf-8", "replace")).digest())
        if found is None or (found.expires_s is not None and found.expires_s <= now_s):
            return None
        return found


def team_account(team: str) -> str:
    """Name a team's account."""
    return f"team:{team}"


def key_account(name: str) -> str:
    """Name a key's account."""
    return f"key:{name}"


def directory_of(
    holders: Iterable[Holder],
    terms: Mapping[str, Terms] = {},
    secrets: Mapping[str, Mapping[str, str]] = {},
    *,
    had_keys: bool = False,
    revision: int = 0,
) -> Directory:
    """Put a directory together.

    ``terms`` and ``secrets`` (provider → key) are by account: ``org``, ``team:NAME``, ``key:NAME``.
    ``had_keys``: there were keys that open nothing any more.
    """
    org = terms.get(ORG, Terms())
    root = {ORG: org}

    def member(holder: Holder) -> Member:
        accounts = [ORG]
        accounts += [team_account(holder.team)] if holder.team else []
        accounts.append(key_account(holder.name))
        scopes = {account: terms.get(account, Terms()) for account in accounts}
        own: dict[str, str] = {}
        for account in accounts:
            own |= secrets.get(account, {})
        return Member(
            caller_of(holder.name, [*scopes.values()], team=holder.team),
            holder.scopes,
            allowances_of(scopes),
            holder.expires_s,
            own,
        )

    by_digest = {bytes.fromhex(holder.sha256): member(holder) for holder in holders}
    return Directory(
        by_digest=by_digest,
        owner=Member(
            caller_of(OWNER_NAME, [org], owner=True),
            EVERYTHING,
            allowances_of(root),
            own_keys=secrets.get(ORG, {}),
        ),
        anonymous=Member(
            caller_of(ANONYMOUS_NAME, [org], anonymous=True),
            frozenset({Access.INFERENCE}),
            allowances_of(root),
        ),
        terms=terms,
        has_keys=had_keys or bool(by_digest),
        revision=revision,
    )
