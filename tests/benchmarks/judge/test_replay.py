"""Replay: splits, sweeps, and that the bulk rule is the rule the server decides by."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.judge import baselines, readers, replay
from benchmarks.judge.pool import Pool, leave_out, split
from benchmarks.table.choose import prospect_of
from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from classifier.turns import Conversation
from router.decision.eligible import Eligibility
from router.decision.policy import decide
from router.decision.rule import NOBODY
from router.evidence.catalogue import (
    Balance,
    Catalogue,
    Change,
    Defaults,
    Mapping,
    Model,
    Price,
    Tier,
)
from router.evidence.table import Stop, Table
from router.sessions.session import NEW
from router.values import DIALS, Dial, Interface, Needs, Unit
from tests.evidence import ECONOMICS


def a_pool(n: int = 400, seed: int = 0) -> Pool:
    """Three models; long prompts are hard, and only the dear model does those."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    chance = np.stack((0.9 - 0.8 * hard, 0.9 - 0.5 * hard, 0.95 - 0.1 * hard), axis=1)
    cost = np.array([0.01, 0.1, 1.0]) * (0.5 + rng.random((n, 1)))
    p_level = np.zeros((n, N_LEVELS), np.float32)
    p_level[np.arange(n), np.minimum((hard * N_LEVELS).astype(int), N_LEVELS - 1)] = 1
    p_type = np.zeros((n, len(TYPES)), np.float32)
    p_type[:, 3] = 1
    words = np.array(["alpha", "beta", "gamma", "delta"])
    return Pool(
        items=tuple(f"i{k}" for k in range(n)),
        texts=tuple(f"{words[int(h * 3.99)]} " * int(5 + 50 * h) for h in hard),
        families=tuple(f"f{int(h * 3)}" for h in hard),
        groups=np.arange(n) // 2,
        models=("small", "middle", "large"),
        quality=(rng.random((n, 3)) < chance).astype(float),
        cost=cost,
        p_type=p_type,
        p_level=p_level,
    )


def a_table(n_units: int = 5, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    shape = (len(TYPES), N_LEVELS, n_units)
    zeros = np.zeros(shape, np.float32)
    return Table(
        units=tuple(Unit(f"v/m{k}") for k in range(n_units)),
        quality=rng.uniform(0.5, 0.9, shape).astype(np.float32),
        spread=rng.uniform(0.01, 0.05, shape).astype(np.float32),
        lower=zeros,
        upper=zeros,
        cost_usd=rng.uniform(0.01, 2, shape).astype(np.float32),
        cost_upper_usd=zeros,
        items=zeros + 1,
        successes=zeros,
        version="test",
        meta={},
        stops=(Stop(0.05, 3.0), Stop(0.10, 1.0), Stop(0.20, 0.1)),
    )


def a_catalogue(table: Table) -> Catalogue:
    """The table's models, each able to serve anything."""
    price = Price(input=1, output=1, source="https://example.org", date=date(2026, 1, 1))
    models = tuple(
        Model(
            id=unit.model, name=unit.model, vendor="v", context_tokens=10**6,
            interfaces=frozenset(Interface), price=price,
        )
        for unit in table.units
    )  # fmt: skip
    first = models[0].id
    tier = Tier(
        id="kilo-auto/balanced", name="b", description="b", rule="interface",
        interfaces={face: Mapping(model=first) for face in Interface},
    )  # fmt: skip
    small = Tier(
        id="kilo-auto/small", name="s", description="s", rule="balance",
        balance=Balance(paid=first, unpaid=first),
    )  # fmt: skip
    return Catalogue(
        models=models,
        tiers=(tier, small),
        defaults=Defaults(with_key=tier.id, without_key=tier.id),
        economics=ECONOMICS,
        changes=(Change(date=date(2026, 1, 1), tiers=(tier.id,), note="test"),),
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([*DIALS.values(), Dial("tight", 0.0, 0.99), Dial("loose", 0.5, 0.5)]),
)
def test_the_bulk_rule_is_the_servers_rule(seed: int, dial: Dial) -> None:
    """Item by item the replay picks what ``decide`` decides."""
    table = a_table(seed=seed % 7)
    catalogue = a_catalogue(table)
    rng = np.random.default_rng(seed)
    p_type = rng.dirichlet(np.full(len(TYPES), 0.1), 6).astype(np.float32)
    p_level = rng.dirichlet(np.full(N_LEVELS, 0.7), 6).astype(np.float32)
    picks = replay.rule_picks(table, p_type, p_level, dial)
    for k, pick in enumerate(picks):
        read = Assessment(p_type[k], p_level[k])
        made = decide(read, Eligibility(catalogue, Needs()), NEW, table, dial)
        assert made.unit.model == table.units[pick].model


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1))
def test_the_bulk_plan_is_the_servers_plan(seed: int, seen: float) -> None:
    """Who serves and who takes over, item by item."""
    table, dial = a_table(seed=seed % 7), DIALS["economy"]
    catalogue = a_catalogue(table)
    rng = np.random.default_rng(seed)
    p_type = rng.dirichlet(np.full(len(TYPES), 0.1), 4).astype(np.float32)
    p_level = rng.dirichlet(np.full(N_LEVELS, 0.7), 4).astype(np.float32)
    outlook = prospect_of(table, p_type, p_level, dial.margin)
    plans = outlook.plans(table.price_of(dial.margin), seen, table.price_of(0.0))
    for k, (first, second) in enumerate(plans):
        read = Assessment(p_type[k], p_level[k])
        made = decide(read, Eligibility(catalogue, Needs()), NEW, table, dial, seen=seen)
        assert made.unit == table.units[first]
        assert made.successor == (None if second == NOBODY else table.units[second])


