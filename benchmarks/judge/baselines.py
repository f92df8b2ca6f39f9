"""The policies we measure ourselves against, each like any other: train, validation, test → routing.

They range from no information (a constant, a coin) over the shape of the prompt (its length,
hand-written rules) and its neighbours in the training part to the outcomes themselves (the
oracle, which nobody can follow).  ``hull`` is what mixing single models at random buys, and
``shuffled`` what our own shares of models buy when dealt to the wrong items; a router that does
not beat both has read nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.judge.measures import KEPT_QUALITY, Floats, Ints
from benchmarks.judge.pool import Pool
from benchmarks.judge.replay import Routing, routing_of
from benchmarks.judge.text_space import TextSpace, neighbours

Policy = Callable[[Pool, Pool, Pool, np.random.Generator], Routing]
"""``(train, validation, test, rng) → routing`` for the test items."""


# --- policies that read nothing ----------------------------------------------------------------


def always_best(train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator) -> Routing:
    """Send everything to the model of the highest mean quality."""
    return _constant(train.best, test)


def always_cheapest(
    train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator
) -> Routing:
    """Send everything to the model of the lowest mean cost."""
    return _constant(train.cheapest, test)


def best_constant(_train: Pool, validation: Pool, test: Pool, _rng: np.random.Generator) -> Routing:
    """Send everything to the cheapest model that kept 95% of the best quality on validation."""
    quality, cost = validation.quality.mean(axis=0), validation.cost.mean(axis=0)
    good = quality >= KEPT_QUALITY * quality.max()
    return _constant(int(np.where(good, cost, np.inf).argmin()), test)


def hull_of_models(
    _train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator
) -> Routing:
    """Every single model; the measures mix them along the hull."""
    return Routing(np.repeat(np.arange(len(test.models))[:, None], len(test), axis=1))


def random_mix(train: Pool, _validation: Pool, test: Pool, rng: np.random.Generator) -> Routing:
    """Toss a weighted coin between the cheapest and the best model."""
    coin = rng.random(len(test))
    shares = np.linspace(0, 1, 21)
    return Routing(np.where(coin < shares[:, None], train.best, train.cheapest), coin)


def _constant(model: int, test: Pool) -> Routing:
    return Routing(np.full((1, len(test)), model, dtype=np.int64))


# --- policies that read the shape of the prompt ------------------------------------------------


def prompt_length(train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator) -> Routing:
    """Longer prompts need stronger models; how much, the training part says."""
    return _by_score(_lengths(train), _lengths(test), train)


def complexity_rules(
    train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator
) -> Routing:
    """Score prompts by hand-written rules, as gateways' rule routers do (``complexity``)."""
    trained, tested = (np.array([complexity(t) for t in pool.texts]) for pool in (train, test))
    return _by_score(trained, tested, train)


_MARKERS: Final[tuple[tuple[float, re.Pattern[str]], ...]] = (
    (0.30, re.compile(r"```|\bdef |\bclass |\bimport |[;{}]\s*$|\bSELECT\b", re.M)),
    (0.25, re.compile(r"step by step|prove|deriv|theorem|reason|why\b|trade-?off", re.I)),
    (0.20, re.compile(r"architect|distribut|concurren|optimi[sz]|algorithm|migrat|refactor", re.I)),
    (0.10, re.compile(r"\bthen\b|\bfinally\b|^\s*(?:\d+[.)]|[-*])\s", re.I | re.M)),
    (-0.20, re.compile(r"^\s*(?:hi|hello|thanks|thank you|what is|define|who)\b", re.I)),
)
"""Weight and pattern of each marker; in the style of LiteLLM's complexity router, ours."""


def complexity(text: str) -> float:
    """Score a prompt by length, code, reasoning and technical words; about -0.2 to 1.2."""
    length = min(1.0, len(text) / 4000)
    return 0.35 * length + sum(weight for weight, mark in _MARKERS if mark.search(text[:8000]))


def _lengths(pool: Pool) -> Floats:
    return np.array([len(text) for text in pool.texts], dtype=np.float64)


def _by_score(trained: Floats, tested: Floats, train: Pool) -> Routing:
    """Expect of an item what training items of a similar score got; rank by the score."""
    order = np.argsort(trained, kind="stable")
    width = min(len(order), max(30, len(order) // 20))
    means = [
        _running(values[order], width) for values in (trained, *train.quality.T, *train.cost.T)
    ]
    at = [np.interp(tested, means[0], column) for column in means[1:]]
    m = len(train.models)
    routing = routing_of(np.array(at[:m]).T, np.array(at[m:]).T, train.best, train.cheapest)
    return Routing(routing.picks, tested)


def _running(values: Floats, width: int) -> Floats:
    """Mean over every window of this width; a rising input stays rising."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((total[width:] - total[:-width]) / width)


# --- policies that read the text ---------------------------------------------------------------


def nearest_neighbours(
    train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator
) -> Routing:
    """Expect of an item what its 100 nearest training prompts got: so also the predicted gain."""
    space = TextSpace(train.texts)
    near = neighbours(space.concepts(train.texts), space.concepts(test.texts), None, None)
    quality, cost = train.quality[near].mean(axis=1), train.cost[near].mean(axis=1)
    return routing_of(quality, cost, train.best, train.cheapest)


def true_family(train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator) -> Routing:
    """Expect what the item's own benchmark family got: needs the label, so no router either."""
    names, index = np.unique(np.array(train.families), return_inverse=True)
    found = np.searchsorted(names, np.array(test.families)).clip(max=len(names) - 1)
    known = names[found] == np.array(test.families)
    expect = [_shrunk_means(values, index)[found] for values in (train.quality, train.cost)]
    overall = (train.quality.mean(axis=0), train.cost.mean(axis=0))
    quality, cost = (
        np.where(known[:, None], e, mean) for e, mean in zip(expect, overall, strict=True)
    )
    return routing_of(quality, cost, train.best, train.cheapest)


def _shrunk_means(values: Floats, index: Ints, prior: float = 5.0) -> Floats:
    """Mean of each group's rows, shrunk by ``prior`` items towards the overall mean."""
    sums = np.array([np.bincount(index, column) for column in values.T]).T
    counts = np.bincount(index)[:, None]
    return np.asarray((sums + prior * values.mean(axis=0)) / (counts + prior))


def oracle(train: Pool, _validation: Pool, test: Pool, _rng: np.random.Generator) -> Routing:
    """Look the outcomes up.  Mostly luck (which model solves an item hardly repeats)."""
    return routing_of(test.quality, test.cost, train.best, train.cheapest)


BASELINES: Final[dict[str, Policy]] = {
    "always best": always_best,
    "always cheapest": always_cheapest,
    "best constant": best_constant,
    "hull of single models": hull_of_models,
    "random": random_mix,
    "prompt length": prompt_length,
    "complexity rules": complexity_rules,
    "kNN": nearest_neighbours,
    "true family": true_family,
    "oracle": oracle,
}
"""Name → policy, in the order of every report; "shuffled self" is made from our own routing."""


def shuffled(routing: Routing, rng: np.random.Generator) -> Routing:
    """Deal a routing's picks to the wrong items: what the shares of models alone buy."""
    order = rng.permutation(routing.picks.shape[1])
    return Routing(routing.picks[:, order], None if routing.rank is None else routing.rank[order])
