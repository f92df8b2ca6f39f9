"""A small neural network over sparse vectors: fitted in numpy and scipy, served as ONNX.

    hidden = relu(x W1 + b1)          x: TF-IDF of hashed tokens and surface counts
    type   = softmax(hidden W2_type + b_type)
    level  = softmax(hidden W2_level + b_level)

Heads share the hidden layer, and a row teaches the heads it has labels for; labels may be soft.
The level gets a second network of its own beside (``fit_level_network``).  Beside a linear model of the same features it reads writers never seen four points of
family macro-F1 better (benchmarks/LOG.md).  scikit-learn's MLPClassifier gives the same quality
but cannot share a layer or take soft labels, and its updates touch every weight: a batch of 128
texts has some 15,000 of 150,000 columns, and only those rows of W1 are touched here (*lazy Adam*).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HIDDEN: Final = 56
"""Two networks of this size and one of LEVEL_HIDDEN keep the artefact under 25 MB; 64 and 96 units
scored the same within .005 (benchmarks/LOG.md, 2026-11-25)."""

EPOCHS: Final = 8
MIN_STEPS: Final = 300
"""Few rows are read more often, so that a user's few hundred labelled asks are learned at all."""

BATCH: Final = 128
LEARNING_RATE: Final = 2e-3
TOKEN_DROPOUT: Final = 0.15
HIDDEN_DROPOUT: Final = 0.3
LEVEL_SHARE: Final = 0.5
"""Weight of the level head's loss beside the type head's; see benchmarks/LOG.md, 2026-11-25."""

WEIGHT_DECAY: Final = 1e-5
INITIAL_BOUND: Final = 0.02
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

LEVEL_HIDDEN: Final = 32
LEVEL_DIRECTIONS: Final = 256
"""Units of the level network, and directions of the texts' singular vectors that it reads."""

LEVEL_EPOCHS: Final = 6
LEVEL_DROPOUT: Final = (0.3, 0.4)
LEVEL_SCALE: Final = 8.0
"""Of those directions beside the tokens: Adam moves every weight alike, so scale is learning rate."""


@dataclass(frozen=True, slots=True)
class Network:
    """Weights.  ``w1`` (columns, hidden), ``b1`` (hidden,), ``w2`` (hidden, outputs), ``b2``."""

    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats


class _Adam:
    """Adam for one array; ``step`` may touch only some rows (Kingma & Ba 2015, arXiv:1412.6980)."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights
        self.mean = np.zeros_like(weights)
        self.square = np.zeros_like(weights)

    def step(self, gradient: Floats, rate: float, rows: Any = slice(None)) -> None:
        """Move the given rows against their gradient; ``rate`` has the bias correction in it."""
        mean = BETA_1 * self.mean[rows] + (1 - BETA_1) * gradient
        square = BETA_2 * self.square[rows] + (1 - BETA_2) * gradient * gradient
        self.mean[rows], self.square[rows] = mean, square
        self.weights[rows] -= rate * mean / (np.sqrt(square) + EPSILON)


def fit_network(
    x: Any,
    targets: tuple[Floats, ...],
    weights: tuple[Floats, ...],
    *,
    seed: int,
    hidden: int = HIDDEN,
    epochs: int = EPOCHS,
    dropout: tuple[float, float] = (TOKEN_DROPOUT, HIDDEN_DROPOUT),
) -> Network:
    """Fit one network.

    ``x`` scipy csr float32 (n, columns).  Per head: ``targets`` (n, classes), rows summing to
    one, and ``weights`` (n,), zero where the head has no label.
    """
    rng = np.random.default_rng(seed)
    outputs = sum(target.shape[1] for target in targets)
    w1 = rng.uniform(-INITIAL_BOUND, INITIAL_BOUND, (x.shape[1], hidden)).astype(np.float32)
    bound = float(np.sqrt(6 / (hidden + outputs)))
    w2 = rng.uniform(-bound, bound, (hidden, outputs)).astype(np.float32)
    network = Network(w1, np.zeros(hidden, np.float32), w2, np.zeros(outputs, np.float32))
    adams = [_Adam(a) for a in (network.w1, network.b1, network.w2, network.b2)]
    batches = -(-x.shape[0] // BATCH)
    epochs = max(epochs, -(-MIN_STEPS // batches))
    steps = epochs * batches
    for step, rows in enumerate(_batches(x.shape[0], epochs, rng), start=1):
        decay = 1 - (step - 1) / steps
        correction = np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        rate = float(LEARNING_RATE * decay * correction)
        batch_targets = tuple(target[rows] for target in targets)
        batch_weights = tuple(weight[rows] for weight in weights)
        batch = _dropped(x[rows], dropout[0], rng)
        _learn(network, adams, batch, batch_targets, batch_weights, rate, dropout[1], rng)
    return network


def fit_level_network(
    tokens: Any, beside: Any, target: Floats, weight: Floats, *, seed: int
) -> Network:
    """Fit one network that reads only the main directions of the tokens, and what is beside them.

    Difficulty has few labels and many words: free weights per word learn the words by heart.  The
    directions are linear in the tokens, so they are folded into the first layer afterwards, and
    what is served is a network like any other.

    ``tokens`` csr (n, V) and ``beside`` csr (n, B); returns ``w1`` of V + B rows, in that order.
    Rows without weight are not read.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD

    known = np.flatnonzero(weight > 0)
    tokens, beside = tokens[known], beside[known]
    size = min(LEVEL_DIRECTIONS, min(tokens.shape) - 1)
    svd = TruncatedSVD(size, n_iter=2, n_oversamples=20, random_state=0).fit(tokens)
    into = np.asarray(svd.components_.T, dtype=np.float32) * np.float32(LEVEL_SCALE)
    x = sparse.hstack([sparse.csr_matrix(tokens @ into), beside]).tocsr().astype(np.float32)
    narrow = fit_network(
        x,
        (target[known],),
        (weight[known],),
        seed=seed,
        hidden=LEVEL_HIDDEN,
        epochs=LEVEL_EPOCHS,
        dropout=LEVEL_DROPOUT,
    )
    w1 = np.vstack((into @ narrow.w1[:size], narrow.w1[size:]))
    return Network(w1.astype(np.float32), narrow.b1, narrow.w2, narrow.b2)


