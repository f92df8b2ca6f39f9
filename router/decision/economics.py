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

Tasks that an agent works on and asks that one answer settles are priced apart and averaged by what
the reading says they are: of a task the factor is on calls and answers, of an answer on its length.

The factor reads cached context at ``TABLE_READ`` of the input price, as the table was priced, and
not at the list's own read price: so what a cheaper read saves stays saved, and never comes back as
a dearer answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.model import Assessment
from router.evidence.catalogue import Band, Economics, Price, PriceList
from router.values import Usage

Array = NDArray[np.float32]

TABLE_READ: Final = 0.1
"""Price of cached input over that of fresh input behind the table's dollars, which
``benchmarks.table.pricing`` builds with it; Anthropic, OpenAI and Google charge just that."""

MIN_FACTOR: Final = 0.05
MAX_FACTOR: Final = 20.0
"""Bounds of the factor: beyond them the dollars and the price list contradict each other."""

MIN_SHARE: Final = 0.01
"""A kind of work less likely than this is left out."""


class Outlook(NamedTuple):
    """A task from here on: this request's context, and what is expected to follow.

    ``calls`` counts this one and may be fractional; ``growth_tokens`` is what comes in between two
    calls (tool results), ``output_tokens`` what one answer adds.
    """

    context_tokens: float
    calls: float
    growth_tokens: float
    output_tokens: float


class Tokens(NamedTuple):
    """What calls add up to: context read again, context written, answers."""

    reread: float
    written: float
    answered: float


class Work(NamedTuple):
    """One kind of work that a request may be: how likely, how it usually goes, how it goes here.

    ``agent`` work takes calls that differ by model; else one answer settles it, and what differs
    is its length.  ``start_tokens`` and ``usual`` are of the ordinary task behind the table's dollars.
    """

    share: float
    agent: bool
    start_tokens: float
    usual: Tokens
    here: Outlook


def work_of(
    economics: Economics,
    assessment: Assessment,
    *,
    tools: bool,
    context_tokens: float,
    begins: bool = False,
    made: int = 0,
    growth_tokens: float | None = None,
) -> tuple[Work, ...]:
    """Say what a request with so much context may be, after ``made`` calls for the same ask.

    Where it ``begins`` a session, an agent's first request grows into an ordinary one; what one answer
    settles is as large as it is.

    ``tools``: a question that one answer would settle takes some calls where tools are listed.
    ``growth_tokens`` is what the session was seen to grow by, None where it was not seen yet.
    Tasks that last are long ones: the expected rest never falls under a share of the whole.
    """
    single = float(assessment.p_type @ economics.is_single)
    agent_calls = float(assessment.p_level @ np.asarray(economics.calls, dtype=np.float32))
    single_calls = economics.single_calls_with_tools if tools else 1.0
    answer = economics.output_tokens
    found = []
    for share, agent, start, usual, here in (
        (1.0 - single, True, economics.context_tokens, agent_calls, agent_calls),
        (single, False, economics.single_tokens, 1.0, single_calls),
    ):
        if share > MIN_SHARE:
            left = max(here - made, economics.remaining * here if made else 0.0, 1.0)
            ordinary = Outlook(start, usual, economics.growth_tokens, answer)
            growth = economics.growth_tokens if growth_tokens is None else growth_tokens
            grown = max(context_tokens, start) if begins and agent else context_tokens
            outlook = Outlook(grown, left, growth, answer)
            found.append(Work(share, agent, start, tokens_of(ordinary), outlook))
    return tuple(found)


def tokens_of(outlook: Outlook) -> Tokens:
    """Add up what follows a request's input: the context of further calls, and all the answers."""
    context, calls, growth, output = outlook
    more, step = max(0.0, calls - 1.0), growth + output
    reread = more * context + step * more * (more - 1) / 2
    return Tokens(reread, more * step, (1 + more) * output)


def context_usd(price: Price, context_tokens: float, cached_tokens: float) -> float:
    """Price one request's input: what is cached at the read price, the rest as written."""
    band = band_of(price.bands, context_tokens)
    cached = min(cached_tokens, context_tokens)
    return cached * band.read + (context_tokens - cached) * band.write


