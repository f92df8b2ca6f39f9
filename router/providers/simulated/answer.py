"""What the simulated provider answers, before it has a wire format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from classifier.ask import ask_of
from classifier.turns import Role
from router.providers.simulated.cache import BYTES_PER_TOKEN
from router.providers.simulated.shape import Shape, read_shape, value_of
from router.values import Interface
from router.wire.format import FORMATS
from router.wire.parts import Reading, mappings

NOTICE: Final = "This is a simulated reply from Auto Efficient: no model was called. "

LOREM: Final = [
    "You",
    "asked",
    "about",
    "the",
    "following.",
    "Plan:",
    "read",
    "the",
    "code",
    "that",
    "is",
    "concerned,",
    "change",
    "one",
    "thing,",
    "run",
    "the",
    "tests,",
    "and",
    "report",
    "what",
    "changed.",
    "Configure",
    "a",
    "provider",
    "key",
    "to",
    "get",
    "a",
    "real",
    "answer.",
]

LENGTH: Final = "length"

USUAL_WORDS: Final = 40

EVENT_WORDS: Final = 4
"""Words per streamed event, about what providers send."""

_DIRECTIVE = re.compile(r"\[\[simulate:([^\]]*)\]\]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, before it has a wire format."""

    id: str
    model: str
    text: str
    reasoning: str = ""
    tool: str = ""
    arguments: str = "{}"
    input_tokens: int = 0
    cached_tokens: int = 0
    created: int = 0
    """When, in seconds since 1970."""
    choices: int = 1
    """How often it is given."""
    cut: str | None = None
    """Why it ends early: ``length``, or the stop sequence that it came to."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The request, which formats repeat."""
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def too_long(self) -> bool:
        """Whether it was cut at the limit that the request sets."""
        return self.cut == LENGTH

    @property
    def output_tokens(self) -> int:
        """Tokens of everything said, at four characters each."""
        said = len(self.text) + len(self.reasoning) + len(self.arguments)
        return self.choices * (said // BYTES_PER_TOKEN)


def make_answer(
    fields: Mapping[str, Any],
    interface: Interface,
    directives: str = "",
    *,
    n_bytes: int = 400,
    cached_tokens: int = 0,
    created: int = 0,
) -> Answer:
    """Decide what a request of ``n_bytes`` is answered with."""
    reading = FORMATS[interface].read(fields)
    model = str(fields.get("model") or "")
    asked = [(i, ask) for i, turn in enumerate(reading.turns) if (ask := ask_of(turn))]
    at, ask = asked[-1] if asked else (-1, "")
    said = _DIRECTIVE.search(ask)
    faults = directives_in(directives or (said[1] if said else ""))
    if not model.startswith(faults.get("model", "")):
        faults = {}
    answered = any(turn.role is Role.TOOL for turn in reading.turns[at + 1 :])
    tool = "" if answered else _tool_asked_for(fields, reading, ask, faults)
    shape = read_shape(fields, interface)
    words, cut = _shaped(answer_text(ask, int(faults.get("words") or 0), shape.limit_chars), shape)
    digest = hashlib.sha256(orjson.dumps([model, reading.system, ask])).hexdigest()
    size = n_bytes // BYTES_PER_TOKEN
    return Answer(
        id=digest[:24],
        model=model,
        text="" if tool else words,
        reasoning="Simulated reasoning: the request was read." if "reasoning" in faults else "",
        tool=tool,
        arguments=orjson.dumps(_arguments(fields, tool)).decode() if tool else "",
        input_tokens=size,
        cached_tokens=min(size, cached_tokens),
        created=created,
        choices=shape.choices,
        cut=None if tool else cut,
        fields=fields,
        faults=faults,
    )


def directives_in(text: str) -> dict[str, str]:
    """Read what should go wrong."""
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in parts if name.strip()}


def answer_text(ask: str, n_words: int = 0, limit_chars: int | None = None) -> str:
    """Return an answer of so many words or, where none are asked for, of a length that suits the limit."""
    quoted = " ".join(ask.split()[:12])
    words = [*NOTICE.split(), *(f"“{quoted}”:".split() if quoted else ())]
    words += [LOREM[i % len(LOREM)] for i in range((n_words or USUAL_WORDS) - len(words))]
    if limit_chars is not None and not n_words:
        least = len(NOTICE.split())
        while len(words) > least and len(" ".join(words)) > limit_chars:
            words.pop()
    return " ".join(words)


def _shaped(words: str, shape: Shape) -> tuple[str, str | None]:
    """Return an answer in the shape and length that is wanted, and why it was cut, if it was."""
    if shape.schema is not None:
        value = value_of(shape.schema)
        words = orjson.dumps(value if value != {} else {"simulated": True}).decode()
    ends = [(at, stop) for stop in shape.stops if (at := words.find(stop)) >= 0]
    at, cut = min(ends, default=(len(words), None))
    if shape.limit_chars is not None and shape.limit_chars < at:
        return words[: shape.limit_chars], LENGTH
    return words[:at], cut


def _tool_asked_for(
    fields: Mapping[str, Any], reading: Reading, ask: str, faults: Mapping[str, str]
) -> str:
    """Return the tool to call: the one forced, directed, named after "use" or spoken of; else none."""
    choice, tools = fields.get("tool_choice"), reading.tools
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if not tools or kind == "none":
        return ""
    if choice in ("required", "any"):
        return tools[0]
    if isinstance(choice, Mapping):
        function = choice.get("function")
        named = (function if isinstance(function, Mapping) else choice).get("name")
        if named in tools:
            return str(named)
        if kind == "any" or choice.get("mode") == "required":
            allowed = [str(tool.get("name")) for tool in mappings(choice.get("tools"))]
            return next((name for name in allowed if name in tools), tools[0])
    if (named := faults.get("tool")) in tools:
        return str(named)
    words = re.findall(r"\buse(?: the)?(?: tool)? [`'\"]?([\w.-]+)", ask, re.IGNORECASE)
    return next((word for word in words if word in tools), _spoken_of(tools, ask))


def _spoken_of(tools: tuple[str, ...], ask: str) -> str:
    """Return the one tool there is if the ask speaks of what it is named for: the weather."""
    if len(tools) != 1:
        return ""
    _, *nouns = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", tools[0])
    said = ask.lower()
    return tools[0] if any(len(noun) > 4 and noun.lower() in said for noun in nouns) else ""


def _arguments(fields: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """Make arguments that satisfy what a tool's schema requires."""
    for listed in mappings(fields.get("tools")):
        function = listed.get("function")
        named: Mapping[str, Any] = function if isinstance(function, Mapping) else listed
        if named.get("name") == tool:
            schema = named.get("parameters") or named.get("input_schema")
            made = value_of(schema)
            return made if isinstance(made, dict) else {}
    return {}


def pieces(text: str) -> Iterator[str]:
    """Cut a text as providers do, some words at a time; joined they are the text."""
    words = text.split(" ")
    for i in range(0, len(words), EVENT_WORDS):
        end = " " if i + EVENT_WORDS < len(words) else ""
        yield " ".join(words[i : i + EVENT_WORDS]) + end
