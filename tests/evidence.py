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
from router.evidence.table import Table
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


def table(quality, cost, *, spread=0.004, units=None, draws=200, seed=0):
    """Make a table from quality (levels, units) and cost (units,), alike for all types."""
    quality = np.broadcast_to(np.asarray(quality, np.float32), (N_LEVELS, len(cost)))
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, spread, (1, N_LEVELS, len(cost), draws))
    all_draws = np.clip(quality[None, :, :, None] + noise, 0, 1).astype(np.float32)
    all_draws = np.repeat(all_draws, len(TYPES), axis=0)
    flat = np.broadcast_to(np.asarray(cost, np.float32), all_draws.shape[:3]).copy()
    mean = all_draws.mean(axis=-1)
    units = units or tuple(Unit(f"m{i}") for i in range(len(cost)))
    return Table(
        units=units, draws=all_draws, quality=mean, lower=mean - spread, upper=mean + spread,
        cost_usd=flat, cost_upper_usd=flat, items=np.full(mean.shape, 50, np.float32),
        successes=50 * mean, version="test", meta={},
    )  # fmt: skip


def assessment(task="debugging/bug_fixing", level=1, sure=1.0):
    p_type = np.full(len(TYPES), (1 - sure) / (len(TYPES) - 1), np.float32)
    p_type[TYPES.index(task)] = sure
    p_level = np.full(N_LEVELS, (1 - sure) / (N_LEVELS - 1), np.float32)
    p_level[level - 1] = sure
    return Assessment(p_type, p_level, ask="fix it")
