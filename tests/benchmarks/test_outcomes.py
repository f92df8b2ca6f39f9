"""Reading recorded outcomes: both dialects, one item once, bad rows refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from benchmarks.kinds import BENCHMARKS, BROKEN
from benchmarks.outcomes import (
    CODING,
    GENERAL,
    MORE,
    Alias,
    OutcomeSet,
    load_evidence,
    read_outcomes,
    read_prompts,
    with_aliases,
)
from benchmarks.schema import ITEM_COLUMNS, OUTCOME_COLUMNS
from benchmarks.table.build import LICENCES
from benchmarks.table.time_scale import MIN_TIED, placed_items
from classifier.tasks import TYPES
from classifier.training.rows import BadData

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the real data is not beside the repository (../shared/data)"
)


def write_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def outcome(**changes: object) -> dict[str, object]:
    return {"prompt_id": "a", "model": "m", "score": 1.0, **changes}


@pytest.fixture(scope="module")
def evidence() -> OutcomeSet:
    return load_evidence(SHARED)


def test_lines_with_the_required_columns_alone_are_enough(tmp_path: Path) -> None:
    frame = read_outcomes(write_lines(tmp_path / "o.jsonl", [outcome()]))
    assert frame.columns == [*OUTCOME_COLUMNS, "origin"]
    row = frame.row(0, named=True)
    assert (row["effort"], row["trials"], row["train_ok"]) == ("default", 1.0, True)


def test_both_dialects_read_alike(tmp_path: Path) -> None:
    """``harness``, ``n_samples``, ``model_norm`` are ``agent``, ``n_trials``, ``model_id``."""
    general = outcome(harness="h", n_samples=4, model_norm="x")
    coding = outcome(agent="h", n_trials=4, model_id="vendor/x")
    one, other = (
        read_outcomes(write_lines(tmp_path / f"{i}.jsonl", [row])).drop("source", "origin")
        for i, row in enumerate((general, coding))
    )
    assert one.equals(other)


def test_parquet_reads_as_lines_do(tmp_path: Path) -> None:
    rows = [outcome(cost_usd=0.5), outcome(prompt_id="b", score=0.25)]
    lines = write_lines(tmp_path / "o.jsonl", rows)
    pl.read_ndjson(lines).write_parquet(tmp_path / "o.parquet")
    one, other = (
        read_outcomes(tmp_path / f"o.{kind}").drop("source", "origin")
        for kind in ("jsonl", "parquet")
    )
    assert one.equals(other)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"score": 1.5}, "`score`: expected a number from 0 to 1, not 1.5"),
        ({"score": None}, "`score`: expected a number from 0 to 1, and there is none"),
        ({"score": float("nan")}, "`score`: expected a number from 0 to 1, and there is none"),
        ({"score": "C"}, "`score`: expected a number, not 'C'"),
        ({"model": None}, "`model`: expected a value, and there is none"),
        ({"model": ""}, "`model`: expected a value, and there is none"),
        ({"cost_usd": -1.0}, "`cost_usd`: expected dollars, zero or more, not -1.0"),
        ({"cost_usd": "$0.01"}, "`cost_usd`: expected a number, not '$0.01'"),
        ({"cost_usd": float("inf")}, "`cost_usd`: expected a finite number, not inf"),
        ({"n_trials": 0}, "`n_trials`: expected a number of trials, at least 1, not 0.0"),
        ({"prompt_id": ["a"]}, "`prompt_id`: expected a text or a number, not a list"),
        ({"train_ok": "perhaps"}, "`train_ok`: expected true or false, not 'perhaps'"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(
    tmp_path: Path, bad: dict[str, object], reason: str
) -> None:
    path = write_lines(tmp_path / "o.jsonl", [outcome(cost_usd=1.0, n_trials=1), outcome(**bad)])
    with pytest.raises(BadData) as refused:
        read_outcomes(path)
    assert str(refused.value) == f"{path}, line 2: {reason}"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "o.jsonl", [{"prompt_id": "a", "model": "m"}])
    with pytest.raises(BadData, match="no column score"):
        read_outcomes(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such file"):
        read_prompts(tmp_path / "nothing.parquet")


def test_a_cost_of_zero_is_a_cost_and_none_is_none(tmp_path: Path) -> None:
    said = (0.0, 0, "0", None, "", float("nan"))
    rows = [outcome(cost_usd=cost) for cost in said]
    frame = read_outcomes(write_lines(tmp_path / "o.jsonl", rows))
    assert frame["cost_usd"].to_list() == [0.0, 0.0, 0.0, None, None, None]


def test_the_same_item_has_one_key_in_both_sets(tmp_path: Path) -> None:
    general = {
        "prompt_id": "p_1", "benchmark": "swe-bench-verified", "prompt_text": "t",
        "meta": json.dumps({"instance_id": "django__django-1"}),
    }  # fmt: skip
    coding = {"prompt_id": "hal-swebench-verified/django__django-1",
              "benchmark": "hal-swebench-verified"}  # fmt: skip
    keys = [
        read_prompts(write_lines(tmp_path / f"{i}.jsonl", [row]))["item"][0]
        for i, row in enumerate((general, coding))
    ]
    assert keys[0] == keys[1] == "openhands-swe-bench/django__django-1"


def test_aliases_give_the_model_and_the_effort_its_name_states(tmp_path: Path) -> None:
    rows = [outcome(model="M (high)"), outcome(model="m", effort="low"), outcome(model="other")]
    frame = with_aliases(
        read_outcomes(write_lines(tmp_path / "o.jsonl", rows)),
        {"M (high)": Alias("v/m", "high"), "m": Alias("v/m", "")},
    )
    assert frame["catalogue"].to_list() == ["v/m", "v/m", None]
    assert frame["effort"].to_list() == ["high", "low", "default"]


def test_every_benchmark_has_a_known_type_and_a_reason() -> None:
    """Or is of several types, which its items then say themselves."""
    for name, kind in BENCHMARKS.items():
        assert kind.task is None or kind.task in TYPES, name
        assert kind.why, name
        assert kind.whole or not kind.one_task, name


# --- three sets ---------------------------------------------------------------------------------

TASKS = ("general/writing", "refactoring/migration")


def prompt(prompt_id: str, **known: object) -> dict[str, object]:
    return {"prompt_id": prompt_id, "benchmark": prompt_id.split("/")[0], **known}


def run_of(prompt_id: str, **known: object) -> dict[str, object]:
    return {**outcome(prompt_id=prompt_id, benchmark=prompt_id.split("/")[0], agent="a"), **known}


def shared_folder(
    folder: Path,
    prompts: list[dict[str, object]] | None = None,
    outcomes: list[dict[str, object]] | None = None,
) -> Path:
    """A folder laid out like the shared one: two small sets, and the third if there is anything in it."""
    sets = {
        GENERAL: ([prompt("gsm8k/1")], [run_of("gsm8k/1")]),
        CODING: (
            [prompt(f"metr-hcast/{n}", human_minutes=10.0**n) for n in range(MIN_TIED)],
            [run_of(f"metr-hcast/{n}", score=1 / (n + 1)) for n in range(MIN_TIED)],
        ),
    }
    if prompts is not None:
        sets[MORE] = prompts, outcomes or [run_of(str(p["prompt_id"])) for p in prompts]
    for name, (asked, done) in sets.items():
        (folder / name).mkdir(exist_ok=True)
        pl.DataFrame(asked, infer_schema_length=None).write_parquet(
            folder / name / "prompts.parquet"
        )
        pl.DataFrame(done, infer_schema_length=None).write_parquet(
            folder / name / "outcomes.parquet"
        )
    return folder


def test_a_folder_without_the_third_set_reads_as_two(tmp_path: Path) -> None:
    two = load_evidence(shared_folder(tmp_path))
    assert list(two.inputs) == [
        "prompts.parquet", "outcomes.parquet", "coding/prompts.parquet", "coding/outcomes.parquet",
    ]  # fmt: skip
    assert two.items["benchmark"].unique().sort().to_list() == ["gsm8k", "metr-hcast"]


def test_the_third_set_is_named_among_the_inputs_and_may_be_left_out(tmp_path: Path) -> None:
    folder = shared_folder(tmp_path, [prompt("bcbench-bug-fix/1")])
    three = load_evidence(folder)
    assert {"more/prompts.parquet", "more/outcomes.parquet"} < set(three.inputs)
    assert "bcbench-bug-fix/1" in three.outcomes["item"]
    two = load_evidence(folder, (GENERAL, CODING))
    assert two.outcomes.equals(load_evidence(shared_folder(tmp_path / "x")).outcomes)
    assert "bcbench-bug-fix/1" not in placed_items(folder, (GENERAL, CODING))["item"]


def test_half_a_third_set_is_refused(tmp_path: Path) -> None:
    folder = shared_folder(tmp_path, [prompt("bcbench-bug-fix/1")])
    (folder / MORE / "outcomes.parquet").unlink()
    with pytest.raises(BadData, match=r"there is no more/outcomes\.parquet"):
        load_evidence(folder)


def test_an_items_own_hint_says_its_task_before_its_benchmark_does(tmp_path: Path) -> None:
    asked = [
        prompt("zrb-challenges/1", task_hint=TASKS[0]),
        prompt("zrb-challenges/2", task_hint=None),
        prompt("bcbench-bug-fix/1", task_hint=TASKS[1]),
        prompt("bcbench-bug-fix/2", task_hint=None),
    ]
    items = load_evidence(shared_folder(tmp_path, asked)).items
    found = dict(items.select("item", "task").iter_rows())
    assert [found[str(p["prompt_id"])] for p in asked] == [
        TASKS[0], None, TASKS[1], "debugging/bug_fixing",
    ]  # fmt: skip


def test_a_level_of_people_comes_before_a_hint_and_can_be_told_from_it(tmp_path: Path) -> None:
    asked = [
        prompt("a", benchmark="bcbench-bug-fix", level_hint=3, difficulty="<15 min fix"),
        prompt("b", benchmark="bcbench-bug-fix", level_hint=3, human_minutes=37.5),
        prompt("c", benchmark="openhands-commit0", level_hint=3),
        prompt("d", benchmark="bcbench-bug-fix", level_hint=3),
        prompt("e", benchmark="bcbench-bug-fix"),
    ]
    done = [run_of(str(p["prompt_id"]), benchmark=p["benchmark"]) for p in asked]
    items = load_evidence(shared_folder(tmp_path, asked, done)).items
    found = {row[0]: row[1:] for row in items.select("item", "level", "timed").iter_rows()}
    assert [found[name] for name in "abcde"] == [
        (1, True), (2, True), (4, True), (3, False), (None, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        ({"task_hint": "debugging/nothing"}, "`task_hint`: expected one of the task types"),
        ({"level_hint": 5}, "`level_hint`: expected a level from 1 to 4, not 5"),
    ],
)
def test_a_hint_that_is_no_type_or_level_is_refused(
    tmp_path: Path, hint: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadData, match=reason):
        read_prompts(write_lines(tmp_path / "p.jsonl", [prompt("a", **hint)]))


def test_repeats_that_are_kept_as_rows_are_trials_of_one_run(tmp_path: Path) -> None:
    done = [
        run_of("bcbench-bug-fix/1", agent="GitHub Copilot", run=f"v{n}/7/{n}", score=n % 2)
        for n in range(5)
    ]
    folder = shared_folder(tmp_path, [prompt("bcbench-bug-fix/1")], done)
    row = load_evidence(folder).outcomes.row(
        by_predicate=pl.col("agent") == "GitHub Copilot", named=True
    )
    assert (row["score"], row["trials"]) == (0.4, 5.0)


@pytest.mark.parametrize(
    ("recorded", "agent"),
    [
        ("OpenHands v1.2", "OpenHands"),
        ("single-turn via openrouter", "single-turn"),
        ("mini-swe-agent (pier) 3", "mini-swe-agent"),
        ("lgtmaybe 2.1.4", "lgtmaybe"),
        ("lgtmaybe 2.2.0, local server", "lgtmaybe, local server"),
        ("zrb (repository's own agent)", "zrb"),
        ("zrb 2.52.0", "zrb"),
        ("bashkit-eval (mira)", "bashkit-eval"),
        ("Cursor Agent CLI, ask mode, thinking on", "Cursor Agent CLI, ask mode"),
        ("Claude Code, built-in tools (v0.4.1)", "Claude Code, built-in tools"),
        ("Claude Code, /swe2", "Claude Code, /swe2"),
        ("mini-swe-agent", "mini-swe-agent"),
    ],
)
def test_versions_of_an_agent_are_one_agent(tmp_path: Path, recorded: str, agent: str) -> None:
    path = write_lines(tmp_path / "o.jsonl", [outcome(agent=recorded)])
    assert read_outcomes(path)["agent"].to_list() == [agent]


def test_dimensions_of_one_task_count_as_one_item(tmp_path: Path) -> None:
    names = [f"akita-rails-v2/{part}" for part in ("overall", "streaming", "schema")]
    folder = shared_folder(
        tmp_path, [prompt(n) for n in names], [run_of(n, cost_usd=2) for n in names]
    )
    rows = load_evidence(folder).outcomes.filter(pl.col("benchmark") == "akita-rails-v2")
    assert rows.select("item", "cost_usd").rows() == [("akita-rails-v2/overall", 2.0)]


def test_a_grade_of_the_whole_counts_where_its_parts_are_not_told(tmp_path: Path) -> None:
    """And without its bill, which is for all parts."""
    names = [f"aarora-v1/change/{part}" for part in ("all", "impl", "issue")]
    done = [run_of(name, agent="told", cost_usd=2) for name in names]
    done += [run_of(names[0], agent="untold", cost_usd=2)]
    folder = shared_folder(tmp_path, [prompt(n) for n in names], done)
    rows = load_evidence(folder).outcomes.filter(pl.col("benchmark") == "aarora-v1")
    assert sorted(rows.select("agent", "item", "cost_usd").rows()) == [
        ("told", names[1], 2.0), ("told", names[2], 2.0), ("untold", names[0], None),
    ]  # fmt: skip


def test_tasks_that_a_later_edition_keeps_are_the_same_items(tmp_path: Path) -> None:
    names = ("vulcanbench-v3/x", "vulcanbench-v4/x", "vulcanbench-v4/y")
    outcomes = load_evidence(shared_folder(tmp_path, [prompt(n) for n in names])).outcomes
    found = outcomes.filter(pl.col("benchmark") == "vulcanbench-v3").sort("item")
    assert found.select("item", "trials").rows() == [
        ("vulcanbench-v3/x", 2.0), ("vulcanbench-v3/y", 1.0),
    ]  # fmt: skip


def test_runs_that_the_general_set_holds_are_not_counted_again(tmp_path: Path) -> None:
    folder = shared_folder(tmp_path, [prompt("omnisbench-gsm8k/1")])
    assert not load_evidence(folder).outcomes["benchmark"].str.starts_with("omnisbench").any()


# --- the real data ------------------------------------------------------------------------------


@needs_shared
def test_real_evidence_is_tidy_and_counted_once(evidence: OutcomeSet) -> None:
    assert evidence.items.columns == list(ITEM_COLUMNS)
    assert evidence.items["item"].is_unique().all()
    key = ["item", "agent", "model_key", "effort", "benchmark"]
    assert not evidence.outcomes.select(pl.struct(key).is_duplicated().any()).item()
    assert set(evidence.outcomes["benchmark"].unique()) <= set(BENCHMARKS)


@needs_shared
def test_barred_items_are_barred_in_both_sets(evidence: OutcomeSet) -> None:
    """Terminal-Bench carries a do-not-train canary, in whichever set its rows came from."""
    rows = evidence.outcomes.filter(pl.col("benchmark").str.starts_with("terminal-bench"))
    assert not rows["train_ok"].any()


@needs_shared
def test_a_barred_site_does_not_bar_its_items(evidence: OutcomeSet) -> None:
    """SWE-bench's own site is non-commercial; the same issues run by OpenHands are not."""
    rows = evidence.outcomes.filter(pl.col("benchmark") == "openhands-swe-bench")
    by_agent = dict(rows.group_by("agent").agg(pl.col("train_ok").any()).iter_rows())
    assert by_agent["OpenHands"]
    assert not any(ok for agent, ok in by_agent.items() if agent.startswith("mini-SWE-agent"))


