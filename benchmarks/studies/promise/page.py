"""The study of the promise as a page with a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.judge.measures import Interval
from benchmarks.judge.report import DPI, panels_of, table
from benchmarks.studies.promise.findings import Hardest, Kept, OnPool, Part, PromiseStudy
from benchmarks.studies.promise.outcomes import GAPS, SHUFFLE
from benchmarks.studies.promise.routes import NEW, OLD, PLANNED, RIVALS, planned

INTRODUCTION: Final = f"""Gap: quality of the best single model, known from training and validation, less that of who served, on test items. Cost: share of that
model's on the same items. Tables and dials are fitted on 40% of the items, 20% validate, 40% test, look-alikes together; intervals are 95% bootstraps of
groups, joint over splits and rules. The splits share their items, so "broken in one of ten" is one noisy number and not ten.

Two steps: a failure is seen with the probability that is named, and a success taken for one in 5 of 100; then the second is run and paid in full, and
its recorded outcome counts. That a second run goes as a fresh one would, and that failures are seen alike on all tasks, is assumed. Every rule may also
take the best single model. The oracle looks the outcomes up and is nobody's rival.

The old rule is swept over its margin at 80%; the new one over its price of worth within several margins of the guard, plans of two steps likewise. A
dial stop in two steps keeps the price of one step, with {PLANNED:g} of the failures seen.
"""


def page(found: PromiseStudy, figure: str = "") -> str:
    """Lay it out as Markdown."""
    met = [[floor.asked, floor.found, "yes" if floor.met else "**no**"] for floor in found.floors]
    parts = [
        "## promise\n",
        INTRODUCTION,
        figure,
        "### What is demanded\n",
        table(["floor", "found", "met"], met),
        *(_on_pool(pool) for pool in found.pools),
    ]
    return "\n".join(part for part in parts if part)


def _on_pool(pool: OnPool) -> str:
    unit = "dollars as recorded" if pool.cost_unit == "usd" else "calls to the stronger model"
    head = (
        f"### {pool.name}\n\n{pool.n_items:,} items in {pool.n_groups:,} groups, {pool.n_models} models, "
        f"{len(pool.seeds)} splits; cost is {unit}.\n"
    )
    gaps = [f"{gap:g}" for gap in GAPS]
    rules = list(dict.fromkeys(r.rule for r in pool.rules))
    by = {(r.rule, r.gap): r for r in pool.rules}
    least = [[rule, *(_share(by[rule, gap].cost) for gap in GAPS)] for rule in rules]
    before = [
        [rule, *(_pair(by[rule, gap].chosen_gap, by[rule, gap].chosen_cost) for gap in GAPS)]
        for rule in rules
    ]
    pairs = list(dict.fromkeys((d.rule, d.against) for d in pool.differences))
    apart = {(d.rule, d.against, d.gap): d.by for d in pool.differences}
    differences = [
        [f"{rule} less {against}", *(_signed(apart[rule, against, gap]) for gap in GAPS)]
        for rule, against in pairs
    ]
    parts = [
        head,
        "Chosen beforehand (the cheapest setting within the gap on validation): realised gap, cost.\n",
        table(["rule, validated to a gap of", *gaps], before),
        "In hindsight, settings of every rule mixed to the same realised gap: cost.\n",
        table(["rule, at a gap of", *gaps], least),
        table(["cost in hindsight, paired", *gaps], differences),
        "Stops as the training part sets the dial.\n",
        _stops(pool.stops, len(pool.seeds)),
        _parts(pool.stops),
        _hardest(pool.hardest),
        "".join(f"- {note}\n" for note in pool.notes),
    ]
    return "\n".join(part for part in parts if part)


def _stops(stops: Sequence[Kept], n: int) -> str:
    rows = [
        [f"{s.stop}, {s.margin:g}", _gap(s.gap), _share(s.cost), f"{s.broken} of {n}",
         _pair(s.old_gap, s.old_cost), f"{s.old_broken} of {n}",
         _pair(s.planned_gap, s.planned_cost), f"{s.price:.3g}",
         f"{s.expected_gap:.3f}", f"{s.left_out_expected:.3f} for {s.left_out:.3f}"]
        for s in stops
    ]  # fmt: skip
    return table(
        ["stop", "gap", "cost", "broken", "old rule: gap, cost", "broken", "two steps: gap, cost", "price",
         "expected gap", "left out: expected for realised"],
        rows,
    )  # fmt: skip


def _parts(stops: Sequence[Kept]) -> str:
    names = list(dict.fromkeys((p.what, p.items) for s in stops for p in (*s.levels, *s.kinds)))
    if not names:
        return ""
    found = {(s.stop, p.what): p for s in stops for p in (*s.levels, *s.kinds)}
    rows = [
        [what, f"{items}", *(_part(found[s.stop, what]) for s in stops)] for what, items in names
    ]
    heads = [f"{s.stop}, at most {2 * s.margin:g}" for s in stops]
    note = "Gap by level as people or the benchmark say it, and by type; in brackets splits above, of those with 30 items.\n"
    return f"{note}\n{table(['items', 'n', *heads], rows)}"


def _part(part: Part) -> str:
    text = f"{_gap(part.gap)} ({part.over} of {part.splits})"
    return f"**{text}**" if part.gap.value > part.most else text


def _hardest(found: Sequence[Hardest]) -> str:
    if not found:
        return ""
    rows = [
        [f"{h.at:g}", "any" if h.guard is None else f"{h.guard:g}", f"{h.cost:.3f}", _gap(h.gap),
         f"{h.upper:.3f}", _named(h.picks)]
        for h in found
    ]  # fmt: skip
    first = found[0]
    note = (
        f"Level 4 where the new rule comes to a gap over all items, and who serves the {first.items} items of "
        f"{first.benchmark}. The best single model there: {_named(first.single)}.\n"
    )
    header = ["at a gap of", "guard", "cost", "gap at level 4", "upper 80%", "picks"]
    return f"{note}\n{table(header, rows)}"


def _named(shares: Any) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


def _gap(found: Interval) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _signed(found: Interval) -> str:
    return _gap(found)


def _share(found: Interval) -> str:
    if not found.value < float("inf"):
        return "–"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _pair(gap: Interval, cost: Interval) -> str:
    return f"{gap.value:+.3f}, {cost.value:.3f}"


STYLES: Final[dict[str, dict[str, Any]]] = {
    NEW: {"color": "#D55E00", "lw": 2.4, "zorder": 6},
    planned(PLANNED): {"color": "#0072B2", "lw": 2.2, "zorder": 5},
    planned(0.3): {"color": "#0072B2", "lw": 1.0, "ls": (0, (4, 2))},
    planned(0.7): {"color": "#0072B2", "lw": 1.0, "ls": (0, (1, 1))},
    OLD: {"color": "#CC79A7", "lw": 1.8},
    SHUFFLE: {"color": "#D55E00", "lw": 1.0, "ls": ":"},
    RIVALS[0]: {"color": "#222222", "lw": 1.4, "ls": (0, (2, 2))},
    "prompt length": {"color": "#E69F00", "lw": 1.2, "ls": (0, (4, 2))},
    "kNN": {"color": "#009E73", "lw": 1.4},
}
"""The rules that are drawn; the oracle is in the tables."""

SHOWN_GAP: Final = 0.12


def write_page(found: PromiseStudy, folder: Path) -> Path:
    """Write ``promise.md``, its figure and ``promise.json`` into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "promise.json").write_text(found.to_json() + "\n", "utf-8")
    draw(found, folder / "promise.png")
    path = folder / "promise.md"
    figure = "![cost share against gap by pool](promise.png)\n"
    path.write_text(page(found, figure), "utf-8")
    return path


def draw(found: PromiseStudy, path: Path) -> None:
    """Draw the frontiers of every pool and the stops of the dial as they are set."""
    columns = min(3, len(found.pools))
    lines = -(-len(found.pools) // columns)
    figure, panels = panels_of(3.6 * columns + 0.4, 3.1 * lines + 0.7, lines, columns)
    for panel, pool in zip(panels, found.pools, strict=False):
        for name, style in STYLES.items():
            gap, cost = zip(*pool.frontiers[name], strict=True)
            panel.plot(gap, cost, label=name, **style)
        for stop, marker in zip(pool.stops, "^os", strict=True):
            panel.plot(stop.gap.value, stop.cost.value, marker, color="#D55E00", mec="white", ms=7, zorder=7,
                       label=f"dial: {stop.stop}")  # fmt: skip
        panel.set(
            xlim=(-0.04, SHOWN_GAP), ylim=(0, 1.05), title=f"{pool.name}, {pool.n_models} models"
        )
        panel.set_xlabel("gap to the best single model")
        panel.set_ylabel("share of its cost")
    for panel in panels[len(found.pools) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=DPI)