def test_expected_is_the_tables_own_average() -> None:
    table = a_table()
    rng = np.random.default_rng(1)
    p_type = rng.dirichlet(np.full(len(TYPES), 0.2), 5).astype(np.float32)
    p_level = rng.dirichlet(np.ones(N_LEVELS), 5).astype(np.float32)
    quality, cost = replay.expected(table, p_type, p_level)
    for k in range(5):
        one = table.expect(p_type[k], p_level[k])
        np.testing.assert_allclose(quality[k], one.quality, atol=1e-5)
        np.testing.assert_allclose(cost[k], one.cost_usd, atol=1e-5)


@given(st.lists(st.integers(0, 40), min_size=30, max_size=200), st.integers(0, 99))
def test_no_group_straddles_a_split(groups: list[int], seed: int) -> None:
    labels = np.array([*groups, *range(41)])
    parts = split(labels, seed)
    inside = [set(labels[index].tolist()) for index in (parts.train, parts.test)]
    assert not inside[0] & inside[1]
    assert len(np.union1d(parts.train, np.union1d(parts.validation, parts.test))) == len(labels)


def test_a_left_out_benchmark_is_tested_whole_and_never_trained_on() -> None:
    """Groups that reach into it are tested too; f0, f1 and f2 share groups here."""
    pool = a_pool()
    parts = leave_out(pool, "f1", 0)
    trained = np.concatenate((parts.train, parts.validation))
    assert all(pool.families[i] != "f1" for i in trained)
    assert not set(pool.groups[trained]) & set(pool.groups[parts.test])
    assert len(trained) + len(parts.test) == len(pool)


def test_leaving_out_the_only_benchmark_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing"):
        leave_out(a_pool(), "elsewhere", 0)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        split(np.zeros(10, dtype=np.int64), 0)


def test_the_dial_runs_from_best_to_cheapest() -> None:
    pool = a_pool()
    chance = np.tile(pool.quality.mean(axis=0), (len(pool), 1))
    picks = replay.sweep(chance, pool.cost)
    _, cost = replay.outcomes_of(picks, pool)
    assert (picks[0] == pool.best).all()
    assert (picks[-1] == pool.cheapest).all()
    assert (np.diff(cost.mean(axis=1)) <= 1e-12).all()


def test_a_cheaper_dial_stop_never_costs_more_than_it_expects() -> None:
    """A wider margin at the same confidence only adds candidates."""
    table = a_table()
    rng = np.random.default_rng(2)
    p_type = rng.dirichlet(np.full(len(TYPES), 0.1), 50).astype(np.float32)
    p_level = rng.dirichlet(np.ones(N_LEVELS), 50).astype(np.float32)
    _, cost = replay.expected(table, p_type, p_level)
    rows = np.arange(50)
    dials = [Dial("d", margin, 0.9) for margin in (0.0, 0.05, 0.2, 1.0)]
    paid = [cost[rows, replay.rule_picks(table, p_type, p_level, d)] for d in dials]
    assert all(
        (after <= before + 1e-6).all() for before, after in zip(paid, paid[1:], strict=False)
    )


def test_an_item_without_text_gets_the_mean_reading() -> None:
    class ByLength:
        def assess(self, conversation: Conversation) -> Assessment:
            level = np.eye(N_LEVELS, dtype=np.float32)[min(3, len(conversation.ask))]
            return Assessment(np.eye(len(TYPES), dtype=np.float32)[0], level)

    _, p_level = readers.read_texts(ByLength(), ["a", "", "aaa"])
    np.testing.assert_allclose(p_level[1], [0, 0.5, 0, 0.5])


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_baseline_routes_every_item(name: str) -> None:
    pool = a_pool()
    parts = split(pool.groups, 0)
    train, validation, test = map(pool.take, (parts.train, parts.validation, parts.test))
    routing = baselines.BASELINES[name](train, validation, test, np.random.default_rng(0))
    assert routing.picks.shape[1] == len(test)
    assert routing.picks.min() >= 0
    assert routing.picks.max() < len(pool.models)
    assert routing.rank is None or routing.rank.shape == (len(test),)


def test_the_oracle_is_at_least_as_good_as_anything() -> None:
    pool = a_pool()
    parts = split(pool.groups, 0)
    train, validation, test = map(pool.take, (parts.train, parts.validation, parts.test))
    rng = np.random.default_rng(0)
    top = {
        name: replay.outcomes_of(policy(train, validation, test, rng).picks, test)[0]
        .mean(axis=1)
        .max()
        for name, policy in baselines.BASELINES.items()
    }
    assert max(top.values()) == top["oracle"]


def test_shuffling_keeps_the_shares_of_models() -> None:
    pool = a_pool()
    routing = replay.routing_of(pool.quality, pool.cost, pool.best, pool.cheapest)
    dealt = baselines.shuffled(routing, np.random.default_rng(0))
    for before, after in zip(routing.picks, dealt.picks, strict=True):
        assert (np.bincount(before, minlength=3) == np.bincount(after, minlength=3)).all()


def test_refitted_levels_order_items_by_their_need() -> None:
    """Levels read from the training part put held-out hard items above easy ones."""
    pool = a_pool(600)
    parts = split(pool.groups, 0)
    train, test = pool.take(parts.train), pool.take(parts.test)
    _, p_level = readers.refit_levels(train, test)
    np.testing.assert_allclose(p_level.sum(axis=1), 1, atol=1e-5)
    read, true = (p @ np.arange(N_LEVELS) for p in (p_level, test.p_level))
    assert np.corrcoef(read, true)[0, 1] > 0.5


def test_rules_tell_a_greeting_from_a_design_task() -> None:
    hard = "Design a distributed scheduler; prove that it is fair.\n```python\nclass A: ..."
    assert baselines.complexity("hi, what is 2 + 2?") < baselines.complexity(hard)
