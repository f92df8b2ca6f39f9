"""The study of the promise on a small invented pool: what is compared, how it is paid, what is demanded."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the plots extra")

from benchmarks.judge.measures import Interval
from benchmarks.judge.pool import Pool
from benchmarks.judge.shared_pools import CATALOGUED, NINE, UNLIKE
from benchmarks.studies.promise.findings import Cheapest, Hardest, Kept, OnPool, Part, PromiseStudy
from benchmarks.studies.promise.floors import floors, honest
from benchmarks.studies.promise.judge import judge
from benchmarks.studies.promise.outcomes import (
    CONTENDERS,
    Came,
    came,
    cheapest_at,
    chosen,
    mixed_at,
    outcomes,
    shuffled_outcomes,
)
from benchmarks.studies.promise.page import write_page
from benchmarks.studies.promise.pools import Trial, confused_levels
from benchmarks.studies.promise.routes import (
    MARGINS,
    NEW,
    PLANNED,
    Served,
    our_sweeps,
    planned,
    run_split,
)
from benchmarks.table.choose import prospect_of
from classifier.tasks import N_LEVELS, TYPES
from router.decision.rule import FALSE_ALARM, NOBODY
from router.evidence.table import Table
from router.values import DIALS, Unit

CHANCES = {"large": (0.95, 0.85), "middle": (0.93, 0.5), "small": (0.9, 0.1)}
USD = {"large": 1.0, "middle": 0.4, "small": 0.05}
N = 150
TASK = TYPES.index("debugging/bug_fixing")


def invented() -> Trial:
    """Half of the items are hard, which only the large model does."""
    rng = np.random.default_rng(0)
    hard = np.arange(N) % 2
    chance = np.array([[CHANCES[model][h] for model in CHANCES] for h in hard])
    level = np.where(hard, 2, 0)
    pool = Pool(
        items=tuple(f"i{k}" for k in range(N)),
        texts=tuple(f"{'hard' if h else 'easy'} ask number {k}" for k, h in enumerate(hard)),
        families=("quiz/all",) * N,
        groups=np.arange(N) // 2,
        models=tuple(CHANCES),
        quality=(rng.random(chance.shape) < chance).astype(float),
        cost=np.array([[USD[model] * (1 + h) for model in CHANCES] for h in hard]),
        p_type=np.eye(len(TYPES), dtype=np.float32)[[TASK] * N],
        p_level=np.eye(N_LEVELS, dtype=np.float32)[level],
    )
    kinds = tuple("openhands-commit0" if k < 20 else "quiz" for k in range(N))
    return Trial("mixed, told", pool, np.where(hard, 4, 1), kinds, ("A note.",))


@pytest.fixture(scope="module")
def trial() -> Trial:
    return invented()


@pytest.fixture(scope="module")
def runs(trial):
    return [run_split(trial.pool, seed) for seed in range(2)]


@pytest.fixture(scope="module")
def found(trial, runs) -> OnPool:
    return judge(trial, runs, n_bootstrap=20)


def a_table() -> Table:
    units = tuple(Unit(name) for name in CHANCES)
    shape = (len(TYPES), N_LEVELS, len(units))
    quality = np.zeros(shape, dtype=np.float32)
    cost = np.zeros(shape, dtype=np.float32)
    for level in range(N_LEVELS):
        for u, model in enumerate(CHANCES):
            easy, hard = CHANCES[model]
            quality[:, level, u] = easy + (hard - easy) * level / 3
            cost[:, level, u] = USD[model] * (1 + level)
    same = np.full(shape, 0.02, dtype=np.float32)
    items = np.full(shape, 50, dtype=np.float32)
    return Table(units, quality, same, quality, quality, cost, cost, items, items, "invented", {})


def read_anyhow(n: int = 12) -> Pool:
    """A few items whose levels are not known for sure."""
    levels = np.random.default_rng(1).dirichlet(np.ones(N_LEVELS), size=n).astype(np.float32)
    pool = invented().pool.take(np.arange(n))
    return Pool(**{f: getattr(pool, f) for f in pool.__dataclass_fields__} | {"p_level": levels})


@pytest.mark.parametrize("at", [0, 3, len(MARGINS) - 1])
def test_every_setting_serves_as_the_product_does(at):
    table, pool = a_table(), read_anyhow()
    prices = np.geomspace(0.01, 30, 12)
    served = our_sweeps(table, pool, prices)
    outlook = prospect_of(table, pool.p_type, pool.p_level, MARGINS[at])
    two = served[planned(PLANNED)]
    followed = 0
    for k, price in enumerate(prices):
        row = at * len(prices) + k
        assert served[NEW].first[row].tolist() == outlook.picks(float(price)).tolist()
        first, second = outlook.plans(float(price), PLANNED).T
        assert two.first[row].tolist() == first.tolist()
        assert two.second[row].tolist() == second.tolist()
        followed += (second != NOBODY).sum()
    assert followed > 0 or at == 0  # half of the strictest guard may leave nobody to follow


def test_a_second_run_is_paid_where_a_failure_shows_and_counts_where_it_was_one():
    pool = invented().pool.take(np.arange(2))
    pool.quality[:] = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    first, second = np.array([[1, 2], [1, 2]]), np.array([[0, 0], [NOBODY, NOBODY]])
    quality, cost = outcomes(Served(first, second), pool, 0.3)
    assert quality == pytest.approx(np.array([[0.3, 1.0], [0.0, 1.0]]))
    small, middle, large = USD["small"], USD["middle"], USD["large"]
    paid = [middle + 0.3 * large, 2 * (small + FALSE_ALARM * large)]
    assert cost == pytest.approx(np.array([paid, [middle, 2 * small]]))


def test_a_shuffle_is_the_mean_over_all_ways_of_dealing():
    pool = invented().pool.take(np.arange(4))
    picks = np.array([0, 1, 1, 2])
    deals = [np.array(deal) for deal in itertools.permutations(picks)]
    rows = np.arange(4)
    dealt = np.mean([[pool.quality[rows, d], pool.cost[rows, d]] for d in deals], axis=0)
    quality, cost = shuffled_outcomes(Served(picks[None]), pool)
    assert quality[0] == pytest.approx(dealt[0])
    assert cost[0] == pytest.approx(dealt[1])


def test_two_settings_are_mixed_to_a_gap():
    gap, cost = np.array([0.1, 0.04, 0.05, 0.0]), np.array([0.1, 0.4, 0.9, 1.0])
    least = cheapest_at(gap[None], cost[None], (0.0, 0.02, 0.07, 0.3))[0]
    assert least.tolist() == pytest.approx([1.0, 0.7, 0.25, 0.1])
    for at, expected in ((0.0, 1.0), (0.02, 0.7), (0.07, 0.25), (0.3, 0.1)):
        mixed = mixed_at(gap, cost, at)
        assert sum(share for _, share in mixed) == pytest.approx(1.0)
        assert sum(share * cost[k] for k, share in mixed) == pytest.approx(expected)
        assert sum(share * gap[k] for k, share in mixed) <= at + 1e-12


def test_the_cheapest_setting_within_a_gap_is_chosen_and_the_best_model_is_always_one():
    single = np.array([1.0, 1.0])
    gap = np.array([[0.0, 0.2], [0.0, 0.0], [0.0, 0.0]])
    cost = np.array([[0.1, 0.1], [0.5, 0.5], [1.0, 1.0]])
    assert chosen(Came(gap, cost, single), 0.1) == 0
    assert chosen(Came(gap, cost, single), 0.05) == 1
    pool = invented().pool.take(np.arange(6))
    worse = came(pool.quality[:, 2][None], pool.cost[:, 2][None], pool, 0)
    assert worse.gap[-1].tolist() == [0.0] * 6
    assert worse.cost[-1].tolist() == pool.cost[:, 0].tolist()


def test_a_level_is_read_as_an_ask_of_that_level_was():
    level = np.array([0, 0, 2, 3, 1])
    readings = np.random.default_rng(2).random((5, N_LEVELS)).astype(np.float32)
    drawn = confused_levels(readings, level, np.array([2, 0, 3, 0]))
    assert drawn[0].tolist() == readings[2].tolist()
    assert drawn[2].tolist() == readings[3].tolist()
    assert all(any((row == readings[k]).all() for k in (0, 1)) for row in drawn[[1, 3]])


def test_the_pools_stay_as_they_are():
    assert (len(NINE), len(CATALOGUED), len(UNLIKE)) == (9, 27, 25)
    assert set(UNLIKE) < set(CATALOGUED)
    assert list(CATALOGUED) == sorted(CATALOGUED)


def test_a_rule_that_reads_beats_its_shuffle_and_two_steps_beat_one(found):
    cost = {(r.rule, r.gap): r.cost.value for r in found.rules}
    assert cost[NEW, 0.02] < cost["shuffle of the new rule", 0.02]
    assert cost[NEW, 0.02] < cost["hull of single models", 0.02]
    assert cost[planned(0.7), 0.0] < cost[NEW, 0.0] <= 1.0
    assert all(cost["oracle", gap] <= cost[c.name, gap] for c in CONTENDERS for gap in (0.0, 0.05))
    assert {d.against for d in found.differences} >= {"old rule", "kNN", NEW}


def test_stops_are_told_with_their_levels_and_types(found):
    assert [stop.stop for stop in found.stops] == list(DIALS)
    for stop in found.stops:
        assert [part.what for part in stop.levels] == ["level 1", "level 4"]
        assert [part.what for part in stop.kinds] == ["quiz"]
        assert stop.levels[0].most == 2 * stop.margin
        assert 0 <= stop.broken <= 2
        assert stop.gap.low <= stop.gap.value <= stop.gap.high
    quality, _, economy = found.stops
    assert economy.cost.value <= quality.cost.value


def test_who_serves_the_hardest_is_told_by_margin_of_the_guard(found):
    assert {h.guard for h in found.hardest} == {None, *MARGINS}
    for hardest in found.hardest:
        assert sum(hardest.picks.values()) == pytest.approx(1.0, abs=1e-3)
        assert hardest.single == {"large": 1.0}
        assert hardest.gap.low <= hardest.upper <= hardest.gap.high
    cheapest = next(h for h in found.hardest if (h.at, h.guard) == (0.03, None))
    assert cheapest.cost == pytest.approx(found.cost(NEW, 0.03))


def test_the_page_names_every_rule_and_its_figure_is_drawn(tmp_path, found):
    study = PromiseStudy((found,), tuple(floors({found.name: found})))
    page = write_page(study, tmp_path / "made").read_text("utf-8")
    assert page.startswith("## promise")
    assert all(f"| {contender.name} |" in page for contender in CONTENDERS)
    assert all(floor.asked in page for floor in study.floors)
    assert "- A note." in page
    for block in page.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert (tmp_path / "made" / "promise.png").read_bytes().startswith(b"\x89PNG")
    raw = json.loads((tmp_path / "made" / "promise.json").read_text("utf-8"))
    assert raw["pools"][0]["seeds"] == [0, 1]


def about(value: float) -> Interval:
    return Interval(value, value - 0.01, value + 0.01)


def on_pool(name: str, *, cost=0.3, upper=0.1, broken=0, gap=0.07, expected=0.07, level=0.1):
    stop = Kept(
        "balanced", 0.1, about(gap), about(cost), broken, about(gap), about(cost), 0, about(gap), about(cost),
        1.0, expected, gap, expected, (Part("level 1", 40, about(level), 0.2, 0, 10),), (),
    )  # fmt: skip
    rules = [(NEW, 0.03), (NEW, 0.05), (planned(PLANNED), 0.0)]
    return OnPool(
        name, 100, 90, 3, "usd", tuple(range(10)),
        tuple(Cheapest(rule, at, about(cost), about(at), about(cost)) for rule, at in rules),
        (), (stop,),
        tuple(Hardest(at, guard, cost, about(0.0), upper, "x", 14, {}, {}) for at in (0.03, 0.05) for guard in (None, 0.1)),
        {}, (),
    )  # fmt: skip


def missed(*pools: OnPool) -> list[str]:
    return [floor.asked for floor in floors({pool.name: pool for pool in pools}) if not floor.met]


def test_what_is_good_enough_misses_nothing():
    assert missed(on_pool("mixed, told"), on_pool("mixed, confused"), on_pool("nine")) == []
    assert missed(on_pool("eleven", cost=0.15)) == []


@pytest.mark.parametrize(
    ("worse", "asked", "n"),
    [
        ({"cost": 0.35}, "mixed at a gap of 0.05", 2),
        ({"upper": 0.2}, "level 4", 4),
        ({"broken": 2}, "nine of ten splits", 1),
        ({"level": 0.21}, "twice the margin", 1),
        ({"expected": 0.05}, "expected gap", 2),
        ({"cost": 0.41}, "two steps", 3),
    ],
)
def test_the_worse_of_two_readings_counts(worse, asked, n):
    found = missed(on_pool("mixed, told"), on_pool("mixed, confused", **worse))
    assert len(found) == n
    assert any(asked in each for each in found)


def test_a_small_gap_may_miss_its_expectation_by_little_and_a_large_one_by_a_share():
    assert honest(0.01, 0.0)
    assert not honest(0.02, 0.005)
    assert honest(0.081, 0.1)
    assert not honest(0.079, 0.1)
    assert not honest(0.126, 0.1)
