"""Write the session study as a page with a figure.  Figures need the ``plots`` extra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.judge.measures import Interval
from benchmarks.judge.report import DPI, table
from benchmarks.sessions.study import Saving, SessionStanding, SessionStudy
from router.values import DIALS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE: Final = "sessions.md"
FIGURE: Final = "sessions.png"
DATA: Final = "sessions.json"

STYLES: Final[dict[str, dict[str, Any]]] = {
    "ours": {"color": "#D55E00", "lw": 2.4, "marker": "o", "zorder": 6},
    "ours, blind to failures": {"color": "#E69F00", "lw": 1.8, "marker": "o", "zorder": 5},
    "never switch": {"color": "#222222", "ls": (0, (2, 2)), "marker": "s"},
    "every turn alone": {"color": "#0072B2", "ls": "-", "marker": "^"},
    "sticky, 30 minutes": {"color": "#888888", "ls": (0, (1, 2)), "marker": "v"},
    "unless fresh cost × 1 is lower": {"color": "#009E73", "marker": "D"},
    "unless fresh cost × 3 is lower": {"color": "#009E73", "ls": (0, (4, 2)), "marker": "d"},
    "switch spending ≤ 5%": {"color": "#CC79A7", "marker": "P"},
    "switch spending ≤ 50%": {"color": "#CC79A7", "ls": (0, (4, 2)), "marker": "p"},
    "two steps a session": {"color": "#56B4E9", "marker": "X"},
    "two steps an ask": {"color": "#56B4E9", "ls": (0, (4, 2)), "marker": "x"},
}


def write_page(study: SessionStudy, folder: Path) -> Path:
    """Write the page, its figure and its data into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATA).write_text(study.to_json() + "\n", "utf-8")
    draw(study, folder / FIGURE)
    page = folder / PAGE
    page.write_text(markdown(study, figure=f"![dollars and quality]({FIGURE})\n\n"), "utf-8")
    return page


def markdown(study: SessionStudy, figure: str = "") -> str:
    """Write the study as Markdown."""
    return (
        f"## sessions\n\n{study.n_sessions} simulated sessions of each mix over {study.n_items} "
        f"recorded tasks, splits {study.seeds[0]} to {study.seeds[-1]}, on items that no constant of "
        f"sessions was chosen on; models: {', '.join(study.models)}. Of runs that fail "
        f"{study.seen:.0%} are seen to have failed, by a failing test or their user; plans count on "
        f"{study.planned_for:.0%}. What is measured and what assumed: `benchmarks/sessions/world.toml`."
        "\n\n"
        f"{figure}### What ours saves at equal quality\n\n{savings_tables(study.savings)}"
        "Saved is the share of the dollars that a rival, mixing its settings of the dial as it likes, "
        "pays for the quality that ours has at this stop; where it does not reach that quality, for "
        "the best that it reaches, which stands behind. Intervals are 95% bootstraps over "
        "sessions.\n\n"
        f"### At the named stops\n\n{standings_table(study.standings)}\n"
        "A turn is a model call; unsafe switches leave signed reasoning of an unfinished ask to "
        "another family.\n"
    )


def savings_tables(savings: Sequence[Saving]) -> str:
    """Write a table per contest; one row per mix and stop: against each rival, and the best of them."""
    contests = dict.fromkeys(s.contest for s in savings)
    return "".join(
        f"#### {contest[0].upper()}{contest[1:]}\n\n"
        f"{_savings_table([s for s in savings if s.contest == contest])}\n"
        for contest in contests
    )


def _savings_table(savings: Sequence[Saving]) -> str:
    rivals = list(dict.fromkeys(s.rival for s in savings))
    rows = []
    for mix, dial in dict.fromkeys((s.mix, s.dial) for s in savings):
        of = {s.rival: s for s in savings if (s.mix, s.dial) == (mix, dial)}
        rows.append([mix, dial, *(_share(of[rival]) for rival in rivals)])
    return table(["mix", "stop", *rivals], rows)


def standings_table(standings: Sequence[SessionStanding]) -> str:
    """One row per mix, policy and named stop."""
    rows = [
        [
            s.mix, s.policy, s.dial, _wide(s.usd), _wide(s.quality), f"{s.turns:.0f}",
            f"{s.switches:.2f}", str(s.unsafe), f"{s.cached:.0%}",
            f"{s.context_at_switch / 1000:.0f}k" if s.context_at_switch else "–",
        ]
        for s in standings
        if s.dial in DIALS
    ]  # fmt: skip
    head = [
        "mix", "policy", "stop", "$ a session", "solved", "turns", "switches / 100 turns", "unsafe",
        "input cached", "context at a switch",
    ]  # fmt: skip
    return table(head, rows)


def _share(saving: Saving) -> str:
    by = saving.by
    share = f"{by.value:+.0%} [{by.low:+.0%}, {by.high:+.0%}]"
    return share if saving.reached else f"{share}, reaches {saving.quality:.3f}"


def _wide(value: Interval) -> str:
    return f"{value.value:.3g} [{value.low:.3g}, {value.high:.3g}]"


def draw(study: SessionStudy, path: Path) -> None:
    """Draw dollars against quality, one panel a mix."""
    import matplotlib.pyplot as plt

    mixes = list(dict.fromkeys(s.mix for s in study.standings))
    columns = 2
    rows = -(-len(mixes) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(11, 4.2 * rows), squeeze=False)
    for mix, axis in zip(mixes, axes.flat, strict=False):
        _panel(axis, mix, [s for s in study.standings if s.mix == mix])
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _panel(axis: Axes, mix: str, standings: Sequence[SessionStanding]) -> None:
    for policy, style in STYLES.items():
        points = sorted((s.usd.value, s.quality.value) for s in standings if s.policy == policy)
        usd, quality = zip(*points, strict=True)
        axis.plot(usd, quality, label=policy, markersize=5, **style)
    axis.set_title(mix)
    axis.set_xlabel("dollars per session")
    axis.set_ylabel("tasks solved")
    axis.grid(alpha=0.3)
