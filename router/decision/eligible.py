"""May this model serve this request, and if not, why: the one place that says so.  Pure.

A model is come to in one of four ways: the client *named* it, in whatever field of its request; a
tier *mapped* to it; it *stands in* for one that a tier maps to and that may not serve; or it was
*decided* on by evidence.  What is asked of it differs, as ``RULES`` says; whatever is asked is asked
here, for every tier, for fallbacks, for a session's incumbent and for explanations alike.

A name that the catalogue does not know passes no limit that speaks of what a model is: only a list
or a pin that names it lets it in.

Most of it is the same for every request that asks for the same abilities under the same limits, so of
the catalogue's models that is asked once (``Eligibility.settled``); what differs with each request (its
length, its tools, what it expects to pay) is asked of every one, where it can stand against any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from router.decision.forecast import Forecast
from router.evidence.catalogue import Catalogue, Model
from router.evidence.names import ROUTERS, Named, expanded, lists
from router.values import NO_LIMITS, Caller, Limits, Needs, Unit, nothing_bars
from router.wire.choosers import Choosers


class Way(StrEnum):
    """How a model was come to."""

    NAMED = "named"
    MAPPED = "mapped"
    STANDS_IN = "stands in"
    DECIDED = "decided"


class Bar(StrEnum):
    """What kind of thing stands against a model."""

    UNKNOWN = "unknown"
    KEY = "key"
    LIMIT = "limit"
    ABILITY = "ability"
    REACH = "reach"


class Refusal(NamedTuple):
    """What stands against a model: its kind, and the words for a person."""

    bar: Bar
    reason: str


class Sought(NamedTuple):
    """A model that is to serve, as far as it matters whether it may."""

    id: str
    model: Model | None
    """None where the catalogue does not know it."""
    effort: str | None = None
    """None where it is not known: then any may come."""
    variant: str = ""
    """What a client's name asks for beside the model."""
    respelt: bool = False
    """A client wrote the name in another way than the catalogue."""


MAX_KEPT: Final = 256
"""Of how many kinds of request a catalogue keeps what is settled; all are let go beyond that."""

MAY_LOG: Final = "its provider may log prompts"


@dataclass(frozen=True, slots=True)
class Eligibility:
    """One request of one caller, as far as it says which models may serve it."""

    catalogue: Catalogue
    needs: Needs
    limits: Limits = NO_LIMITS
    reachable: frozenset[str] | None = None
    """Model ids that some provider serves in the request's format; None: all."""
    anonymous: bool = False
    """The caller has no key where keys count."""
    bars: Callable[[Unit], str | None] = nothing_bars
    """Says why no provider of a unit takes the request as it is."""
    forecast: Forecast | None = None
    """What models are expected to cost and to do, where a limit asks; None: not known."""
    abilities: frozenset[str] = field(init=False)
    denied: frozenset[str] = field(init=False)
    """The limits' list, with the models that fit its patterns."""
    allowed: frozenset[str] | None = field(init=False)
    """The same; None: all."""
    limited: bool = field(init=False)
    """Some limit stands."""

    def __post_init__(self) -> None:
        limits, ids = self.limits, self.catalogue.ids
        allowed = None if limits.allow is None else expanded(limits.allow, ids)
        object.__setattr__(self, "abilities", self.needs.abilities)
        object.__setattr__(self, "denied", expanded(limits.deny, ids))
        object.__setattr__(self, "allowed", allowed)
        limited = limits is not NO_LIMITS and bool(limits.standing)
        object.__setattr__(self, "limited", limited)

    def refusal(self, model_id: str, way: Way, *, effort: str | None = None) -> Refusal | None:
        """Return the first thing that stands against a model; None when it may serve."""
        return self._first(Sought(model_id, self.catalogue.model(model_id), effort), way)

    def refusal_of(self, name: str, named: Named) -> Refusal | None:
        """Return the same of a name that a client wrote, and what it was resolved to."""
        model = self.catalogue.model(named.id) if named.known else None
        respelt = name != named.id
        return self._first(Sought(named.id, model, None, named.variant, respelt), Way.NAMED)

    def _first(self, sought: Sought, way: Way) -> Refusal | None:
        for _, rule in _ASKED[way]:
            if reason := rule.reason(self, sought):
                return Refusal(rule.bar, reason)
        return None

    def refusals(self, model_ids: Iterable[str], way: Way) -> dict[str, Refusal]:
        """Map each model that may not serve to what stands against it."""
        settled, found = self.settled(way), {}
        varying = [(at, rule) for at, rule in _VARYING[way] if rule.varies(self)]
        for model_id in model_ids:
            if refusal := self._refused(model_id, way, settled, varying):
                found[model_id] = refusal
        return found

    def _refused(
        self,
        model_id: str,
        way: Way,
        settled: Mapping[str, tuple[int, Refusal]],
        varying: Sequence[tuple[int, Rule]],
    ) -> Refusal | None:
        """Return the first thing that stands against a model, given what is settled of it."""
        model = self.catalogue.model(model_id)
        if model is None:
            return self.refusal(model_id, way)
        last, refusal = settled.get(model_id, (len(RULES), None))
        for at, rule in varying:
            if at > last:
                break
            if reason := rule.reason(self, Sought(model_id, model)):
                return Refusal(rule.bar, reason)
        return refusal

    def settled(self, way: Way) -> Mapping[str, tuple[int, Refusal]]:
        """Map each model that stands no chance to the place of the rule and what it says.

        What a request may vary in is left out; the catalogue keeps it, by what it was asked under.
        """
        needs, limits = self.needs, self.limits
        under = way, needs.interface, self.abilities, limits, self.reachable, self.anonymous
        kept = self.catalogue.settled
        if (known := kept.get(under)) is not None:
            return known
        if len(kept) >= MAX_KEPT:
            kept.clear()
        asked: dict[str, Any] = dict.fromkeys(self.abilities, True)
        short = Needs(needs.interface, **asked)
        least = Eligibility(self.catalogue, short, limits, self.reachable, self.anonymous)
        made = {}
        for model in self.catalogue.models:
            for at, rule in _ASKED[way]:
                if rule.reason is _counts:
                    continue
                if reason := rule.reason(least, Sought(model.id, model)):
                    made[model.id] = (at, Refusal(rule.bar, reason))
                    break
        kept[under] = made
        return made

    def opens(self, choosers: Choosers) -> Refusal | None:
        """Say what stands against a body that lets its upstream bring in whom nobody can tell."""
        named = choosers.open if self.anonymous or self.limited else ()
        if self.anonymous or self.limits.max_cost_usd is not None:
            named += choosers.dearer
        if not named:
            return None
        brings = f"`{named[0]}` may bring in other models, services or prices"
        if self.anonymous:
            return Refusal(Bar.KEY, f"needs an API key: {brings}")
        return Refusal(
            Bar.LIMIT, f"{brings}, which cannot be held to {' or '.join(self.limits.standing)}"
        )


