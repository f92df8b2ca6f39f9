"""May this model serve: every rule by the way a model was come to, and one answer everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import orjson
import pytest

from router.callers.keys import OWNER
from router.decision.eligible import MAX_KEPT, RULES, Bar, Eligibility, Sought, Way
from router.decision.engine import Engine
from router.decision.tiers import Data, Standing, plan
from router.errors import NoModelFits
from router.evidence.catalogue import Tier
from router.evidence.names import Names
from router.sessions.session import NEW, Incumbent
from router.sessions.steps import hear, on_decision, on_request, on_serving
from router.values import NO_LIMITS, Bound, Interface, Limits, Needs, Unit, nothing_bars
from router.wire.request import parse
from tests.evidence import assessment, catalogue, model, table
from tests.gateway_rig import PATHS, ask, gateway

NAMED, MAPPED, STANDS_IN, DECIDED = Way
ALL, CHOSEN = frozenset(Way), frozenset({MAPPED, STANDS_IN, DECIDED})
WEIGHED, WHOLE = frozenset({STANDS_IN, DECIDED}), ALL - {DECIDED}

PLAIN, OPEN, FREE, LOGS, GONE = "x/plain", "y/open", "z/offer:free", "z/logs", "y/gone"
MODELS = (
    model(PLAIN, abilities=frozenset({"tools"}), data_policy="none_kept"),
    model(OPEN, open_weights=True, data_policy="kept"),
    model(FREE, free=True),
    model(LOGS, data_policy="may_log"),
    model(GONE, retired=date(2026, 11, 20)),
)


def mapped(name, rule, **more):
    return Tier(id=name, name=name, description=name, rule=rule, **more)


CATALOGUE = catalogue(*MODELS).model_copy(
    update={
        "tiers": (
            mapped("plain", "mode", modes={"default": PLAIN}),
            mapped("open", "mode", modes={"default": OPEN}),
            mapped("efficient", "efficient", fallback="open"),
        )
    }
)


@dataclass(frozen=True)
class Case:
    """Something that stands against a model: in which ways of coming to it, and its words."""

    model: str
    ways: frozenset[Way]
    bar: Bar
    words: str
    limits: Limits = NO_LIMITS
    needs: Needs = field(default_factory=Needs)
    reachable: frozenset[str] | None = None
    anonymous: bool = False
    bars: Callable[[Unit], str | None] = nothing_bars


CASES = {
    "unknown": Case("no/such", CHOSEN, Bar.UNKNOWN, "not in the catalogue"),
    "retired": Case(
        GONE, CHOSEN, Bar.REACH, "retired (not sold on the list of 2026-11-20)"
    ),
    "without a key": Case(PLAIN, ALL, Bar.KEY, "needs an API key", anonymous=True),
    "unknown, without a key": Case("no/such", ALL, Bar.KEY, "needs an API key", anonymous=True),
    "free": Case(FREE, WEIGHED, Bar.LIMIT, "its provider may log prompts"),
    "logs": Case(LOGS, WEIGHED, Bar.LIMIT, "its provider may log prompts"),
    "pin": Case(PLAIN, ALL, Bar.LIMIT, f"the session is pinned to {OPEN}", Limits(pin=OPEN)),
    "deny": Case(PLAIN, ALL, Bar.LIMIT, "denied", Limits(deny=frozenset({PLAIN}))),
    "allow": Case(PLAIN, ALL, Bar.LIMIT, "not on the allow list", Limits(allow=frozenset({OPEN}))),
    "open": Case(PLAIN, ALL, Bar.LIMIT, "weights are not open", Limits(open_weights_only=True)),
    "policy": Case(
        PLAIN, ALL, Bar.LIMIT, "data policy is none_kept", Limits(data_policies=frozenset({"kept"}))
    ),
    "ability": Case(
        PLAIN, WEIGHED, Bar.ABILITY, "no images", needs=Needs(images=True)
    ),
    "size": Case(
        PLAIN, WEIGHED, Bar.ABILITY, "context of 100,000 tokens is short of 200,000",
        needs=Needs(input_tokens=200_000),
    ),
    "bound": Case(
        PLAIN, CHOSEN, Bar.ABILITY, "its tool web_search works with y or w only",
        needs=Needs(bound=(Bound("its tool web_search", ("y/", "w/v", "w/u")),)),
    ),
    "counts": Case(
        PLAIN, WHOLE, Bar.LIMIT, "its expected cost is not known, the cap $0.1",
        Limits(max_cost_usd=0.1),
    ),
    "reach": Case(
        PLAIN, CHOSEN, Bar.REACH, "no configured provider serves it over chat",
        reachable=frozenset({OPEN}),
    ),
    "not taken": Case(
        PLAIN, CHOSEN, Bar.ABILITY, "takes 128 tools, not 200",
        bars=lambda unit: "takes 128 tools, not 200" if unit.model == PLAIN else None,
    ),
}  # fmt: skip


def asked_of(case):
    held = case.needs, case.limits, case.reachable, case.anonymous, case.bars
    return Eligibility(CATALOGUE, *held)


def refusals(asked, model_id):
    return {way: asked.refusal(model_id, way) for way in Way}


@pytest.mark.parametrize("name", CASES)
def test_every_rule_is_asked_in_its_ways_and_no_other(name):
    case = CASES[name]
    found = refusals(asked_of(case), case.model)
    refused = {way: refusal for way, refusal in found.items() if refusal}
    if name == "unknown, without a key":  # what is not there cannot be had with a key either
        unknown = (Bar.UNKNOWN, "not in the catalogue")
        assert refused == dict.fromkeys(CHOSEN, unknown) | {NAMED: (case.bar, case.words)}
    else:
        assert refused == dict.fromkeys(case.ways, (case.bar, case.words))


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("other", CASES)
@pytest.mark.parametrize("name", CASES)
def test_many_are_refused_as_each_is_whatever_was_asked_before(name, other, way):
    """What is settled for one request is not another's where that has less, or more, against it."""
    ids = [*(m.id for m in MODELS), "no/such"]
    for asked in (asked_of(CASES[other]), asked_of(CASES[name])):
        alone = {model_id: asked.refusal(model_id, way) for model_id in ids}
        assert asked.refusals(ids, way) == {i: refusal for i, refusal in alone.items() if refusal}


