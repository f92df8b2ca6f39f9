"""The simulator of sessions: its books balance, its dice are fair to all, its measures can fail."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from benchmarks.judge.pool import Pool, split
from benchmarks.sessions.policies import (
    BLIND,
    BLIND_RIVALS,
    OURS,
    POLICIES,
    RIVALS,
    Hopeful,
    unseeing,
)
from benchmarks.sessions.report import markdown
from benchmarks.sessions.study import BEST, SHOWN_FROM, SessionStudy, drawn_from, summarise
from benchmarks.sessions.world import (
    Ask,
    Ground,
    Play,
    Script,
    Totals,
    alone_usd,
    calls_of,
    load_world,
    scripts,
)
from classifier.tasks import TYPES
from classifier.turns import Conversation, Exchange, Since
from router.decision.engine import Engine
from router.values import DIALS, Decision, Interface, Needs, Unit
from router.wire.fields import Fields
from router.wire.request import ChatRequest
from tests.evidence import table

WORLD = load_world()
UNITS = tuple(
    Unit(name) for name in ("deepseek/deepseek-v3.2", "openai/gpt-5.4", "anthropic/claude-opus-4.7")
)
N = 60


@pytest.fixture(scope="module")
def engine():
    """The product with an invented table: the dear models are needed for hard tasks."""
    quality = [[0.90, 0.92, 0.93], [0.80, 0.86, 0.90], [0.30, 0.60, 0.80], [0.1, 0.4, 0.7]]
    return replace(Engine.load(), table=table(quality, [0.15, 0.6, 1.2], units=UNITS))


@pytest.fixture(scope="module")
def ground(engine):
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 5, N)
    chance = np.array([[0.9, 0.92, 0.93], [0.8, 0.86, 0.9], [0.3, 0.6, 0.8], [0.1, 0.4, 0.7]])
    cost = np.array([0.15, 0.6, 1.2]) * levels[:, None] * rng.uniform(0.5, 1.5, (N, 1))
    asks = tuple(f"Fix the crash number {i} in the report writer." for i in range(N))
    pool = Pool(
        items=tuple(map(str, range(N))), texts=asks, families=("f",) * N, groups=np.arange(N),
        models=tuple(map(str, UNITS)), quality=(rng.random((N, 3)) < chance[levels - 1]) * 1.0,
        cost=cost, p_type=np.full((N, len(TYPES)), 1 / len(TYPES), np.float32),
        p_level=np.eye(4, dtype=np.float32)[levels - 1],
    )  # fmt: skip
    prices = tuple(engine.catalogue.model(unit.model).price for unit in UNITS)
    return Ground(
        pool=pool, asks=asks, units=UNITS, prices=prices, calls=calls_of(pool, prices, WORLD),
        levels=levels, tests=np.zeros(N, bool),
    )  # fmt: skip


class Only:
    """Always the same unit."""

    def __init__(self, unit):
        self.unit = unit

    def choose(self, request, now_s):
        return self.unit

    def served(self, *_):
        pass


def play(script, policy, ground, engine, world=WORLD):
    return Play(script, policy, ground, world, engine.catalogue).run()


def test_a_task_alone_costs_what_was_recorded(ground, engine):
    """The number of calls is found from the dollars; playing those calls gives the dollars back."""
    patient = WORLD.model_copy(update={"ask_tokens": 0.0, "step_limit": 10_000, "compact_at": 1e9})
    for item in range(0, N, 7):
        for j, unit in enumerate(UNITS):
            usd, calls = ground.pool.cost[item, j], ground.calls[item, j]
            assert alone_usd(ground.prices[j], calls, WORLD) == pytest.approx(usd, rel=0.02)
            ask = Ask(item, "fix it", pause_s=0.0, dice=np.ones(64))
            done = play(Script((ask,), WORLD.growth_tokens, 1), Only(unit), ground, engine, patient)
            assert done.calls == int(np.ceil(calls - 1e-9))
            whole = alone_usd(ground.prices[j], done.calls, WORLD)
            assert done.usd == pytest.approx(whole, rel=0.02)
            assert done.solved == (ground.pool.quality[item, j] >= 0.5)


def test_switching_back_and_forth_is_billed_for_every_rewrite(ground, engine):
    """Two models in turn read little from their caches; one model reads nearly everything."""

    class Flapping(Only):
        def choose(self, request, now_s):
            self.unit = UNITS[1] if self.unit is UNITS[2] else UNITS[2]
            return self.unit

    ask = Ask(0, "fix it", pause_s=0.0, dice=np.ones(64))
    script = Script((ask,), WORLD.growth_tokens, 1)
    short = WORLD.model_copy(update={"step_limit": 20, "kept": 1.0, "news_tokens": 1.0})
    flapping = play(script, Flapping(UNITS[2]), ground, engine, short)
    steady = play(script, Only(UNITS[2]), ground, engine, short)
    assert flapping.switches >= 15
    assert flapping.unsafe > 0, "leaving signed reasoning in the middle of an ask is counted"
    assert steady.switches == steady.unsafe == 0
    assert steady.cached_tokens / steady.input_tokens > 0.9


def test_a_pause_longer_than_a_cache_lives_costs_the_cache(ground, engine):
    def two_asks(pause_s):
        light = [Ask(-1, "explain it", p, calls=1) for p in (0.0, pause_s)]
        return play(Script(tuple(light), 500.0, 1), Only(UNITS[2]), ground, engine)

    assert two_asks(60).usd < two_asks(3600).usd
    assert two_asks(3600).cached_tokens == 0


@pytest.mark.parametrize("mix", WORLD.mixes, ids=lambda mix: mix.name)
def test_the_same_seed_draws_the_same_sessions(ground, mix):
    drawn = [scripts(ground, np.arange(N), mix, WORLD, n=5, seed=3) for _ in range(2)]
    asked = [[(a.item, a.text, a.pause_s) for s in scripts_ for a in s.asks] for scripts_ in drawn]
    assert asked[0] == asked[1]
    other = scripts(ground, np.arange(N), mix, WORLD, n=5, seed=4)
    assert [(a.item, a.pause_s) for s in other for a in s.asks] != [(i, p) for i, _, p in asked[0]]


@pytest.mark.slow
def test_every_policy_plays_to_the_end_and_only_ours_knows_the_session(ground, engine):
    mix = WORLD.mixes[-1]
    drawn = scripts(ground, np.arange(N), mix, WORLD, n=6, seed=0)
    found = {
        name: [
            play(script, make(engine, DIALS["balanced"], {}), ground, engine) for script in drawn
        ]
        for name, make in POLICIES.items()
    }
    tasks = {name: sum(t.tasks for t in totals) for name, totals in found.items()}
    assert len(set(tasks.values())) == 1, "all were asked the same"
    assert sum(t.unsafe for name in OURS for t in found[name]) == 0
    fits = [t for t in found["never switch"] if not t.switches]
    assert fits, "who never switches leaves a model only when it cannot hold the context"
    usd = {name: sum(t.usd for t in totals) for name, totals in found.items()}
    assert all(value > 0 for value in usd.values())


def totals(usd, solved, n=40):
    rng = np.random.default_rng(1)
    noise = rng.uniform(0.8, 1.2, n)
    return [
        Totals(usd=usd * k, tasks=10, solved=round(10 * solved), calls=10, input_tokens=1.0)
        for k in noise
    ]


def played(ours, rivals):
    mix = WORLD.mixes[0]
    found = {(mix.name, name, dial): totals(*ours) for name in OURS for dial in DIALS}
    for name in (*RIVALS, *BLIND_RIVALS):
        found |= {(mix.name, name, dial): totals(*rivals) for dial in DIALS}
    return summarise(found, [mix])


@pytest.mark.slow
def test_equal_policies_save_nothing_and_a_dearer_one_loses():
    _, equal = played((2.0, 0.8), (2.0, 0.8))
    assert all(s.by.value == pytest.approx(0) for s in equal)
    _, dearer = played((3.0, 0.8), (2.0, 0.8))
    assert all(s.by.value == pytest.approx(-0.5) and s.by.high < 0 for s in dearer)
    _, cheaper = played((1.0, 0.8), (2.0, 0.8))
    assert all(s.by.value == pytest.approx(0.5) and s.by.low > 0 for s in cheaper)


def test_a_rival_that_does_not_reach_the_quality_is_held_to_its_best():
    standings, savings = played((3.0, 0.9), (1.0, 0.8))
    best = [s for s in savings if s.rival == BEST]
    assert not any(s.reached for s in best)
    assert all(s.quality == pytest.approx(0.8) for s in best)
    assert all(s.by.value == pytest.approx(-2.0) for s in best)
    page = markdown(SessionStudy(40, (5,), ("m",), 1, 0.5, 0.4, standings, savings))
    assert "reaches 0.800" in page
    assert "50% are seen to have failed" in page
    assert "plans count on 40%" in page


def test_the_world_shows_failures_as_often_as_plans_count_on(engine):
    assert WORLD.seen == pytest.approx(engine.catalogue.economics.seen.commands, abs=0.02)


@pytest.mark.parametrize(("dice", "seen"), [(0.99, []), (0.0, [1, 2, 3])])
def test_a_run_that_fails_shows_it_or_does_not(ground, engine, dice, seen):
    """With dice that hide it no test fails, with dice that show it one more at each moment."""
    item = int(np.flatnonzero(ground.pool.quality[:, 0] < 0.5)[0])
    failures = []

    class Watches(Only):
        def choose(self, request, now_s):
            failures.append(request.conversation.since.failing_tests)
            return self.unit

    ask = Ask(item, "fix it", 0.0, dice=np.r_[np.full(7, dice), np.ones(57)])
    often = WORLD.model_copy(update={"news_tokens": 1.0})
    done = play(Script((ask,), 500.0, 1), Watches(UNITS[0]), ground, engine, often)
    assert done.solved == 0
    assert sorted(set(failures) - {0}) == seen


def test_a_policy_is_asked_when_something_is_new_and_billed_for_every_call(ground, engine):
    """Asked at every call or only at news, who stays is billed the same."""

    def played_by(news_tokens):
        asked = []

        class Counts(Only):
            def choose(self, request, now_s):
                asked.append(request.conversation.since.tool_calls)
                return self.unit

        world = WORLD.model_copy(update={"news_tokens": news_tokens})
        ask = Ask(0, "fix it", pause_s=0.0, dice=np.ones(64))
        script = Script((ask, ask), WORLD.growth_tokens, 1)
        return asked, play(script, Counts(UNITS[2]), ground, engine, world)

    (every, one), (few, other) = played_by(1.0), played_by(1e9)
    assert len(every) == one.calls
    assert len(few) < one.calls
    assert other.calls == one.calls
    assert other.usd == pytest.approx(one.usd, rel=1e-3)
    assert other.cached_tokens == pytest.approx(one.cached_tokens, rel=1e-3)


def test_no_item_that_is_shown_was_chosen_on():
    groups = np.arange(800) // 2

    def drawn(seed):
        return set(drawn_from(groups, split(groups, seed, test=0.4).test, seed).tolist())

    chosen = set().union(*map(drawn, range(SHOWN_FROM)))
    shown = set().union(*map(drawn, range(SHOWN_FROM, 2 * SHOWN_FROM)))
    assert chosen
    assert shown
    assert not {groups[i] for i in chosen} & {groups[i] for i in shown}


def saying(said):
    """Make a request of an agent with tools."""
    return ChatRequest(
        interface=Interface.CHAT, model="", conversation=said,
        needs=Needs(input_tokens=30_000, tools=True), streams=True, session="s", agent="",
        continued=None, stored=False, n_items=1, fields=Fields(b"{}", {}),
    )  # fmt: skip


class Planned:
    """An engine that plans the first unit, and the second after it."""

    def __init__(self, catalogue):
        self.catalogue = catalogue

    def decide(self, request, *, dial):
        return None, Decision(UNITS[0], (), 0.8, 0.1, adequate=True, why="", successor=UNITS[1])


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("two steps a session", [0, 0, 1, 1, 1]),
        ("two steps an ask", [0, 0, 1, 0, 1]),
        ("never switch", [0, 0, 0, 0, 0]),
    ],
)
def test_a_static_plan_hands_over_at_the_first_failure_and_never_else(engine, name, served):
    policy = POLICIES[name](Planned(engine.catalogue), DIALS["balanced"], {})
    seen = [
        Conversation("fix it"),
        Conversation("fix it", since=Since(tool_calls=3)),
        Conversation("fix it", since=Since(tool_calls=4, failing_tests=1)),
        Conversation("now this", before=(Exchange("fix it", "Done."),)),
        Conversation("It still fails.", before=(Exchange("now this", "Done."),)),
    ]
    assert [UNITS.index(policy.choose(saying(said), 0.0)) for said in seen] == served


def test_an_unknown_parameter_of_the_world_is_refused(tmp_path):
    from benchmarks.sessions.world import WORLD_FILE

    path = tmp_path / "world.toml"
    path.write_text("surprise = 1\n" + WORLD_FILE.read_text("utf-8"), "utf-8")
    with pytest.raises(ValueError, match="surprise"):
        load_world(path)


def test_who_is_blind_is_shown_no_failure_and_no_complaint(ground, engine):
    """With dice that show everything, who is asked for itself sees both, and as blind neither."""
    item = int(np.flatnonzero(ground.pool.quality[:, 0] < 0.5)[0])
    ask = Ask(item, "fix it", 0.0, dice=np.zeros(64))
    often = WORLD.model_copy(update={"news_tokens": 1.0})

    def shown(wrapped):
        failing, complaints = [], []

        class Watches(Only):
            def choose(self, request, now_s):
                failing.append(request.conversation.since.failing_tests)
                complaints.append(request.conversation.complains)
                return self.unit

        play(Script((ask,), 500.0, 1), wrapped(Watches(UNITS[0])), ground, engine, often)
        return max(failing), any(complaints)

    assert shown(lambda policy: policy) == (3, True)
    assert shown(Hopeful) == (0, False)


@dataclass(frozen=True)
class Listening(Engine):
    """The product, and what it was asked."""

    heard: list = field(default_factory=list)

    def decide(self, request, **options):
        said, seen = request.conversation, self.catalogue.economics.seen.commands
        self.heard.append((said.since.failing_tests, said.complains, seen))
        return super().decide(request, **options)


@pytest.mark.parametrize("name", ["every turn alone", BLIND, *BLIND_RIVALS])
def test_the_blind_policies_decide_without_eyes(ground, engine, name):
    item = int(np.flatnonzero((ground.pool.quality < 0.5).all(axis=1))[0])
    ask = Ask(item, "Fix the crash in the report writer.", 0.0, dice=np.zeros(64))
    listening = Listening(engine.classifier, engine.table, engine.catalogue)
    policy = (POLICIES | BLIND_RIVALS)[name](listening, DIALS["balanced"], {})
    often = WORLD.model_copy(update={"news_tokens": 1.0})
    play(Script((ask,), 500.0, 1), policy, ground, engine, often)
    failing, complaints, seen = map(max, zip(*listening.heard, strict=True))
    if name == "every turn alone":
        assert (failing > 0, complaints, seen > 0) == (True, True, True)
    else:
        assert (failing, complaints, seen) == (0, False, 0.0)


def test_who_is_blind_counts_on_no_failure_to_be_seen(engine):
    request = saying(Conversation("Fix the crash in the report writer.", tools=("bash",)))
    plans = [e.decide(request, dial=DIALS["balanced"])[1] for e in (engine, unseeing(engine))]
    assert plans[0].successor is not None
    assert plans[1].successor is None
