"""Reasons say what holds, and say nothing that does not."""

from __future__ import annotations

import pytest

from router.decision import reasons
from router.values import Candidate, Unit


def candidate(name, usd, *, quality=0.9, direct=1.0, adequate=True):
    return Candidate(Unit(name), quality, quality, usd, direct, 0.99, adequate, True, usd)


CHEAP, DEAR = candidate("cheap", 0.01), candidate("dear", 1.0)
POOR = candidate("poor", 0.001, quality=0.1, adequate=False)


def test_the_best_is_told_apart_from_the_best_that_is_cheapest_too():
    said = reasons.begins(DEAR, DEAR, [POOR, CHEAP, DEAR], 0.02)
    assert said == (
        "dear is the best candidate, 90% at $1 (measured); "
        "none of the 2 cheaper ones is proven within 2% of it."
    )
    said = reasons.begins(CHEAP, CHEAP, [CHEAP, DEAR], 0.02)
    assert said == "cheap is the best candidate, 90% at $0.01 (measured); and the cheapest."


def test_the_cheapest_adequate_is_held_against_the_best():
    said = reasons.begins(CHEAP, DEAR, [POOR, CHEAP, DEAR], 0.02)
    assert said == (
        "cheap is the cheapest of 2 adequate, 90% at $0.01 (measured), against 90% at $1 for dear."
    )


def test_who_stays_is_held_against_the_cheapest_only_where_that_is_another():
    cached = reasons.cached_part(1000.0, 2000.4)
    stays = "stays with dear, 90% at $1 (measured); 1,000 of 2,000 tokens are cached"
    assert reasons.stays(DEAR, DEAR, cached) == f"{stays}."
    assert reasons.stays(DEAR, CHEAP, cached) == f"{stays}, against $0.01 with cheap."


@pytest.mark.parametrize(
    ("direct", "evidence"),
    [(1.0, "measured"), (0.51, "measured"), (0.5, "borrowed from related tasks"), (0.0, "borrowed from related tasks")],
)  # fmt: skip
def test_evidence_is_measured_where_most_of_it_was(direct, evidence):
    assert reasons.evidence(candidate("m", 1.0, direct=direct)) == evidence
