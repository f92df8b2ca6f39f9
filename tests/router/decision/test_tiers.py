"""Tier → model, as the design's table says, and from data that may change."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.keys import OWNER
from router.decision.mapping import rank
from router.decision.tiers import Data, plan, tier_of
from router.errors import NoModelFits, Unauthenticated, UnknownModel
from router.evidence.catalogue import Weighted, load_catalogue
from router.evidence.names import Names
from router.values import Caller, Interface, Limits, Unit
from router.wire.request import parse
from tests.gateway_rig import StubEngine, ask

CATALOGUE = load_catalogue()
EVERYTHING = dict.fromkeys(Interface, frozenset(m.id for m in CATALOGUE.models))
DATA = Data(CATALOGUE, StubEngine(), "", EVERYTHING, Names(CATALOGUE))
ANONYMOUS = Caller("anonymous 1", anonymous=True, balance=False)
OPUS, SONNET = "anthropic/claude-opus-4.7", "anthropic/claude-sonnet-4.6"


def request(model: str, interface: Interface = Interface.CHAT, **headers: str):
    body = orjson.dumps(ask(interface, model))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse(body, interface=interface, headers=named)


@pytest.mark.parametrize("tier", ["kilo-auto/frontier", "kilo/auto", "kilo-auto/auto"])
@pytest.mark.parametrize(
    ("mode", "model"),
    [
        *((m, OPUS) for m in ("plan", "general", "architect", "orchestrator", "ask", "debug")),
        *((m, SONNET) for m in ("build", "explore", "code", "", "my-agent", "CODE")),
        ("Plan", OPUS),
    ],
)
def test_frontier_maps_by_mode(tier, mode, model):
    made = plan(request(tier, x_kilocode_mode=mode), OWNER, DATA)
    assert made.tier == "kilo-auto/frontier"
    first = made.targets[0]
    assert (first.unit.model, first.unit.effort, first.verbosity) == (model, "medium", "medium")


@pytest.mark.parametrize(
    ("interface", "model", "effort", "reasoning"),
    [
        (Interface.CHAT, "qwen/qwen3.6-plus", None, True),
        (Interface.RESPONSES, "openai/gpt-5.5", "low", None),
        (Interface.MESSAGES, SONNET, "low", None),
    ],
)
def test_balanced_maps_by_interface(interface, model, effort, reasoning):
    first = plan(request("kilo-auto/balanced", interface), OWNER, DATA).targets[0]
    assert (first.unit.model, first.unit.effort, first.reasoning) == (model, effort, reasoning)


@pytest.mark.parametrize(
    ("caller", "model"),
    [
        (OWNER, "google/gemma-4-31b-it"),
        (Caller("poor", balance=False), "google/gemma-4-26b-a4b-it:free"),
        (ANONYMOUS, "google/gemma-4-26b-a4b-it:free"),
    ],
)
@pytest.mark.parametrize("tier", ["kilo-auto/small", "auto-small"])
def test_small_maps_by_balance(tier, caller, model):
    assert plan(request(tier), caller, DATA).targets[0].unit.model == model


def test_the_default_follows_from_authentication():
    assert plan(request(""), OWNER, DATA).tier == "kilo-auto/balanced"
    assert plan(request(""), ANONYMOUS, DATA).tier == "kilo-auto/free"


@pytest.mark.parametrize("tier", ["kilo-auto/free", "kilo/auto-free"])
def test_free_keeps_a_sessions_model_and_falls_back_through_all_others(tier):
    plans = [plan(request(tier, x_session_id=f"s{i}"), ANONYMOUS, DATA) for i in range(200)]
    again = [plan(request(tier, x_session_id=f"s{i}"), ANONYMOUS, DATA) for i in range(200)]
    assert plans == again
    listed = {w.model for w in CATALOGUE.tier("kilo-auto/free").affinity}
    assert all({t.unit.model for t in p.targets} == listed for p in plans)
    assert {p.targets[0].unit.model for p in plans} == listed


def test_a_session_is_its_callers_own():
    firsts = {
        plan(request("kilo-auto/free", x_session_id="s"), Caller(f"c{i}"), DATA)
        .targets[0]
        .unit.model
        for i in range(40)
    }
    assert len(firsts) > 1


WEIGHTS = [Weighted(model=f"m/{i}", weight=w) for i, w in enumerate([3, 3, 3, 1])]


def test_shares_follow_the_weights():
    firsts = Counter(rank(WEIGHTS, f"session {i}")[0] for i in range(4000))
    assert [firsts[w.model] / 4000 for w in WEIGHTS] == pytest.approx(
        [0.3, 0.3, 0.3, 0.1], abs=0.03
    )


@given(st.text(), st.sampled_from(WEIGHTS))
def test_removing_a_model_moves_only_its_own_sessions(session, removed):
    before = rank(WEIGHTS, session)
    after = rank([w for w in WEIGHTS if w is not removed], session)
    assert after == [model for model in before if model != removed.model]


def test_efficient_is_decided_by_the_engine():
    made = plan(request("kilo-auto/efficient"), OWNER, DATA)
    assert [t.unit for t in made.targets] == [Unit("openai/gpt-5.5", "low"), Unit(SONNET, "high")]
    assert made.assessment is not None


class Broken(StubEngine):
    def decide(self, *args, **kwargs):
        raise RuntimeError("boom")


@pytest.mark.parametrize(
    "data",
    [
        replace(DATA, engine=None, engine_error="the table is missing"),
        replace(DATA, engine=Broken()),
    ],
)
def test_without_an_engine_efficient_maps_as_balanced_and_says_why(data):
    made = plan(request("kilo-auto/efficient", Interface.RESPONSES), OWNER, data)
    assert made.tier == "kilo-auto/efficient"
    assert made.targets[0].unit.model == "openai/gpt-5.5"
    assert made.why.startswith(("the table is missing", "the decision engine failed"))


@pytest.mark.parametrize(
    "tier", ["kilo-auto/frontier", "kilo-auto/balanced", "kilo-auto/efficient"]
)
def test_paid_tiers_and_models_need_a_key(tier):
    with pytest.raises(Unauthenticated, match="kilo-auto/free"):
        plan(request(tier), ANONYMOUS, DATA)
    with pytest.raises(Unauthenticated):
        plan(request(OPUS), ANONYMOUS, DATA)
    assert (
        plan(request("openrouter/free"), ANONYMOUS, DATA).targets[0].unit.model == "openrouter/free"
    )


def test_concrete_ids_pass_and_limits_hold_on_every_tier():
    assert plan(request("any/thing"), OWNER, DATA).targets[0].unit.model == "any/thing"
    denied = Caller("k", limits=Limits(deny=frozenset({SONNET, "any/thing"})))
    assert plan(request("kilo-auto/frontier"), denied, DATA).targets[0].unit.model == OPUS
    for model in (SONNET, "any/thing"):
        with pytest.raises(NoModelFits, match="denied"):
            plan(request(model), denied, DATA)
    open_only = Caller("k", limits=Limits(open_weights_only=True))
    stands_in = plan(request("kilo-auto/frontier"), open_only, DATA)
    assert "weights are not open" in stands_in.why
    assert all(CATALOGUE.model(t.unit.model).open_weights for t in stands_in.targets)


def test_unreachable_targets_are_passed_over():
    data = replace(DATA, reachable=dict.fromkeys(Interface, frozenset({OPUS})))
    made = plan(request("kilo-auto/frontier"), OWNER, data)
    assert [t.unit.model for t in made.targets] == [OPUS]
    assert "no configured provider serves it" in made.why
    nobody = replace(data, reachable=dict.fromkeys(Interface, frozenset()))
    with pytest.raises(NoModelFits, match="no configured provider"):
        plan(
            request("kilo-auto/balanced", Interface.RESPONSES), OWNER, replace(nobody, engine=None)
        )


def test_the_reason_names_what_was_passed_over_and_what_serves_in_its_place():
    free = request("kilo-auto/free", x_session_id="s")
    mapped = [t.unit.model for t in plan(free, Caller("k"), DATA).targets]
    first, second, third = (name for name in mapped if name != "openrouter/free")
    made = plan(free, Caller("k", limits=Limits(deny=frozenset({first}))), DATA)
    assert [t.unit.model for t in made.targets] == [second, third]
    assert f"{first}: denied" in made.why or mapped[0] != first


@pytest.mark.parametrize(
    "write", [str.upper, str.title, " {} ".format], ids=["upper", "title", "blanks"]
)
@pytest.mark.parametrize("name", [n for t in CATALOGUE.tiers for n in (t.id, *t.aliases)])
def test_a_tier_is_itself_in_any_case(name, write):
    assert tier_of(write(name), CATALOGUE) is CATALOGUE.tier(name)
    with pytest.raises(UnknownModel, match="there is no tier"):
        tier_of(write("kilo-auto/none"), CATALOGUE)
