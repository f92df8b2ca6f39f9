"""What coding clients say about a request beside its text: headers and tell-tales, as tables.

Measured by driving each client against a recording stub (2026-11-20).  Clients declare their
session, their agent mode, that a call is a subagent's, or what kind of background call it is;
where they do not, the *shape* of a call by a known agent gives it away: an agent always lists its
tools, except on its own account: when it asks for a title or compacts its history.  No text of
a client's prompts is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.wire.json_text import read
from router.wire.parts import name_of

TITLE: Final = "background/title"
SUMMARY: Final = "background/summary"

KINDS: Final[dict[str, dict[str, str]]] = {
    "x-kilocode-mode": {"title": TITLE, "compaction": SUMMARY, "summary": SUMMARY},
    "x-claude-code-request-class": {"compaction": SUMMARY},
    "request-kind": {"compaction": SUMMARY, "memory": SUMMARY},  # Codex, in its turn metadata
}
"""Where a client declares what a call is → the values that name a background task.  Any other value
says that the call is none, or which of none: then shape is not asked for more than a title."""

ASIDE_CLASSES: Final = frozenset({"auxiliary", "side_reply"})
"""``x-claude-code-request-class`` values of calls that are no turn of the conversation: titles,
classifiers, summaries of pages, and what a user asks on the side.  They name no task."""

CLAUDE_CODE: Final = "claude-cli/"

SUMMARISERS: Final = ("opencode/", "kilo-code/", "codex", "qwencode/")
"""How the ``user-agent`` begins of clients whose calls without tools are titles or summaries."""

TOOL_USERS: Final = (*SUMMARISERS, CLAUDE_CODE)
"""How the ``user-agent`` begins of clients that list tools on every call of their main loop.
Claude Code's calls without tools are many things; its compactions list the tools."""

SESSION_NAMES: Final = (
    "x-kilocode-taskid",
    "x-claude-code-session-id",
    "session-id",
    "x-session-id",
    "x-session-affinity",
    "thread-id",
)
"""Where clients put their session id, those of one client before those that anyone may set.  Not
here: ``x-client-request-id``, which Codex and pi fill with the session, and SDKs with each request.
"""

AGENT_NAMES: Final = ("x-claude-code-agent-id", "thread-id", "x-openai-subagent")
"""What tells a subagent from its parent where both send the same session id."""

SUBAGENT_NAMES: Final = (
    "x-kilocode-parent-taskid",
    "x-parent-session-id",
    "x-claude-code-agent-id",
    "x-openai-subagent",
    "x-codex-parent-thread-id",
)

ROLE_NAMES: Final = ("x-kilocode-mode", "x-claude-code-agent-type", "x-openai-subagent")
"""Where clients name the agent that calls: its mode, or its type."""

SUBAGENT: Final = "subagent"
"""What any subagent is called, whatever its client calls it."""

TURN_METADATA: Final = "x-codex-turn-metadata"

SMALL_MODELS: Final = frozenset({"small", "haiku", "mini", "nano", "lite"})
"""Words in the model ids that clients put in their slot for titles."""

_WORDS = re.compile(r"[^a-z0-9]+")
_USER_ID_SESSION = re.compile(r"_session_([0-9a-fA-F-]{8,64})$")


@dataclass(frozen=True, slots=True)
class Declared:
    """What the client declared; None where it said nothing.

    ``aside``: the client does not go on from the answer in its conversation, whatever the task; the
    call must leave no trace in what is known of the session.
    """

    mode: str | None = None
    task: str | None = None
    aside: bool = False
    subagent: bool = False
    session_id: str | None = None
    agent: str | None = None
    summary_follows: bool = False
    roles: tuple[str, ...] = ()
    """What the agent that calls is called, in small letters, a background call's too; the nearest first."""


def read_declared(headers: Mapping[str, str], body: Mapping[str, Any]) -> Declared:
    """Read a request's headers (names in lower case) and body for what the client declares."""
    said = _said(headers, body)
    kinds = {name: said[name].lower() for name in KINDS if name in said}
    task = next((t for name, kind in kinds.items() if (t := KINDS[name].get(kind))), None)
    task = task or _task_by_shape(said, body, declared=bool(kinds))
    subagent = any(name in said for name in SUBAGENT_NAMES)
    roles = [said[name].lower() for name in ROLE_NAMES if name in said]
    return Declared(
        mode=None if task else kinds.get("x-kilocode-mode"),
        task=task,
        aside=bool(task) or _is_aside(said, body, kinds),
        subagent=subagent,
        session_id=_session_id(said, body),
        agent=" ".join(said[name] for name in AGENT_NAMES if name in said) or None,
        summary_follows=said.get("originator", "").startswith("codex"),
        roles=tuple(dict.fromkeys([*roles, SUBAGENT] if subagent else roles)),
    )


