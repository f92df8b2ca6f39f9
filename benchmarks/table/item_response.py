"""Item response: who succeeds on what, when models and items were measured patchily.

One observation is the share of trials a *context* (a model at an effort, on one kind of task)
passed of one *item*:

    logit P(success) = x_context . effects - difficulty_item
    difficulty_item  = mean of its group + deviation,   deviation ~ N(0, spread_group^2)
    mean of a group  = line + deviation,                deviation ~ N(0, group_scale^2)
    line             = what is known of the group beforehand . coefficients
    effects          ~ N(0, scale_component^2)

Effects are whatever the caller's design says (ability, ability by family, by type, by level);
every one belongs to a *component* whose scale is estimated from the data, so an effect without
evidence stays at zero with an honest width, which is what *borrowing from the parent* means.
Group means are shrunk to a line in the same way: a group of one item says little of its mean, and
a group that nobody measured lies about the line, ``group_scale`` wide.

Fitting.  Item difficulties are integrated out, item by item, on a few Gauss-Hermite nodes placed
where each item's posterior lies; what remains is maximised over the effects by Newton steps.
(Maximising over items as well is simpler and wrong: with few observations per item it pulls
abilities together, and 90% intervals of differences held the truth in 68% of simulations.)  Items
outnumber effects a hundred to one but are independent given the effects, so a step costs one
dense system in the effects, the items' share of it taken out by a Schur complement.  After each
step the scales are re-estimated (EM, Gaussian in the effects).  Nothing is random, and the result
does not depend on the order of the rows.

Two refinements that the data asked for:

* Repeated trials of one model on one item agree far more than coins do (about 10% of verdicts
  flip between two runs), so n trials count as n / (1 + (n - 1) TRIAL_CORRELATION).
* A published total over many tasks, without the tasks, is an item that *stands for* n tasks: its
  difficulty is the group's mean to within spread / sqrt(n), seen through the slope that averages
  a logistic curve over the group's spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRIAL_CORRELATION: Final = 0.5
"""Between trials of one model on one item, beyond what the item's difficulty explains."""

PROBIT: Final = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
"""Averaging a logistic curve over N(0, s^2) scales its argument by 1 / sqrt(1 + PROBIT s^2)."""

GROUP_MEAN_SCALE: Final = 10.0
"""Prior standard deviation, in logits, of a group's mean difficulty where no line is given, and of
the line's height: as good as flat."""

LINE_SCALE: Final = 0.5
"""Prior standard deviation of the line's other coefficients, around zero."""

GROUP_SCALE: Final = 1.0
GROUP_COUNT: Final = 4.0
"""Groups are taken to differ as if GROUP_COUNT further ones had been seen GROUP_SCALE logits off their
line: what a benchmark that is left out is missed by (benchmarks/LOG.md, 2026-11-29)."""

PRIOR_SCALE: Final = 0.3
PRIOR_COUNT: Final = 2.0
"""A component's scale is estimated as if PRIOR_COUNT further effects of PRIOR_SCALE were seen."""

FINAL_NODES: Final = 21
"""Quadrature nodes of the final covariance; the steps before need fewer."""

LEVEL_MINUTES: Final = (15.0, 60.0, 240.0)
"""Where one difficulty level ends and the next begins, in minutes of an engineer's time."""


@dataclass(frozen=True, slots=True)
class Observations:
    """Scores of contexts on items; n rows.

    ``context``, ``item`` int (n,); ``score`` in [0, 1] (n,); ``trials`` (n,) behind each score.
    ``item_group`` int (items,); ``item_tasks`` (items,): how many tasks an item stands for.
    ``line`` (groups, k): what group means are regressed on, the first column being ones;
    ``known`` (groups,): the part of a group's mean that is given, in logits.  Without a line group
    means are free.  A context meets items of one group only.
    """

    context: Ints
    item: Ints
    score: Floats
    trials: Floats
    item_group: Ints
    item_tasks: Floats
    line: Floats | None = None
    known: Floats | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """How contexts are made of effects.

    ``columns`` sparse (contexts, effects); ``component`` int (effects,), an index into ``names``.
    """

    columns: Any
    component: Ints
    names: tuple[str, ...]


