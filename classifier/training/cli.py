"""``auto-efficient train``: from labelled rows to artefact and card, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from classifier.training.dataset import (
    LabelledRow,
    joined_by_text,
    read_corpus,
    read_jsonl,
)
from classifier.training.rows import BadData, refuse_twice
from classifier.training.train import rescore, train


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[str, float], None]]:
    """Show one bar; yields a function of what is being done and the share done, 0 to 1."""
    columns = (
        TextColumn("{task.description:42}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def gather_rows(
    files: Sequence[Path], public: Sequence[LabelledRow], without: Sequence[str] = ()
) -> tuple[list[LabelledRow], list[str]]:
    """Return the user's own rows, or the written corpus and the public rows, and what to say of them.

    Rows of the sources ``without`` are left out.  Raises BadData, also for a source that is not there.
    """
    refuse_twice(files, "--data")
    rows = [row for path in files for row in read_jsonl(path)] or [*read_corpus(), *public]
    notes = []
    if files:
        names = ", ".join(str(path) for path in files)
        notes.append(
            f"training on the {len(rows):,} rows of {names} alone, without the shipped corpus"
        )
    sources = sorted({row.source for row in rows})
    if strange := sorted(set(without) - set(sources)):
        problem = f"no source is called {', '.join(strange)}; there are {', '.join(sources)}"
        raise BadData(f"--without: {problem}")
    kept, said = joined_by_text([row for row in rows if row.source not in without])
    return kept, [*notes, *said]


def train_and_report(
    rows: list[LabelledRow], out: Path, console: Console, quick: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Train with a progress bar, then print the scores; returns the card."""
    with progress_bar(console) as step:
        card = train(rows, out, quick=quick, step=step)
        step("done", 1.0)
    console.print(scores_grid(card))
    written = f"wrote classifier.onnx, vocabulary.npz and classifier.json to {out}"
    console.print(written, markup=False, highlight=False, soft_wrap=True)
    return card


def rescore_and_report(folder: Path, console: Console) -> dict[str, Any]:
    """Measure an artefact on the held-out writers again and print the scores; returns the card."""
    card = rescore(read_corpus(), folder)
    console.print(scores_grid(card))
    return card


def scores_grid(card: dict[str, Any]) -> Grid:
    """Lay the card's scores out as a table."""
    grid = Grid(header_style="dim", box=None)
    names = ("rows", "family_f1", "type_f1", "family_ece", "level_spearman", "level_ece")
    for name in ("measured on", *names):
        grid.add_column(
            name.replace("_", " "), justify="left" if name == "measured on" else "right"
        )
    for name, scores in card["scores"].items():
        cells = [scores[n] for n in names]
        grid.add_row(
            name.replace("_", " "),
            *(
                "–" if v is None else f"{v:,.3f}" if isinstance(v, float) else f"{v:,}"
                for v in cells
            ),
        )
    return grid
