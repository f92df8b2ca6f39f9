"""Any recorded outcomes as a study: the files and the pool that a user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.judge.evaluate import Progress, evaluate
from benchmarks.judge.findings import Evaluation
from benchmarks.judge.report import markdown, write_report
from benchmarks.studies.study import Options, Study
from classifier.training.rows import name_of


def study_of(
    prompts: Path,
    outcomes: Path,
    *,
    models: Sequence[str] | None = None,
    usd_per_item: Mapping[str, float] | None = None,
) -> Study[Evaluation]:
    """Make the study of two files; ``models`` and ``usd_per_item`` as ``make_pool`` takes them."""

    def run(options: Options, progress: Progress) -> Evaluation:
        return evaluate(
            prompts,
            outcomes,
            options.classifier(),
            models=models,
            seeds=range(options.seeds),
            usd_per_item=usd_per_item,
            progress=progress,
        )

    return Study(name_of(outcomes), "Your own outcomes.", run, write_report, markdown)
