"""A small neural network over the segments of a text: fitted in numpy and scipy, served as ONNX.

With x the TF-IDF of a segment's hashed tokens, the surface counts of the whole text and the segment's shape
f (``classifier.features``),

    hidden_s = relu(x_s W1 + b1)                             each segment
    share    = softmax over segments of (hidden_s a + f_s c)    how much it says of what is wanted
    pooled   = sum_s share_s hidden_s
    logits   = pooled W2 + b2                                head by head

The shares are what lets a greeting, a sentence of background or a pasted log be passed over.  It is
attention pooling as in multiple-instance learning (Ilse et al. 2018, arXiv:1802.04712).  Where training itself
put words around an ask (``variations``) it is known which segments are the user's own wish, and the shares
are taught that directly.

Heads share the hidden layer, and a row teaches the heads it has labels for; labels may be soft.
scikit-learn's MLPClassifier has neither, and its updates touch every weight: a batch of 128 texts has
some 15,000 of 200,000 columns, and only those rows of W1 are touched here (*lazy Adam*).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HIDDEN: Final = 80
EPOCHS: Final = 3
MIN_STEPS: Final = 300
"""Few rows are read more often, so that a user's few hundred labelled asks are learned at all."""

BATCH: Final = 128
LEARNING_RATE: Final = 2e-3
TOKEN_DROPOUT: Final = 0.15
HIDDEN_DROPOUT: Final = 0.3
LEVEL_SHARE: Final = 0.5
"""Weight of the level head's loss beside the type head's; see benchmarks/LOG.md, 2026-11-25."""

OWN_SHARE: Final = 1.0
"""Weight of the loss of the shares, where it is known which segments are the wish itself."""

OFFSET_RATE: Final = 30.0
"""How much faster a benchmark's offset learns than a weight: what it takes up first, no word gets."""

WEIGHT_DECAY: Final = 3e-5
INITIAL_BOUND: Final = 0.001
"""Of the first layer.  What few rows hold hardly moves from where it began, so that should be nothing
(benchmarks/LOG.md, 2026-11-30)."""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Head:
    """What one output of the network learns, of n texts.

    ``target`` (n, classes), rows summing to one; ``weight`` (n,), zero where there is no label.
    ``place`` (n,) numbers the benchmarks that texts come from, 0 being none: each has an offset of its
    own in the logits, learned and then left out.  So what lies between benchmarks (who chose the items,
    which models met them) is not read into the words, and what lies within one is.
    """

    target: Floats
    weight: Floats
    place: Ints

    def take(self, rows: Ints) -> Head:
        """Return what it learns of some of the texts."""
        return Head(self.target[rows], self.weight[rows], self.place[rows])


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of n texts.  ``x`` csr float32 (segments, columns); ``shapes`` (segments, shapes).

    Text i has the segments ``starts[i]`` to ``starts[i + 1]``; ``own`` (segments,) is 1 for those that
    are the wish itself, all 0 for a text of which that is not known.
    """

    x: Any
    shapes: Floats
    starts: Ints
    own: Floats

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.starts) - 1

    def take(self, rows: Ints) -> Segments:
        """Return some of the texts."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(lengths)
        at = np.repeat(self.starts[rows] - ends + lengths, lengths) + np.arange(ends[-1])
        starts = np.concatenate(([0], ends))
        return Segments(self.x[at], self.shapes[at], starts, self.own[at])


