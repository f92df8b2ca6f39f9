"""Labelled requests to learn from: checked row by row, and split without leaks.

Three sources become one kind of row:

* the **written corpus** (``classifier/corpus``), a JSONL file per writer, committed;
* **public labels and benchmark items** (Parquet, not committed), through the tables below,
  at a lower weight and capped per source, because a classifier trained on them alone learns
  the style of its sources: 80% on its own, 10 to 45% on one it has not seen;
* **your own** labelled requests, in the corpus's format.

A row's ``group`` keeps look-alikes together; no group straddles a split.  Rows that must not be
trained on are dropped where they are read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.carry import FRESH, TURNS
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.alike import joined, same_text
from classifier.training.rows import (
    BadData,
    Row,
    as_key,
    as_number,
    as_text,
    name_of,
    read_rows,
    shown,
)
from classifier.turns import Exchange

CORPUS_DIR: Final = Path(__file__).resolve().parent.parent / "corpus"

CORPUS_PREFIX: Final = "corpus/"
"""What the sources of written rows begin with."""

HELD_OUT_WRITERS: Final = ("ines", "leila", "wanda", "xavier")
"""Writers whose asks are never trained on: the test of reading people not seen before.

No ask of theirs was looked at before the last training.  Scores of earlier trainings on wanda and xavier were seen while
choosing, on ines and leila only of trainings repeated for other reasons; some long conversations of these two since.
"""

PUBLIC_WEIGHT: Final = 0.3
"""Weight of a public row beside a corpus row; see benchmarks/LOG.md, 2026-11-25."""

PUBLIC_CAP: Final = 300
"""Rows taken of one label of one public source, by hash, so that no source outweighs the rest."""

MAX_ASK_CHARS: Final = 16_000
"""Longer texts are refused: only their ends would be read."""

PUBLIC_LABELS: Final[dict[tuple[str, str], str]] = {
    ("nlbse2024/issue-report-classification", "bug"): "debugging/bug_fixing",
    ("nlbse2024/issue-report-classification", "feature"): "implementation/feature_development",
    ("SAILResearch/AI_Teammates_in_SE3", "fix"): "debugging/bug_fixing",
    ("SAILResearch/AI_Teammates_in_SE3", "feat"): "implementation/feature_development",
    ("SAILResearch/AI_Teammates_in_SE3", "docs"): "general/writing",
    ("SAILResearch/AI_Teammates_in_SE3", "refactor"): "refactoring/cleanup",
    ("SAILResearch/AI_Teammates_in_SE3", "perf"): "refactoring/cleanup",
    ("SAILResearch/AI_Teammates_in_SE3", "test"): "testing/test_creation",
    ("ProsusAI/stack-eval", "debugging"): "debugging/bug_fixing",
    ("ProsusAI/stack-eval", "implementation"): "implementation/code_generation",
    ("ProsusAI/stack-eval", "conceptual"): "general/knowledge",
    ("ProsusAI/stack-eval", "optimisation"): "refactoring/cleanup",
    ("OpenBMB/ChatDev", "build software from description"): "implementation/feature_development",
    ("clinicalml/realhumaneval", "in-editor chat: algorithmic coding"): (
        "implementation/code_generation"
    ),
    ("clinicalml/realhumaneval", "in-editor chat: data science"): "implementation/code_generation",
    ("peng-weihan/SWE-QA", "repository QA (how)"): "investigation/code_understanding",
    ("peng-weihan/SWE-QA", "repository QA (what)"): "investigation/code_understanding",
    ("peng-weihan/SWE-QA", "repository QA (why)"): "investigation/code_understanding",
    ("peng-weihan/SWE-QA", "repository QA (where)"): "investigation/repo_exploration",
    ("WordPress/wp-bench", "knowledge"): "general/knowledge",
    ("WordPress/wp-bench", "execution"): "implementation/code_generation",
    ("openai/frontier-evals", "freelance issue fix"): "debugging/bug_fixing",
    ("datacurve-ai/deep-swe", "feature_request"): "implementation/feature_development",
}
"""(dataset, label as the source gives it) → our type.  What is not listed is not used: maintainers'
``question`` tags and ``chore`` pull requests mix several of our types."""


ASKED_AS: Final[dict[str, tuple[str, ...]]] = {
    "openhands-swt-bench": (
        "Write a test that reproduces this issue.\n\n{}",
        "Add a failing test for the bug described below, don't fix it yet.\n\n{}",
        "{}\n\nPlease write a regression test that fails because of this.",
        "we need tests that reproduce the following report:\n\n{}",
        "Reproduce as a unit test:\n\n{}",
        "{}\n\nTask: extend the test suite so that this issue is covered.",
    ),
    "openhands-swe-bench": (
        "{}",
        "{}",
        "Fix this issue.\n\n{}",
        "{}\n\nplease resolve",
        "resolve: {}",
    ),
}
"""How a benchmark puts an item's text to an agent, in our words and several of them.

