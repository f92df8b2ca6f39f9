"""RouteLLM's outcomes: Mixtral-8x7B against GPT-4 on MMLU, GSM8K and MT-bench."""

from __future__ import annotations

from benchmarks.judge.evaluate import Progress, evaluate_pool
from benchmarks.judge.findings import Evaluation
from benchmarks.judge.report import markdown, write_report
from benchmarks.judge.shared_pools import question_pool
from benchmarks.studies.study import Options, Study


def run(options: Options, progress: Progress) -> Evaluation:
    """Route these questions among all models of the source."""
    pool, notes = question_pool(options.shared, options.classifier(), "routellm", progress)
    return evaluate_pool(
        pool,
        name="routellm",
        seeds=range(options.seeds),
        notes=notes,
        leave_out_benchmarks=options.leave_one_out,
        progress=progress,
    )


STUDY = Study(
    "routellm",
    "RouteLLM's outcomes: Mixtral-8x7B against GPT-4 on MMLU, GSM8K and MT-bench.",
    run,
    write_report,
    markdown,
    heeds=frozenset({"leave_one_out"}),
)
