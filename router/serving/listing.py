"""The entries of ``/v1/models``: tiers first, in the picker's order, then the models that may serve a caller.

One entry serves every reader: OpenAI's SDK (``id``, ``object``, ``created``, ``owned_by``),
Anthropic's (``type``, ``display_name``, ``created_at``), and Kilo's and OpenCode's pickers, which
take OpenRouter's fields and check the whole list, so that one bad entry would reject them all.

``opencode.variants`` is as the original product's clients read it, all of it read 2026-11-30: a record of
records (Kilo-Org/kilocode, ``packages/kilo-gateway/src/api/models.ts`` at 3e4508cf900f), by mode as
``{"architect": {"model": …, …}}`` (its documentation page "Auto Model Tiers"), with the options of
Kilo-Org/cloud's ``OpenCodeVariantSchema`` (``packages/db/src/schema-types.ts``): ``reasoning.enabled``,
``reasoning.effort``, ``verbosity``.  A client merges a variant that its agent names into what it sends: it
then asks for that model by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from router.callers.overrides import DEFAULT
from router.decision.eligible import Way
from router.decision.nearest import UNTHINKING
from router.decision.pool import TierPool, pool_of, standing_of
from router.decision.rule import FEW_ITEMS
from router.decision.tiers import Data
from router.evidence.catalogue import Model, Price, Tier
from router.evidence.table import Backing
from router.values import Caller, Support, Target

OWN_CONTEXT_TOKENS: Final = 32_768
"""Stated for a model of one's own server that does not say its own: what such servers commonly give
it, and clients reckon with some number."""

TIER_CONTEXT_TOKENS: Final = 1_000_000
"""Stated for a tier none of whose models states its own."""

PARAMETERS: Final = ("max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice")

LOGGED: Final = "Prompts may be logged by the provider and used to improve its models."
NOT_STATED: Final = (
    "Handled by the provider that answers; its data policy is not stated in our sources."
)

HANDLED: Final = {"may_log": LOGGED, "local": "Stays on your own server."}
"""Data policy of the catalogue → what is told of it."""


def entries(data: Data, caller: Caller, *, hidden: bool = False) -> list[dict[str, Any]]:
    """Return the list, cut to what a caller may use."""
    catalogue = data.catalogue
    reachable = frozenset[str]().union(*data.reachable.values())
    eligible = standing_of(caller, data, reachable)
    shown = [tier for tier in catalogue.tiers if hidden or not tier.hidden]
    there = [
        model
        for model in catalogue.models
        if model.id in reachable and not eligible.refusal(model.id, Way.NAMED)
    ]
    backing = data.engine.table.backing if data.engine else {}
    released = catalogue.changes[0].date
    listed = [
        tier_entry(tier, pool_of(tier, caller, data, eligible), there, backing, released, index=i)
        for i, tier in enumerate(shown)
    ]
    return listed + [model_entry(m) for m in there]


def _context_of(model: Model) -> int:
    """Return the context to state for a model; zero where nothing is known of it."""
    return model.context_tokens or (OWN_CONTEXT_TOKENS if model.own else 0)


def tier_entry(
    tier: Tier,
    pool: TierPool,
    there: Iterable[Model],
    backing: Mapping[str, Backing],
    released: date,
    *,
    index: int,
) -> dict[str, Any]:
    """Describe a tier by its pool, as far as that is ``there``, else by what is.

    Its context is the smallest of its models', except where each request is decided by what it
    needs: there some model must do, not every one.
    """
    served = {model.id: model for model in there}
    pooled = [m for i in pool.models if (m := served.get(i))]
    models = pooled or list(served.values())
    contexts = [tokens for m in models if (tokens := _context_of(m))]
    outputs = [m.max_output_tokens for m in models if m.max_output_tokens]
    priced = [m for m in models if m.price]
    dearest = max(priced, key=lambda m: m.price.output if m.price else 0.0, default=None)
    bound = max if tier.rule == "efficient" else min
    entry = _entry(
        tier.id,
        tier.name,
        tier.description,
        released=released,
        owner="kilo",
        context=bound(contexts, default=TIER_CONTEXT_TOKENS),
        output=bound(outputs, default=None),
        price=dearest.price if dearest else None,
        inputs={"text"} | ({"image"} if any("images" in m.abilities for m in models) else set()),
        reasoning=any(m.reasoning for m in models),
        free=bool(models) and all(m.free for m in models),
        policy=LOGGED if any(m.data_policy == "may_log" for m in models) else NOT_STATED,
    )
    entry["preferredIndex"] = index
    entry["autoRouting"] = {"models": [m.id for m in pooled]}
    entry["opencode"] = {"variants": variants(pool)}
    entry["pool"] = [_member(m, backing.get(m.id)) for m in pooled]
    return entry


def variants(pool: TierPool) -> dict[str, dict[str, Any]]:
    """Return mode, agent, format or balance → the model and its options there; ``default`` is none's name."""
    return {key: _options(target) for key, target in pool.rows.items() if key != DEFAULT}


