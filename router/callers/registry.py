"""Keys, teams and terms in the database: created, changed, revoked, each change with who made it.

A key is shown once, when it is made; what is kept is its SHA-256, enough for a long random string, and
its last characters for people to tell keys apart.  Every change raises a number that whoever holds a
``Directory`` looks at, so that other processes learn of it within a second.
"""

from __future__ import annotations

import hashlib
import logging
import secrets as random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, delete, insert, select, text

from router.callers.directory import (
    Access,
    Directory,
    Holder,
    directory_of,
    key_account,
    team_account,
)
from router.callers.keys import Key, fixed_holders, fixed_terms
from router.callers.meters import END_S
from router.callers.rows import (
    CALLERS,
    active,
    checked,
    checked_end,
    dumped,
    joined,
    must_be_team,
    raise_revision,
    revision_of,
    scopes_in,
    set_key,
    teams_in,
    terms_in,
    terms_kept,
)
from router.callers.seal import Seal
from router.callers.terms import ORG, Terms
from router.errors import BadRequest, NotFound
from router.storage import schema
from router.storage.database import writing

log = logging.getLogger(__name__)

KEY_PREFIX: Final = "sk-auto-"
KEY_BYTES: Final = 32
"""Of randomness in a key: nobody finds one by trying."""

HINT_CHARS: Final = 4

GRACE_S: Final = 86_400.0
"""How long a key that was rotated still opens: a day to put the new one where the old one was."""


FIRST_ADMIN: Final = "first-admin"
FIRST_ADMIN_S: Final = 86_400.0
"""How long the key opens that a gateway makes where none may administer it: a day to make another."""

LOCK: Final = 7_204_116_552
"""Names, in PostgreSQL's advisory locks, who makes that key; any number that nobody else uses."""


class Made(NamedTuple):
    """A key that was made."""

    name: str
    key: str
    """Shown this once."""
    expires_s: float | None


