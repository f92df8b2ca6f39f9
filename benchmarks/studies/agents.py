"""OpenHands agents on SWE-bench Verified and SWT-bench, dollars per task.

The pool is the nine models of our notes, or each model of the catalogue that ran on both.  Beside
our two readers stand readers that are told the truth in part: what is lost between "told type and
level" and ours is lost by reading the text.
"""

from __future__ import annotations

from benchmarks.judge.evaluate import Lineup, Progress, evaluate_pool
from benchmarks.judge.findings import Evaluation
from benchmarks.judge.readers import READERS, told_readers
from benchmarks.judge.report import markdown, write_report
from benchmarks.judge.shared_pools import agent_pool, name_of_pool
from benchmarks.studies.study import Options, Study


def run(options: Options, progress: Progress) -> Evaluation:
    """Route issues among the agents' models."""
    catalogue = options.catalogue()
    pool, notes, recorded = agent_pool(options.shared, options.classifier(), catalogue, progress)
    return evaluate_pool(
        pool,
        name=f"agents, {name_of_pool(catalogue)}",
        seeds=range(options.seeds),
        notes=notes,
        lineup=Lineup(readers=(*READERS, *told_readers(pool, recorded.items))),
        progress=progress,
    )


STUDY = Study(
    "agents",
    "OpenHands agents on SWE-bench Verified and SWT-bench, dollars per task.",
    run,
    write_report,
    markdown,
    heeds=frozenset({"whole_catalogue"}),
)
