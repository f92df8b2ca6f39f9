"""The network's gradient is right, its shares find the wish, and a benchmark's offset stays behind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from classifier.training.network import (
    BETA_1,
    OWN_SHARE,
    Head,
    Network,
    Segments,
    _Adam,
    _learn,
    _loss_slope,
    _own_slope,
    _share_slope,
    _shares,
    fit_network,
    predict,
)

LENGTHS = np.array([2, 1, 3])
STARTS = np.array([0, 2, 3])


def slope_of(loss, at, step=1e-3):
    """Return the gradient of a function by central differences."""
    found = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        for sign in (1, -1):
            moved = at.copy()
            moved[i] += sign * step
            found[i] += sign * loss(moved) / (2 * step)
    return found


def test_the_slope_of_the_shares_is_that_of_a_softmax():
    rng = np.random.default_rng(1)
    z, gain = rng.normal(size=(2, 6))
    wanted = slope_of(lambda z: float(_shares(z, STARTS, LENGTHS).astype(float) @ gain), z)
    share = _shares(z, STARTS, LENGTHS)
    assert _share_slope(share, gain, STARTS, LENGTHS) == pytest.approx(wanted, abs=1e-3)


def test_the_slope_towards_the_wish_is_that_of_its_log_share():
    z = np.random.default_rng(2).normal(size=6)
    own = np.array([0, 1, 0, 1, 1, 0.0])

    def loss(z):
        share = _shares(z, STARTS, LENGTHS).astype(float)
        total = np.add.reduceat(share * own, STARTS)
        return -float(np.log(total[total > 0]).sum()) / len(STARTS)

    found = _own_slope(_shares(z, STARTS, LENGTHS), own, STARTS, LENGTHS)
    assert found == pytest.approx(slope_of(loss, z), abs=1e-3)


def test_the_slope_of_the_loss_is_that_of_every_heads_cross_entropy():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(4, 5))
    heads = [
        Head(np.eye(3)[[0, 1, 2, 0]], np.array([1, 0.5, 0, 2.0]), np.zeros(4, int)),
        Head(np.full((4, 2), 0.5), np.ones(4), np.array([0, 1, 1, 0])),
    ]
    offsets = [np.zeros((1, 3)), rng.normal(size=(2, 2))]

    def loss(logits):
        total = 0.0
        for head, offset, part in zip(heads, offsets, (slice(0, 3), slice(3, 5)), strict=True):
            z = logits[:, part] + offset[head.place]
            log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
            total -= float((head.weight[:, None] * head.target * log_p).sum())
        return total / len(logits)

    assert _loss_slope(logits, heads, offsets) == pytest.approx(slope_of(loss, logits), abs=1e-4)


def texts(n, seed=0):
    """Texts of three segments: one tells the class and says that it does, two tell another."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    where = rng.integers(0, 3, n)
    x = np.zeros((3 * n, 6), np.float32)
    for i in range(n):
        for k in range(3):
            wish = k == where[i]
            x[3 * i + k, kind[i] if wish else rng.integers(0, 2)] = 1
            x[3 * i + k, 2 + int(wish)] = 1
    own = np.zeros(3 * n, np.float32)
    own[3 * np.arange(n) + where] = 1
    shapes = np.zeros((3 * n, 1), np.float32)
    return Segments(sparse.csr_matrix(x), shapes, 3 * np.arange(n + 1), own), kind


def head_of(kind, place=None):
    n = len(kind)
    target = np.eye(2, dtype=np.float32)[kind]
    return Head(target, np.ones(n, np.float32), np.zeros(n, int) if place is None else place)


def test_the_segment_that_tells_what_is_wanted_is_found():
    known, kind = texts(1500)
    network = fit_network(known, [head_of(kind)], seed=1, hidden=8, epochs=30, dropout=(0, 0))
    asked, wanted = texts(300, seed=9)
    assert (predict(network, asked).argmax(axis=1) == wanted).mean() > 0.97
    hidden = np.maximum(asked.x @ network.w1 + network.b1, 0)
    share = _shares(hidden @ network.a, asked.starts[:-1], np.diff(asked.starts))
    assert share[asked.own == 1].mean() > 0.8


def test_what_lies_between_benchmarks_is_not_read_into_the_words():
    """Two benchmarks of one kind of item: of what one of them rates harder, little gets into the words."""
    n = 1200
    rng = np.random.default_rng(4)
    place = rng.integers(1, 3, n)
    x = np.zeros((n, 2), np.float32)
    x[np.arange(n), place - 1] = 1  # the words tell the benchmark, and nothing else
    alone = Segments(
        sparse.csr_matrix(x),
        np.zeros((n, 1), np.float32),
        np.arange(n + 1),
        np.zeros(n, np.float32),
    )
    hard = (rng.random(n) < np.where(place == 1, 0.9, 0.1)).astype(int)

    def gap(places):
        head = head_of(hard, places)
        network = fit_network(alone, [head], seed=1, hidden=8, epochs=40, dropout=(0, 0))
        z = predict(network, alone)
        lean = z[:, 1] - z[:, 0]
        return abs(lean[place == 1].mean() - lean[place == 2].mean())

    assert gap(place) < 0.5 * gap(np.zeros(n, int))


def test_texts_keep_their_segments_when_some_are_taken():
    every, _ = texts(50)
    some = every.take(np.array([7, 3, 40]))
    assert len(some) == 3
    for mine, row in enumerate((7, 3, 40)):
        a, b = some.starts[mine : mine + 2]
        c, d = every.starts[row : row + 2]
        assert (some.x[a:b] != every.x[c:d]).nnz == 0
        assert np.array_equal(some.own[a:b], every.own[c:d])


