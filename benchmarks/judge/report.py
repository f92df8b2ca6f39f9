"""Write an evaluation as a Markdown page with figures.  Figures need the ``plots`` extra.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), told apart by the colour
blind; every policy also has a marker or a dash of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.judge.evaluate import SHUFFLED
from benchmarks.judge.findings import Evaluation, PolicyStanding
from benchmarks.judge.measures import Curve, Floats, Interval, Ints, hull
from benchmarks.judge.readers import OURS, REFITTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI: Final = 150
N_RELIABILITY_BINS: Final = 10

STYLES: Final[dict[str, dict[str, Any]]] = {
    OURS: {"color": "#D55E00", "lw": 2.4, "zorder": 6},
    REFITTED: {"color": "#0072B2", "lw": 2.4, "zorder": 6},
    "kNN": {"color": "#009E73", "lw": 1.6, "ls": "-"},
    "true family": {"color": "#CC79A7", "lw": 1.6, "ls": (0, (5, 2))},
    "told type and level": {"color": "#CC79A7", "lw": 1.6, "ls": (0, (3, 1, 1, 1))},
    "prompt length": {"color": "#E69F00", "lw": 1.4, "ls": (0, (4, 2))},
    "complexity rules": {"color": "#56B4E9", "lw": 1.4, "ls": (0, (1, 1))},
    "hull of single models": {"color": "#222222", "lw": 1.4, "ls": (0, (2, 2))},
    "random": {"color": "#888888", "lw": 1.2, "ls": (0, (1, 2))},
}
"""The policies a frontier shows as lines; the oracle is named in the table, not drawn."""

HEADINGS: Final[dict[str, str]] = {
    "apgr": "APGR", "cpt50": "CPT(50)", "cpt80": "CPT(80)", "aiq": "AIQ",
    "saved": "saved at 95%", "quality": "quality*", "cost_share": "cost share*",
    "over_hull": "over hull*", "arena": "arena*",
}  # fmt: skip


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``<name>.md``, its figures and ``<name>.json`` into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    slug = "-".join(evaluation.name.replace(",", "").split())
    (folder / f"{slug}.json").write_text(evaluation.to_json() + "\n", encoding="utf-8")
    figure = ""
    if evaluation.standings:
        draw_frontier(evaluation, folder / f"{slug}-frontier.png")
        figure = f"![cost and quality of every policy]({slug}-frontier.png)\n\n"
    page = folder / f"{slug}.md"
    page.write_text(markdown(evaluation, figure), encoding="utf-8")
    return page


def markdown(evaluation: Evaluation, figure: str = "") -> str:
    """Write an evaluation as Markdown."""
    parts = [f"## {evaluation.name}\n\n{_data_line(evaluation)}\n\n{figure}"]
    if evaluation.standings:
        parts.append(_standings_table(evaluation.standings) + _FOOTNOTE)
    if evaluation.differences:
        parts.append(_differences_table(evaluation))
    if evaluation.notes:
        parts.append("\n".join(f"- {note}" for note in evaluation.notes) + "\n")
    return "\n".join(parts)


_FOOTNOTE: Final = (
    "\nIntervals are 95% bootstraps over groups of items. AIQ and saved are read off the curve of "
    "a policy with a dial, which may mix with the cheapest model; saved 0 means that the best "
    "model must serve. * At the setting chosen on validation to keep 95% of the best model's "
    "quality (a constant or a named dial stop has one setting); shares are of the best single "
    "model of the whole pool; over hull is quality above a mix of single models of the same cost.\n"
)


def _data_line(evaluation: Evaluation) -> str:
    unit = "dollars as recorded" if evaluation.cost_unit == "usd" else "share of strong calls"
    models = ", ".join(evaluation.models)
    return (
        f"{evaluation.n_items} items in {evaluation.n_groups} groups, {len(evaluation.models)} "
        f"models ({models}), {len(evaluation.seeds)} splits; cost is {unit}."
    )


def _standings_table(standings: Sequence[PolicyStanding]) -> str:
    names = [m for m in HEADINGS if any(m in s.measures for s in standings)]
    rows = [[s.policy, *(_cell(s.measures.get(m)) for m in names)] for s in standings]
    return table(["policy", *(HEADINGS[m] for m in names)], rows)


def _differences_table(evaluation: Evaluation) -> str:
    """Show differences in the measure the pool is judged by, and those of the dial stops."""
    found = {d.measure for d in evaluation.differences}
    shown = ("apgr" if "apgr" in found else "aiq", "quality", "cost_share")
    rows = [
        [d.policy, d.against, HEADINGS[d.measure].rstrip("*"),
         f"{d.by.value:+.3f} [{d.by.low:+.3f}, {d.by.high:+.3f}]",
         "yes" if d.by.excludes_zero else "no"]
        for d in evaluation.differences if d.measure in shown and np.isfinite(d.by.value)
    ]  # fmt: skip
    return table(["policy", "against", "measure", "difference, paired", "told apart"], rows)


def _cell(found: Interval | None) -> str:
    if found is None:
        return ""
    if not np.isfinite(found.value):
        return "–"
    if found.low == found.high or not np.isfinite(found.low):
        return f"{found.value + 0.0:.3f}"
    return f"{found.value + 0.0:.3f} [{found.low:.3f}, {found.high:.3f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# --- figures -----------------------------------------------------------------------------------


def draw_frontier(evaluation: Evaluation, path: Path) -> None:
    """Draw the hull of every policy's curve, the single models and our dial stops."""
    figure, axes = _canvas(7.6, 4.8)
    by_name = {s.policy: s for s in evaluation.standings}
    for name, style in STYLES.items():
        if name in by_name:
            edge = _edge(by_name[name])
            axes.plot(edge.cost, edge.quality, label=name, **style)
    shuffles = [n for n in by_name if n.startswith(SHUFFLED) and n.endswith(f"({REFITTED})")]
    for name in shuffles:
        edge = _edge(by_name[name])
        axes.plot(edge.cost, edge.quality, label=SHUFFLED, color="#0072B2", lw=1, ls=":", zorder=3)
    _draw_models(axes, evaluation, by_name)
    _draw_stops(axes, by_name)
    axes.margins(x=0.12)
    dollars = evaluation.cost_unit == "usd"
    axes.set_xlabel("mean cost per item, US dollars" if dollars else "share of strong calls")
    axes.set_ylabel("mean quality")
    axes.set_title(evaluation.name, loc="left", fontweight="bold")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    _save(figure, path)


