"""How well the shipped classifier reads people it never saw: scores, reliability, confusion.

The held-out writers are in the repository, so this needs nothing else:
``auto-efficient evaluate reading --report DIR``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.judge.evaluate import Progress
from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.readers import Assesses
from benchmarks.output import json_text
from benchmarks.studies.study import Options, Study
from classifier.ask import clip
from classifier.tasks import FAMILIES, LEVELS, TYPES
from classifier.training.dataset import HELD_OUT_WRITERS, LabelledRow, agreed, read_corpus
from classifier.training.evaluate import (
    FAMILY_OF_TYPE,
    Scores,
    f1_of_types,
    families,
    score,
    type_picks,
)
from classifier.training.fit import tokenised
from classifier.turns import Conversation


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for n asks with their labels: ``task`` (n,), ``level`` (n, 4) one-hot."""

    rows: list[LabelledRow]
    task: Ints
    level: Floats
    p_type: Floats
    p_level: Floats

    @property
    def scores(self) -> Scores:
        """All measures."""
        return score(self.p_type, self.task, self.p_level, self.level)

    def to_json(self) -> str:
        """Write the scores, and the F1 of every type, as indented JSON."""
        f1 = f1_of_types(self.task, type_picks(self.p_type))
        return json_text({**asdict(self.scores), "f1": f1}, indent=2)


def read_held_out(classifier: Assesses) -> Predictions:
    """Let a classifier read every held-out writer's asks, each in its conversation."""
    names = {f"corpus/{writer}" for writer in HELD_OUT_WRITERS}
    data = tokenised([row for row in agreed(read_corpus()) if row.source in names])
    read = [
        classifier.assess(Conversation(ask=clip(row.text), before=row.before)) for row in data.rows
    ]
    return Predictions(
        rows=data.rows,
        task=data.task,
        level=data.level,
        p_type=np.array([r.p_type for r in read], dtype=float),
        p_level=np.array([r.p_level for r in read], dtype=float),
    )


def write_page(predictions: Predictions, folder: Path) -> Path:
    """Write ``reading.md`` and its figures into a folder; returns the page."""
    from benchmarks.judge.report import draw_confusion, draw_reliability

    folder.mkdir(parents=True, exist_ok=True)
    p_family, family = families(predictions.p_type), FAMILY_OF_TYPE[predictions.task]
    draw_reliability(family, p_family, folder / "reading-family.png", title="task family")
    draw_reliability(
        predictions.level.argmax(axis=1),
        predictions.p_level,
        folder / "reading-level.png",
        title="difficulty",
    )
    draw_confusion(family, p_family, FAMILIES, folder / "reading-families.png", title="task family")
    draw_confusion(
        predictions.level.argmax(axis=1), predictions.p_level, LEVELS, folder / "reading-levels.png",
        title="difficulty",
    )  # fmt: skip
    by_type = "\n".join(
        f"| `{task}` | {f1:.2f} | {int((predictions.task == TYPES.index(task)).sum())} |"
        for task, f1 in f1_of_types(predictions.task, type_picks(predictions.p_type)).items()
    )
    found = predictions.scores
    page = folder / "reading.md"
    page.write_text(
        f"""## Reading people never seen

{len(predictions.rows):,} asks of the writers {", ".join(HELD_OUT_WRITERS)}: family macro-F1 {found.family_f1:.3f}, type macro-F1
{found.type_f1:.3f}, calibration error of the family {found.family_ece:.3f}; difficulty rank correlation {found.level_spearman:.3f},
calibration error {found.level_ece:.3f}.

![reliability of the task family](reading-family.png)
![reliability of the difficulty](reading-level.png)
![which family is taken for which](reading-families.png)
![which difficulty is taken for which](reading-levels.png)

| type | F1 | asks |
|---|---|---|
{by_type}
""",
        "utf-8",
    )
    return page


def run(options: Options, progress: Progress) -> Predictions:
    """Let the classifier read them."""
    progress("reading the held-out writers")
    return read_held_out(options.classifier())


STUDY = Study(
    "reading",
    "How well the classifier reads people it never saw: scores, reliability, confusion.",
    run,
    write_page,
)
