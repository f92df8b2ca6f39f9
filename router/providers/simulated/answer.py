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
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_tokens(self) -> int:
        """Tokens of everything said, at four characters each."""
        return (len(self.text) + len(self.reasoning) + len(self.arguments)) // 4


def make_answer(
    fields: Mapping[str, Any],
    interface: Interface,
    directives: str = "",
    *,
    n_bytes: int = 400,
    cached_tokens: int = 0,
) -> Answer:
    """Decide what a request of ``n_bytes`` is answered with."""
    reading = FORMATS[interface].read(fields)
    model = str(fields.get("model") or "")
    asked = [(i, ask) for i, turn in enumerate(reading.turns) if (ask := ask_of(turn))]
    at, ask = asked[-1] if asked else (-1, "")
    said = _DIRECTIVE.search(ask)
    faults = _directives(directives or (said[1] if said else ""))
    if not model.startswith(faults.get("model", "")):
        faults = {}
    answered = any(turn.role is Role.TOOL for turn in reading.turns[at + 1 :])
    tool = "" if answered else _tool_asked_for(fields, reading, ask, faults)
    digest = hashlib.sha256(orjson.dumps([model, reading.system, ask])).hexdigest()
    size = n_bytes // BYTES_PER_TOKEN
    return Answer(
        id=digest[:24],
        model=model,
        text="" if tool else _text(ask, int(faults.get("words") or 40)),
        reasoning="Simulated reasoning: the request was read." if "reasoning" in faults else "",
        tool=tool,
        arguments=orjson.dumps(_arguments(fields, tool)).decode() if tool else "",
        input_tokens=size,
        cached_tokens=min(size, cached_tokens),
        faults=faults,
    )


def _directives(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in parts if name.strip()}


def _text(ask: str, n_words: int) -> str:
    quoted = " ".join(ask.split()[:12])
    words = [*NOTICE.split(), *(f"“{quoted}”:".split() if quoted else ())]
    words += [LOREM[i % len(LOREM)] for i in range(max(0, n_words - len(words)))]
    return " ".join(words)


def _tool_asked_for(
    fields: Mapping[str, Any], reading: Reading, ask: str, faults: Mapping[str, str]
) -> str:
    """Return the tool to call: the one forced, directed or named after "use"; else none."""
    choice = fields.get("tool_choice")
    if choice in ("required", "any") and reading.tools:
        return reading.tools[0]
    if isinstance(choice, Mapping):
        function = choice.get("function")
        named = (function if isinstance(function, Mapping) else choice).get("name")
        if named in reading.tools:
            return str(named)
        if choice.get("type") == "any" and reading.tools:
            return reading.tools[0]
    if (named := faults.get("tool")) in reading.tools:
        return str(named)
    words = re.findall(r"\buse(?: the)?(?: tool)? [`'\"]?([\w.-]+)", ask, re.IGNORECASE)
    return next((word for word in words if word in reading.tools), "")


def _arguments(fields: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """Make arguments that satisfy what a tool's schema requires."""
    for listed in mappings(fields.get("tools")):
        function = listed.get("function")
        named: Mapping[str, Any] = function if isinstance(function, Mapping) else listed
        if named.get("name") == tool:
            schema = named.get("parameters") or named.get("input_schema")
            made = _value(schema, 0)
            return made if isinstance(made, dict) else {}
    return {}


def _value(schema: object, depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > 5:
        return {}
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    match schema.get("type"):
        case "string":
            return "simulated"
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case "array":
            return []
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or not isinstance(properties, Mapping):
        return {}
    return {name: _value(properties.get(name), depth + 1) for name in required}


def pieces(text: str) -> Iterator[str]:
    """Cut a text as providers do, some words at a time; joined they are the text."""
    words = text.split(" ")
    for i in range(0, len(words), EVENT_WORDS):
        end = " " if i + EVENT_WORDS < len(words) else ""
        yield " ".join(words[i : i + EVENT_WORDS]) + end
