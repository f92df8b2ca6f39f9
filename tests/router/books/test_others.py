"""What a request would have cost elsewhere: laws of the estimate, which leans against us."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.books.others import BALANCED, FRONTIER, NO_OTHERS, Others, others_of, saved_usd
from router.callers.keys import OWNER
from router.decision.economics import usage_usd
from router.decision.tiers import plan
from router.sessions.session import NEW, Cache, Context
from router.values import Interface, Usage
from tests.router.decision.test_tiers import DATA, request

ASKED = {interface: request("kilo-auto/efficient", interface) for interface in Interface}
CATALOGUE = DATA.catalogue
PRICED = [model.id for model in CATALOGUE.models if model.price is not None and not model.retired]

tokens = st.integers(0, 200_000)
usages = st.builds(
    lambda sent, cached, written, out: Usage(
        sent, out, min(cached, sent), min(written, sent - min(cached, sent))
    ),
    tokens,
    tokens,
    tokens,
    tokens,
)
models = st.sampled_from(PRICED)
sessions = st.just(NEW) | st.builds(
    lambda n, s: replace(NEW, context=Context(caches=(Cache("x/y", n, s),), input_tokens=n)),
    tokens,
    st.floats(0, 10_000),
)


def asked(usage, *, served, usd, session=NEW, former=None, interface=Interface.CHAT) -> Others:
    caller = replace(OWNER, former=former)
    return others_of(
        usage, ASKED[interface], caller, session, DATA, served=served, usd=usd, now_s=10_000.0
    )


def price_of(model_id):
    return CATALOGUE.model(model_id).price


@given(usage=usages, served=models, session=sessions)
def test_the_model_that_served_would_have_cost_what_it_cost(usage, served, session):
    usd = usage_usd(usage, price_of(served))
    others = asked(usage, served=served, usd=usd, session=session, former=served)
    assert others.former_usd == usd
    assert saved_usd(others, usd) == 0


def test_the_model_that_served_is_known_by_any_of_its_names():
    for name in ("claude-sonnet-4.6", "claude-sonnet-4-6", "anthropic/claude-sonnet-4.6"):
        known = DATA.names.of(name).id
        others = asked(Usage(100, 10), served=known, usd=0.123, former=name)
        assert others.former_usd == 0.123, name


@given(usage=usages, served=models, former=models, session=sessions)
def test_another_model_is_never_taken_to_be_dearer_than_its_list(usage, served, former, session):
    usd = usage_usd(usage, price_of(served))
    others = asked(usage, served=served, usd=usd, session=session, former=former)
    if former == served:
        return
    bare = replace(usage, cached_tokens=0, cache_write_tokens=0)
    assert 0 <= others.former_usd <= usage_usd(bare, price_of(former)) + 1e-12
    saved = saved_usd(others, usd)
    assert saved == others.former_usd - usd
    assert saved <= others.former_usd


@given(usage=usages, former=models, session=sessions)
def test_a_cache_that_held_more_saves_no_more(usage, former, session):
    fresh = asked(usage, served="nobody/x", usd=0.0, former=former)
    held = asked(usage, served="nobody/x", usd=0.0, former=former, session=session)
    assert held.former_usd <= fresh.former_usd + 1e-12


@pytest.mark.parametrize("interface", list(Interface), ids=str)
def test_the_tiers_are_priced_as_they_map(interface):
    usage = Usage(1000, 100)
    others = asked(usage, served="nobody/x", usd=0.0, interface=interface)
    for usd, tier in ((others.frontier_usd, FRONTIER), (others.balanced_usd, BALANCED)):
        first = plan(request(tier, interface), OWNER, DATA).targets[0].unit.model
        assert usd == usage_usd(usage, price_of(first))
    assert others.former_usd is None


@pytest.mark.parametrize("tier", ["kilo-auto/frontier", "kilo/auto"])
def test_who_used_a_tier_before_is_compared_with_what_it_maps_to(tier):
    others = asked(Usage(1000, 100), served="nobody/x", usd=0.0, former=tier)
    assert others.former_usd == others.frontier_usd


@pytest.mark.parametrize("former", ["nobody/ever", "", "\0", "kilo-auto/nothing"])
def test_a_model_without_a_price_would_have_cost_nobody_knows_what(former):
    others = asked(Usage(1000, 100), served="nobody/x", usd=0.5, former=former)
    assert others.former_usd is None
    assert saved_usd(others, 0.5) == others.frontier_usd - 0.5


def test_where_no_price_is_known_nothing_is_saved():
    assert saved_usd(NO_OTHERS, 1.0) is None
    assert saved_usd(Others(frontier_usd=1.0), None) is None
