"""The best buy near the best is chosen, and the laws that users rely on hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.tasks import N_LEVELS, TYPES
from router.decision.eligible import Eligibility
from router.decision.policy import MAX_FALLBACKS, decide
from router.errors import NoModelFits
from router.sessions.session import NEW
from router.values import DIALS, NO_LIMITS, Dial, Interface, Limits, Needs, Support, Unit
from tests.evidence import assessment, catalogue, model, table

MODELS = tuple(model(f"m{i}") for i in range(4))
CATALOGUE = catalogue(*MODELS)
CELLS = len(TYPES) * N_LEVELS
DIAL = Dial("test", margin=0.05, confidence=0.9)
TABLE = table([0.70, 0.86, 0.90, 0.88], [0.01, 0.10, 1.00, 2.00])


def choose(
    *, table=TABLE, dial=DIAL, needs=None, limits=NO_LIMITS, reachable=None, read=None,
    offer=CATALOGUE,
):  # fmt: skip
    asked = Eligibility(offer, needs or Needs(), limits, reachable)
    return decide(read or assessment(), asked, NEW, table, dial)


def test_where_success_is_worth_nothing_more_the_cheapest_near_the_best_is_chosen():
    decision = choose()
    assert decision.unit.model == "m1"
    assert decision.adequate
    assert decision.expected_quality == pytest.approx(0.86, abs=0.01)
    assert decision.expected_cost_usd == pytest.approx(0.10)


def test_a_wide_guess_is_near_nothing():
    """The same means with wide intervals: only the best itself is within the guard."""
    assert (
        choose(table=table([0.70, 0.86, 0.90, 0.88], [0.01, 0.1, 1, 2], spread=0.2)).unit.model
        == "m2"
    )


def test_an_unsure_reading_costs_margin_not_a_wrong_turn():
    """A model good on easy work only is not risked when the level is unclear."""
    rising = table([[0.95, 0.95], [0.6, 0.9], [0.3, 0.85], [0.1, 0.8]], [0.01, 1.0])
    assert choose(table=rising, read=assessment(level=1)).unit.model == "m0"
    assert choose(table=rising, read=assessment(level=1, sure=0.6)).unit.model == "m1"
    assert choose(table=rising, read=assessment(level=4)).unit.model == "m1"


def test_the_reason_names_the_model_the_evidence_and_the_alternative():
    why = choose().why
    assert "m1" in why
    assert "measured" in why
    assert "m2" in why


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(deny=frozenset({"m1"})), "m2"),
        (Limits(allow=frozenset({"m0", "m3"})), "m3"),
        (Limits(max_cost_usd=0.05), "m0"),
        (Limits(min_quality=0.89), "m2"),
        (Limits(pin="m3"), "m3"),
    ],
)
def test_limits_are_kept(limits, expected):
    assert choose(limits=limits).unit.model == expected


def test_a_model_that_cannot_serve_is_no_candidate():
    blind = catalogue(MODELS[0], model("m1", abilities=frozenset({"tools"})), *MODELS[2:])
    decision = choose(offer=blind, needs=Needs(images=True))
    assert decision.unit.model == "m2"
    assert decision.excluded == {"m1": "no images"}


def test_providers_that_may_log_prompts_serve_only_where_that_is_allowed():
    for free in (True, False):
        m1 = model("m1", free=free, data_policy="may_log")
        offer = catalogue(MODELS[0], m1, *MODELS[2:])
        decision = choose(offer=offer)
        assert decision.unit.model == "m2"
        assert decision.excluded == {"m1": "its provider may log prompts"}
        allowed = choose(offer=offer, limits=Limits(prompt_logging=True))
        assert allowed.unit.model == "m1"


def test_an_unknown_data_policy_is_not_fine():
    with pytest.raises(NoModelFits):
        choose(limits=Limits(data_policies=frozenset({"no_retention"})))


def test_context_includes_the_requested_output():
    short = catalogue(MODELS[0], model("m1", context=1000), *MODELS[2:])
    decision = choose(offer=short, needs=Needs(input_tokens=800, output_tokens=300))
    assert decision.unit.model == "m2"
    assert "1,100" in decision.excluded["m1"]


def test_an_answer_longer_than_a_model_can_give_does_not_rule_it_out():
    """Clients ask for what another model gives: who asks for a tier does not know which will serve."""
    terse = catalogue(MODELS[0], model("m1", max_output_tokens=1000), *MODELS[2:])
    chosen = choose(offer=terse).unit
    assert choose(offer=terse, needs=Needs(output_tokens=128_000)).unit == chosen


def test_under_a_price_cap_the_best_that_may_be_paid_is_the_measure():
    """What the cap rules out must not make the rest look inadequate."""
    capped = table([0.80, 0.82, 0.99], [0.01, 0.10, 1.00])
    decision = choose(table=capped, limits=Limits(max_cost_usd=0.5))
    assert decision.unit.model == "m0"
    assert decision.adequate


def test_only_reachable_models_are_candidates():
    assert choose(reachable=frozenset({"m0", "m2"})).unit.model == "m2"


def test_without_candidates_the_balanced_mapping_serves_and_says_so():
    unknown = table([0.9], [1.0], units=(Unit("elsewhere"),))
    decision = choose(table=unknown)
    assert decision.unit.model == "m3"
    assert not decision.adequate
    assert decision.mapped
    assert not choose().mapped
    assert "not in the catalogue" in decision.why


def test_when_nothing_may_serve_the_error_says_what_to_do():
    with pytest.raises(NoModelFits, match="Loosen the limits"):
        choose(limits=Limits(deny=frozenset(m.id for m in MODELS)))


def test_fallbacks_are_other_models_adequate_ones_first():
    decision = choose()
    names = [unit.model for unit in decision.fallbacks]
    assert decision.unit.model not in names
    assert len(names) == len(set(names)) <= MAX_FALLBACKS
    assert names[0] == "m2"


def test_efforts_of_one_model_compete_as_units():
    units = (Unit("m0", "low"), Unit("m0", "high"), Unit("m1"))
    efforts = table([0.5, 0.9, 0.9], [0.1, 0.5, 1.0], units=units)
    decision = choose(table=efforts)
    assert decision.unit == Unit("m0", "high")


grids = st.integers(2, 4).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.05, 0.95), min_size=n, max_size=n),
        st.lists(
            st.integers(1, 10_000).map(lambda n: n / 1000), min_size=n, max_size=n, unique=True
        ),
        st.floats(0.001, 0.2),
    )
)


@given(grids)
def test_a_looser_dial_never_costs_more(grid):
    quality, cost, spread = grid
    t = table(quality, cost, spread=spread)
    costs = [
        choose(table=t, dial=DIALS[n]).expected_cost_usd for n in ("quality", "balanced", "economy")
    ]
    assert costs == sorted(costs, reverse=True)


@given(grids, st.floats(1e-9, 1e3))
def test_no_plan_within_the_guard_has_a_lower_score_than_the_choice(grid, price):
    quality, cost, spread = grid
    decision = choose(table=table(quality, cost, spread=spread, price=price))
    chosen = decision.candidates.of(decision.unit)
    assert chosen.near
    assert all(chosen.score <= c.score for c in decision.candidates if c.near)


@given(grids, st.floats(1e-9, 1e3))
def test_nobody_cheaper_and_better_is_passed_over(grid, price):
    """Alike in spread, a unit that costs less and succeeds more often than the choice would be it."""
    quality, cost, spread = grid
    decision = choose(table=table(quality, cost, spread=spread, price=price))
    chosen = decision.candidates.of(decision.unit)
    for other in decision.candidates:
        assert not (other.quality > chosen.quality and other.task_usd < chosen.task_usd)


@given(grids, st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=6, unique=True))
def test_the_more_success_is_worth_the_more_of_it_is_bought(grid, prices):
    quality, cost, spread = grid
    bought = [
        choose(table=table(quality, cost, spread=spread, price=price)).expected_quality
        for price in sorted(prices)
    ]
    assert bought == sorted(bought)


def test_what_hangs_on_a_task_says_what_is_paid_for_it():
    """The same units and the same price of worth: more is spent where more hours would be lost."""
    t = table([0.80, 0.90], [0.10, 0.25], price=1.0)
    wide = Dial("wide", 0.2, 0.8)
    picks = [choose(table=t, dial=wide, read=assessment(level=k)).unit.model for k in (1, 4)]
    assert picks == ["m0", "m1"]


def test_on_the_hardest_tasks_the_guard_is_twice_as_narrow():
    t = table([0.75, 0.90], [0.10, 1.00])
    near = Dial("d", 0.1, 0.8)
    assert choose(table=t, dial=near, read=assessment(level=3)).unit.model == "m0"
    assert choose(table=t, dial=near, read=assessment(level=4)).unit.model == "m1"


def test_a_unit_of_few_items_serves_only_where_no_other_may():
    counts = [9 / CELLS, 50, 50, 50]
    few = table([0.95, 0.86, 0.90, 0.88], [0.01, 0.10, 1.00, 2.00], items=counts)
    decision = choose(table=few)
    assert decision.unit.model == "m1"
    assert decision.candidates.of(Unit("m0")).evidence is Support.PRIOR
    assert not decision.candidates.of(Unit("m0")).near
    alone = choose(table=few, limits=Limits(allow=frozenset({"m0"})))
    assert alone.unit.model == "m0"


def test_a_thinly_measured_unit_must_be_nearer_and_surer():
    """Within the guard's margin, but not within half of it: thirty items are enough for that, twenty not."""
    thin, thick = (table([0.82, 0.90], [0.1, 1.0], items=[n / CELLS, 50]) for n in (20, 31))
    assert choose(table=thick).unit.model == "m0"
    assert choose(table=thin).unit.model == "m1"


