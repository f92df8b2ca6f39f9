"""The pools of the shared outcomes: questions of one source, and OpenHands agents on issues."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.judge.evaluate import Progress
from benchmarks.judge.pool import Pool
from benchmarks.judge.readers import Assesses
from benchmarks.judge.recorded import Recorded, covering, make_pool, read_recorded
from router.evidence.catalogue import Catalogue

NINE: Final = (
    "claude-opus-4-7", "claude-sonnet-4-6", "GPT-5.5", "GPT-5.4", "Gemini-3.1-Pro",
    "DeepSeek-V3.2-Reasoner", "Kimi-K2.5", "MiniMax-M2.7", "Qwen3.6-Plus",
)  # fmt: skip
"""The nine models of notes/data-findings.md, as the OpenHands Index names them."""

AGENT_BENCHMARKS: Final = ("openhands-swe-bench", "openhands-swt-bench")

ASKS: Final = {
    "openhands-swe-bench": "Fix this issue in the repository.\n\n{}",
    "openhands-swt-bench": "Write a test that reproduces this issue.\n\n{}",
}
"""Both benchmarks hand the same issue to an agent; what differs is what its user asks for."""


def question_pool(
    shared: Path, classifier: Assesses, source: str, progress: Progress = lambda _: None
) -> tuple[Pool, tuple[str, ...]]:
    """Build the pool of all models of one source of the general set."""
    recorded = read_recorded(
        shared / "prompts.parquet", shared / "outcomes.parquet", public=pl.col("origin") == source
    )
    progress("reading prompts with the classifier")
    units = recorded.outcomes["unit"].unique().sort().to_list()
    return make_pool(recorded, classifier, models=units)


def name_of_pool(catalogue: Catalogue | None) -> str:
    """Say whose runs a pool of agents holds."""
    return "nine models" if catalogue is None else "whole catalogue"


def agent_pool(
    shared: Path, classifier: Assesses, catalogue: Catalogue | None, progress: Progress
) -> tuple[Pool, tuple[str, ...], Recorded]:
    """Build the pool of the nine models, or of all that ``catalogue`` knows, with its notes."""
    recorded = read_agents(shared)
    models = NINE if catalogue is None else _in_catalogue(recorded, catalogue)
    progress("reading issues with the classifier")
    pool, notes = make_pool(recorded, classifier, models=models, ask=_ask)
    return pool, notes, recorded


def read_agents(shared: Path) -> Recorded:
    """Read the OpenHands runs on SWE-bench Verified and SWT-bench."""
    runs = (pl.col("agent") == "OpenHands") & pl.col("benchmark").is_in(AGENT_BENCHMARKS)
    folder = shared / "coding"
    return read_recorded(folder / "prompts.parquet", folder / "outcomes.parquet", public=runs)


def _ask(benchmark: str, text: str) -> str:
    return ASKS.get(benchmark, "{}").format(text)


def _in_catalogue(recorded: Recorded, catalogue: Catalogue) -> tuple[str, ...]:
    named = {name for m in catalogue.models for name in (*m.aliases, *m.efforts_as)}
    return tuple(unit for unit in covering(recorded.outcomes)[0] if unit in named)
