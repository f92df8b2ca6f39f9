"""Write the numbers of the README and the model card from the artefacts: ``auto-efficient docs``.

A generated block stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; the model card
is generated whole.  A test fails when either is stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.table.view import cell_rows
from classifier.tasks import FAMILIES, LEVELS, TASKS
from classifier.training.dataset import HELD_OUT_WRITERS, PUBLIC_CAP, PUBLIC_WEIGHT
from router.evidence.table import TABLE_FILE, Table, load_table
from router.values import DEFAULT_DIAL, DIALS

ROOT: Final = Path(__file__).resolve().parent.parent

SHOWN_CELLS: Final = (
    ("implementation/small_edit", 1),
    ("general/knowledge", 1),
    ("debugging/bug_fixing", 1),
    ("debugging/bug_fixing", 2),
    ("debugging/bug_fixing", 3),
    ("testing/test_creation", 2),
    ("implementation/feature_development", 4),
    ("refactoring/migration", 4),
)
"""Cells that the README shows: cheap work, the best measured work, and the hardest."""

SHOWN_POLICIES: Final = (
    "ours", "ours, refitted", "ours: quality", "ours: balanced", "ours: economy",
    "ours, refitted: balanced", "told type and level", "hull of single models", "always best",
    "always cheapest", "kNN", "prompt length", "complexity rules", "shuffled self (ours)",
    "shuffled self (ours, refitted)", "random", "oracle",
)  # fmt: skip
"""Rows that the README shows of a study; the pages in benchmarks/results hold all."""

SHOWN_PROMISES: Final = "(ours)"

MEASURED_ON: Final = {
    "held_out_vera": "a writer never trained on (no ask looked at; scores seen while choosing two settings)",
    "held_out_gus": "a writer never trained on (looked at while choosing the model)",
    "left_out_corpus": "writers left out, five folds",
    "left_out_public": "public sources left out, five folds",
    "in_domain_corpus": "in domain, written corpus, five grouped folds",
    "in_domain_public": "in domain, public sources, five grouped folds",
}


def refresh(root: Path = ROOT, *, check: bool = False) -> list[str]:
    """Rewrite stale files; with ``check`` only name them.  Returns the stale files' names."""
    stale = []
    for name, text in rendered(root).items():
        path = root / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    return stale


def rendered(root: Path = ROOT) -> dict[str, str]:
    """Return every generated file's fresh text by its path."""
    card = json.loads((root / "models" / "classifier.json").read_text("utf-8"))
    table = load_table(root / "models" / TABLE_FILE)
    blocks: dict[str, Callable[[], str]] = {
        "table": lambda: table_block(table),
        "classifier": lambda: scores_block(card),
        "studies": lambda: studies_block(root / "benchmarks" / "results"),
        "sessions": lambda: sessions_block(root / "benchmarks" / "results" / "sessions.json"),
        "latency": lambda: latency_block(root / "benchmarks" / "results" / "latency.json"),
        "tasks": tasks_block,
        "dials": dials_block,
    }
    readme = (root / "README.md").read_text("utf-8")
    for name, block in blocks.items():
        readme = _replace(readme, name, block)
    return {"README.md": readme, "models/README.md": model_card(card, table)}


def _replace(text: str, name: str, block: Callable[[], str]) -> str:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in text:
        return text
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{block().rstrip()}\n{end}", text)


def table_block(table: Table) -> str:
    """Show what the table decides in a few cells at the default dial."""
    dial = DIALS[DEFAULT_DIAL]
    lines = []
    for task, level in SHOWN_CELLS:
        rows = cell_rows(table, task, level, dial)
        best = max(rows, key=lambda r: r.lower)
        chosen = next(r for r in rows if r.adequate and ":free" not in r.unit)
        evidence = f"{chosen.items} items" if chosen.items else "borrowed"
        lines.append(
            [task, LEVELS[level - 1], chosen.unit, f"{chosen.quality:.2f}", f"{chosen.cost_usd:.2g}",
             evidence, best.unit, f"{best.quality:.2f}", f"{best.cost_usd:.2g}"]
        )  # fmt: skip
    header = (
        "task",
        "difficulty",
        "cheapest adequate",
        "quality",
        "$",
        "evidence",
        "best",
        "quality",
        "$",
    )
    note = (
        f"Table `{table.version}`, evidence to {table.meta.get('newest_evidence')}; adequate: not worse "
        f"than the best by more than {dial.margin:.0%} with {dial.confidence:.0%} confidence "
        f"(dial `{dial.name}`). Dollars per task as realised by agents, or per answer; "
        "free offers, which may log prompts, are left out as they are by default."
    )
    return f"{note}\n\n{_grid(header, lines)}"


