"""Why, in one sentence for a person: the words of headers, logs and the dry run.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from classifier.model import Assessment
from router.sessions.session import Session
from router.values import Candidate, Unit


def read(assessment: Assessment) -> str:
    """Say how the request was read."""
    task = assessment.task.split("/")[1].replace("_", " ")
    level = f"difficulty {assessment.expected_level:.1f} of 4"
    said = f"{task} ({assessment.confidence:.0%} sure), {level}"
    return f"{said}, {assessment.declared}" if assessment.declared else said


def evidence(candidate: Candidate) -> str:
    """Say what the numbers of a candidate rest on."""
    return "measured" if candidate.direct > 0.5 else "borrowed from related tasks"


def _terms(candidate: Candidate) -> str:
    return f"{candidate.quality:.0%} at ${candidate.session_usd:.3g}"


def expects(candidate: Candidate) -> str:
    """Say what is expected of a candidate."""
    return f"{candidate.unit}, {_terms(candidate)} ({evidence(candidate)})"


def begins(
    chosen: Candidate, best: Candidate, candidates: Sequence[Candidate], margin: float
) -> str:
    """Say why a new session begins with a unit."""
    expected = f"{_terms(chosen)} ({evidence(chosen)})"
    if chosen is best:
        cheaper = sum(c.session_usd < chosen.session_usd for c in candidates)
        tail = f"none of the {cheaper} cheaper ones is proven within {margin:.0%} of it"
        return f"{chosen.unit} is the best candidate, {expected}; {tail if cheaper else 'and the cheapest'}."
    return (
        f"{chosen.unit} is the cheapest of {sum(c.adequate for c in candidates)} adequate, "
        f"{expected}, against {_terms(best)} for {best.unit}."
    )


def replaces(before: str, cannot: str, chosen: Unit) -> str:
    """Say why a session's model is replaced."""
    return f"{before} cannot go on ({cannot}): {chosen}."


def locked(unit: Unit, lock: str) -> str:
    """Say why a session must stay."""
    return f"stays with {unit}: {lock}."


def binds(family: str) -> str:
    """Say that signed reasoning binds to its family."""
    return f"only {family} models can read its reasoning since the ask"


def escalates(session: Session, stay: Candidate, chosen: Candidate) -> str:
    """Say why a session's model is left for one that is more likely to succeed."""
    failed = session.trouble.failures
    seen = f" after {failed} visible failure{'s' * (failed > 1)}" if failed else " to this"
    return (
        f"{stay.unit} is no longer adequate{seen} ({stay.quality:.0%} against "
        f"{chosen.quality:.0%}): escalates to {expects(chosen)}."
    )


def under_way(stay: Candidate) -> str:
    """Say that price waits for the user's next word."""
    return f"stays with {expects(stay)} while the ask is under way."


def cached_part(cached_tokens: float, context_tokens: float) -> str:
    """Say how much of a context is cached."""
    return f"{cached_tokens:,.0f} of {context_tokens:,.0f} tokens are cached"


def stays(stay: Candidate, cheapest: Candidate, cached: str) -> str:
    """Say why staying is cheap enough."""
    against = ""
    if cheapest.unit != stay.unit:
        against = f", against ${cheapest.session_usd:.3g} with {cheapest.unit}"
    return f"stays with {expects(stay)}; {cached}{against}."


def switches(stay: Candidate, cheapest: Candidate, cached: str) -> str:
    """Say what a switch for price saves."""
    return (
        f"leaves {stay.unit}, where {cached}, for {expects(cheapest)}; the rest of the task costs "
        f"${cheapest.session_usd:.3g} instead of ${stay.session_usd:.3g}."
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