def test_what_is_settled_is_worked_out_once_for_requests_of_a_kind():
    fresh = catalogue(*MODELS)
    held = [Eligibility(fresh, Needs(input_tokens=n)).settled(DECIDED) for n in (1, 2_000_000)]
    assert held[0] is held[1]
    assert Eligibility(fresh, Needs(images=True)).settled(DECIDED) is not held[0]


def test_a_catalogue_keeps_a_bounded_number_of_what_is_settled():
    fresh = catalogue(*MODELS)
    for n in range(2 * MAX_KEPT):
        Eligibility(fresh, Needs(), Limits(deny=frozenset({f"no/{n}"}))).settled(DECIDED)
    assert len(fresh.settled) <= MAX_KEPT


def test_a_limit_on_a_model_that_is_not_in_the_catalogue_holds_by_name():
    denied = Eligibility(CATALOGUE, Needs(), Limits(deny=frozenset({"no/such"})))
    assert denied.refusal("no/such", NAMED) == (Bar.LIMIT, "denied")


def test_no_rule_is_without_a_case():
    hit = {
        rule
        for case in CASES.values()
        for rule in RULES
        if rule.reason(asked_of(case), Sought(case.model, CATALOGUE.model(case.model)))
    }
    assert hit == set(RULES)
    assert {case.bar for case in CASES.values()} == set(Bar)


def test_with_nothing_asked_only_prompt_logging_stands_against_a_known_model():
    asked = Eligibility(CATALOGUE, Needs())
    sold = [m.id for m in MODELS if m.id != GONE]
    assert asked.refusals(sold, DECIDED).keys() == {FREE, LOGS}
    logged = replace(asked, limits=Limits(prompt_logging=True))
    for way in Way:
        assert not logged.refusals(sold, way)


def test_a_session_may_be_pinned_to_a_retired_model():
    pinned = Eligibility(CATALOGUE, Needs(), Limits(pin=GONE))
    assert not any(refusals(pinned, GONE).values())


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize(("name", "policy"), [("z/m", "unknown"), ("z/m:free", "local")])
def test_that_a_model_costs_nothing_does_not_say_that_it_logs(name, policy, free):
    asked = Eligibility(catalogue(model(name, free=free, data_policy=policy)), Needs())
    assert asked.refusal(name, DECIDED) is None


def test_a_price_of_zero_is_within_any_cap_and_a_price_nobody_knows_within_none():
    unknown = model("z/unknown").model_copy(update={"price": None})
    known = catalogue(model("z/zero", cost=0.0), unknown)
    asked = Eligibility(known, Needs(), Limits(max_cost_usd=0.0))
    assert asked.refusal("z/zero", NAMED) is None
    assert asked.refusal("z/unknown", NAMED).reason == "its expected cost is not known, the cap $0"


def test_an_allow_list_that_is_not_set_allows_all_and_an_empty_one_nothing():
    unset, empty = (Eligibility(CATALOGUE, Needs(), Limits(allow=a)) for a in (None, frozenset()))
    assert refusals(unset, PLAIN) == dict.fromkeys(Way)
    assert refusals(empty, PLAIN) == dict.fromkeys(Way, (Bar.LIMIT, "not on the allow list"))
    none_known = Eligibility(CATALOGUE, Needs(), Limits(data_policies=frozenset()))
    assert none_known.refusal(PLAIN, DECIDED) == (Bar.LIMIT, "data policy is none_kept")


# One answer: whoever asks, the same model under the same limit is refused in the same words.


class Reads:
    """A classifier that reads the same of everything."""

    def assess(self, conversation):
        return assessment()


UNITS = (Unit(PLAIN), Unit(OPEN), Unit(LOGS))
ENGINE = Engine(Reads(), table([0.8, 0.8, 0.8], [0.1, 0.2, 0.3], units=UNITS), CATALOGUE)
REACHABLE = dict.fromkeys(Interface, frozenset(m.id for m in MODELS))
DATA = Data(CATALOGUE, ENGINE, "", REACHABLE, Names(CATALOGUE))
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

