"""What a database says of keys, teams and terms, row by row: read, checked and written.

``router.callers.registry`` makes changes of it, each one transaction.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from router.callers.directory import Access
from router.callers.keys import reserved
from router.callers.meters import END_S
from router.callers.terms import Terms
from router.errors import BadRequest, NotFound
from router.storage import schema

NAME_CHARS: Final = 100

CALLERS: Final = "callers"
"""The revision that every change of keys, teams and terms raises."""


def raise_revision(connection: Connection, name: str) -> None:
    """Raise a number that others look at."""
    table = schema.revisions
    made = postgresql if connection.dialect.name == "postgresql" else sqlite
    upsert = made.insert(table).values(name=name, number=1)
    connection.execute(
        upsert.on_conflict_do_update(index_elements=["name"], set_={"number": table.c.number + 1})
    )


def terms_in(fields: Mapping[str, Any]) -> Terms:
    """Read terms; raises BadRequest naming the field at fault."""
    try:
        return Terms.model_validate_json(orjson.dumps(fields))
    except TypeError as error:  # a number beyond 64 bits, half a character
        raise BadRequest(f"terms: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"terms: {place}: {first['msg']}") from None


def checked(name: str) -> str:
    """Return a name of a key or a team; raises BadRequest for what cannot be one."""
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise BadRequest(f"a name is one line of 1 to {NAME_CHARS} characters")
    if "/" in name or not name.strip("."):
        raise BadRequest("a name has no slash and is more than dots: it stands in addresses")
    if reserved(name):
        raise BadRequest(f"no key may be called {name}: that is somebody else's name")
    return name


def checked_end(expires_s: float | None, now_s: float) -> float | None:
    """Return until when a key opens; raises BadRequest."""
    if expires_s is None:
        return None
    if not math.isfinite(expires_s) or expires_s > END_S:
        raise BadRequest("expires: that is beyond the year 2100; leave it out for never")
    if expires_s <= now_s:
        raise BadRequest("expires: that is in the past")
    return expires_s


def revision_of(connection: Connection) -> int:
    """Return how often keys, teams and terms were changed."""
    table = schema.revisions
    query = select(table.c.number).where(table.c.name == CALLERS)
    return int(connection.execute(query).scalar() or 0)


def dumped(terms: Terms) -> str:
    """Return terms as they are kept: what they say alone."""
    return terms.model_dump_json(exclude_unset=True)


def joined(scopes: frozenset[Access]) -> str:
    """Return scopes as they are kept; raises BadRequest for none."""
    if not scopes:
        raise BadRequest(f"scopes: at least one of {', '.join(Access)}")
    return " ".join(sorted(scopes))


def scopes_in(text: str) -> frozenset[Access]:
    """Return the scopes that are kept, as far as this gateway knows them."""
    known = set(Access)
    return frozenset(Access(word) for word in text.split() if word in known)


def teams_in(connection: Connection) -> set[str]:
    """Return the names of the teams."""
    return set(connection.execute(select(schema.teams.c.name)).scalars())


def must_be_team(connection: Connection, name: str) -> None:
    """Raise NotFound where there is no such team."""
    teams = teams_in(connection)
    if name not in teams:
        known = f"; there are {', '.join(sorted(teams))}" if teams else "; create it first"
        raise NotFound(f"there is no team called {name!r}{known}")


def terms_kept(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return account → what it says, as fields."""
    rows = connection.execute(select(schema.terms.c.scope, schema.terms.c.terms))
    return {scope: orjson.loads(text) for scope, text in rows}


def active(connection: Connection, name: str | None, now_s: float) -> list[dict[str, Any]]:
    """Return the keys, all or those of a name, that open something now."""
    table = schema.keys
    expires = table.c.expires_s
    query = select(table).where(table.c.revoked_s.is_(None), expires.is_(None) | (expires > now_s))
    if name is not None:
        query = query.where(table.c.name == name)
    return [dict(row) for row in connection.execute(query).mappings()]


def set_key(connection: Connection, id_: str, **values: Any) -> None:
    """Change a key."""
    connection.execute(update(schema.keys).where(schema.keys.c.id == id_).values(**values))
