"""A session: what is known of a conversation between its requests, and where it is kept.

``Session`` is a small frozen value.  Every change is a pure function from one to the next, and a
store applies such a function to what it holds, atomically: two requests of one session that run
at the same time each add their part, in either order.  The store here keeps sessions in memory,
bounded, and forgets those that rest; one that is shared between processes implements the same two
methods over ``dump`` and ``load``.

What identifies a session is said by the client or is the first turn's fingerprint; it counts only
together with the caller's name, and leaves this module only as a hash.  A subagent is a session of
its own.  A background call (a title, a summary) sees the session, whose cache may make one model
the cheapest to ask, and changes nothing in it but the money spent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson
from cachetools import TTLCache

from classifier.conversation import Conversation
from classifier.model import Assessment
from router.errors import BadRequest
from router.evidence.catalogue import Economics
from router.evidence.table import Unit
from router.wire.parts import Usage
from router.wire.request import ChatRequest

Runs = tuple[tuple[int, str], ...]
"""(first item of the conversation, family that wrote what follows it), in order."""

MAX_RUNS: Final = 64
MAX_CACHES: Final = 4
"""Models whose prompt caches are remembered; older ones are cold long since."""

FAILURES_A_STEP: Final = 2
MAX_STEPS: Final = 3
"""A task is read anew when its visible failures, not undone since by a passing test, reach two,
four and six: one failing test is how work begins, a second one after an edit is news."""

COMPLAINT_FAILURES: Final = 3
"""What a user's "still broken" weighs against a failing test: the user has seen the result."""

ASKS_A_TOLL: Final = 4
"""After so many asks without a switch for price, the toll on the next one halves again."""

SMOOTHING: Final = 0.3
"""Weight of the newest call in the running means of growth and answer."""


class Evidence(NamedTuple):
    """What an assessment was made on; as long as it stands, nothing is read again.

    ``ask`` digests the ask and its place; ``steps`` are of visible failures; ``answers`` counts
    questions that the user answered inside a tool call.
    """

    ask: str = ""
    steps: int = 0
    answers: int = 0


class Cache(NamedTuple):
    """Context that a model's provider holds, and when it was last used, in seconds."""

    model: str
    tokens: int
    touched_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One conversation so far; an empty one stands for a session that is new.

    The incumbent is ``model`` at ``effort``; ``family`` is its vendor.  ``calls`` were served since
    the ask, ``failures`` are visible and not undone (``carried``: those of earlier asks of the same
    task); ``failed`` says whose they are that others than the incumbent let be seen, ``blamed`` how
    many that makes.  ``toll`` counts recent switches for price.  ``scale`` is reported over estimated input
    tokens.  ``pin`` and ``stays`` are the user's wishes for the whole session.
    """

    model: str = ""
    effort: str = ""
    fallbacks: tuple[Unit, ...] = ()
    expected_quality: float = float("nan")
    expected_cost_usd: float = float("nan")
    adequate: bool = False
    assessment: Assessment | None = None
    evidence: Evidence = Evidence()
    terms: str = ""
    caches: tuple[Cache, ...] = ()
    runs: Runs = ()
    n_items: int = 0
    asks: int = 0
    calls: int = 0
    failures: int = 0
    carried: int = 0
    failed: tuple[tuple[Unit, int], ...] = ()
    blamed: int = 0
    toll: int = 0
    quiet_asks: int = 0
    switches: int = 0
    input_tokens: int = 0
    scale: float = 1.0
    growth_tokens: float = 0.0
    output_tokens: float = 0.0
    spent_usd: float = 0.0
    pin: str = ""
    stays: bool = False

    @property
    def unit(self) -> Unit:
        """The incumbent."""
        return Unit(self.model, self.effort) if self.effort else Unit(self.model)

    @property
    def family(self) -> str:
        """Who makes the incumbent."""
        return family_of(self.model)

    @property
    def troubles(self) -> tuple[tuple[Unit, int], ...]:
        """Who failed in this task, and how often: the incumbent last."""
        own = self.failures - self.blamed
        return (*self.failed, (self.unit, own)) if self.model and own > 0 else self.failed

    def cached_tokens(self, model: str, economics: Economics, now_s: float) -> int:
        """Return how much of the conversation a model's cache still holds."""
        for cache in self.caches:
            if cache.model == model and now_s - cache.touched_s <= economics.lifetime_s(model):
                return cache.tokens
        return 0

    def dump(self) -> bytes:
        """Write the session as JSON, for a store outside this process."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        if read := self.assessment:
            fields["assessment"] = {
                "p_type": read.p_type.tolist(),
                "p_level": read.p_level.tolist(),
                "declared": read.declared,
            }
        return orjson.dumps(fields, default=tuple)  # which named tuples become

    @classmethod
    def load(cls, data: bytes) -> Session:
        """Read what ``dump`` wrote; the text of the ask is not kept outside the process."""
        fields: dict[str, Any] = orjson.loads(data)
        for name in ("expected_quality", "expected_cost_usd"):
            fields[name] = float("nan") if fields[name] is None else fields[name]
        if read := fields["assessment"]:
            p_type, p_level = (np.array(read[k], np.float32) for k in ("p_type", "p_level"))
            fields["assessment"] = Assessment(p_type, p_level, declared=read["declared"])
        fields["fallbacks"] = tuple(Unit(**unit) for unit in fields["fallbacks"])
        fields["failed"] = tuple((Unit(**unit), n) for unit, n in fields["failed"])
        fields["evidence"] = Evidence(*fields["evidence"])
        fields["caches"] = tuple(Cache(*cache) for cache in fields["caches"])
        fields["runs"] = tuple((start, family) for start, family in fields["runs"])
        return cls(**fields)


NEW: Final = Session()


def family_of(model: str) -> str:
    """Return who makes a model: the vendor's part of its id."""
    return model.partition("/")[0]


