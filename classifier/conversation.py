"""A request with its wire format removed, and where in it the user's own ask stands.

The ask is a small part of what a coding client sends.  Around it stand system prompts (also
in the middle of the conversation), reminders and environment blocks in tags inside the user
message, tool results after it, and rules pasted behind it.  A classifier that reads those
learns the client and not the task, so everything here exists to find the ask:

1.  Walk back over the turns to the newest user turn in which something is left once client
    blocks (``CLIENT_BLOCKS``) are dropped and wrappers (``ASK_WRAPPERS``) are opened.
2.  Cut what the client itself appended: a trailing span that also stands in the system prompt
    (aider repeats its edit rules there), or that begins with a known marker.
3.  If the newest turn is a tool result or holds only client blocks, the request *continues*
    an ask that was read before; what happened since is carried as facts (``Since``).

Which client puts its ask where was measured by driving 17 request shapes against a recording
stub (2026-11-20).  The work is linear in the turns since the ask, and reads at most
``RESULT_CHARS`` of a tool result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ASK_HEAD_CHARS: Final = 3000
ASK_TAIL_CHARS: Final = 1000
"""A longer ask keeps its head and its tail: the instruction stands before or after a paste."""

PASTE_CHARS: Final = 500
INSTRUCTION_CHARS: Final = 240
"""A text this long may hold a paste; a paragraph this short at its end may be the instruction."""

RESULT_CHARS: Final = 2000
"""How much of a tool result is searched for failures: half at its head, half at its tail."""

MAX_RESULTS: Final = 64
"""How many tool results since the ask are searched, newest first."""

CLIENT_BLOCKS: Final = frozenset(
    {
        "system-reminder", "system_reminder", "environment_details", "environment_context",
        "task-notification", "current_datetime", "system", "permissions", "skills_instructions",
        "user_instructions", "ide_selection", "ide_opened_file", "local-command-stdout",
        "command-message", "command-name", "context_summary", "uploaded_files", "mode_notice",
    }
)  # fmt: skip
"""Tags of blocks that a client writes into a user message on its own account."""

ASK_WRAPPERS: Final = frozenset(
    {
        "task", "user_message", "feedback", "user_input", "user_query", "session",
        "issue_description", "pr_description", "problem_statement",
    }
)  # fmt: skip
"""Tags that clients put around the user's own words."""

OPENERS: Final = ("Please solve this issue:",)
"""Words that a client puts before the ask (mini-swe-agent)."""

TRAILERS: Final = (
    "You can execute bash commands and edit files to implement",  # mini-swe-agent
    "# *SEARCH/REPLACE block* Rules",  # aider, edit format "diff"
    "To suggest changes to a file you MUST return",  # aider, edit format "whole"
)
"""First words of the rules that a client puts behind the ask."""

_TAG = re.compile(r"<([a-z][a-z_-]{2,31})(?:\s[^<>]{0,200})?>")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_LAST_CLOSE = re.compile(r"</([a-z][a-z_-]{2,31})>\s*$")
_FAILURE = re.compile(
    r"\b(?:error|exception|traceback|fatal|panic(?:ked)?|command not found|no such file|"
    r"permission denied|exit(?:ed)?(?: with)?(?: code| status)?:? [1-9])",
    re.IGNORECASE,
)
_FAILURE_WORDS = (
    "error", "exception", "traceback", "fatal", "panic", "command not found", "no such file",
    "permission denied", "exit",
)  # fmt: skip
_FAILED_TESTS = re.compile(
    r"\b[1-9]\d* (?:tests? )?fail(?:ed|ures?|ing)\b|\bFAIL(?:ED)?\b|AssertionError|✗|not ok \d",
)
_PASSED_TESTS = re.compile(
    r"\b[1-9]\d* (?:tests? )?pass(?:ed|ing)\b|\b[Aa]ll (?:\d+ )?tests pass|^OK\b|^PASS\b|"
    r"\bBUILD SUCCESS",
    re.MULTILINE,
)
_ERRORS_COUNTED = re.compile(r"\b[1-9]\d* errors?\b")

QUESTION_TOOLS: Final = frozenset(
    {
        "askuserquestion", "ask_followup_question", "ask_user", "ask_user_question", "question",
        "request_user_input",
    }
)  # fmt: skip
"""Tools, in lower case, by which an agent asks its user something: the result is the answer."""

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

_GO_ON = re.compile(
    r"(?:yes|yeah|yep|ok(?:ay)?|sure|please|now|and|then|just|go ahead|go on|carry on|continue|proceed|"
    r"keep (?:going|trying)|(?:try|do it|once)(?: it)? (?:again|more)|retry|again|do (?:it|that)|next)"
    r"(?:[\s,.!]+|$)",
    re.IGNORECASE,
)
"""Words of an ask that sets no task: "Ok, continue please." """

