"""Why, in one sentence for a person: the words of headers, logs and the dry run.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from classifier.model import Assessment
from router.sessions.session import Session
from router.values import Candidate, Support, Unit


def read(assessment: Assessment) -> str:
    """Say how the request was read."""
    task = assessment.task.split("/")[1].replace("_", " ")
    level = f"difficulty {assessment.expected_level:.1f} of 4"
    said = f"{task} ({assessment.confidence:.0%} sure), {level}"
    return f"{said}, {assessment.declared}" if assessment.declared else said


SAID: Final = {
    Support.MEASURED: "measured",
    Support.RELATED: "from related tasks",
    Support.PRIOR: "told by its price and family",
}
"""What the numbers of a candidate rest on, in words."""

ORDINARY: Final = "for an ordinary task"
TASK: Final = "for this request and the rest of its task"
"""What dollars are of: they are never told without."""


def span_of(input_tokens: int | None) -> str:
    """Say what the dollars of a decision are of: without the request's size, of an ordinary task."""
    return TASK if input_tokens else ORDINARY


def _terms(candidate: Candidate) -> str:
    return f"{candidate.quality:.0%} at ${candidate.task_usd:.3g}"


def expects(candidate: Candidate) -> str:
    """Say what is expected of a candidate."""
    return f"{candidate.unit}, {_terms(candidate)} ({SAID[candidate.evidence]})"


def takes_over(candidate: Candidate) -> str:
    """Say who takes over when a failure shows, and what the plan of both costs."""
    if candidate.second is None:
        return ""
    return f" Should its failure show, {candidate.second} is to take over: ${candidate.plan_usd:.3g} with that."


def begins(chosen: Candidate, best: Candidate, n_near: int, n_cheaper: int, span: str) -> str:
    """Say why a new session begins with a unit.

    ``n_near`` units may serve, ``n_cheaper`` have plans that cost less; ``span`` is what the
    dollars are of.  Who is not near serves on from an easier level.
    """
    expected = f"{_terms(chosen)} {span} ({SAID[chosen.evidence]})"
    if not chosen.near:
        why = (
            f"{chosen.unit} serves easier work of the kind and serves on, {expected}: nobody likely near "
            f"the best is expected to do better, {best.unit} is at {_terms(best)}."
        )
    elif chosen.unit == best.unit:
        why = (
            f"{chosen.unit} is the best candidate, {expected}"
            f"{f'; none of {n_cheaper} cheaper ones is near enough or worth it' if n_cheaper else ', and the cheapest'}."
        )
    else:
        why = (
            f"{chosen.unit} is the best buy of {n_near} likely near the best, {expected}, against "
            f"{_terms(best)} for {best.unit}."
        )
    return why + takes_over(chosen)


def replaces(before: str, cannot: str, chosen: Unit) -> str:
    """Say why a session's model is replaced."""
    return f"{before} cannot go on ({cannot}): {chosen}."


def locked(unit: Unit, lock: str) -> str:
    """Say why a session must stay."""
    return f"stays with {unit}: {lock}."


def binds(family: str) -> str:
    """Say that signed reasoning binds to its family."""
    return f"only {family} models can read its reasoning since the ask"


def escalates(session: Session, stay: Candidate, chosen: Candidate, span: str) -> str:
    """Say why a session's model is left for one that is more likely to succeed."""
    failed = session.trouble.failures
    seen = "is not near enough for this"
    if failed:
        seen = f"is left after {failed} visible failure{'s' * (failed > 1)}"
    return (
        f"{stay.unit} {seen} ({stay.quality:.0%} against {chosen.quality:.0%}): "
        f"escalates to {expects(chosen)} {span}."
    )


def under_way(stay: Candidate, span: str) -> str:
    """Say that price waits for the user's next word."""
    return f"stays with {expects(stay)} {span} while the ask is under way."


def cached_part(cached_tokens: float, context_tokens: float) -> str:
    """Say how much of a context is cached."""
    return f"{cached_tokens:,.0f} of {context_tokens:,.0f} tokens are cached"


def stays(stay: Candidate, cheapest: Candidate, cached: str, span: str) -> str:
    """Say why staying is cheap enough."""
    against = ""
    if cheapest.unit != stay.unit:
        against = f", against {_terms(cheapest)} with {cheapest.unit}"
    return f"stays with {expects(stay)} {span}; {cached}{against}."


def switches(stay: Candidate, cheapest: Candidate, cached: str, span: str) -> str:
    """Say what a switch for price saves."""
    return (
        f"leaves {stay.unit}, where {cached}, for {expects(cheapest)} {span}, "
        f"instead of {_terms(stay)}."
    )


def within(limited: Iterable[str]) -> str:
    """Say which limits of the caller kept models out, and how many; nothing where none did."""
    listed = ", ".join(f"{bound} ({n})" for bound, n in Counter(map(_bound, limited)).items())
    return f" Kept out by limits: {listed}." if listed else ""


def refused(excluded: Mapping[str, str]) -> str:
    """Say what stands against models: of each limit the first that it keeps out, and how many."""
    first: dict[str, str] = {}
    for model, reason in excluded.items():
        first.setdefault(_bound(reason), f"{model}: {reason}")
    counted = Counter(map(_bound, excluded.values())).most_common(3)
    return "; ".join(f"{first[bound]}{f' ({n} such)' if n > 1 else ''}" for bound, n in counted)


def _bound(reason: str) -> str:
    """Return the limit of a reason, which stands after its last comma."""
    return reason.rpartition(", ")[2]


def remembers(unit: Unit, cached: str) -> str:
    """Say that nothing is new since a unit was chosen."""
    return f"stays with {unit}: nothing is new since it was chosen; {cached}."