def following_usd(bands: tuple[Band, ...], outlook: Outlook) -> tuple[float, float]:
    """Price what follows this request's input: the context of further calls, and all the answers.

    Every further call reads the context before it from the cache, and writes what came since.
    """
    if len(bands) == 1:
        reread, written, answered = tokens_of(outlook)
        band = bands[0]
        return reread * band.read + written * band.write, answered * band.output
    context, calls, growth, output = outlook
    step = growth + output
    contexts, answers, done = 0.0, output * band_of(bands, context).output, 0.0
    for band, end in _spans(bands, context, step, max(0.0, calls - 1.0)):
        n = end - done
        reread = n * context + step * (end * (end - 1) - done * (done - 1)) / 2
        contexts += reread * band.read + n * step * band.write
        answers += n * output * band.output
        done = end
    return contexts, answers


def factor_of(band: Band, table_usd: float, work: Work) -> float:
    """Say how much more than its list price of an ordinary task a unit spends on one."""
    reread, written, answered = work.usual
    listed = (TABLE_READ * reread + written) * band.fresh + answered * band.output
    if listed <= 0:
        return 1.0
    spent = table_usd - work.start_tokens * band.fresh
    return min(MAX_FACTOR, max(MIN_FACTOR, spent / listed))


def session_usd(
    price: Price, works: Sequence[Work], table_usd: Sequence[float], cached_tokens: float
) -> float:
    """Return the expected dollars of serving this request and the rest of its task.

    ``table_usd`` holds what the table says an ordinary task of each kind of work costs.
    """
    bands, usd = price.bands, 0.0
    for work, usual_usd in zip(works, table_usd, strict=True):
        usd += work.share * context_usd(price, work.here.context_tokens, cached_tokens)
        factor = factor_of(bands[0], usual_usd, work)
        contexts, answers = following_usd(bands, work.here)
        usd += work.share * (contexts * (factor if work.agent else 1.0) + answers * factor)
    return usd


def sessions_usd(
    rates: PriceList, works: Sequence[Work], table_usd: Sequence[Array], cached_tokens: Array
) -> Array:
    """Return ``session_usd`` of U units at once, (U,).

    ``table_usd`` holds an array (U,) for each kind of work; ``cached_tokens`` (U,).
    """
    usd: Array = np.zeros(len(cached_tokens), dtype=np.float32)
    for work, usual_usd in zip(works, table_usd, strict=True):
        context = np.float32(work.here.context_tokens)
        cached = np.minimum(cached_tokens, context)
        usd += work.share * (cached * rates.read + (context - cached) * rates.write)
        reread, written, answered = work.usual
        listed = (TABLE_READ * reread + written) * rates.fresh + answered * rates.output
        spent = usual_usd - work.start_tokens * rates.fresh
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(listed > 0, spent / listed, 1.0)
        factor = np.clip(factor, MIN_FACTOR, MAX_FACTOR)
        reread, written, answered = tokens_of(work.here)
        contexts = reread * rates.read + written * rates.write
        following = contexts * (factor if work.agent else 1.0) + answered * rates.output * factor
        usd += np.float32(work.share) * np.asarray(following, dtype=np.float32)
    longest = max(
        w.here.context_tokens + w.here.calls * (w.here.growth_tokens + w.here.output_tokens)
        for w in works
    )
    for row, price in rates.banded:
        if longest > price.bands[1].above_tokens:
            usual = [float(usual_usd[row]) for usual_usd in table_usd]
            usd[row] = session_usd(price, works, usual, float(cached_tokens[row]))
    return np.asarray(usd, dtype=np.float32)


def listed_usd(price: Price, works: Sequence[Work]) -> float:
    """Return the list price of a request of these kinds and the rest of its task.

    It is what is expected without evidence: as if a model spent what is usual.
    """
    usd = 0.0
    for work in works:
        contexts, answers = following_usd(price.bands, work.here)
        usd += work.share * (context_usd(price, work.here.context_tokens, 0.0) + contexts + answers)
    return usd


def usage_usd(usage: Usage, price: Price | None) -> float | None:
    """Return what a reply cost: the provider's word, else the list price; None without either."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    if price is None:
        return None
    band = band_of(price.bands, usage.input_tokens)
    fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    return (
        fresh * band.fresh
        + usage.cache_write_tokens * band.write
        + usage.cached_tokens * band.read
        + usage.output_tokens * band.output
    )


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
    spans: list[tuple[Band, float]] = []
    starts = [max(0.0, (band.above_tokens - context) / step) for band in bands[1:]]
    for band, end in zip(bands, [*starts, calls], strict=True):
        if min(end, calls) > (spans[-1][1] if spans else 0.0):
            spans.append((band, min(end, calls)))
    return spans
