"""Features are finite, bounded, deterministic, and see what they should see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.features import BLOCKS, HASH_BITS, SURFACE, fingerprint, tokenize
from classifier.vector import build_vocabulary, load_vocabulary, save_vocabulary

AWKWARD = ["", " ", "x" * 1_000_000, "🎉" * 3000, "修复登录错误" * 500, "\x00\xff\ud800", "-a" * 9000,
           "\n" * 9000, "(" * 9000, "a/" * 9000, "`" * 9000, "İ" * 50, "e\u0301" * 50]  # fmt: skip


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_give_finite_bounded_features(text):
    tokens = tokenize(text)
    assert tokens.surface.shape == (len(SURFACE),)
    assert np.isfinite(tokens.surface).all()
    assert np.abs(tokens.surface).max() < 10
    assert sum(len(h) for h in tokens.hashes) < 40_000


@given(st.text())
def test_any_text_gives_the_same_hashes_twice(text):
    one, two = tokenize(text), tokenize(text)
    assert len(one.hashes) == len(BLOCKS)
    for a, b in zip(one.hashes, two.hashes, strict=True):
        assert np.array_equal(a, b)
        assert (a < 1 << HASH_BITS).all()
    assert np.isfinite(one.surface).all()


def shared_words(a, b):
    return len(np.intersect1d(tokenize(a).hashes[0], tokenize(b).hashes[0]))


@pytest.mark.parametrize(
    ("a", "b"),
    [("FIX the Login", "fix the login"), ("user_service", "user service"),
     ("UserService", "user service"), ("port 8080", "port 3000"), ("École", "école")],
)  # fmt: skip
def test_spellings_of_one_thing_are_one_feature(a, b):
    words = len(tokenize(b).hashes[0])
    assert shared_words(a, b) == words


def test_words_in_scripts_without_spaces_share_features():
    assert shared_words("修复登录错误", "登录错误怎么办") >= 4


def test_a_different_order_is_a_different_text():
    assert not np.array_equal(
        np.sort(tokenize("move a to b").hashes[0]), np.sort(tokenize("move b to a").hashes[0])
    )


def test_unknown_words_do_not_thin_out_known_ones():
    """Boilerplate that training never saw must not change what the known words weigh."""
    vocabulary = build_vocabulary([tokenize("fix the bug"), tokenize("fix the build")], min_rows=1)
    plain = vocabulary.vectors(tokenize("fix the bug"))
    padded = vocabulary.vectors(tokenize("fix the bug zulu yankee xylophone"))
    words = plain[0] < len(vocabulary.keys[0])
    kept = np.isin(padded[0], plain[0][words])
    assert np.allclose(padded[1][:, kept], plain[1][:, words], rtol=1e-5)


def test_a_stored_vocabulary_is_the_same(tmp_path):
    vocabulary = build_vocabulary([tokenize("fix the bug"), tokenize("why the bug")], min_rows=1)
    save_vocabulary(vocabulary, tmp_path / "v.npz")
    again = load_vocabulary(tmp_path / "v.npz")
    for a, b in zip(
        vocabulary.vectors(tokenize("the bug")), again.vectors(tokenize("the bug")), strict=True
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("text", ["zulu", "zulu. yankee", *AWKWARD])
def test_texts_without_a_known_word_have_no_columns_and_all_their_segments(text):
    vocabulary = build_vocabulary([tokenize("fix bug"), tokenize("fix build")], min_rows=2)
    tokens = tokenize(text)
    columns, values = vocabulary.vectors(tokens)
    assert columns.dtype == np.int64
    assert values.dtype == np.float32
    assert values.shape == (len(tokens.shapes), len(columns))


def test_the_fingerprint_is_stable_within_a_process():
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 12
