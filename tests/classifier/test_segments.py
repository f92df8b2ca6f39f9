"""A text is read in segments: sentences, lines, and what was pasted as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.features import MAX_SEGMENTS, own_segments, tokenize

LOG = """2026-11-02 10:03:11 ERROR [worker-3] job=4411 status=500 url=/v1/jobs
2026-11-02 10:03:12 ERROR [worker-3] job=4412 status=500 url=/v1/jobs
2026-11-02 10:03:14 WARN  [worker-1] retry=3 delay=250ms"""


def count(text):
    return len(tokenize(text).shapes)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("fix the login", 1),
        ("bump it to v1.2.3 in a/b.ts", 1),
        ("Hi there! Fix the login. Thanks", 3),
        ("fix the login\nand the logout", 2),
        ("ログインを直して。ありがとう！", 2),
        ("क्या यह ठीक है। धन्यवाद", 2),
        (f"{LOG}\nwhat is this?", 2),
        (f"what is this?\n\n{LOG}\n\nthanks", 3),
        ("look:\n```\nfoo = bar.\n\nNo. Yes.\n```\nwhy?", 3),
        ("word. " * 500, MAX_SEGMENTS),
    ],
)
def test_sentences_lines_and_pasted_runs_are_segments(text, segments):
    assert count(text) == segments


@given(st.text())
def test_tokens_stand_in_the_segments_that_there_are(text):
    tokens = tokenize(text)
    n = len(tokens.shapes)
    assert 1 <= n <= MAX_SEGMENTS
    for hashes, segments in zip(tokens.hashes, tokens.segments, strict=True):
        assert len(hashes) == len(segments)
        assert not len(segments) or segments.max() < n


@given(st.text(), st.integers(0, 50), st.integers(0, 50))
def test_it_can_always_be_said_which_segments_are_the_wish(text, start, length):
    n = count(text)
    own = own_segments(text, (start, start + length), n)
    assert own.shape == (n,)
    assert set(own.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("before", "wish", "after"),
    [
        ("Hello there! ", "Fix the login page.", " Thank you so much!"),
        ("", "修复登录页面。", "谢谢！"),
        ("Guten Morgen. Ich hoffe, es geht gut. ", "Bitte den Login reparieren.", "\nDanke"),
        (LOG + "\n\n", "why does this happen?", ""),
    ],
)
def test_the_wish_is_marked_among_what_stands_around_it(before, wish, after):
    text = before + wish + after
    own = own_segments(text, (len(before), len(before) + len(wish)), count(text))
    assert own.sum() == 1
    assert own.argmax() == (0 if not before else len(own) - 1 - bool(after))


def test_a_wish_that_is_all_there_is_marks_nothing():
    assert not own_segments("One. Two.", (0, 9), 2).any()
    assert not own_segments("one", (0, 3), 1).any()
    assert not own_segments("x" * 9000 + ". y", (0, 3), 2).any()


def test_the_order_of_segments_is_that_of_the_text():
    tokens = tokenize("first here. second there. third")
    assert np.array_equal(np.unique(tokens.segments[0]), [0, 1, 2])
    words = tokens.segments[0][:5]
    assert np.array_equal(words, np.sort(words))