def eligibility_of(
    caller: Caller,
    needs: Needs,
    catalogue: Catalogue,
    reachable: frozenset[str] | None,
    bars: Callable[[Unit], str | None] = nothing_bars,
    forecast: Forecast | None = None,
) -> Eligibility:
    """Say what a caller's request may be served by."""
    limits, anonymous = caller.limits, caller.anonymous
    return Eligibility(catalogue, needs, limits, reachable, anonymous, bars, forecast)


def beyond(limits: Limits, cost_usd: float | None, quality: float | None) -> str | None:
    """Say which limit in numbers a model is beyond; what is not known of it does not pass one."""
    cap, least = limits.max_cost_usd, limits.min_quality
    if cap is not None and not (cost_usd is not None and cost_usd <= cap):
        expected = "not known" if cost_usd is None else f"${cost_usd:.3g}"
        return f"its expected cost is {expected}, the cap ${cap:.3g}"
    if least > 0 and not (quality is not None and quality >= least):
        expected = "not known" if quality is None else f"{quality:.3g}"
        return f"its expected quality is {expected}, the least {least:.3g}"
    return None


def _unknown(eligible: Eligibility, sought: Sought) -> str | None:
    return "not in the catalogue" if sought.model is None else None


def _retired(eligible: Eligibility, sought: Sought) -> str | None:
    """Keep out what is sold no more; who names it or pins a session to it may know who has it."""
    day = sought.model.retired if sought.model else None
    if day is None or sought.id == eligible.limits.pin:
        return None
    return f"retired (not sold on the list of {day})"


def _needs_key(eligible: Eligibility, sought: Sought) -> str | None:
    """Ask for a key, save for a free model by its own name: a variant may have a price."""
    if not eligible.anonymous:
        return None
    free = sought.model is not None and sought.model.free and not sought.respelt
    return None if free else "needs an API key"


def _may_log(eligible: Eligibility, sought: Sought) -> str | None:
    """Keep prompts from who may log them.

    That a model costs nothing does not say so: it may run on one's own machine.  Of an aggregator's
    free offer, told by its name, it is presumed where no source says.
    """
    if sought.model is None or eligible.limits.prompt_logging:
        return None
    policy = sought.model.data_policy
    presumed = policy == "unknown" and sought.id.endswith(":free")
    return MAY_LOG if presumed or policy == "may_log" else None


def _limited(eligible: Eligibility, sought: Sought) -> str | None:
    """Check the caller's limits; what is not known of a model does not pass one."""
    if not eligible.limited:
        return None
    limits, model_id, model = eligible.limits, sought.id, sought.model
    if limits.pin is not None and model_id != limits.pin:
        return f"the session is pinned to {limits.pin}"
    if limits.deny and (denied := _denied(eligible, model_id, model)):
        return denied
    if eligible.allowed is not None and not _has(eligible.allowed, model_id, model):
        return "not on the allow list"
    if limits.open_weights_only and not (model and model.open_weights):
        return "weights are not open"
    if limits.data_policies is not None:
        policy = _policy(sought)
        return None if policy in limits.data_policies else f"data policy is {policy}"
    return None


