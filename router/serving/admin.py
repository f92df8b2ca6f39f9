"""The admin API: keys, teams, terms, own provider keys and their history, under ``/v1/admin``.

An account is ``org``, ``team:NAME`` or ``key:NAME``.  What an account says narrows what the one around it
says (``router.callers.terms``).  Every change is written down with who made it, and holds in this process
at once, in others within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from router.books.find import forget
from router.callers.directory import Access, Member, key_account, team_account
from router.callers.meters import Charge, MeterReading, Resource
from router.callers.registry import GRACE_S, Made, Registry
from router.callers.terms import ORG, Terms, allowances_of, limits_of
from router.errors import BadRequest, NotFound
from router.serving.entry import books_of_request, gateway_of, reads, rules
from router.serving.watch import unknown
from router.values import Caller

T = TypeVar("T")

DAY_S: Final = 86_400.0

Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Reader = Annotated[Member, Depends(reads)]
Ruler = Annotated[Member, Depends(rules)]

admin = APIRouter(prefix="/v1/admin", tags=["admin"])


class AdminBody(BaseModel):
    """Base of the bodies that are sent here: strict about their fields."""

    model_config = ConfigDict(extra="forbid")


class NewKey(AdminBody):
    """A key that is to be made."""

    name: str = Field(description="Who holds it; scopes sessions, stands in logs and books.")
    team: str | None = Field(default=None, description="The team it belongs to.")
    scopes: list[Access] = Field(default=[Access.INFERENCE], description="What it opens.")
    expires_in_days: Days | None = Field(default=None, description="Not set: never.")


class KeyChange(AdminBody):
    """What of a key is to be otherwise; what is not named stays."""

    team: str | None = Field(default=None, description="The team it belongs to; null: none.")
    scopes: list[Access] = Field(default=[Access.INFERENCE], description="What it opens.")
    expires_in_days: Days | None = Field(default=None, description="From now on; null: never.")


class Rotation(AdminBody):
    """How a key is rotated."""

    grace_s: float = Field(
        default=GRACE_S,
        ge=0,
        allow_inf_nan=False,
        description="Seconds for which the old one opens.",
    )


class NewTeam(AdminBody):
    """A team that is to be made."""

    name: str


class ProviderKey(AdminBody):
    """An account's own key to a provider."""

    key: str = Field(min_length=1, max_length=4096)


async def changed(request: Request, change: Callable[[Registry], T]) -> T:
    """Make a change in another thread, and let it hold here at once."""
    registry = books_of_request(request).registry
    made = await asyncio.to_thread(change, registry)
    gateway_of(request).keys.renew(await asyncio.to_thread(registry.directory))
    return made


async def looked(request: Request, look: Callable[[Registry], T]) -> T:
    """Look something up in another thread."""
    return await asyncio.to_thread(look, books_of_request(request).registry)


def _end_of(days: float | None, now_s: float) -> float | None:
    return None if days is None else now_s + days * DAY_S


def _told(made: Made) -> dict[str, Any]:
    return {"name": made.name, "key": made.key, "expires_s": made.expires_s}


@admin.get("/keys")
async def list_keys(request: Request, member: Reader) -> dict[str, Any]:
    """List keys, the newest first: names, scopes, last characters, dates; never a key itself."""
    return {"object": "list", "data": await looked(request, lambda registry: registry.listed())}


@admin.post("/keys", status_code=201)
async def create_key(request: Request, asked: NewKey, member: Ruler) -> dict[str, Any]:
    """Make a key; the answer is the only time that it is shown."""
    expires_s = _end_of(asked.expires_in_days, gateway_of(request).now_s())

    def create(registry: Registry) -> Made:
        return registry.create(
            asked.name,
            member.caller.name,
            team=asked.team,
            scopes=asked.scopes,
            expires_s=expires_s,
        )

    return _told(await changed(request, create))


