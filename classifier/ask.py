"""Where in a request the user's own ask stands.

The ask is a small part of what a coding client sends.  Around it stand system prompts (also
in the middle of the conversation), reminders and environment blocks in tags inside the user
message, tool results after it, and rules pasted behind it.  A classifier that reads those
learns the client and not the task, so everything here exists to find the ask:

1.  Walk back over the turns to the newest user turn in which something is left once client
    blocks (``CLIENT_BLOCKS``) are dropped and wrappers (``ASK_WRAPPERS``) are opened.
2.  Cut what the client itself appended: a trailing span that also stands in the system prompt
    (aider repeats its edit rules there), or that begins with a known marker.
3.  If the newest turn is a tool result or holds only client blocks, the request goes on with
    an ask that was read before; what happened since is carried as facts (``Since``).

Which client puts its ask where is the table of ``classifier.markers``.  The work is linear in the
turns since the ask, and reads only the ends of a tool result.
"""

from __future__ import annotations

import re
from typing import Final

from classifier.markers import ASK_WRAPPERS, CLIENT_BLOCKS, OPENERS, TRAILERS
from classifier.since import has_open_call, since_of
from classifier.turns import Conversation, Role, Turn, asks_back, goes_ahead, is_answer

ASK_HEAD_CHARS: Final = 3000
ASK_TAIL_CHARS: Final = 1000
"""A longer ask keeps its head and its tail: the instruction stands before or after a paste."""

PASTE_CHARS: Final = 500
INSTRUCTION_CHARS: Final = 240
"""A text this long may hold a paste; a paragraph this short at its end may be the instruction."""

MAX_PARAGRAPHS: Final = 64
"""How many paragraphs of an ask are looked for in the system prompt."""

_TAG = re.compile(r"<([a-z][a-z_-]{2,31})(?:\s[^<>]{0,200})?>")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_LAST_CLOSE = re.compile(r"</([a-z][a-z_-]{2,31})>\s*$")


def read_conversation(
    turns: tuple[Turn, ...],
    *,
    system: str = "",
    mode: str | None = None,
    declared_task: str | None = None,
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
    answers = [_answers(turns, *span, ask) for span, ask in _spans(asks)]
    return Conversation(
        ask=clip(ask),
        previous_ask=clip(_task_before([ask for _, ask in asks], answers)),
        answers=bool(answers) and answers[-1],
        since=since_of(turns[at + 1 :]),
        user_turns=max(1, len(asks)),
        mode=mode,
        declared_task=declared_task,
        aside=aside,
        subagent=subagent,
        tools=tools,
        open_tool_call=has_open_call(turns),
        signed=any(turn.signed for turn in turns[at + 1 :]),
    )


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
    for _ in range(MAX_PARAGRAPHS):
        if at < 0 or len(text) - at < 200:
            break
        rest = text[at:].strip()
        if rest[:200] in system and rest in system:
            return text[:at].rstrip()
        at = text.find("\n\n", at + 2)
    return text


def _spans(asks: list[tuple[int, str]]) -> list[tuple[tuple[int, int], str]]:
    """Return each ask with the turns that lie between the one before it and its own."""
    starts = [-1, *(at for at, _ in asks)]
    return [((start, at), ask) for start, (at, ask) in zip(starts, asks, strict=False)]


def _answers(turns: tuple[Turn, ...], start: int, at: int, ask: str) -> bool:
    """Say whether an ask answers what the assistant asked in the turns between."""
    if not is_answer(ask):
        return False
    for i in range(at - 1, start, -1):
        if turns[i].role is Role.ASSISTANT:
            return bool(turns[i].texts) and asks_back(turns[i].texts[-1])
    return False


def _task_before(asks: list[str], answers: list[bool]) -> str:
    """Return the newest ask before the last that sets a task, or else the oldest."""
    for i in range(len(asks) - 2, 0, -1):
        if not (answers[i] or goes_ahead(asks[i])):
            return asks[i]
    return asks[0] if len(asks) > 1 else ""


def _assistant_spoke(turns: tuple[Turn, ...]) -> bool:
    return any(turn.role is Role.ASSISTANT for turn in turns)
