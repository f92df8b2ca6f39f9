"""With any one vendor's key every tier is served as near to its meaning as that vendor can."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from router.callers.keys import OWNER
from router.decision.coverage import gaps, said_of_gaps
from router.decision.engine import Engine
from router.decision.nearest import MODERATE
from router.decision.tiers import Data, Standing, plan
from router.errors import NoModelFits
from router.evidence.dialects import load_dialects
from router.evidence.names import Names
from router.providers.endpoints import Providers, load_providers
from router.values import Caller, Interface, Limits
from tests.router.decision.test_tiers import request

ENGINE = Engine.load()
CATALOGUE = ENGINE.catalogue
ROWS = load_providers()
VENDORS = [row.name for row in ROWS if row.key_env]
TIERS = ["frontier", "balanced", "efficient", "small", "free"]
POOR = Caller("poor", balance=False)


@cache
def data_of(*vendors):
    found = Providers(ROWS, dict.fromkeys(vendors, "k"))
    reachable = {i: found.reachable(CATALOGUE, i) for i in Interface}
    openings = {i: " or ".join(found.openings(i)) for i in Interface}
    return Data(CATALOGUE, ENGINE, "", reachable, Names(CATALOGUE), openings=openings)


def planned(tier, interface, data, caller=OWNER):
    return plan(request(f"kilo-auto/{tier}", interface), caller, data)


def paid(model_ids):
    sold = [m for m in map(CATALOGUE.model, model_ids) if not m.retired]
    return [m for m in sold if not m.free and m.data_policy != "may_log"]


def job_usd(model):
    return 500 * model.price.input + 320 * model.price.output


@pytest.mark.parametrize("interface", list(Interface), ids=str)
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("tier", TIERS)
def test_with_one_vendors_key_a_tier_is_served_wherever_the_vendor_has_a_model_for_it(
    tier, vendor, interface
):
    data = data_of(vendor)
    served = data.reachable[interface]
    free = {m.id for m in CATALOGUE.models if m.free and not m.retired}
    able = served & free if tier == "free" else {m.id for m in paid(served)}
    if not able:
        with pytest.raises(NoModelFits) as refused:
            planned(tier, interface, data)
        if vendor not in {"openrouter", "kilo"}:
            assert "OPENROUTER_API_KEY" in str(refused.value)
        return
    made = planned(tier, interface, data)
    names = [target.unit.model for target in made.targets]
    assert set(names) <= served
    assert names[0] in able
    assert tier != "free" or set(names) <= free
    tier_of = CATALOGUE.tier(f"kilo-auto/{tier}")
    if tier != "efficient" and not tier_of.model_ids & served:
        assert f"so {names[0]} stands in" in made.why


@pytest.mark.parametrize("interface", list(Interface), ids=str)
@pytest.mark.parametrize("vendor", VENDORS)
def test_what_stands_in_is_what_the_tier_is_for(vendor, interface):
    data, standing = data_of(vendor), ENGINE.standing
    models = paid(data.reachable[interface])
    if not models:
        return
    measured = [m for m in models if m.id in standing]
    if "stands in" in (made := planned("small", interface, data)).why:
        first = CATALOGUE.model(made.targets[0].unit.model)
        assert job_usd(first) == min(map(job_usd, models))
    if measured and "stands in" in (made := planned("frontier", interface, data)).why:
        best = max(standing[m.id] for m in measured)
        assert standing[made.targets[0].unit.model] == best
    if measured and "stands in" in (made := planned("balanced", interface, data)).why:
        best = max(standing[m.id] for m in measured)
        near = [m for m in measured if standing[m.id] >= best - MODERATE]
        first = CATALOGUE.model(made.targets[0].unit.model)
        assert job_usd(first) == min(map(job_usd, near))


def test_without_a_paid_balance_small_stays_free():
    with pytest.raises(NoModelFits):
        planned("small", Interface.CHAT, data_of("openai"), POOR)
    gone = frozenset({"google/gemma-4-26b-a4b-it:free"})
    everything = data_of("openrouter")
    kept = {i: ids - gone for i, ids in everything.reachable.items()}
    made = planned("small", Interface.CHAT, replace(everything, reachable=kept), POOR)
    assert "stands in" in made.why
    assert all(CATALOGUE.model(t.unit.model).free for t in made.targets)


def test_a_paid_tier_never_becomes_one_that_logs_prompts():
    free = frozenset(m.id for m in CATALOGUE.models if m.free)
    data = replace(data_of("openrouter"), reachable=dict.fromkeys(Interface, free))
    for tier in ("frontier", "balanced", "efficient", "small"):
        with pytest.raises(NoModelFits, match="may log prompts"):
            planned(tier, Interface.CHAT, data)
        allows = replace(OWNER, limits=Limits(prompt_logging=True))
        assert planned(tier, Interface.CHAT, data, allows).targets[0].unit.model in free


def test_who_stands_in_is_within_the_callers_limits():
    data = data_of("openai")
    for limits in (Limits(deny=frozenset({"openai/gpt-5.5"})), Limits(allow=frozenset({"*mini"}))):
        made = planned("frontier", Interface.CHAT, data, replace(OWNER, limits=limits))
        names = {target.unit.model for target in made.targets}
        assert "openai/gpt-5.5" not in names
        assert limits.allow is None or all(name.endswith("mini") for name in names)


def test_without_an_engine_the_dearest_counts_as_the_best():
    data = replace(data_of("openai"), engine=None, engine_error="no table")
    dearest = max(paid(data.reachable[Interface.CHAT]), key=job_usd)
    assert planned("frontier", Interface.CHAT, data).targets[0].unit.model == dearest.id
    assert planned("small", Interface.CHAT, data).targets


# What is said when the gateway starts.


def test_what_cannot_be_served_is_said_with_the_way_out():
    assert gaps(data_of("openrouter")) == {}
    assert said_of_gaps(data_of("openrouter")) == []
    found = gaps(data_of("anthropic"))
    assert found["kilo-auto/free"] == [i.value for i in Interface]
    assert found["kilo-auto/small"] == ["chat", "responses"]
    said = said_of_gaps(data_of("anthropic"))
    assert said[-1].startswith("to serve all: OPENROUTER_API_KEY")
    assert any("kilo-auto/free" in line for line in said)


def test_what_is_said_at_the_start_is_what_requests_meet():
    for vendor in VENDORS:
        data, found = data_of(vendor), gaps(data_of(vendor))
        for tier in TIERS:
            for interface in Interface:
                try:
                    planned(tier, interface, data)
                    served = True
                except NoModelFits:
                    served = False
                assert served != (interface.value in found.get(f"kilo-auto/{tier}", []))


def planned_with_tools(tier, interface, *vendors):
    """Plan for a request with a tool, by what the vendors take; also what says what they do not."""
    asked = request(f"kilo-auto/{tier}", interface)
    asked = replace(asked, needs=replace(asked.needs, tools=True, n_tools=1))
    providers = Providers(ROWS, dict.fromkeys(vendors, "k"), load_dialects())
    bars = providers.bars(asked.needs)
    return plan(asked, OWNER, data_of(*vendors), Standing(bars=bars)), bars


@pytest.mark.parametrize("interface", list(Interface), ids=str)
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("tier", TIERS)
def test_no_tier_asks_a_vendor_for_an_effort_that_it_refuses(tier, vendor, interface):
    try:
        made, bars = planned_with_tools(tier, interface, vendor)
    except NoModelFits:
        return
    assert [bars(target.unit) for target in made.targets] == [None] * len(made.targets)


def test_who_can_keep_the_effort_stands_in_before_who_serves_without_thinking():
    made, _ = planned_with_tools("frontier", Interface.CHAT, "openai")
    efforts = [target.unit.effort for target in made.targets]
    assert efforts[0] == "medium"
    assert "none" in efforts
    assert efforts == sorted(efforts, key="none".__eq__)