SWT-Bench and SWE-bench Verified hold the same issue texts for different tasks."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled request.

    ``task`` may be empty (difficulty only) and ``p_level`` (4,) None (task only).
    ``source`` is what leave-one-source-out leaves out; a corpus row's is ``corpus/<writer>``.
    ``before`` are the asks of its conversation, oldest first, each with what was replied; ``turn``
    says what the newest words do there.  ``second`` is the label of a second, blind reading.  ``public``
    marks what was not written as an ask for us: a benchmark's item, an issue, somebody's prompt.
    """

    text: str
    task: str
    p_level: tuple[float, ...] | None
    source: str
    group: str
    lang: str = "en"
    weight: float = 1.0
    before: tuple[Exchange, ...] = ()
    turn: str = FRESH
    tags: tuple[str, ...] = ()
    second: tuple[str, int] | None = None
    public: bool = False


def read_corpus(folder: Path = CORPUS_DIR) -> list[LabelledRow]:
    """Read every writer's file; raises BadData."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise BadData("holds no .jsonl file", path=folder)
    return [row for path in files for row in read_jsonl(path, source=f"{CORPUS_PREFIX}{path.stem}")]


def read_jsonl(path: Path, *, source: str = "") -> list[LabelledRow]:
    """Read labelled requests, a row each; raises BadData naming row, column and reason.

    Columns: ``text``, ``task`` (``family/type``), ``difficulty`` (1 to 4); optional ``lang``,
    ``tags``, ``group`` (rows that must stay on one side of a split), ``weight``, ``history`` with
    ``turn`` (a conversation so far, and what the newest words do in it), ``second_task`` with
    ``second_difficulty`` (the labels of a second reader who saw none).
    """
    rows: list[LabelledRow] = []
    first_seen: dict[str, str] = {}
    for raw in read_rows(path):
        row = _labelled(raw, source or name_of(path))
        earlier = first_seen.setdefault(repr((row.text, row.before)), raw.place)
        if earlier != raw.place:
            raise raw.bad(f"the same text as {earlier}", "text")
        rows.append(row)
    if not rows:
        raise BadData("holds no rows", path=path)
    return rows


COLUMNS: Final = (
    "text", "task", "difficulty", "lang", "tags", "group", "weight",
    "history", "turn", "second_task", "second_difficulty",
)  # fmt: skip

MAX_WEIGHT: Final = 100.0


def under_way(rows: Iterable[LabelledRow]) -> Iterator[LabelledRow]:
    """Yield the asks that rows answer or let go on, as asks: what is done for them is the same."""
    for row in rows:
        if row.turn in ("answer", "go_ahead") and len(row.before) == 1:
            yield replace(row, text=row.before[0].ask[:MAX_ASK_CHARS], before=(), turn=FRESH)


def _labelled(raw: Row, source: str) -> LabelledRow:
    """Check a row and turn it into a labelled one; raises BadData."""
    if unknown := sorted(set(raw.values) - set(COLUMNS)):
        raise raw.bad(f"unknown column {unknown[0]!r}; known are {', '.join(COLUMNS)}")
    text = _ask_of(raw)
    task, level = _label_of(raw, "task", "difficulty")
    second = (
        _label_of(raw, "second_task", "second_difficulty")
        if raw.get("second_task", as_key)
        else None
    )
    levels = (level, second[1]) if second else (level,)
    said_weight = raw.values.get("weight")
    weight = 1.0 if said_weight in (None, "") else raw.get("weight", as_number)
    if weight is None or not 0 < weight <= MAX_WEIGHT:
        expected = f"expected a number above 0 and at most {MAX_WEIGHT:g}"
        raise raw.bad(f"{expected}, not {shown(said_weight)}", "weight")
    before = _before(raw)
    return LabelledRow(
        text=text,
        task=task,
        p_level=tuple(levels.count(k) / len(levels) for k in range(1, N_LEVELS + 1)),
        source=source,
        group=_group_of(raw, source, before[0].ask if before else text),
        lang=raw.get("lang", as_text) or "en",
        weight=weight,
        before=before,
        turn=_turn_of(raw),
        tags=tuple(raw.values.get("tags") or ()),
        second=second,
    )


