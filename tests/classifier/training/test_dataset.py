"""Labelled data are read, refused with line and reason, and split without leaks."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from classifier.tasks import TYPES, family_of
from classifier.training.dataset import (
    PUBLIC_CAP,
    LabelledRow,
    agreed,
    grouped_folds,
    joined_by_text,
    near_duplicates,
    placed_rows,
    public_rows,
    read_corpus,
    read_jsonl,
    under_way,
)
from classifier.training.rows import BadData
from classifier.turns import Exchange

GOOD = {"text": "fix it", "task": "debugging/bug_fixing", "difficulty": 2}


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_users_own_file_is_read(tmp_path):
    rows = read_jsonl(write(tmp_path / "mine.jsonl", GOOD, GOOD | {"text": "b", "lang": "de"}))
    assert [row.p_level for row in rows] == [(0, 1, 0, 0)] * 2
    assert [row.lang for row in rows] == ["en", "de"]
    assert {row.source for row in rows} == {"mine"}


def test_a_group_of_zero_is_a_group_and_a_blank_one_is_none(tmp_path):
    said = (0, 0.0, "0", False, None, "", " ", 7)
    lines = [GOOD | {"text": f"t{i}", "group": group} for i, group in enumerate(said) if i != 3]
    rows = read_jsonl(write(tmp_path / "mine.jsonl", *lines))
    assert [row.group for row in rows[:3]] == ["0"] * 3
    assert rows[-1].group == "7"
    assert len({row.group for row in rows}) == 5
    with pytest.raises(BadData, match="`group`: expected a text or a number, not False"):
        read_jsonl(write(tmp_path / "mine.jsonl", GOOD | {"group": False}))


def test_what_an_option_of_a_row_leaves_out_may_be_null(tmp_path):
    blank = {"group": None, "weight": None, "lang": None, "tags": None}
    (row,) = read_jsonl(write(tmp_path / "mine.jsonl", GOOD | blank))
    assert (row.weight, row.lang) == (1.0, "en")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (GOOD | {"task": "debugging"}, "expected one of"),
        (GOOD | {"difficulty": 5}, "from 1 to 4"),
        (GOOD | {"difficulty": True}, "not True"),
        (GOOD | {"text": "  "}, "not empty"),
        (GOOD | {"text": "x" * 20_000}, "characters"),
        (GOOD | {"taks": "?"}, "unknown column 'taks'"),
        (GOOD | {"weight": 0}, "weight"),
        (GOOD | {"lang": 1}, "`lang`"),
        (GOOD | {"weight": float("nan")}, "`weight`"),
        (GOOD | {"weight": float("inf")}, "finite"),
        (GOOD | {"difficulty": None}, "not null"),
        (GOOD | {"text": ["fix it"]}, "expected text, not a list"),
        ('{"text": "a", "text": "b"}', "names 'text' twice"),
        (GOOD, "the same text as line 1"),
    ],
)
def test_a_bad_row_is_refused_with_line_and_reason(tmp_path, bad, reason):
    with pytest.raises(BadData, match="line 3") as refused:
        read_jsonl(write(tmp_path / "mine.jsonl", GOOD, "", bad))
    assert reason in str(refused.value)


def test_a_file_that_is_not_utf8_is_refused_with_the_line(tmp_path):
    (tmp_path / "mine.jsonl").write_bytes(json.dumps(GOOD).encode() + b"\n\xff\n")
    with pytest.raises(BadData, match="line 2: not UTF-8"):
        read_jsonl(tmp_path / "mine.jsonl")


def test_a_folder_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(BadData, match=r"no \.jsonl file"):
        read_corpus(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(BadData, match="no rows"):
        read_jsonl(write(tmp_path / "mine.jsonl", ""))


def labelled(text, dataset="nlbse2024/issue-report-classification", label="bug", ok=True):
    return {"text": text, "dataset": dataset, "task_label_as_source": label, "group_key": text,
            "train_ok": ok}  # fmt: skip


def test_rows_that_must_not_be_trained_on_are_dropped():
    rows = public_rows([labelled("a"), labelled("b", ok=False), labelled("c", label="question")])
    assert [row.text for row in rows] == ["a"]
    assert placed_rows([{"train_ok": False, "text": "x"}, {"train_ok": True, "text": None}]) == []


def test_no_public_source_outweighs_the_rest():
    rows = public_rows([labelled(f"text {i}") for i in range(PUBLIC_CAP + 50)])
    assert len(rows) == PUBLIC_CAP
    assert all(row.weight < 1 for row in rows)


def test_no_group_straddles_a_split_and_folds_are_even():
    rows = [LabelledRow(f"t{i}", TYPES[0], None, f"s{i % 7}", f"g{i % 40}") for i in range(400)]
    for by in ("group", "source"):
        folds = grouped_folds(rows, 4, by=by)
        homes = {}
        for row, fold in zip(rows, folds, strict=True):
            assert homes.setdefault(getattr(row, by), fold) == fold
    assert max(Counter(grouped_folds(rows, 4).tolist()).values()) <= 120


def test_near_duplicates_are_found():
    texts = [
        "fix the login page on mobile",
        "please fix the login page on mobile",
        "other words here",
    ]
    assert near_duplicates(texts) == [(0, 1)]


@pytest.fixture(scope="module")
def corpus():
    return read_corpus()


def test_the_corpus_is_large_and_many_voiced(corpus):
    writers = Counter(row.source for row in corpus)
    assert len(corpus) >= 10_000
    assert len(writers) >= 12
    foreign = sum(row.lang != "en" for row in corpus) / len(corpus)
    assert foreign >= 0.12


def test_the_corpus_holds_every_type_at_several_levels(corpus):
    levels = {}
    for row in corpus:
        levels.setdefault(row.task, set()).add(row.p_level.index(max(row.p_level)))
    assert set(levels) == set(TYPES)
    single = {"general/conversation", "background/title"}
    assert all(len(found) >= 3 for task, found in levels.items() if task not in single)
    assert min(Counter(row.task for row in corpus).values()) >= 150


@pytest.mark.slow
def test_the_corpus_holds_no_near_duplicates(corpus):
    """Across writers; a writer says one wish in several ways on purpose, under one group."""
    single = [row for row in corpus if not row.before]
    pairs = near_duplicates([row.text for row in single])
    assert all(single[i].group == single[j].group for i, j in pairs)


CANNOT = {
    "general/conversation": (2, 3, 4), "background/title": (2, 3, 4), "background/summary": (3, 4),
    "background/commit_message": (3, 4), "implementation/small_edit": (3, 4), "general/knowledge": (4,),
}  # fmt: skip
"""Levels that a type cannot have, or hardly: see the labelling guide."""


def test_every_type_has_forty_rows_at_every_level_that_it_can_have(corpus):
    cells = Counter((row.task, row.p_level.index(max(row.p_level)) + 1) for row in agreed(corpus))
    for task in TYPES:
        for level in (1, 2, 3, 4):
            assert level in CANNOT.get(task, ()) or cells[task, level] >= 40, (task, level)


def test_a_quarter_of_what_writers_of_conversations_wrote_is_in_one_in_twenty_languages(corpus):
    talk = {row.source for row in corpus if row.before}
    theirs = [row for row in corpus if row.source in talk]
    assert len(theirs) >= 9000
    assert sum(bool(row.before) for row in theirs) / len(theirs) >= 0.25
    assert sum(n >= 40 for n in Counter(row.lang for row in corpus).values()) >= 20


def test_every_row_was_read_twice_and_second_readers_mostly_agree(corpus):
    twice = [row for row in corpus if row.second]
    assert len(twice) == len(corpus)
    assert 0.9 < len(agreed(twice)) / len(twice) < 1


def test_a_second_label_is_checked_and_shares_the_level(tmp_path):
    second = {"second_task": "debugging/bug_fixing", "second_difficulty": 3}
    (row,) = read_jsonl(write(tmp_path / "mine.jsonl", GOOD | second))
    assert row.p_level == (0, 0.5, 0.5, 0)
    assert agreed([row]) == [row]
    (other,) = read_jsonl(write(tmp_path / "mine.jsonl", GOOD | second | {"second_difficulty": 4}))
    assert agreed([other]) == []
    with pytest.raises(BadData, match="second_task"):
        read_jsonl(
            write(tmp_path / "mine.jsonl", GOOD | {"second_task": "x", "second_difficulty": 1})
        )


TALK = {"history": [{"role": "user", "text": "port it"}, {"role": "assistant", "text": "Shall I?"}]}


def test_a_conversation_is_read_as_asks_with_their_replies(tmp_path):
    (row,) = read_jsonl(
        write(tmp_path / "mine.jsonl", GOOD | TALK | {"text": "yes", "turn": "answer"})
    )
    assert (row.before, row.turn) == ((Exchange("port it", "Shall I?"),), "answer")
    (ask,) = under_way([row])
    assert (ask.text, ask.task, ask.before) == ("port it", row.task, ())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (TALK, "go together"),
        ({"turn": "answer"}, "go together"),
        (TALK | {"turn": "reply"}, "expected one of answer"),
        ({"history": ["port it"], "turn": "new"}, "role"),
        ({"history": [*TALK["history"], {"role": "user"}], "turn": "new"}, "turn 3"),
        ({"history": 5, "turn": "new"}, "role"),
        ({"history": True, "turn": "new"}, "role"),
        ({"history": [{"role": "user", "text": " "}], "turn": "new"}, "role"),
        ({"history": TALK["history"][1:], "turn": "answer"}, "the user to begin"),
        ({"history": TALK["history"][:1], "turn": "answer"}, "the assistant to end"),
        ({"history": [{"role": "system", "text": "x"}], "turn": "new"}, "role"),
    ],
)
def test_a_conversation_that_is_none_is_refused(tmp_path, more, reason):
    with pytest.raises(BadData, match=reason):
        read_jsonl(write(tmp_path / "mine.jsonl", GOOD | more))


def test_difficulty_cannot_be_guessed_from_length(corpus):
    """Rank correlation of length and level within a family stays low."""
    import numpy as np

    from classifier.training.evaluate import spearman

    found = []
    for family in {family_of(t) for t in TYPES}:
        mine = [row for row in corpus if family_of(row.task) == family]
        level = np.array([row.p_level for row in mine]) @ np.arange(4)
        found.append(spearman(np.array([len(row.text) for row in mine], dtype=float), level))
    assert abs(float(np.nanmean(found))) < 0.35


def test_an_assistants_turn_without_words_is_passed_over(tmp_path):
    acts = {"role": "assistant", "text": ""}
    talk = {"history": [*TALK["history"], acts], "turn": "answer", "text": "yes"}
    (row,) = read_jsonl(write(tmp_path / "mine.jsonl", GOOD | talk))
    assert row.before == (Exchange("port it", "Shall I?"),)


def test_an_ask_and_what_answers_it_in_another_row_stand_on_one_side(tmp_path):
    rows = read_jsonl(
        write(
            tmp_path / "mine.jsonl",
            GOOD | {"text": "port  it"},
            GOOD | TALK | {"text": "yes", "turn": "answer"},
            GOOD | {"text": "another"},
        )
    )
    joined, _ = joined_by_text(rows)
    assert joined[0].group == joined[1].group != joined[2].group


def test_equal_answers_are_not_alike_and_answers_in_one_conversation_are(tmp_path):
    other = {"history": [{"role": "user", "text": "draw it"}, TALK["history"][1]]}
    said = [("2", TALK), ("yes", TALK), ("2", other)]
    lines = [GOOD | talk | {"text": text, "turn": "answer"} for text, talk in said]
    for talk in (TALK, other):  # nor are conversations in which both said yes
        yes = [{"role": "user", "text": "yes"}, {"role": "assistant", "text": "Done?"}]
        lines.append(GOOD | {"history": [*talk["history"], *yes], "text": "no", "turn": "answer"})
    one, same, elsewhere, first, second = joined_by_text(
        read_jsonl(write(tmp_path / "mine.jsonl", *lines))
    )[0]
    assert one.group == same.group == first.group != elsewhere.group == second.group