def _said(headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, str]:
    """Gather the headers, and what Codex says again in the body and as JSON in one value.

    Names get hyphens for underscores; what is empty counts as not said.
    """
    flat = _texts(body.get("client_metadata"))
    turn = _texts(_json(headers.get(TURN_METADATA) or flat.get(TURN_METADATA, "")))
    return turn | flat | _texts(headers)


def _texts(fields: object) -> dict[str, str]:
    """Return the texts of an object that are not empty."""
    return {
        name.replace("_", "-"): text
        for name, value in (fields.items() if isinstance(fields, dict) else ())
        if isinstance(value, str) and (text := value.strip())
    }


def _json(text: str) -> object:
    try:
        return read(text.encode("utf-8", "replace")) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None


def _task_by_shape(
    said: Mapping[str, str], body: Mapping[str, Any], *, declared: bool
) -> str | None:
    """Name the background call of a known agent that lists no tools; None if it cannot be told.

    ``declared``: the client said what the call is, and it named no task.
    """
    if _lists_tools(body) or not _is_by(said, TOOL_USERS):
        return None
    schemas = _schemas(body)
    if any("title" in schema for schema in schemas):
        return TITLE
    if declared or schemas or not _is_by(said, SUMMARISERS):
        return None
    words = _WORDS.split(name_of(body.get("model")).lower())
    return SUMMARY if SMALL_MODELS.isdisjoint(words) or _has_history(body) else TITLE


def _is_aside(said: Mapping[str, str], body: Mapping[str, Any], kinds: Mapping[str, str]) -> bool:
    """Say whether a call without a known task stands beside the conversation."""
    if kinds:
        return kinds.get("x-claude-code-request-class") in ASIDE_CLASSES
    if not _lists_tools(body):
        return _is_by(said, TOOL_USERS)
    return _is_by(said, CLAUDE_CODE) and _ends_unmarked(body)


def _lists_tools(body: Mapping[str, Any]) -> bool:
    """Say whether a body lists tools, wherever: Codex lists them in an item of its input."""
    if body.get("tools") or body.get("functions"):
        return True
    items = body.get("input")
    return any(
        isinstance(item, dict) and bool(item.get("tools"))
        for item in (items if isinstance(items, list) else ())
    )


def _ends_unmarked(body: Mapping[str, Any]) -> bool:
    """Say whether the prompt cache is to end before the newest message.

    Claude Code marks the newest message, which its next call goes on from; on a fork that nothing
    follows (a compaction, a question on the side, a suggestion) it marks the one before.  For models
    that it does not know it puts a system message behind the first ask, which it never marks.
    """
    messages = body.get("messages")
    listed = messages if isinstance(messages, list) else []
    said = [m for m in listed if isinstance(m, dict) and m.get("role") != "system"]
    return len(said) > 1 and _is_marked(said[-2]) and not _is_marked(said[-1])


def _is_marked(message: object) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else ()
    return any(isinstance(part, dict) and part.get("cache_control") for part in parts)


def _is_by(said: Mapping[str, str], beginnings: str | tuple[str, ...]) -> bool:
    return said.get("user-agent", "").lower().startswith(beginnings)


def _has_history(body: Mapping[str, Any]) -> bool:
    """Say whether an assistant spoke: a title is asked for before, or with the asks quoted."""
    items = body.get("messages") or body.get("input")
    listed = items if isinstance(items, list) else ()
    return any(isinstance(item, dict) and item.get("role") == "assistant" for item in listed)


def _schemas(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the properties of every JSON object that the answer must be."""
    found: list[Mapping[str, Any]] = []
    for holder in ("text", "output_config", "response_format"):
        wanted = body.get(holder)
        for key in ("format", "json_schema"):
            inner = wanted.get(key) if isinstance(wanted, dict) else None
            schema = inner.get("schema") if isinstance(inner, dict) else None
            properties = schema.get("properties") if isinstance(schema, dict) else None
            if isinstance(properties, dict):
                found.append(properties)
    return found


def _session_id(said: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    if named := next((said[name] for name in SESSION_NAMES if name in said), None):
        return named
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    ids = (conversation, body.get("prompt_cache_key"), _session_of_user(user))
    return next((found for found in ids if isinstance(found, str) and found), None)


def _session_of_user(user: object) -> str | None:
    """Find the session in Claude Code's ``metadata.user_id``: JSON, or the older one line."""
    if not isinstance(user, str):
        return None
    if fields := _texts(_json(user)):
        return fields.get("session-id")
    found = _USER_ID_SESSION.search(user)
    return found[1] if found else None