FOLLOW_UP_CHARS: Final = 60
"""An ask this short in a later turn ("yes, go on") belongs with the one before it."""


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


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request says: the ask, where it stands in its session, what the client declared.

    ``mode`` is the client's agent mode in lower case, ``declared_task`` a ``family/type`` that
    the client's headers or request shape give away (a title call, a compaction); both are
    empty when nothing was declared.  ``open_tool_call``: a tool was called and its result is not
    there yet.  ``signed``: reasoning since the ask only its own family can read.  ``aside``: the
    client does not go on from the answer; the call stands beside its conversation.
    """

    ask: str
    previous_ask: str = ""
    continues: bool = False
    since: Since = field(default_factory=Since)
    user_turns: int = 1
    mode: str = ""
    declared_task: str = ""
    aside: bool = False
    subagent: bool = False
    tools: tuple[str, ...] = ()
    open_tool_call: bool = False
    signed: bool = False

    @property
    def complains(self) -> bool:
        """Whether the ask says that what was done for the last one did not do."""
        return bool(self.previous_ask) and bool(_COMPLAINT.search(self.ask[:COMPLAINT_CHARS]))

    @property
    def goes_on(self) -> bool:
        """Whether the ask only tells the assistant to go on."""
        return bool(self.previous_ask) and self.follows_up and not _GO_ON.sub("", self.ask).strip()

    @property
    def follows_up(self) -> bool:
        """Whether the ask is too short to set a task of its own."""
        return bool(self.previous_ask) and len(self.ask) <= FOLLOW_UP_CHARS


def read_conversation(
    turns: tuple[Turn, ...],
    *,
    system: str = "",
    mode: str = "",
    declared_task: str = "",
    aside: bool = False,
    subagent: bool = False,
    summary_follows: bool = False,
    tools: tuple[str, ...] = (),
) -> Conversation:
    """Find the ask in ``turns`` and gather what happened since.

    ``system`` is the system prompt as one string.  ``summary_follows`` says that the newest
    user turn may be the client's summary of a compacted history and not an ask.
    """
    asks = [(i, ask) for i, turn in enumerate(turns) if (ask := ask_of(turn, system))]
    if summary_follows and len(asks) > 1 and not _assistant_spoke(turns):
        asks.pop()
    at, ask = asks[-1] if asks else (len(turns), "")
    newest = next(
        (i for i in range(len(turns) - 1, -1, -1) if turns[i].role is not Role.SYSTEM), at
    )
    return Conversation(
        ask=clip(ask),
        previous_ask=clip(asks[-2][1]) if len(asks) > 1 else "",
        continues=newest > at,
        since=_since(turns[at + 1 :]),
        user_turns=max(1, len(asks)),
        mode=mode,
        declared_task=declared_task,
        aside=aside,
        subagent=subagent,
        tools=tools,
        open_tool_call=_has_open_call(turns),
        signed=any(turn.signed for turn in turns[at + 1 :]),
    )


def _has_open_call(turns: tuple[Turn, ...]) -> bool:
    """Say whether a call lacks its result, with no user turn come after it."""
    calls: list[str] = []
    results: list[str] = []
    for turn in reversed(turns):
        if turn.role is Role.USER:
            break
        if turn.role is Role.TOOL:
            results.append(turn.result_of)
        calls += [call.id for call in turn.tool_calls]
    named = {call for call in calls if call}
    return not named.issubset(results) or calls.count("") > len(results)


def ask_of(turn: Turn, system: str = "") -> str:
    """Return the user's own words in a turn, or an empty string when it holds none.

    A tool result counts only when it is *wholly* one wrapper (what a user types at a client's
    completion prompt arrives that way); anything looser would let a file speak for the user.
    """
    if turn.role is Role.TOOL:
        return "".join(_wholly_wrapped(text) for text in turn.texts)
    if turn.role is not Role.USER:
        return ""
    left = [own for text in turn.texts if (own := _own_words(text))]
    return _cut_client_rules("\n".join(left), system) if left else ""


def clip(text: str) -> str:
    """Keep the head and the tail of a long text."""
    if len(text) <= ASK_HEAD_CHARS + ASK_TAIL_CHARS:
        return text
    return f"{text[:ASK_HEAD_CHARS]}\n…\n{text[-ASK_TAIL_CHARS:]}"


def instruction_of(ask: str) -> str:
    """Return the short paragraph that stands before or after a long paste, or an empty string.

    "Write a test that reproduces this." before 3,000 characters of an issue says what is wanted;
    the issue does not.
    """
    if len(ask) < PASTE_CHARS:
        return ""
    paragraphs = [p.strip() for p in _BLANK_LINE.split(ask) if p.strip()]
    if len(paragraphs) < 2:
        return ""
    ends = (paragraphs[0], paragraphs[-1])
    return "\n".join(p for p in ends if len(p) <= INSTRUCTION_CHARS and "```" not in p)


def _own_words(text: str) -> str:
    """Drop client blocks at both ends of one text part, then open a wrapper."""
    text = text.strip()
    while text.startswith("<") and (tag := _TAG.match(text)) and tag[1] in CLIENT_BLOCKS:
        _, closed, text = text.partition(f"</{tag[1]}>")
        if not closed:
            return ""
        text = text.lstrip()
    while text.endswith(">") and (close := _LAST_CLOSE.search(text, max(0, len(text) - 40))):
        opened = text.rfind(f"<{close[1]}", 0, close.start())
        if close[1] not in CLIENT_BLOCKS or opened < 0:
            break
        text = text[:opened].rstrip()
    return _unquote(_open_wrapper(text))


def _open_wrapper(text: str) -> str:
    """Return what stands inside the first wrapper, or the text itself."""
    for tag in _TAG.finditer(text[:400]):
        if tag[1] in ASK_WRAPPERS:
            inner, closed, _ = text[tag.end() :].partition(f"</{tag[1]}>")
            if closed or tag.start() == 0:
                return inner.strip()
    return text


def _wholly_wrapped(text: str) -> str:
    text = text.strip()
    tag = _TAG.match(text)
    if tag is None or tag[1] not in ASK_WRAPPERS or not text.endswith(f"</{tag[1]}>"):
        return ""
    return _unquote(text[tag.end() : -len(tag[1]) - 3].strip())


def _unquote(text: str) -> str:
    """Undo the shell quoting that two command-line clients leave around an argument.

    A quote inside that opens (stands after a space) shows that the outer pair is the client's;
    one that closes (``"a" and "b"``) shows that it is the user's.
    """
    if len(text) < 3 or not text[0] == text[-1] == '"':
        return text
    inner = text[1:-1].replace('\\"', "\0")
    at = inner.find('"')
    if at > 0 and not inner[at - 1].isspace() and inner[at - 1] not in "([{=":
        return text
    return inner.replace("\0", '"').strip()


def _cut_client_rules(text: str, system: str) -> str:
    """Cut an opener, and the rules that a client appends to the user's words."""
    for opener in OPENERS:
        text = text.removeprefix(opener).lstrip() if text.startswith(opener) else text
    for trailer in TRAILERS:
        at = text.find(trailer)
        if at > 0:
            text = text[:at].rstrip()
    at = text.find("\n\n")
    for _ in range(MAX_RESULTS):
        if at < 0 or len(text) - at < 200:
            break
        rest = text[at:].strip()
        if rest[:200] in system and rest in system:
            return text[:at].rstrip()
        at = text.find("\n\n", at + 2)
    return text


