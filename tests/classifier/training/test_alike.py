"""Rows that share a label, directly or through others, share a number; no others do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from classifier.training.alike import joined, same_text

LABELS = st.lists(
    st.tuples(st.integers(0, 9), st.none() | st.sampled_from("abcdefgh")), min_size=1, max_size=30
)


def reached(rows):
    """The same by brute force: follow labels until nothing new is found."""
    found = []
    for start in range(len(rows)):
        mine, grown = {start}, True
        while grown:
            near = {
                i for i, row in enumerate(rows) for j in mine
                if row[0] == rows[j][0] or (row[1] is not None and row[1] == rows[j][1])
            }  # fmt: skip
            grown, mine = not near <= mine, mine | near
        found.append(min(mine))
    return found


@given(LABELS)
def test_rows_are_joined_exactly_along_shared_labels(rows):
    assert joined([a for a, _ in rows], [b for _, b in rows]) == reached(rows)


def test_nothing_is_no_label():
    assert joined([None, None, 0, 0]) == [0, 1, 2, 2]


def test_texts_are_the_same_but_for_white_space():
    assert same_text(" fix\r\nit ") == same_text("fix it")
    assert same_text(" \n") is None