def _denied(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    if _has(eligible.denied, model_id, model):
        return "denied"
    what = _hides(model)
    if what is None or model_id == eligible.limits.pin:
        return None
    if eligible.allowed is not None and _has(eligible.allowed, model_id, model):
        return None
    return f"{what}, and some models are denied"


def _has(listed: frozenset[str], model_id: str, model: Model | None) -> bool:
    """Say whether an expanded list has a model; the names that nobody knows are not in it yet."""
    return model_id in listed or (model is None and lists(listed, model_id))


def _hides(model: Model | None) -> str | None:
    """Say why nobody can tell which model a name stands for; None where it is plain.

    What a server lists that does not run here may be an alias of its own for any vendor's model.
    """
    if model is None:
        return "it is not in the catalogue"
    if model.vendor == ROUTERS:
        return "it chooses among models by itself"
    if model.own and not model.costs_nothing:
        return "what its server means by it is not known"
    return None


def _policy(sought: Sought) -> str:
    """Return the data policy of what is asked for: free offers may log, a search tells others."""
    variants = sought.variant.split(":")
    if "free" in variants:
        return "may_log"
    if sought.model is None or "online" in variants:
        return "unknown"
    return sought.model.data_policy


def _counts(eligible: Eligibility, sought: Sought) -> str | None:
    """Hold what a model is expected to cost and to do against the limits in numbers."""
    limits = eligible.limits
    if not limits.counts:
        return None
    cost_usd = quality = None
    if sought.model is not None and eligible.forecast is not None:
        cost_usd, quality = eligible.forecast.of(sought.model, sought.effort)
    elif sought.model is not None and sought.model.costs_nothing:
        cost_usd = 0.0
    if "online" in sought.variant.split(":"):  # a search is paid for, whatever the model
        cost_usd = None
    return beyond(limits, cost_usd, quality)


def _lacks(eligible: Eligibility, sought: Sought) -> str | None:
    model = sought.model
    return None if model is None else model.lacks(eligible.needs, eligible.abilities)


def _bound_elsewhere(eligible: Eligibility, sought: Sought) -> str | None:
    said = (bound.refuses(sought.id) for bound in eligible.needs.bound)
    return next((reason for reason in said if reason), None)


def _not_taken(eligible: Eligibility, sought: Sought) -> str | None:
    return eligible.bars(Unit(sought.id, sought.effort))


def _out_of_reach(eligible: Eligibility, sought: Sought) -> str | None:
    if eligible.reachable is None or sought.id in eligible.reachable:
        return None
    return f"no configured provider serves it over {eligible.needs.interface.value}"


class Rule(NamedTuple):
    """One thing that is asked of a model, and of which."""

    bar: Bar
    ways: frozenset[Way]
    reason: Callable[[Eligibility, Sought], str | None]
    varies: Callable[[Eligibility], bool] = lambda eligible: False
    """Whether what it says of a model depends on more of this request than ``settled`` looks at."""


_ALL: Final = frozenset(Way)
_CHOSEN: Final = frozenset({Way.MAPPED, Way.STANDS_IN, Way.DECIDED})
_WEIGHED: Final = frozenset({Way.STANDS_IN, Way.DECIDED})
_WHOLE: Final = frozenset({Way.NAMED, Way.MAPPED, Way.STANDS_IN})

RULES: Final = (
    Rule(Bar.UNKNOWN, _CHOSEN, _unknown),
    Rule(Bar.REACH, _CHOSEN, _retired),
    Rule(Bar.KEY, _ALL, _needs_key),
    Rule(Bar.LIMIT, _WEIGHED, _may_log),
    Rule(Bar.LIMIT, _ALL, _limited),
    Rule(Bar.ABILITY, _WEIGHED, _lacks, lambda asked: asked.catalogue.is_long(asked.needs)),
    Rule(Bar.ABILITY, _CHOSEN, _bound_elsewhere, lambda asked: bool(asked.needs.bound)),
    Rule(Bar.REACH, _CHOSEN, _out_of_reach),
    Rule(Bar.ABILITY, _CHOSEN, _not_taken, lambda asked: asked.bars is not nothing_bars),
    Rule(Bar.LIMIT, _WHOLE, _counts, lambda asked: asked.limits.counts),
)
"""In the order in which they are asked; the first that stands against a model is told.  A tier that
maps is trusted with what a model can do, and free tiers log prompts by their own description.  What a
decision weighs are units and not models: ``beyond`` is asked of each of them there."""

_ASKED: Final = {
    way: tuple((at, rule) for at, rule in enumerate(RULES) if way in rule.ways) for way in Way
}
"""Way → the rules that are asked, each with its place."""

_SETTLED: Final = Rule._field_defaults["varies"]
_VARYING: Final = {
    way: tuple((at, rule) for at, rule in asked if rule.varies is not _SETTLED)
    for way, asked in _ASKED.items()
}
"""The same of those that can differ from request to request."""
