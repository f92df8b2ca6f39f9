"""A session: what is known of a conversation between its requests, as one small frozen value.

It is put together from what it knows of: who serves it (``Incumbent``), what that was decided on
(``Basis``), the ask under way (``Task``), what was seen to fail (``Trouble``), what is cached where
(``Context``), who wrote which part (``authors``) and what its user wishes (``Wishes``).  How it
goes from one request to the next is in ``router.sessions.steps``, where it is kept in ``store``.

``dump`` and ``load`` carry it between processes.  A field that is missing has its default, one that
is not known is left out, so two versions of the gateway may share a store while one replaces the
other; a dump of another ``VERSION`` says something else and begins anew.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self, TypeVar

import numpy as np
import orjson

from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from router.values import Support, Unit, family_of

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION: Final = 2
"""Of a dump; raise it when a field changes its meaning.  Version 1 was flat, and named none."""


class Evidence(NamedTuple):
    """What an assessment is made on; as long as it stands, nothing is read again."""

    ask: str | None = None
    """Digest of the ask and its place; None before the first."""
    steps: int = 0
    """Of visible failures; see ``steps.FAILURES_A_STEP``."""
    answers: int = 0
    """Questions that the user answered inside a tool call."""


class Cache(NamedTuple):
    """Context that a model's provider holds."""

    model: str
    tokens: int
    touched_s: float
    """When it was last used, on the sessions' clock."""
    refuted: bool = False
    """It was expected to hold something, and the provider reported nothing read or written."""


class Run(NamedTuple):
    """A stretch of the conversation that one family wrote."""

    first_item: int
    family: str


@dataclass(frozen=True, slots=True)
class Incumbent:
    """Who serves the session, and what was expected when it was chosen."""

    unit: Unit
    fallbacks: tuple[Unit, ...] = ()
    expected_quality: float | None = None
    """Probability of success; None where it was not chosen by evidence."""
    expected_cost_usd: float | None = None
    adequate: bool = False
    successor: Unit | None = None
    """Planned to take over when its failure shows; None: nobody is."""
    evidence: Support | None = None
    """What ``expected_quality`` rests on."""

    @property
    def family(self) -> str:
        """Who makes it."""
        return family_of(self.unit.model)


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What the incumbent was decided on: the same again needs no new decision."""

    assessment: Assessment
    evidence: Evidence
    terms: str | None = None
    """Of its decision; see ``Decision``."""


@dataclass(frozen=True, slots=True)
class Task:
    """The ask under way."""

    evidence: Evidence = Evidence()
    asks: int = 0
    """How many the user has made."""
    calls: int = 0
    """Served since the ask, or since the user last answered a question."""
    toll: int = 0
    """Recent switches for price: each makes the next one dearer."""
    quiet_asks: int = 0
    """Asks since the last switch for price, or since the toll last fell."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was seen to fail in this task and was not undone since."""

    failures: int = 0
    """All of them."""
    carried: int = 0
    """Those of earlier asks of the same task."""
    failed: tuple[tuple[Unit, int], ...] = ()
    """Whose they are, of units that served before the incumbent."""
    blamed: int = 0
    """How many that makes."""


