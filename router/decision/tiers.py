"""Name → what serves it, in order: a tier's choice, or models by their names.  Pure.

A caller may have a tier set for its mode or agent: that takes the place of the one it asks for.
What a tier maps to is said by ``router.decision.mapping``; what holds for every way to a model is
asked here of ``router.decision.eligible``.  A mapping is a preference: where none of its models may
serve, the nearest that may does (``router.decision.nearest``), and the reason says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from classifier.model import Assessment
from router.callers.overrides import tier_set
from router.decision.eligible import Bar, Eligibility, Refusal, Way, eligibility_of
from router.decision.forecast import Forecast
from router.decision.mapping import fallback_of, mapped, mapped_for
from router.decision.nearest import NEAR, StandIns, nearest, shortfall
from router.decision.policy import MAX_FALLBACKS
from router.decision.reasons import refused
from router.errors import NoModelFits, RouterError, Unauthenticated, UnknownModel
from router.evidence.catalogue import Catalogue, Tier
from router.evidence.changelog import Remapping
from router.evidence.names import Names, fits
from router.evidence.table import Table
from router.sessions.session import NEW, Session
from router.sessions.steps import Heard, hear
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

    def hear(self, request: ChatRequest, session: Session) -> Heard:
        """Say what a request tells its session, as it was before."""
        ...

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

    def forecast(self, request: ChatRequest) -> Forecast:
        """Say what a request is expected to cost, and how to end, with any model."""

    @property
    def table(self) -> Table:
        """The evidence that it decides on."""

    @property
    def models(self) -> frozenset[str]:
        """The models there is evidence of."""

    @property
    def standing(self) -> Mapping[str, float]:
        """Model → how well it does over all kinds of task alike."""


@dataclass(frozen=True, slots=True)
class Data:
    """One consistent state of the data: what plans are made from."""

    catalogue: Catalogue
    engine: Decides | None
    """None where its artefacts could not be loaded; ``engine_error`` says why."""
    engine_error: str | None
    reachable: Mapping[Interface, frozenset[str]]
    """Format → ids of the models that some configured provider serves in it."""
    names: Names
    """What clients may call the catalogue's models."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Name that a client sends, ``*`` standing for any text → tier or model that serves it."""
    openings: Mapping[Interface, str] = field(default_factory=dict)
    """Format → how its operator makes every model reachable in it, where some are not."""
    changelog: tuple[Remapping, ...] = ()
    """What the folder and the shipped data say of changed mappings, the newest first."""


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
    their own or prefer providers; models asked for by name are not held against it."""
    bars: Callable[[Unit], str | None] = nothing_bars
    """Says why no provider of a unit takes the request as it is."""


def plan(
    request: ChatRequest,
    caller: Caller,
    data: Data,
    standing: Standing = Standing(),
) -> Plan:
    """Choose what serves a request; raises NoModelFits, UnknownModel or Unauthenticated."""
    catalogue = data.catalogue
    defaults = catalogue.defaults
    default = defaults.without_key if caller.anonymous else defaults.with_key
    name = aliased(request.model, data.aliases) if request.model else default
    tier, note = _set_for(tier_of(name, catalogue), request, caller, catalogue)
    if tier is not None:
        caller = pinned(caller, request, standing.session, data.names)
    reachable = standing.reachable
    if reachable is None:
        reachable = data.reachable[request.interface]
    forecast = _forecast(request, caller, data)
    eligible = eligibility_of(caller, request.needs, catalogue, reachable, standing.bars, forecast)
    others = _others(request, eligible, data)
    if tier is None:
        first = _by_name(name, eligible, data)
        return replace(first, targets=tuple(dict.fromkeys((*first.targets, *others))))
    if caller.anonymous:
        _refuse_paid(tier, catalogue)
    try:
        made = _by_tier(tier, request, eligible, caller, data, standing)
    except NoModelFits as error:
        raise NoModelFits(f"{error} {_way_out(tier, request, data, reachable)}".strip()) from None
    made = replace(made, why=f"{note}{made.why}") if note else made
    if request.needs.provider_state and standing.session.incumbent is None:
        made = replace(made, why=f"{made.why} {UNKNOWN_CONVERSATION}")
    if not others:
        return made
    return replace(made, targets=tuple(dict.fromkeys((made.targets[0], *others))))


def tier_of(name: str, catalogue: Catalogue) -> Tier | None:
    """Return the tier of a name; None for a model's.  Raises UnknownModel for a tier there is not."""
    tier = catalogue.tier(name)
    if tier is None and catalogue.names_tier(name):
        known = ", ".join(tier.id for tier in catalogue.tiers)
        raise UnknownModel(f"there is no tier {name!r}; there are {known}")
    return tier


