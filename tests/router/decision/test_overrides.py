"""A tier per mode or agent, and mappings of a caller's own: what takes whose place, and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.keys import OWNER
from router.callers.overrides import agents_of
from router.decision.pool import pool_of, standing_of
from router.decision.tiers import plan
from router.errors import NoModelFits
from router.values import Caller, Interface, Limits, Unit
from tests.router.decision.test_tiers import CATALOGUE, DATA, OPUS, SONNET, request

GPT, HAIKU = "openai/gpt-5.5", "anthropic/claude-haiku-4.5"
TIERS = [tier.id for tier in CATALOGUE.tiers]
AGENTS = sorted(agents_of(CATALOGUE))
REACH = frozenset(m.id for m in CATALOGUE.models)
PER_AGENT = {"code": "kilo-auto/frontier", "explore": "kilo-auto/free", "subagent": "auto-small"}

tiers_set = st.dictionaries(st.sampled_from(AGENTS), st.sampled_from(TIERS), max_size=4)
rows_set = st.dictionaries(
    st.sampled_from([*AGENTS, "chat", "messages", "paid", "default"]),
    st.sampled_from([GPT, f"{GPT}@high", HAIKU]),
    max_size=4,
)


def first(made):
    return made.targets[0].unit


@pytest.mark.parametrize("asked", ["", "kilo-auto/balanced", "kilo-auto/efficient", "kilo/auto"])
def test_a_tier_that_is_set_for_an_agent_takes_the_place_of_the_one_asked_for(asked):
    caller = Caller("k", tiers=PER_AGENT)
    code = plan(request(asked, x_kilocode_mode="Code"), caller, DATA)
    assert (code.tier, first(code).model) == ("kilo-auto/frontier", SONNET)
    explore = plan(request(asked, x_kilocode_mode="explore", x_session_id="s"), caller, DATA)
    assert explore.tier == "kilo-auto/free"
    assert explore.why.startswith("explore is set to kilo-auto/free for this caller: ")
    sub = plan(request(asked, x_parent_session_id="p"), caller, DATA)
    assert sub.tier == "kilo-auto/small"


@pytest.mark.parametrize(
    ("header", "agent"),
    [
        ({"x_claude_code_agent_type": "Explore", "x_claude_code_agent_id": "1"}, "explore"),
        ({"x_openai_subagent": "review"}, "review"),
        ({"x_claude_code_agent_id": "1"}, "subagent"),
        ({"x_kilocode_mode": "compaction"}, "compaction"),
        ({"x_kilocode_mode": "my-agent"}, "my-agent"),
    ],
)
def test_agents_are_known_by_what_their_clients_call_them(header, agent):
    caller = Caller("k", tiers={agent: "kilo-auto/small"})
    assert plan(request("kilo-auto/frontier", **header), caller, DATA).tier == "kilo-auto/small"


@given(
    tiers_set,
    rows_set,
    st.sampled_from([GPT, OPUS, "any/thing"]),
    st.sampled_from(AGENTS),
    st.sampled_from(list(Interface)),
)
def test_a_model_by_its_name_is_never_changed(tiers, row, model, agent, interface):
    caller = Caller("k", tiers=tiers, mappings=dict.fromkeys(TIERS, row))
    asked = request(model, interface, x_kilocode_mode=agent)
    assert plan(asked, caller, DATA) == plan(asked, Caller("k"), DATA)


@given(
    tiers_set,
    rows_set,
    st.sampled_from(["", *TIERS]),
    st.sampled_from(AGENTS),
    st.sampled_from(list(Interface)),
)
def test_what_a_caller_sets_for_others_leaves_a_request_as_it_is(
    tiers, row, name, agent, interface
):
    """Nothing that it sets speaks of this agent, this format, or all."""
    others = {k: v for k, v in tiers.items() if k != agent}
    rows = {k: v for k, v in row.items() if k not in {agent, interface.value, "paid", "default"}}
    caller = Caller("k", tiers=others, mappings=dict.fromkeys(TIERS, rows))
    asked = request(name, interface, x_kilocode_mode=agent, x_session_id="s")
    made, plain = plan(asked, caller, DATA), plan(asked, Caller("k"), DATA)
    assert (made.tier, made.targets, made.why) == (plain.tier, plain.targets, plain.why)


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_can_be_mapped_anew_and_keeps_its_own_models_behind(tier):
    caller = Caller("k", mappings={tier: {"default": f"{GPT}@high"}})
    made = plan(request(tier, x_session_id="s"), caller, DATA)
    assert (made.tier, first(made)) == (tier, Unit(GPT, "high"))
    assert "as is set for this caller" in made.why
    behind = {t.unit.model for t in made.targets[1:]}
    shipped = CATALOGUE.tier("kilo-auto/balanced" if tier == "kilo-auto/efficient" else tier)
    assert behind
    assert behind <= shipped.model_ids


def test_a_mapping_without_an_effort_keeps_the_tiers_where_the_model_has_it():
    caller = Caller("k", mappings={"kilo/auto": {"plan": "gpt-5.5", "ask": "z-ai/glm-5.1"}})
    made = plan(request("kilo-auto/frontier", x_kilocode_mode="plan"), caller, DATA)
    assert (first(made), made.targets[0].verbosity) == (Unit(GPT, "medium"), "medium")
    made = plan(request("kilo-auto/frontier", x_kilocode_mode="ask"), caller, DATA)
    assert first(made) == Unit("z-ai/glm-5.1")


def test_a_mapping_that_may_not_serve_falls_back_and_says_why():
    rows = {"kilo/auto": {"plan": GPT}, "kilo-auto/efficient": {"plan": HAIKU}}
    denied = Caller("k", limits=Limits(deny=frozenset({GPT, HAIKU})), mappings=rows)
    made = plan(request("kilo-auto/frontier", x_kilocode_mode="plan"), denied, DATA)
    assert first(made).model == OPUS
    assert made.why.startswith(f"{GPT}: denied, so {OPUS}. ")
    made = plan(request("kilo-auto/efficient", x_kilocode_mode="plan"), denied, DATA)
    assert made.decision is not None
    assert made.why.startswith(f"{HAIKU}: denied, so evidence decides. ")
    away = replace(DATA, reachable=dict.fromkeys(Interface, frozenset({SONNET})))
    made = plan(request("kilo/auto", x_kilocode_mode="plan"), Caller("k", mappings=rows), away)
    assert first(made).model == SONNET
    assert "no configured provider serves it" in made.why


def test_what_is_set_for_the_free_tier_does_not_let_others_that_cost_stand_in():
    free = CATALOGUE.tier("kilo-auto/free").model_ids
    caller = Caller(
        "k", limits=Limits(deny=free | {GPT}), mappings={"kilo-auto/free": {"default": GPT}}
    )
    with pytest.raises(NoModelFits, match="no other may stand in"):
        plan(request("kilo-auto/free"), caller, DATA)


def test_a_pin_is_before_any_mapping():
    caller = Caller("k", limits=Limits(pin=OPUS), mappings={"kilo/auto": {"default": GPT}})
    assert first(plan(request("kilo/auto"), caller, DATA)).model == OPUS


@given(rows_set, st.sampled_from(TIERS), st.sampled_from(AGENTS), st.sampled_from(list(Interface)))
def test_what_serves_a_tier_is_in_its_pool(row, tier, agent, interface):
    caller = Caller("k", mappings={tier: row}, limits=Limits(deny=frozenset({HAIKU})))
    asked = request(tier, interface, x_kilocode_mode=agent, x_session_id="s")
    pool = pool_of(CATALOGUE.tier(tier), caller, DATA, standing_of(caller, DATA, REACH))
    assert first(plan(asked, caller, DATA)).model in pool.models


def test_the_owner_has_the_catalogues_rows():
    tier = CATALOGUE.tier("kilo-auto/frontier")
    rows = pool_of(tier, OWNER, DATA, standing_of(OWNER, DATA, REACH)).rows
    assert {key: target.unit.model for key, target in rows.items()} == tier.modes
