"""What a session costs with each model, and what the decision makes of it: laws, not numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.table.costs import SINGLE_TURN
from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from classifier.turns import Conversation, Exchange, Since
from router.decision.economics import (
    TABLE_READ,
    Outlook,
    context_usd,
    following_usd,
    session_usd,
    usage_usd,
    work_of,
)
from router.decision.eligible import Eligibility
from router.decision.engine import Engine
from router.decision.moves import LOST, TOLL, lost_share
from router.decision.policy import decide
from router.evidence.catalogue import LongContext, Price, load_catalogue
from router.sessions.session import NEW, Cache, Context, Incumbent, Session, Task, Trouble, Wishes
from router.sessions.steps import ASKS_A_TOLL, hear, on_decision, on_request, on_serving
from router.values import DIALS, NO_LIMITS, Dial, Interface, Limits, Move, Needs, Unit, Usage
from router.wire.fields import Fields
from router.wire.request import ChatRequest
from tests.evidence import DAY, ECONOMICS, assessment, catalogue, model, table

DIAL = DIALS["balanced"]
CHEAP, DEAR = "cheap/m0", "dear/m1"
UNITS = (Unit(CHEAP), Unit(DEAR))


def price(fresh, *, read=None, write=None, output=None, long=()):
    return Price(
        input=fresh, output=4 * fresh if output is None else output, cache_read=read,
        cache_write=write, long_context=long, source="test", date=DAY,
    )  # fmt: skip


def two(cheap, dear):
    """Return a catalogue of a cheap and a dear model at the given prices."""
    return catalogue(
        model(CHEAP).model_copy(update={"price": cheap}),
        model(DEAR).model_copy(update={"price": dear}),
    )


EQUAL = table([0.80, 0.82], [0.2, 2.0], units=UNITS)
"""Both adequate everywhere; the dear one costs ten times as much per task."""

HARD = table([[0.9, 0.9], [0.8, 0.85], [0.3, 0.8], [0.1, 0.7]], [0.2, 2.0], units=UNITS)
"""The dear one is needed for hard tasks only."""

CHEAP_PRICE, DEAR_PRICE = price(0.5, read=0.05), price(5.0, read=0.5, write=6.25)


def needs(tokens=60_000, **more):
    return Needs(input_tokens=tokens, output_tokens=1000, tools=True, **more)


def on(name, tokens=60_000, *, calls=0, failures=0, before=(), growth_tokens=None, stays=False):
    """Return a session with a model that has so much cached; ``before`` says who failed before it."""
    return Session(
        incumbent=Incumbent(Unit(name)),
        task=Task(asks=1, calls=calls),
        trouble=Trouble(failures, failed=before, blamed=sum(n for _, n in before)),
        context=Context(caches=(Cache(name, tokens, 0.0),), growth_tokens=growth_tokens),
        wishes=Wishes(stays=stays),
    )


def choose(
    session, *, read=None, wants=None, of=EQUAL, offer=None, dial=DIAL, now_s=0.0,
    limits=NO_LIMITS, reachable=None,
):  # fmt: skip
    offer = offer or two(CHEAP_PRICE, DEAR_PRICE)
    asked = Eligibility(offer, wants or needs(), limits, reachable)
    return decide(read or assessment(), asked, session, of, dial, now_s=now_s)


# Prices.


def by_hand(price, outlook):
    """Add up what follows a request call by call; whole numbers of calls only."""
    context, calls, growth, output = outlook
    usd = 0.0
    for i in range(int(calls)):
        size = context + i * (growth + output)
        band = max((b for b in price.bands if size > b.above_tokens), key=lambda b: b.above_tokens)
        if i:
            old = size - growth - output
            usd += old * band.read + (growth + output) * band.write
        usd += output * band.output
    return usd


@given(
    st.integers(1, 200), st.floats(1_000, 300_000), st.floats(0, 3_000), st.floats(50, 3_000),
    st.floats(0.1, 10), st.floats(0.05, 1),
)  # fmt: skip
def test_what_follows_adds_up_call_by_call(calls, context, growth, output, fresh, share):
    outlook = Outlook(context, calls, growth, output)
    flat = price(fresh, read=share * fresh, write=1.25 * fresh)
    assert sum(following_usd(flat.bands, outlook)) == pytest.approx(by_hand(flat, outlook))
    tier = LongContext(above_tokens=200_000, input=2 * fresh, output=8 * fresh, cache_read=fresh)
    tiered = price(fresh, read=share * fresh, long=(tier,))
    exact, closed = by_hand(tiered, outlook), sum(following_usd(tiered.bands, outlook))
    longest = context + calls * (growth + output)
    one_call = longest * 2 * fresh / 1e6 + output * 8 * fresh / 1e6
    assert abs(exact - closed) <= one_call + 1e-9  # the dearer band begins within a call


@given(st.floats(0, 200_000), st.floats(0, 200_000), st.floats(0.1, 10), st.floats(0, 1))
def test_cached_context_never_costs_more(context, cached, fresh, share):
    offer = price(fresh, read=share * fresh, write=1.25 * fresh)
    assert context_usd(offer, context, cached) <= context_usd(offer, context, 0.0) + 1e-12


def test_a_list_without_a_read_price_charges_cached_input_in_full():
    offer = price(2.0)
    assert context_usd(offer, 1_000_000, 900_000) == pytest.approx(2.0)


def test_an_ordinary_task_in_a_fresh_session_costs_what_the_table_says():
    read = assessment()
    offer = price(1.0, read=TABLE_READ * 1.0)
    works = work_of(ECONOMICS, read, tools=True, context_tokens=ECONOMICS.context_tokens)
    assert session_usd(offer, works, [1.23], 0.0) == pytest.approx(1.23)


def test_usage_is_billed_by_the_providers_word_or_by_list():
    offer = price(1.0, read=0.1, write=1.25, output=4.0)
    usage = Usage(
        input_tokens=1_000_000, output_tokens=500_000, cached_tokens=600_000,
        cache_write_tokens=300_000,
    )  # fmt: skip
    assert usage_usd(usage, offer) == pytest.approx(0.1 + 0.3 * 1.25 + 0.6 * 0.1 + 0.5 * 4)
    assert usage_usd(replace(usage, cost_usd=0.5), offer) == 0.5
    assert usage_usd(usage, None) is None


def test_the_catalogue_and_the_table_agree_on_how_work_is_priced():
    """What the table prices as one answer, the economics must."""
    assert load_catalogue().economics.single == frozenset(SINGLE_TURN)


# Staying and leaving.


def test_staying_is_free():
    """With everything cached and nothing new, what the choice was first made for stays chosen."""
    fresh = choose(NEW)
    held = choose(on(fresh.unit.model))
    assert held.unit.model == fresh.unit.model
    assert held.move is Move.STAY
    assert held.expected_cost_usd < fresh.expected_cost_usd
    assert "60,000 of 60,000 tokens are cached" in held.why


def test_a_cold_cache_is_no_reason_to_stay():
    near = two(price(4.6, read=0.46, write=5.75), DEAR_PRICE)
    alike = table([0.80, 0.82], [1.7, 2.0], units=UNITS)
    warm = choose(on(DEAR, 100_000), offer=near, of=alike, wants=needs(95_000))
    cold = choose(on(DEAR, 100_000), offer=near, of=alike, wants=needs(95_000), now_s=3600)
    assert warm.unit.model == DEAR
    assert cold.unit.model == CHEAP
    assert cold.move is Move.SWITCH


def test_a_dear_incumbent_is_left_when_a_long_task_pays_for_the_switch():
    left = choose(on(DEAR))
    assert left.unit.model == CHEAP
    assert left.move is Move.SWITCH
    assert "leaves" in left.why
    assert "instead of" in left.why


def test_a_switch_for_price_waits_for_the_users_next_word():
    assert choose(on(DEAR)).move is Move.SWITCH
    under_way = choose(on(DEAR, calls=3))
    assert (under_way.unit.model, under_way.move) == (DEAR, Move.STAY)
    assert "under way" in under_way.why


def test_one_short_answer_does_not_pay_for_a_switch():
    question = assessment("general/knowledge")
    near = two(price(2.0, read=0.2), DEAR_PRICE)
    asked = replace(needs(), tools=False)
    assert choose(on(DEAR), read=question, wants=asked, offer=near).unit.model == DEAR
    assert choose(on(DEAR), offer=near).unit.model == CHEAP


costs = st.floats(0.02, 5.0)
shares = st.floats(0.0, 1.0)


@settings(max_examples=300)
@given(
    costs, costs, costs, st.floats(0.2, 10), st.floats(0.2, 10), shares, shares, shares,
    st.integers(1_000, 95_000), st.sampled_from([1, 2, 3, 4]),
    st.sampled_from(["debugging/bug_fixing", "general/knowledge", "refactoring/migration"]),
)  # fmt: skip
def test_a_cheaper_cache_read_never_makes_switching_more_likely(
    usd, other_usd, growth, fresh, other_fresh, read, cheaper, cached, tokens, level, task
):
    """Whoever stays at some read price of the incumbent stays at every lower one."""
    of = table([0.80, 0.82], [other_usd, usd], units=UNITS)
    session = on(DEAR, int(cached * tokens), growth_tokens=1000 * growth)
    asked = assessment(task, level)

    def stays(share):
        offer = two(price(other_fresh, read=0.1 * other_fresh), price(fresh, read=share * fresh))
        made = choose(session, read=asked, wants=needs(tokens), of=of, offer=offer)
        return made.unit.model == DEAR

    if stays(read):
        assert stays(read * cheaper)


@settings(max_examples=200)
@given(costs, costs, shares, shares, st.integers(1_000, 95_000), st.integers(1, 4))
def test_more_of_it_cached_never_makes_switching_more_likely(usd, other, more, less, tokens, level):
    of = table([0.80, 0.82], [other, usd], units=UNITS)

    def stays(share):
        session = on(DEAR, int(share * tokens))
        return (
            choose(session, of=of, wants=needs(tokens), read=assessment(level=level)).unit.model
            == DEAR
        )

    low, high = sorted((less, more))
    if stays(low):
        assert stays(high)


# Failure, and coming down again.


def test_repeated_failure_escalates_and_says_so():
    fine = choose(on(CHEAP), of=HARD, read=assessment(level=2))
    assert fine.unit.model == CHEAP
    failed = choose(on(CHEAP, failures=4), of=HARD, read=assessment(level=2))
    assert failed.unit.model == DEAR
    assert failed.move is Move.ESCALATE
    assert "4 visible failures" in failed.why


def test_failures_are_held_most_against_who_made_them():
    """The one that failed does not come back; that the task is hard speaks against both."""
    took_over = on(DEAR, failures=4, before=((Unit(CHEAP), 4),))
    made = choose(took_over, of=HARD, read=assessment(level=2))
    assert made.unit.model == DEAR
    quality = {c.unit.model: c.quality for c in made.candidates}
    assert quality[CHEAP] < quality[DEAR]
    assert quality[DEAR] < 0.85


BOUGHT = table(
    [[0.85, 0.9], [0.8, 0.85], [0.75, 0.85], [0.7, 0.85]], [0.2, 2.0], units=UNITS, price=25.0
)
"""Within the guard on any task, and a success is worth as much as the dear one costs for it."""


def test_work_is_handed_over_where_that_brings_more_than_it_costs():
    """Before the guard lets the cheap one go, and only after a failure."""
    read = assessment(level=2)
    assert choose(on(CHEAP), of=BOUGHT, read=read).move is Move.STAY
    failed = choose(on(CHEAP, failures=2), of=BOUGHT, read=read)
    assert (failed.unit.model, failed.move) == (DEAR, Move.ESCALATE)
    own = failed.candidates.of(Unit(CHEAP))
    assert own.tolerable, "the guard alone would have let it go on"
    free = replace(BOUGHT, stops=tuple(stop._replace(price=1e-9) for stop in BOUGHT.stops))
    assert choose(on(CHEAP, failures=2), of=free, read=read).move is Move.STAY


def test_what_a_success_is_worth_after_a_failure_does_not_hang_on_the_dial():
    """The dial says what to begin with; what is seen to fail is bought back at the strictest price."""
    strict, *others = BOUGHT.stops
    of = replace(BOUGHT, stops=(strict, *(stop._replace(price=1e-9) for stop in others)))
    economy = DIALS["economy"]
    read = assessment(level=2)
    assert choose(NEW, of=of, read=read, dial=economy).unit.model == CHEAP
    failed = choose(on(CHEAP, failures=2), of=of, read=read, dial=economy)
    assert (failed.unit.model, failed.move) == (DEAR, Move.ESCALATE)


def test_the_more_was_done_the_less_it_pays_to_hand_over():
    def hands_over(calls):
        near = two(price(1.0, read=0.1), DEAR_PRICE)
        session = on(CHEAP, calls=calls, failures=2)
        made = choose(session, of=BOUGHT, read=assessment(level=2), offer=near)
        return made.move is Move.ESCALATE

    moved = [hands_over(calls) for calls in range(0, 60)]
    assert moved == sorted(moved, reverse=True)
    assert lost_share(50, 50) == 0
    assert lost_share(50, 35) == pytest.approx(LOST * 15 / 35)


def test_the_strongest_has_nobody_to_escalate_to():
    made = choose(on(DEAR, failures=6), of=HARD, read=assessment(level=3))
    assert made.unit.model == DEAR


def test_after_success_the_next_ask_comes_down():
    """The failures are gone with the ask; the price of the strong model decides."""
    made = choose(on(DEAR), of=HARD, read=assessment(level=1))
    assert made.unit.model == CHEAP
    assert made.move is Move.SWITCH


# Plans of two.

PLANNED = table([0.75, 0.9], [0.2, 2.0], units=UNITS, price=12.0)
"""The cheap one is worth a try, and the dear one what it costs where that fails."""


def test_who_takes_over_is_told_and_remembered():
    classifier = Engine.load().classifier
    engine = Engine(classifier, PLANNED, two(CHEAP_PRICE, DEAR_PRICE))
    asked = request(1)
    heard = hear(asked)
    read, made = engine.decide(asked, dial=DIAL)
    assert (made.unit.model, made.successor) == (CHEAP, Unit(DEAR))
    session = on_decision(on_request(NEW, heard), read, made, made.unit)
    session = on_serving(session, made.unit, heard, 0.0)
    _, again = engine.decide(asked, dial=DIAL, session=session)
    assert "nothing is new" in again.why
    assert again.successor == Unit(DEAR)
    assert f"Should its failure show, {DEAR} is to take over." in again.why


def test_who_has_nobody_after_it_remembers_nobody():
    read = assessment()
    made = choose(NEW, read=read)
    assert made.successor is None
    assert on_decision(NEW, read, made, made.unit).incumbent.successor is None


# Locks.


@settings(max_examples=200)
@given(
    st.sampled_from(["open_tool_call", "provider_state", "stays"]),
    costs, costs, st.integers(0, 6), st.integers(1, 4), st.sampled_from(UNITS),
)  # fmt: skip
def test_locks_hold_whatever_the_price_and_the_evidence(lock, usd, other, failures, level, unit):
    of = table([[0.9, 0.9], [0.8, 0.85], [0.3, 0.8], [0.1, 0.7]], [usd, other], units=UNITS)
    session = on(unit.model, 0, failures=failures, stays=lock == "stays")
    wants = needs(**({lock: True} if lock != "stays" else {}))
    made = choose(session, of=of, wants=wants, read=assessment(level=level))
    assert made.unit.model == unit.model
    assert made.move is Move.LOCKED


@pytest.mark.parametrize("lock", ["open_tool_call", "provider_state", "signed_reasoning"])
def test_a_lock_yields_when_the_incumbent_cannot_serve(lock):
    made = choose(on(DEAR), wants=needs(**{lock: True}), reachable=frozenset({CHEAP}))
    assert made.unit.model == CHEAP
    assert made.move is Move.REPLACE
    assert "cannot go on" in made.why
    denied = choose(on(DEAR), wants=needs(**{lock: True}), limits=Limits(deny=frozenset({DEAR})))
    assert denied.unit.model == CHEAP


@pytest.mark.parametrize("lock", ["open_tool_call", "provider_state", "signed_reasoning"])
def test_a_lock_holds_an_incumbent_without_evidence_and_none_above_the_cap(lock):
    """Another tier may have chosen it; a tool call is open all the same."""
    other = "other/m9"
    offer = catalogue(*two(CHEAP_PRICE, DEAR_PRICE).models, model(other))
    made = choose(on(other), offer=offer, wants=needs(**{lock: True}))
    assert (made.unit.model, made.move) == (other, Move.LOCKED)
    capped = choose(on(DEAR), wants=needs(**{lock: True}), limits=Limits(max_cost_usd=0.5))
    assert (capped.unit.model, capped.move) == (CHEAP, Move.REPLACE)
    assert "the cap $0.5" in capped.why
    free = choose(on(other), offer=offer)
    assert (free.unit.model, free.move) == (CHEAP, Move.REPLACE)


def test_signed_reasoning_binds_to_the_family_that_can_read_it():
    sibling = "dear/m2"
    offer = catalogue(
        *(
            model(name).model_copy(update={"price": p})
            for name, p in ((CHEAP, CHEAP_PRICE), (DEAR, DEAR_PRICE), (sibling, CHEAP_PRICE))
        )
    )
    of = table([0.80, 0.82, 0.80], [0.2, 2.0, 0.4], units=(*UNITS, Unit(sibling)))
    free = choose(on(DEAR), of=of, offer=offer)
    bound = choose(on(DEAR), of=of, offer=offer, wants=needs(signed_reasoning=True))
    assert free.unit.model == CHEAP
    assert bound.unit.model == sibling
    alone = choose(on(DEAR), wants=needs(signed_reasoning=True))
    assert alone.unit.model == DEAR
    assert alone.move is Move.LOCKED


# No oscillation.


def request(n, ask="fix it", tokens=60_000, since=None, **more):
    said = Conversation(
        ask=f"{ask} {n}", before=(Exchange("before", ""),), user_turns=n + 1, since=since or Since()
    )
    return ChatRequest(
        interface=Interface.CHAT, model="", conversation=said, needs=needs(tokens, **more),
        streams=True, session="s", agent="", continued=None, stored=False, n_items=2 * n + 1, fields=Fields(b"{}", {}),
    )  # fmt: skip


def drive(readings, *, of, offer, dial=DIAL):
    """Decide one ask after the other in one session; return who served and the moves."""
    session, served, moves = NEW, [], []
    for n, read in enumerate(readings):
        asked = request(n)
        heard = hear(asked)
        faced = on_request(session, heard)
        made = decide(read, Eligibility(offer, asked.needs), faced, of, dial, now_s=10.0 * n)
        session = on_decision(faced, read, made, made.unit)
        session = on_serving(session, made.unit, heard, 10.0 * n)
        served.append(made.unit.model)
        moves.append(made.move)
    return served, moves


def switches(served):
    return sum(a != b for a, b in zip(served, served[1:], strict=False))


def most_switches(n_asks, dearest_over_cheapest):
    """The toll doubles with each switch for price and falls by one in four quiet asks.

    Every switch back up needs one down before it, so all of them are at most twice as many.
    """
    without_rest = math.log2(max(1.0, dearest_over_cheapest / TOLL)) + 1
    return 2 * (without_rest + n_asks / ASKS_A_TOLL) + 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=10, max_size=60), st.floats(0.3, 3))
def test_a_session_cannot_oscillate_whatever_it_is_told(levels, fresh):
    """Even an adversary who reads every ask anew at will cannot make it switch for ever."""
    offer = two(price(fresh, read=0.1 * fresh), DEAR_PRICE)
    served, _ = drive([assessment(level=k) for k in levels], of=HARD, offer=offer)
    assert switches(served) <= most_switches(len(levels), 50)


def between_levels(p):
    """Read a fix as level 3 with probability ``p``, else as level 2."""
    p_type = np.zeros(len(TYPES), np.float32)
    p_type[TYPES.index("debugging/bug_fixing")] = 1
    p_level = np.zeros(N_LEVELS, np.float32)
    p_level[1], p_level[2] = 1 - p, p
    return Assessment(p_type, p_level)


EDGE = 0.325
"""Level 3 with this probability, else 2: there the guard lets the cheap one go."""


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(EDGE - 0.1, EDGE + 0.2))
def test_noise_about_the_edge_does_not_move_a_session(seed, edge):
    """Sixty readings that scatter about one and the same task move it twice at most."""
    rng = np.random.default_rng(seed)
    readings = [between_levels(edge + float(rng.normal(0, 0.02))) for _ in range(60)]
    served, _ = drive(readings, of=HARD, offer=two(CHEAP_PRICE, DEAR_PRICE))
    assert switches(served) <= 2


def test_deciding_every_ask_alone_would_oscillate_on_that_noise():
    """The test above can fail: without a session the same readings flap."""
    rng = np.random.default_rng(0)
    alone = [
        choose(NEW, of=HARD, read=between_levels(EDGE + float(rng.normal(0, 0.02)))).unit.model
        for _ in range(60)
    ]
    assert set(alone) == {CHEAP, DEAR}
    assert switches(alone) > 10


def test_each_switch_for_price_makes_the_next_one_dearer():
    """The toll is what stops a session that is told easy and hard in turn."""
    offer = two(price(3.0, read=0.3), DEAR_PRICE)
    of = table([[0.9, 0.9], [0.8, 0.85], [0.3, 0.8], [0.1, 0.7]], [1.2, 2.0], units=UNITS)
    served, moves = drive(
        [assessment(level=1 + 2 * (k % 2)) for k in range(60)], of=of, offer=offer
    )
    first, last = switches(served[:20]), switches(served[40:])
    assert Move.SWITCH in moves
    assert last < first


def test_a_dial_that_asks_for_less_never_costs_more_in_a_session():
    for level in (1, 2, 3, 4):
        for session in (NEW, on(CHEAP), on(DEAR)):
            made = [
                choose(session, of=HARD, read=assessment(level=level), dial=Dial("d", m, 0.8))
                for m in (0.02, 0.1, 0.3)
            ]
            usd = [d.expected_cost_usd for d in made]
            assert usd == sorted(usd, reverse=True)
