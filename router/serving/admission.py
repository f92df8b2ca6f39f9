"""What a request may spend: reserved before an upstream is asked, settled once it is known.

Every meter that holds for a caller (``router.callers.terms``) is claimed together, all or none, with what
the request can come to: its input at full price and as many tokens of answer as it may have, at the
dearest of the models that may serve it.  So requests at the same time see each other, and a limit is
overshot by one request at most.  What it really took takes the place of that at its end; of an answer
that broke off, or whose usage nobody told, what was sent counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from router.callers.meters import Charge, Claim, MeterReading, Period, Resource
from router.callers.terms import Allowance
from router.decision.economics import band_of
from router.errors import BudgetSpent, RateLimited, RouterError
from router.evidence.catalogue import Catalogue, Price
from router.serving.asgi import Headers
from router.serving.headers import ascii_of

ANSWER_TOKENS: Final = 8192
"""What is reserved for an answer where the request names no bound: the longest that clients of coding
agents ask for by default, and twenty times the usual one."""

TOKENS_AN_EVENT: Final = 4
"""Of a stream that broke off before its usage was told: providers send one to four an event, and a
limit leans the safe way."""

WARN_SHARE: Final = 0.8
"""Of a budget, from which on replies say how much is left."""

WORDS: Final = {
    Period.DAY: "today's budget",
    Period.WEEK: "this week's budget",
    Period.MONTH: "this month's budget",
    Period.TOTAL: "the credit",
    Period.MINUTE: "a minute",
    Period.HOUR: "an hour",
}


class Estimate(NamedTuple):
    """What a request can come to, or what it came to."""

    usd: float
    tokens: float


NOTHING: Final = Estimate(0.0, 0.0)


def estimated(
    prices: Iterable[Price], input_tokens: int, output_tokens: int = ANSWER_TOKENS
) -> Estimate:
    """Return the most that a request can be expected to come to at any of some prices."""
    usd = max((most_usd(price, input_tokens, output_tokens) for price in prices), default=0.0)
    return Estimate(usd, input_tokens + output_tokens)


def prices_of(models: Iterable[str], catalogue: Catalogue) -> list[Price]:
    """Return what models cost at most; those of one's own cost nothing.

    One whose price nobody knows is taken to be as dear as the dearest of the catalogue: a limit
    leans the safe way.
    """
    found: list[Price] = []
    for model_id in models:
        model = catalogue.model(model_id)
        if model is not None and model.price is not None:
            found.append(model.price)
        elif model is None or not model.own:
            found += [model.price for model in catalogue.models if model.price is not None]
    return found


def most_usd(price: Price, input_tokens: float, output_tokens: float) -> float:
    """Return what tokens cost when none of them was cached."""
    band = band_of(price.bands, input_tokens)
    return input_tokens * max(band.fresh, band.write) + output_tokens * band.output


def charges_of(allowances: Sequence[Allowance], estimate: Estimate) -> tuple[Charge, ...]:
    """Return what a request claims; what costs nothing needs no credit."""
    amounts = {
        Resource.USD: estimate.usd,
        Resource.TOKENS: estimate.tokens,
        Resource.REQUESTS: 1.0,
    }
    return tuple(
        Charge(account, meter, amounts[meter.resource])
        for account, meter in allowances
        if not (meter.period is Period.TOTAL and estimate.usd == 0)
    )


def actuals_of(claim: Claim, spent: Estimate) -> tuple[float, ...]:
    """Return what takes the place of each amount that was claimed."""
    took = {Resource.USD: spent.usd, Resource.TOKENS: spent.tokens, Resource.REQUESTS: 1.0}
    return tuple(took[reading.charge.meter.resource] for reading in claim.readings)


# What is told.


def refusal(claim: Claim) -> RouterError:
    """Return the error of a claim that was not admitted: what is used up, of whom, and until when."""
    refused = [reading for reading in claim.readings if reading.refused]
    but = f" ({claim.problem})" if claim.problem else ""
    if not refused:
        return RateLimited(
            f"what may be spent cannot be counted at the moment{but}; retry", retry_after_s=1.0
        )
    spent = [reading for reading in refused if reading.charge.meter.resource is Resource.USD]
    reading = max(spent or refused, key=lambda reading: reading.reset_s)
    charge, meter = reading.charge, reading.charge.meter
    if meter.resource is not Resource.USD:
        return RateLimited(
            f"{charge.account} may have {meter.limit:g} {meter.resource} {WORDS[meter.period]}{but}; "
            f"retry in {math.ceil(reading.reset_s)} s",
            retry_after_s=reading.reset_s,
        )
    held = f", ${reading.held:.4f} held by requests under way" if reading.held else ""
    used = f"${reading.spent:.4f} of ${meter.limit:g} spent{held}{but}"
    if meter.period is Period.TOTAL:
        return BudgetSpent(
            f"the credit of {charge.account} is used up: {used}. Ask for kilo-auto/free, which costs "
            "nothing, or have credit added"
        )
    return BudgetSpent(
        f"{WORDS[meter.period]} of {charge.account} is used up: {used}. It begins anew in "
        f"{_span(reading.reset_s)}; until then ask whoever runs this gateway to raise it",
        retry_after_s=reading.reset_s,
    )


def _span(seconds: float) -> str:
    for length_s, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{math.ceil(seconds)} seconds"


def claim_headers(claim: Claim | None) -> Headers:
    """Return the rate limits as OpenAI's clients read them, and how much of a budget is used up."""
    if claim is None:
        return []
    headers: Headers = []
    for resource in (Resource.REQUESTS, Resource.TOKENS):
        found = [
            reading
            for reading in claim.readings
            if reading.charge.meter.resource is resource
            and reading.charge.meter.period is Period.MINUTE
        ]
        if found:
            headers += _rate(resource, min(found, key=lambda reading: reading.remaining))
    if warned := [reading for reading in claim.readings if _warns(reading)]:
        tightest = max(warned, key=lambda r: r.used / r.charge.meter.limit)
        meter = tightest.charge.meter
        said = f"{tightest.charge.account}: ${tightest.used:.2f} of ${meter.limit:g} of {WORDS[meter.period]} used"
        headers.append((b"x-auto-budget-warning", ascii_of(said)))
    return headers


def _rate(resource: Resource, reading: MeterReading) -> Headers:
    values = (
        ("limit", f"{reading.charge.meter.limit:g}"),
        ("remaining", f"{math.floor(reading.remaining)}"),
        ("reset", f"{math.ceil(reading.reset_s)}s"),
    )
    return [(f"x-ratelimit-{name}-{resource}".encode(), value.encode()) for name, value in values]


def _warns(reading: MeterReading) -> bool:
    meter = reading.charge.meter
    return meter.resource is Resource.USD and reading.used >= WARN_SHARE * meter.limit > 0
