"""What the study of the promise found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from benchmarks.judge.measures import Interval
from benchmarks.output import json_text


@dataclass(frozen=True, slots=True)
class Cheapest:
    """A rule at a gap: the least cost share in hindsight, and what a setting chosen before came to.

    ``cost`` mixes settings to that very gap on the test items; ``chosen_gap`` and ``chosen_cost`` are those
    of the cheapest setting that was within the gap on validation.
    """

    rule: str
    gap: float
    cost: Interval
    chosen_gap: Interval
    chosen_cost: Interval


@dataclass(frozen=True, slots=True)
class Apart:
    """Cost share of one rule less another's at an equal realised gap."""

    rule: str
    against: str
    gap: float
    by: Interval


@dataclass(frozen=True, slots=True)
class Part:
    """The gap on some of the items at a stop, over all splits.

    ``items`` are different ones.  ``over`` of ``splits`` with ENOUGH of them were above ``most``.
    """

    what: str
    items: int
    gap: Interval
    most: float
    over: int
    splits: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A stop as the dial is set on training parts: what it gave, and how often its promise was broken.

    ``expected_gap`` is what tables expected on the test items, ``left_out`` the gap on training items
    left out of a fit and ``left_out_expected`` what was expected of those; means over splits.  The
    ``planned`` ones are of two steps at the same price, ``PLANNED`` of the failures being seen.
    """

    stop: str
    margin: float
    gap: Interval
    cost: Interval
    broken: int
    old_gap: Interval
    old_cost: Interval
    old_broken: int
    planned_gap: Interval
    planned_cost: Interval
    price: float
    expected_gap: float
    left_out: float
    left_out_expected: float
    levels: tuple[Part, ...]
    kinds: tuple[Part, ...]

    def beside_left_out(self) -> tuple[float, float]:
        """Return the expected and the realised gap on training items left out."""
        return self.left_out_expected, self.left_out

    def beside_tested(self) -> tuple[float, float]:
        """Return the expected and the realised gap on test items."""
        return self.expected_gap, self.gap.value


@dataclass(frozen=True, slots=True)
class Hardest:
    """Who serves the hardest level where the new rule comes to a gap over all items.

    ``guard``: its margin, None where the cheapest may be taken; ``cost`` over all items.  ``upper`` is
    the one-sided 80% bound.  ``picks``: shares of the picks of each model on the items of ``benchmark``,
    of which there are ``items``; ``single`` shares of the best single model's.
    """

    at: float
    guard: float | None
    cost: float
    gap: Interval
    upper: float
    benchmark: str
    items: int
    picks: Mapping[str, float]
    single: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OnPool:
    """Everything on one pool.  ``frontiers`` are hulls of gap and cost share by rule."""

    name: str
    n_items: int
    n_groups: int
    n_models: int
    cost_unit: str
    seeds: tuple[int, ...]
    rules: tuple[Cheapest, ...]
    differences: tuple[Apart, ...]
    stops: tuple[Kept, ...]
    hardest: tuple[Hardest, ...]
    frontiers: Mapping[str, tuple[tuple[float, float], ...]]
    notes: tuple[str, ...]

    def cost(self, rule: str, gap: float) -> float:
        """Return the least cost share of a rule at a gap; raises StopIteration."""
        return next(r.cost.value for r in self.rules if (r.rule, r.gap) == (rule, gap))


@dataclass(frozen=True, slots=True)
class Floor:
    """Something that is demanded, what was found, and whether it is met."""

    asked: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class PromiseStudy:
    """What was found on every pool."""

    pools: tuple[OnPool, ...]
    floors: tuple[Floor, ...]

    def to_json(self) -> str:
        """Write it as indented JSON."""
        return json_text(asdict(self), indent=1)
