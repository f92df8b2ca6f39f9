"""A request with its wire format removed: turns, and what they come to as a conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

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

_PICK = re.compile(
    r"(?:(?:option|choice|number|variant|plan)\s*)?#?(?:\d{1,2}|[a-z])[.)]?"
    r"|(?:the )?(?:first|second|third|fourth|last|former|latter|both|all|either|neither|none|any)"
    r"(?: (?:one|option|two|of (?:them|these|those)))?[.!]?",
    re.IGNORECASE,
)
"""How one of several options is taken: "2.", "B", "the first one"."""

_AGREES = re.compile(
    r"(?:(?:yes|yeah|yep|yup|y|ok(?:ay)?|sure|please|go ahead|go on|do (?:it|that|so)|sounds good|"
    r"looks good|lgtm|perfect|great|correct|right|exactly|both|all of (?:it|them)|continue|proceed|"
    r"no|nope|not yet|skip it|leave it|"
    r"s[ií]|claro|vale|hazlo|por favor|oui|d'accord|bien s[uû]r|vas-y|ja|jawohl|klar|gerne|bitte|mach das|nein|"
    r"sim|certo|tak|да|давай(?:те)?|конечно|хорошо|нет|evet|tamam|نعم|हाँ|हां|"
    r"好的?|好啊|是的?|对的?|行|可以|继续|嗯|同意|请继续|没问题|不用|はい|ええ|うん|お願いします?|お願い|いいです(?:よ)?|そうです|"
    r"네|예|응|좋아요?|그래요?|계속(?:해 ?주세요)?|부탁(?:해요|드립니다)?)(?:[\s,.!;:、。，！…]+|$))+",
    re.IGNORECASE,
)
"""An answer that only agrees or declines, in the languages that coding clients hear most."""

_ENDS = re.compile(r"(?:thanks?|thank you|thx|ty|stop|cancel|quit|hi|hello|bye)\b", re.IGNORECASE)
"""How a short line ends or greets, and carries nothing on."""

_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_QUESTION = re.compile(r"[?？؟][\s\"'”’)\]*_»」』]*(?:$|\n|[A-Z(\[*-])")
"""A question that ends a sentence: ``a?.b`` and ``?page=2`` are none."""

QUESTION_CHARS: Final = 300
"""How much of the assistant's last words is searched for a question: it stands at their end."""

FOLLOW_UP_CHARS: Final = 60
"""An ask this short in a later turn ("yes, go on") belongs with the one before it."""


def asks_back(words: str) -> bool:
    """Whether the assistant's last words put a question to the user, and not only their code."""
    last = _CODE.sub("", words[-QUESTION_CHARS:])
    return bool(_QUESTION.search(last))


def is_answer(words: str) -> bool:
    """Whether words said to a question only answer it: agreement, a pick, a name, a sign.

    What says more than that may be a wish of its own.
    """
    words = words.strip()
    if len(words) > FOLLOW_UP_CHARS or _ENDS.match(words):
        return False
    if _AGREES.fullmatch(words) or _PICK.fullmatch(words):
        return True
    return not any(c.isalpha() for c in words) or (words.isascii() and len(words.split()) == 1)


def goes_ahead(words: str) -> bool:
    """Whether words only tell the assistant to go on."""
    return len(words) <= FOLLOW_UP_CHARS and not _GO_ON.sub("", words).strip()


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
    None when nothing was declared.  ``open_tool_call``: a tool was called and its result is not
    there yet.  ``signed``: reasoning since the ask only its own family can read.  ``aside``: the
    client does not go on from the answer; the call stands beside its conversation.
    ``previous_ask`` is the newest one before that set a task; ``answers``: the ask answers a question
    of the assistant's.
    """

    ask: str
    previous_ask: str = ""
    answers: bool = False
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
        return bool(self.previous_ask) and bool(_COMPLAINT.search(self.ask[:COMPLAINT_CHARS]))

    @property
    def goes_on(self) -> bool:
        """Whether the ask sets no task: it answers the assistant, or only tells it to go on."""
        return bool(self.previous_ask) and (self.answers or goes_ahead(self.ask))

    @property
    def follows_up(self) -> bool:
        """Whether the ask is too short to set a task of its own."""
        return bool(self.previous_ask) and len(self.ask) <= FOLLOW_UP_CHARS