def scores_block(card: Mapping[str, Any]) -> str:
    """Show how well tasks and difficulty are read."""
    keys = ("rows", "family_f1", "type_f1", "family_ece", "level_spearman", "level_ece")
    lines = [
        [where, *(_number(card["scores"][name].get(key)) for key in keys)]
        for name, where in MEASURED_ON.items()
        if name in card["scores"]
    ]
    header = ("measured on", "rows", "family macro-F1", "type macro-F1", "family ECE",
              "difficulty ρ", "difficulty ECE")  # fmt: skip
    return _grid(header, lines)


def studies_block(folder: Path) -> str:
    """Show the main measures of every committed study."""
    parts = []
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict) or "promises" not in found:
            continue  # not an evaluation of routing
        if found["standings"]:
            parts.append(_standings(found))
        if found["promises"]:
            parts.append(_promises(found))
    return "\n\n".join(parts)


def _standings(found: Mapping[str, Any]) -> str:
    measures = {"apgr": "APGR", "aiq": "AIQ", "saved": "saved at 95%", "quality_share": "quality share*",
                "cost_share": "cost share*"}  # fmt: skip
    present = [m for m in measures if any(m in s["measures"] for s in found["standings"])]
    lines = [
        [s["policy"], *(_interval(s["measures"].get(m)) for m in present)]
        for s in found["standings"]
        if s["policy"] in SHOWN_POLICIES
    ]
    head = f"**{found['name']}** ({found['n_items']:,} items, {len(found['models'])} models)"
    return f"{head}\n\n{_grid(('policy', *(measures[m] for m in present)), lines)}"


def _promises(found: Mapping[str, Any]) -> str:
    lines = [
        [p["policy"], f"{p['margin']:.2f}", f"{p['confidence']:.2f}", f"{p['broken']} of {p['n_seeds']}",
         f"{p['quality_gap']:+.3f}", f"{p['cost_share']:.2f}"]
        for p in found["promises"]
        if p["policy"].endswith(SHOWN_PROMISES)
    ]  # fmt: skip
    header = ("policy", "margin", "confidence", "broken", "quality gap", "cost share")
    return f"**{found['name']}** ({found['n_items']:,} items)\n\n{_grid(header, lines)}"


def sessions_block(path: Path) -> str:
    """Show what ours saves in simulated sessions at equal quality, and how often it switches."""
    if not path.exists():
        return "Not measured yet: `auto-efficient evaluate sessions --report benchmarks/results`."
    found = json.loads(path.read_text("utf-8"))
    ours = {(s["mix"], s["dial"]): s for s in found["standings"] if s["policy"] == "ours"}
    lines = []
    for saving in found["savings"]:
        if (saving["policy"], saving["rival"]) != ("ours", "the best of them"):
            continue
        own, by = ours[saving["mix"], saving["dial"]], saving["by"]
        lines.append(
            [saving["mix"], saving["dial"], f"{own['usd']['value']:.2f}",
             f"{own['quality']['value']:.3f}",
             f"{by['value']:+.0%} [{by['low']:+.0%}, {by['high']:+.0%}]",
             "same" if saving["reached"] else f"{saving['quality']:.3f}",
             f"{own['switches']:.2f}", str(own["unsafe"]), f"{own['cached']:.0%}"]
        )  # fmt: skip
    header = (
        "sessions", "dial", "$ a session", "tasks solved", "saved against the best rival", "it solves",
        "switches / 100 turns", "unsafe", "input cached",
    )  # fmt: skip
    note = (
        f"{found['n_sessions']} sessions of each kind, {len(found['models'])} models. Rivals: never switch, "
        "decide every turn alone, stick for 30 minutes, stay unless a fresh start is cheaper by a factor, "
        "cap the spending on switches. Against the cheapest of them at the same quality, mixing settings of "
        "its dial as it likes; where none reaches it, against the one that comes nearest."
    )
    return f"{note}\n\n{_grid(header, lines)}"


