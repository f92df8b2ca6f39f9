"""What each benchmark measures: its task type, its level where known, and why.

Tables, all data.  A benchmark that is not in ``BENCHMARKS`` is refused by name when
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
    ``judged``: a judge model's or an auditor's grade, not a program's verdict.  ``whole`` is the last
    part of the name of an item that grades others together; with ``one_task`` those are dimensions
    of one task, and the whole alone counts.
    """

    task: str | None
    why: str
    level: int | None = None
    in_table: bool = True
    judged: bool = False
    whole: str = ""
    one_task: bool = False


_KNOWLEDGE: Final = "general/knowledge"
_MATH: Final = "general/math_reasoning"
_CODE: Final = "implementation/code_generation"
_FIX: Final = "debugging/bug_fixing"
_TOOLS: Final = "agentic/tool_use"
_UNDERSTAND: Final = "investigation/code_understanding"
_REVIEW: Final = "code review of planted defects, measured with its tool; no type is review"
_ADMINISTER: Final = (
    "one step of a Kubernetes administrator's agent, graded against the other models'"
)

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
    "mt-bench": Kind("general/conversation", "two-turn chat, judged by GPT-4", judged=True),
    # The third set, whose items say their type and level themselves.
    "bcbench-bug-fix": Kind(_FIX, "resolve an issue in Business Central's AL; its tests decide"),
    "bcbench-test-generation": Kind(
        "testing/test_creation", "write a test that reproduces the issue, in AL"
    ),
    "vulcanbench-v1": Kind(None, "fixes and features in small repositories; hidden tests decide"),
    "vulcanbench-v3": Kind(None, "fixes and features from open source; hidden tests decide"),
    "vulcanbench-v4": Kind(None, "the third's, some exchanged for newer ones"),
    "ruby-program-fixer": Kind(
        _FIX,
        "repair a Ruby class in one answer; a share of tests, and nobody ever passes all: four items that "
        "would set the easiest level of seventy units",
        in_table=False,
    ),
    "deirhx-repohard": Kind(_FIX, "repair a defect in a repository; a program grades"),
    "deirhx-audittrap": Kind(
        None, "repairs that tempt to change too much, and a battery of claims about a repository"
    ),
    "deirhx-arch": Kind(None, "call chains, incidents and invariants of a repository"),
    "deirhx-claim": Kind(_UNDERSTAND, "true or false of a repository"),
    "deirhx-pyhard": Kind(_CODE, "hard Python functions"),
    "model-eval": Kind(
        None,
        "tickets in a repository; 99% are solved, which tells no model from another",
        in_table=False,
    ),
    "zrb-challenges": Kind(None, "small chores in a folder, each of another type"),
    "aarora-v1": Kind(
        None,
        "issue, design, review, test plan and code of one change, each graded",
        judged=True,
        whole="all",
    ),
    "aarora-v2": Kind(None, "the same with other changes", judged=True, whole="all"),
    "akita-rails-v2": Kind(
        "implementation/feature_development",
        "one chat application from a brief, audited",
        judged=True,
        whole="overall",
        one_task=True,
    ),
    "bashkit-bash": Kind(None, "shell chores in a virtual bash; a program checks"),
    "bashkit-scripting": Kind(_TOOLS, "call tools, or script them; a program checks"),
    "ljoukov-agent": Kind(
        _TOOLS,
        "write a report with file tools, to a schema and a judge; three tasks that a third of the models "
        "never pass, which would set quality and cost of every agentic task",
        in_table=False,
        judged=True,
    ),
    "holmesgpt-k8s": Kind(None, "find what is wrong in a cluster with its tools", judged=True),
    "dot-ai-capability": Kind(_UNDERSTAND, _ADMINISTER, judged=True),
    "dot-ai-pattern": Kind("investigation/research", _ADMINISTER, judged=True),
    "dot-ai-policy": Kind(_CODE, _ADMINISTER, judged=True),
    "dot-ai-recommendation": Kind("planning/technical_plan", _ADMINISTER, judged=True),
    "dot-ai-remediation": Kind("debugging/root_cause", _ADMINISTER, judged=True),
    "lgtmaybe-breadth": Kind(_UNDERSTAND, f"small changes: {_REVIEW}"),
    "lgtmaybe-long-horizon": Kind(_UNDERSTAND, f"changes of growing size: {_REVIEW}"),
    "lgtmaybe-v1": Kind(
        _UNDERSTAND,
        f"tiny changes, answers cut at 4,096 tokens, thought included: {_REVIEW}",
        in_table=False,
    ),
    "tilth-nav": Kind(
        None, "find one's way in a repository; 98% right, looked up as strings", in_table=False
    ),
    "omnisbench-gsm8k": Kind(_MATH, "runs that the general set holds as gsm8k", in_table=False),
    "omnisbench-humaneval": Kind(
        _CODE, "runs that the general set holds as humaneval", in_table=False
    ),
    "omnisbench-livecodebench": Kind(
        _CODE, "runs that the general set holds as livecodebench", in_table=False
    ),
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

COUNTED_IN_GENERAL: Final = frozenset(
    {
        "cruxeval-input", "cruxeval-output",
        "omnisbench-gsm8k", "omnisbench-humaneval", "omnisbench-livecodebench",
    }
)  # fmt: skip
"""Benchmarks of other sets whose outcomes the general set holds: CRUXEval for more models, OmnisBench
with the same bills (and what is not there is what that set keeps aside for evaluation)."""

SAME_TASK: Final[dict[str, str]] = {
    "hal-swebench-verified": "openhands-swe-bench",
    "hal-swebench-verified-mini": "openhands-swe-bench",
    "swebench-vexp100": "openhands-swe-bench",
    "swebench-bash-only": "openhands-swe-bench",
    "vulcanbench-v4": "vulcanbench-v3",
}
"""Benchmarks that give the same task on the same items, in the coding set under another agent."""


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
    Broken("gpt-5.4-mini", "deirhx-arch", "28%, against 64% to 100% of all others there"),
)
"""Named in shared/data's SOURCES files, but for DeepSeek's and Qwen's: those are our reading of the
data, not their source's, each far below every other run of its model."""

AGENTS: Final[tuple[tuple[str, str], ...]] = (
    (r"^OpenHands v.*", "OpenHands"),
    (r"^single-turn via.*", "single-turn"),
    (r"^aoc-agent.*", "aoc-agent"),
    (r"^mini-swe-agent \(pier\).*", "mini-swe-agent"),
    (r"^lgtmaybe [\d.]+", "lgtmaybe"),
    (r"^zrb .*", "zrb"),
    (r"^bashkit-eval .*", "bashkit-eval"),
    (r"^(Cursor Agent CLI, ask mode), thinking on$", "$1"),
    (r"^(Claude Code.*) \(v[\d.]+\)$", "$1"),
)
"""What to replace in an agent's name, and by what: versions and providers of one agent are one agent,
and so is thinking, which is the model's.  A quantised model on a "local server" is another agent.

BC-Bench's own versions are versions of the clients it runs, so they are one agent each too.  Its rules
forbid adding them up, but there is next to one model a version, so apart they would say nothing; and
the one model run on two versions differs by .013 +- .023, those run by two clients by .025 at most."""
