"""What each benchmark measures: its task type, its level where known, and why.

Three tables, all data.  A benchmark that is not in ``BENCHMARKS`` is refused by name when
evidence is read for the table, so that nothing is counted under a guessed task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A benchmark's ``family/type``, the reason, and the level (1 to 4) when all items share one.

    ``task`` is None where items are of several types: then each says its own, and one that does not
    fills no cell.  ``in_table`` is false for evidence that places items and models but fills none.
    """

    task: str | None
    why: str
    level: int | None = None
    in_table: bool = True


_KNOWLEDGE: Final = "general/knowledge"
_MATH: Final = "general/math_reasoning"
_CODE: Final = "implementation/code_generation"

BENCHMARKS: Final[dict[str, Kind]] = {
    # Agents in a repository.
    "openhands-swe-bench": Kind("debugging/bug_fixing", "resolve a GitHub issue; its tests decide"),
    "openhands-swe-bench-multimodal": Kind(
        "debugging/bug_fixing", "the same, JavaScript front ends"
    ),
    "openhands-swt-bench": Kind("testing/test_creation", "write a test that reproduces the issue"),
    "openhands-commit0": Kind(
        "implementation/feature_development", "build a whole library from its tests", 4
    ),
    "openhands-gaia": Kind("investigation/research", "find and combine facts from the web"),
    "deepswe-1.1": Kind(
        "implementation/feature_development", "feature requests of many files, long horizon", 4
    ),
    "hal-swebench-verified": Kind("debugging/bug_fixing", "SWE-bench Verified under other agents"),
    "hal-swebench-verified-mini": Kind("debugging/bug_fixing", "50 issues of SWE-bench Verified"),
    "swebench-vexp100": Kind("debugging/bug_fixing", "100 issues of SWE-bench Verified"),
    "swebench-bash-only": Kind("debugging/bug_fixing", "SWE-bench Verified under mini-SWE-agent"),
    "swebench-multilingual": Kind("debugging/bug_fixing", "SWE-bench in nine languages"),
    # Agents elsewhere.
    "terminal-bench-core-0.1.1": Kind("agentic/terminal", "operate a machine through its shell"),
    "hal-appworld-test-normal": Kind("agentic/tool_use", "act in apps through their APIs"),
    "hal-appworld-test-challenge": Kind("agentic/tool_use", "the same, harder"),
    "hal-corebench-easy": Kind("agentic/terminal", "read off a paper's reproduced results"),
    "hal-corebench-medium": Kind("agentic/terminal", "run a paper's container"),
    "hal-corebench-hard": Kind("agentic/terminal", "install and run a paper's code"),
    "hal-cybench": Kind("agentic/terminal", "capture-the-flag tasks in a shell"),
    "metr-hcast": Kind("agentic/terminal", "mixed software tasks in a shell, human time measured"),
    "bfcl-v2": Kind("agentic/tool_use", "choose and fill one function call"),
    "bfcl-v4": Kind("agentic/tool_use", "choose and fill function calls"),
    "bfcl-v4-live": Kind("agentic/tool_use", "function calls of real users"),
    # One answer, code.
    "livecodebench-codegeneration": Kind(_CODE, "contest problem to program"),
    "hal-usaco": Kind(_CODE, "olympiad problem to program"),
    "advent-of-code": Kind(_CODE, "puzzle to program, with a sandbox"),
    "svelte-bench": Kind(_CODE, "one Svelte component from its description"),
    "convex-evals": Kind(_CODE, "one small Convex back end from its description"),
    "tinybird-sql": Kind(_CODE, "question to SQL query"),
    "mbpp": Kind(_CODE, "sentence to Python function"),
    "humaneval": Kind(_CODE, "docstring to Python function"),
    "humanevalpack-js": Kind(_CODE, "docstring to JavaScript function"),
    "kernelbench-hard": Kind("refactoring/cleanup", "make a GPU kernel fast", in_table=False),
    "kernelbench-cuda": Kind("refactoring/cleanup", "make a GPU kernel fast", in_table=False),
    "kernelbench-mega": Kind("refactoring/cleanup", "make a GPU kernel fast", in_table=False),
    "edit-bench": Kind("implementation/small_edit", "an instructed edit of one file in an editor"),
    "livecodebench-selfrepair": Kind(
        "debugging/test_repair", "repair one's program, tests failing"
    ),
    "livecodebench-testoutputprediction": Kind(
        "testing/test_creation", "complete a test with the output it should expect"
    ),
    "livecodebench-codeexecution": Kind("investigation/code_understanding", "say what code prints"),
    "cruxeval-input": Kind("investigation/code_understanding", "find an input for an output"),
    "cruxeval-output": Kind("investigation/code_understanding", "say what code returns"),
    # One answer, no code.
    "mmlu": Kind(_KNOWLEDGE, "school and professional exams"),
    "mmlu-pro": Kind(_KNOWLEDGE, "harder exams, ten options"),
    "arc-challenge": Kind(_KNOWLEDGE, "school science"),
    "arc-easy": Kind(_KNOWLEDGE, "school science"),
    "openbookqa": Kind(_KNOWLEDGE, "school science"),
    "triviaqa": Kind(_KNOWLEDGE, "trivia"),
    "naturalquestions": Kind(_KNOWLEDGE, "search questions"),
    "commonsenseqa": Kind(_KNOWLEDGE, "common sense"),
    "winogrande": Kind(_KNOWLEDGE, "common sense, pronouns"),
    "gsm8k": Kind(_MATH, "school word problems"),
    "mgsm-en": Kind(_MATH, "school word problems"),
    "math": Kind(_MATH, "competition problems"),
    "math-level5": Kind(_MATH, "competition problems, hardest band"),
    "math-prealgebra": Kind(_MATH, "school algebra"),
    "logicgrid": Kind(_MATH, "logic puzzles"),
    "bbh": Kind(_MATH, "stepwise reasoning"),
    "commongen": Kind("general/writing", "a sentence from given words"),
    "mt-bench": Kind("general/conversation", "two-turn chat, judged by GPT-4"),
}