def latency_block(path: Path) -> str:
    """Show decision times as last measured."""
    if not path.exists():
        return "Not measured yet: `python -m benchmarks.speed.latency --json`."
    lines = [
        [t["size"], t["what"], f"{t['p50_ms']:.2f}", f"{t['p99_ms']:.2f}", f"{t['calls']:,}"]
        for t in json.loads(path.read_text("utf-8"))
    ]
    return _grid(("request", "call", "p50 ms", "p99 ms", "calls"), lines)


def tasks_block() -> str:
    """List the taxonomy."""
    return _grid(("task", "what it is"), [[f"`{task}`", text] for task, text in TASKS.items()])


def dials_block() -> str:
    """List the dial's stops."""
    lines = [[f"`{d.name}`", f"{d.margin:.0%}", f"{d.confidence:.0%}"] for d in DIALS.values()]
    return _grid(("stop", "may be worse than the best by", "proven with confidence"), lines)


def model_card(card: Mapping[str, Any], table: Table) -> str:
    """Write ``models/README.md`` whole."""
    corpus = {k: v for k, v in card["rows"].items() if k.startswith("corpus/")}
    public = {k: v for k, v in card["rows"].items() if not k.startswith("corpus/")}
    languages = ", ".join(
        f"{lang} {n:,}" for lang, n in sorted(card["languages"].items(), key=lambda kv: -kv[1])[:14]
    )
    sources = [[f"`{name}`", f"{n:,}"] for name, n in sorted(public.items())]
    direct = int((np.asarray(table.items).sum(axis=2) > 0).sum())
    return f"""# What lies here

Generated by `auto-efficient docs`; do not edit.

| file | what it is | made by |
|---|---|---|
| `catalogue.toml` | models, prices, abilities, tiers; written by people, sources and dates inside | hand |
| `providers.toml` | providers, the wire formats they speak, how they authenticate | hand |
| `table.json` | the cost-quality table, version `{table.version}` | `auto-efficient table build` |
| `classifier.onnx`, `vocabulary.npz`, `classifier.json` | the classifier | `auto-efficient train` |

## The classifier

Reads the user's ask and gives calibrated probabilities of {len(TASKS)} task types in {len(FAMILIES)}
families and of four difficulty levels ({"; ".join(LEVELS)} of an engineer at home in the code).
Features `{card["features"]}`, taxonomy `{card["taxonomy"]}`; {card["columns"]:,} hashed columns; temperatures
{card["temperatures"][0]} (type) and {card["temperatures"][1]} (difficulty), fitted on sources left out.

**Licence** Apache-2.0 (weights and corpus). Public texts were used for fitting only and are not here.

**Data** {sum(corpus.values()):,} asks of {len(corpus)} writers (`classifier/corpus`), weight 1; {sum(public.values()):,} rows of
{len(public)} public sources, weight {PUBLIC_WEIGHT}, at most {PUBLIC_CAP} per source and task. Rows marked `train_ok = false` were
dropped. Languages of the rows: {languages}.

**Splits** {" and ".join(f"`{w}`" for w in HELD_OUT_WRITERS)} were never trained on. Folds are grouped: near-duplicates and one benchmark item
never straddle a split; for "left out" rows whole writers and sources are.

{scores_block(card)}

ECE is the expected calibration error of the top label (10 bins). Difficulty ρ is the rank correlation of the expected level
with the label; in domain and left out, benchmark items' labels are the item-response placement.

**Limits** The corpus was written by language models playing {len(corpus) + len(card["test_rows"])} different people, not collected from users, and each
writer labelled their own asks. Languages beyond the listed ones are read poorly. A mini-swe-agent request keeps its rules
behind the ask when they are worded differently. Difficulty within one benchmark of GitHub issues is hardly readable from the
text (see `benchmarks/LOG.md`). A declared mode, failures in the session and an earlier ask move the probabilities by stated,
not learned, odds (`classifier/model.py`).

**Public sources**

{_grid(("source", "rows"), sources)}

## The table

{len(table.units)} units (a model at an effort); {direct} of {table.items.shape[0] * table.items.shape[1]} cells hold direct evidence of some unit, the
rest borrow and say so. Sources, commits, dates and licences are inside (`sources`), as are the runs left out and why
(`excluded_runs`, `left_out`) and the fitted scales (`quality_model`, `cost_model`).
"""


def _grid(header: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _interval(found: Mapping[str, float] | None) -> str:
    if not found:
        return "–"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