@admin.patch("/keys/{name}")
async def change_key(
    request: Request, name: str, asked: KeyChange, member: Ruler
) -> dict[str, Any]:
    """Change a key's team, scopes or expiry; its holder goes on with it."""
    changes = asked.model_dump(include=asked.model_fields_set & {"team", "scopes"})
    if "expires_in_days" in asked.model_fields_set:
        changes["expires_s"] = _end_of(asked.expires_in_days, gateway_of(request).now_s())
    actor = member.caller.name
    return await changed(request, lambda registry: registry.change(name, actor, **changes))


@admin.post("/keys/{name}/rotate")
async def rotate_key(
    request: Request, name: str, member: Ruler, asked: Rotation | None = None
) -> dict[str, Any]:
    """Make a new key for a name; the old one opens for ``grace_s`` seconds more, a day by default."""
    grace_s = (asked or Rotation()).grace_s
    actor = member.caller.name
    return _told(await changed(request, lambda r: r.rotate(name, actor, grace_s=grace_s)))


@admin.delete("/keys/{name}")
async def revoke_key(request: Request, name: str, member: Ruler) -> dict[str, Any]:
    """Let every key of a name open nothing any more."""
    await changed(request, lambda registry: registry.revoke(name, member.caller.name))
    return {"name": name, "revoked": True}


@admin.get("/teams")
async def list_teams(request: Request, member: Reader) -> dict[str, Any]:
    """List the teams."""
    return {"object": "list", "data": await looked(request, lambda registry: registry.teams())}


@admin.post("/teams", status_code=201)
async def create_team(request: Request, asked: NewTeam, member: Ruler) -> dict[str, Any]:
    """Make a team."""
    await changed(request, lambda registry: registry.create_team(asked.name, member.caller.name))
    return {"name": asked.name.strip()}


@admin.get("/terms")
async def list_terms(request: Request, member: Reader) -> dict[str, Any]:
    """List what every account says of its own."""
    said = await looked(request, lambda registry: registry.terms())
    return {account: dumped(terms) for account, terms in said.items()}


@admin.get("/terms/{account}")
async def get_terms(request: Request, account: str, member: Reader) -> dict[str, Any]:
    """Return what an account says, and what holds there with what the accounts around it say."""
    said = await looked(request, lambda registry: registry.terms())
    around = await around_of(request, account)
    scopes = {name: said.get(name, Terms()) for name in around}
    limits = limits_of([*scopes.values()], Caller(account))
    return {
        "account": account,
        "terms": dumped(said.get(account, Terms())),
        "inherits_from": around[:-1],
        "limits": limits.model_dump(mode="json", exclude_defaults=True),
        "meters": [
            {"account": holder, "per": meter.period, meter.resource: meter.limit}
            for holder, meter in allowances_of(scopes)
        ],
    }


@admin.put("/terms/{account}")
async def put_terms(request: Request, account: str, member: Ruler) -> dict[str, Any]:
    """Say what holds for an account, instead of all that was said; ``{}`` says nothing."""
    return await set_terms_of(request, account, await _fields(request), member)


@admin.patch("/terms/{account}")
async def patch_terms(request: Request, account: str, member: Ruler) -> dict[str, Any]:
    """Change some of what an account says; a field that is null is said no more."""
    return await set_terms_of(request, account, await _fields(request), member, patches=True)


async def set_terms_of(
    request: Request,
    account: str,
    fields: Mapping[str, Any],
    member: Member,
    *,
    patches: bool = False,
) -> dict[str, Any]:
    """Say what holds for an account, or change some of it; raises BadRequest or NotFound."""
    check, actor = gateway_of(request).data.check_terms, member.caller.name

    def change(registry: Registry) -> Terms:
        return registry.set_terms(account, fields, actor, patches=patches, check=check)

    return {"account": account, "terms": dumped(await changed(request, change))}


async def _fields(request: Request) -> dict[str, Any]:
    try:
        fields = orjson.loads(await request.body())
    except ValueError:
        raise BadRequest("the body is no JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object of terms")
    return fields


