"""What coding clients put around the user's own words: a row for each client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECORDED: Final = "recorded"
"""Measured by driving the client against a recording stub (2026-11-20), 17 request shapes in all."""

UNCHECKED: Final = "unchecked"
"""From memory of the client's prompts or source."""


@dataclass(frozen=True, slots=True)
class Markers:
    """How one client marks what is its own, and what is its user's."""

    client: str
    known: str
    """How we know."""
    blocks: tuple[str, ...] = ()
    """Tags of what it writes into a user message on its own account."""
    wrappers: tuple[str, ...] = ()
    """Tags that it puts around the user's words."""
    openers: tuple[str, ...] = ()
    """Words that it puts before them."""
    trailers: tuple[str, ...] = ()
    """First words of the rules that it puts behind them."""


MARKERS: Final = (
    Markers(
        "Claude Code",
        RECORDED,
        blocks=("system-reminder", "task-notification"),
        wrappers=("session",),  # of what it wants a title for
    ),
    Markers(
        "Claude Code",
        UNCHECKED,
        blocks=(
            "ide_selection",
            "ide_opened_file",
            "command-message",
            "command-name",
            "local-command-stdout",
        ),
    ),
    Markers(
        "Codex",
        RECORDED,
        blocks=("environment_context", "permissions", "skills_instructions"),
    ),
    Markers("Codex", UNCHECKED, blocks=("user_instructions",)),
    Markers("Kilo", RECORDED, blocks=("environment_details", "system-reminder")),
    Markers("Qwen Code", RECORDED, blocks=("system-reminder",)),
    Markers("Copilot CLI", RECORDED, blocks=("current_datetime",)),
    Markers("gptme", RECORDED, blocks=("system",)),
    Markers(
        "mini-swe-agent",
        RECORDED,
        openers=("Please solve this issue:",),
        trailers=("You can execute bash commands and edit files to implement",),
    ),
    Markers(
        "aider",
        RECORDED,
        trailers=(
            "# *SEARCH/REPLACE block* Rules",  # edit format "diff"
            "To suggest changes to a file you MUST return",  # edit format "whole"
        ),
    ),
    Markers(
        "Roo Code",
        "its source",
        blocks=("environment_details",),
        wrappers=("user_message",),
    ),
    Markers("Roo Code", UNCHECKED, wrappers=("task", "feedback")),  # older releases
    Markers("Cline CLI", "its prompt", blocks=("mode_notice",), wrappers=("user_input",)),
    Markers("Cursor", UNCHECKED, blocks=("system_reminder",), wrappers=("user_query",)),
    Markers("OpenHands", UNCHECKED, blocks=("uploaded_files",), wrappers=("issue_description",)),
    Markers("SWE-agent", UNCHECKED, wrappers=("pr_description", "problem_statement")),
    Markers("any", UNCHECKED, blocks=("context_summary",)),
)
"""A client that is known in two ways has two rows."""

CLIENT_BLOCKS: Final = frozenset(tag for row in MARKERS for tag in row.blocks)
ASK_WRAPPERS: Final = frozenset(tag for row in MARKERS for tag in row.wrappers)
OPENERS: Final = tuple(words for row in MARKERS for words in row.openers)
TRAILERS: Final = tuple(words for row in MARKERS for words in row.trailers)