def ragged(lengths, seed=0, columns=6):
    """Texts of so many segments each, with anything in them."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    return Segments(
        sparse.csr_matrix(rng.random((n, columns)).astype(np.float32)),
        rng.normal(size=(n, 2)).astype(np.float32),
        np.concatenate(([0], np.cumsum(lengths))),
        rng.integers(0, 2, n).astype(np.float32),
    )


def loss_of(parts, offsets, batch, heads):
    """Return the loss as the module's first lines tell it, in float64; weight decay is left out."""
    w1, b1, w2, b2, a, c = parts
    total = 0.0
    for i in range(len(batch)):
        at = slice(batch.starts[i], batch.starts[i + 1])
        hidden = np.maximum(batch.x[at].toarray().astype(float) @ w1 + b1, 0)
        z = hidden @ a + batch.shapes[at] @ c
        share = np.exp(z) / np.exp(z).sum()
        logits, start = (share @ hidden) @ w2 + b2, 0
        for head, offset in zip(heads, offsets, strict=True):
            z = logits[start : (start := start + offset.shape[1])] + offset[head.place[i]]
            total -= float(head.weight[i]) * float(head.target[i] @ (z - np.log(np.exp(z).sum())))
        if batch.own[at].any():
            total -= OWN_SHARE * float(np.log(share @ batch.own[at]))
    return total / len(batch)


def one_step(batch, heads, seed=5):
    """Return weights and offsets before a step, and the gradients that it went by."""
    rng = np.random.default_rng(seed)
    shapes = ((6, 4), (4,), (4, 5), (5,), (4,), (2,))
    before = [(rng.normal(size=shape) / 2).astype(np.float32) for shape in shapes]
    offsets = [np.zeros((3, 3), np.float32), np.zeros((3, 2), np.float32)]
    for offset in offsets:
        offset[1:] = rng.normal(size=offset[1:].shape)
    network, moved = Network(*(p.copy() for p in before)), [o.copy() for o in offsets]
    adams = [_Adam(part) for part in (*weights_of(network), *moved)]
    _learn(network, moved, adams, batch, heads, 1e-3, 0.0, rng)
    return before, offsets, moved, [adam.mean / (1 - BETA_1) for adam in adams]


def weights_of(network):
    return (network.w1, network.b1, network.w2, network.b2, network.a, network.c)


def two_heads(n, seed=6):
    rng = np.random.default_rng(seed)

    def head(classes):
        target = rng.dirichlet(np.ones(classes), n).astype(np.float32)
        weight = rng.choice([0, 0.5, 1], n).astype(np.float32)
        return Head(target, weight, np.arange(n) % 3)

    return [head(3), head(2)]


def test_every_weight_is_moved_along_the_slope_of_the_loss():
    batch = ragged([2, 1, 3, 4, 2, 1, 5])
    heads = two_heads(len(batch))
    before, offsets, _, gradients = one_step(batch, heads)
    parts = [part.astype(float) for part in (*before, *offsets)]
    for k, found in enumerate(gradients):

        def loss(part, k=k):
            changed = [*parts[:k], part, *parts[k + 1 :]]
            return loss_of(changed[:6], changed[6:], batch, heads)

        wanted = slope_of(loss, parts[k], step=1e-5)
        if k >= 6:
            wanted[0] = 0
        assert found == pytest.approx(wanted, abs=1e-4)


def test_what_comes_from_no_benchmark_has_no_offset():
    batch = ragged([2, 1, 3, 4, 2, 1, 5])
    _, offsets, moved, _ = one_step(batch, two_heads(len(batch)))
    for was, now in zip(offsets, moved, strict=True):
        assert not now[0].any()
        assert (now[1:] != was[1:]).all()


def test_predictions_are_what_the_formula_says_and_no_offset():
    batch = ragged([1, 4, 2])
    network = Network(*one_step(batch, two_heads(3))[0])
    hidden = np.maximum(batch.x @ network.w1 + network.b1, 0)
    for i, found in enumerate(predict(network, batch)):
        at = slice(batch.starts[i], batch.starts[i + 1])
        z = np.exp(hidden[at] @ network.a + batch.shapes[at] @ network.c)
        assert found == pytest.approx(z @ hidden[at] / z.sum() @ network.w2 + network.b2, abs=1e-5)


def test_the_same_seed_gives_the_same_network():
    known, kind = texts(60)
    one, two, other = (fit_network(known, [head_of(kind)], seed=s, hidden=4) for s in (1, 1, 2))
    assert np.array_equal(one.w1, two.w1)
    assert not np.array_equal(one.w1, other.w1)


@given(st.data(), st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_taken_texts_keep_their_segments_however_many_and_in_whatever_order(data, lengths):
    every = ragged(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=12))
    some = every.take(np.array(rows))
    assert len(some) == len(rows)
    assert some.starts[-1] == some.x.shape[0] == len(some.shapes) == len(some.own)
    for mine, row in enumerate(rows):
        now = slice(some.starts[mine], some.starts[mine + 1])
        was = slice(every.starts[row], every.starts[row + 1])
        assert np.array_equal(some.x[now].toarray(), every.x[was].toarray())
        assert np.array_equal(some.shapes[now], every.shapes[was])
        assert np.array_equal(some.own[now], every.own[was])
