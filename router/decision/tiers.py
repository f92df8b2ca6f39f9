"""Tier → what to serve it with, in order; and the data all this rests on, hot-reloaded.

``plan`` is pure.  How a tier chooses is its ``rule`` in the catalogue: one function each below.
A session keeps its free model by weighted rendezvous hashing: every model draws a score from
the session's id, the best is the primary and the rest, in order, its fallbacks; nothing is
stored, every process agrees, and a model that is added or removed moves only its own sessions
(Wang and Schindelhauer's weighting, -w / ln u).
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from classifier.conversation import Interface
from classifier.model import Assessment
from router.callers.keys import Caller
from router.decision.policy import Decision, Dial, Limits, disallowed
from router.errors import BadArtefact, NoModelFits, RouterError, Unauthenticated
from router.evidence.catalogue import Catalogue, Target, Tier, Weighted, load_catalogue
from router.providers.endpoints import Providers
from router.sessions.session import NEW, Session
from router.wire.request import ChatRequest

log = logging.getLogger(__name__)

WATCHED: Final = (
    "catalogue.toml",
    "table.json",
    "classifier.json",
    "classifier.onnx",
    "vocabulary.npz",
)
"""Files of the models folder whose change is picked up."""


class Decides(Protocol):
    """The decision engine, as the gateway uses it: ``router.decision.engine.Engine``."""

    def decide(
        self,
        request: ChatRequest,
        *,
        dial: Dial,
        limits: Limits,
        session: Session,
        reachable: frozenset[str] | None,
        reassess: bool,
        now_s: float,
    ) -> tuple[Assessment, Decision]:
        """Choose what serves a request in its session; raises NoModelFits."""

    @property
    def models(self) -> frozenset[str]:
        """The models there is evidence of."""

    def terms(self, dial: Dial, limits: Limits) -> str:
        """Name what a decision was made under, beside the request."""


LoadEngine = Callable[[Path], Decides]


@dataclass(frozen=True, slots=True)
class Data:
    """One consistent state of the data: what plans are made from."""

    catalogue: Catalogue
    engine: Decides | None
    engine_error: str
    reachable: Mapping[Interface, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What serves a request, in order, and why; ``tier`` is empty for a concrete model."""

    tier: str
    targets: tuple[Target, ...]
    why: str
    assessment: Assessment | None = None
    decision: Decision | None = None
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands: its session so far, and the time on its caches' clock.

    ``reachable`` overrides which models can be had in the request's format, for callers who
    brought keys of their own; concrete ids are not held against it.
    """

    session: Session = NEW
    now_s: float = 0.0
    reassess: bool = False
    reachable: frozenset[str] | None = None


def plan(
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing = Standing(),
) -> Plan:
    """Choose what serves a request; raises NoModelFits or Unauthenticated."""
    catalogue = data.catalogue
    defaults = catalogue.defaults
    name = request.model or (defaults.without_key if caller.anonymous else defaults.with_key)
    tier = catalogue.tier(name)
    if tier is None:
        return _concrete(name, caller, catalogue)
    if caller.anonymous:
        _refuse_paid(tier, catalogue)
    if standing.reachable is None:
        standing = replace(standing, reachable=data.reachable[request.interface])
    caller = _pinned(caller, request, standing.session)
    if (pin := caller.limits.pin) and not (tier.rule == "efficient" and _has_evidence(pin, data)):
        made = Plan(tier.id, (Target(model=pin),), f"the session is pinned to {pin}.")
    else:
        made = _by_rule(tier, request, caller, data, standing)
    return _permitted(made, caller, catalogue, request, standing.reachable or frozenset())


def _pinned(caller: Caller, request: ChatRequest, session: Session) -> Caller:
    """Let a session's pin hold as the key's own would; background calls are not of the session."""
    if caller.limits.pin or not session.pin or request.conversation.aside:
        return caller
    return replace(caller, limits=replace(caller.limits, pin=session.pin))


def _has_evidence(model: str, data: Data) -> bool:
    """Whether the engine could choose a model's effort; without evidence a pin is served as it is."""
    return data.engine is not None and model in data.engine.models


def _concrete(name: str, caller: Caller, catalogue: Catalogue) -> Plan:
    """Pass a concrete model id through, within the caller's limits."""
    model = catalogue.model(name)
    if caller.anonymous and not (model and model.free):
        raise Unauthenticated(f"{name} needs an API key; without one use kilo-auto/free")
    if model and (reason := disallowed(model, caller.limits)):
        raise NoModelFits(
            f"{name} is not allowed: {reason}; ask for another model or loosen the limits"
        )
    if name in caller.limits.deny:
        raise NoModelFits(f"{name} is not allowed: denied; ask for another model")
    return Plan("", (Target(model=name),), f"{name} was asked for by name.")


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


def _by_mode(tier: Tier, mode: str) -> Plan:
    first = tier.modes.get(mode, tier.modes["default"])
    ids = dict.fromkeys([first, *tier.modes.values()])
    targets = [Target(model=i, effort=tier.effort, verbosity=tier.verbosity) for i in ids]
    said = f"mode {mode}" if mode in tier.modes else "no known mode"
    return Plan(tier.id, tuple(targets), f"{tier.name}: {said} maps to {first}.")


