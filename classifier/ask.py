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
request, reads only the ends of a tool result, and looks for few asks in the system prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Final

from classifier.carry import REPLY_CHARS
from classifier.markers import ASK_WRAPPERS, CLIENT_BLOCKS, OPENERS, TRAILERS
from classifier.since import has_open_call, since_of
from classifier.turns import Conversation, Exchange, Role, Turn

ASK_HEAD_CHARS: Final = 3000
ASK_TAIL_CHARS: Final = 1000
"""A longer ask keeps its head and its tail: the instruction stands before or after a paste."""

PASTE_CHARS: Final = 500
INSTRUCTION_CHARS: Final = 240
"""A text this long may hold a paste; a paragraph this short at its end may be the instruction."""

MAX_PARAGRAPHS: Final = 64
"""How many paragraphs of an ask are looked for in the system prompt.  With one of them, all after
it stand there too: the first is found by halving, in at most seven searches."""

MAX_BEFORE: Final = 12
"""How many asks before the newest are read with it: what they set and carried on is the task under way."""

RULES_CHARS: Final = 200
"""Shorter rules are not looked for."""

MAX_BACK: Final = 64
"""How many asks before those are looked at for one that may have set the task."""

ANSWER_CHARS: Final = 24
"""An ask this short may only answer: seven of ten answers and go-aheads of the corpus are no longer."""

MAX_SETTING: Final = 3
"""So many longer ones are read with the newest: one of them may only answer too, at more length."""

_TAG = re.compile(r"<([a-z][a-z_-]{2,31})(?:\s[^<>]{0,200})?>")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_SPACE = re.compile(r"\s*")
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
    asks = [i for i, turn in enumerate(turns) if _words_of(turn)]
    if summary_follows and len(asks) > 1 and not _assistant_spoke(turns):
        asks.pop()
    at = asks[-1] if asks else len(turns)
    ask = ask_of(turns[at], system) if asks else ""
    return Conversation(
        ask=clip(ask),
        before=_exchanges(turns, asks, system),
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

    Cut is what the client appended; in a tool result it appends nothing.
    """
    words = _words_of(turn)
    return words if turn.role is Role.TOOL else _cut_client_rules(words, system)


def _words_of(turn: Turn) -> str:
    """Return what is left of a turn without the blocks and openers of its client.

    A tool result counts only when it is *wholly* one wrapper (what a user types at a client's
    completion prompt arrives that way); anything looser would let a file speak for the user.
    """
    if turn.role is Role.TOOL:
        return "".join(_wholly_wrapped(text) for text in turn.texts)
    if turn.role is not Role.USER:
        return ""
    words = "\n".join(own for text in turn.texts if (own := _own_words(text)))
    for opener in OPENERS:
        words = words.removeprefix(opener).lstrip() if words.startswith(opener) else words
    return words


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
    start, end = _after_space(text, 0), len(text.rstrip())
    while (tag := _TAG.match(text, start, end)) and tag[1] in CLIENT_BLOCKS:
        closing = f"</{tag[1]}>"
        closed = text.find(closing, tag.end(), end)
        if closed < 0:
            return ""
        start = _after_space(text, closed + len(closing))
    while close := _LAST_CLOSE.search(text, max(start, end - 40), end):
        opened = text.rfind(f"<{close[1]}", start, close.start())
        if close[1] not in CLIENT_BLOCKS or opened < 0:
            break
        end = _before_space(text, start, opened)
    return _unquote(_open_wrapper(text[start:end]))


def _after_space(text: str, at: int) -> int:
    """Return where the white space at a place ends."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _before_space(text: str, start: int, end: int) -> int:
    """Return where the white space before a place begins, not before ``start``."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _open_wrapper(text: str) -> str:
    """Return what stands inside the first wrapper, or the text itself."""
    unclosed: set[str] = set()
    for tag in _TAG.finditer(text[:400]):
        if tag[1] not in ASK_WRAPPERS or tag[1] in unclosed:
            continue
        closed = text.find(f"</{tag[1]}>", tag.end())
        if closed >= 0:
            return text[tag.end() : closed].strip()
        if tag.start() == 0:
            return text[tag.end() :].strip()
        unclosed.add(tag[1])
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
    """Cut the rules that a client appends to the user's words."""
    for trailer in TRAILERS:
        at = text.find(trailer)
        if at > 0:
            text = text[:at].rstrip()
    if not system:
        return text
    breaks = list(islice(_paragraphs(text), MAX_PARAGRAPHS))
    if not breaks or text[breaks[-1] :].strip() not in system:
        return text
    first = bisect_left(
        breaks, True, hi=len(breaks) - 1, key=lambda at: text[at:].strip() in system
    )
    return text[: breaks[first]].rstrip()


def _paragraphs(text: str) -> Iterator[int]:
    """Yield where paragraphs end that are followed by enough text to be a client's rules."""
    at = text.find("\n\n")
    while 0 <= at <= len(text) - RULES_CHARS:
        yield at
        at = text.find("\n\n", at + 2)


def _exchanges(turns: tuple[Turn, ...], asks: list[int], system: str) -> tuple[Exchange, ...]:
    """Return the newest asks before the last, each with the assistant's last words before the next.

    First come the newest before them that are too long to be mostly answers, each with what was said last
    before the next.
    """
    pairs = list(pairwise(asks))
    recent, older = pairs[-MAX_BEFORE:], pairs[:-MAX_BEFORE][-MAX_BACK:]
    setting: list[Exchange] = []
    said = _reply(turns, *older[-1]) if older else ""
    for at in reversed(range(len(older))):
        ask = ask_of(turns[older[at][0]], system)
        if not _may_only_answer(ask):
            setting.insert(0, Exchange(clip(ask), said))
            said = _reply(turns, *older[at - 1]) if at else ""
        if len(setting) == MAX_SETTING:
            break
    newest = (
        Exchange(clip(ask_of(turns[start], system)), _reply(turns, start, end))
        for start, end in recent
    )
    return (*setting, *newest)


def _may_only_answer(ask: str) -> bool:
    """Whether an ask is as short as most answers, by how much its signs say."""
    return sum(map(_width, ask[: ANSWER_CHARS + 1])) <= ANSWER_CHARS


def _width(char: str) -> int:
    """How many letters of an alphabet a character says as much as: Chinese 3, kana and Hangul 2."""
    if not "\u3040" <= char < "\ud7b0":
        return 1
    return 3 if "\u3400" <= char < "\ua000" else 2


def _reply(turns: tuple[Turn, ...], start: int, end: int) -> str:
    """Return the end of what the assistant said last between two asks; empty if it said nothing."""
    for i in range(end - 1, start, -1):
        if turns[i].role is Role.ASSISTANT and turns[i].texts:
            return turns[i].texts[-1][-REPLY_CHARS:]
    return ""


def _assistant_spoke(turns: tuple[Turn, ...]) -> bool:
    return any(turn.role is Role.ASSISTANT for turn in turns)
