"""What in a request only its own vendors can honour: tools that they run, files that they keep.

A tool of the client's own has a name and a schema, and any model can call it.  A vendor's tool is
named by its type alone: who does not run it can do nothing with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.values import Bound
from router.wire.parts import mappings

OPENAI: Final = ("openai/",)
ANTHROPIC: Final = ("anthropic/",)
GOOGLE: Final = ("google/",)
ANYONE: Final = ("",)

CLIENTS_OWN: Final = frozenset({"function", "custom", "namespace", "tool_search"})
"""Types of tools that the client runs itself."""

AGGREGATORS: Final = "openrouter:"
"""How types begin of tools that OpenRouter runs for any model
(https://openrouter.ai/docs/guides/features/server-tools)."""

CHAT_TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "browser_search": ("groq/",),
    "builtin_function": ("moonshotai/",),
    "code_execution": GOOGLE,
    "googleSearch": GOOGLE,
    "google_search": GOOGLE,
    "url_context": GOOGLE,
    "web_search": ("z-ai/",),
}
"""Tools of chat completions by their vendors' pages (read 2026-11-29): console.groq.com/docs/browser-search,
platform.moonshot.ai/docs/guide/use-web-search, ai.google.dev/gemini-api/docs/google-search,
docs.z.ai/guides/tools/web-search."""

RESPONSES_TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "browser_search": ("groq/",),
    "web_search": (*OPENAI, "x-ai/grok-4"),
    "x_search": ("x-ai/grok-4",),
}
"""Tools of responses that not only OpenAI runs (console.groq.com/docs/responses-api,
docs.x.ai/docs/guides/tools/overview, read 2026-11-29)."""


def bound_tools(
    tools: object, run_by: Mapping[str, tuple[str, ...]], others: tuple[str, ...]
) -> Iterator[Bound]:
    """Yield the tools that vendors run; those that ``run_by`` does not name are run by ``others``."""
    for tool in mappings(tools):
        kind = _kind(tool)
        if kind in CLIENTS_OWN or kind.startswith(AGGREGATORS):
            continue
        models = run_by.get(kind, others)
        if models != ANYONE:
            yield Bound(f"its tool {kind[:40]}", models)


def _kind(tool: Mapping[str, Any]) -> str:
    """Return a tool's type; of one without a type, name and schema the only member, as Google's."""
    kind = tool.get("type")
    if isinstance(kind, str):
        return kind
    own = len(tool) != 1 or not tool.keys().isdisjoint(("name", "function"))
    return "function" if own else str(next(iter(tool)))


def named(fields: Mapping[str, Any], by: Mapping[str, str], models: tuple[str, ...]) -> list[Bound]:
    """Return what a body's top-level fields name that vendors keep: ``by`` says it of a field."""
    return [Bound(what, models) for key, what in by.items() if fields.get(key)]


FILE: Final = "a file that it names by id"