@dataclass(frozen=True, slots=True)
class Context:
    """How much there is to send, and who has it cached."""

    caches: tuple[Cache, ...] = ()
    """The newest first."""
    n_items: int = 0
    """Messages or items of the last request."""
    input_tokens: int | None = None
    """Of the last request, as its provider reported; None until one does."""
    scale: float = 1.0
    """Reported over estimated input tokens."""
    growth_tokens: float | None = None
    """Running mean of what comes in between two calls; None until it was seen."""
    output_tokens: float | None = None
    """Running mean of an answer; None until one was seen."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wishes for the whole session, until they say otherwise."""

    pin: str | None = None
    """The one model that is to serve it."""
    stays: bool = False
    """It is to stay with the incumbent."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One conversation so far; an empty one stands for a session that is new."""

    incumbent: Incumbent | None = None
    basis: Basis | None = None
    """None when the next request must be decided."""
    task: Task = Task()
    trouble: Trouble = Trouble()
    waiting: Trouble = Trouble()
    """That of the task which waits while something is asked beside it."""
    context: Context = Context()
    authors: tuple[Run, ...] = ()
    """In order; empty until a model answered."""
    wishes: Wishes = Wishes()
    holder: str = ""
    """Digest of whose it is, where others could name it; see ``router.sessions.holders``."""

    @property
    def model(self) -> str | None:
        """The incumbent's."""
        return self.incumbent.unit.model if self.incumbent else None

    @property
    def family(self) -> str | None:
        """Who makes the incumbent."""
        return self.incumbent.family if self.incumbent else None

    @property
    def troubles(self) -> tuple[tuple[Unit, int], ...]:
        """Who failed in this task, and how often: the incumbent last."""
        own = self.trouble.failures - self.trouble.blamed
        if self.incumbent is None or own <= 0:
            return self.trouble.failed
        return (*self.trouble.failed, (self.incumbent.unit, own))

    @property
    def blamed(self) -> Trouble:
        """The trouble so far as that of who had it, whoever serves from now on."""
        return replace(self.trouble, failed=self.troubles, blamed=self.trouble.failures)

    def cached_tokens(self, model: str, lifetime_s: float, now_s: float) -> int:
        """Return how much of the conversation a model's cache still holds, if unused ones live so long."""
        for cache in self.context.caches:
            if cache.model == model and now_s - cache.touched_s <= lifetime_s:
                return cache.tokens
        return 0

    def dump(self) -> bytes:
        """Write the session as JSON, for a store outside this process."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.basis is not None:
            fields["basis"] = _written(self.basis)
        return orjson.dumps(
            {"version": VERSION, **fields}, default=list, option=orjson.OPT_SERIALIZE_NUMPY
        )

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read what ``dump`` wrote; the text of the ask is not kept outside the process."""
        try:
            raw = orjson.loads(data)
            if (version := raw.get("version", 1)) != VERSION:
                _tell_once(f"of version {version}, this gateway writes {VERSION}")
                return cls()
            return cls(**_known(cls, raw, SESSION_PARTS))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            _tell_once(f"not readable ({error!r})")
            return cls()


NEW: Final = Session()


@lru_cache
def _tell_once(why: str) -> None:
    log.warning("stored sessions are %s: they begin anew", why)


def _written(basis: Basis) -> dict[str, Any]:
    """Return what a basis is written as: all but the text of the ask."""
    read = basis.assessment
    said = {"p_type": read.p_type, "p_level": read.p_level, "declared": read.declared}
    return {"assessment": said, "evidence": basis.evidence, "terms": basis.terms}


def _known(kind: type, raw: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of ``raw`` that ``kind`` has, each read by its entry in ``parts``."""
    return {
        field.name: parts[field.name](value) if field.name in parts and value is not None else value
        for field in dataclasses.fields(kind)
        if (value := raw.get(field.name)) is not None or _may_lack(field)
    }


def _may_lack(field: dataclasses.Field[Any]) -> bool:
    """Whether nothing is a value of a field: else what is null there is missing."""
    return field.default is None


def _unit(raw: dict[str, Any]) -> Unit:
    return Unit(raw["model"], raw.get("effort"))


def _row(kind: Callable[..., T], n: int) -> Callable[[list[Any]], T]:
    """Return what reads a row as far as its columns are known."""
    return lambda raw: kind(*raw[:n])


_evidence = _row(Evidence, len(Evidence._fields))
_cache = _row(Cache, len(Cache._fields))
_run = _row(Run, len(Run._fields))


def _assessment(raw: dict[str, Any]) -> Assessment:
    p_type, p_level = (np.array(raw[name], np.float32) for name in ("p_type", "p_level"))
    if (p_type.shape, p_level.shape) != ((len(TYPES),), (N_LEVELS,)):
        raise ValueError("it was read by a classifier of other tasks")
    return Assessment(p_type, p_level, declared=raw.get("declared", ""))


def _trouble(raw: dict[str, Any]) -> Trouble:
    failed = {"failed": lambda rows: tuple((_unit(row[0]), row[1]) for row in rows)}
    return Trouble(**_known(Trouble, raw, failed))


SESSION_PARTS: Final[dict[str, Any]] = {
    "incumbent": lambda raw: Incumbent(
        **_known(
            Incumbent,
            raw,
            {
                "unit": _unit,
                "fallbacks": lambda units: tuple(map(_unit, units)),
                "successor": _unit,
                "evidence": Support,
            },
        )
    ),
    "basis": lambda raw: Basis(
        **_known(Basis, raw, {"assessment": _assessment, "evidence": _evidence})
    ),
    "task": lambda raw: Task(**_known(Task, raw, {"evidence": _evidence})),
    "trouble": _trouble,
    "waiting": _trouble,
    "context": lambda raw: Context(
        **_known(Context, raw, {"caches": lambda rows: tuple(map(_cache, rows))})
    ),
    "authors": lambda rows: tuple(map(_run, rows)),
    "wishes": lambda raw: Wishes(**_known(Wishes, raw, {})),
    "holder": str,
}
"""How each part of a dump becomes a value again."""
