"""What coding clients say about a request beside its text: headers and tell-tales, as tables.

Measured by driving each client against a recording stub (2026-11-20).  Clients declare their
agent mode, that a call is a subagent's, or what kind of background call it is; where they do
not, the *shape* of a call by a known agent gives it away: an agent always lists its tools,
except when it asks for a title or compacts its history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TITLE: Final = "background/title"
SUMMARY: Final = "background/summary"

MODE_TASKS: Final = {"title": TITLE, "compaction": SUMMARY, "summary": SUMMARY}
"""``x-kilocode-mode`` values that name a background agent rather than a mode of work."""

CLASS_TASKS: Final = {"compaction": SUMMARY}
"""``x-claude-code-request-class`` values that name a task."""

AGENT_USER_AGENTS: Final = ("opencode/", "kilo-code/", "claude-cli/", "codex", "qwencode/")
"""How the ``user-agent`` of a client begins that lists tools on every call of its main loop."""

SESSION_HEADERS: Final = (
    "x-kilocode-taskid",
    "x-session-id",
    "x-session-affinity",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "thread-id",
)
"""Where clients put their session id, most specific first."""

AGENT_HEADERS: Final = ("x-claude-code-agent-id", "thread-id", "x-openai-subagent")
"""What tells a subagent from its parent where both send the same session id."""

SUBAGENT_HEADERS: Final = (
    "x-kilocode-parent-taskid",
    "x-parent-session-id",
    "x-claude-code-agent-id",
    "x-openai-subagent",
    "x-codex-parent-thread-id",
)

SMALL_MODELS: Final = ("small", "haiku", "mini", "nano", "flash-lite")
"""Parts of the model ids that clients put in their slot for titles."""

_USER_ID_SESSION = re.compile(r'session_?(?:id)?"?[:_]\s*"?([0-9a-fA-F-]{8,64})')


@dataclass(frozen=True, slots=True)
class Declared:
    """What the client declared; empty strings where it said nothing."""

    mode: str = ""
    task: str = ""
    subagent: bool = False
    session_id: str = ""
    agent: str = ""
    summary_follows: bool = False


def read_declared(headers: Mapping[str, str], body: Mapping[str, Any]) -> Declared:
    """Read a request's headers (names in lower case) and body for what the client declares."""
    mode = headers.get("x-kilocode-mode", "").strip().lower()
    task = MODE_TASKS.get(mode) or CLASS_TASKS.get(headers.get("x-claude-code-request-class", ""))
    return Declared(
        mode="" if task else mode,
        task=task or _task_by_shape(headers, body),
        subagent=any(name in headers for name in SUBAGENT_HEADERS),
        session_id=_session_id(headers, body),
        agent=" ".join(value for name in AGENT_HEADERS if (value := headers.get(name, "").strip())),
        summary_follows=headers.get("originator", "").startswith("codex"),
    )


def _task_by_shape(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """Name the background call of a known agent that lists no tools; empty if it is none."""
    agent = headers.get("user-agent", "").lower().startswith(AGENT_USER_AGENTS)
    if not agent or body.get("tools"):
        return ""
    if _answers_with_title(body):
        return TITLE
    model = str(body.get("model", "")).lower()
    return TITLE if any(part in model for part in SMALL_MODELS) else SUMMARY


def _answers_with_title(body: Mapping[str, Any]) -> bool:
    """Say whether the answer must be a JSON object with a ``title``."""
    for holder in ("text", "output_config", "response_format"):
        wanted = body.get(holder)
        for key in ("format", "json_schema"):
            inner = wanted.get(key) if isinstance(wanted, Mapping) else None
            schema = inner.get("schema") if isinstance(inner, Mapping) else None
            properties = schema.get("properties") if isinstance(schema, Mapping) else None
            if isinstance(properties, Mapping) and "title" in properties:
                return True
    return False


def _session_id(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    for name in SESSION_HEADERS:
        if value := headers.get(name, "").strip():
            return value
    if isinstance(key := body.get("prompt_cache_key"), str) and key:
        return key
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    found = _USER_ID_SESSION.search(user) if isinstance(user, str) else None
    return found[1] if found else ""
