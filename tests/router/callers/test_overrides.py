"""What a caller sets for itself: which is the nearest, and what is refused when it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.keys import Key
from router.callers.overrides import OTHERS, agents_of, checked, model_set, tier_set
from router.evidence.catalogue import load_catalogue
from router.evidence.names import Names
from router.values import Caller, Interface, Unit

CATALOGUE = load_catalogue()
NAMES = Names(CATALOGUE)
FRONTIER = CATALOGUE.tier("kilo-auto/frontier")


def problems(tiers=None, mappings=None, *, unlisted=False):
    return checked(tiers or {}, mappings or {}, CATALOGUE, NAMES, unlisted=unlisted)


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ({"code": "kilo-auto/fronteer"}, "there is no tier 'kilo-auto/fronteer'; there are"),
        ({"code": "openai/gpt-5.5"}, "there is no tier"),
        ({"exlpore": "kilo-auto/free"}, "did you mean explore"),
        ({"Code": "kilo-auto/free"}, "small letters"),
        ({"": "kilo-auto/free"}, "1 to 64"),
        ({"a\nb": "kilo-auto/free"}, "1 to 64"),
        ({"chat": "kilo-auto/free"}, "no mode or agent"),
        ({"default": "kilo-auto/free"}, "no mode or agent"),
    ],
)
def test_a_tier_or_agent_that_there_is_not_is_refused(tiers, said):
    assert said in " ".join(problems(tiers))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"plan": "openai/gpt-55"}, "there is no model 'openai/gpt-55'"),
        ({"plan": "openai/gpt-5.5@enormous"}, "no effort 'enormous'; it has"),
        ({"plan": "z-ai/glm-5.1@high"}, "no list gives it any"),
        ({"plan": "openai/gpt-5.5:nitro"}, "not to their variants; write openai/gpt-5.5"),
        ({"plan": "kilo-auto/free"}, "a tier maps to models"),
        ({"arcitect": "openai/gpt-5.5"}, "did you mean architect"),
        ({"mesages": "openai/gpt-5.5"}, "did you mean messages"),
    ],
)
def test_a_mapping_to_or_for_what_there_is_not_is_refused(row, said):
    found = problems(mappings={"kilo-auto/frontier": row})
    assert len(found) == 1
    assert said in found[0]


def test_a_mapping_of_a_tier_that_there_is_not_is_refused():
    assert (
        "there is no tier" in problems(mappings={"kilo-auto/none": {"plan": "openai/gpt-5.5"}})[0]
    )


def test_what_a_server_of_ones_own_may_have_is_not_refused_before_it_says_so():
    row = {"kilo-auto/free": {"default": "my-own-model"}}
    assert problems(mappings=row)
    assert not problems(mappings=row, unlisted=True)


@pytest.mark.parametrize("agent", ["coder", "my-code", "reviewer", "général", "code-simplifier"])
def test_agents_of_ones_own_are_taken(agent):
    assert not problems({agent: "kilo/auto"}, {"kilo/auto": {agent: "gpt-5.5@low"}})


@given(
    st.dictionaries(
        st.sampled_from(sorted(agents_of(CATALOGUE))),
        st.sampled_from([name for t in CATALOGUE.tiers for name in (t.id, *t.aliases)]),
    ),
    st.dictionaries(
        st.sampled_from(sorted(agents_of(CATALOGUE) | OTHERS)),
        st.sampled_from([str(Unit(m.id, e)) for m in CATALOGUE.models for e in (None, *m.efforts)]),
    ),
)
def test_whatever_the_catalogue_has_may_be_set(tiers, row):
    assert problems(tiers, {tier.id: row for tier in CATALOGUE.tiers}) == ()


def test_the_nearest_is_taken_agent_before_format_before_balance_before_default():
    row = {"default": "d", "paid": "p", "chat": "c", "subagent": "s", "explore": "e"}
    roles = ("explore", "subagent")
    for left in (row, *({k: row[k] for k in list(row)[:n]} for n in (4, 3, 2, 1))):
        caller = Caller("k", mappings={"kilo/auto": left})
        found = model_set(caller, FRONTIER, CATALOGUE, roles, Interface.CHAT)
        assert found.what == list(left.values())[-1]
    poor = Caller("k", balance=False, mappings={"kilo/auto": row})
    assert model_set(poor, FRONTIER, CATALOGUE, (), Interface.MESSAGES).what == "d"
    assert model_set(caller, CATALOGUE.tier("auto-small"), CATALOGUE, roles, Interface.CHAT) is None


def test_the_nearest_role_decides_on_the_tier():
    caller = Caller("k", tiers={"subagent": "kilo-auto/free", "explore": "kilo-auto/small"})
    assert tier_set(caller, ("explore", "subagent")).what == "kilo-auto/small"
    assert tier_set(caller, ("general", "subagent")).what == "kilo-auto/free"
    assert tier_set(caller, ("code",)) is None


def test_a_key_hands_its_holder_what_it_sets():
    key = Key(
        name="anna",
        sha256="0" * 64,
        tiers={"explore": "kilo-auto/free"},
        mappings={"kilo-auto/frontier": {"plan": "openai/gpt-5.5@high"}},
        team="web",
    )
    caller = key.caller
    assert (caller.tiers, caller.mappings, caller.team) == (key.tiers, key.mappings, "web")


@given(st.from_regex(r"[a-z0-9./:-]+", fullmatch=True), st.none() | st.sampled_from(["low", "max"]))
def test_a_unit_is_read_as_it_is_written(model, effort):
    unit = Unit(model, effort)
    assert Unit.parse(str(unit)) == unit
