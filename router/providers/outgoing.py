"""What a provider is sent: address, headers and body of one attempt.  Pure.

The client's body goes as it came, with what routing changes; headers are made from nothing: our own
authentication, and the few of the client's that a provider's row or the format names.  Nothing of
the client's authentication, cookies, addresses or hop-by-hop headers can pass, because nothing
passes unless it is named.  ``accept-encoding: identity`` keeps bodies readable for the relay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router import __version__
from router.providers.attempts import Attempt, Larger, no_larger
from router.providers.endpoints import Endpoint
from router.providers.fitting import Rewrite, fitted, top_level
from router.wire.fields import outline
from router.wire.format import FORMATS, Format
from router.wire.preferences import FIELD as PREFERENCES
from router.wire.request import ChatRequest
from router.wire.splice import Path, edited, set_fields

USER_AGENT: Final = f"auto-efficient/{__version__}"

JSON: Final = "application/json"


def no_signs() -> None:
    """Take no sign of life."""


@dataclass(frozen=True, slots=True)
class Order:
    """One request to be served by the first attempt that can."""

    request: ChatRequest
    attempts: Sequence[Attempt]
    headers: Mapping[str, str]
    """The client's own, names in lower case."""
    routed: bool
    """A tier chose the model, and so sets its effort."""
    query: bytes = b""
    """The client's own."""
    foreign: Callable[[str], frozenset[int]] = lambda model: frozenset()
    """Model → which items of the conversation another family wrote."""
    larger: Larger = no_larger
    """Further attempts, for a request that is longer than a model's context."""
    caller: str = ""
    """Who asks: what only its requests show is held against nobody else's."""
    room: Callable[[str], int | None] = lambda model: None
    """Model → the longest answer that it gives, in tokens; None where that is not known."""
    works: Callable[[], None] = no_signs
    """Is called when the upstream of a stream says before its first word that it works on it."""


def write_url(order: Order, attempt: Attempt) -> str:
    """Return where an attempt is sent."""
    request, endpoint = order.request, attempt.endpoint
    return FORMATS[request.interface].url(
        endpoint.base_url, endpoint.model, streams=request.streams, query=order.query
    )


def write_headers(order: Order, attempt: Attempt) -> list[tuple[bytes, bytes]]:
    """Make the request's headers from nothing; see the module's text."""
    request, format = order.request, FORMATS[order.request.interface]
    return made_headers(attempt.endpoint, order.headers, streams=request.streams, format=format)


def made_headers(
    endpoint: Endpoint, given: Mapping[str, str], *, streams: bool, format: Format | None = None
) -> list[tuple[bytes, bytes]]:
    """Make headers for an endpoint; of the client's own, ``given``, what its row or format names."""
    headers = {
        "content-type": JSON,
        "accept": "text/event-stream" if streams else JSON,
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        **endpoint.provider.headers,
    }
    if format is not None:
        headers |= {n: v for n, v in format.headers().items() if n not in headers}
    if forward := (*endpoint.provider.forward, *(format.HEADERS if format else ())):
        headers |= {n: v for n, v in given.items() if n.startswith(forward)}
    pairs = [*headers.items(), *endpoint.auth_headers()]
    return [(n.encode("latin-1"), v.encode("latin-1", "replace")) for n, v in pairs]


def write_body(order: Order, attempt: Attempt) -> tuple[bytes, tuple[str, ...]]:
    """Return the client's body with what routing changes, and every other byte as it was.

    Beside it stands what of a routed request the vendor would have refused, and is missing.
    """
    request, provider = order.request, attempt.endpoint.provider
    format, body = FORMATS[request.interface], request.body
    fields: Mapping[str, Any] = request.fields
    fit = _fit(order, attempt, format)
    cuts, changes = [*_refused(order, attempt, format), *fit.cuts], fit.changes
    if cuts or fit.puts:
        body = edited(body, cuts, fit.puts)
        gone = {path[0] for path in cuts if len(path) == 1}
        fields = {key: value for key, value in fields.items() if key not in gone}
    if provider.strict:
        changes = {k: v for k, v in changes.items() if k not in format.ONLY_OPENROUTER}
    return set_fields(body, fields, changes), fit.left_out


def sent_fields(order: Order, attempt: Attempt) -> set[str]:
    """Name the fields that an attempt sends: the client's, and those that routing adds.

    An outline tells; the body itself was let go, and to read a large one again would hold everybody up.
    """
    fields = outline(order.request.fields)
    if not order.routed:
        return {*fields}
    rewrite = _top_level(order, attempt, fields)
    gone = {str(key) for key, *_ in rewrite.cuts}
    return {*fields, *rewrite.changes} - (gone - rewrite.changes.keys())


def _fit(order: Order, attempt: Attempt, format: Format) -> Rewrite:
    """Return how a body is changed: on a routed request also for its vendor."""
    changes = _changes(order, attempt, format, order.request.fields)
    if not order.routed:
        return Rewrite(changes)
    target, facts = attempt.target, attempt.endpoint.facts
    room = order.room(target.unit.model)
    request = order.request
    return fitted(format, request.fields, changes, target, facts, room, request.hosted)


def _top_level(order: Order, attempt: Attempt, fields: Mapping[str, Any]) -> Rewrite:
    """Return how the top level of a routed request, or its outline, is changed."""
    format = FORMATS[order.request.interface]
    changes, facts = _changes(order, attempt, format, fields), attempt.endpoint.facts
    room = order.room(attempt.target.unit.model)
    return top_level(format, fields, changes, facts, room)


def _changes(
    order: Order, attempt: Attempt, format: Format, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the top-level fields that routing sets."""
    changes = format.write_model(fields, attempt.endpoint.model)
    if order.routed:
        changes |= format.write_target(fields, attempt.target)
        changes |= format.ask_for_usage(fields) if attempt.endpoint.provider.reports_usage else {}
    return changes


def _refused(order: Order, attempt: Attempt, format: Format) -> Iterator[Path]:
    """Yield where in a body stands what this attempt would refuse."""
    fields = order.request.fields
    if attempt.endpoint.provider.strict:
        yield from ((key,) for key in format.ONLY_OPENROUTER & fields.keys())
    elif PREFERENCES in fields and not attempt.endpoint.provider.aggregates:
        yield (PREFERENCES,)
    items = fields.get(format.ITEMS)
    if isinstance(items, list):
        for path in _refused_in(items, order, attempt, format):
            yield format.ITEMS, *path


def _refused_in(items: list[Any], order: Order, attempt: Attempt, format: Format) -> Iterator[Path]:
    """Yield the same of a conversation, with paths that begin at its items."""
    provider = attempt.endpoint.provider
    if foreign := order.foreign(attempt.target.unit.model):
        yield from format.foreign_reasoning(items, foreign.__contains__)
    if order.routed or not provider.stateful:
        yield from format.references(items)
    if provider.strict and format.ONLY_CLIENTS:
        for i, item in enumerate(items):
            if isinstance(item, dict):
                yield from ((i, key) for key in format.ONLY_CLIENTS & item.keys())
