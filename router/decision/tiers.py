"""Tier → what to serve it with, in order.  Pure.

How a tier chooses is its ``rule`` in the catalogue: one function each below.  A session keeps its
free model by weighted rendezvous hashing: every model draws a score from the session's id, the best
is the primary and the rest, in order, its fallbacks; nothing is stored, every process agrees, and a
model that is added or removed moves only its own sessions (Wang and Schindelhauer's weighting,
-w / ln u).
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Protocol

from classifier.model import Assessment
from router.decision.eligible import Bar, Eligibility, Way, eligibility_of
from router.errors import NoModelFits, RouterError, Unauthenticated, UnknownModel
from router.evidence.catalogue import Catalogue, Tier, Weighted
from router.sessions.session import NEW, Session
from router.sessions.steps import Heard
from router.values import (
    Caller,
    Decision,
    Dial,
    Interface,
    Limits,
    Target,
    Unit,
    nothing_bars,
)
from router.wire.request import ChatRequest

log = logging.getLogger(__name__)


UNKNOWN_CONVERSATION: Final = (
    "It goes on from an answer that its provider keeps, and this gateway does not know whose it is."
)


class Decides(Protocol):
    """The decision engine, as tiers use it: ``router.decision.engine.Engine``."""

    def decide(
        self,
        request: ChatRequest,
        *,
        dial: Dial,
        limits: Limits,
        reachable: frozenset[str] | None,
        session: Session,
        heard: Heard | None,
        reassess: bool,
        now_s: float,
        bars: Callable[[Unit], str | None],
    ) -> tuple[Assessment, Decision]:
        """Choose what serves a request in its session; raises NoModelFits."""

    @property
    def models(self) -> frozenset[str]:
        """The models there is evidence of."""


@dataclass(frozen=True, slots=True)
class Data:
    """One consistent state of the data: what plans are made from."""

    catalogue: Catalogue
    engine: Decides | None
    """None where its artefacts could not be loaded; ``engine_error`` says why."""
    engine_error: str | None
    reachable: Mapping[Interface, frozenset[str]]
    """Format → ids of the models that some configured provider serves in it."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Name that a client sends, ``*`` standing for any text → tier or model that serves it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What serves a request, in order, and why."""

    tier: str | None
    """None for a model that was asked for by name."""
    targets: tuple[Target, ...]
    why: str
    assessment: Assessment | None = None
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands in its session."""

    session: Session = NEW
    """As it was before the request, under its user's wishes."""
    heard: Heard | None = None
    """What the request tells it; None: not known yet."""
    now_s: float = 0.0
    """On the clock of its caches."""
    reassess: bool = False
    """Decide even if nothing is new."""
    reachable: frozenset[str] | None = None
    """Overrides which models can be had in the request's format, for callers who brought keys of
    their own; models asked for by name are not held against it."""
    bars: Callable[[Unit], str | None] = nothing_bars
    """Says why no provider of a unit takes the request as it is."""


def plan(
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing = Standing(),
) -> Plan:
    """Choose what serves a request; raises NoModelFits or Unauthenticated."""
    catalogue = data.catalogue
    defaults = catalogue.defaults
    default = defaults.without_key if caller.anonymous else defaults.with_key
    name = aliased(request.model, data.aliases) if request.model else default
    tier = catalogue.tier(name)
    if tier is None and catalogue.names_tier(name):
        known = ", ".join(tier.id for tier in catalogue.tiers)
        raise UnknownModel(f"there is no tier {name!r}; there are {known}")
    if tier is None:
        return _by_name(name, eligibility_of(caller, request.needs, catalogue, None))
    if caller.anonymous:
        _refuse_paid(tier, catalogue)
    if standing.reachable is None:
        standing = replace(standing, reachable=data.reachable[request.interface])
    caller = _pinned(caller, request, standing.session)
    pin = caller.limits.pin
    if pin is not None and not (tier.rule == "efficient" and _has_evidence(pin, data)):
        made = Plan(tier.id, (Target(Unit(pin)),), f"the session is pinned to {pin}.")
    else:
        made = _by_rule(tier, request, caller, data, standing)
    if request.needs.provider_state and standing.session.incumbent is None:
        made = replace(made, why=f"{made.why} {UNKNOWN_CONVERSATION}")
    reachable, bars = standing.reachable, standing.bars
    return _permitted(made, eligibility_of(caller, request.needs, catalogue, reachable, bars))