def _options(target: Target) -> dict[str, Any]:
    """Write a target as a client would ask for it."""
    model, effort = target.unit.model, target.unit.effort
    thinks: dict[str, Any] = {} if target.reasoning is None else {"enabled": target.reasoning}
    if effort:
        thinks = {"enabled": effort != UNTHINKING, "effort": effort}
    options = {"reasoning": thinks or None, "verbosity": target.verbosity}
    return {"model": model} | {name: value for name, value in options.items() if value}


def _member(model: Model, backing: Backing | None) -> dict[str, Any]:
    """Describe a model of a pool: what it costs, and what evidence there is of it."""
    measured = backing or Backing(0, 0)
    return {
        "model": model.id,
        "pricing": _pricing(model.price),
        "support": support_of(measured) if backing else None,
        "items": measured.items,
        "measured_cells": measured.measured_cells,
    }


def support_of(backing: Backing) -> Support:
    """Say what is known of a model over all kinds of task, as decisions say it of one kind."""
    if backing.measured_cells:
        return Support.MEASURED
    return Support.RELATED if backing.items >= FEW_ITEMS else Support.PRIOR


def model_entry(model: Model) -> dict[str, Any]:
    """Describe one model."""
    inputs = {"text"} | {
        kind
        for ability, kind in (("images", "image"), ("files", "file"), ("audio", "audio"))
        if ability in model.abilities
    }
    entry = _entry(
        model.id,
        model.name,
        f"{model.name} by {model.vendor}.",
        released=model.released,
        owner=model.vendor,
        context=_context_of(model),
        output=model.max_output_tokens,
        price=model.price,
        inputs=inputs,
        reasoning=model.reasoning,
        free=model.free,
        policy=HANDLED.get(model.data_policy, NOT_STATED),
        tools="tools" in model.abilities,
    )
    ends = model.retires or model.retired
    entry["expiration_date"] = ends.isoformat() if ends else None
    entry["license"] = model.licence or None
    return entry


def _entry(
    model_id: str,
    name: str,
    description: str,
    *,
    released: date | None,
    owner: str,
    context: int,
    output: int | None,
    price: Price | None,
    inputs: set[str],
    reasoning: bool,
    free: bool,
    policy: str,
    tools: bool = True,
) -> dict[str, Any]:
    at = datetime.combine(released or date(2026, 1, 1), datetime.min.time(), UTC)
    parameters = [p for p in PARAMETERS if tools or not p.startswith("tool")]
    parameters += ["reasoning", "include_reasoning"] if reasoning else []
    most_output = output or min(context, 32_000)
    return {
        "id": model_id,
        "object": "model",
        "type": "model",
        "name": name,
        "display_name": name,
        "description": description,
        "created": int(at.timestamp()),
        "created_at": at.isoformat().replace("+00:00", "Z"),
        "owned_by": owner,
        "context_length": context,
        "max_completion_tokens": most_output,
        "top_provider": {
            "context_length": context,
            "max_completion_tokens": most_output,
            "is_moderated": False,
        },
        "architecture": {
            "input_modalities": sorted(inputs, reverse=True),
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "pricing": _pricing(price),
        "supported_parameters": parameters,
        "isFree": free,
        "data_handling": policy,
    }


def _pricing(price: Price | None) -> dict[str, str]:
    """Return dollars per token, as strings, in OpenRouter's names; an unknown price is none."""
    named = (
        {"prompt": 0.0, "completion": 0.0}
        if price is None
        else {
            "prompt": price.input,
            "completion": price.output,
            "input_cache_read": price.cache_read,
            "input_cache_write": price.cache_write,
        }
    )
    return {
        name: f"{usd / 1e6:.12f}".rstrip("0").rstrip(".")
        for name, usd in named.items()
        if usd is not None
    }
