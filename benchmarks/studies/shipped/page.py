"""The page of the study ``table``, and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.judge.measures import Interval
from benchmarks.judge.report import DPI, table
from benchmarks.studies.shipped.before import COMMIT
from benchmarks.studies.shipped.cells import Pick
from benchmarks.studies.shipped.mixes import OnMix
from benchmarks.studies.shipped.sources import SourceGap
from benchmarks.studies.shipped.thinned import ROUNDS
from classifier.tasks import LEVELS, TYPES
from router.values import DEFAULT_DIAL, DIALS

if TYPE_CHECKING:
    from benchmarks.studies.table import TableStudy

COLOURS: Final = {"quality": "#0072B2", "balanced": "#D55E00", "economy": "#009E73"}
"""Okabe and Ito's, told apart by the colour blind; each stop has a marker of its own too."""

MARKERS: Final = {"quality": "o", "balanced": "s", "economy": "^"}

SOURCES_FIGURE: Final = "table-sources.png"
MIXES_FIGURE: Final = "table-mixes.png"

N_PASSED: Final = 15


def write_report(found: TableStudy, folder: Path) -> Path:
    """Write ``table.md``, ``table.json`` and the figures into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(found.to_json() + "\n", "utf-8")
    draw_sources(found.sources, folder / SOURCES_FIGURE)
    draw_mixes(found, folder / MIXES_FIGURE)
    page = folder / "table.md"
    page.write_text(markdown(found, figures=True), "utf-8")
    return page


def markdown(found: TableStudy, *, figures: bool = False) -> str:
    """Lay it out."""
    drawn = [f"![{what}]({name})\n\n" if figures else "" for what, name in _FIGURES]
    parts = [
        f"## What ships\n\nTable `{found.version}`, {found.outcomes:,} outcomes. Before: the table and the rule of "
        f"commit {COMMIT}.",
        f"### A benchmark left out\n\n{_SOURCES}\n\n{_stops(found)}\n\n{drawn[0]}{_sources(found)}",
        f"### A type of task left out\n\n{_HIDDEN}\n\n{_hidden(found)}",
        f"### A model of which little is known\n\n{_THINNED}\n\n{_thinned(found)}",
        f"### Over mixes of asks\n\n{_MIXES}\n\n{drawn[1]}{_mixes(found)}\n\n{_top(found)}",
        f"### Sense and nonsense in cells\n\n{_CELLS}\n\n{_senses(found)}\n\n{_passed(found)}",
        f"### Efforts out of order\n\n{_EFFORTS}\n\n{_efforts(found)}",
        f"### What is picked\n\n{_PICKS}\n\n{_picks(found)}",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


_FIGURES: Final = (
    ("what a stop gave up on benchmarks left out", SOURCES_FIGURE),
    ("dollars and success over mixes, before and after", MIXES_FIGURE),
)

_SOURCES: Final = (
    "Quality and costs are fitted without the benchmark, the dial is set on the mix and on the other benchmarks' "
    "outcomes, and the rule decides for its items among the units that ran it, by the classifier's reading of their "
    "texts (which it may have trained on) or, without a text, of an ask of the same type and level. The gap is to the "
    "best single unit as known without the benchmark, in brackets its 95% interval (look-alikes together)."
)
_HIDDEN: Final = (
    "90% intervals of units on a type that nobody was measured on, against what they really did on ten items and "
    "more: of a cell, or of a cell in one benchmark. Beside: the difference to the mean of all units there. Near: "
    "called within the guard at `balanced`; wrongly: short of the best by more than it, as counted."
)
_THINNED: Final = (
    f"All but a few outcomes of a model are hidden, one of {ROUNDS} lots of models at a time, and everything is fitted again. "
    "Log loss and Brier score on the hidden outcomes (items' difficulties come from the others); cells: means of ten "
    "outcomes and more. Picked wrongly: `balanced` takes the unit in a cell where it is short of the best by more than "
    "twice the margin; unguarded: as if no guard minded how few items it has."
)
_MIXES: Final = (
    "Dollars an ask and chance of success as the new table expects of the labelled cell, for units that serve by "
    "default. Seen: how often an agent's failure shows, so that another takes over. Measured: thirty items and more of "
    "the unit in most of what the ask is read as; related: on other kinds of task; prior: fewer than ten items anywhere."
)
_CELLS: Final = (
    "Sure readings, nobody takes over. Of a level and the next: the harder task goes to a unit that costs less, or that "
    "is expected to do worse on it, than the one that serves the easier. Of two stops: the stricter takes a cheaper unit."
)
_EFFORTS: Final = "Over all cells. Dominated: the default effort is dearer and worse than `medium` or `high` of the same model in most."
_PICKS: Final = "Expected success and dollars of an ordinary task, by the table that picks."


def _stops(found: TableStudy) -> str:
    rows = [
        [s.dial, f"{s.margin:.2f}", f"{s.broken} of {s.sources}", str(s.refuted), _signed(s.gap),
         f"{s.expected:+.3f}", _signed(s.gap_hindsight), str(s.cost_share),
         f"{s.prices[0]:.3g} to {s.prices[1]:.3g}"]
        for s in found.stops
    ]  # fmt: skip
    header = ["stop", "margin", "broken", "surely", "gap, types alike", "expected", "to the best in hindsight",
              "cost share", "price of worth"]  # fmt: skip
    return table(header, rows)


def _sources(found: TableStudy) -> str:
    rows = [
        [s.source, s.agent, s.task, f"{s.items} ({s.read})", str(s.units), s.dial, s.picked, s.single, _signed(s.gap),
         f"{_signed(s.gap_hindsight)} {s.hindsight}", str(s.cost_share) if s.cost_share else "–",
         "surely" if s.refuted else "yes" if s.broken else ""]
        for s in found.sources
    ]  # fmt: skip
    header = ["benchmark", "agent", "type", "items (read)", "units", "stop", "mostly picked", "best single, known", "gap",
              "in hindsight", "cost share", "broken"]  # fmt: skip
    return table(header, rows)


def _hidden(found: TableStudy) -> str:
    rows = [
        [h.task, h.by, str(h.samples), _plain(h.covered, 2), _plain(h.covered_beside, 2), _plain(h.width, 2),
         _plain(h.error), _plain(h.error_beside), _plain(h.rank, 2), str(h.near), str(h.near_wrongly)]
        for h in found.hidden
    ]  # fmt: skip
    header = ["hidden", "by", "samples", "covered", "beside", "width", "error", "beside", "rank ρ", "near",
              "wrongly"]  # fmt: skip
    return table(header, rows)


def _thinned(found: TableStudy) -> str:
    rows = [
        [t.kept, "with" if t.priced else "without", str(t.models), f"{t.outcomes:,}", str(t.cells),
         _plain(t.log_loss), _plain(t.brier), _plain(t.covered, 2), _plain(t.width, 2), _plain(t.error),
         _plain(t.picked), _plain(t.wrong), _plain(t.wrong_unguarded)]
        for t in found.thinned
    ]  # fmt: skip
    header = ["kept", "prices", "models", "outcomes", "cells", "log loss", "Brier", "covered", "width", "error",
              "picked", "wrongly", "unguarded"]  # fmt: skip
    return table(header, rows)


def _mixes(found: TableStudy) -> str:
    rows = [
        [m.mix, m.table, m.dial, f"{m.seen:.1f}", f"{m.usd:.3f}", f"{m.quality:.3f}", f"{m.own_quality:.3f}",
         f"{m.measured:.1%}", f"{m.related:.1%}", f"{m.prior:.1%}"]
        for m in found.mixes
    ]  # fmt: skip
    rows += [
        [s.mix, "always", s.unit, "", f"{s.usd:.3f}", f"{s.quality:.3f}", "", "", "", ""]
        for s in found.singles
    ]
    header = ["mix", "table", "stop", "seen", "$ an ask", "success", "as it believed", "measured", "related",
              "prior"]  # fmt: skip
    return table(header, rows)


def _top(found: TableStudy) -> str:
    rows = [
        [m.mix, m.table, f"{m.seen:.1f}", ", ".join(f"{s.unit} {s.share:.1%}" for s in m.top)]
        for m in found.mixes
        if m.dial == DEFAULT_DIAL
    ]
    return table(["mix", "table", "seen", f"most picked at `{DEFAULT_DIAL}`"], rows)


def _senses(found: TableStudy) -> str:
    rows = [
        [s.table, str(s.picks), str(s.cheaper_when_harder), str(s.weaker_when_harder),
         str(s.cheaper_when_stricter), str(s.few_items), str(s.thin), _plain(s.thin_p_within, 2),
         str(s.outside), str(s.costs_fall), str(s.passed_over)]
        for s in found.senses
    ]  # fmt: skip
    header = ["table", "picks", "cheaper when harder", "weaker when harder", "cheaper when stricter",
              "of units with under 10 items", "with 10 to 29", "of these the least P(within the margin)",
              "outside the guard",
              "units and types whose cost falls with the level", "better and cheaper passed over"]  # fmt: skip
    return table(header, rows)


def _passed(found: TableStudy) -> str:
    if not found.passed:
        return "Nobody at least as good as a pick and cheaper is passed over."
    rows = [[p.unit, str(p.items), p.why, str(p.cells), p.example] for p in found.passed[:N_PASSED]]
    return table(["passed over", "items", "why", "cells", "the dearest case"], rows)


def _efforts(found: TableStudy) -> str:
    rows = [
        [e.unit, str(e.items), e.what, e.beside, str(e.items_beside), f"{e.cells:.0%}", f"{e.quality:+.3f}",
         f"{e.cost:.2f}"]
        for e in found.efforts
    ]  # fmt: skip
    header = ["unit", "items", "is", "beside", "items", "of cells", "quality", "cost, times"]
    return table(header, rows) if rows else "None."


def _picks(found: TableStudy) -> str:
    """Lay out every cell: what each stop picks, and what the default one picked before."""
    of: dict[tuple[str, str, int, str], Pick] = {
        (name, pick.task, pick.level, pick.dial): pick
        for name, picks in found.picks.items()
        for pick in picks
    }
    rows = []
    for task in TYPES:
        for level, span in enumerate(LEVELS, start=1):
            now = [of.get(("after", task, level, dial)) for dial in DIALS]
            was = of.get(("before", task, level, DEFAULT_DIAL))
            rows.append([task, span, *(map(_pick, (*now, was)))])
    header = ["task", "difficulty", *DIALS, f"{DEFAULT_DIAL}, before"]
    return table(header, rows)


def _pick(pick: Pick | None) -> str:
    if pick is None:
        return "–"
    return f"{pick.unit} {pick.quality:.2f} ${pick.cost_usd:.2g}"


def _signed(found: Interval) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _plain(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def draw_sources(sources: Sequence[SourceGap], path: Path) -> None:
    """Draw the gap of every benchmark left out, with interval and margin, a panel a stop."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(f"{s.source}, {s.agent}" for s in sources))
    figure = Figure(figsize=(11, 0.34 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots(1, len(DIALS), sharey=True)
    for axis, (dial, stop) in zip(axes, DIALS.items(), strict=True):
        mine = [s for s in sources if s.dial == dial]
        rows = [names.index(f"{s.source}, {s.agent}") for s in mine]
        for row, s in zip(rows, mine, strict=True):
            axis.plot([s.gap.low, s.gap.high], [row, row], color=COLOURS[dial], lw=1.2)
        values = [s.gap.value for s in mine]
        axis.plot(values, rows, MARKERS[dial], color=COLOURS[dial], ms=5)
        axis.axvline(0, color="#888888", lw=0.8)
        axis.axvline(stop.margin, color="#222222", lw=1, ls=(0, (3, 2)))
        axis.set_title(f"{dial}: margin {stop.margin:.2f}", fontsize=10)
        axis.set_xlabel("given up against the best single unit", fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=DPI)


def draw_mixes(found: TableStudy, path: Path) -> None:
    """Draw dollars and success of every stop, before and after, beside the best single unit."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(m.mix for m in found.mixes))
    figure = Figure(figsize=(5.2 * len(names), 3.8), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        mine = [m for m in found.mixes if m.mix == name]
        for label, hollow, style in _LINES:
            line = [m for m in mine if _label(m) == label]
            axis.plot(
                [m.usd for m in line], [m.quality for m in line], color="#888888", lw=1, ls=style
            )
            for m in line:
                colour = COLOURS[m.dial]
                axis.plot(m.usd, m.quality, MARKERS[m.dial], color=colour, ms=7,
                          mfc="white" if hollow else colour, label=f"{m.dial}, {label}")  # fmt: skip
        for single in found.singles:
            if single.mix == name:
                axis.plot(
                    single.usd, single.quality, "*", color="#222222", ms=11, label=single.unit
                )
        axis.set_xscale("log")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("dollars an ask", fontsize=9)
        axis.set_ylabel("expected success", fontsize=9)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=DPI)


_LINES: Final = (("before", True, (0, (3, 2))), ("after", False, "-"))


def _label(found: OnMix) -> str:
    return found.table if not found.seen else "with plans"