def _batches(n: int, epochs: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    for _ in range(epochs):
        order = rng.permutation(n)
        for start in range(0, n, BATCH):
            yield order[start : start + BATCH]


def _dropped(batch: Any, share: float, rng: np.random.Generator) -> Any:
    """Leave out some tokens of each text, so that no one word carries a label."""
    keep = rng.random(batch.nnz, dtype=np.float32) >= share
    batch.data = batch.data * keep / np.float32(1 - share)
    return batch


def _learn(
    network: Network,
    adams: list[_Adam],
    batch: Any,
    targets: tuple[Floats, ...],
    weights: tuple[Floats, ...],
    rate: float,
    dropout: float,
    rng: np.random.Generator,
) -> None:
    """Take one gradient step on a batch, touching only the columns it holds."""
    columns, batch.indices = np.unique(batch.indices, return_inverse=True)
    batch = type(batch)((batch.data, batch.indices, batch.indptr), (batch.shape[0], len(columns)))
    w1 = network.w1[columns]
    hidden = np.maximum(batch @ w1 + network.b1, 0)
    mask = (rng.random(hidden.shape, dtype=np.float32) >= dropout) / np.float32(1 - dropout)
    active = hidden * mask
    slope = _loss_slope(active @ network.w2 + network.b2, targets, weights)
    into_hidden = (slope @ network.w2.T) * mask * (hidden > 0)
    from_inputs = batch.T.tocsr() @ into_hidden + np.float32(WEIGHT_DECAY) * w1
    adams[0].step(from_inputs, rate, columns)
    adams[1].step(into_hidden.sum(axis=0), rate)
    adams[2].step(active.T @ slope + np.float32(WEIGHT_DECAY) * network.w2, rate)
    adams[3].step(slope.sum(axis=0), rate)


def _loss_slope(logits: Floats, targets: tuple[Floats, ...], weights: tuple[Floats, ...]) -> Floats:
    """Gradient of the mean cross-entropy of every head with respect to the logits."""
    slopes, start = [], 0
    for target, weight in zip(targets, weights, strict=True):
        z = logits[:, start : start + target.shape[1]]
        start += target.shape[1]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        slopes.append((p - target) * weight[:, None])
    return np.asarray(np.hstack(slopes) / np.float32(len(logits)), dtype=np.float32)
