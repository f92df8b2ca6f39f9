"""The pools of the shared outcomes: questions of one source, and OpenHands agents on issues."""

from __future__ import annotations

from collections.abc import Sequence
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

CATALOGUED: Final = (
    "DeepSeek-V3.2-Reasoner", "GLM-4.7", "GLM-5.1", "GPT-5.2", "GPT-5.2-Codex", "GPT-5.4", "GPT-5.5",
    "Gemini-3-Flash", "Gemini-3.1-Pro", "Gemini-3.5-Flash", "Kimi-K2-Thinking", "Kimi-K2.5", "Kimi-K2.6",
    "MiniMax-M2.1", "MiniMax-M2.5", "MiniMax-M2.7", "MiniMax-M3", "Nemotron-3-Super", "Qwen3-Coder-Next",
    "Qwen3.5-Flash", "Qwen3.6-Plus", "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7",
    "claude-opus-4-8", "claude-sonnet-4-5", "claude-sonnet-4-6",
)  # fmt: skip
"""The models of the catalogue of 2026-11-20 that ran on both benchmarks of issues.  They stay when the
catalogue changes, so that numbers of one pool can be compared over time."""

UNLIKE: Final = tuple(n for n in CATALOGUED if n not in ("MiniMax-M2.7", "claude-sonnet-4-6"))
"""Those of them that ran on tasks of unlike types too, without the two whose runs there are broken."""

UNLIKE_LEVELS: Final = {
    "openhands-swe-bench": None, "openhands-swt-bench": None, "openhands-gaia": 2,
    "openhands-swe-bench-multimodal": 3, "openhands-commit0": 4,
}  # fmt: skip
"""The benchmarks of unlike types with the level of all their tasks; None: people said it of each."""

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
    return *runs_pool(recorded, classifier, models, progress), recorded


def runs_pool(
    recorded: Recorded, classifier: Assesses, models: Sequence[str], progress: Progress
) -> tuple[Pool, tuple[str, ...]]:
    """Build the pool of these models' runs, with its notes."""
    progress("reading issues with the classifier")
    return make_pool(recorded, classifier, models=models, ask=_ask)


def read_agents(shared: Path, benchmarks: Sequence[str] = AGENT_BENCHMARKS) -> Recorded:
    """Read the OpenHands runs on benchmarks: SWE-bench Verified and SWT-bench."""
    runs = (pl.col("agent") == "OpenHands") & pl.col("benchmark").is_in(list(benchmarks))
    folder = shared / "coding"
    return read_recorded(folder / "prompts.parquet", folder / "outcomes.parquet", public=runs)


def _ask(benchmark: str, text: str) -> str:
    return ASKS.get(benchmark, "{}").format(text)


def _in_catalogue(recorded: Recorded, catalogue: Catalogue) -> tuple[str, ...]:
    named = {name for m in catalogue.models for name in (*m.aliases, *m.efforts_as)}
    return tuple(unit for unit in covering(recorded.outcomes)[0] if unit in named)
