"""What the rest of a task costs with each model, given what is cached where.  Pure.

An agent sends its whole context with every call, so over a task most of the bill is context read
again, and a prompt cache makes that ten times cheaper, for the model that holds it.  Two facts
follow.  The context of *this* request is known and is paid at list price, whatever the model:
what is cached at the read price, the rest at the write price.  What comes after (the answers, and
the calls still expected) differs between models in ways that a price list does not know: one thinks
longer, another needs more calls.  That is what the table's realised dollars per task tell, so they
become a *factor* on the list price of an ordinary task::

    factor = (dollars in the table − context of its first call) / list price of what follows
    cost   = this request's context, cached or not  +  factor × list price of what follows

For an ordinary task in a fresh session this is the table's own cost.  In a long session it is not,
and the difference between two models there is what decides whether to switch.  Cached context is
taken to stay cached while a task runs, because an agent's calls follow each other in seconds.

The factor reads cached context at ``TABLE_READ`` of the input price, as the table was priced, and
not at the list's own read price: so what a cheaper read saves stays saved, and never comes back as
a dearer answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from classifier.model import Assessment
from classifier.tasks import TYPES
from router.apis.parts import Usage
from router.catalogue import Band, Economics, Price

TABLE_READ: Final = 0.1
"""Price of cached input over that of fresh input behind the table's dollars (the constant
``CACHED_PRICE`` of ``benchmarks.pricing``; Anthropic, OpenAI and Google charge just that)."""

MIN_FACTOR: Final = 0.05
MAX_FACTOR: Final = 20.0
"""Bounds of the factor: beyond them the dollars and the price list contradict each other."""


class Outlook(NamedTuple):
    """A task from here on: this request's context, and what is expected to follow.

    ``calls`` counts this one and may be fractional; ``growth_tokens`` is what comes in between two
    calls (tool results), ``output_tokens`` what one answer adds.
    """

    context_tokens: float
    calls: float
    growth_tokens: float
    output_tokens: float


def ordinary(economics: Economics, assessment: Assessment, *, tools: bool) -> Outlook:
    """Return the task that the table's dollars are for, averaged over what the reading allows.

    ``tools``: a question that one answer would settle takes some calls where tools are listed.
    """
    single = sum(float(assessment.p_type[TYPES.index(name)]) for name in economics.single)
    agentic = max(0.0, 1.0 - single)
    calls = float(assessment.p_level @ np.asarray(economics.calls, dtype=np.float32))
    alone = economics.single_calls_with_tools if tools else 1.0
    return Outlook(
        context_tokens=agentic * economics.context_tokens + single * economics.single_tokens,
        calls=max(1.0, agentic * calls + single * alone),
        growth_tokens=economics.growth_tokens,
        output_tokens=economics.output_tokens,
    )


def remaining(task: Outlook, economics: Economics, made: int) -> float:
    """Return the calls still expected, this one included, after ``made`` calls on the task.

    Tasks that last are long ones: the expected rest never falls under a share of the whole.
    """
    return max(task.calls - made, economics.remaining * task.calls if made else 0.0, 1.0)


def context_usd(price: Price, context_tokens: float, cached_tokens: float) -> float:
    """Price one request's input: what is cached at the read price, the rest as written."""
    band = band_of(price.bands, context_tokens)
    cached = min(cached_tokens, context_tokens)
    return cached * band.read + (context_tokens - cached) * band.write


def following_usd(bands: tuple[Band, ...], outlook: Outlook) -> float:
    """Price this request's answer and every call after it, the earlier context being cached."""
    context, calls, growth, output = outlook
    step = growth + output
    usd = output * band_of(bands, context).output
    done = 0.0
    for band, end in _spans(bands, context, step, max(0.0, calls - 1.0)):
        n = end - done
        reread = n * context + step * (end * (end - 1) - done * (done - 1)) / 2
        usd += reread * band.read + n * (step * band.write + output * band.output)
        done = end
    return usd


def factor_of(price: Price, table_usd: float, task: Outlook) -> float:
    """Say how much more than its list price of an ordinary task a unit spends on one."""
    band = price.bands[0]
    usual = following_usd((band._replace(write=band.fresh, read=TABLE_READ * band.fresh),), task)
    if usual <= 0:
        return 1.0
    spent = table_usd - task.context_tokens * band.fresh
    return min(MAX_FACTOR, max(MIN_FACTOR, spent / usual))


def session_usd(
    price: Price, *, table_usd: float, task: Outlook, outlook: Outlook, cached_tokens: float
) -> float:
    """Return the expected dollars of serving this request and the rest of its task.

    ``task`` is the ordinary task that ``table_usd`` was paid for, ``outlook`` this one.
    """
    first = context_usd(price, outlook.context_tokens, cached_tokens)
    return first + factor_of(price, table_usd, task) * following_usd(price.bands, outlook)


def usage_usd(usage: Usage, price: Price | None) -> float:
    """Return what a reply cost: the provider's word, else the list price; zero without either."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    if price is None:
        return 0.0
    band = band_of(price.bands, usage.input_tokens)
    fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    return (
        fresh * band.fresh
        + usage.cache_write_tokens * band.write
        + usage.cached_tokens * band.read
        + usage.output_tokens * band.output
    )


def rewriting_usd(price: Price, context_tokens: float, cached_tokens: float) -> float:
    """Return what losing a cache of this size costs when the model is wanted again."""
    lost = context_usd(price, context_tokens, 0.0)
    return max(0.0, lost - context_usd(price, context_tokens, cached_tokens))


def band_of(bands: tuple[Band, ...], context_tokens: float) -> Band:
    """Return the rates that hold for a request of this size."""
    found = bands[0]
    for band in bands[1:]:
        if context_tokens > band.above_tokens:
            found = band
    return found


def _spans(
    bands: tuple[Band, ...], context: float, step: float, calls: float
) -> list[tuple[Band, float]]:
    """Cut the calls to come where the growing context enters a dearer band.

    Returns each band with the (fractional) number of calls at which it ends.
    """
    if len(bands) == 1:
        return [(bands[0], calls)]
    spans: list[tuple[Band, float]] = []
    starts = [max(0.0, (band.above_tokens - context) / step) for band in bands[1:]]
    for band, end in zip(bands, [*starts, calls], strict=True):
        if min(end, calls) > (spans[-1][1] if spans else 0.0):
            spans.append((band, min(end, calls)))
    return spans
