"""May this model serve this request, and if not, why: the one place that says so.  Pure.

A model is come to in one of three ways: the client *named* it, a tier *mapped* to it, or it was
*decided* on by evidence.  What is asked of it differs, as ``RULES`` says; whatever is asked is asked
here, for every tier, for fallbacks, for a session's incumbent and for explanations alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from router.evidence.catalogue import Catalogue, Model
from router.values import NO_LIMITS, Caller, Limits, Needs, Unit, nothing_bars


class Way(StrEnum):
    """How a model was come to."""

    NAMED = "named"
    MAPPED = "mapped"
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
    abilities: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "abilities", self.needs.abilities)

    def refusal(self, model_id: str, way: Way) -> Refusal | None:
        """Return the first thing that stands against a model; None when it may serve."""
        model = self.catalogue.model(model_id)
        for rule in RULES:
            if way in rule.ways and (reason := rule.reason(self, model_id, model)):
                return Refusal(rule.bar, reason)
        return None

    def excluded(self, model_ids: Iterable[str], way: Way) -> dict[str, str]:
        """Map each model that may not serve to the reason."""
        found = ((model_id, self.refusal(model_id, way)) for model_id in model_ids)
        return {model_id: refusal.reason for model_id, refusal in found if refusal}


def eligibility_of(
    caller: Caller,
    needs: Needs,
    catalogue: Catalogue,
    reachable: frozenset[str] | None,
    bars: Callable[[Unit], str | None] = nothing_bars,
) -> Eligibility:
    """Say what a caller's request may be served by."""
    return Eligibility(catalogue, needs, caller.limits, reachable, caller.anonymous, bars)


def _unknown(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    return "not in the catalogue" if model is None else None


def _needs_key(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    return "needs an API key" if eligible.anonymous and not (model and model.free) else None


def _may_log(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    logs = model is not None and (model.free or model.data_policy == "may_log")
    return "its provider may log prompts" if logs and not eligible.limits.prompt_logging else None


def _limited(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    """Check the caller's limits; what is not known of a model does not pass one."""
    limits = eligible.limits
    if limits.pin is not None and model_id != limits.pin:
        return f"the session is pinned to {limits.pin}"
    if model_id in limits.deny:
        return "denied"
    if limits.allow is not None and model_id not in limits.allow:
        return "not on the allow list"
    if limits.open_weights_only and not (model and model.open_weights):
        return "weights are not open"
    policy = model.data_policy if model else "unknown"
    if limits.data_policies is not None and policy not in limits.data_policies:
        return f"data policy is {policy}"
    return None


def _lacks(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    return None if model is None else model.lacks(eligible.needs, eligible.abilities)


def _bound_elsewhere(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    said = (bound.refuses(model_id) for bound in eligible.needs.bound)
    return next((reason for reason in said if reason), None)


def _not_taken(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    return eligible.bars(Unit(model_id))


def _out_of_reach(eligible: Eligibility, model_id: str, model: Model | None) -> str | None:
    if eligible.reachable is None or model_id in eligible.reachable:
        return None
    return f"no configured provider serves it over {eligible.needs.interface.value}"


class Rule(NamedTuple):
    """One thing that is asked of a model, and of which."""

    bar: Bar
    ways: frozenset[Way]
    reason: Callable[[Eligibility, str, Model | None], str | None]


_ALL: Final = frozenset(Way)
_CHOSEN: Final = frozenset({Way.MAPPED, Way.DECIDED})
_DECIDED: Final = frozenset({Way.DECIDED})

RULES: Final = (
    Rule(Bar.UNKNOWN, _CHOSEN, _unknown),
    Rule(Bar.KEY, _ALL, _needs_key),
    Rule(Bar.LIMIT, _DECIDED, _may_log),
    Rule(Bar.LIMIT, _ALL, _limited),
    Rule(Bar.ABILITY, _DECIDED, _lacks),
    Rule(Bar.ABILITY, _CHOSEN, _bound_elsewhere),
    Rule(Bar.REACH, _CHOSEN, _out_of_reach),
    Rule(Bar.ABILITY, _CHOSEN, _not_taken),
)
"""In the order in which they are asked; the first that stands against a model is told.  A tier that
maps is trusted with what a model can do, and free tiers log prompts by their own description."""
