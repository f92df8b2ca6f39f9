"""A request in any wire format: bytes → ``ChatRequest``.

Each format is one module that knows where its messages stand and what its parts mean; nothing
here rejects a field it does not know, because clients send many (a system role in the middle
of Anthropic messages, item references, namespaced tools, stray descriptions).  The original
bytes are kept: what routing does not change is passed on untouched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

import orjson

from classifier.ask import ask_of, read_conversation
from classifier.turns import Conversation, Role
from router.errors import BadRequest
from router.values import Interface, Needs
from router.wire.choosers import NO_CHOOSERS, Choosers, read_choosers, settled
from router.wire.clients import Declared, read_declared
from router.wire.fields import Fields
from router.wire.format import FORMATS, shape_of
from router.wire.json_text import as_utf8, read
from router.wire.parts import HostedTool, Reading, system_text
from router.wire.pause import PAUSE

BYTES_PER_TOKEN: Final = 3.6
"""Request bytes per input token, a low estimate for JSON-wrapped code and prose, so that the
context need is over- rather than understated.  Providers' own ``usage`` is believed after."""

DEFAULT_OUTPUT_TOKENS: Final = 4096
"""Room left for the answer when the request names no maximum."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A client's request: what it says, what any answer must support, and its own bytes.

    ``session`` identifies the conversation, and ``agent`` a subagent that shares its parent's id;
    scope them by caller before using them as a key (``router.sessions.steps.key_of``).  ``continued``
    names the answer, kept by its provider, that the request goes on from, and ``builds_on`` all that
    it builds on there; ``stored``: the next one may go on from this one's.  ``n_items`` counts the
    messages or items of the conversation.  A ``body`` that was parsed here names its model once, and
    none of ``choosers.models``.
    """

    interface: Interface
    model: str | None
    conversation: Conversation
    needs: Needs
    streams: bool
    session: str
    agent: str | None
    continued: str | None
    stored: bool
    n_items: int
    fields: Fields
    builds_on: tuple[str, ...] = ()
    choosers: Choosers = NO_CHOOSERS
    wants_usage: bool = True
    """The client of a stream asked to be told its usage."""
    n_answers: int = 1
    """How many are to be told side by side."""
    effort: str | None = None
    """As the client set it; None where it set none."""
    hosted: tuple[HostedTool, ...] = ()
    """Tools that a routed request is sent without where the model's vendor does not run them."""
    roles: tuple[str, ...] = ()
    """What its client calls the agent that asks, the nearest first."""

    @property
    def body(self) -> bytes:
        """The client's own; nothing once it was spent."""
        return self.fields.body

    def let_go(self) -> None:
        """Keep of the body its bytes only; it is parsed again when it is read again."""
        self.fields.let_go()

    def spend(self) -> None:
        """Keep nothing of the body, for when nobody is asked any more."""
        self.fields.spend()


def parse(
    body: bytes,
    *,
    interface: Interface | None,
    headers: Mapping[str, str] | None = None,
    path: str = "",
) -> ChatRequest:
    """Read a request body; header names may be in any case.  Raises BadRequest.

    Without an ``interface`` the body's shape tells which it is.
    """
    with PAUSE:
        return _parsed(body, interface, headers or {}, path)


def _parsed(
    body: bytes, interface: Interface | None, headers: Mapping[str, str], path: str
) -> ChatRequest:
    body, fields = loaded(body, headers)
    interface = interface or shape_of(fields)
    read = from_fields(fields, body=body, interface=interface, headers=headers, path=path)
    once, left = settled(body, fields)
    return read if once is body else replace(read, fields=Fields(once, left))