async def around_of(request: Request, account: str) -> list[str]:
    """Return the accounts whose terms hold for one, the widest first; raises NotFound."""
    if account == ORG:
        return [ORG]
    callers = [m.caller for m in gateway_of(request).keys.directory.by_digest.values()]
    teams = {*await looked(request, lambda registry: registry.teams()), *(c.team for c in callers)}
    if account in (team_account(team) for team in teams if team):
        return [ORG, account]
    for caller in callers:
        if key_account(caller.name) == account:
            team = [team_account(caller.team)] if caller.team else []
            return [ORG, *team, account]
    raise NotFound(f"there is no account {account!r}: it is org, team:NAME or key:NAME")


def dumped(terms: Terms) -> dict[str, Any]:
    """Return what terms say, and nothing of what they do not speak of."""
    return terms.model_dump(mode="json", exclude_unset=True)


@admin.get("/budgets")
async def budgets(request: Request, member: Reader) -> dict[str, Any]:
    """List every budget and credit: what is spent, held by requests under way, and left."""
    readings = await standing(request)
    return {"object": "list", "data": [told(reading) for reading in readings]}


async def standing(request: Request) -> tuple[MeterReading, ...]:
    """Return how every meter of dollars stands."""
    gateway = gateway_of(request)
    charges = tuple(
        Charge(account, meter)
        for account, meter in allowances_of(gateway.keys.directory.terms)
        if meter.resource is Resource.USD
    )
    return await gateway.stores.accounts.readings(charges, gateway.now_s())


def told(reading: MeterReading) -> dict[str, Any]:
    """Return a reading as JSON; what cannot be read at the moment is null."""
    meter, known = reading.charge.meter, not unknown(reading)
    return {
        "account": reading.charge.account,
        "per": meter.period.value,
        "limit_usd": meter.limit,
        "spent_usd": reading.spent if known else None,
        "held_usd": reading.held if known else None,
        "left_usd": reading.remaining if known else None,
        "resets_in_s": round(reading.reset_s),
    }


@admin.put("/provider-keys/{account}/{provider}")
async def put_provider_key(
    request: Request, account: str, provider: str, asked: ProviderKey, member: Ruler
) -> dict[str, Any]:
    """Keep an account's own key to a provider, encrypted; requests of its holders are billed to it."""
    known = gateway_of(request).providers.names
    if provider not in known:
        raise NotFound(f"there is no provider {provider!r}; there are {', '.join(sorted(known))}")
    actor = member.caller.name
    await changed(request, lambda r: r.set_secret(account, provider, asked.key, actor))
    return {"account": account, "provider": provider, "set": True}


@admin.delete("/provider-keys/{account}/{provider}")
async def delete_provider_key(
    request: Request, account: str, provider: str, member: Ruler
) -> dict[str, Any]:
    """Forget an account's own key to a provider."""
    actor = member.caller.name
    await changed(request, lambda r: r.set_secret(account, provider, None, actor))
    return {"account": account, "provider": provider, "set": False}


@admin.get("/provider-keys")
async def list_provider_keys(request: Request, member: Reader) -> dict[str, Any]:
    """List which accounts have keys of their own to which providers; never a key itself."""
    held = await looked(request, lambda registry: registry.secrets())
    return {
        account: {
            provider: "readable" if key else "sealed by another secret_key"
            for provider, key in keys.items()
        }
        for account, keys in held.items()
    }


@admin.get("/audit")
async def audit(
    request: Request,
    member: Reader,
    account: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """List changes of keys, teams and terms, the newest first: who, what, from what, to what."""
    rows = await looked(request, lambda registry: registry.history(account, limit))
    return {"object": "list", "data": rows}


@admin.delete("/callers/{name}/rows")
async def forget_caller(request: Request, name: str, member: Ruler) -> dict[str, Any]:
    """Delete everything that the books hold of a caller."""
    engine = books_of_request(request).database
    n = await asyncio.to_thread(forget, engine, name)
    await looked(request, lambda registry: registry.forgotten(name, member.caller.name, n))
    return {"caller": name, "deleted": n}
