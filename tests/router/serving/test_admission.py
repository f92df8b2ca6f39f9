"""What a request may spend, as arithmetic: estimated, claimed, settled, and told."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.accounts import MemoryAccounts
from router.callers.meters import Charge, Meter, Period, Resource, held_back
from router.callers.terms import Allowance, Terms, allowances_of
from router.errors import BudgetSpent, RateLimited
from router.evidence.catalogue import CATALOGUE_FILE, MODELS_DIR, Price, load_catalogue
from router.serving.admission import (
    NOTHING,
    Estimate,
    actuals_of,
    charges_of,
    claim_headers,
    estimated,
    most_usd,
    prices_of,
    refusal,
)

HALF = Estimate(0.5, 100)
NOW_S = 1_800_000_000.0
CATALOGUE = load_catalogue(MODELS_DIR / CATALOGUE_FILE)
PRICE = Price(input=1.0, output=10.0, source="https://example.com", date=date(2026, 11, 30))
AMOUNTS = st.floats(0, 100, allow_nan=False)


def claim_of(terms: Terms, estimate: Estimate = HALF, accounts=None, account="key:a"):
    accounts = accounts or MemoryAccounts()
    charges = charges_of(allowances_of({account: terms}), estimate)
    return asyncio.run(accounts.claim(charges, NOW_S))


def test_an_estimate_is_of_the_dearest_and_of_what_nobody_priced_the_dearest_of_all():
    found = prices_of(["nobody/knows"], CATALOGUE)
    dearest = max(most_usd(m.price, 10, 10) for m in CATALOGUE.models if m.price)
    assert estimated(found, 10, 10).usd == dearest
    assert estimated([], 10, 10) == Estimate(0.0, 20)
    assert estimated([PRICE], 1_000_000, 1_000_000).usd == pytest.approx(11.0)


def test_what_costs_nothing_needs_no_credit_but_a_budget_and_a_rate_hold():
    terms = Terms(credit_usd=0, budgets=({"usd": 1, "per": "day"},), requests_per_minute=1)
    periods = [c.meter.period for c in charges_of(allowances_of({"org": terms}), Estimate(0.0, 5))]
    assert periods == [Period.DAY, Period.MINUTE]


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), max_size=8), st.randoms())
def test_claims_and_settles_balance(requests, random):
    """Whatever is claimed and in whatever order it ends, what was spent is left, and nothing held."""
    terms = Terms(budgets=({"usd": 1e6, "per": "month"},), credit_usd=1e6, tokens_per_minute=10**9)
    allowances = allowances_of({"org": Terms(credit_usd=1e6), "key:a": terms})

    async def run():
        accounts, open_claims = MemoryAccounts(), []
        for usd, tokens, *spent in requests:
            charges = charges_of(allowances, Estimate(usd, tokens))
            open_claims.append((await accounts.claim(charges, NOW_S), Estimate(*spent)))
        random.shuffle(open_claims)
        for claim, spent in open_claims:
            await accounts.settle(claim, actuals_of(claim, spent))
        return await accounts.readings([Charge(a, m) for a, m in allowances], NOW_S)

    for reading in asyncio.run(run()):
        meter = reading.charge.meter
        counted = [r for r in requests if r[0] > 0 or meter.period is not Period.TOTAL]
        column = 2 if meter.resource is Resource.USD else 3
        assert reading.spent == pytest.approx(sum(r[column] for r in counted), abs=1e-6)
        assert reading.held == pytest.approx(0, abs=1e-6)


def test_what_is_refused_is_told_whose_how_much_and_until_when():
    spent = refusal(claim_of(Terms(budgets=({"usd": 0, "per": "day"},)), account="team:core"))
    assert isinstance(spent, BudgetSpent)
    assert "today's budget of team:core is used up: $0.0000 of $0" in str(spent)
    assert 0 < spent.retry_after_s <= 86_400
    credit = refusal(claim_of(Terms(credit_usd=0)))
    assert "the credit of key:a" in str(credit)
    assert credit.retry_after_s is None
    rate = refusal(claim_of(Terms(requests_per_minute=0)))
    assert isinstance(rate, RateLimited)
    assert "key:a may have 0 requests a minute" in str(rate)


def test_where_dollars_and_a_rate_are_both_used_up_the_dollars_are_told():
    terms = Terms(budgets=({"usd": 0, "per": "month"},), requests_per_minute=0)
    assert isinstance(refusal(claim_of(terms)), BudgetSpent)


def test_what_cannot_be_counted_is_refused():
    charge = Charge("org", Meter(Resource.USD, Period.MONTH, 1.0))
    assert "cannot be read" in str(refusal(held_back([charge], "the ledger cannot be read", 1.0)))
    assert isinstance(refusal(held_back([], "away", 1.0)), RateLimited)


def test_the_tightest_rate_is_told_and_a_name_cannot_break_a_header():
    accounts = MemoryAccounts()
    allowances = [
        Allowance("org", Meter(Resource.REQUESTS, Period.MINUTE, 100)),
        Allowance("key:a\r\nx: é", Meter(Resource.REQUESTS, Period.MINUTE, 2)),
        Allowance("key:a\r\nx: é", Meter(Resource.USD, Period.DAY, 1.0)),
    ]
    charges = charges_of(allowances, Estimate(0.9, 5))
    told = dict(claim_headers(asyncio.run(accounts.claim(charges, NOW_S))))
    assert told[b"x-ratelimit-limit-requests"] == b"2"
    assert told[b"x-ratelimit-remaining-requests"] == b"1"
    assert told[b"x-auto-budget-warning"] == b"key:a??x: ?: $0.90 of $1 of today's budget used"
    assert claim_headers(None) == []


@pytest.mark.parametrize(("usd", "warns"), [(0.79, False), (0.8, True), (0.99, True)])
def test_a_budget_warns_from_four_fifths_on(usd, warns):
    claim = claim_of(Terms(budgets=({"usd": 1, "per": "week"},)), Estimate(usd, 1))
    assert (b"x-auto-budget-warning" in dict(claim_headers(claim))) is warns


def test_nothing_is_what_an_unanswered_request_comes_to():
    accounts = MemoryAccounts()
    claim = claim_of(Terms(credit_usd=1), accounts=accounts)
    asyncio.run(accounts.settle(claim, actuals_of(claim, NOTHING)))
    (reading,) = asyncio.run(accounts.readings([claim.readings[0].charge], NOW_S))
    assert (reading.spent, reading.held) == (0, 0)