def _set_for(
    asked: Tier | None, request: ChatRequest, caller: Caller, catalogue: Catalogue
) -> tuple[Tier | None, str]:
    """Return the tier that is set for the agent that asks, else the one asked for, and what is set.

    A model's name (``asked`` is None) stays one; so does a tier whose place none takes that there is.
    """
    found = tier_set(caller, request.roles) if asked else None
    tier = catalogue.tier(found.what) if found else None
    if asked is None or found is None or tier is None or tier is asked:
        return asked, ""
    return tier, f"{found.for_what} is set to {tier.id} for this caller: "


def aliased(name: str, aliases: Mapping[str, str]) -> str:
    """Return what serves a name: the first alias that fits, else the name itself."""
    return next((to for alias, to in aliases.items() if fits(alias, name)), name)


def pinned(caller: Caller, request: ChatRequest, session: Session, names: Names) -> Caller:
    """Let a session's pin hold as the key's own would; background calls are not of the session."""
    pin = session.wishes.pin
    if pin is None or caller.limits.pin is not None or request.conversation.aside:
        return caller
    return replace(caller, limits=caller.limits.model_copy(update={"pin": names.of(pin).id}))


def _forecast(request: ChatRequest, caller: Caller, data: Data) -> Forecast | None:
    """Read the request where a limit in numbers holds, so that it binds whatever is asked for."""
    if not caller.limits.counts or data.engine is None:
        return None
    try:
        return data.engine.forecast(request)
    except Exception:  # a broken artefact: what is not known does not pass the limit
        log.exception("the decision engine failed; nothing is expected of any model")
        return None


# By name.


def _by_name(name: str, eligible: Eligibility, data: Data) -> Plan:
    """Pass a concrete model id through, within the caller's limits."""
    if refusal := eligible.refusal_of(name, data.names.of(name)):
        raise refused_as(name, refusal)
    return Plan(None, (Target(Unit(name)),), f"{name} was asked for by name.")


def _others(request: ChatRequest, eligible: Eligibility, data: Data) -> tuple[Target, ...]:
    """Return the fallbacks that a body names; every model that it names passes as one by name."""
    choosers = request.choosers
    if refusal := eligible.opens(choosers):
        raise refused_as("the request", refusal)
    named = [(name, f"models: {name}") for name in choosers.models]
    for name, said in [*named, *((name, f"{place}: {name}") for place, name in choosers.tools)]:
        if refusal := _of_body(name, eligible, data):
            raise refused_as(said, refusal)
    return tuple(Target(Unit(aliased(name, data.aliases))) for name in choosers.models)


def _of_body(name: str, eligible: Eligibility, data: Data) -> Refusal | None:
    to = aliased(name, data.aliases)
    if data.catalogue.tier(to) or data.catalogue.names_tier(to):
        return Refusal(Bar.LIMIT, "a tier is asked for as the `model` itself")
    return eligible.refusal_of(to, data.names.of(to))


def refused_as(what: str, refusal: Refusal) -> RouterError:
    """Say to a client why what it named may not serve."""
    if refusal.bar is Bar.KEY:
        return Unauthenticated(f"{what} {refusal.reason}; without one use kilo-auto/free")
    return NoModelFits(
        f"{what} is not allowed: {refusal.reason}; ask for another model or loosen the limits"
    )


# By a tier.