def key_of(caller: str, session: str, agent: str = "") -> str:
    """Return the key of a caller's session, or of a subagent in it; tells nothing of either."""
    parts = "\0".join((caller, session, agent)).encode("utf-8", "replace")
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


# What a user may ask of a session.


class Wishes(NamedTuple):
    """What the headers of a request ask of its session; None where they ask nothing.

    ``x-auto-pin: MODEL`` pins the session to a model until ``x-auto-pin: off``; ``x-auto-switch:
    off`` keeps it where it is until ``on``; ``x-auto-reassess: true`` reads this request anew.
    """

    pin: str | None = None
    stays: bool | None = None
    reassess: bool = False


def wishes_of(headers: Mapping[str, str]) -> Wishes:
    """Read the headers (names in lower case); raises BadRequest."""
    pin = headers.get("x-auto-pin", "").strip()
    return Wishes(
        pin=("" if pin.lower() in NO else pin) if pin else None,
        stays=None if (switch := _flag(headers, "x-auto-switch")) is None else not switch,
        reassess=bool(_flag(headers, "x-auto-reassess")),
    )


YES: Final = frozenset({"on", "true", "1", "yes"})
NO: Final = frozenset({"off", "false", "0", "no", "none"})


def _flag(headers: Mapping[str, str], name: str) -> bool | None:
    value = headers.get(name, "").strip().lower()
    if value and value not in YES | NO:
        raise BadRequest(f"{name}: {value!r} is neither on nor off")
    return value in YES if value else None


def wished(session: Session, wishes: Wishes) -> Session:
    """Return the session under the user's wishes, which last until they are changed."""
    if wishes.pin is None and wishes.stays is None:
        return session
    return replace(
        session,
        pin=session.pin if wishes.pin is None else wishes.pin,
        stays=session.stays if wishes.stays is None else wishes.stays,
    )


# From one request to the next.