class Drawn(NamedTuple):
    """Joint draws, K of each."""

    effects: Floats
    """(K, P)."""
    line: Floats
    """Coefficients, (K, k)."""
    groups: Floats
    """Mean difficulties, (K, G)."""
    difficulty: Floats
    """Of items, (K, items)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model.  P effects, k coefficients of the line, G item groups.

    ``effects`` (P,), ``coefficients`` (k,) and the groups' deviations from the line have covariance
    ``root @ root.T``, root being (P + k + G, P + k + G).  ``group_mean`` (G,) is all of a group's mean
    difficulty, ``group_scale`` how far groups lie off the line (0 without one).  ``difficulty``,
    ``difficulty_sd`` (items,): posterior means in logits, and standard deviations given the effects.
    ``pull`` sparse (items, P + k + G): how the mean deviation of an item follows a change of all these.
    """

    effects: Floats
    coefficients: Floats
    group_mean: Floats
    group_scale: float
    group_spread: Floats
    line: Floats
    root: Floats
    difficulty: Floats
    difficulty_sd: Floats
    item_group: Ints
    pull: Any
    scales: dict[str, float]
    log_posterior: tuple[float, ...]

    def draws(self, n_draws: int, seed: int) -> Drawn:
        """Draw ``n_draws`` times, K, jointly.

        Drawn in antithetic pairs, so that means are exact.  The part of an item's uncertainty
        that no effect shares (``difficulty_sd``) is left out: average over it analytically.
        """
        rng = np.random.default_rng(seed)
        half = rng.standard_normal((n_draws // 2, len(self.root)))
        moves = np.concatenate([half, -half]) @ self.root.T
        ends = np.cumsum([len(self.effects), len(self.coefficients)])
        effects, line, groups = np.split(moves, ends, axis=1)
        groups = line @ self.line.T + groups
        deviations = (self.pull @ moves.T).T
        return Drawn(
            effects=self.effects + effects,
            line=self.coefficients + line,
            groups=self.group_mean + groups,
            difficulty=self.difficulty + groups[:, self.item_group] + deviations,
        )


def effective_trials(trials: Floats) -> Floats:
    """Return how many independent trials ``trials`` correlated ones are worth."""
    return np.asarray(trials / (1 + (trials - 1) * TRIAL_CORRELATION))


def sigmoid(x: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def fit(
    observations: Observations,
    design: Design,
    *,
    steps: int = 40,
    tolerance: float = 3e-3,
    nodes: int = 7,
    exact: bool = True,
) -> Fit:
    """Fit effects, difficulties and scales; ``tolerance`` is the largest last move in logits.

    Without ``exact`` the covariance is Laplace's: enough where nobody draws from it.
    """
    state = _FitState.start(observations, design, nodes)
    history: list[float] = []
    for _ in range(steps):
        moved = state.newton_step()
        history.append(state.log_posterior)
        if max(moved, state.update_scales()) < tolerance:
            break
    state.newton_step()
    return state.finish(tuple(history), exact)


@dataclass(frozen=True, slots=True)
class _Items:
    """Posteriors of item deviations on q nodes: ``at`` and ``share`` (items, q), rows sum to one.

    ``success`` (n, q): each row's probability at its item's nodes.  ``log_evidence``: the log of
    the likelihood with the items integrated out, less constants.
    """

    at: Floats
    share: Floats
    success: Floats
    mode: Floats
    log_evidence: float

    def mean(self) -> Floats:
        """Posterior means, (items,)."""
        return np.asarray((self.share * self.at).sum(axis=1))

    def variance(self) -> Floats:
        """Posterior variances, (items,)."""
        return np.asarray((self.share * self.at**2).sum(axis=1) - self.mean() ** 2)


@dataclass(slots=True)
class _FitState:
    """Where the fit stands.  ``beta`` holds effects, coefficients of the line, groups' deviations."""

    obs: Observations
    design: Design
    columns: Any
    active: NDArray[np.bool_]
    quadrature: tuple[Floats, Floats]
    beta: Floats
    scale: Floats
    group_scale: float
    offset: Floats
    spread: Floats
    variance: Floats
    items: _Items
    log_posterior: float

    @classmethod
    def start(cls, obs: Observations, design: Design, nodes: int) -> _FitState:
        """Begin at zero, with every scale at one half and every spread at one."""
        from scipy import sparse

        n_contexts, n_effects = design.columns.shape
        n_groups = int(obs.item_group.max()) + 1
        group = np.full(n_contexts, -1)
        group[obs.context] = obs.item_group[obs.item]
        if (group[obs.context] != obs.item_group[obs.item]).any():
            raise ValueError("a context meets items of more than one group")
        seen = np.flatnonzero(group >= 0)
        minus = sparse.csr_matrix(
            (-np.ones(len(seen)), (seen, group[seen])), shape=(n_contexts, n_groups)
        )
        line = np.zeros((n_groups, 0)) if obs.line is None else obs.line
        known = np.zeros(n_groups) if obs.known is None else obs.known
        columns = sparse.hstack([design.columns, sparse.csr_matrix(minus @ line), minus]).tocsr()
        used = np.zeros(n_contexts)
        used[seen] = 1
        size = n_effects + line.shape[1] + n_groups
        state = cls(
            obs=obs,
            design=design,
            columns=columns,
            active=np.asarray(abs(columns).T @ used > 0),
            quadrature=np.polynomial.hermite.hermgauss(nodes),
            beta=np.zeros(size),
            scale=np.full(len(design.names), 0.5),
            group_scale=GROUP_MEAN_SCALE if obs.line is None else GROUP_SCALE,
            offset=minus @ known,
            spread=np.ones(n_groups),
            variance=np.zeros(size),
            items=_Items(*(np.zeros(0),) * 4, 0.0),
            log_posterior=0.0,
        )
        state.items = state.integrate(state.beta, np.zeros(len(obs.item_group)))
        state.log_posterior = state.posterior_of(state.beta, state.items)
        return state

    def prior_precision(self) -> Floats:
        """Of effects, coefficients and groups' deviations, (P + k + G,)."""
        effects = self.scale[self.design.component] ** -2.0
        n_groups = len(self.spread)
        line = np.full(len(self.beta) - len(effects) - n_groups, LINE_SCALE**-2)
        line[:1] = GROUP_MEAN_SCALE**-2
        return np.concatenate([effects, line, np.full(n_groups, self.group_scale**-2)])

    def item_prior_precision(self) -> Floats:
        """Of item deviations, (items,)."""
        return np.asarray(self.obs.item_tasks / self.spread[self.obs.item_group] ** 2)

    def slope(self) -> Floats:
        """Of each row: below one where the item stands for many tasks."""
        spread = self.spread[self.obs.item_group[self.obs.item]]
        flat = 1 / np.sqrt(1 + PROBIT * spread**2)
        return np.where(self.obs.item_tasks[self.obs.item] > 1, flat, 1.0)

    def weight(self) -> Floats:
        """Return what each row counts: a total of n tasks is n rows."""
        return effective_trials(self.obs.trials) * self.obs.item_tasks[self.obs.item]

    def per_item(self, values: Floats) -> Floats:
        """Sum rows (n,) or (n, q) over each item."""
        n_items = len(self.obs.item_group)
        if values.ndim == 1:
            return np.asarray(np.bincount(self.obs.item, values, n_items), dtype=np.float64)
        sums = [np.bincount(self.obs.item, column, n_items) for column in values.T]
        return np.stack(sums, axis=1)

    def integrate(self, beta: Floats, e: Floats) -> _Items:
        """Find each item's mode from ``e`` on, and its posterior on nodes around it."""
        obs, slope, weight = self.obs, self.slope(), self.weight()
        linear = (self.columns @ beta + self.offset)[obs.context]
        prior = self.item_prior_precision()
        for _ in range(8):
            p = sigmoid(slope * (linear - e[obs.item]))
            precision = prior + self.per_item(weight * slope**2 * p * (1 - p))
            gradient = -prior * e - self.per_item(weight * slope * (obs.score - p))
            move = np.clip(gradient / precision, -2, 2)
            e = e + move
            if abs(move).max() < 1e-3:
                break
        x, w = self.quadrature
        width = np.sqrt(2 / precision)
        at = e[:, None] + width[:, None] * x
        eta = slope[:, None] * (linear[:, None] - at[obs.item])
        likelihood = weight[:, None] * (obs.score[:, None] * eta - np.logaddexp(0, eta))
        log_share = self.per_item(likelihood) - 0.5 * prior[:, None] * at**2 + x**2 + np.log(w)
        top = log_share.max(axis=1, keepdims=True)
        share = np.exp(log_share - top)
        total = share.sum(axis=1, keepdims=True)
        evidence = top[:, 0] + np.log(total[:, 0]) + np.log(width) + 0.5 * np.log(prior)
        return _Items(at, share / total, sigmoid(eta), e, float(evidence.sum()))

    def posterior_of(self, beta: Floats, items: _Items) -> float:
        """Return the log of evidence times the effects' prior, less constants."""
        return items.log_evidence - 0.5 * float(self.prior_precision() @ beta**2)

    def curvatures(self) -> tuple[Floats, Floats]:
        """Return residual and expected curvature of each row's logit, items averaged out."""
        share = self.items.share[self.obs.item]
        p = self.items.success
        slope, weight = self.slope(), self.weight()
        residual = weight * slope * (self.obs.score - (share * p).sum(axis=1))
        curvature = weight * slope**2 * (share * p * (1 - p)).sum(axis=1)
        return residual, np.maximum(curvature, 1e-9)

    def gradient(self, residual: Floats) -> Floats:
        """Of the log posterior in ``beta``."""
        by_context = np.bincount(self.obs.context, residual, self.columns.shape[0])
        return np.asarray(self.columns.T @ by_context - self.prior_precision() * self.beta)

    def information(self, curvature: Floats, shared: Any) -> Floats:
        """Posterior precision of ``beta``: curvature less what the items absorb, plus prior.

        ``shared`` sparse (contexts, any): its Gram matrix is the absorbed part.
        """
        from scipy import sparse

        by_context = np.bincount(self.obs.context, curvature, self.columns.shape[0])
        inner = sparse.diags(by_context) - shared @ shared.T
        dense = (self.columns.T @ inner @ self.columns).toarray()
        return np.asarray(dense + np.diag(self.prior_precision()))

    def newton_step(self) -> float:
        """Step towards the maximum, halved until the posterior does not fall; return the move.

        The absorbed part is Laplace's (curvature over precision): cheap, and the step only has
        to point uphill.  ``finish`` uses the exact one.
        """
        from scipy import linalg

        residual, curvature = self.curvatures()
        information = self.information(curvature, self.absorbed_roughly(curvature))
        factor = linalg.cholesky(information, lower=True)
        move = linalg.cho_solve((factor, True), self.gradient(residual))
        root, _ = linalg.lapack.dtrtri(factor, lower=1)
        self.variance = np.einsum("ij,ij->j", root, root)  # the diagonal of the covariance
        before = self.posterior_of(self.beta, self.items)
        for halvings in range(10):
            beta = self.beta + 0.5**halvings * move
            items = self.integrate(beta, self.items.mode)
            self.log_posterior = self.posterior_of(beta, items)
            if self.log_posterior >= before - 1e-7 * abs(before):
                self.beta, self.items = beta, items
                return float(0.5**halvings * abs(move).max())
        return 0.0

    def update_scales(self) -> float:
        """Re-estimate every scale and spread; return the largest change."""
        second = self.beta**2 + self.variance
        n_effects = len(self.design.component)
        active = self.active[:n_effects]
        component = self.design.component[active]
        counts = np.bincount(component, minlength=len(self.scale))
        sums = np.bincount(component, second[:n_effects][active], len(self.scale))
        scale = np.sqrt((sums + PRIOR_COUNT * PRIOR_SCALE**2) / (counts + PRIOR_COUNT))
        single = self.obs.item_tasks == 1
        squares = (self.items.mean() ** 2 + self.items.variance()) * single
        n = np.bincount(self.obs.item_group, single, len(self.spread))
        total = np.bincount(self.obs.item_group, squares, len(self.spread))
        pooled = (total.sum() + 1) / (n.sum() + 1)
        spread = np.sqrt((total + 5 * pooled) / (n + 5))
        change = float(max(abs(scale - self.scale).max(), abs(spread - self.spread).max()))
        self.scale, self.spread = scale, spread
        if self.obs.line is not None:
            apart = second[-len(spread) :].sum() + GROUP_COUNT * GROUP_SCALE**2
            group_scale = float(np.sqrt(apart / (len(spread) + GROUP_COUNT)))
            change = max(change, abs(group_scale - self.group_scale))
            self.group_scale = group_scale
        self.items = self.integrate(self.beta, self.items.mode)
        return change

    def absorbed_roughly(self, curvature: Floats) -> Any:
        """Laplace's estimate of what the items absorb, for ``information``."""
        from scipy import sparse

        precision = self.per_item(curvature) + self.item_prior_precision()
        root = curvature / np.sqrt(precision)[self.obs.item]
        shape = (self.columns.shape[0], len(precision))
        return sparse.csr_matrix((root, (self.obs.context, self.obs.item)), shape=shape)

    def absorbed_exactly(self, deviation: Floats) -> Any:
        """What the items absorb by Louis' identity: the spread of each row's ``deviation`` (n, q)."""
        from scipy import sparse

        n_nodes = deviation.shape[1]
        column = self.obs.item[:, None] * n_nodes + np.arange(n_nodes)
        row = np.repeat(self.obs.context, n_nodes)
        root = np.sqrt(self.items.share[self.obs.item]) * deviation
        shape = (self.columns.shape[0], self.items.at.size)
        return sparse.csr_matrix((root.ravel(), (row, column.ravel())), shape=shape)

    def finish(self, history: tuple[float, ...], exact: bool) -> Fit:
        """Return the result, with the covariance of effects and group means."""
        from scipy import linalg, sparse

        if exact:
            self.quadrature = np.polynomial.hermite.hermgauss(FINAL_NODES)
            self.items = self.integrate(self.beta, self.items.mode)
        obs, items = self.obs, self.items
        _, curvature = self.curvatures()
        share = items.share[obs.item]
        mean = (share * items.success).sum(axis=1, keepdims=True)
        deviation = (self.weight() * self.slope())[:, None] * (items.success - mean)
        absorbed = self.absorbed_exactly(deviation) if exact else self.absorbed_roughly(curvature)
        factor = linalg.cholesky(self.information(curvature, absorbed), lower=True)
        inverse = linalg.solve_triangular(factor, np.eye(len(factor)), lower=True)
        centred = items.at - items.mean()[:, None]
        follows = -(share * centred[obs.item] * deviation).sum(axis=1)
        shape = (len(items.at), self.columns.shape[0])
        pull = sparse.csr_matrix((follows, (obs.item, obs.context)), shape=shape) @ self.columns
        n_effects, n_groups = len(self.design.component), len(self.spread)
        coefficients = self.beta[n_effects:-n_groups]
        line = np.zeros((n_groups, 0)) if obs.line is None else obs.line
        group_mean = line @ coefficients + self.beta[-n_groups:]
        group_mean += 0.0 if obs.known is None else obs.known
        return Fit(
            effects=self.beta[:n_effects],
            coefficients=coefficients,
            group_mean=group_mean,
            group_scale=0.0 if obs.line is None else self.group_scale,
            group_spread=self.spread,
            line=line,
            root=inverse.T,
            difficulty=group_mean[obs.item_group] + items.mean(),
            difficulty_sd=np.sqrt(np.maximum(items.variance(), 0)),
            item_group=obs.item_group,
            pull=pull.tocsr(),
            scales=dict(zip(self.design.names, self.scale.tolist(), strict=True)),
            log_posterior=history,
        )


def averaged(eta: Floats, sd: Floats | float) -> Floats:
    """Return the mean success probability where the logit is N(eta, sd^2)."""
    return sigmoid(eta / np.sqrt(1 + PROBIT * np.asarray(sd) ** 2))


def log_loss(score: Floats, p: Floats) -> float:
    """Return the mean cross entropy in nats of probabilities against scores in [0, 1]."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-(score * np.log(p) + (1 - score) * np.log(1 - p)).mean())


def brier(score: Floats, p: Floats) -> float:
    """Return the mean squared error of probabilities."""
    return float(((score - p) ** 2).mean())


@dataclass(frozen=True, slots=True)
class Tie:
    """What a difficulty in logits says of human time, in log-minutes.

        offset + between x (mean difficulty of the item's benchmark) + within x (its deviation)

    An item's own difficulty is noisy as a measure of time, so within a benchmark the slope is
    the (diluted) least-squares one; over a whole benchmark that noise averages out, so its mean
    moves along the ratio of spreads (reduced major axis), which is not diluted.
    ``residual`` is the standard deviation of log-minutes around the line, ``correlation``
    Pearson's over all labelled items, ``n`` how many there are.
    """

    offset: float
    between: float
    within: float
    residual: float
    correlation: float
    n: int


def tie(difficulty: Floats, minutes: Floats, benchmark: Ints) -> Tie:
    """Fit the tie on labelled items, every benchmark weighing the same."""
    if len(difficulty) < 3:
        raise ValueError(f"{len(difficulty)} items with a human time; a tie takes at least 3")
    size = np.bincount(benchmark).astype(np.float64)
    w = 1 / size[benchmark]
    w /= w.sum()
    y = np.log(minutes)
    x, y_centred = difficulty - w @ difficulty, y - w @ y
    correlation = (w @ (x * y_centred)) / np.sqrt((w @ x**2) * (w @ y_centred**2))
    between = np.sqrt((w @ y_centred**2) / (w @ x**2)) * np.sign(correlation)
    centre = np.bincount(benchmark, difficulty) / np.maximum(size, 1)
    deviation = difficulty - centre[benchmark]
    y_deviation = y - (np.bincount(benchmark, y) / np.maximum(size, 1))[benchmark]
    within = (w @ (deviation * y_deviation)) / (w @ deviation**2)
    predicted = between * centre[benchmark] + within * deviation
    offset = w @ (y - predicted)
    return Tie(
        offset=float(offset),
        between=float(between),
        within=float(within),
        residual=float(np.sqrt(w @ (y - offset - predicted) ** 2)),
        correlation=float(correlation),
        n=len(difficulty),
    )


def place(difficulty: Floats, sd: Floats, centre: Floats, line: Tie) -> tuple[Floats, Floats]:
    """Place items on the human-time scale: p_level (n, 4) and expected log-minutes (n,).

    ``sd`` is of each difficulty, ``centre`` the mean difficulty of each item's benchmark.
    """
    from scipy.special import ndtr

    log_minutes = line.offset + line.between * centre + line.within * (difficulty - centre)
    width = np.sqrt(line.residual**2 + (line.within * sd) ** 2)
    edges = np.log(np.asarray(LEVEL_MINUTES))
    below = ndtr((edges[None, :] - log_minutes[:, None]) / width[:, None])
    bounds = np.concatenate([np.zeros((len(below), 1)), below, np.ones((len(below), 1))], axis=1)
    return np.diff(bounds, axis=1), log_minutes


def level_of_minutes(minutes: float) -> int:
    """Return the difficulty level, 1 to 4, of a task that takes an engineer ``minutes``."""
    return min(1 + sum(minutes >= edge for edge in LEVEL_MINUTES), N_LEVELS)


def one_hot_levels(levels: Sequence[int]) -> Floats:
    """Return p_level (n, 4) of items whose level is known."""
    return np.eye(N_LEVELS)[np.asarray(levels, dtype=np.int64) - 1]
