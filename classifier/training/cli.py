"""``auto-efficient train``: from labelled rows to artefact and card, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from classifier.training.dataset import LabelledRow, read_corpus, read_jsonl
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


def gather_rows(files: list[Path], public: list[LabelledRow]) -> list[LabelledRow]:
    """Return the user's own rows, or the written corpus and the public rows."""
    if files:
        return [row for path in files for row in read_jsonl(path)]
    return [*read_corpus(), *public]


def train_and_report(
    rows: list[LabelledRow], out: Path, console: Console, temperatures: tuple[float, float] | None
) -> dict[str, Any]:
    """Train with a progress bar, then print the scores; returns the card."""
    with progress_bar(console) as step:
        card = train(rows, out, temperatures=temperatures, step=step)
        step("done", 1.0)
    console.print(scores_grid(card))
    console.print(f"wrote classifier.onnx, vocabulary.npz and classifier.json to {out}")
    return card


def rescore_and_report(folder: Path, console: Console) -> None:
    """Measure an artefact on the held-out writers again and print the scores."""
    console.print(scores_grid(rescore(read_corpus(), folder)))


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
