"""Requests that pass through: a model by name, and a body that is nobody's to change.  Pure.

Embeddings (https://platform.openai.com/docs/api-reference/embeddings) and legacy completions
(https://platform.openai.com/docs/api-reference/completions, both read 2026-11) are no
conversations: there is nothing to read in them, and nothing is decided.  Of a body only what
says who answers is looked at, by the same rules as that of any request; of a reply only what it
was billed for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from router.errors import BadRequest
from router.values import Interface, PassThrough, Usage
from router.wire.choosers import Choosers, read_choosers, settled
from router.wire.format import FORMATS
from router.wire.parts import in_body, positive_int, tools_of
from router.wire.preferences import FIELD as PREFERENCES
from router.wire.request import BYTES_PER_TOKEN, loaded
from router.wire.splice import set_fields, without

OPENAI: Final = FORMATS[Interface.CHAT]
"""Whose errors and usage these endpoints have."""

KEPT_BYTES: Final = 8 << 10
"""How much of a reply's beginning and end is kept to find its usage in; one has some 300 bytes."""

_USAGE = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})')


@dataclass(frozen=True, slots=True)
class Passing:
    """A request that passes through."""

    kind: PassThrough
    model: str
    """As the client named it."""
    streams: bool
    body: bytes
    """Names its model once."""
    fields: Mapping[str, Any]
    choosers: Choosers

    @property
    def input_tokens(self) -> int:
        """An estimate of all that is sent."""
        return int(len(self.body) / BYTES_PER_TOKEN)

    @property
    def n_answers(self) -> int:
        """How many are written, those that nobody is told included."""
        prompts = self.fields.get("prompt")
        several = isinstance(prompts, list) and not all(isinstance(part, int) for part in prompts)
        n_prompts = len(prompts) if isinstance(prompts, list) and several else 1
        each = (positive_int(self.fields.get(name)) for name in ("n", "best_of"))
        return n_prompts * max(1, *each)

    def written(self, model: str, *, keeps_preferences: bool) -> bytes:
        """Return the body with the name that its provider gives the model, else as it came.

        OpenRouter's ``provider`` object is for who reads it.
        """
        body, fields = self.body, self.fields
        if PREFERENCES in fields and not keeps_preferences:
            body = without(body, [(PREFERENCES,)])
            fields = {name: value for name, value in fields.items() if name != PREFERENCES}
        return set_fields(body, fields, OPENAI.write_model(fields, model))


def read_passing(kind: PassThrough, body: bytes, headers: Mapping[str, str]) -> Passing:
    """Read a body as far as it says who answers; raises BadRequest."""
    body, fields = loaded(body, headers)
    wanted = in_body("", fields)
    if wanted.model is None:
        raise BadRequest(f"{kind.path} needs a `model`, by name: nothing is chosen for it")
    choosers = read_choosers(fields, tools_of(fields))
    if choosers.models:
        raise BadRequest(f"{kind.path} takes one `model`; leave out `models` and `fallbacks`")
    body, left = settled(body, fields)
    return Passing(kind, wanted.model, wanted.streams, body, left, choosers)


class UsageSought:
    """Look for the usage in a reply that goes by: near its end, or at its beginning."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take what goes by."""
        if len(self._head) < KEPT_BYTES:
            self._head += data[: KEPT_BYTES - len(self._head)]
        self._tail = (self._tail + data[-KEPT_BYTES:])[-KEPT_BYTES:]

    @property
    def found(self) -> Usage | None:
        """What the reply says it was billed for; None where it does not."""
        for kept in (self._tail, self._head):
            for said in reversed(_USAGE.findall(kept)):
                try:
                    return OPENAI.usage_of({"usage": orjson.loads(said)})
                except ValueError:
                    continue
        return None