LIMITED = ["pin", "deny", "allow", "open", "policy", "ability", "reach", "logs"]


def request(name, *, images=False):
    body = ask(Interface.CHAT, name)
    if images:
        body["messages"][0]["content"] = [{"type": "text", "text": "Hello there"}, IMAGE]
    return parse(orjson.dumps(body), interface=Interface.CHAT)


def planned(case, tier, session=NEW):
    caller = replace(OWNER, limits=case.limits)
    standing = Standing(session, reachable=case.reachable or DATA.reachable[Interface.CHAT])
    return plan(request(tier, images=case.needs.images), caller, DATA, standing)


def session_with(*units):
    """Return a session that was served its first request by the first, the rest in reserve."""
    said, caller = request("efficient"), replace(OWNER, limits=Limits(prompt_logging=True))
    made = plan(said, caller, DATA)
    session = on_request(NEW, hear(said))
    session = on_decision(session, made.assessment, made.decision, made.decision.unit)
    session = on_serving(session, units[0], hear(said), 0.0)
    return replace(session, incumbent=Incumbent(units[0], fallbacks=units[1:]))


@pytest.mark.parametrize("name", LIMITED)
def test_the_engine_says_of_a_candidate_what_is_said_of_the_model(name):
    case = CASES[name]
    assert planned(case, "efficient").decision.excluded[case.model] == case.words


@pytest.mark.parametrize("name", ["deny", "allow", "open", "policy", "reach"])
def test_a_tier_says_the_same_of_what_it_maps_to_and_the_nearest_stands_in(name):
    case = CASES[name]
    made = planned(case, "plain")
    assert made.why.startswith(f"{case.model}: {case.words}, so {OPEN} stands in, ")
    assert [target.unit.model for target in made.targets] == [OPEN]


@pytest.mark.parametrize("name", ["deny", "allow", "open", "policy", "reach"])
def test_where_nobody_may_stand_in_the_error_says_the_same(name):
    case = replace(CASES[name], reachable=frozenset({"no/such"}))
    with pytest.raises(NoModelFits, match=f"{case.model}: "):
        planned(case, "plain")


def test_a_tier_is_served_by_the_pin_instead_within_the_other_limits():
    assert [t.unit.model for t in planned(CASES["pin"], "plain").targets] == [OPEN]
    both = replace(CASES["pin"], limits=Limits(pin=OPEN, deny=frozenset({OPEN})))
    with pytest.raises(NoModelFits, match=f"{OPEN}: denied"):
        planned(both, "plain")


@pytest.mark.parametrize("name", [name for name in LIMITED if NAMED in CASES[name].ways])
def test_a_model_that_is_asked_for_by_name_is_refused_in_the_same_words(name):
    case = CASES[name]
    with pytest.raises(NoModelFits, match=f"{case.model} is not allowed: {case.words};"):
        planned(case, case.model)


@pytest.mark.parametrize("name", LIMITED)
def test_a_sessions_incumbent_is_replaced_with_the_same_words(name):
    case = CASES[name]
    session = session_with(Unit(case.model))
    made = planned(case, "efficient", session)
    assert made.targets[0].unit.model != case.model
    assert f"{case.model} cannot go on ({case.words})" in made.why


@pytest.mark.parametrize("name", LIMITED)
def test_a_fallback_is_not_kept_where_a_candidate_would_not_be(name):
    """Also one that the session remembers from before the limit was set."""
    case = CASES[name]
    session = session_with(Unit(OPEN), Unit(case.model))
    made = planned(case, "efficient", session)
    assert "nothing is new" in made.why
    assert [target.unit.model for target in made.targets] == [OPEN]


def wishes_against(model_id, known):
    other = next(m for m in known.models if m.open_weights and not m.free and m.id != model_id)
    return [
        {"x-auto-deny": model_id},
        {"x-auto-allow": other.id},
        {"x-auto-open-weights": "on"},
        {"x-auto-data-policies": "none_kept"},
        {"x-auto-pin": other.id},
        {"x-auto-max-cost": "0"},
    ]


async def test_the_dry_run_says_what_the_request_would_be_told():
    engine = Engine.load()
    async with gateway(engine=engine) as client:
        body, ids = ask(Interface.CHAT, "kilo-auto/efficient"), {"x-session-id": "s"}
        first = await client.post(PATHS[Interface.CHAT], json=body, headers=ids)
        serving = first.headers["x-auto-model"]
        for wish in wishes_against(serving, engine.catalogue):
            headers = {"x-session-id": f"s {wish}"}
            await client.post(PATHS[Interface.CHAT], json=body, headers=headers)
            told = await client.post("/v1/route", json=body, headers=headers | wish)
            done = await client.post(PATHS[Interface.CHAT], json=body, headers=headers | wish)
            assert told.status_code == done.status_code, wish
            if done.status_code == 200:
                assert told.json()["why"] == done.headers["x-auto-reason"]
                assert told.json()["model"] == done.headers["x-auto-model"]
            else:
                assert told.json()["error"]["message"] == done.json()["error"]["message"]
