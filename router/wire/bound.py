"""What in a request only its own vendors can honour: tools that they run, files that they keep.

A tool of the client's own has a name and a schema, and any model can call it.  A vendor's tool is
named by its type alone: who does not run it can do nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from router.values import Bound
from router.wire.parts import HostedTool, Place, mappings, name_of

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


CLIENT_RUN: Final = (
    *("apply_patch", "bash", "computer", "local_shell", "memory", "shell", "text_editor"),
)
"""How types begin of vendors' tools that the client runs: without its hands it can do nothing."""

LEANS_ON: Final = ("connector_id", "server_label", "server_url", "vector_store_ids")
"""Members of a tool that name what its vendor keeps, or whom it calls for the client."""


def bound_tools(
    tools: Iterable[Place],
    run_by: Mapping[str, tuple[str, ...]],
    others: tuple[str, ...],
    *,
    choice: object,
    used: Collection[str] = (),
) -> tuple[list[Bound], tuple[HostedTool, ...]]:
    """Return what binds of the tools that vendors run, and what may be left out for other vendors.

    Those that ``run_by`` does not name are run by ``others``.  One binds that ``choice`` forces, that
    was ``used`` before, whose vendor keeps something for it, that the client's own hands are, or
    that stands beside no tool of the client's own: coding agents list a search beside their own
    tools and can do without it; who lists nothing else wants just that.
    """
    own, hosted = False, []
    for path, _, tool in tools:
        kind = _kind(tool)
        own = own or kind in CLIENTS_OWN
        if kind in CLIENTS_OWN or kind.startswith(AGGREGATORS):
            continue
        models = run_by.get(kind, others)
        if models != ANYONE:
            said = Bound(f"its tool {kind[:40]}", models, kind[:40])
            hosted.append((HostedTool(path, said), tool))
    forced = {*_named_by(choice)} if hosted else set()
    free = [at for at, tool in hosted if own and not _binds(at.bound.tool, tool, forced, used)]
    return [at.bound for at, _ in hosted if at not in free], tuple(free)


def _binds(kind: str, tool: Mapping[str, Any], forced: set[str], used: Collection[str]) -> bool:
    """Say whether a tool cannot be left out, though the client has others."""
    container = tool.get("container")
    keeps = isinstance(container, str) or (isinstance(container, dict) and "file_ids" in container)
    return (
        keeps
        or kind.startswith(CLIENT_RUN)
        or any(tool.get(member) for member in LEANS_ON)
        or not forced.isdisjoint((kind, name_of(tool.get("name")) or kind))
        or any(kind.startswith(before) for before in used)
    )


def _named_by(choice: object) -> Iterator[str]:
    """Yield the types and names of the tools of which a choice says that one is to be called."""
    if isinstance(choice, dict):
        for tool in (choice, *mappings(choice.get("tools"))):
            yield from filter(None, (name_of(tool.get(key)) for key in ("type", "name")))


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
