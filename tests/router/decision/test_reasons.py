"""Reasons say what holds, and say nothing that does not."""

from __future__ import annotations

import pytest

from router.decision import reasons
from router.sessions.session import NEW
from router.values import Candidate, Support, Unit


def candidate(name, usd, *, quality=0.9, evidence=Support.MEASURED, second=None, plan_usd=None):
    return Candidate(
        unit=Unit(name), quality=quality, lower=quality, evidence=evidence, p_near=0.99, near=True,
        tolerable=True, ordinary_usd=usd, task_usd=usd, plan_usd=usd if plan_usd is None else plan_usd,
        score=0.0, second=None if second is None else Unit(second),
    )  # fmt: skip


CHEAP, DEAR = candidate("cheap", 0.01), candidate("dear", 1.0)


def test_the_best_is_told_apart_from_the_best_that_is_cheapest_too():
    assert reasons.begins(DEAR, DEAR, 1, 2, reasons.ORDINARY) == (
        "dear is the best candidate, 90% at $1 for an ordinary task (measured); "
        "none of 2 cheaper ones is near enough or worth it."
    )
    assert reasons.begins(CHEAP, CHEAP, 2, 0, reasons.ORDINARY) == (
        "cheap is the best candidate, 90% at $0.01 for an ordinary task (measured), and the cheapest."
    )


def test_the_best_buy_is_held_against_the_best():
    assert reasons.begins(CHEAP, DEAR, 2, 0, reasons.TASK) == (
        "cheap is the best buy of 2 likely near the best, 90% at $0.01 for this request and the rest of "
        "its task (measured), against 90% at $1 for dear."
    )


def test_who_takes_over_is_told_with_what_the_plan_costs():
    plan = candidate("cheap", 0.01, second="dear", plan_usd=0.11)
    said = reasons.begins(plan, DEAR, 2, 0, reasons.TASK)
    assert said.endswith("Should its failure show, dear is to take over: $0.11 with that.")


def test_who_stays_is_held_against_the_cheapest_only_where_that_is_another():
    cached = reasons.cached_part(1000.0, 2000.4)
    stays = "stays with dear, 90% at $1 (measured) for an ordinary task; 1,000 of 2,000 tokens are cached"
    assert reasons.stays(DEAR, DEAR, cached, reasons.ORDINARY) == f"{stays}."
    against = f"{stays}, against 90% at $0.01 with cheap."
    assert reasons.stays(DEAR, CHEAP, cached, reasons.ORDINARY) == against


@pytest.mark.parametrize("evidence", list(Support))
def test_every_kind_of_evidence_has_its_words_and_none_claims_proof(evidence):
    said = reasons.expects(candidate("m", 1.0, evidence=evidence))
    assert reasons.SAID[evidence] in said
    assert "proven" not in said


@pytest.mark.parametrize(("size", "span"), [(None, "ordinary"), (0, "ordinary"), (9, "rest")])
def test_dollars_are_always_of_something(size, span):
    """Every sentence that names dollars says what they are of."""
    told = reasons.span_of(size)
    assert span in told
    for said in (
        reasons.begins(CHEAP, DEAR, 2, 0, told),
        reasons.stays(DEAR, CHEAP, "", told),
        reasons.switches(DEAR, CHEAP, "", told),
        reasons.escalates(NEW, CHEAP, DEAR, told),
        reasons.under_way(DEAR, told),
    ):
        assert "$" in said
        assert told in said
