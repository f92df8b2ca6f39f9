"""What an evaluation found: how each policy stands, and what sets two apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from benchmarks.judge.measures import Interval
from benchmarks.output import json_text


@dataclass(frozen=True, slots=True)
class PolicyStanding:
    """How one policy did: measures by name, and its curve of mean (cost, quality) points.

    Of a policy with a dial, read off its test curve: ``aiq``, ``saved`` (share of the best model's
    cost saved at 95% of its quality), and with two models ``apgr``, ``cpt50``, ``cpt80``.  Of
    every policy, at the setting chosen on validation: ``quality``, ``cost``, both as a share of
    the best model's, ``over_hull`` (quality above what mixing single models buys at the same
    cost), and ``arena`` where costs are within its range.
    """

    policy: str
    measures: Mapping[str, Interval]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two policies in one measure."""

    policy: str
    against: str
    measure: str
    by: Interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one evaluation found; ``notes`` say what was dropped, filled or assumed."""

    name: str
    models: tuple[str, ...]
    n_items: int
    n_groups: int
    seeds: tuple[int, ...]
    cost_unit: str
    standings: tuple[PolicyStanding, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """Write as indented JSON."""
        return json_text(asdict(self), indent=2)

    def standing(self, policy: str) -> PolicyStanding:
        """Return a policy's standing by name; raises KeyError."""
        found = {s.policy: s for s in self.standings}
        return found[policy]
