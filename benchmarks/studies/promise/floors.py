"""What is demanded of the rule, held to what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from benchmarks.studies.promise.findings import Floor, Hardest, Kept, OnPool
from benchmarks.studies.promise.routes import NEW, PLANNED, planned

MIXED: Final = ("mixed, told", "mixed, confused")
ONE_STEP: Final = {0.03: 0.44, 0.05: 0.32}
TWO_STEPS: Final = {("nine",): 0.60, ("catalogue",): 0.35, MIXED: 0.40}
HARDEST: Final = 0.15
BALANCED: Final = (0.08, 0.16)
KEPT: Final = 0.9
"""Share of the splits in which a promise is kept."""
HONEST: Final = (0.8, 1.25)
"""Expected gap over the realised one."""
TOLD_APART: Final = 0.02
"""Realised gaps up to this may miss their expectation by half of it, whatever the ratio."""


def floors(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    """Hold what was found to what is demanded; pools that were not tried are passed over."""
    for asked in (_one_step, _hardest, _balanced, _two_steps, _kept, _by_level, _honest):
        yield from asked(pools)


def _worst(
    pools: Mapping[str, OnPool], names: tuple[str, ...], of: Callable[[OnPool], float]
) -> str | None:
    found = [name for name in names if name in pools]
    return max(found, key=lambda name: of(pools[name])) if found else None


def _one_step(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    for gap, most in ONE_STEP.items():
        name = _worst(pools, MIXED, lambda pool, gap=gap: pool.cost(NEW, gap))  # type: ignore[misc]  # mypy cannot infer a default
        if name:
            cost = pools[name].cost(NEW, gap)
            yield Floor(
                f"mixed at a gap of {gap:g}: cost at most {most:g}",
                f"{cost:.3f} ({name})",
                cost <= most,
            )


def _hardest(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    tried = [pools[name] for name in MIXED if name in pools]
    for gap, most in ONE_STEP.items() if tried else ():
        upper, name = max((h.upper, pool.name) for pool in tried for h in _at(pool, gap, None))
        yield Floor(
            f"mixed at a gap of {gap:g}, where that costs least: level 4 at most {HARDEST:g} (upper 80%)",
            f"{upper:.3f} ({name})",
            upper <= HARDEST,
        )
        guards = {h.guard for pool in tried for h in pool.hardest if h.guard is not None}
        worst = {
            guard: [max(values) for values in zip(*((h.cost, h.upper) for h in found), strict=True)]
            for guard in sorted(guards)
            if (found := [h for pool in tried for h in _at(pool, gap, guard)])
        }
        good = [g for g, (cost, upper) in worst.items() if cost <= most and upper <= HARDEST]
        told = "; ".join(f"{g:g}: {cost:.3f}, {upper:.3f}" for g, (cost, upper) in worst.items())
        yield Floor(
            f"mixed at a gap of {gap:g}, at one margin of the guard: cost at most {most:g} and level 4 at most {HARDEST:g}",
            told,
            bool(good),
        )


def _at(pool: OnPool, gap: float, guard: float | None) -> list[Hardest]:
    return [h for h in pool.hardest if (h.at, h.guard) == (gap, guard)]


def _balanced(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    for stop in pools["eleven"].stops if "eleven" in pools else ():
        if stop.stop == "balanced":
            gap, cost = BALANCED
            yield Floor(
                f"eleven: balanced costs at most {cost:g} at a gap of at most {gap:g}",
                f"{stop.cost.value:.3f} at {stop.gap.value:.3f}",
                stop.cost.value <= cost and stop.gap.value <= gap,
            )


def _two_steps(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    rule = planned(PLANNED)
    for names, most in TWO_STEPS.items():
        name = _worst(pools, names, lambda pool: pool.cost(rule, 0.0))
        if name:
            cost = pools[name].cost(rule, 0.0)
            yield Floor(
                f"{names[0].split(',')[0]}: no gap in two steps, half of the failures seen, costs at most {most:g}",
                f"{cost:.3f} ({name})",
                cost <= most,
            )


def _kept(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    missed = [
        f"{pool.name} {stop.stop} {stop.broken} of {len(pool.seeds)}"
        for pool in pools.values()
        for stop in pool.stops
        if stop.broken > (1 - KEPT) * len(pool.seeds) + 1e-9
    ]
    yield Floor(
        "the promise is kept in nine of ten splits at every stop",
        _listed(missed, "broken: "),
        not missed,
    )


def _by_level(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    missed = [
        f"{pool.name} {stop.stop} {part.what} {part.gap.value:.3f}"
        for pool in pools.values()
        for stop in pool.stops
        for part in stop.levels
        if part.gap.value > part.most
    ]
    yield Floor(
        "by level the gap is at most twice the margin", _listed(missed, "above: "), not missed
    )


def _honest(pools: Mapping[str, OnPool]) -> Iterator[Floor]:
    low, high = HONEST
    for what, of in (
        ("training items left out", Kept.beside_left_out),
        ("test items", Kept.beside_tested),
    ):
        pairs = [
            (f"{pool.name} {stop.stop}", *of(stop))
            for pool in pools.values()
            for stop in pool.stops
        ]
        missed = [
            f"{name} {expected:.3f} for {real:.3f}"
            for name, expected, real in pairs
            if not honest(expected, real)
        ]
        yield Floor(
            f"on {what} the expected gap is {low:g} to {high:g} times the realised one",
            _listed(missed, "not: "),
            not missed,
        )


def honest(expected: float, real: float) -> bool:
    """Say whether an expected gap is near enough the realised one."""
    if real <= TOLD_APART:
        return abs(expected - real) <= TOLD_APART / 2
    return HONEST[0] <= expected / real <= HONEST[1]


def _listed(missed: list[str], head: str) -> str:
    return head + "; ".join(missed) if missed else "all"
