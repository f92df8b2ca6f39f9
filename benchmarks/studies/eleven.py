"""RouterBench's eleven models with their 2024 costs on ARC, MBPP and Winogrande."""

from __future__ import annotations

from benchmarks.judge.evaluate import Progress, evaluate_pool
from benchmarks.judge.findings import Evaluation
from benchmarks.judge.report import markdown, write_report
from benchmarks.judge.shared_pools import question_pool
from benchmarks.studies.study import Options, Study


def run(options: Options, progress: Progress) -> Evaluation:
    """Route these questions among all models of the source."""
    pool, notes = question_pool(
        options.shared, options.classifier(), "routerbench_mirror", progress
    )
    return evaluate_pool(
        pool,
        name="eleven",
        seeds=range(options.seeds),
        notes=notes,
        leave_out_benchmarks=options.leave_one_out,
        progress=progress,
    )


STUDY = Study(
    "eleven",
    "RouterBench's eleven models with their 2024 costs on ARC, MBPP and Winogrande.",
    run,
    write_report,
    markdown,
    heeds=frozenset({"leave_one_out"}),
)
