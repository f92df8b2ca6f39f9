"""What policies of switching cost on simulated sessions over the agents' outcomes."""

from __future__ import annotations

from benchmarks.judge.evaluate import Progress
from benchmarks.sessions.report import markdown, write_page
from benchmarks.sessions.study import SessionStudy, study
from benchmarks.studies.study import Options, Study


def run(options: Options, progress: Progress) -> SessionStudy:
    """Play every policy in every mix of sessions."""
    return study(
        options.shared,
        seeds=range(options.seeds),
        artefacts=options.artefacts,
        progress=progress,
    )


STUDY = Study(
    "sessions",
    "What policies of switching cost on simulated sessions over the agents' outcomes.",
    run,
    write_page,
    markdown,
)
