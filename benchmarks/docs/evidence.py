"""docs/evidence.md and docs/tasks.md: what was measured, from the artefacts and the studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.docs.pages import Block, Sources, grid, interval, number, prose
from benchmarks.sessions.policies import CONTESTS
from benchmarks.sessions.study import BEST
from benchmarks.table.view import cell_rows
from classifier.tasks import LEVELS, TASKS
from router.values import DEFAULT_DIAL, DIALS

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
"""Cells that are shown: cheap work, the best measured work, and the hardest."""

SHOWN_POLICIES: Final = (
    "ours", "ours, refitted", "ours: quality", "ours: balanced", "ours: economy",
    "ours, refitted: balanced", "told type and level", "hull of single models", "always best",
    "always cheapest", "kNN", "prompt length", "complexity rules", "shuffled self (ours)",
    "shuffled self (ours, refitted)", "random", "oracle",
)  # fmt: skip
"""Rows that are shown of a study; the pages in benchmarks/results hold all."""

MEASURED_ON: Final = {
    "left_out_corpus": "writers left out, five folds",
    "held_out_ines": "`ines`, never trained on, half in four Romance languages (no choice made by the scores; some conversations looked at since)",
    "held_out_leila": "`leila`, likewise, half in French, Arabic and Persian",
    "held_out_wanda": "`wanda`, never trained on, half in twenty languages (no ask looked at; scores of earlier trainings seen)",
    "held_out_xavier": "`xavier`, likewise, two fifths in thirteen languages",
    "left_out_public": "public sources left out, five folds",
}


def table(sources: Sources) -> str:
    """Show what the table decides in a few cells at the default dial."""
    shipped = sources.table()
    paid = shipped.kept([i for i, u in enumerate(shipped.units) if not u.model.endswith(":free")])
    dial = DIALS[DEFAULT_DIAL]
    lines = []
    for task, level in SHOWN_CELLS:
        rows = cell_rows(paid, task, level, dial)
        best = next(r for r in rows if r.best)
        chosen = next(r for r in rows if r.picked)
        evidence = f"{chosen.items} items" if chosen.items else "borrowed"
        lines.append(
            [task, LEVELS[level - 1], chosen.unit, f"{chosen.quality:.2f}", f"{chosen.cost_usd:.2g}",
             evidence, best.unit, f"{best.quality:.2f}", f"{best.cost_usd:.2g}"]
        )  # fmt: skip
    header = ("task", "difficulty", "picked", "quality", "$", "evidence", "best",
              "quality", "$")  # fmt: skip
    note = (
        f"Table `{shipped.version}`, evidence to {shipped.meta.get('newest_evidence')}, dial `{dial.name}`, where "
        "nobody takes over. Dollars of an ordinary task as realised by agents, or of an answer; free offers, "
        "which may log prompts, are left out as they are by default."
    )
    return f"{note}\n\n{grid(header, lines)}\n\n{_rests(sources)}"


def _rests(sources: Sources) -> str:
    """Say of every stop what its decisions rest on, over the stated mixes of the study ``table``."""
    found = sources.result("table")
    lines = [
        [on["mix"], on["dial"], *(f"{on[kind]:.0%}" for kind in ("measured", "related", "prior"))]
        for on in found["mixes"]
        if on["table"] == "after" and not on["seen"]
    ]
    note = (
        f"What decisions rest on, as judged of table `{found['version']}`. Measured: the unit did thirty items and "
        "more in most of what an ask is read as; related: on other kinds of task; prior: fewer than ten items "
        "anywhere, so its price and its family speak. [The whole page](../benchmarks/results/table.md)."
    )
    return f"{note}\n\n{grid(('asks', 'dial', 'measured', 'related', 'prior'), lines)}"


def scores(card: Mapping[str, Any]) -> str:
    """Show how well tasks and difficulty are read."""
    keys = ("rows", "family_f1", "type_f1", "family_ece", "level_spearman", "level_ece")
    lines = [
        [where, *(number(card["scores"][name].get(key)) for key in keys)]
        for name, where in MEASURED_ON.items()
        if name in card["scores"]
    ]
    header = ("measured on", "rows", "family macro-F1", "type macro-F1", "family ECE",
              "difficulty ρ", "difficulty ECE")  # fmt: skip
    return grid(header, lines)


def types(card: Mapping[str, Any]) -> str:
    """Show of each type how well it is read, and how often two people agree on it."""
    lines = []
    for task in TASKS:
        read_twice, same, same_level = card["agreement"].get(task, (0, None, None))
        lines.append(
            [f"`{task}`", f"{card['tasks'].get(task, 0):,}", number(card["f1"].get(task)),
             f"{read_twice:,}", number(same), number(same_level)]
        )  # fmt: skip
    header = ("type", "rows", "F1", "read twice", "same type", "same level")
    return grid(header, lines)


def parts(card: Mapping[str, Any]) -> str:
    """Show how well asks of writers left out are read, by language, style and writer."""
    keys = ("rows", "family_f1", "type_f1", "family_ece", "level_spearman", "level_ece")
    lines = [
        [split, name.removeprefix("corpus/"), *(number(found[key]) for key in keys)]
        for split, held in card["by"].items()
        for name, found in held.items()
        if found["rows"]
    ]
    header = ("split by", "part", "rows", "family macro-F1", "type macro-F1", "family ECE",
              "difficulty ρ", "difficulty ECE")  # fmt: skip
    return grid(header, lines)


def turns(card: Mapping[str, Any]) -> str:
    """Show what newest words are taken to do to the task under way, writers left out."""
    lines = [
        [
            kind.replace("_", " "),
            f"{found['rows']:,}",
            *(number(found[k]) for k in ("kept", "altered", "replaced")),
        ]
        for kind, found in card["turns"].items()
    ]
    return grid(("newest words", "rows", "keep it", "change it", "replace it"), lines)


def within(card: Mapping[str, Any]) -> str:
    """Show how well items of benchmarks left out are ordered by difficulty, beside their length."""
    lines = [
        [f"`{name}`", f"{n:,}", f"{read:.2f}", f"{length:.2f}"]
        for name, (n, read, length) in sorted(card["within_benchmarks"].items())
    ]
    if lines:
        mean = [
            sum(found[k] for found in card["within_benchmarks"].values()) / len(lines)
            for k in (1, 2)
        ]
        lines.append(["mean", "", *(f"{rho:.2f}" for rho in mean)])
    return grid(("benchmark", "items", "ρ of the level", "ρ of the length"), lines)


def studies(sources: Sources) -> str:
    """Show the main measures of every committed study."""
    parts = []
    for path in sorted(sources.results.glob("*.json")):
        found = sources.result(path.stem)
        if isinstance(found, dict) and "differences" in found:  # an evaluation of routing
            parts.append(f"{_head(path.stem, found)}\n\n{_standings(found)}")
        elif isinstance(found, dict) and "floors" in found:
            parts.append(_promise(path.stem, found))
    return "\n\n".join(parts)


def _head(name: str, found: Mapping[str, Any]) -> str:
    size = f"{found['n_items']:,} items, {len(found['models'])} models"
    return f"### {found['name']}\n\n{size}; [the whole page](../benchmarks/results/{name}.md)."


def _standings(found: Mapping[str, Any]) -> str:
    measures = {"apgr": "APGR", "aiq": "AIQ", "saved": "saved at 95%", "quality_share": "quality share*",
                "cost_share": "cost share*"}  # fmt: skip
    present = [m for m in measures if any(m in s["measures"] for s in found["standings"])]
    lines = [
        [s["policy"], *(interval(s["measures"].get(m)) for m in present)]
        for s in found["standings"]
        if s["policy"] in SHOWN_POLICIES
    ]
    return grid(("policy", *(measures[m] for m in present)), lines)


def _promise(name: str, found: Mapping[str, Any]) -> str:
    """Show what is demanded of the rule, and what each stop of the dial kept on every pool."""
    floors = grid(
        ("demanded", "found", "met"),
        [[f["asked"], f["found"], "yes" if f["met"] else "no"] for f in found["floors"]],
    )
    lines = [
        [pool["name"], f"{stop['stop']}, {stop['margin']:g}", interval(stop["gap"]), interval(stop["cost"]),
         f"{stop['broken']} of {len(pool['seeds'])}"]
        for pool in found["pools"]
        for stop in pool["stops"]
    ]  # fmt: skip
    header = ("pool", "stop", "quality gap", "cost share", "broken")
    page = f"[the whole page](../benchmarks/results/{name}.md)"
    return f"### {name}\n\nOn every pool; {page}.\n\n{floors}\n\n{grid(header, lines)}"


def sessions(sources: Sources) -> str:
    """Show what ours saves in simulated sessions at equal quality, and how often it switches."""
    found = sources.result("sessions")
    ours = {(s["mix"], s["dial"]): s for s in found["standings"] if s["policy"] == "ours"}
    lines = []
    for saving in found["savings"]:
        if (saving["contest"], saving["rival"]) != (next(iter(CONTESTS)), BEST):
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
    return f"{note}\n\n{grid(header, lines)}"


def latency(sources: Sources) -> str:
    """Show decision times as last measured."""
    lines = [
        [t["size"], t["what"], f"{t['p50_ms']:.2f}", f"{t['p99_ms']:.2f}", f"{t['calls']:,}"]
        for t in sources.result("latency")
    ]
    return grid(("request", "call", "p50 ms", "p99 ms", "calls"), lines)


def speed(sources: Sources) -> str:
    """Show what a request costs over a pass-through, as last measured."""
    found = sources.result("ratios")
    sizes = found["cpu"]
    rows = [
        [name, *(_spread(sizes[size][name]) for size in sizes)]
        for name in next(iter(sizes.values()))
    ]
    workers, words = found["workers"], found["first_word"]
    added = ", ".join(f"{name} {told['ratio']:.1f}" for name, told in words.items())
    note = (
        f"Median of {found['rounds']} rounds of {found['requests']} requests over 32 connections, lowest and highest in "
        f"brackets. Two workers over one: {_spread(workers['answers per second'])} in answers per second, "
        f"{_spread(workers['of workers alone'])} by their CPU alone. Time added to a stream's first word over the "
        f"pass-through's: {added}."
    )
    return f"{grid(('CPU over a pass-through', *sizes), rows)}\n\n{note}"


def _spread(told: Mapping[str, float]) -> str:
    return f"{told['median']:.1f} ({told['low']:.1f} to {told['high']:.1f})"


def tasks(sources: Sources) -> str:
    """List the taxonomy."""
    return grid(("task", "what it is"), [[f"`{task}`", text] for task, text in TASKS.items()])


def levels(sources: Sources) -> str:
    """List the levels of difficulty."""
    rows = [[str(level), prose(name)] for level, name in enumerate(LEVELS, start=1)]
    return grid(("level", "time of an engineer at home in the code"), rows)


def tiers(sources: Sources) -> str:
    """List the tiers."""
    rows = [
        [f"`{tier.id}`", prose(tier.description) + " Hidden from pickers." * tier.hidden]
        for tier in sources.catalogue().tiers
    ]
    return grid(("tier", "what serves"), rows)


BLOCKS: Final[dict[str, Block]] = {
    "table": table,
    "classifier": lambda sources: scores(sources.card()),
    "studies": studies,
    "sessions": sessions,
    "latency": latency,
    "speed": speed,
    "tasks": tasks,
    "levels": levels,
    "tiers": tiers,
}
