"""Tier → what it maps to: what its caller set, else by its rule in the catalogue, one function each.  Pure.

A session keeps its free model by weighted rendezvous hashing: every model draws a score from the
session's id, the best is the primary and the rest, in order, its fallbacks; nothing is stored, every
process agrees, and a model that is added or removed moves only its own sessions (Wang and
Schindelhauer's weighting, -w / ln u).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import NamedTuple

from router.callers.overrides import DEFAULT, PAID, UNPAID, model_set, rows_set
from router.evidence.catalogue import Catalogue, Tier, Weighted
from router.evidence.names import Names
from router.values import Caller, Interface, Target, Unit
from router.wire.request import ChatRequest


class Mapped(NamedTuple):
    """What a tier maps to, in order, and why."""

    targets: tuple[Target, ...]
    why: str


def mapped(tier: Tier, request: ChatRequest, caller: Caller, catalogue: Catalogue) -> Mapped:
    """Map a request as a tier's rule does; one that decides maps as its fallback."""
    match tier.rule:
        case "mode":
            return _by_mode(tier, request.conversation.mode)
        case "interface":
            return _by_interface(tier, request.interface)
        case "affinity":
            return _by_affinity(tier, request, caller, catalogue)
        case "balance":
            return _by_balance(tier, caller)
        case "efficient":
            return mapped(fallback_of(tier, catalogue), request, caller, catalogue)


def mapped_for(
    tier: Tier, request: ChatRequest, caller: Caller, catalogue: Catalogue, names: Names
) -> Mapped | None:
    """Return what a caller set for a tier and such a request; None where it set nothing."""
    found = model_set(caller, tier, catalogue, request.roles, request.interface)
    if found is None:
        return None
    target = target_of(found.what, tier, catalogue, names)
    why = f"{tier.name}: {found.for_what} maps to {target.unit}, as is set for this caller."
    return Mapped((target,), why)


def target_of(text: str, tier: Tier, catalogue: Catalogue, names: Names) -> Target:
    """Read a ``model@effort`` that a caller set; without an effort the tier's holds, where the model has it."""
    unit = Unit.parse(text)
    model_id = names.of(unit.model).id
    model = catalogue.model(model_id)
    usual = tier.effort if model and tier.effort in model.efforts else None
    return Target(Unit(model_id, unit.effort or usual), tier.verbosity)


def rows_of(tier: Tier, caller: Caller, catalogue: Catalogue, names: Names) -> dict[str, Target]:
    """Return mode, agent, format or balance → what a tier maps to there for a caller.

    Nothing of a tier whose model follows from the session, or from the request, save what is set.
    """
    rows = {
        mode: Target(Unit(model_id, tier.effort), tier.verbosity)
        for mode, model_id in tier.modes.items()
    }
    rows |= {interface.value: row.target for interface, row in tier.interfaces.items()}
    if tier.balance:
        rows |= {
            PAID: Target(Unit(tier.balance.paid)),
            UNPAID: Target(Unit(tier.balance.unpaid)),
        }
    own, mine = rows_set(caller, tier, catalogue), PAID if caller.balance else UNPAID
    for key in {**rows, **own}:
        balance = key if key in (PAID, UNPAID) else mine
        set_for = next((k for k in (key, balance, DEFAULT) if k in own), None)
        if set_for is not None:
            rows[key] = target_of(own[set_for], tier, catalogue, names)
    return rows


def fallback_of(tier: Tier, catalogue: Catalogue) -> Tier:
    """Return the tier that maps where one that decides cannot."""
    fallback = catalogue.tier(tier.fallback) if tier.fallback else None
    assert fallback is not None  # the catalogue is validated
    return fallback


def _by_mode(tier: Tier, mode: str | None) -> Mapped:
    first = tier.modes.get(mode or "default", tier.modes["default"])
    ids = dict.fromkeys([first, *tier.modes.values()])
    targets = [Target(Unit(model_id, tier.effort), tier.verbosity) for model_id in ids]
    said = f"mode {mode}" if mode in tier.modes else "no known mode"
    return Mapped(tuple(targets), f"{tier.name}: {said} maps to {first}.")


def _by_interface(tier: Tier, interface: Interface) -> Mapped:
    first = tier.mapping(interface)
    assert first is not None  # the catalogue is validated
    by_model = {row.model: row for row in (first, *tier.interfaces.values())} | {first.model: first}
    targets = tuple(row.target for row in by_model.values())
    why = f"{tier.name}: the {interface.value} interface maps to {first.model}."
    return Mapped(targets, why)


def _by_affinity(tier: Tier, request: ChatRequest, caller: Caller, catalogue: Catalogue) -> Mapped:
    """Rank the tier's models for a session; those that cannot serve the request go last."""
    ranked = rank(tier.affinity, f"{caller.name}\0{request.session}")

    def lacks(model_id: str) -> bool:
        model = catalogue.model(model_id)
        return model is None or model.lacks(request.needs) is not None

    ranked.sort(key=lacks)
    targets = tuple(Target(Unit(model_id)) for model_id in ranked)
    return Mapped(targets, f"{tier.name}: this session's model is {ranked[0]}.")


def rank(weighted: Iterable[Weighted], session: str) -> list[str]:
    """Order models for a session, so that each is first for its weight's share of sessions."""

    def score(item: Weighted) -> float:
        digest = hashlib.blake2b(
            f"{item.model}\0{session}".encode("utf-8", "replace"), digest_size=8
        )
        u = (int.from_bytes(digest.digest()) + 0.5) / 2**64
        return -item.weight / math.log(u)

    return [item.model for item in sorted(weighted, key=score, reverse=True)]


def _by_balance(tier: Tier, caller: Caller) -> Mapped:
    assert tier.balance is not None  # the catalogue is validated
    model = tier.balance.paid if caller.balance else tier.balance.unpaid
    said = "a paid balance" if caller.balance else "no paid balance"
    return Mapped((Target(Unit(model)),), f"{tier.name}: {said} maps to {model}.")