def aliased(name: str, aliases: Mapping[str, str]) -> str:
    """Return what serves a name: the first alias that fits, else the name itself."""
    return next((to for alias, to in aliases.items() if _pattern(alias).fullmatch(name)), name)


@lru_cache
def _pattern(alias: str) -> re.Pattern[str]:
    """Return what an alias stands for: ``*`` is any text, every other character itself."""
    return re.compile(".*".join(map(re.escape, alias.split("*"))), re.DOTALL)


def _pinned(caller: Caller, request: ChatRequest, session: Session) -> Caller:
    """Let a session's pin hold as the key's own would; background calls are not of the session."""
    pin = session.wishes.pin
    if caller.limits.pin is not None or pin is None or request.conversation.aside:
        return caller
    return replace(caller, limits=caller.limits.model_copy(update={"pin": pin}))


def _has_evidence(model: str, data: Data) -> bool:
    """Whether the engine could choose a model's effort; without evidence a pin is served as it is."""
    return data.engine is not None and model in data.engine.models


def _by_name(name: str, eligible: Eligibility) -> Plan:
    """Pass a concrete model id through, within the caller's limits."""
    if refusal := eligible.refusal(name, Way.NAMED):
        if refusal.bar is Bar.KEY:
            raise Unauthenticated(f"{name} {refusal.reason}; without one use kilo-auto/free")
        raise NoModelFits(
            f"{name} is not allowed: {refusal.reason}; ask for another model or loosen the limits"
        )
    return Plan(None, (Target(Unit(name)),), f"{name} was asked for by name.")


def _refuse_paid(tier: Tier, catalogue: Catalogue) -> None:
    """Refuse a tier that maps to no free model to anonymous callers."""
    free = {model.id for model in catalogue.models if model.free}
    if not tier.model_ids & free:
        raise Unauthenticated(f"{tier.id} needs an API key; without one use kilo-auto/free")


def _by_rule(
    tier: Tier,
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing,
) -> Plan:
    match tier.rule:
        case "mode":
            return _by_mode(tier, request.conversation.mode)
        case "interface":
            return _by_interface(tier, request.interface)
        case "affinity":
            return _by_affinity(tier, request, caller, data.catalogue)
        case "balance":
            return _by_balance(tier, caller)
        case "efficient":
            return _by_evidence(tier, request, caller, data, standing)


def _by_mode(tier: Tier, mode: str | None) -> Plan:
    first = tier.modes.get(mode or "default", tier.modes["default"])
    ids = dict.fromkeys([first, *tier.modes.values()])
    targets = [Target(Unit(model_id, tier.effort), tier.verbosity) for model_id in ids]
    said = f"mode {mode}" if mode in tier.modes else "no known mode"
    return Plan(tier.id, tuple(targets), f"{tier.name}: {said} maps to {first}.")


def _by_interface(tier: Tier, interface: Interface) -> Plan:
    first = tier.mapping(interface)
    assert first is not None  # the catalogue is validated
    by_model = {row.model: row for row in (first, *tier.interfaces.values())} | {first.model: first}
    targets = tuple(row.target for row in by_model.values())
    why = f"{tier.name}: the {interface.value} interface maps to {first.model}."
    return Plan(tier.id, targets, why)


