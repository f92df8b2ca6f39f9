"""What a key is told of itself: whose it is, what it opens, what holds for it, and what is left of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request

from router.callers.directory import Member
from router.callers.meters import Charge, MeterReading, Period, Resource
from router.errors import Unauthenticated
from router.serving.admin import told
from router.serving.asgi import read_headers
from router.serving.entry import gateway_of

own_key = APIRouter(tags=["books"])

UNLIMITED: Final = -1
"""How OpenRouter says that there is no rate limit (https://openrouter.ai/docs/api-reference/limits)."""


@own_key.get("/v1/key")
async def who_am_i(request: Request) -> dict[str, Any]:
    """Say who asks, what holds and what is left of it; the fields that OpenRouter has are named as there.

    Any key will do.  ``limit``, ``usage`` and ``limit_remaining`` are those of the budget or credit that
    has the least left; ``budgets`` has all.
    """
    gateway, headers = gateway_of(request), read_headers(request.scope)
    address = gateway.address_of(request.scope, headers)
    member = await gateway.identify(headers, address, lists=True)
    if member.caller.anonymous:
        raise Unauthenticated("this tells of a key; send one as a bearer token")
    charges = [Charge(account, meter) for account, meter in member.allowances]
    readings = await gateway.stores.accounts.readings(charges, gateway.now_s())
    caller = await gateway.caller_of(member)
    return {"data": _standing(member, readings) | {"is_free_tier": not caller.balance}}


def _standing(member: Member, readings: Sequence[MeterReading]) -> dict[str, Any]:
    caller = member.caller
    dollars = [r for r in readings if r.charge.meter.resource is Resource.USD]
    tightest = min(dollars, key=lambda reading: reading.remaining, default=None)
    return {
        "label": caller.name,
        "limit": tightest and tightest.charge.meter.limit,
        "usage": tightest and tightest.used,
        "limit_remaining": tightest and tightest.remaining,
        "rate_limit": _rate(readings),
        "team": caller.team,
        "scopes": sorted(member.scopes),
        "expires_s": member.expires_s,
        "dial": caller.dial.name,
        "limits": caller.limits.model_dump(mode="json", exclude_defaults=True),
        "tiers": caller.tiers,
        "mappings": caller.mappings,
        "budgets": [told(reading) for reading in dollars],
        "rates": [_rate_told(r) for r in readings if r.charge.meter.resource is not Resource.USD],
    }


def _rate_told(reading: MeterReading) -> dict[str, Any]:
    meter = reading.charge.meter
    return {
        "account": reading.charge.account,
        "per": meter.period.value,
        "of": meter.resource.value,
        "limit": meter.limit,
        "left": reading.remaining,
        "resets_in_s": round(reading.reset_s),
    }


def _rate(readings: Sequence[MeterReading]) -> dict[str, Any]:
    """Return the least of the limits of requests a minute."""
    limits = [
        r.charge.meter.limit
        for r in readings
        if (r.charge.meter.resource, r.charge.meter.period) == (Resource.REQUESTS, Period.MINUTE)
    ]
    return {"requests": int(min(limits, default=UNLIMITED)), "interval": "60s"}