def _by_interface(tier: Tier, interface: Interface) -> Plan:
    first = tier.interfaces[interface]
    targets = dict.fromkeys([first.model]) | {t.model: None for t in tier.interfaces.values()}
    by_id = {t.model: t for t in tier.interfaces.values()} | {first.model: first}
    why = f"{tier.name}: the {interface.value} interface maps to {first.model}."
    return Plan(tier.id, tuple(by_id[model] for model in targets), why)


def _by_affinity(tier: Tier, request: ChatRequest, caller: Caller, catalogue: Catalogue) -> Plan:
    """Rank the tier's models for a session; those that cannot serve the request go last."""
    ranked = rank(tier.affinity, f"{caller.name}\0{request.session}")

    def lacks(model_id: str) -> bool:
        model = catalogue.model(model_id)
        return model is None or bool(model.lacks(request.needs))

    ranked.sort(key=lacks)
    targets = tuple(Target(model=model_id) for model_id in ranked)
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
    return Plan(tier.id, (Target(model=model),), f"{tier.name}: {said} maps to {model}.")


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
                session=standing.session,
                reachable=standing.reachable,
                reassess=standing.reassess,
                now_s=standing.now_s,
            )
        except RouterError:
            raise
        except Exception as error:  # a broken artefact must not take the tier down
            log.exception("the decision engine failed; the fallback tier applies")
            reason = f"the decision engine failed ({type(error).__name__})"
        else:
            if decision.mapped:
                return _fallback(tier, request, caller, data, standing, decision)
            targets = [Target(model=decision.model, effort=decision.effort)]
            targets += [
                Target(model=u.model, effort="" if u.effort == "default" else u.effort)
                for u in decision.fallbacks
            ]
            terms = data.engine.terms(caller.dial, caller.limits)
            return Plan(tier.id, tuple(targets), decision.why, assessment, decision, terms)
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
    fallback = data.catalogue.tier(tier.fallback)
    assert fallback is not None  # the catalogue is validated
    made = _by_rule(fallback, request, caller, data, standing)
    why = decision.why if decision else made.why
    return replace(made, tier=tier.id, why=why, decision=decision)


def _permitted(
    made: Plan,
    caller: Caller,
    catalogue: Catalogue,
    request: ChatRequest,
    reachable: frozenset[str],
) -> Plan:
    """Drop the targets that are not reachable or not allowed; raises NoModelFits if none is left."""
    kept: list[Target] = []
    reasons: list[str] = []
    for target in made.targets:
        model = catalogue.model(target.model)
        reason = disallowed(model, caller.limits) if model else "not in the catalogue"
        if caller.anonymous and model and not model.free:
            reason = "needs an API key"
        if not reason and target.model not in reachable:
            reason = f"no configured provider serves it over {request.interface.value}"
        if reason:
            reasons.append(f"{target.model}: {reason}")
        else:
            kept.append(target)
    if not kept:
        raise NoModelFits(
            f"no model of {made.tier} can serve this request ({'; '.join(reasons)}); choose "
            "another tier, loosen the limits, or configure another provider"
        )
    if kept[0] is not made.targets[0]:
        return replace(
            made, targets=tuple(kept), why=f"{reasons[0]}, so {kept[0].model}. {made.why}"
        )
    return replace(made, targets=tuple(kept))


class LiveData:
    """The newest good data of a folder; bad data keeps the last good and says so."""

    def __init__(self, folder: Path, providers: Providers, load_engine: LoadEngine) -> None:
        """Load everything; raises BadArtefact for a bad catalogue, not for a bad engine."""
        self._folder = folder
        self._providers = providers
        self._load_engine = load_engine
        self._stamp = self._stamps()
        self.problem = ""
        self.current = self._load(None)

    def refresh(self) -> bool:
        """Load again if a file changed; say whether the data is new."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.current = self._load(self.current)
        except BadArtefact as error:
            self.problem = str(error)
            log.error("changed data is not used, the last good one stays: %s", error)
            return False
        return True

    def _load(self, last: Data | None) -> Data:
        catalogue = load_catalogue(self._folder / "catalogue.toml")
        engine: Decides | None = None
        engine_error = ""
        try:
            engine = self._load_engine(self._folder)
            self.problem = ""
        except BadArtefact as error:
            self.problem = engine_error = str(error)
            log.error("the decision engine cannot be loaded: %s", error)
            if last is not None and last.engine is not None:
                engine, engine_error = last.engine, ""
        reachable = {i: self._providers.reachable(catalogue, i) for i in Interface}
        return Data(catalogue, engine, engine_error, reachable)

    def _stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Identify the files' state: name, modification time, size."""
        found = []
        for name in WATCHED:
            try:
                stat = (self._folder / name).stat()
            except OSError:
                continue
            found.append((name, stat.st_mtime_ns, stat.st_size))
        return tuple(found)
