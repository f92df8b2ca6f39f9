"""Which family of models wrote which part of a conversation, so that its reasoning can go.

Reasoning is signed or encrypted by the family that wrote it, and another family refuses it.  But
stripping what the same family wrote breaks prompt caching and multiplies cost.  A request names
no author for its parts, so the gateway remembers, per session, from which item on which family
wrote: when a request of ``n`` items is served, whatever follows them is by the family serving.
A history that became shorter was compacted by the client; its indices mean nothing any more, so
if several families took part, all of its reasoning counts as foreign, else none.  Memory is
bounded and per process; a session that is not remembered keeps everything.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

Runs = tuple[tuple[int, str], ...]
"""(first item, family), in order."""

MAX_SESSIONS: Final = 50_000
MAX_RUNS: Final = 64


def family_of(model: str) -> str:
    """Return who makes a model: the vendor's part of its id."""
    return model.partition("/")[0]


class Authors:
    """Who wrote what, per session."""

    def __init__(self) -> None:
        """Begin with no session known."""
        self._sessions: OrderedDict[str, tuple[int, Runs]] = OrderedDict()

    def served(self, session: str, n_items: int, model: str) -> None:
        """Note that what follows the first ``n_items`` of a session is by ``model``'s family."""
        family = family_of(model)
        last, runs = self._sessions.get(session, (0, ()))
        if n_items < last:
            mixed = {f for _, f in runs} - {family}
            runs = ((0, "mixed" if mixed else family),)
        if not runs or runs[-1][1] != family:
            runs = (*runs, (n_items, family))[-MAX_RUNS:]
        self._sessions[session] = (n_items, runs)
        self._sessions.move_to_end(session)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def foreign(self, session: str, n_items: int, model: str) -> frozenset[int]:
        """Return which of a request's items another family than ``model``'s wrote."""
        family = family_of(model)
        last, runs = self._sessions.get(session, (0, ()))
        if all(f == family for _, f in runs):
            return frozenset()
        if n_items < last:
            return frozenset(range(n_items))
        ends = [start for start, _ in runs[1:]] + [n_items]
        return frozenset(
            i
            for (start, author), end in zip(runs, ends, strict=True)
            if author != family
            for i in range(start, end)
        )