def _edge(standing: PolicyStanding) -> Curve:
    cost, quality = np.array(standing.curve).T
    return hull(Curve(cost, quality))


def _draw_models(axes: Axes, evaluation: Evaluation, by_name: Mapping[str, PolicyStanding]) -> None:
    single = by_name.get("hull of single models")
    if single is None:
        return
    cost, quality = np.array(single.curve).T
    axes.scatter(cost, quality, s=16, color="#222222", zorder=5)
    edge = set(_edge(single).cost.tolist())
    for name, x, y in zip(evaluation.models, cost, quality, strict=True):
        if float(x) in edge:
            axes.annotate(
                name.rsplit("/", maxsplit=1)[-1], (x, y), (4, -9), textcoords="offset points",
                fontsize=7, color="#444444",
            )  # fmt: skip


def _draw_stops(axes: Axes, by_name: Mapping[str, PolicyStanding]) -> None:
    """Mark the named stops of the dial with their intervals of quality."""
    markers = {"quality": "^", "balanced": "o", "economy": "s"}
    for reading in (OURS, REFITTED):
        for stop, marker in markers.items():
            standing = by_name.get(f"{reading}: {stop}")
            if standing is None:
                continue
            (x, y), spread = standing.curve[0], standing.measures["quality"]
            below, above = max(0.0, y - spread.low), max(0.0, spread.high - y)
            axes.errorbar(
                x, y, yerr=[[below], [above]], fmt=marker, ms=6, mec="white", capsize=2, lw=1,
                color=STYLES[reading]["color"], zorder=7, alpha=0.9,
                label=f"dial: {stop}" if reading == OURS else None,
            )  # fmt: skip


def draw_reliability(y_true: Ints, probabilities: Floats, path: Path, *, title: str = "") -> float:
    """Draw how often the most probable class is right against how sure it was.

    ``y_true`` (n,) class indices, ``probabilities`` (n, classes).  Returns the expected
    calibration error over ten bins of equal width.
    """
    sure = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == y_true).astype(np.float64)
    bins = np.minimum((sure * N_RELIABILITY_BINS).astype(int), N_RELIABILITY_BINS - 1)
    counts = np.bincount(bins, minlength=N_RELIABILITY_BINS)
    used = np.flatnonzero(counts)
    mean_sure = np.bincount(bins, sure, N_RELIABILITY_BINS)[used] / counts[used]
    mean_right = np.bincount(bins, right, N_RELIABILITY_BINS)[used] / counts[used]
    error = float((counts[used] * np.abs(mean_sure - mean_right)).sum() / len(y_true))
    half = 1.96 * np.sqrt(mean_right * (1 - mean_right) / counts[used])
    figure, axes = _canvas(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color="#888888", lw=1, ls=(0, (2, 2)), label="perfectly calibrated")
    axes.errorbar(
        mean_sure, mean_right, yerr=half, fmt="o-", color="#0072B2", ms=5, lw=1.6, capsize=2,
        label="observed, 95%",
    )  # fmt: skip
    for x, y, n in zip(mean_sure, mean_right, counts[used], strict=True):
        axes.annotate(
            f"{n}", (x, y), (5, -11), textcoords="offset points", fontsize=7, color="#555555"
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.set_xlabel("stated probability of the top class")
    axes.set_ylabel("share right")
    axes.set_title(f"{title or 'Reliability'} (error {error:.3f})", loc="left", fontweight="bold")
    axes.legend(loc="lower right", frameon=False, fontsize=8.5)
    _save(figure, path)
    return error


def draw_confusion(
    y_true: Ints, probabilities: Floats, classes: Sequence[str], path: Path, *, title: str = ""
) -> None:
    """Draw which class is taken for which: rows are true, each row sums to one."""
    n = len(classes)
    counts = np.zeros((n, n))
    np.add.at(counts, (y_true, probabilities.argmax(axis=1)), 1)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    size = max(4.5, 0.36 * n + 2.6)
    figure, axes = _canvas(size + 0.6, size)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [c.rsplit("/", maxsplit=1)[-1].replace("_", " ") for c in classes]
    axes.set_xticks(range(n), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(
        range(n), [f"{a} ({int(k)})" for a, k in zip(names, totals, strict=True)], fontsize=8
    )
    for i, j in zip(*np.nonzero(shares >= 0.02), strict=True):
        dark = shares[i, j] > 0.55
        axes.text(
            j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=6.5,
            color="white" if dark else "#333333",
        )  # fmt: skip
    axes.grid(visible=False)
    axes.set_xlabel("read as")
    axes.set_ylabel("true class (items)")
    axes.set_title(title or "Confusion, % of each true class", loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    _save(figure, path)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Open a figure of one panel."""
    figure, (axes,) = panels_of(width, height)
    return figure, axes


def panels_of(
    width: float, height: float, lines: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Open a figure without pyplot, so that no display or global state is involved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(lines, columns, k + 1) for k in range(lines * columns)]
    for axes in panels:
        axes.grid(color="#E6E6E6", lw=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
