"""What holds for a caller: limits only narrow, the nearest preference counts, every meter is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from router.callers.meters import Meter, Period, Resource
from router.callers.terms import Terms, allowances_of, caller_of, limits_of, meters_of
from router.evidence.names import lists
from router.values import Caller

MODELS = ("openai/gpt-5.5", "openai/gpt-5.4", "anthropic/claude-opus-4.8", "z-ai/glm-5")
ENTRIES = st.sampled_from([*MODELS, "openai/*", "*opus*", "*"])
ANYBODY = Caller("anna")

SAID = st.fixed_dictionaries(
    {},
    optional={
        "allow": st.frozensets(ENTRIES, min_size=1, max_size=3),
        "deny": st.frozensets(ENTRIES, max_size=3),
        "max_cost_usd": st.floats(0, 10),
        "min_quality": st.floats(0, 1),
        "open_weights_only": st.booleans(),
        "data_policies": st.frozensets(st.sampled_from("abc"), min_size=1),
        "prompt_logging": st.booleans(),
        "pin": st.sampled_from(MODELS),
    },
)


def admitted(limits, model: str) -> bool:
    listed = limits.allow is None or lists(limits.allow, model)
    return listed and not lists(limits.deny, model)


@given(st.lists(SAID.map(Terms.model_validate), min_size=2, max_size=3))
def test_a_scope_within_only_narrows(scopes):
    wide, close = limits_of(scopes[:-1], ANYBODY), limits_of(scopes, ANYBODY)
    for model in MODELS:
        assert admitted(close, model) <= admitted(wide, model)
    if wide.max_cost_usd is not None:
        assert close.max_cost_usd <= wide.max_cost_usd
    assert close.min_quality >= wide.min_quality
    assert close.open_weights_only >= wide.open_weights_only
    if wide.data_policies is not None:
        assert close.data_policies <= wide.data_policies
    if wide.pin is not None:
        assert close.pin == wide.pin
    if any(
        terms.prompt_logging is False and "prompt_logging" in terms.model_fields_set
        for terms in scopes
    ):
        assert not close.prompt_logging


@given(SAID.map(Terms.model_validate))
def test_terms_that_say_nothing_change_nothing(terms):
    alone = limits_of([terms], ANYBODY)
    assert limits_of([Terms(), terms, Terms()], ANYBODY) == alone


def test_lists_without_anything_in_common_allow_nothing_rather_than_all():
    limits = limits_of([Terms(allow={"openai/*"}), Terms(allow={"z-ai/*"})], ANYBODY)
    assert limits.allow == frozenset()
    assert not any(admitted(limits, model) for model in MODELS)


def test_of_preferences_the_nearest_word_counts():
    org = Terms(dial="economy", tiers={"code": "kilo-auto/frontier", "ask": "kilo-auto/free"})
    team = Terms(mappings={"kilo-auto/free": {"default": "a/b", "paid": "c/d"}}, balance=False)
    key = Terms(tiers={"code": "kilo-auto/small"}, mappings={"kilo-auto/free": {"paid": "e/f"}})
    caller = caller_of("anna", [org, team, key], team="core")
    assert (caller.dial.name, caller.balance, caller.team) == ("economy", False, "core")
    assert caller.tiers == {"code": "kilo-auto/small", "ask": "kilo-auto/free"}
    assert caller.mappings == {"kilo-auto/free": {"default": "a/b", "paid": "e/f"}}


def test_an_anonymous_caller_is_under_limits_but_not_served_what_others_are():
    org = Terms(deny={"openai/*"}, tiers={"code": "kilo-auto/frontier"}, balance=True)
    caller = caller_of("anonymous", [org], anonymous=True)
    assert caller.limits.deny == {"openai/*"}
    assert (caller.tiers, caller.balance, caller.anonymous) == ({}, False, True)


@pytest.mark.parametrize("usd", [-1, "nan", "inf", None])
def test_dollars_are_a_number_from_zero_on(usd):
    with pytest.raises(ValidationError):
        Terms.model_validate({"budgets": [{"usd": usd, "per": "month"}]})
    if usd is not None:
        with pytest.raises(ValidationError):
            Terms(credit_usd=usd)


def test_a_budget_is_of_the_calendar_and_of_one_for_each_period():
    with pytest.raises(ValidationError, match="a day, a week or a month"):
        Terms.model_validate({"budgets": [{"usd": 1, "per": "minute"}]})
    with pytest.raises(ValidationError, match="two budgets a month"):
        Terms.model_validate({"budgets": [{"usd": n, "per": "month"} for n in (20, 50)]})


def test_every_meter_of_every_scope_holds_on_its_own_account():
    team = Terms(budgets=({"usd": 5, "per": "day"},), requests_per_minute=3)
    key = Terms(credit_usd=0, tokens_per_minute=1000)
    found = allowances_of({"org": Terms(), "team:a:b": team, "key:anna": key})
    assert set(found) == {
        ("team:a:b", Meter(Resource.USD, Period.DAY, 5.0)),
        ("team:a:b", Meter(Resource.REQUESTS, Period.MINUTE, 3)),
        ("key:anna", Meter(Resource.TOKENS, Period.MINUTE, 1000)),
        ("key:anna", Meter(Resource.USD, Period.TOTAL, 0.0)),
    }
    assert meters_of(Terms()) == ()


def test_an_empty_list_is_refused_because_it_would_read_as_no_limit():
    with pytest.raises(ValidationError, match="allows no model at all"):
        Terms(allow=[])


def test_a_dial_that_there_is_not_is_told_the_stops():
    with pytest.raises(ValidationError, match="economy"):
        Terms(dial="cheap")
