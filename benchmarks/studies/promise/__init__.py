"""Whether the rule keeps what its dial promises, and what it costs beside others at an equal loss.

Pools: nine models and the catalogue's on issues, tasks of unlike types (told, and with levels as the
reader errs), eleven models and two on questions.  Everything is fitted on training parts; the study
needs ``--seeds 10`` for the numbers that are quoted.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from threadpoolctl import threadpool_limits

from benchmarks.judge.evaluate import Progress
from benchmarks.studies.promise.findings import OnPool, PromiseStudy
from benchmarks.studies.promise.floors import floors
from benchmarks.studies.promise.judge import judge
from benchmarks.studies.promise.page import page, write_page
from benchmarks.studies.promise.pools import Trial, trials
from benchmarks.studies.promise.routes import InSplit, run_split
from benchmarks.studies.study import Options, Study

PROCESSES: Final = 2


def run(options: Options, progress: Progress) -> PromiseStudy:
    """Try the promise on every pool."""
    found: dict[str, OnPool] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        PROCESSES, spawn, initializer=threadpool_limits, initargs=(1,)
    ) as pool:
        for make in trials(options, progress):
            for trial in make():
                runs = list(_splits(pool, trial, options.seeds, progress))
                progress(f"{trial.name}: judging")
                found[trial.name] = judge(trial, runs)
    return PromiseStudy(tuple(found.values()), tuple(floors(found)))


def _splits(
    processes: ProcessPoolExecutor, trial: Trial, seeds: int, progress: Progress
) -> Iterator[InSplit]:
    n = min(seeds, trial.most_seeds or seeds)
    progress(f"{trial.name}: split 1 of {n}")
    for done, found in enumerate(processes.map(run_split, [trial.pool] * n, range(n)), start=1):
        progress(f"{trial.name}: {done} of {n} splits")
        yield found


STUDY = Study(
    "promise",
    "Whether each dial stop keeps its promise, and what rules cost at an equal loss of quality.",
    run,
    write_page,
    page,
)