def test_evidence_is_measured_related_or_a_prior():
    cells = np.zeros((len(TYPES), N_LEVELS, 2), np.float32)
    cells[TYPES.index("debugging/bug_fixing"), 0] = 30
    t = table([0.9, 0.9], [0.1, 1.0], items=cells)
    here, elsewhere = (
        choose(table=t, read=assessment(task)).candidates.of(Unit("m0")).evidence
        for task in ("debugging/bug_fixing", "testing/test_creation")
    )
    assert (here, elsewhere) == (Support.MEASURED, Support.RELATED)


# Plans of two.


def plan(t, *, seen=0.5, limits=NO_LIMITS, needs=None, read=None):
    asked = Eligibility(CATALOGUE, needs or Needs(), limits)
    return decide(read or assessment(), asked, NEW, t, DIALS["economy"], seen=seen)


def test_without_a_way_to_see_failure_nobody_takes_over():
    assert plan(table([0.7, 0.9], [0.1, 1.0], price=10.0), seen=0.0).successor is None


def test_a_failure_that_shows_lets_a_weaker_unit_begin():
    """Alone the dear one is worth its price; with it to take over, the cheap one goes first."""
    t = table([0.80, 0.95], [0.05, 0.30], price=8.0)
    alone, both = plan(t, seen=0.0), plan(t, seen=0.9)
    assert alone.unit.model == "m1"
    assert (both.unit.model, both.successor) == ("m0", Unit("m1"))
    assert both.expected_cost_usd > 0.05
    assert "is to take over" in both.why


