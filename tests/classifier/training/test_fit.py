"""What training sees is what serves sees: counts brought to one spread, and folded back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.features import SHAPE, SURFACE, tokenize
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import LabelledRow
from classifier.training.export import DENSE, HEADS, quantise
from classifier.training.fit import (
    IN_CONTEXT,
    PASTED,
    Scaler,
    fit,
    segments_of,
    tokenised,
)
from classifier.training.network import Network, predict
from classifier.vector import build_vocabulary

TEXTS = (
    "rename a to b",
    "Why does src/app.py fail?\n```\nTraceback\n```\nThanks!",
    "修复登录错误",
    "",
)


def network_of(columns, hidden, seed):
    """Return a network of random weights."""
    rng = np.random.default_rng(seed)

    def some(*shape):
        return rng.normal(size=shape).astype(np.float32) * 0.3

    outputs = sum(HEADS)
    return Network(
        some(columns + DENSE, hidden),
        some(hidden),
        some(hidden, outputs),
        some(outputs),
        some(hidden),
        some(len(SHAPE)),
    )


@given(st.integers(0, 2**16), st.lists(st.text(max_size=60), max_size=4))
def test_a_folded_network_says_of_counts_what_the_other_says_of_counts_brought_to_a_spread(
    seed, more
):
    tokens = [tokenize(text) for text in (*TEXTS, *more)]
    vocabulary = build_vocabulary(tokens, min_rows=1)
    own = [np.zeros(len(text.shapes), np.float32) for text in tokens]
    spread = Scaler.of(tokens)
    plain = Scaler(np.zeros(len(SURFACE), np.float32), np.ones(len(SURFACE), np.float32))
    network = network_of(vocabulary.size, 5, seed)
    wanted = predict(network, segments_of(vocabulary, tokens, own, spread))
    found = predict(spread.folded(network), segments_of(vocabulary, tokens, own, plain))
    assert found == pytest.approx(wanted, abs=2e-3)


def test_a_count_that_never_differs_is_not_made_to_shout():
    spread = Scaler.of([tokenize("add a button")] * 3)
    assert np.isfinite(spread.step).all()
    assert spread.step.max() <= 10


def test_folding_leaves_the_tokens_and_the_shapes_alone():
    network, spread = network_of(7, 3, 1), Scaler.of([tokenize(text) for text in TEXTS])
    folded = spread.folded(network)
    assert np.array_equal(folded.w1[:7], network.w1[:7])
    assert np.array_equal(folded.w1[-len(SHAPE) :], network.w1[-len(SHAPE) :])
    assert quantise(folded, (1.0, 1.0)).surface.shape == (len(SURFACE), 3)


def row_of(text, *, public, level=2, lang="de"):
    """Return a labelled row."""
    p = tuple(float(k == level) for k in range(1, N_LEVELS + 1))
    return LabelledRow(
        text, TYPES[0], p, "s", text, lang, weight=0.3 if public else 1.0, public=public
    )


def test_an_ask_is_also_said_beside_pastes_and_background_and_an_item_is_not():
    asks = [row_of(f"füge {n} hinzu", public=False) for n in range(200)]
    items = [row_of(f"item {n}", public=True) for n in range(20)]
    data = tokenised([*asks, *items], copies=True)
    counts = [len(texts) for texts in data.texts]
    assert set(counts[200:]) == {1}
    said = np.array(counts[:200]) - 2
    assert set(said) == {0, 1, 2}
    assert abs(said.mean() - PASTED - IN_CONTEXT) < 0.2


def test_a_copy_with_a_paste_is_learned_only_where_a_row_like_the_lender_is():
    words = [f"zq{chr(97 + a)}{chr(97 + b)}xv" for a in range(5) for b in range(10)]
    lender = row_of(" ".join(words), public=True)
    asks = [row_of(f"füge {n} hinzu", public=False) for n in range(60)]
    other = replace(row_of("lösche das", public=False), task=TYPES[1])
    data = tokenised([*asks, other, lender], copies=True)
    lent = [text for texts in data.texts for text in texts if text.paste]
    assert len(lent) > 8
    assert {text.paste for text in lent} == {lender.group}
    pasted = tokenize(lender.text)
    with_it, without = (
        fit(data.take(np.arange(n))).vocabulary.vectors(pasted)[0] for n in (62, 61)
    )
    assert len(with_it) > 3 * len(without)
