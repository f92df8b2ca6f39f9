"""A request with its wire format removed: turns, and what they come to as a conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

COMPLAINT_CHARS: Final = 300
_COMPLAINT = re.compile(
    r"\bstill\b[^.\n]{0,40}\b(?:fail|broke|wrong|error|crash|hang|not |same)"
    r"|\bkeeps? (?:fail|crash|break|hang|throw)"
    r"|\b(?:fail(?:s|ed|ing)?|broken?|crash(?:es|ed)?|wrong) again\b"
    r"|(?:^|\b(?:it|that|this) )(?:did|does|is|was|has)(?:n['’]t| not) (?:work|fix|help|right|pass)"
    r"|^not fixed\b|(?:^|\b(?:gives?|gets?|got|getting) )(?:the )?same (?:error|problem|issue|failure)"
    r"|^(?:no,? )?that['’]?s (?:wrong|not it)\b",
    re.IGNORECASE | re.MULTILINE,
)
"""How a user says that what was done for the last ask did not do; English only."""


class Role(StrEnum):
    """Who speaks in a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the assistant asked for; ``arguments`` only tells repeats apart.

    ``id`` is the client's name of this call, under which its result comes.
    """

    name: str
    arguments: str = ""
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's contribution: its text parts in order and the tools it calls.

    ``result_of`` is the id of the call whose result this is; ``signed`` says that it holds
    reasoning which only the family that wrote it can read.
    """

    role: Role
    texts: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    failed: bool = False
    result_of: str = ""
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Since:
    """What happened after the ask: counts, all zero on a fresh ask.

    ``errors``, ``failing_tests`` and ``retries`` are those after the tests last passed: what
    success undid is no trouble any more.  ``answers`` are questions that the user answered inside
    a tool call; ``carried`` is trouble of earlier asks of the same task, where it is remembered.
    """

    tool_calls: int = 0
    errors: int = 0
    failing_tests: int = 0
    retries: int = 0
    answers: int = 0
    carried: int = 0

    @property
    def failures(self) -> int:
        """Visible signs of trouble, each counted once."""
        return self.errors + self.failing_tests + self.retries + self.carried


class Exchange(NamedTuple):
    """An ask, and the assistant's last words before the next one."""

    ask: str
    reply: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request says: the ask, where it stands in its session, what the client declared.

    ``mode`` is the client's agent mode in lower case, ``declared_task`` a ``family/type`` that
    the client's headers or request shape give away (a title call, a compaction); both are
    None when nothing was declared.  ``open_tool_call``: a tool was called and its result is not
    there yet.  ``signed``: reasoning since the ask only its own family can read.  ``aside``: the
    client does not go on from the answer; the call stands beside its conversation.
    ``before`` are the asks before this one, oldest first, each with what the assistant said last before the
    next: as many as are read, see ``classifier.ask``.
    """

    ask: str
    before: tuple[Exchange, ...] = ()
    since: Since = field(default_factory=Since)
    user_turns: int = 1
    mode: str | None = None
    declared_task: str | None = None
    aside: bool = False
    subagent: bool = False
    tools: tuple[str, ...] = ()
    open_tool_call: bool = False
    signed: bool = False

    @property
    def complains(self) -> bool:
        """Whether the ask says that what was done for the last one did not do."""
        return bool(self.before) and bool(_COMPLAINT.search(self.ask[:COMPLAINT_CHARS]))