@needs_shared
def test_broken_runs_are_there_to_drop(evidence: OutcomeSet) -> None:
    """A misspelt row of ``BROKEN`` would silently drop nothing."""
    files = [SHARED / name / "outcomes.parquet" for name in (CODING, MORE)]
    raw = pl.concat([read_outcomes(path) for path in files if path.exists()])
    for run in BROKEN:
        found = raw.filter(
            pl.col("model_key") == run.model, pl.col("benchmark").str.starts_with(run.benchmark)
        )
        assert len(found), run


@needs_shared
def test_broken_runs_are_gone(evidence: OutcomeSet) -> None:
    for run in BROKEN:
        left = evidence.outcomes.filter(pl.col("model_key") == run.model)
        if run.benchmark:
            left = left.filter(pl.col("benchmark") == run.benchmark)
        assert left.is_empty(), run


needs_more = pytest.mark.skipif(
    not (SHARED / MORE).exists(), reason="the third set is not beside the repository"
)


@needs_more
def test_the_third_set_changes_nothing_of_the_two(evidence: OutcomeSet) -> None:
    """What the shipped classifier learned from stays what it was."""
    two = load_evidence(SHARED, (GENERAL, CODING))
    of_two = pl.col("benchmark").is_in(two.outcomes["benchmark"].unique().to_list())
    assert evidence.outcomes.filter(of_two).equals(two.outcomes)
    assert evidence.items.join(two.items, on="item", how="semi").equals(two.items)


@needs_more
def test_every_source_of_the_third_set_has_a_licence_of_its_own() -> None:
    for source in read_outcomes(SHARED / MORE / "outcomes.parquet")["source"].unique():
        assert any(name in source for name in LICENCES), source


@needs_more
def test_levels_of_the_third_set_are_hints_and_told_apart(evidence: OutcomeSet) -> None:
    ours = read_prompts(SHARED / MORE / "prompts.parquet")["item"].to_list()
    hinted = evidence.items.filter(pl.col("item").is_in(ours))
    assert not hinted["timed"].any()
    assert evidence.items.filter(pl.col("benchmark") == "openhands-swe-bench")["timed"].any()
