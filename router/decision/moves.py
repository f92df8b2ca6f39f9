"""What a decision does to its session: a table of transitions over eight yes-or-no facts.  Pure.

1.  *Locks.*  A tool call without its result, a conversation that the provider keeps, a user who
    forbade switching: the incumbent serves.  Reasoning since the ask that is signed or encrypted
    binds to the family that can read it.  Only an incumbent that cannot serve is left.
2.  *Failure.*  An incumbent that is no longer tolerable is left for one that is adequate, and so is one
    that was seen to fail where handing its work over pays: the session escalates.
3.  *Price.*  A switch for price alone waits for the user's next word, and must save a share of the
    bill, the toll, that doubles with every such switch and halves again only slowly: a session that
    would oscillate stays.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from router.sessions.session import Session
from router.values import Candidate, Move, Needs

TOLL: Final = 0.05
"""Share of the bill that the first switch for price must save; doubles with every one."""

LOST: Final = 0.5
"""Share of the work done for an ask that whoever takes it over does again.  No data tells: half, as the
simulated sessions assume (``kept`` in benchmarks/sessions/world.toml); with none ours saves up to five points
less there."""


class Situation(NamedTuple):
    """What a move depends on."""

    begun: bool
    """The session has an incumbent."""
    can_stay: bool
    """The incumbent may serve this request."""
    locked: bool
    """Nothing but the incumbent may."""
    bound: bool
    """Only the incumbent's family may, and it has nobody better."""
    tolerable: bool
    """The incumbent is adequate, or has the benefit of the doubt."""
    pays: bool
    """It was seen to fail, and handing its work over brings more than it costs."""
    under_way: bool
    """Calls were served since the user's last word."""
    saves: bool
    """The cheapest adequate candidate saves more than the toll."""


TRANSITIONS: Final = (
    ("begun", False, Move.BEGIN),
    ("can_stay", False, Move.REPLACE),
    ("locked", True, Move.LOCKED),
    ("bound", True, Move.LOCKED),
    ("tolerable", False, Move.ESCALATE),
    ("pays", True, Move.ESCALATE),
    ("under_way", True, Move.STAY),
    ("saves", True, Move.SWITCH),
)
"""(fact, value, move): the first row that holds decides; where none does, the session stays."""


def move_of(situation: Situation) -> Move:
    """Return what to do."""
    for fact, value, move in TRANSITIONS:
        if getattr(situation, fact) is value:
            return move
    return Move.STAY


def lock_of(needs: Needs, session: Session) -> str | None:
    """Say what forbids any switch; None when nothing does."""
    if needs.open_tool_call:
        return "a tool call is open"
    if needs.provider_state:
        return "its provider keeps the conversation"
    if session.wishes.stays:
        return "switching is off for this session"
    return None


def saves(stay: Candidate, cheapest: Candidate, toll: int) -> bool:
    """Say whether leaving ``stay`` saves the toll after so many recent switches for price."""
    if cheapest.unit == stay.unit:
        return False
    return stay.score > cheapest.score + TOLL * 2.0**toll * cheapest.task_usd


def lost_share(whole: float, left: float) -> float:
    """Return what a handover does again, as a share of what is left to do: both are in calls."""
    return LOST * (whole - left) / left
