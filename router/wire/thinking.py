"""How a request of Anthropic's format says that the model is to think, and how much.

Models differ: some think within a budget of tokens (``enabled``), some as they see fit
(``adaptive``), some as either; and what one takes another refuses.
"""

from __future__ import annotations

from typing import Any, Final

from router.wire.parts import count, kind_of, merged, positive_int

BUDGET_SHARE: Final = 0.8
"""Share of an answer's tokens that a high effort, which thinking has unless told, may think:
https://openrouter.ai/docs/guides/best-practices/reasoning-tokens, read 2026-11-29."""

LEAST_BUDGET: Final = 1024
"""Least that may be thought (https://platform.claude.com/docs/en/build-with-claude/extended-thinking)."""


def fit_thinking(view: dict[str, Any], modes: frozenset[str]) -> None:
    """Write thinking as a model takes it, in a copy of a body's fields; drop what it does not.

    Where thinking is adaptive its words are hidden unless they are asked for; where it is enabled
    they are shown, as they stay.  A budget must be smaller than the whole answer.
    """
    thinking = view.get("thinking")
    mode = kind_of(thinking) if isinstance(thinking, dict) else ""
    if not mode:
        return
    most, budget = positive_int(view.get("max_tokens")), int(count(thinking, "budget_tokens"))
    shared = int(most * BUDGET_SHARE)
    if mode == "enabled" and mode in modes:
        if most and budget >= most:
            view["thinking"] = {**merged(view, "thinking"), "budget_tokens": shared}
    elif mode == "enabled" and "adaptive" in modes:
        shown = thinking.get("display") or "summarized" if isinstance(thinking, dict) else None
        view["thinking"] = {"type": "adaptive", "display": shown}
    elif mode == "adaptive" and mode not in modes and "enabled" in modes and shared >= LEAST_BUDGET:
        view["thinking"] = {"type": "enabled", "budget_tokens": shared}
    elif mode not in modes:
        del view["thinking"]
