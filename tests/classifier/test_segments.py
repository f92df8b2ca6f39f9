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
        ("为什么会失败？？", 1),
        ("修复！！谢谢", 2),
        ("等一下……好", 2),
        ("`x` is wrong. Why? Please fix.", 3),
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
        ("Bonjour à tous. ", "Corrige la page de connexion.", " Merci d'avance !"),
        ("नमस्ते। ", "लॉगिन पेज ठीक करो।", " धन्यवाद"),
        ("مرحبا جميعا. ", "لماذا يفشل الاختبار؟", " شكرا"),
        ("", "исправь вход в систему", "\n```\n" + LOG + "\n```"),
    ],
)
def test_the_wish_is_marked_among_what_stands_around_it(before, wish, after):
    text = before + wish + after
    own = own_segments(text, (len(before), len(before) + len(wish)), count(text))
    assert own.sum() == 1
    assert own.argmax() == (0 if not before else len(own) - 1 - bool(after))


@pytest.mark.parametrize("length", range(3998, 4006))
def test_a_text_about_as_long_as_what_is_kept_can_be_marked(length):
    text = ("a word. " * 600)[:length]
    assert own_segments(text, (0, 7), count(text)).shape == (count(text),)


def test_a_wish_that_is_all_there_is_marks_nothing():
    assert not own_segments("One. Two.", (0, 9), 2).any()
    assert not own_segments("one", (0, 3), 1).any()
    assert not own_segments("x" * 9000 + ". y", (0, 3), 2).any()


def test_the_order_of_segments_is_that_of_the_text():
    tokens = tokenize("first here. second there. third")
    assert np.array_equal(np.unique(tokens.segments[0]), [0, 1, 2])
    words = tokens.segments[0][:5]
    assert np.array_equal(words, np.sort(words))


def test_a_fence_is_one_segment_whatever_stands_in_it():
    inside = "Stop. Go. Why?\n\nIs it so? Yes."
    assert count(f"```\n{inside}\n```") == 1
    assert count(f"Look at this.\n```\n{inside}\n```\nWhat is it?") == 3
    assert count(inside) == 5


def test_a_sign_inside_a_name_ends_no_sentence():
    assert count("move src/app.py to v2.0.1 of example.com/a?b=c now") == 1


@given(st.lists(st.sampled_from(["Fix it.", "Why?", "Thanks!", "no end"]), min_size=1, max_size=40))
def test_each_line_is_a_segment_until_there_are_too_many(lines):
    assert count("\n".join(lines)) == min(len(lines), MAX_SEGMENTS)


@given(st.text(alphabet="ab .?!\n`=1。", max_size=300))
def test_segments_follow_each_other_as_in_the_text(text):
    tokens = tokenize(text)
    ends = np.flatnonzero(np.diff(tokens.segments[0].astype(int)) < 0)
    assert len(ends) <= 1  # the words in their order, then the pairs in theirs
    if tokens.segments[0].size:
        assert np.array_equal(np.unique(tokens.segments[0]), np.arange(len(tokens.shapes)))


@pytest.mark.parametrize(
    ("text", "count"),
    [("修复登录。env 也要改", 2), ("修复登录。.env 也要改", 2), ("好。。 走吧", 2), ("好吗？?", 1), ("a. b.", 2)],
)  # fmt: skip
def test_a_sentence_ends_at_the_last_stop_that_ends_one(text, count):
    assert len(tokenize(text).shapes) == count
