"""What a decision was made from, written out, and the decision made again from it.

A decision is a function of what the request was read as, what it needs, its session, the caller's
limits and dial, and the table.  All but the table are kept with the request, as numbers and names: so a
decision can be opened later, and made again against today's table and catalogue.  What a provider of
the day could not take (``bars``) is told by ``excluded`` and not kept otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import orjson

from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from router.books.record import Workings
from router.decision.engine import Engine
from router.decision.explain import as_json
from router.sessions.session import Session
from router.values import Bound, Candidate, Decision, Dial, Interface, Limits, Needs

SHORT: Final = 4
"""Candidates that a row of the ledger names, the chosen one first."""

KEPT: Final = 12
"""Candidates that are written out whole: who was chosen, and who came close, the lowest score first."""


@dataclass(frozen=True, slots=True)
class Basics:
    """Everything but the table and the catalogue that a decision is made from."""

    assessment: Assessment
    needs: Needs
    session: Session
    """As it stood before the decision, with what the request tells it."""
    dial: Dial
    limits: Limits
    reachable: frozenset[str] | None
    """Models that could be had in the request's format; None: all."""
    seen: float
    """How often a failure is seen in such a session, in [0, 1]."""
    remembers: bool
    """It was answered from what its session remembers, as nothing was new."""
    now_s: float
    """On the clock of the session's caches."""


def written_out(basics: Basics, decision: Decision) -> Workings:
    """Write a decision and its basics as JSON, the candidates in short beside it."""
    read = basics.assessment
    chosen = decision.candidates.of(decision.unit)
    others = [one for one in decision.candidates[:KEPT] if one.unit != decision.unit]
    compared = ([chosen] if chosen else []) + others
    made = {
        "decision": as_json(read, decision)["decision"],
        "terms": decision.terms,
        "candidates": [_candidate(candidate) for candidate in compared],
        "assessment": {
            "p_type": read.p_type,
            "p_level": read.p_level,
            "declared": read.declared,
            "carries": read.carries,
        },
        "needs": asdict(basics.needs),
        "session": orjson.Fragment(basics.session.dump()),
        "dial": asdict(basics.dial),
        "limits": basics.limits.model_dump(mode="json", exclude_defaults=True),
        "reachable": None if basics.reachable is None else sorted(basics.reachable),
        "seen": basics.seen,
        "remembers": basics.remembers,
        "now_s": basics.now_s,
    }
    data = orjson.dumps(made, default=list, option=orjson.OPT_SERIALIZE_NUMPY)
    return Workings(", ".join(map(_short, compared[:SHORT])), data, read.ask)


def basics_of(made: Mapping[str, Any]) -> Basics:
    """Read what ``written_out`` wrote; raises LookupError, TypeError or ValueError for anything else."""
    read, needs = made["assessment"], dict(made["needs"])
    needs["interface"] = Interface(needs["interface"])
    needs["bound"] = tuple(
        Bound(what, tuple(models), tool) for what, models, tool in needs["bound"]
    )
    reachable = made["reachable"]
    if (len(read["p_type"]), len(read["p_level"])) != (len(TYPES), N_LEVELS):
        raise ValueError("it was read by a classifier of other tasks")
    return Basics(
        assessment=Assessment(
            p_type=np.array(read["p_type"], dtype=np.float32),
            p_level=np.array(read["p_level"], dtype=np.float32),
            declared=read["declared"],
            carries=read["carries"],
        ),
        needs=Needs(**needs),
        session=Session.load(orjson.dumps(made["session"])),
        dial=Dial(**made["dial"]),
        limits=Limits.model_validate(made["limits"]),
        reachable=None if reachable is None else frozenset(reachable),
        seen=made["seen"],
        remembers=made["remembers"],
        now_s=made["now_s"],
    )


def again(basics: Basics, engine: Engine) -> Decision:
    """Make a decision again with an engine's table and catalogue; raises NoModelFits."""
    return engine.again(
        basics.assessment,
        basics.needs,
        basics.session,
        dial=basics.dial,
        limits=basics.limits,
        reachable=basics.reachable,
        seen=basics.seen,
        remembers=basics.remembers,
        now_s=basics.now_s,
    )


def _candidate(candidate: Candidate) -> dict[str, Any]:
    told = candidate._asdict()
    told["unit"], told["second"] = str(candidate.unit), candidate.second and str(candidate.second)
    return told


def _short(candidate: Candidate) -> str:
    return f"{candidate.unit} {candidate.quality:.2f} ${candidate.task_usd:.4f}"