def facing(session: Session, request: ChatRequest) -> Session:
    """Return the session as it stands before a request is decided: what is new in it.

    A new ask begins a task, unless it says that the last one failed, or follows it up while its
    failures stand: then they are carried over.  Success is not: with nothing failing, the next ask
    starts afresh, and a model that was taken for its strength can go again.  A history that the
    client compacted is cached nowhere.
    """
    conversation = request.conversation
    since = conversation.since
    ask = _digest(conversation)
    changes: dict[str, Any] = {}
    carried = session.carried
    if ask != session.evidence.ask:
        carried, changes = _next_ask(session, conversation)
    elif since.answers > session.evidence.answers:
        changes["calls"] = 0  # the user's answer begins the work anew
    failures = carried + since.failures
    steps = min(failures // FAILURES_A_STEP, MAX_STEPS)
    evidence = Evidence(ask, steps, since.answers)
    if _compacted(session, request):
        changes["caches"] = ()
    if not changes and (evidence, failures) == (session.evidence, session.failures):
        return session
    return replace(session, evidence=evidence, failures=failures, **changes)


def _next_ask(session: Session, conversation: Conversation) -> tuple[int, dict[str, Any]]:
    """Return the failures that a new ask carries over, and what else it changes.

    After some asks without a switch for price the toll on the next one falls.
    """
    quiet, toll = session.quiet_asks + 1, session.toll
    if quiet >= ASKS_A_TOLL and toll:
        quiet, toll = 0, toll - 1
    changes = {"calls": 0, "asks": session.asks + 1, "quiet_asks": quiet, "toll": toll}
    if session.asks and (conversation.complains or conversation.goes_on):
        carried = session.failures + COMPLAINT_FAILURES * conversation.complains
        return carried, {**changes, "carried": carried}
    return 0, {**changes, "carried": 0, "failed": (), "blamed": 0}


def _compacted(session: Session, request: ChatRequest) -> bool:
    return request.n_items < session.n_items and not request.needs.provider_state


def _digest(conversation: Conversation) -> str:
    text = f"{conversation.user_turns}\0{conversation.ask}".encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def serving(
    session: Session, model: str, effort: str, request: ChatRequest, now_s: float
) -> Session:
    """Return the session once a model has begun to answer a request.

    Until the provider reports what it cached, the whole request counts as cached there.
    """
    caches = tuple(c for c in session.caches if c.model != model)
    held = Cache(model, round(request.needs.input_tokens * session.scale), now_s)
    before = session.runs
    if request.n_items < session.n_items:
        mixed = {family for _, family in before} - {family_of(model)}
        before = ((0, "mixed" if mixed else family_of(model)),)
    same = not before or before[-1][1] == family_of(model)
    leaves = bool(session.model) and session.model != model
    runs = before if before and same else (*before, (request.n_items, family_of(model)))[-MAX_RUNS:]
    return replace(
        session,
        model=model,
        effort=effort,
        caches=(held, *caches)[:MAX_CACHES],
        runs=runs,
        n_items=request.n_items,
        calls=session.calls + 1,
        switches=session.switches + leaves,
        failed=session.troubles if leaves else session.failed,
        blamed=session.failures if leaves else session.blamed,
    )


def accounted(
    session: Session,
    model: str,
    usage: Usage,
    *,
    estimated_tokens: int,
    cached_before: int,
    usd: float,
    now_s: float,
) -> Session:
    """Return the session with what the provider reported of a call to ``model``.

    Caching that was expected and is not reported is not believed in again: the next call counts
    only what this one is known to have read or written.
    """
    reported = usage.cached_tokens + usage.cache_write_tokens
    works = usage.cached_tokens >= cached_before / 2
    explicit = usage.cache_write_tokens > 0
    held = usage.input_tokens if works and not explicit else reported
    caches = tuple(
        Cache(model, held, now_s) if cache.model == model else cache for cache in session.caches
    )
    grew = usage.input_tokens - session.input_tokens
    again = session.input_tokens > 0 and 0 < grew < session.input_tokens and session.calls > 1
    growth = max(0.0, grew - session.output_tokens)
    return replace(
        session,
        caches=caches,
        input_tokens=usage.input_tokens or session.input_tokens,
        scale=_scale(usage.input_tokens, estimated_tokens, session.scale),
        growth_tokens=_mean(session.growth_tokens, growth) if again else session.growth_tokens,
        output_tokens=_mean(session.output_tokens, usage.output_tokens),
        spent_usd=session.spent_usd + usd,
    )


def _scale(reported: int, estimated: int, before: float) -> float:
    return min(3.0, max(0.3, reported / estimated)) if reported and estimated else before


def _mean(before: float, now: float) -> float:
    return (1 - SMOOTHING) * before + SMOOTHING * now if before else float(now)


def foreign_items(session: Session, n_items: int, model: str) -> frozenset[int]:
    """Return which of a request's items another family than ``model``'s wrote.

    A request names no author for its parts, so the session remembers from which item on which
    family wrote.  A history that became shorter was compacted by the client, and its indices mean
    nothing any more: if several families took part, all of it counts as foreign, else none.
    """
    family = family_of(model)
    runs = session.runs
    if all(author == family for _, author in runs):
        return frozenset()
    if n_items < session.n_items:
        return frozenset(range(n_items))
    ends = [start for start, _ in runs[1:]] + [n_items]
    return frozenset(
        i
        for (start, author), end in zip(runs, ends, strict=True)
        if author != family
        for i in range(start, end)
    )


# Where sessions are kept.


class Sessions(Protocol):
    """A store of sessions.  Methods may wait for a network; ``update`` must be atomic."""

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        ...

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Replace a session by what ``change`` makes of it, and return that.

        ``change`` is pure and may be called again: a store that finds its value changed by
        another process in the meantime starts over from the newer one.
        """
        ...


class MemorySessions:
    """Sessions of this process: the newest ``limit``, for ``idle_s`` seconds after their last use."""

    def __init__(self, *, limit: int, idle_s: float, clock: Callable[[], float]) -> None:
        """Begin with none."""
        self._held: TTLCache[str, Session] = TTLCache(limit, idle_s, timer=clock)
        self._lock = Lock()

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        with self._lock:
            return self._held.get(key, NEW)

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session; nothing runs in between, not even another thread."""
        with self._lock:
            made = change(self._held.get(key, NEW))
            self._held[key] = made
        return made

    def __len__(self) -> int:
        """Count the sessions held."""
        return len(self._held)