def _by_affinity(tier: Tier, request: ChatRequest, caller: Caller, catalogue: Catalogue) -> Plan:
    """Rank the tier's models for a session; those that cannot serve the request go last."""
    ranked = rank(tier.affinity, f"{caller.name}\0{request.session}")

    def lacks(model_id: str) -> bool:
        model = catalogue.model(model_id)
        return model is None or model.lacks(request.needs) is not None

    ranked.sort(key=lacks)
    targets = tuple(Target(Unit(model_id)) for model_id in ranked)
    return Plan(tier.id, targets, f"{tier.name}: this session's model is {ranked[0]}.")


def rank(weighted: Iterable[Weighted], session: str) -> list[str]:
    """Order models for a session, so that each is first for its weight's share of sessions."""

    def score(item: Weighted) -> float:
        digest = hashlib.blake2b(
            f"{item.model}\0{session}".encode("utf-8", "replace"), digest_size=8
        )
        u = (int.from_bytes(digest.digest()) + 0.5) / 2**64
        return -item.weight / math.log(u)

    return [item.model for item in sorted(weighted, key=score, reverse=True)]


def _by_balance(tier: Tier, caller: Caller) -> Plan:
    assert tier.balance is not None  # the catalogue is validated
    model = tier.balance.paid if caller.balance else tier.balance.unpaid
    said = "a paid balance" if caller.balance else "no paid balance"
    return Plan(tier.id, (Target(Unit(model)),), f"{tier.name}: {said} maps to {model}.")


def _by_evidence(
    tier: Tier,
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing,
) -> Plan:
    """Let the engine decide; where it cannot be used, map as the fallback tier does."""
    reason = data.engine_error or "no classifier is loaded"
    if data.engine is not None:
        try:
            assessment, decision = data.engine.decide(
                request,
                dial=caller.dial,
                limits=caller.limits,
                reachable=standing.reachable,
                session=standing.session,
                heard=standing.heard,
                reassess=standing.reassess,
                now_s=standing.now_s,
                bars=standing.bars,
            )
        except RouterError:
            raise
        except Exception as error:  # a broken artefact must not take the tier down
            log.exception("the decision engine failed; the fallback tier applies")
            reason = f"the decision engine failed ({type(error).__name__})"
        else:
            if decision.mapped:
                return _fallback(tier, request, caller, data, standing, decision)
            targets = tuple(Target(unit) for unit in (decision.unit, *decision.fallbacks))
            return Plan(tier.id, targets, decision.why, assessment, decision)
    made = _fallback(tier, request, caller, data, standing)
    return replace(made, why=f"{reason}: {made.why}")


def _fallback(
    tier: Tier,
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing,
    decision: Decision | None = None,
) -> Plan:
    """Map as the tier's fallback does; a decision that found no candidate says why."""
    fallback = data.catalogue.tier(tier.fallback) if tier.fallback else None
    assert fallback is not None  # the catalogue is validated
    made = _by_rule(fallback, request, caller, data, standing)
    why = decision.why if decision else made.why
    return replace(made, tier=tier.id, why=why, decision=decision)


def _permitted(made: Plan, eligible: Eligibility) -> Plan:
    """Drop the targets that may not serve; raises NoModelFits if none is left.

    A decision from memory names fallbacks of an earlier request, which this one may not allow.
    """
    way = Way.DECIDED if made.decision and not made.decision.mapped else Way.MAPPED
    excluded = eligible.excluded([target.unit.model for target in made.targets], way)
    kept = [target for target in made.targets if target.unit.model not in excluded]
    reasons = [f"{model}: {reason}" for model, reason in excluded.items()]
    if not kept:
        raise NoModelFits(
            f"no model of {made.tier} can serve this request ({'; '.join(reasons)}); choose "
            "another tier, loosen the limits, or configure another provider"
        )
    if kept[0] is not made.targets[0]:
        why = f"{reasons[0]}, so {kept[0].unit.model}. {made.why}"
        return replace(made, targets=tuple(kept), why=why)
    return replace(made, targets=tuple(kept))