def test_a_successor_is_of_another_model():
    units = (Unit("m0", "low"), Unit("m0", "high"))
    assert plan(table([0.7, 0.9], [0.1, 0.2], units=units, price=10.0)).successor is None


def test_a_plan_keeps_the_price_cap():
    """A cap is of the whole plan: a successor that would break it is none."""
    t = table([0.80, 0.95], [0.05, 0.30], price=8.0)
    whole = plan(t, seen=0.9).expected_cost_usd
    capped = plan(t, seen=0.9, limits=Limits(max_cost_usd=whole * 0.9))
    assert capped.expected_cost_usd <= whole * 0.9
    with pytest.raises(NoModelFits, match="cap"):
        plan(t, limits=Limits(max_cost_usd=0.01))


@given(grids, st.floats(0, 1), st.floats(1e-6, 1e3), st.floats(0.001, 20))
def test_no_plan_is_dearer_than_its_cap(grid, seen, price, cap):
    quality, cost, spread = grid
    t = table(quality, cost, spread=spread, price=price)
    try:
        decision = plan(t, seen=seen, limits=Limits(max_cost_usd=cap))
    except NoModelFits:
        return
    assert decision.mapped or decision.expected_cost_usd <= cap * (1 + 1e-6)


@given(grids, st.randoms())
def test_the_order_of_the_table_does_not_matter(grid, random):
    quality, cost, spread = grid
    order = list(range(len(cost)))
    random.shuffle(order)
    t = table(quality, cost, spread=spread)
    shuffled = type(t)(
        units=tuple(t.units[i] for i in order), spread=t.spread[:, :, order],
        quality=t.quality[:, :, order], lower=t.lower[:, :, order], upper=t.upper[:, :, order],
        cost_usd=t.cost_usd[:, :, order], cost_upper_usd=t.cost_upper_usd[:, :, order],
        items=t.items[:, :, order], successes=t.successes[:, :, order], version="", meta={}, stops=t.stops,
    )  # fmt: skip
    assert choose(table=shuffled).unit == choose(table=t).unit


@given(grids, st.integers(0, 3))
def test_a_denied_model_is_never_chosen_or_a_fallback(grid, denied):
    quality, cost, spread = grid
    name = f"m{denied}"
    limits = Limits(deny=frozenset({name}))
    decision = choose(table=table(quality, cost, spread=spread), limits=limits)
    assert name not in (decision.unit.model, *(u.model for u in decision.fallbacks))


def test_expectations_average_the_table_over_the_reading():
    rising = table([[0.9], [0.7], [0.5], [0.3]], [1.0], spread=0.1)
    read = assessment(level=1, sure=0.7)
    expected = rising.expect(read.p_type, read.p_level)
    assert expected.quality[0] == pytest.approx(0.7 * 0.9 + 0.1 * (0.7 + 0.5 + 0.3), abs=0.01)
    assert expected.cost_usd[0] == pytest.approx(1.0)
    assert expected.measured[0] == pytest.approx(1.0)
    assert expected.spread[0] == pytest.approx(0.1 * float((expected.weight**2).sum()) ** 0.5)


def test_every_interface_falls_back_to_its_own_mapping():
    nothing = table([0.9], [1.0], units=(Unit("elsewhere"),))
    for interface in Interface:
        assert choose(table=nothing, needs=Needs(interface=interface)).unit.model == "m3"
