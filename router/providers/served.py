"""Who answered, by the reply's own word.  Pure.

Aggregators and local servers serve another model than was asked for: a fallback of their own, or
whatever is loaded.  A reply names its model, and that is what is told of it, not what was wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from router.evidence.names import Names, fold, without_snapshot
from router.providers.attempts import Attempt
from router.values import MODEL_CHARS

HOLDERS: Final = ("message", "response")
"""Where the first event of a stream of messages, or of responses, holds what a whole reply is."""


class Answers(NamedTuple):
    """Who answers."""

    model: str
    """The model that was asked or, where the reply names another that is known here, that one."""
    own_name: str | None = None
    """What the reply calls it, where that is no name of the model that was asked."""


def named_in(fields: Mapping[str, Any]) -> str:
    """Return the name that a reply, or the first event of its stream, gives its model; or nothing."""
    for holder in (fields, *_held(fields)):
        if isinstance(name := holder.get("model"), str):
            return name.strip()[:MODEL_CHARS]
    return ""


def _held(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (held for name in HOLDERS if isinstance(held := fields.get(name), Mapping))


def answers_of(attempt: Attempt, name: str, names: Names) -> Answers:
    """Say who answers an attempt with a reply that gives its model a name, empty where it gives none."""
    asked = attempt.target.unit.model
    if not name:
        return Answers(asked)
    found = names.of(name)
    spelt = {_plain(other) for other in (asked, attempt.endpoint.model)}
    if _plain(name) in spelt or found.id == names.of(asked).id:
        return Answers(asked)
    return Answers(found.id if found.known else asked, name)


def _plain(name: str) -> str:
    """Return a name as far as it tells models apart, without its vendor."""
    return without_snapshot(fold(name).removesuffix(":latest")).rpartition("/")[2]
