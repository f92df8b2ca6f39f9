"""A small model is trained, exported and served; the shipped one keeps what its card says."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from classifier.ask import read_conversation
from classifier.carry import TURNS
from classifier.model import (
    ARTEFACT_FILES,
    CARD_FILE,
    MODEL_FILE,
    VOCABULARY_FILE,
    BadClassifier,
    Classifier,
)
from classifier.tasks import TYPES, family_of
from classifier.training.carry import fresh
from classifier.training.dataset import HELD_OUT_WRITERS, agreed, read_corpus
from classifier.training.fit import fit, prepare
from classifier.training.train import held_out_scores, train, write
from classifier.turns import Conversation, Role, Since, Turn
from router.evidence.catalogue import MODELS_DIR

TEXTS = ["", "fix the login bug", "x" * 50_000, "修复登录错误,谢谢", "почини тест 🎉", "\x00\ufffd",
         "Traceback (most recent call last):\n  File 'a.py'\n" * 40]  # fmt: skip


@pytest.fixture(scope="session")
def rows():
    """A few hundred rows of four writers, one of them held out."""
    found = []
    for writer in ("amara", "bjorn", "alba", "wanda"):
        mine = [row for row in read_corpus() if row.source == f"corpus/{writer}"]
        found += mine[:: max(1, len(mine) // 110)]
    return found


@pytest.fixture(scope="session")
def trained(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("models")
    steps = []
    card = train(rows, out, step=lambda what, share: steps.append((what, share)))
    return out, card, steps


@pytest.fixture(scope="session")
def shipped():
    return Classifier.load(MODELS_DIR)


@pytest.mark.slow
def test_training_says_how_far_it_is(trained):
    _, _, steps = trained
    shares = [share for _, share in steps]
    assert len(steps) > 6
    assert shares == sorted(shares)
    assert shares[0] >= 0 and shares[-1] <= 1


@pytest.mark.slow
def test_the_card_tells_data_splits_and_scores(trained):
    _, card, _ = trained
    assert card["test_rows"].keys() == {"corpus/wanda"}
    assert "corpus/wanda" not in card["rows"]
    assert card["scores"]["held_out_wanda"]["family_f1"] > 0.2  # of nine families
    assert 0 < card["scores"]["left_out_corpus"]["rows"] < sum(card["rows"].values())
    assert set(card["turns"]) <= set(TURNS)
    assert len(card["level_ece"]) == 4


@pytest.mark.slow
def test_a_trained_artefact_loads_and_reads(trained):
    classifier = Classifier.load(trained[0])
    read = classifier.assess(Conversation(ask="add dark mode to the settings page"))
    assert read.p_type.sum() == pytest.approx(1, abs=1e-4)
    assert read.p_level.sum() == pytest.approx(1, abs=1e-4)
    assert read.task in TYPES


@pytest.mark.slow
def test_onnx_equals_numpy(rows, tmp_path):
    """The graph and the reference agree on multilingual, empty and huge input."""
    data = prepare(rows)
    model = fit(data)
    written(model, data, tmp_path)
    served = Classifier.load(tmp_path)
    for text in [*TEXTS, *(row.text for row in rows[:100])]:
        for p, wanted in zip(served.read_once(text), model.read(text), strict=True):
            assert np.abs(p - wanted).max() < 1e-5


def written(model, data, out):
    """Write an artefact of which nothing was measured."""
    write(
        model, fresh(), data, out, written=data.rows, measured={}, temperatures=(1.0, 1.0), test=[]
    )


@pytest.mark.slow
def test_the_same_rows_train_the_same_model(rows, tmp_path):
    for name in ("a", "b"):
        data = prepare(rows[:120])
        written(fit(data), data, tmp_path / name)
    assert (tmp_path / "a" / MODEL_FILE).read_bytes() == (tmp_path / "b" / MODEL_FILE).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["features", "taxonomy", "turns_fingerprint"])
def test_a_model_for_other_features_or_tasks_is_refused(trained, tmp_path, key):
    for path in trained[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = json.loads((tmp_path / CARD_FILE).read_text())
    (tmp_path / CARD_FILE).write_text(json.dumps(card | {key: "other"}))
    with pytest.raises(BadClassifier, match="retrain"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("name", [MODEL_FILE, VOCABULARY_FILE])
def test_files_of_two_trainings_are_refused_by_name(tmp_path, name):
    """Whatever else they agree in: one byte of the other file is another training."""
    for each in ARTEFACT_FILES:
        (tmp_path / each).write_bytes((MODELS_DIR / each).read_bytes())
    assert Classifier.load(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadClassifier, match=f"{name} is not of the training"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("card", [[], 3, {}, {"files": None}])
def test_a_card_that_vouches_for_nothing_is_refused(tmp_path, card):
    for each in ARTEFACT_FILES:
        (tmp_path / each).write_bytes((MODELS_DIR / each).read_bytes())
    if isinstance(card, dict):
        card = json.loads((tmp_path / CARD_FILE).read_text()) | {"files": None} | card
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(BadClassifier, match="retrain"):
        Classifier.load(tmp_path)


def test_a_missing_model_says_how_to_make_one(tmp_path):
    with pytest.raises(BadClassifier, match="auto-efficient train"):
        Classifier.load(tmp_path)


@pytest.mark.slow
def test_the_shipped_model_scores_what_its_card_says(shipped):
    """Recomputed on the held-out writers, who are in the repository and were never trained on."""
    test = [row for row in agreed(read_corpus()) if row.source in shipped.card["test_rows"]]
    measured = held_out_scores(test, shipped.read)
    assert len(measured) == len(HELD_OUT_WRITERS)
    for name, found in measured.items():
        scores = shipped.card["scores"][name]
        assert found.family_f1 == pytest.approx(scores["family_f1"], abs=0.01)
        assert found.level_spearman == pytest.approx(scores["level_spearman"], abs=0.01)
        assert found.family_f1 >= 0.80


def test_the_shipped_model_was_not_trained_on_held_out_writers(shipped):
    assert not set(shipped.card["test_rows"]) & set(shipped.card["rows"])
    assert {f"corpus/{writer}" for writer in HELD_OUT_WRITERS} == set(shipped.card["test_rows"])


def test_the_artefact_stays_small():
    names = ("classifier.onnx", "vocabulary.npz", "classifier.json")
    assert sum((MODELS_DIR / name).stat().st_size for name in names) <= 25_000_000


def test_serving_needs_no_scikit_learn_scipy_or_polars():
    code = (
        "import sys; from router.decision.engine import Engine; Engine.load();"
        "sys.exit(any(m.split('.')[0] in {'sklearn', 'scipy', 'polars', 'onnx', 'matplotlib'}"
        " for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def ask(text="fix the crash when the cart is empty", **more):
    return Conversation(ask=text, **more)


def test_a_declared_background_call_is_believed(shipped):
    read = shipped.assess(ask(declared_task="background/title"))
    assert read.task == "background/title"
    assert read.confidence > 0.9
    assert read.level == 1
    assert "declared" in read.declared


def test_a_mode_moves_the_odds_and_a_clear_text_still_wins(shipped):
    plain, planned = shipped.assess(ask()), shipped.assess(ask(mode="plan"))
    planning = [i for i, t in enumerate(TYPES) if family_of(t) == "planning"]
    assert planned.p_type[planning].sum() > plain.p_type[planning].sum()
    assert planned.family == plain.family == "debugging"
    assert shipped.assess(ask(mode="my-own-agent")).task == plain.task


def test_visible_failures_make_the_task_look_harder(shipped):
    levels = [
        shipped.assess(ask(since=Since(tool_calls=9, failing_tests=n))).expected_level
        for n in (0, 1, 3, 6, 50)
    ]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


BIG = "migrate the whole monolith from Django 1.11 to 4.2 without downtime, all 200,000 lines"
ASKED = "There are two ways: 1. a branch that is merged at the end, 2. step by step. Which one?"


def after(words, *, reply=ASKED, first=BIG, between=()):
    """Return what is said after a reply to an ask, with answered questions between."""
    said = [first, *between, words]
    turns = [Turn(Role.USER, (text,)) for text in said]
    replies = [Turn(Role.ASSISTANT, (reply,)) for _ in said]
    return read_conversation(
        tuple(t for pair in zip(turns, replies, strict=True) for t in pair)[:-1]
    )


@pytest.mark.parametrize(
    "words",
    ["1", "2.", "the second", "yes", "go ahead", "👍", "step by step please", "ja, bitte", "好的", "はい、お願いします",
     "да, давай", "sí, adelante", "oui vas-y", "네", "feature/django-4"],
)  # fmt: skip
def test_an_answer_keeps_type_and_level_of_the_task_under_way(shipped, words):
    task = shipped.assess(Conversation(ask=BIG))
    for between in ((), ("yes",), ("1", "ok", "go on"), ("yes",) * 6, ("ok", "2") * 10):
        read = shipped.assess(after(words, between=between))
        assert read.carries
        assert read.task == task.task == "refactoring/migration"
        assert abs(read.expected_level - task.expected_level) <= 0.3
    assert "carries on" in read.declared


@pytest.mark.parametrize(
    "aside",
    ["before that: what does HTTP 409 mean?", "where is the rate limiter configured?",
     "warum eigentlich nicht gleich 5.0?"],
)  # fmt: skip
def test_work_waits_for_an_aside_and_goes_on_with_the_next_answer(shipped, aside):
    task = shipped.assess(Conversation(ask=BIG))
    assert shipped.assess(after(aside)).expected_level < task.expected_level - 1
    read = shipped.assess(after("2", between=(aside,)))
    assert read.task == task.task
    assert abs(read.expected_level - task.expected_level) <= 0.3


def test_work_that_is_done_does_not_wait(shipped):
    asked = ("explain what src/util/date.ts does", "It formats. Shall I explain its tests too?")
    alone = (
        Turn(Role.USER, (asked[0],)),
        Turn(Role.ASSISTANT, (asked[1],)),
        Turn(Role.USER, ("yes",)),
    )
    done = (Turn(Role.USER, (BIG,)), Turn(Role.ASSISTANT, ("Done, all of it is on main.",)))
    reads = [shipped.assess(read_conversation(turns)) for turns in (alone, (*done, *alone))]
    assert reads[0].task == reads[1].task == "investigation/code_understanding"
    assert reads[1].expected_level < 2


def test_work_does_not_wait_for_a_new_wish_however_small(shipped):
    wish = "rename getUser to fetchUser in src/api/user.ts"
    read = shipped.assess(after("yes", between=(wish,)))
    assert read.carries
    assert read.task == shipped.assess(Conversation(ask=wish)).task == "implementation/small_edit"


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("before that: what does HTTP 409 mean?", "general/knowledge"),
        ("write me a haiku for Anna's farewell card", "general/writing"),
        ("where is the rate limiter configured?", "investigation/repo_exploration"),
        ("rename getUser to fetchUser in src/api/user.ts", "implementation/small_edit"),
    ],
)
def test_a_new_wish_replaces_the_task_even_after_a_question(shipped, words, task):
    read = shipped.assess(after(words))
    assert not read.carries
    assert read.task == task


def test_thanks_end_the_task(shipped):
    read = shipped.assess(
        after("great, thanks, that's all for today!", reply="Done, all tests pass.")
    )
    assert read.task == "general/conversation"
    assert not read.carries


def test_a_first_ask_carries_nothing(shipped):
    assert not shipped.assess(Conversation(ask="yes")).carries


@pytest.mark.parametrize("order", ["{ask}\n\n{paste}", "{paste}\n\n{ask}"])
def test_the_instruction_counts_more_than_what_is_pasted_beside_it(shipped, order):
    paste = "The importer crashes with a KeyError when a column is empty.\n" * 30
    asks = {
        "Write a unit test that reproduces this, nothing else.": "testing/test_creation",
        "Translate this report into French for the customer.": "general/writing",
        "Where in the repo is the code this talks about?": "investigation/repo_exploration",
    }
    for wanted, task in asks.items():
        assert shipped.assess(ask(order.format(ask=wanted, paste=paste))).task == task


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_gives_probabilities(shipped, text):
    read = shipped.assess(ask(text))
    for p in (read.p_type, read.p_level, read.p_family):
        assert np.isfinite(p).all()
        assert p.sum() == pytest.approx(1, abs=1e-4)
    assert 1 <= read.expected_level <= 4
