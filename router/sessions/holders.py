"""Whose the conversations are that providers keep.

A provider keeps an answer under the gateway's key, not under the caller's: whoever knows the
answer's id could go on from it.  So who was given an id is kept beside the sessions, as digests, in
the store of answers.  An id that is not in there is nobody's: one given before the store began, or
while it failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from router.sessions.session import Session
from router.sessions.steps import key_of
from router.sessions.store import Sessions, learn, recall

SEVERAL: Final = "several"
"""Holds an id that two callers were given, as a server may that numbers its answers anew each time:
it identifies nobody's."""


async def give(answers: Sessions, ids: Iterable[str], caller: str) -> None:
    """Remember that a caller was given what a provider keeps under ``ids``."""
    name = _holder(caller)

    def change(session: Session) -> Session:
        return replace(session, holder=name if session.holder in ("", name) else SEVERAL)

    for kept in ids:
        await learn(answers, _place(kept), change)


async def is_anothers(answers: Sessions, kept: str, caller: str) -> bool:
    """Say whether an id is known to be another caller's alone."""
    holder = (await recall(answers, _place(kept))).holder
    return holder not in ("", SEVERAL, _holder(caller))


def _place(kept: str) -> str:
    """Return where an id's holder is kept; no caller's own session lies there."""
    return key_of("", kept, "holder")


def _holder(caller: str) -> str:
    return key_of(caller, "", "holder")