SAME_ITEM: Final[dict[str, tuple[str, str]]] = {
    "swe-bench-verified": ("openhands-swe-bench", "instance_id"),
    "swt-bench-verified": ("openhands-swt-bench", "instance_id"),
    "swe-bench-multimodal-dev": ("openhands-swe-bench-multimodal", "instance_id"),
    "livecodebench-codegen": ("livecodebench-codegeneration", "question_id"),
    "livecodebench-testgen": ("livecodebench-testoutputprediction", "question_id"),
    "cruxeval-o": ("cruxeval-output", "sample"),
    "cruxeval-i": ("cruxeval-input", "sample"),
}
"""Benchmark of the general set → its name in the coding set, and the key of ``meta`` that holds
the item's id there: the same items are in both."""

COUNTED_IN_CODING: Final = frozenset(
    {"openhands_index", "livecodebench", "terminal_bench", "swebench_bashonly"}
)
"""Sources of the general set whose outcomes the coding set also holds, with dates and agents;
they are read there only.  (CRUXEval is the other way round: see ``COUNTED_IN_GENERAL``.)"""

COUNTED_IN_GENERAL: Final = frozenset({"cruxeval-input", "cruxeval-output"})
"""Benchmarks of the coding set whose outcomes the general set holds for more models."""

SAME_TASK: Final[dict[str, str]] = {
    "hal-swebench-verified": "openhands-swe-bench",
    "hal-swebench-verified-mini": "openhands-swe-bench",
    "swebench-vexp100": "openhands-swe-bench",
    "swebench-bash-only": "openhands-swe-bench",
}
"""Benchmarks of the coding set that give the same task on the same items under another agent."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Runs left out of every fit; an empty ``benchmark`` means all."""

    model: str
    benchmark: str
    why: str


BROKEN: Final = (
    Broken("claude-fable-5", "", "96% on SWE-bench Verified, an outlier nothing can verify"),
    Broken("claude-sonnet-4.6", "openhands-gaia", "13%: a broken tool run, not ability"),
    Broken("minimax-m2.7", "openhands-gaia", "25%: a broken tool run, not ability"),
    Broken("deepseek-v4-pro", "openhands-gaia", "11%, against 73% on issues by the same agent"),
    Broken("qwen3.5-flash", "svelte-bench", "0 of 80 samples, against 62% on issues"),
)
"""The first three are named in shared/data's SOURCES files.  The last two are our reading of the
data, not their source's: each is far below every other run of its model."""

AGENTS: Final[tuple[tuple[str, str], ...]] = (
    ("OpenHands v", "OpenHands"),
    ("single-turn via", "single-turn"),
    ("aoc-agent", "aoc-agent"),
    ("mini-swe-agent (pier)", "mini-swe-agent"),
)
"""Prefix of an agent's name → the agent; versions and providers of one agent are one agent."""