def _refuse_paid(tier: Tier, catalogue: Catalogue) -> None:
    """Refuse a tier that maps to no free model to anonymous callers."""
    free = {model.id for model in catalogue.models if model.free}
    if not tier.model_ids & free:
        raise Unauthenticated(f"{tier.id} needs an API key; without one use kilo-auto/free")


def _by_tier(
    tier: Tier,
    request: ChatRequest,
    eligible: Eligibility,
    caller: Caller,
    data: Data,
    standing: Standing,
) -> Plan:
    pin, reason = caller.limits.pin, ""
    decides = tier.rule == "efficient"
    if pin is not None and not (decides and _has_evidence(pin, data)):
        made = Plan(tier.id, (Target(Unit(pin)),), f"the session is pinned to {pin}.")
        return _permitted(made, tier, eligible, data)
    own = mapped_for(tier, request, caller, data.catalogue, data.names)
    if own and decides and (passed := _passed(own.targets[0], eligible)):
        own, reason = None, passed
    if decides and not own:
        decided = _by_evidence(tier, request, eligible, caller, data, standing)
        if isinstance(decided, Plan):
            return replace(decided, why=f"{reason}{decided.why}") if reason else decided
        reason += f"{decided}: "
    maps = fallback_of(tier, data.catalogue) if decides else tier
    targets, why = mapped(maps, request, caller, data.catalogue)
    if own:
        targets, why = tuple(dict.fromkeys((*own.targets, *targets))), own.why
    return _permitted(Plan(tier.id, targets, f"{reason}{why}"), maps, eligible, data)


def _passed(target: Target, eligible: Eligibility) -> str:
    """Say why the model that a caller set may not serve; nothing where it may."""
    unit = target.unit
    refusal = eligible.refusal(unit.model, Way.MAPPED, effort=unit.effort)
    return f"{unit.model}: {refusal.reason}, so evidence decides. " if refusal else ""


def heard_by(data: Data, request: ChatRequest, session: Session) -> Heard:
    """Say what a request tells its session; what the engine cannot read is taken as a new ask.

    So is what it need not read: what a model's own name is asked for, where no failures of a task could be
    lost by that.
    """
    failed = session.trouble.failures or session.waiting.failures
    if data.engine is None or (_names_model(request, data) and not failed):
        return hear(request)
    try:
        return data.engine.hear(request, session)
    except Exception:  # a broken artefact must not take the request down
        log.exception("the ask cannot be read; its session takes it as a new one")
        return hear(request)


def _names_model(request: ChatRequest, data: Data) -> bool:
    """Whether a request asks for a model by its name, and for no tier."""
    if not request.model:
        return False
    return data.catalogue.tier(aliased(request.model, data.aliases)) is None


def _has_evidence(model: str, data: Data) -> bool:
    """Whether the engine could choose a model's effort; without evidence a pin is served as it is."""
    return data.engine is not None and model in data.engine.models