def loaded(body: bytes, headers: Mapping[str, str]) -> tuple[bytes, dict[str, Any]]:
    """Return a body in UTF-8, and what it says; raises BadRequest for what is no JSON object."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = (v for name, v in headers.items() if name.lower() == "content-type")
        body = as_utf8(body, next(said, ""))
        fields = _read(body)
    if not isinstance(fields, dict):
        raise BadRequest("the request body must be a JSON object")
    return body, fields


def _read(body: bytes) -> object:
    """Parse a body that a strict parser refused; raises BadRequest."""
    try:
        return read(body)
    except RecursionError:
        raise BadRequest("the request body is nested too deeply; flatten it") from None
    except ValueError as error:
        raise BadRequest(f"the request body is not valid JSON: {error}") from error


def from_fields(
    fields: dict[str, Any],
    *,
    body: bytes,
    interface: Interface,
    headers: Mapping[str, str] | None = None,
    path: str = "",
) -> ChatRequest:
    """Read a body that is parsed already; ``body`` is the same as bytes.

    ``path`` is the request's, for formats that name the model there.
    """
    format = FORMATS[interface]
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    declared = read_declared(lower, fields)
    reading, wanted = format.read(fields), format.wanted(path, fields)
    continued = format.continues(fields)
    items = fields.get(format.ITEMS)
    conversation = _conversation(reading, declared)
    choosers, model = read_choosers(fields, format.listed_tools(fields)), wanted.model
    if not model and choosers.models:
        model, *others = choosers.models
        choosers = replace(choosers, models=tuple(others))
    return ChatRequest(
        interface=interface,
        model=model,
        conversation=conversation,
        needs=_needs(reading, conversation, interface, len(body)),
        streams=wanted.streams,
        session=declared.session_id
        or (answered_as(continued) if continued else _fingerprint(reading)),
        agent=declared.agent,
        continued=continued,
        stored=format.is_stored(fields),
        n_items=len(items) if isinstance(items, list) else 0,
        fields=Fields(body, fields),
        builds_on=format.kept(fields),
        choosers=choosers,
        wants_usage=format.wants_usage(fields),
        n_answers=format.n_answers(fields),
        effort=format.effort_of(fields),
        hosted=reading.hosted,
        roles=declared.roles,
    )


def from_text(text: str) -> ChatRequest:
    """Wrap a bare ask as the smallest chat request."""
    clean = text.encode("utf-8", "replace").decode()
    fields = {"model": "kilo-auto/efficient", "messages": [{"role": "user", "content": clean}]}
    return parse(orjson.dumps(fields), interface=Interface.CHAT)


def _conversation(reading: Reading, declared: Declared) -> Conversation:
    return read_conversation(
        reading.turns,
        system=reading.system,
        mode=declared.mode,
        declared_task=declared.task,
        aside=declared.aside,
        subagent=declared.subagent,
        summary_follows=declared.summary_follows,
        tools=reading.tools,
    )


def _needs(
    reading: Reading, conversation: Conversation, interface: Interface, body_bytes: int
) -> Needs:
    text_bytes = max(0, body_bytes - reading.media.chars)
    return Needs(
        interface=interface,
        input_tokens=int(text_bytes / BYTES_PER_TOKEN) + reading.media.tokens,
        output_tokens=reading.max_output_tokens or DEFAULT_OUTPUT_TOKENS,
        tools=bool(reading.tools),
        n_tools=len(reading.tools),
        tool_name_chars=max(map(len, reading.tools), default=0),
        odd_tool_names=not all(map(_PLAIN_NAME.fullmatch, reading.tools)),
        images=reading.media.images > 0,
        video=reading.media.video > 0,
        files=reading.media.files > 0,
        audio=reading.media.audio > 0,
        json_schema=reading.json_schema,
        open_tool_call=conversation.open_tool_call,
        provider_state=reading.provider_state,
        signed_reasoning=conversation.signed,
        bound=reading.bound,
        begun=reading.begun,
    )


def answered_as(response_id: str) -> str:
    """Name a session by its newest stored answer: all that a client sends who keeps no history."""
    return f"response-{response_id}"


def _fingerprint(reading: Reading) -> str:
    """Identify a session that has no id by how it began: its system prompt and its first ask.

    Clients append system messages later on, move blocks of their own from turn to turn, and send
    the same text now as a string and now in parts: only what stands before the first user turn,
    the user's own words before the first answer, and no white space count.
    """
    turns = reading.turns
    at = next((i for i, turn in enumerate(turns) if turn.role is Role.USER), len(turns))
    opening = tuple(takewhile(lambda turn: turn.role in (Role.USER, Role.SYSTEM), turns[at:]))
    ask = next((ask for turn in opening if (ask := ask_of(turn))), "")
    ask = ask or "".join(text for turn in opening[:1] for text in turn.texts)
    system = reading.system.removesuffix(system_text(turns[at:]))
    text = f"{system}\0{ask}".encode("utf-8", "replace").translate(None, b" \t\r\n")
    return "first-turn-" + hashlib.sha256(text).hexdigest()[:24]
