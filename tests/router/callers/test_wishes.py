"""What the headers of a request ask for: each is read or refused, and none ever widens a key."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from auto_efficient.cli import app
from router.callers.keys import OWNER, Key
from router.callers.wishes import (
    NARROWED,
    NO,
    ON_OFF,
    PREFIX,
    WISHES,
    YES,
    Wished,
    narrowed,
    read_wishes,
)
from router.decision.eligible import Way, eligibility_of
from router.decision.policy import decide
from router.errors import BadRequest, NoModelFits
from router.sessions.session import NEW
from router.values import DIALS, Caller, Limits, Needs, SessionWishes, Unit
from tests.evidence import assessment, catalogue, model, table

FIELDS = Limits.model_fields.keys()
HEADERS = [wish.header for wish in WISHES]
BOOLEANS = [wish.header for wish in WISHES if wish.takes == ON_OFF]


def limit(field, value):
    return Wished(limits={field: value})


GOOD = {
    "x-auto-dial": {name.upper(): Wished(dial=dial) for name, dial in DIALS.items()},
    "x-auto-allow": {"a/x, b/y": limit("allow", frozenset({"a/x", "b/y"}))},
    "x-auto-deny": {" a/x b/y,": limit("deny", frozenset({"a/x", "b/y"}))},
    "x-auto-max-cost": {"0": limit("max_cost_usd", 0.0), "1e-2": limit("max_cost_usd", 0.01)},
    "x-auto-min-quality": {"0.5": limit("min_quality", 0.5), "1": limit("min_quality", 1.0)},
    "x-auto-open-weights": {"On": limit("open_weights_only", True)},
    "x-auto-data-policies": {"kept": limit("data_policies", frozenset({"kept"}))},
    "x-auto-prompt-logging": {"off": limit("prompt_logging", False)},
    "x-auto-pin": {
        "a/x": Wished(session=SessionWishes(pin="a/x")),
        "Off": Wished(session=SessionWishes(unpin=True)),
    },
    "x-auto-switch": {
        "off": Wished(session=SessionWishes(stays=True)),
        "on": Wished(session=SessionWishes(stays=False)),
    },
    "x-auto-reassess": {"yes": Wished(session=SessionWishes(reassess=True))},
}
"""Header → value → what is read of it."""

BAD = {
    "x-auto-dial": ["loud", "balanced economy"],
    "x-auto-allow": [",", " , "],
    "x-auto-deny": [","],
    "x-auto-max-cost": ["cheap", "-1", "nan", "$1", "1,5"],
    "x-auto-min-quality": ["1.1", "-0.1", "nan", "inf", "high"],
    "x-auto-open-weights": ["maybe", "2", "on off"],
    "x-auto-data-policies": [","],
    "x-auto-prompt-logging": ["maybe"],
    "x-auto-pin": [],
    "x-auto-switch": ["maybe", "a/x"],
    "x-auto-reassess": ["now"],
}


# Reading.


@pytest.mark.parametrize("header", HEADERS)
def test_every_header_is_read(header):
    for value, wished in GOOD[header].items():
        assert read_wishes({header: value}) == wished, value


@pytest.mark.parametrize("header", HEADERS)
def test_what_cannot_be_read_is_refused_naming_the_header_and_what_it_takes(header):
    takes = next(wish.takes for wish in WISHES if wish.header == header)
    for value in ["", "  ", *BAD[header]]:
        with pytest.raises(BadRequest) as refused:
            read_wishes({header: value})
        assert str(refused.value).startswith(f"{header}: "), value
        assert str(refused.value).endswith(f"it takes {takes}"), value


def test_yes_and_no_are_the_same_words_everywhere():
    assert len(BOOLEANS) == 4
    for header in BOOLEANS:
        for words in (YES, NO):
            read = [read_wishes({header: word}) for word in (*words, *map(str.upper, words))]
            assert read == read[:1] * len(read), header
        assert read_wishes({header: "on"}) != read_wishes({header: "off"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x-auto-max-costs", "did you mean x-auto-max-cost?"),
        ("x-auto-allows", "did you mean x-auto-allow?"),
        ("x-auto-data-policy", "did you mean x-auto-data-policies?"),
        ("x-auto-qqqqqqqqqqqqqqq", "there are x-auto-dial, "),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_a_suggestion(name, hint):
    with pytest.raises(BadRequest, match=f"there is no request header {name}; ") as refused:
        read_wishes({name: "on"})
    assert hint in str(refused.value)


def test_other_peoples_headers_are_none_of_its_business():
    assert read_wishes({"x-automatic": "?", "x-autopin": "", "accept": "*/*"}) == Wished()


def test_several_headers_add_up_in_any_order():
    said = {header: next(iter(values)) for header, values in GOOD.items()}
    wished = read_wishes(said)
    assert wished == read_wishes(dict(reversed(said.items())))
    assert wished.limits.keys() == FIELDS - {"pin"}
    assert wished.session == SessionWishes(pin="a/x", stays=True, reassess=True)
    assert wished.dial is not None


# One vocabulary: what a caller may limit, a key, a header and the command line may.

OPTIONS = {
    "allow": "--allow",
    "deny": "--deny",
    "max_cost_usd": "--max-cost",
    "min_quality": "--min-quality",
    "open_weights_only": "--open-weights",
    "data_policies": "--data-policy",
    "prompt_logging": "--prompt-logging",
    "pin": "--pin",
}


def test_every_limit_has_a_row_that_narrows_it():
    assert NARROWED.keys() == FIELDS


def test_every_limit_has_a_header_and_the_pin_is_the_sessions():
    assert GOOD.keys() == BAD.keys() == set(HEADERS)
    read = [read_wishes({h: v}) for h, values in GOOD.items() for v in values]
    assert {name for wished in read for name in wished.limits or ()} == FIELDS - {"pin"}
    assert any(wished.session.pin for wished in read)


def test_every_limit_of_a_key_is_its_callers():
    limits = Limits(
        allow=frozenset("ab"), deny=frozenset("c"), max_cost_usd=1.0, min_quality=0.5,
        open_weights_only=True, data_policies=frozenset({"kept"}), prompt_logging=True, pin="a",
    )  # fmt: skip
    assert all(value != Limits.model_fields[name].default for name, value in limits)
    sha256 = hashlib.sha256(b"k").hexdigest()
    caller = Key(name="anna", sha256=sha256, dial="economy", **limits.model_dump()).caller
    assert caller == Caller("anna", dial=DIALS["economy"], limits=limits)
    assert Key(name="ben", sha256=sha256).caller == Caller("ben")


@pytest.mark.parametrize(
    ("field", "value"),
    [("allow", []), ("data_policies", []), ("dial", "loud"), ("max_cost_usd", -1), ("alow", ["a"])],
)
def test_a_key_whose_limits_make_no_sense_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Key(name="anna", sha256="0" * 64, **{field: value})


@pytest.mark.parametrize("field", FIELDS)
def test_every_limit_has_an_option_of_the_command_line(field):
    route = typer.main.get_command(app).commands["route"]
    assert OPTIONS.keys() == FIELDS
    assert OPTIONS[field] in {name for option in route.params for name in option.opts}


def test_the_older_name_of_an_option_still_works():
    route = typer.main.get_command(app).commands["route"]
    [option] = [option for option in route.params if "--allow-logging" in option.opts]
    assert "--prompt-logging" in option.opts


# Narrowing.

KEPT = Limits(allow=frozenset("ab"), deny=frozenset("z"), max_cost_usd=1.0, min_quality=0.3)


@pytest.mark.parametrize(
    ("headers", "holds"),
    [
        ({"x-auto-allow": "b, c"}, {"allow": frozenset("b")}),
        ({"x-auto-allow": "c"}, {"allow": frozenset()}),
        ({"x-auto-deny": "d"}, {"deny": frozenset("dz")}),
        ({"x-auto-max-cost": "5"}, {}),
        ({"x-auto-max-cost": "0.5"}, {"max_cost_usd": 0.5}),
        ({"x-auto-min-quality": "0.1"}, {}),
        ({"x-auto-min-quality": "0.6"}, {"min_quality": 0.6}),
        ({"x-auto-open-weights": "off"}, {}),
        ({"x-auto-data-policies": "kept"}, {"data_policies": frozenset({"kept"})}),
        ({"x-auto-pin": "c"}, {}),
    ],
)
def test_of_a_key_and_its_request_the_narrower_holds(headers, holds):
    caller = Caller("k", limits=KEPT)
    assert narrowed(caller, read_wishes(headers)).limits == KEPT.model_copy(update=holds)


def test_a_dial_of_the_request_takes_the_place_of_the_keys():
    caller = narrowed(Caller("k", limits=KEPT), read_wishes({"x-auto-dial": "quality"}))
    assert caller == Caller("k", dial=DIALS["quality"], limits=KEPT)


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (OWNER, True),
        (Caller("k", limits=Limits(prompt_logging=True)), True),
        (Caller("k"), False),
        (Caller("anonymous", anonymous=True), False),
    ],
)
def test_prompt_logging_is_switched_on_only_by_who_may_and_off_by_everyone(caller, may):
    on, off = (read_wishes({"x-auto-prompt-logging": word}) for word in ("on", "off"))
    assert not narrowed(caller, off).limits.prompt_logging
    if may:
        assert narrowed(caller, on).limits.prompt_logging
    else:
        with pytest.raises(BadRequest, match="x-auto-prompt-logging"):
            narrowed(caller, on)


POLICIES = ["kept", "none_kept", "may_log"]
MODELS = tuple(
    model(f"v/m{i}", open_weights=i % 2 == 0, free=i == 4, data_policy=POLICIES[i % 3])
    for i in range(6)
)
IDS = [m.id for m in MODELS]
CATALOGUE = catalogue(*MODELS)
TABLE = table(
    [0.4, 0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.4, 0.8, 1.6, 3.2], units=tuple(map(Unit, IDS))
)

some_ids = st.frozensets(st.sampled_from(IDS), min_size=1)
some_policies = st.frozensets(st.sampled_from(POLICIES), min_size=1)
limits = st.builds(
    Limits,
    allow=st.none() | st.frozensets(st.sampled_from(IDS)),
    deny=st.frozensets(st.sampled_from(IDS)),
    max_cost_usd=st.none() | st.floats(0, 4),
    min_quality=st.floats(0, 1),
    open_weights_only=st.booleans(),
    data_policies=st.none() | st.frozensets(st.sampled_from(POLICIES)),
    prompt_logging=st.booleans(),
    pin=st.none() | st.sampled_from(IDS),
)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "x-auto-allow": some_ids.map(",".join),
        "x-auto-deny": some_ids.map(" ".join),
        "x-auto-max-cost": st.floats(0, 5).map(repr),
        "x-auto-min-quality": st.floats(0, 1).map(repr),
        "x-auto-open-weights": st.sampled_from(sorted(YES | NO)),
        "x-auto-data-policies": some_policies.map(",".join),
        "x-auto-prompt-logging": st.sampled_from(sorted(YES | NO)),
        "x-auto-pin": st.sampled_from(IDS),
    },
)


def allowed(caller):
    """Return what may serve: (way, model) without numbers, and what the engine compares."""
    asked = eligibility_of(caller, Needs(), CATALOGUE, None)
    found = {(way, i) for way in Way for i in IDS if asked.refusal(i, way) is None}
    try:
        candidates = decide(assessment(), asked, NEW, TABLE, caller.dial).candidates
    except NoModelFits:
        candidates = ()
    return found | {candidate.unit for candidate in candidates}


@given(limits, wishes)
def test_a_request_never_allows_what_its_key_does_not(key, headers):
    caller = Caller("k", limits=key)
    try:
        asks = narrowed(caller, read_wishes(headers))
    except BadRequest:
        return
    assert allowed(asks) <= allowed(caller)
    assert replace(asks, limits=key) == caller, "only the limits change"


def test_the_law_can_fail():
    """Different limits allow different models, so the sets above say something."""
    assert allowed(Caller("k")) > allowed(Caller("k", limits=Limits(open_weights_only=True)))
    assert not allowed(Caller("k", limits=Limits(allow=frozenset())))


def test_headers_begin_alike():
    assert all(header.startswith(PREFIX) and header == header.lower() for header in HEADERS)
    assert len(set(HEADERS)) == len(HEADERS)
