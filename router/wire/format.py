"""What a wire format must say of itself, and the formats there are.

A format is a module of this package, named after its member of ``Interface``.  Everything that
depends on the format is asked of it through ``Format``; nothing outside this package asks which one
it is.  A further format is a file here, and a row of ``Interface``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from router.errors import BadRequest
from router.values import Interface, Target, Usage
from router.wire.parts import Foreign, Place, Progress, Reading, Wanted
from router.wire.splice import Path


class Format(Protocol):
    """The rules of one wire format; ``fields`` is always a parsed body."""

    PATHS: tuple[str, ...]
    """How the paths of its endpoint end, ``{name}`` standing for any text; the first is told."""
    COUNT_PATH: str | None
    """The same of its endpoint that counts tokens, if it has one."""
    ITEMS: str
    """The field that holds the conversation."""
    TELLS: frozenset[str]
    """Fields that no other format has: they give away a body whose path does not say."""
    HEADERS: tuple[str, ...]
    """How headers begin that belong to the format itself: they go upstream, and give away who asks."""
    MARKS: tuple[bytes, ...]
    """Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""
    HEARTBEAT: bytes
    """A sign of life for the client of a stream, between any two events and before the first."""
    ONLY_OPENROUTER: frozenset[str]
    """Top-level fields that strict vendors refuse; clients made for OpenRouter send them."""
    ONLY_CLIENTS: frozenset[str]
    """Fields of an item that strict vendors refuse."""
    OUTPUT: tuple[str, ...]
    """Fields that say how long an answer may be."""
    CALL_IDS: Mapping[str, tuple[str, ...]]
    """Kind of object → its members that name a tool call."""
    EFFORT_ITEMS: frozenset[str]
    """Kinds of items that change the effort from where they stand on."""

    # What a request says.

    def wanted(self, path: str, fields: Mapping[str, Any]) -> Wanted:
        """Say which model is asked for, and whether the answer is to be streamed."""
        ...

    def read(self, fields: Mapping[str, Any]) -> Reading:
        """Find turns, system prompt, tools and needs."""
        ...

    def continues(self, fields: Mapping[str, Any]) -> str | None:
        """Return the name of the answer, kept by its provider, that a request goes on from."""
        ...

    def kept(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the ids of what its provider keeps that a request builds on."""
        ...

    def is_stored(self, fields: Mapping[str, Any]) -> bool:
        """Say whether the provider may keep the answer, to be gone on from by its name."""
        ...

    def wants_usage(self, fields: Mapping[str, Any]) -> bool:
        """Say whether the client of a stream asked to be told its usage."""
        ...

    def n_answers(self, fields: Mapping[str, Any]) -> int:
        """Return how many answers are asked for, to be told side by side."""
        ...

    # What is sent upstream.

    def url(self, base_url: str, model: str, *, streams: bool, query: bytes) -> str:
        """Return where a provider takes requests; ``query`` is the client's own."""
        ...

    def headers(self) -> dict[str, str]:
        """Return the headers that the format demands, as far as the client gives none."""
        ...

    def write_model(self, fields: Mapping[str, Any], model: str) -> dict[str, Any]:
        """Return the fields that name a model, as far as they must change."""
        ...

    def write_target(self, fields: Mapping[str, Any], target: Target) -> dict[str, Any]:
        """Return the fields that give a tier's effort and verbosity."""
        ...

    def ask_for_usage(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that make a stream report its usage."""
        ...

    # How it is written for a vendor; a ``view`` is a copy of a body's fields, changed in place.

    def places(self, fields: Mapping[str, Any]) -> Iterator[Place]:
        """Yield the objects whose members vendors are strict about; paths begin at the top."""
        ...

    def listed_tools(self, fields: Mapping[str, Any]) -> list[Any]:
        """Return the tools of a body, wherever it lists them."""
        ...

    def effort_of(self, fields: Mapping[str, Any]) -> str | None:
        """Return the effort that a body asks for."""
        ...

    def set_effort(self, view: dict[str, Any], effort: str | None) -> None:
        """Ask for an effort, or for none in particular."""
        ...

    def fit_thinking(self, view: dict[str, Any], modes: frozenset[str]) -> None:
        """Write thinking in the modes that a model takes; drop what none of them can say."""
        ...

    def foreign_reasoning(self, items: list[Any], foreign: Foreign) -> Iterator[Path]:
        """Yield where reasoning stands that another family signed; paths begin at the items."""
        ...

    def references(self, items: list[Any]) -> Iterator[Path]:
        """Yield where items stand that only refer to what a provider stored."""
        ...

    # What comes back.

    def is_reply(self, fields: Mapping[str, Any]) -> bool:
        """Say whether a body is the reply this format promises."""
        ...

    def is_empty(self, fields: Mapping[str, Any]) -> bool:
        """Say whether a reply says nothing, gives no reason for it, and took no tokens."""
        ...

    def complete(self, fields: dict[str, Any]) -> bool:
        """Mend what clients rely on in a reply's usage; say whether anything was amiss."""
        ...

    def usage_of(self, fields: Mapping[str, Any]) -> Usage | None:
        """Read the usage of a reply."""
        ...

    def answers(self, fields: Mapping[str, Any]) -> bool:
        """Say whether an event holds a part of an answer, or a reason why there is none."""
        ...

    def see(self, data: bytes, progress: Progress) -> bytes | None:
        """Look at one event; return what to send in its place, or None to leave it as it is."""
        ...

    def closing(
        self,
        progress: Progress,
        problem: str,
        *,
        status: int = 502,
        code: str = "upstream_error",
    ) -> bytes:
        """Write what a stream still lacks: an error if it broke, and the terminator."""
        ...

    def as_events(self, fields: Mapping[str, Any]) -> bytes:
        """Write a whole reply as the stream it could have been."""
        ...

    def assembled(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Write the whole reply that a stream told in pieces; raises ValueError for half of one."""
        ...

    def error_body(self, status: int, code: str, message: str) -> dict[str, Any]:
        """Shape an error."""
        ...

    def is_error(self, fields: Mapping[str, Any]) -> bool:
        """Say whether a body is an error as this format's clients read it."""
        ...

    def counted(self, tokens: int) -> dict[str, Any]:
        """Shape the answer of ``COUNT_PATH``."""
        ...


def _module(interface: Interface) -> Format:
    return cast(Format, import_module(f"router.wire.{interface.value}"))


FORMATS: Final[dict[Interface, Format]] = {interface: _module(interface) for interface in Interface}

if TYPE_CHECKING:  # mypy holds these to the protocol; tests hold every format to it
    from router.wire import chat, messages, responses

    _CHAT: Format = chat
    _MESSAGES: Format = messages
    _RESPONSES: Format = responses

DEFAULT: Final = Interface.CHAT
"""Where nothing says which format it is: the one that most clients speak."""


@lru_cache
def pattern_of(template: str) -> str:
    """Return the regular expression of a template; a model's id may have slashes."""
    pieces = re.split(r"(\{\w+\})", template)
    return "".join(".+" if piece.startswith("{") else re.escape(piece) for piece in pieces)


def interface_of(path: str) -> Interface:
    """Return the wire format a path asks for; raises BadRequest."""
    plain = "/" + path.partition("?")[0].strip("/")
    for interface, format in FORMATS.items():
        if any(re.fullmatch(f".*{pattern_of(ending)}", plain) for ending in format.PATHS):
            return interface
    known = ", ".join(f"/v1{ending}" for format in FORMATS.values() for ending in format.PATHS)
    raise BadRequest(f"no wire format is known for the path {path!r}; use one of {known}")


def shape_of(fields: Mapping[str, Any]) -> Interface:
    """Tell the format of a body by the fields that only one of them has."""
    for interface, format in FORMATS.items():
        if not format.TELLS.isdisjoint(fields):
            return interface
    return DEFAULT


def spoken_in(path: str, headers: Mapping[str, str]) -> Interface:
    """Tell the format of a client by what it asks for, whether or not that is there.

    ``headers`` have names in lower case.
    """
    for interface, format in FORMATS.items():
        if any(ending.rpartition("}")[2] in path for ending in format.PATHS):
            return interface
    for interface, format in FORMATS.items():
        if format.HEADERS and any(name.startswith(format.HEADERS) for name in headers):
            return interface
    return DEFAULT