class Registry:
    """Changes what a database says of keys, teams and terms; raises BadRequest or NotFound."""

    def __init__(
        self,
        engine: Engine,
        seal: Seal,
        *,
        fixed: Iterable[Key] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the parts; ``fixed`` are the keys of the settings, which nobody changes here."""
        self._engine = engine
        self._fixed = {key.name: key for key in fixed}
        self._seal = seal
        self._clock = clock

    # Keys.

    def create(
        self,
        name: str,
        actor: str,
        *,
        team: str | None = None,
        scopes: Iterable[Access] = (Access.INFERENCE,),
        expires_s: float | None = None,
    ) -> Made:
        """Make a key; ``expires_s`` is in seconds since 1970."""
        name, now_s = checked(name), self._clock()
        if name in self._fixed:
            raise BadRequest(f"there is a key called {name!r} in the settings; choose another name")
        with writing(self._engine) as connection:
            if active(connection, name, now_s):
                raise BadRequest(
                    f"there is a key called {name!r}; rotate it, or choose another name"
                )
            if team is not None:
                must_be_team(connection, team)
            opens = frozenset(scopes)
            made = self._insert(connection, name, team, opens, expires_s)
            told = {"team": team, "scopes": joined(opens), "expires_s": expires_s}
            self._note(connection, actor, "key.create", key_account(name), None, told)
            self._follow_first(connection, name, opens, actor)
        return made

    def change(self, name: str, actor: str, **changes: Any) -> dict[str, Any]:
        """Change a key's ``team``, ``scopes`` or ``expires_s``; return what holds then.

        It holds for the newest of a name's keys and for one that was rotated, which opens no longer
        than it did.
        """
        now_s = self._clock()
        with writing(self._engine) as connection:
            rows = self._must_open(connection, name, now_s)
            newest = max(rows, key=lambda row: float(row["created_s"]))
            before = {field: newest[field] for field in ("team", "scopes", "expires_s")}
            if "scopes" in changes:
                changes["scopes"] = joined(frozenset(changes["scopes"]))
            if changes.get("team") is not None:
                must_be_team(connection, changes["team"])
            after = before | changes
            until_s = checked_end(after["expires_s"], now_s)
            for row in rows:
                old_s = None if row is newest else row["expires_s"]
                ends_s = min(filter(None, (old_s, until_s)), default=None)
                set_key(connection, row["id"], **after | {"expires_s": ends_s})
            self._note(connection, actor, "key.change", key_account(name), before, after)
            self._follow_first(connection, name, scopes_in(after["scopes"]), actor)
        return {"name": name, **after}

    def first_admin(self) -> Made | float | None:
        """Make the first admin key where no key has that scope.

        Returns it or, where it was made before and still opens, until when it does; None where there
        is another.
        """
        now_s = self._clock()
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":  # of several replicas one makes it
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            rows = [
                r for r in active(connection, None, now_s) if Access.ADMIN in r["scopes"].split()
            ]
            fixed = any(Access.ADMIN in key.scopes for key in self._fixed.values())
            if fixed or any(row["name"] != FIRST_ADMIN for row in rows):
                return None
            if rows:
                return max(float(row["expires_s"] or END_S) for row in rows)
            made = self._insert(
                connection, FIRST_ADMIN, None, frozenset(Access), now_s + FIRST_ADMIN_S
            )
            told = {"scopes": joined(frozenset(Access)), "expires_s": made.expires_s}
            self._note(connection, "gateway", "key.create", key_account(FIRST_ADMIN), None, told)
        return made

    def rotate(self, name: str, actor: str, *, grace_s: float = GRACE_S) -> Made:
        """Make a new key for a name; the old one opens for ``grace_s`` seconds more."""
        now_s = self._clock()
        with writing(self._engine) as connection:
            rows = self._must_open(connection, name, now_s)
            newest = max(rows, key=lambda row: float(row["created_s"]))
            until_s = min(now_s + max(0.0, grace_s), END_S)
            ends = [(row["id"], min(row["expires_s"] or until_s, until_s)) for row in rows]
            for id_, end_s in ends:
                set_key(connection, id_, expires_s=end_s)
            made = self._insert(
                connection, name, newest["team"], scopes_in(newest["scopes"]), newest["expires_s"]
            )
            self._note(
                connection, actor, "key.rotate", key_account(name), None, {"old_until_s": until_s}
            )
        return made

    def revoke(self, name: str, actor: str) -> None:
        """Let every key of a name open nothing any more, and forget its own provider keys."""
        with writing(self._engine) as connection:
            self._must_open(connection, name, self._clock())
            self._revoke(connection, name, actor)

    def _revoke(self, connection: Connection, name: str, actor: str) -> None:
        now_s = self._clock()
        if rows := active(connection, name, now_s):
            for row in rows:
                set_key(connection, row["id"], revoked_s=now_s)
            table = schema.secrets
            connection.execute(delete(table).where(table.c.scope == key_account(name)))
            self._note(connection, actor, "key.revoke", key_account(name), None, None)

    def _follow_first(
        self, connection: Connection, name: str, scopes: frozenset[Access], actor: str
    ) -> None:
        """Revoke the first admin key once there is another."""
        if Access.ADMIN in scopes and name != FIRST_ADMIN:
            self._revoke(connection, FIRST_ADMIN, actor)

    def _must_open(self, connection: Connection, name: str, now_s: float) -> list[dict[str, Any]]:
        """Return the keys of a name that open something; raises BadRequest or NotFound for none."""
        rows = active(connection, name, now_s)
        if not rows and name in self._fixed:
            raise BadRequest(f"the key {name!r} is of the settings; change it there")
        if not rows:
            raise NotFound(f"there is no key called {name!r} that opens anything")
        return rows

    def listed(self) -> list[dict[str, Any]]:
        """List keys, the newest first; no key is in it."""
        table = schema.keys
        told = [column for column in table.columns if column.name not in ("id", "sha256")]
        with self._engine.connect() as connection:
            rows = connection.execute(select(*told).order_by(table.c.created_s.desc()))
            return [dict(row) for row in rows.mappings()]

    def _insert(
        self,
        connection: Connection,
        name: str,
        team: str | None,
        scopes: frozenset[Access],
        expires_s: float | None,
    ) -> Made:
        expires_s = checked_end(expires_s, self._clock())
        key = KEY_PREFIX + random.token_urlsafe(KEY_BYTES)
        row = {
            "id": random.token_hex(8),
            "name": name,
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "hint": key[-HINT_CHARS:],
            "team": team,
            "scopes": joined(scopes),
            "created_s": self._clock(),
            "expires_s": expires_s,
        }
        connection.execute(insert(schema.keys), row)
        return Made(name, key, expires_s)

    # Teams.

    def create_team(self, name: str, actor: str) -> None:
        """Make a team."""
        name = checked(name)
        with writing(self._engine) as connection:
            if name in teams_in(connection):
                raise BadRequest(f"there is a team called {name!r}")
            connection.execute(insert(schema.teams), {"name": name, "created_s": self._clock()})
            self._note(connection, actor, "team.create", team_account(name), None, None)

    def teams(self) -> list[str]:
        """List the teams."""
        with self._engine.connect() as connection:
            return sorted(teams_in(connection))

    # Terms.

    def set_terms(
        self,
        account: str,
        fields: Mapping[str, Any],
        actor: str,
        *,
        patches: bool = False,
        check: Callable[[Terms], None] = lambda terms: None,
    ) -> Terms:
        """Say what holds for an account instead of what was said; nothing at all where ``fields`` is empty.

        One that ``patches`` changes the fields that it names, and says no more those that are None.
        ``check`` raises BadRequest for terms that must not hold.
        """
        table = schema.terms
        with writing(self._engine) as connection:
            self._must_exist(connection, account)
            before = terms_kept(connection).get(account)
            if patches:
                found = {**(before or {}), **fields}
                fields = {name: value for name, value in found.items() if value is not None}
            terms = terms_in(fields)
            check(terms)
            connection.execute(delete(table).where(table.c.scope == account))
            if fields:
                row = {"scope": account, "terms": dumped(terms), "changed_s": self._clock()}
                connection.execute(insert(table), row)
            after = orjson.loads(dumped(terms)) if fields else None
            self._note(connection, actor, "terms.set", account, before, after)
        return terms

    def terms(self) -> dict[str, Terms]:
        """Return what every account says of its own."""
        with self._engine.connect() as connection:
            said = {scope: terms_in(fields) for scope, fields in terms_kept(connection).items()}
        return said | fixed_terms(self._fixed.values())

    # Own provider keys.

    def set_secret(self, account: str, provider: str, key: str | None, actor: str) -> None:
        """Keep an account's own key to a provider, encrypted; None forgets it."""
        table = schema.secrets
        here = (table.c.scope == account) & (table.c.provider == provider)
        with writing(self._engine) as connection:
            self._must_exist(connection, account)
            connection.execute(delete(table).where(here))
            if key is not None:
                row = {"scope": account, "provider": provider, "changed_s": self._clock()}
                connection.execute(insert(table), row | {"sealed": self._seal.sealed(key)})
            action = "provider_key.set" if key is not None else "provider_key.forget"
            self._note(connection, actor, action, account, None, {"provider": provider})

    def secrets(self) -> dict[str, dict[str, str | None]]:
        """Return account → provider → key; None for one that another key sealed."""
        found: dict[str, dict[str, str | None]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(select(schema.secrets)).mappings():
                opened = self._seal.opened(row["sealed"])
                found.setdefault(row["scope"], {})[row["provider"]] = opened
        return found

    # What was changed, and the newest state.

    def forgotten(self, name: str, actor: str, n: int) -> None:
        """Write down that ``n`` rows of a caller were deleted from the books."""
        with writing(self._engine) as connection:
            self._note(connection, actor, "rows.forget", key_account(name), None, {"rows": n})

    def history(self, account: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """List changes, the newest first."""
        table = schema.audit
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if account is not None:
            query = query.where(table.c.subject == account)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def revision(self) -> int:
        """Return a number that every change raises."""
        with self._engine.connect() as connection:
            return revision_of(connection)

    def directory(self) -> Directory:
        """Return who may ask now, and under what; it is at least as new as its revision."""
        with self._engine.connect() as connection:
            revision = revision_of(connection)
            rows = active(connection, None, self._clock())
            had_keys = connection.execute(select(schema.keys.c.id).limit(1)).first() is not None
        holders = [
            Holder(r["name"], r["sha256"], r["team"], scopes_in(r["scopes"]), r["expires_s"])
            for r in rows
        ]
        return directory_of(
            [*fixed_holders(self._fixed.values()), *holders],
            self.terms(),
            self._opened(),
            had_keys=had_keys,
            revision=revision,
        )

    def _opened(self) -> dict[str, dict[str, str]]:
        """Return account → provider → key, as far as they can be read."""
        found: dict[str, dict[str, str]] = {}
        for account, held in self.secrets().items():
            for provider, key in held.items():
                if key is not None:
                    found.setdefault(account, {})[provider] = key
                else:
                    log.error(
                        "the key of %s to %s was sealed by another secret_key and is not used: "
                        "requests are billed to the gateway's; set it again",
                        account,
                        provider,
                    )
        return found

    def _must_exist(self, connection: Connection, account: str) -> None:
        kind, _, name = account.partition(":")
        if kind == "key" and name in self._fixed:
            raise BadRequest(f"the key {name!r} is of the settings; change it there")
        if kind == "team" and name:
            must_be_team(connection, name)
        elif kind == "key" and name:
            if not active(connection, name, self._clock()):
                raise NotFound(f"there is no key called {name!r} that opens anything")
        elif account != ORG:
            raise BadRequest(f"{account!r} is neither org nor team:NAME nor key:NAME")

    def _note(
        self, connection: Connection, actor: str, action: str, subject: str, before: Any, after: Any
    ) -> None:
        """Write who changed what, and raise the revision."""
        row = {
            "at_s": self._clock(),
            "actor": actor,
            "action": action,
            "subject": subject,
            "before": None if before is None else orjson.dumps(before).decode(),
            "after": None if after is None else orjson.dumps(after).decode(),
        }
        connection.execute(insert(schema.audit), row)
        raise_revision(connection, CALLERS)
