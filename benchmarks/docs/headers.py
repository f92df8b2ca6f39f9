"""docs/headers.md: every header, from the tables by which they are read and written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from benchmarks.docs.pages import Block, Sources, code, grid, listed, prose
from classifier.model import MODE_TYPES
from router.callers.keys import OWN_KEY_PREFIX
from router.callers.wishes import WISHES
from router.serving.headers import TOLD
from router.wire.clients import (
    AGENT_NAMES,
    ASIDE_CLASSES,
    KINDS,
    ROLE_NAMES,
    SESSION_NAMES,
    SUBAGENT_NAMES,
    TOOL_USERS,
    TURN_METADATA,
)
from router.wire.format import FORMATS
from router.wire.preferences import FIELDS as PREFERENCES

SAYS: Final[tuple[tuple[Iterable[str], str], ...]] = (
    (SESSION_NAMES, "Names the session."),
    (SUBAGENT_NAMES, "A subagent calls."),
    (AGENT_NAMES, "Tells agents of one session apart."),
    (("x-kilocode-mode",), "Any other value is the agent's mode, see below."),
    (ROLE_NAMES, "Names the agent, for which a key may set tiers and mappings."),
    (
        ("x-claude-code-request-class",),
        f"{listed(sorted(ASIDE_CLASSES))}: the call stands beside the conversation.",
    ),
    (
        ("user-agent",),
        f"Beginning {listed(TOOL_USERS)}: an agent, whose calls without tools are titles, summaries "
        "or stand beside the conversation.",
    ),
    (("request-kind",), "Said in the turn's metadata."),
    ((TURN_METADATA,), "JSON in which Codex says any of these again."),
)
"""Headers that clients set by themselves → what they are read for."""


def wishes(sources: Sources) -> str:
    """List the headers by which a client steers a request."""
    rows = [[code(w.header), prose(w.takes), prose(w.meaning), prose(w.who)] for w in WISHES]
    return grid(("header", "takes", "meaning", "who may send it"), rows)


def told(sources: Sources) -> str:
    """List the headers of a reply."""
    return grid(("header", "meaning"), [[code(t.name), prose(t.meaning)] for t in TOLD])


def declared(sources: Sources) -> str:
    """List what clients declare by themselves."""
    meanings: dict[str, list[str]] = {}
    for names, meaning in SAYS:
        for name in names:
            meanings.setdefault(name, []).append(meaning)
    for name, kinds in KINDS.items():
        said = "; ".join(f"{code(value)} → {task}" for value, task in kinds.items())
        meanings.setdefault(name, []).insert(0, f"What the call is: {said}.")
    return grid(("header", "what it says"), [[code(n), " ".join(m)] for n, m in meanings.items()])


def modes(sources: Sources) -> str:
    """List the agent modes: what they make likelier, and what they choose on a tier."""
    tiers = [tier for tier in sources.catalogue().tiers if tier.modes]
    names = sorted({*MODE_TYPES, *(name for tier in tiers for name in tier.modes)} - {"default"})
    rows = [
        [
            code(name),
            ", ".join(sorted(MODE_TYPES.get(name, ()))) or "–",
            *(code(tier.modes.get(name, tier.modes["default"])) for tier in tiers),
        ]
        for name in names
    ]
    return grid(
        ("mode", "families made likelier", *(f"model of `{tier.id}`" for tier in tiers)), rows
    )


def own_key(sources: Sources) -> str:
    """Name the header that brings a provider's key."""
    return (
        f"`{OWN_KEY_PREFIX}NAME: KEY` brings the caller's own key to the provider NAME, for one "
        "request. The names are the [providers'](quickstart.md#with-a-providers-key)."
    )


def passed(sources: Sources) -> str:
    """Name the headers that belong to a format."""
    rows = [
        [format_name, listed(f"{beginning}…" for beginning in format.HEADERS) or "–"]
        for format_name, format in FORMATS.items()
    ]
    return grid(("format", "headers passed on to every provider that speaks it"), rows)


def preferences(sources: Sources) -> str:
    """List the fields of a request's ``provider`` object, and how direct providers are held to them."""
    rows = [[code(row.field), prose(row.held)] for row in PREFERENCES]
    return grid(("field of `provider`", "a provider that is called directly"), rows)


BLOCKS: Final[dict[str, Block]] = {
    "wishes": wishes,
    "told": told,
    "declared": declared,
    "modes": modes,
    "own-key": own_key,
    "passed": passed,
    "preferences": preferences,
}
