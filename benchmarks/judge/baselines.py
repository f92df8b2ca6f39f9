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
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge

from benchmarks.judge.measures import KEPT_QUALITY, Floats, Ints
from benchmarks.judge.replay import Array32, Pool, Routing, routing_of
from classifier.features import tokenize

Policy = Callable[[Pool, Pool, Pool, np.random.Generator], Routing]
"""``(train, validation, test, rng) → routing`` for the test items."""

N_HASHES: Final = 1 << 16
N_CONCEPTS: Final = 256
"""Hash buckets and LSA dimensions of the first study (notes/classifier-study.md)."""

N_NEIGHBOURS: Final = 100
RIDGE_ALPHA: Final = 10.0
N_FOLDS: Final = 5

KNOTS: Final = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the predicted need where the four levels sit; the outer ones far out, so that the
hardest and the easiest tenth are still told apart."""

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


# --- text as vectors ---------------------------------------------------------------------------


class TextSpace:
    """Hashed TF-IDF and its LSA, fitted on training texts."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        """Fit weights and concepts; small text sets get fewer concepts."""
        counts = _counts(texts)
        self.tfidf_ = TfidfTransformer(sublinear_tf=True).fit(counts)
        used = int((counts.getnnz(axis=0) > 0).sum())
        n_concepts = max(1, min(N_CONCEPTS, len(texts) - 1, used - 1))
        self.svd_ = TruncatedSVD(n_concepts, n_iter=3, random_state=0).fit(
            self.tfidf_.transform(counts)
        )

    def words(self, texts: tuple[str, ...]) -> sp.csr_matrix:
        """TF-IDF rows of unit length, (n, N_HASHES)."""
        return self.tfidf_.transform(_counts(texts))

    def concepts(self, texts: tuple[str, ...]) -> Array32:
        """LSA rows of unit length, float32 (n, n_concepts); an empty text is all zeros."""
        found = self.svd_.transform(self.words(texts)).astype(np.float32)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))


def neighbours(
    train: Array32, test: Array32, train_groups: Ints | None, test_groups: Ints | None
) -> Ints:
    """Indices of the nearest training rows by cosine, (n, k); never of the item's own group."""
    k = min(N_NEIGHBOURS, len(train))
    found = np.empty((len(test), k), dtype=np.int64)
    for start in range(0, len(test), 1000):
        rows = slice(start, start + 1000)
        distance = -(test[rows] @ train.T)
        if train_groups is not None and test_groups is not None:
            distance[train_groups[None, :] == test_groups[rows, None]] = np.inf
        found[rows] = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return found


@lru_cache(maxsize=20_000)
def _hashes(text: str) -> Ints:
    return np.asarray(tokenize(text).hashes[0].astype(np.int64) % N_HASHES)


def _counts(texts: tuple[str, ...]) -> sp.csr_matrix:
    rows = [_hashes(text) for text in texts]
    ends = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    data = np.ones(ends[-1], dtype=np.float32)
    counts = sp.csr_matrix(
        (data, np.concatenate([*rows, np.zeros(0, np.int64)]), ends), (len(texts), N_HASHES)
    )
    counts.sum_duplicates()
    return counts


# --- our difficulty axis, fitted to a pool -----------------------------------------------------


def refit_levels(train: Pool, *others: Pool) -> list[Array32]:
    """Read the difficulty level anew from a pool's own training outcomes; p_level per pool.

    What "retrain on your own requests" does to the second half of an assessment, and free of
    any look at the other parts.  The target is how much an item needs the best model: its
    score less the others' mean.  A ridge on TF-IDF and the 100 nearest on LSA are averaged (the
    best recipe of the first study); predictions for the training part are out of fold; a knot
    per level at quantiles of those turns a prediction into level weights, linear in between.
    """
    best = train.best
    gain = train.quality[:, best] - np.delete(train.quality, best, axis=1).mean(axis=1)
    space = TextSpace(train.texts)
    words, concepts = space.words(train.texts), space.concepts(train.texts)
    near = neighbours(concepts, concepts, train.groups, train.groups)
    inside = (_out_of_fold(words, gain, train.groups) + gain[near].mean(axis=1)) / 2
    head = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(words, gain)
    knots = np.quantile(inside, KNOTS)
    read = [_hats(inside, knots)]
    for pool in others:
        near = neighbours(concepts, space.concepts(pool.texts), None, None)
        linear = head.predict(space.words(pool.texts))
        read.append(_hats((linear + gain[near].mean(axis=1)) / 2, knots))
    return read


def _out_of_fold(words: sp.csr_matrix, target: Floats, groups: Ints) -> Floats:
    fold = np.unique(groups, return_inverse=True)[1] % N_FOLDS
    predicted = np.full(len(target), target.mean())
    for k in range(N_FOLDS):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(inside) and len(outside):
            head = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(words[inside], target[inside])
            predicted[outside] = head.predict(words[outside])
    return predicted


def _hats(values: Floats, knots: Floats) -> Array32:
    """Write each value as weights of its two neighbouring knots, float32 (n, len(knots))."""
    rising = knots + 1e-9 * np.arange(len(knots))
    columns = [np.interp(values, rising, row) for row in np.eye(len(knots))]
    return np.array(columns, dtype=np.float32).T