def _label_of(raw: Row, task_column: str, level_column: str) -> tuple[str, int]:
    """Return a task and a level, checked; raises BadData."""
    task, level = raw.get(task_column, as_key), raw.get(level_column, as_number)
    if task not in TYPES:
        said = shown(raw.values.get(task_column))
        raise raw.bad(f"expected one of {', '.join(TYPES)}, not {said}", task_column)
    if level not in range(1, N_LEVELS + 1):
        said = shown(raw.values.get(level_column))
        raise raw.bad(f"expected an integer from 1 to {N_LEVELS}, not {said}", level_column)
    return task, int(level)


def _group_of(raw: Row, source: str, first: str) -> str:
    """Return what keeps a row beside its like: a name (a corpus writer's is his own), or the ``first`` ask.

    Two who answer "2" are not alike, and two answers in one conversation are.
    """
    named = raw.get("group", as_key)
    if named and source.startswith(CORPUS_PREFIX):
        return f"{source}/{named}"
    return named or _digest(first)


def _turn_of(raw: Row) -> str:
    """Return what the newest words do; raises BadData."""
    turn = raw.get("turn", as_key)
    if bool(turn) != bool(raw.values.get("history")):
        raise raw.bad("`history` and `turn` go together", "turn")
    if turn and turn not in TURNS:
        raise raw.bad(f"expected one of {', '.join(TURNS)}, not {shown(turn)}", "turn")
    return turn or FRESH


def _before(raw: Row) -> tuple[Exchange, ...]:
    """Return the conversation so far as asks with their replies; raises BadData."""
    history = raw.values.get("history")
    if history is None or history == "":
        return ()
    if not isinstance(history, Sequence) or isinstance(history, str):
        expected = "expected a list of {role: user or assistant, text}"
        raise raw.bad(f"{expected}, not {shown(history)}", "history")
    for n, turn in enumerate(history, start=1):
        if not _is_turn(turn):
            expected = "expected {role: user or assistant, text}, a user's with words in it"
            raise raw.bad(f"turn {n}: {expected}, not {shown(turn)}", "history")
    roles = [turn["role"] for turn in history]
    if history and not (roles[0] == "user" and roles[-1] == "assistant"):
        raise raw.bad("expected the user to begin and the assistant to end", "history")
    exchanges: list[Exchange] = []
    for turn in history:
        if turn["role"] == "user":
            exchanges.append(Exchange(turn["text"], ""))
        elif turn["text"].strip():
            exchanges[-1] = Exchange(exchanges[-1].ask, turn["text"])
    return tuple(exchanges)


def _is_turn(turn: Any) -> bool:
    """Whether something is a turn of a conversation; an assistant's may have no words."""
    return (
        isinstance(turn, Mapping)
        and turn.get("role") in ("user", "assistant")
        and isinstance(turn.get("text"), str)
        and (turn["role"] == "assistant" or bool(turn["text"].strip()))
    )


def _ask_of(raw: Row) -> str:
    """Return a row's text; raises BadData where there is none that can be learned from."""
    text: str | None = raw.get("text", as_text)
    if text is None:
        raise raw.bad("expected a text that is not empty", "text")
    if len(text) > MAX_ASK_CHARS:
        raise raw.bad(f"{len(text):,} characters; at most {MAX_ASK_CHARS:,} are read", "text")
    return text


def agreed(rows: Iterable[LabelledRow]) -> list[LabelledRow]:
    """Return the rows on whose task and, within one level, difficulty a second reader agreed, if any."""
    return [
        row
        for row in rows
        if row.second is None
        or (row.second[0] == row.task and max(row.p_level or (1.0,)) >= 0.5 and _near(row))
    ]


def _near(row: LabelledRow) -> bool:
    levels = np.flatnonzero(row.p_level or (1.0,))
    return bool(np.ptp(levels) <= 1)


def joined_by_text(rows: list[LabelledRow]) -> tuple[list[LabelledRow], list[str]]:
    """Put rows of one text, in whichever file, into one group; returns them and what to say of it.

    A row whose text is what another's conversation began with is in that one's group too.
    """
    texts = [None if row.before else same_text(row.text) for row in rows]
    before = [(row.group, same_text(row.before[0].ask)) for row in rows if row.before]
    first = joined(
        [*(row.group for row in rows), *(group for group, _ in before)],
        [*texts, *(ask for _, ask in before)],
    )
    notes = []
    alone = [text for text in texts if text is not None]
    if again := len(alone) - len(set(alone)):
        notes.append(
            f"{again:,} rows have the text of another row (in another file, or but for white "
            "space): such rows are kept on one side of every split"
        )
    labels = {
        (text, row.task, row.p_level)
        for text, row in zip(texts, rows, strict=True)
        if row.task and text is not None
    }
    if torn := len(labels) - len({text for text, *_ in labels}):
        notes.append(f"{torn:,} of them are labelled otherwise there")
    return [replace(row, group=rows[i].group) for row, i in zip(rows, first, strict=False)], notes