@dataclass(frozen=True, slots=True)
class Network:
    """Weights.  ``w1`` (columns, hidden), ``b1`` (hidden,), ``w2`` (hidden, outputs), ``b2``.

    ``a`` (hidden,) and ``c`` (shapes,) tell a segment's share.
    """

    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats
    a: Floats
    c: Floats


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
    texts: Segments,
    heads: Sequence[Head],
    *,
    seed: int,
    hidden: int = HIDDEN,
    epochs: int = EPOCHS,
    dropout: tuple[float, float] = (TOKEN_DROPOUT, HIDDEN_DROPOUT),
) -> Network:
    """Fit one network to n texts; its outputs are those of the heads in their order."""
    rng = np.random.default_rng(seed)
    outputs = sum(head.target.shape[1] for head in heads)
    bound = float(np.sqrt(6 / (hidden + outputs)))
    network = Network(
        rng.uniform(-INITIAL_BOUND, INITIAL_BOUND, (texts.x.shape[1], hidden)).astype(np.float32),
        np.zeros(hidden, np.float32),
        rng.uniform(-bound, bound, (hidden, outputs)).astype(np.float32),
        np.zeros(outputs, np.float32),
        np.zeros(hidden, np.float32),
        np.zeros(texts.shapes.shape[1], np.float32),
    )
    offsets = [
        np.zeros((int(h.place.max(initial=0)) + 1, h.target.shape[1]), np.float32) for h in heads
    ]
    adams = [_Adam(getattr(network, name)) for name in ("w1", "b1", "w2", "b2", "a", "c")]
    adams += [_Adam(offset) for offset in offsets]
    batches = -(-len(texts) // BATCH)
    epochs = max(epochs, -(-MIN_STEPS // batches))
    steps = epochs * batches
    for step, rows in enumerate(_batches(len(texts), epochs, rng), start=1):
        decay = 1 - (step - 1) / steps
        correction = np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        rate = float(LEARNING_RATE * decay * correction)
        batch = texts.take(rows)
        _drop(batch.x, dropout[0], rng)
        _learn(network, offsets, adams, batch, [h.take(rows) for h in heads], rate, dropout[1], rng)
    return network


def predict(network: Network, texts: Segments) -> Floats:
    """Return the logits of n texts, (n, outputs)."""
    hidden = np.maximum(texts.x @ network.w1 + network.b1, 0)
    starts = texts.starts[:-1]
    share = _shares(hidden @ network.a + texts.shapes @ network.c, starts, np.diff(texts.starts))
    pooled = np.add.reduceat(share[:, None] * hidden, starts, axis=0)
    return np.asarray(pooled @ network.w2 + network.b2, dtype=np.float32)


def _shares(z: Floats, starts: Ints, lengths: Ints) -> Floats:
    """Softmax over the segments of each text."""
    e = np.exp(z - np.repeat(np.maximum.reduceat(z, starts), lengths))
    return np.asarray(e / np.repeat(np.add.reduceat(e, starts), lengths), dtype=np.float32)


def _batches(n: int, epochs: int, rng: np.random.Generator) -> Iterator[Ints]:
    for _ in range(epochs):
        order = rng.permutation(n)
        for start in range(0, n, BATCH):
            yield order[start : start + BATCH]


def _drop(x: Any, share: float, rng: np.random.Generator) -> None:
    """Leave out some tokens of each segment, so that no one word carries a label."""
    keep = rng.random(x.nnz, dtype=np.float32) >= share
    x.data = x.data * keep / np.float32(1 - share)


def _learn(
    network: Network,
    offsets: list[Floats],
    adams: list[_Adam],
    batch: Segments,
    heads: Sequence[Head],
    rate: float,
    dropout: float,
    rng: np.random.Generator,
) -> None:
    """Take one gradient step on a batch, touching only the columns it holds."""
    x, starts, lengths = batch.x, batch.starts[:-1], np.diff(batch.starts)
    columns, indices = np.unique(x.indices, return_inverse=True)
    x = type(x)((x.data, indices, x.indptr), (x.shape[0], len(columns)))
    w1 = network.w1[columns]
    hidden = np.maximum(x @ w1 + network.b1, 0)
    share = _shares(hidden @ network.a + batch.shapes @ network.c, starts, lengths)
    kept = rng.random((len(batch), hidden.shape[1]), dtype=np.float32) >= dropout
    mask = kept.astype(np.float32) / np.float32(1 - dropout)
    pooled = np.add.reduceat(share[:, None] * hidden, starts, axis=0) * mask
    slope = _loss_slope(pooled @ network.w2 + network.b2, heads, offsets)
    into_pooled = np.repeat((slope @ network.w2.T) * mask, lengths, axis=0)
    into_share = _share_slope(share, np.einsum("sh,sh->s", into_pooled, hidden), starts, lengths)
    into_share += _own_slope(share, batch.own, starts, lengths)
    into_hidden = (share[:, None] * into_pooled + into_share[:, None] * network.a) * (hidden > 0)
    from_inputs = x.T.tocsr() @ into_hidden + np.float32(WEIGHT_DECAY) * w1
    adams[0].step(from_inputs, rate, columns)
    adams[1].step(into_hidden.sum(axis=0), rate)
    adams[2].step(pooled.T @ slope + np.float32(WEIGHT_DECAY) * network.w2, rate)
    adams[3].step(slope.sum(axis=0), rate)
    adams[4].step(hidden.T @ into_share, rate)
    adams[5].step(batch.shapes.T @ into_share, rate)
    at = 0
    for head, offset, adam in zip(heads, offsets, adams[6:], strict=True):
        gradient = np.zeros_like(offset)
        np.add.at(gradient, head.place, slope[:, at : (at := at + offset.shape[1])])
        gradient[0] = 0
        adam.step(gradient, OFFSET_RATE * rate)


def _share_slope(share: Floats, gain: Floats, starts: Ints, lengths: Ints) -> Floats:
    """Gradient with respect to a softmax's inputs, ``gain`` being that with respect to its outputs."""
    return np.asarray(share * (gain - np.repeat(np.add.reduceat(share * gain, starts), lengths)))


def _own_slope(share: Floats, own: Floats, starts: Ints, lengths: Ints) -> Floats:
    """Gradient of -log(share of the segments that are the wish), where they are known."""
    total = np.repeat(np.add.reduceat(share * own, starts), lengths)
    wanted = share * own / np.maximum(total, 1e-6)
    scale = np.float32(OWN_SHARE / len(starts))
    return np.asarray(np.where(total > 0, (share - wanted) * scale, 0), dtype=np.float32)


def _loss_slope(logits: Floats, heads: Sequence[Head], offsets: Sequence[Floats]) -> Floats:
    """Gradient of the mean cross-entropy of every head with respect to the logits."""
    slopes, start = [], 0
    for head, offset in zip(heads, offsets, strict=True):
        z = logits[:, start : start + offset.shape[1]] + offset[head.place]
        start += offset.shape[1]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        slopes.append((p - head.target) * head.weight[:, None])
    return np.asarray(np.hstack(slopes) / np.float32(len(logits)), dtype=np.float32)