def _assistant_spoke(turns: tuple[Turn, ...]) -> bool:
    return any(turn.role is Role.ASSISTANT for turn in turns)


def _since(turns: tuple[Turn, ...]) -> Since:
    """Count what the turns after an ask show of its progress."""
    calls = [call for turn in turns for call in turn.tool_calls]
    results = [(i, turn) for i, turn in enumerate(turns) if turn.role is Role.TOOL][-MAX_RESULTS:]
    errors = failing = start = 0
    for i, turn in results:
        text = "\n".join(_ends(text) for text in turn.texts)
        if _tells_failed_tests(text):
            failing += 1
        elif not turn.failed and _tells_passed_tests(text):
            errors = failing = 0
            start = i + 1
        elif turn.failed or _tells_failure(text):
            errors += 1
    recent = [call for turn in turns[start:] for call in turn.tool_calls] if start else calls
    return Since(
        tool_calls=len(calls),
        errors=errors,
        failing_tests=failing,
        retries=len(recent) - len(set(recent)),
        answers=_answers(turns, calls),
    )


def _answers(turns: tuple[Turn, ...], calls: list[ToolCall]) -> int:
    """Count the questions to the user that have their answer."""
    asked = {call.id for call in calls if call.name.lower() in QUESTION_TOOLS}
    if not asked:
        return 0
    return sum(turn.role is Role.TOOL and turn.result_of in asked for turn in turns)


def _tells_passed_tests(text: str) -> bool:
    likely = "pass" in text or "OK" in text or "PASS" in text or "SUCCESS" in text
    return likely and bool(_PASSED_TESTS.search(text)) and not _ERRORS_COUNTED.search(text)


def _tells_failure(text: str) -> bool:
    """Search for a failure; plain words are looked for first, which is ten times as fast."""
    lower = text.lower()
    return any(word in lower for word in _FAILURE_WORDS) and bool(_FAILURE.search(text))


def _tells_failed_tests(text: str) -> bool:
    likely = "fail" in text or "FAIL" in text or "AssertionError" in text
    return (likely or "✗" in text or "not ok" in text) and bool(_FAILED_TESTS.search(text))


def _ends(text: str) -> str:
    if len(text) <= RESULT_CHARS:
        return text
    return f"{text[: RESULT_CHARS // 2]}\n{text[-RESULT_CHARS // 2 :]}"
