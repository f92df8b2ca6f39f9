"""A small invented table and catalogue, for tests that must not depend on the shipped ones."""

from __future__ import annotations

from datetime import date

import numpy as np

from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from router.evidence.catalogue import (
    Catalogue,
    Change,
    Defaults,
    Economics,
    Mapping,
    Model,
    Price,
    Tier,
)
from router.evidence.table import Stop, Table
from router.values import Interface, Unit

DAY = date(2026, 1, 1)
ABILITIES = frozenset({"tools", "images", "files", "audio", "json_schema"})


ECONOMICS = Economics(
    cache_lifetime_s={"default": 300},
    calls=(38, 50, 63, 68),
    context_tokens=21_000,
    growth_tokens=530,
    output_tokens=320,
    single=frozenset(t for t in TYPES if t.startswith(("general/", "background/"))),
    single_tokens=500,
    single_calls_with_tools=5,
    remaining=0.7,
    seen={"commands": 0.5, "tools": 0.3},
)


def model(name, *, cost=1.0, context=100_000, abilities=ABILITIES, **more):
    price = Price(input=cost, output=4 * cost, source="test", date=DAY)
    return Model(
        id=name, name=name, vendor="test", context_tokens=context, price=price,
        interfaces=frozenset(Interface), abilities=abilities, **more,
    )  # fmt: skip


EFFICIENT = Tier(
    id="kilo-auto/efficient", name="e", description="e", rule="efficient",
    fallback="kilo-auto/balanced",
)  # fmt: skip


def catalogue(*models):
    mapped = {interface: Mapping(model=models[-1].id) for interface in Interface}
    tier = Tier(
        id="kilo-auto/balanced", name="b", description="b", rule="interface", interfaces=mapped
    )
    return Catalogue(
        models=models,
        tiers=(tier, EFFICIENT),
        defaults=Defaults(with_key=tier.id, without_key=tier.id),
        economics=ECONOMICS,
        changes=(Change(date=DAY, tiers=(tier.id,), note="test"),),
    )


def table(quality, cost, *, spread=0.004, units=None, items=50, price=1e-9):
    """Make a table from quality (levels, units) and cost (units,), alike for all types.

    ``price`` is that of worth, the same at every stop: next to none, so that the cheapest near the best wins.
    """
    mean = np.broadcast_to(np.asarray(quality, np.float32), (N_LEVELS, len(cost)))
    mean = np.repeat(mean[None], len(TYPES), axis=0)
    usd = np.broadcast_to(np.asarray(cost, np.float32), mean.shape).copy()
    counts = np.broadcast_to(np.asarray(items, np.float32), mean.shape).copy()
    units = units or tuple(Unit(f"m{i}") for i in range(len(cost)))
    stops = tuple(Stop(margin, price) for margin in (0.05, 0.10, 0.20))
    return Table(
        units=units, quality=mean, spread=np.full_like(mean, spread), lower=mean - spread,
        upper=mean + spread, cost_usd=usd, cost_upper_usd=usd, items=counts,
        successes=counts * mean, version="test", meta={}, stops=stops,
    )  # fmt: skip


def assessment(task="debugging/bug_fixing", level=1, sure=1.0):
    p_type = np.full(len(TYPES), (1 - sure) / (len(TYPES) - 1), np.float32)
    p_type[TYPES.index(task)] = sure
    p_level = np.full(N_LEVELS, (1 - sure) / (N_LEVELS - 1), np.float32)
    p_level[level - 1] = sure
    return Assessment(p_type, p_level, ask="fix it")