def public_rows(labelled: Iterable[Mapping[str, Any]]) -> list[LabelledRow]:
    """Turn public labelled prompts into rows through PUBLIC_LABELS, capped per label.

    Each mapping has ``text``, ``dataset``, ``task_label_as_source``, ``group_key``, ``train_ok``.
    """
    rows = (
        LabelledRow(
            text=raw["text"][:MAX_ASK_CHARS],
            task=PUBLIC_LABELS[key],
            p_level=None,
            source=raw["dataset"],
            group=_digest(raw["text"] if raw["group_key"] is None else str(raw["group_key"])),
            weight=PUBLIC_WEIGHT,
            public=True,
        )
        for raw in labelled
        if raw["train_ok"] and raw["text"]
        if (key := (raw["dataset"], raw["task_label_as_source"])) in PUBLIC_LABELS
    )
    return list(_capped(rows))


def placed_rows(items: Iterable[Mapping[str, Any]]) -> list[LabelledRow]:
    """Turn benchmark items placed on the human-time scale into rows, capped per benchmark.

    Each mapping has ``text``, ``task``, ``benchmark``, ``group``, ``p1`` … ``p4``, ``train_ok``.
    """
    rows = (
        LabelledRow(
            text=_asked(raw["benchmark"], raw["text"]),
            task=raw["task"],
            p_level=tuple(float(raw[f"p{k}"]) for k in range(1, N_LEVELS + 1)),
            source=raw["benchmark"],
            group=str(raw["group"]),
            weight=PUBLIC_WEIGHT,
            public=True,
        )
        for raw in items
        if raw["train_ok"] and raw["text"]
    )
    return list(_capped(rows))


def _asked(benchmark: str, text: str) -> str:
    """Put an item's text as its benchmark asks it; the wording is chosen by the text's hash."""
    wordings = ASKED_AS.get(benchmark, ("{}",))
    chosen = wordings[int(_digest(text), 16) % len(wordings)]
    return chosen.replace("{}", text[:MAX_ASK_CHARS])


def _capped(rows: Iterable[LabelledRow]) -> Iterator[LabelledRow]:
    """Keep at most PUBLIC_CAP rows of each (source, task), chosen by hash; one row per text."""
    taken: Counter[tuple[str, str]] = Counter()
    texts: set[str] = set()
    for row in sorted(rows, key=lambda r: _digest(r.text)):
        key = (row.source, row.task)
        if taken[key] < PUBLIC_CAP and row.text not in texts:
            taken[key] += 1
            texts.add(row.text)
            yield row


def grouped_folds(rows: list[LabelledRow], n_folds: int, *, by: str = "group") -> NDArray[np.int64]:
    """Assign each row a fold, int64 (n_rows,); rows alike in ``by`` share one.

    ``by`` is ``group`` (look-alikes) or ``source`` (writers and datasets).  Groups are dealt out
    largest first to the fold with the fewest rows, so that folds are even and reproducible.
    """
    keys = [getattr(row, by) for row in rows]
    load, fold_of = np.zeros(n_folds), dict[str, int]()
    for key, count in sorted(Counter(keys).items(), key=lambda kc: (-kc[1], _digest(kc[0]))):
        fold_of[key] = int(load.argmin())
        load[fold_of[key]] += count
    return np.array([fold_of[key] for key in keys])


def near_duplicates(texts: list[str], *, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Return pairs of texts that share more than ``threshold`` of their word pairs (Jaccard)."""
    pairs = [_word_pairs(text) for text in texts]
    holders: dict[str, list[int]] = {}
    found: list[tuple[int, int]] = []
    for i, mine in enumerate(pairs):
        shared: Counter[int] = Counter()
        for pair in mine:
            shared.update(holders.get(pair, ()))
            holders.setdefault(pair, []).append(i)
        for j, both in shared.items():
            if both / (len(mine) + len(pairs[j]) - both) > threshold:
                found.append((j, i))
    return found


def _word_pairs(text: str) -> set[str]:
    words = text.lower().split()
    return {f"{a} {b}" for a, b in zip(words, words[1:], strict=False)} or {text.lower()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