def _by_evidence(
    tier: Tier,
    request: ChatRequest,
    eligible: Eligibility,
    caller: Caller,
    data: Data,
    standing: Standing,
) -> Plan | str:
    """Let the engine decide; where it cannot be used, say why."""
    if data.engine is None:
        return data.engine_error or "no classifier is loaded"
    try:
        assessment, decision = data.engine.decide(
            request,
            dial=caller.dial,
            limits=caller.limits,
            reachable=eligible.reachable,
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
        return f"the decision engine failed ({type(error).__name__})"
    targets = tuple(Target(unit) for unit in (decision.unit, *decision.fallbacks))
    if decision.mapped:
        row = fallback_of(tier, data.catalogue).mapping(request.interface)
        if row is not None and row.target.unit == decision.unit:
            targets = (row.target, *targets[1:])
        return Plan(tier.id, targets, decision.why, decision=decision)
    made = Plan(tier.id, targets, decision.why, assessment, decision)
    return _permitted(made, tier, eligible, data)


def _permitted(made: Plan, tier: Tier, eligible: Eligibility, data: Data) -> Plan:
    """Drop the targets that may not serve; without any, let the nearest stand in, or raise NoModelFits.

    A decision from memory names fallbacks of an earlier request, which this one may not allow.
    """
    way = Way.DECIDED if made.decision else Way.MAPPED
    asked = ((t, eligible.refusal(t.unit.model, way, effort=t.unit.effort)) for t in made.targets)
    refusals = {target: refusal for target, refusal in asked if refusal}
    kept = tuple(target for target in made.targets if target not in refusals)
    passed = [f"{target.unit.model}: {refusal.reason}" for target, refusal in refusals.items()]
    if not kept:
        found = _stand_ins(made, tier, eligible, data)
        kept = tuple(Target(unit, tier.verbosity) for unit in found.units[: MAX_FALLBACKS + 1])
        if not kept:
            raise _nobody(made, tier, passed, found, eligible)
        first = kept[0].unit.model
        passed[0] += f", so {first} stands in, {_nearness(first, tier, data)}. "
    elif kept[0] is not made.targets[0]:
        passed[0] += f", so {kept[0].unit.model}. "
    else:
        return replace(made, targets=kept)
    return replace(made, targets=kept, why=f"{passed[0]}{made.why}")


def _nearness(model_id: str, tier: Tier, data: Data) -> str:
    """Say what makes a model stand in."""
    model = data.catalogue.model(model_id)
    if model is not None and model.own:
        return "a model of your own server: there is no evidence about it"
    return f"{NEAR[tier.rule]} that may"


def _stand_ins(made: Plan, tier: Tier, eligible: Eligibility, data: Data) -> StandIns:
    standing = data.engine.standing if data.engine is not None else {}
    ids = [target.unit.model for target in made.targets]
    shipped = [model_id for model_id in ids if model_id in tier.model_ids]
    return nearest(
        tier, shipped or ids, eligible, standing
    )  # what is set does not make a tier dear


def _nobody(
    made: Plan, tier: Tier, passed: list[str], found: StandIns, eligible: Eligibility
) -> NoModelFits:
    """Say why nobody may serve a tier."""
    needed = shortfall(found.refusals, eligible, tier)
    others = refused({model: refusal.reason for model, refusal in found.refusals.items()})
    said = "; ".join(filter(None, (needed, *passed, others)))
    return NoModelFits(
        f"no model of {made.tier} can serve this request, and no other may stand in ({said}); "
        "choose another tier, loosen the limits, or configure another provider."
    )


def _way_out(tier: Tier, request: ChatRequest, data: Data, reachable: frozenset[str]) -> str:
    """Say how more models come into reach of a request."""
    tools = list(dict.fromkeys(bound.tool for bound in request.needs.bound if bound.tool))
    if request.needs.bound and not _lacks_reach(tier, request, data, reachable):
        return _for_more([_turning_off(tools)] if tools else [])
    interface, kept_out = request.interface, request.choosers.preferences.named
    others = [i.value for i in Interface if i is not interface and data.reachable.get(i)]
    ways = [f"leave out {kept_out}"] if kept_out else []
    ways += [_turning_off(tools)] if tools else []
    if way := data.openings.get(interface):
        ways.append(way)
    if others and not data.reachable.get(interface):
        ways.append(f"ask over {' or '.join(others)}")
    return _for_more(ways)


def _for_more(ways: list[str]) -> str:
    return f"For more models {'; or '.join(ways)}." if ways else ""


def _turning_off(tools: list[str]) -> str:
    """Say how a client is kept from listing the tools that bind it."""
    hint = ' (Codex: web_search = "disabled" in its config.toml)' if "web_search" in tools else ""
    return f"turn off {' and '.join(tools)} in the client{hint}"


def _lacks_reach(tier: Tier, request: ChatRequest, data: Data, reachable: frozenset[str]) -> bool:
    """Say whether a further key would bring a model that may serve what binds a request."""
    free = bool(tier.model_ids) and all(
        model is not None and model.free for model in map(data.catalogue.model, tier.model_ids)
    )
    return any(
        model.id not in reachable and not any(b.refuses(model.id) for b in request.needs.bound)
        for model in data.catalogue.models
        if model.costs_nothing or not free
    )
