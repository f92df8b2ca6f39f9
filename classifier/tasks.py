"""The two-level task taxonomy: what kinds of work a request can be, one sentence each.

This list is the only place that names the types.  To add one, add a row here, add labelled
asks to ``classifier/corpus``, and retrain; the table and the policy read the order from here.
The family is the parent that a cell of the cost-quality table borrows evidence from, so a
type sits with the types whose *models* succeed and fail alike, not with those it sounds like.
"""

from __future__ import annotations

import hashlib
from typing import Final

TASKS: Final[dict[str, str]] = {
    "implementation/feature_development": (
        "Add or extend behaviour in an existing codebase, or build an application of several files."
    ),
    "implementation/code_generation": (
        "Write one self-contained piece of new code (a function, script, query, regular expression "
        "or configuration) that needs no knowledge of an existing codebase."
    ),
    "implementation/small_edit": (
        "Make a small, fully specified change to existing code: rename, move, bump a version, "
        "change a constant, a text, a flag or a style."
    ),
    "debugging/bug_fixing": (
        "Make existing code that is known to behave wrongly behave right; the fix is what is wanted."
    ),
    "debugging/test_repair": (
        "Make a failing, flaky or outdated test, build or CI job pass again."
    ),
    "debugging/root_cause": (
        "Find out why something fails or misbehaves; the diagnosis is what is wanted, not yet a fix."
    ),
    "testing/test_creation": (
        "Write new tests, fixtures, benchmarks or test cases for code that exists or is planned."
    ),
    "refactoring/cleanup": (
        "Improve the structure, readability, typing or speed of existing code without changing what "
        "it does."
    ),
    "refactoring/migration": (
        "Move existing code, data or infrastructure to another version, framework, language, schema "
        "or platform."
    ),
    "planning/architecture": (
        "Design the shape of a system: components, boundaries, data model, technology and the "
        "trade-offs between them."
    ),
    "planning/technical_plan": (
        "Lay out how a concrete piece of work will be done before doing it: steps, order, estimates, "
        "risks, roll-out."
    ),
    "investigation/code_understanding": (
        "Explain what given or named code does, how it works, or what it would output."
    ),
    "investigation/repo_exploration": (
        "Find where something lives or is used in a repository, or map its structure and conventions."
    ),
    "investigation/research": (
        "Gather and compare information on libraries, APIs, standards or options and report it."
    ),
    "agentic/tool_use": (
        "Carry out an action by calling supplied tools, functions or services (tickets, calendars, "
        "browsers, databases, APIs) rather than by writing code."
    ),
    "agentic/terminal": (
        "Operate a machine through its shell: install, configure, run, deploy, administer, use git, "
        "process files."
    ),
    "general/knowledge": (
        "Answer a factual, conceptual or how-to question from knowledge, on programming or anything "
        "else, without looking at a codebase."
    ),
    "general/math_reasoning": (
        "Work out an answer by mathematics, logic or stepwise reasoning: problems, proofs, puzzles, "
        "estimates."
    ),
    "general/writing": ("Write, rewrite, translate or proof-read prose, documentation included."),
    "general/conversation": (
        "Make conversation: greetings, thanks, acknowledgements, opinions, banter; no task is set."
    ),
    "background/title": (
        "A client's own request, made behind the user's back, to name a conversation or session."
    ),
    "background/commit_message": (
        "A client's own request to write a commit message, branch name or pull-request text for a diff."
    ),
    "background/summary": (
        "A client's own request to compact, summarise or extract memories from a conversation."
    ),
}
"""``family/type`` → its defining sentence; the order is the order of every probability vector."""

TYPES: Final[tuple[str, ...]] = tuple(TASKS)
FAMILIES: Final[tuple[str, ...]] = tuple(dict.fromkeys(t.split("/")[0] for t in TYPES))

LEVELS: Final[tuple[str, ...]] = ("<15 min", "15 min to 1 h", "1 to 4 h", ">4 h")
"""Difficulty levels 1 to 4: the time an engineer at home in the codebase needs.

The scale of the human annotations of SWE-bench Verified
(https://openai.com/index/introducing-swe-bench-verified/), with one label for the long horizon.
"""

N_LEVELS: Final = len(LEVELS)


def family_of(task: str) -> str:
    """Return the family of a ``family/type`` id."""
    return task.split("/")[0]


def taxonomy_fingerprint() -> str:
    """Return 12 hex digits that change when a type, its order or the levels change."""
    text = "\n".join((*TYPES, *LEVELS))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
