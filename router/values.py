"""The values that cross rooms: what one part of the gateway tells another, and nothing more.

A value that only one room knows lives in that room.  None always means "not known", "not set" or
"not asked for", as its field says; no other value stands for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self, overload

from pydantic import BaseModel, ConfigDict, Field


class Interface(StrEnum):
    """A wire format; its rules are the module of the same name in ``router.wire``."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"


class PassThrough(StrEnum):
    """An endpoint whose requests are no conversations: no tier decides, a model by name answers."""

    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"
    """OpenAI's legacy one: a prompt, and text that goes on from it."""

    @property
    def path(self) -> str:
        """How the paths of the endpoint end."""
        return f"/{self.value}"


Spoken = Interface | PassThrough
"""What a provider may take."""


class Entry(BaseModel):
    """Base of every block that people write: fixed once read, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# What is served.


@dataclass(frozen=True, slots=True)
class Unit:
    """A model at a reasoning effort: what is measured, what is decided on, what is served."""

    model: str
    """Catalogue id, ``vendor/name``."""
    effort: str | None = None
    """As the catalogue names it; None leaves it to the provider."""

    def __str__(self) -> str:
        """Write ``model`` or ``model@effort``."""
        return self.model if self.effort is None else f"{self.model}@{self.effort}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` writes."""
        model, _, effort = text.strip().partition("@")
        return cls(model, effort or None)


@dataclass(frozen=True, slots=True)
class Target:
    """A unit as a tier asks for it: with what else the tier sets in the request."""

    unit: Unit
    verbosity: str | None = None
    """Of the answer; None leaves it as the client set it."""
    reasoning: bool | None = None
    """Switches thinking on or off, for models whose effort has no levels; None leaves it."""


def family_of(model: str) -> str:
    """Return who makes a model: the vendor's part of its id."""
    return model.partition("/")[0]


# What is asked for.


ABILITIES: Final = ("tools", "images", "video", "files", "audio", "json_schema")
"""What a request may need of a model, as the catalogue names it."""


class Bound(NamedTuple):
    """Something in a request that works with some vendors only: they run it, or keep it."""

    what: str
    models: tuple[str, ...]
    """How the ids of the models begin that can serve it."""
    tool: str = ""
    """The type of the tool that it is, where it is one."""

    def refuses(self, model: str) -> str | None:
        """Say why a model cannot serve it; None when it can."""
        if model.startswith(self.models):
            return None
        vendors = " or ".join(dict.fromkeys(map(family_of, self.models)))
        return f"{self.what} works with {vendors} only"


@dataclass(frozen=True, slots=True)
class Needs:
    """What any answer to a request must support; token counts are estimates.

    ``open_tool_call``, ``provider_state`` and ``signed_reasoning`` bind a request to whoever
    answered before, ``bound`` to whoever runs or keeps what it names.
    """

    interface: Interface = Interface.CHAT
    input_tokens: int | None = None
    """Everything sent; None where the request's size is not known."""
    output_tokens: int = 0
    """Room that the answer should have: all that a model gives is enough."""
    tools: bool = False
    n_tools: int = 0
    tool_name_chars: int = 0
    """Of the longest."""
    odd_tool_names: bool = False
    """Some are more than ASCII letters, digits, ``_`` and ``-``."""
    images: bool = False
    video: bool = False
    files: bool = False
    audio: bool = False
    json_schema: bool = False
    open_tool_call: bool = False
    """A tool was called, and its result is not there yet."""
    provider_state: bool = False
    """It continues a conversation that its provider keeps."""
    signed_reasoning: bool = False
    """Reasoning since the last ask is signed or encrypted: only its own family reads it."""
    bound: tuple[Bound, ...] = ()
    begun: bool = False
    """The client begins the answer, which the model is to go on with."""

    @property
    def abilities(self) -> frozenset[str]:
        """The abilities that a model must be known to have."""
        return frozenset(name for name in ABILITIES if getattr(self, name))


def nothing_bars(unit: Unit) -> str | None:
    """Say of every unit that some provider takes a request as it is."""
    return None


# Who asks, and what they allow.


@dataclass(frozen=True, slots=True)
class Dial:
    """How much quality may be given up for cost on average, and how sure one must be of it."""

    name: str
    margin: float
    """Probability of success that may be lost against the best model, over all requests, in [0, 1]."""
    confidence: float
    """That it is kept, one-sided, in [0, 1]."""


DIALS: Final = {
    "quality": Dial("quality", margin=0.05, confidence=0.90),
    "balanced": Dial("balanced", margin=0.10, confidence=0.80),
    "economy": Dial("economy", margin=0.20, confidence=0.80),
}
"""The dial's named stops.  Two standard errors of a paired difference over the 437 issues of the
largest benchmark are 0.05: less cannot be told apart from nothing, and costs as much as always taking
the best.  How often the promise of each stop is kept is counted by ``auto-efficient evaluate promise``."""

DEFAULT_DIAL: Final = "balanced"

STOPS: Final = f"one of {', '.join(DIALS)}, or a margin between them, as 0.07"
"""What a dial may be set to, in words."""


def dial_named(name: str) -> Dial:
    """Return a stop of the dial, or the setting of a margin between two; raises ValueError."""
    named = name.strip().lower()
    if named in DIALS:
        return DIALS[named]
    margins = sorted(dial.margin for dial in DIALS.values())
    try:
        margin = float(named)
    except ValueError:
        raise ValueError(f"there is no dial {name!r}") from None
    if not margins[0] <= margin <= margins[-1]:
        raise ValueError(f"a margin is from {margins[0]} to {margins[-1]}, not {name!r}")
    return Dial(f"{margin:g}", margin, DIALS[DEFAULT_DIAL].confidence)


Ids = frozenset[str]


class Limits(Entry):
    """What a caller allows, the same for keys, headers and the command line.

    Each is narrowed by its row in ``router.callers.wishes``; there is no other list of them.
    """

    allow: Annotated[
        Ids | None,
        Field(description="Models that may serve, `*` standing for any text; not set: all."),
    ] = None
    deny: Annotated[
        Ids, Field(description="Models that never serve, `*` standing for any text.")
    ] = frozenset()
    max_cost_usd: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Most US dollars expected for this request's plan: the request, the rest of its task, and "
            "what takes over when a failure shows.",
        ),
    ] = None
    min_quality: Annotated[
        float, Field(ge=0, le=1, description="Least expected probability of success.")
    ] = 0.0
    open_weights_only: Annotated[bool, Field(description="Only models whose weights are open.")] = (
        False
    )
    data_policies: Annotated[
        Ids | None,
        Field(
            description="Data policies, as the catalogue names them, of models that may serve; not set: any."
        ),
    ] = None
    prompt_logging: Annotated[
        bool,
        Field(
            description="Lets in free offers and providers that may log prompts, on kilo-auto/efficient."
        ),
    ] = False
    pin: Annotated[str | None, Field(description="The one model that serves every tier.")] = None

    @property
    def standing(self) -> tuple[str, ...]:
        """The limits on which models may serve that are set, in words."""
        said = (
            ("a pin", self.pin is not None),
            ("a list of denied models", bool(self.deny)),
            ("a list of allowed models", self.allow is not None),
            ("open weights only", self.open_weights_only),
            ("a list of data policies", self.data_policies is not None),
            (f"a price cap of ${self.max_cost_usd}", self.max_cost_usd is not None),
            (f"a least quality of {self.min_quality}", self.min_quality > 0),
        )
        return tuple(words for words, is_set in said if is_set)

    @property
    def counts(self) -> bool:
        """Whether numbers are limited: the price, or the quality."""
        return self.max_cost_usd is not None or self.min_quality > 0


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, and what holds for it."""

    name: str
    """Scopes sessions; fit for logs."""
    anonymous: bool = False
    """Came without a key where keys count: free models only."""
    owner: bool = False
    """Owns the machine that the gateway runs on: may widen limits as well as narrow them."""
    balance: bool = True
    """Has a paid balance."""
    dial: Dial = DIALS[DEFAULT_DIAL]
    limits: Limits = NO_LIMITS
    team: str | None = None
    """Whose terms it is under beside its own."""
    former: str | None = None
    """The model or tier that it used before: what is saved is counted against it."""
    objection: str = ""
    """Why it is not the machine's owner, where there is one: what was seen, and what admits it."""
    tiers: Mapping[str, str] = field(default_factory=dict)
    """Mode or agent, in small letters → the tier that serves it, whichever tier it asks for."""
    mappings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tier → mode, agent, format, ``paid``, ``unpaid`` or ``default`` → ``model`` or ``model@effort`` that
    it maps to for this caller (``router.callers.overrides``)."""


class SessionWishes(NamedTuple):
    """What the headers of a request ask of its session; nothing where they do not speak of it."""

    pin: str | None = None
    """A model that is to serve it from now on."""
    unpin: bool = False
    """Any model may again."""
    stays: bool | None = None
    """It is to stay where it is, or need no longer."""
    reassess: bool = False
    """This request is to be read and decided anew."""


NO_SESSION_WISHES: Final = SessionWishes()


MODEL_CHARS: Final = 256
"""Longest name of a model; the longest of a public list has 70."""


def checked_name(model: str) -> str:
    """Return a model's name as a caller wrote it, blanks around it aside; raises ValueError for none.

    Names are remembered by what serves them, so nobody may make them long, and they are told in
    headers and logs, so they are one line.
    """
    model = model.strip()
    if len(model) > MODEL_CHARS:
        raise ValueError(f"the name of a model has at most {MODEL_CHARS} characters")
    if not model.isprintable():
        raise ValueError("the name of a model has no line breaks or other control characters")
    return model


# What is decided.


class Move(StrEnum):
    """What a decision does to its session."""

    BEGIN = "begin"
    STAY = "stay"
    SWITCH = "switch"
    ESCALATE = "escalate"
    LOCKED = "locked"
    REPLACE = "replace"
    """The incumbent cannot serve this request."""


class Support(StrEnum):
    """What is known of a unit on a kind of task."""

    MEASURED = "measured"
    """Thirty of its own items and more in most of what the request is read as."""
    RELATED = "related"
    """Measured on other kinds of task."""
    PRIOR = "prior"
    """Fewer than ten items: told by its price and its family."""


class Candidate(NamedTuple):
    """A unit that may serve the request, and what the table expects of it."""

    unit: Unit
    quality: float
    """Expected probability of success, in [0, 1]."""
    lower: float
    """Its lower bound beside the other units, one-sided 95%."""
    evidence: Support
    p_near: float
    """Probability of being within the guard's margin of the best on this request."""
    near: bool
    """Within the guard: it may be chosen."""
    tolerable: bool
    """Within the wider guard that an incumbent is allowed."""
    ordinary_usd: float
    """Dollars of an ordinary task of this kind, by the table."""
    task_usd: float
    """Dollars of this request and the rest of its task; ``ordinary_usd`` where its size is unknown."""
    plan_usd: float
    """``task_usd``, and that of ``second`` as often as it is expected to take over."""
    score: float
    """What is compared: ``plan_usd`` and the price of what the plan falls short of the chosen one's."""
    second: Unit | None
    """Takes over when a failure shows; None: nobody."""


class Candidates(Sequence[Candidate]):
    """All units that were compared, the lowest score first, each written out when it is asked for."""

    def __init__(self, units: Sequence[Unit], write: Callable[[int], Candidate]) -> None:
        """Hold ``units`` in order; ``write`` says all of the one at a place."""
        self._units, self._write = units, write

    def __len__(self) -> int:
        """Count them."""
        return len(self._units)

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, at: int | slice) -> Candidate | Sequence[Candidate]:
        """Return one, or some."""
        if isinstance(at, slice):
            return [self._write(i) for i in range(*at.indices(len(self._units)))]
        return self._write(range(len(self._units))[at])

    def of(self, unit: Unit) -> Candidate | None:
        """Return a unit's; None where it was no candidate."""
        return self._write(self._units.index(unit)) if unit in self._units else None


NO_CANDIDATES: Final = Candidates((), lambda at: _nobody())


def _nobody() -> Candidate:
    raise IndexError("there are no candidates")


@dataclass(frozen=True, slots=True)
class Decision:
    """What serves the request, and why."""

    unit: Unit
    fallbacks: tuple[Unit, ...]
    """Tried in order when ``unit`` cannot be reached."""
    expected_quality: float | None
    """Probability of success of ``unit``, in [0, 1]; None without evidence."""
    expected_cost_usd: float | None
    """Of the plan: this request and the rest of its task in this session, or an ordinary task where the
    request's size is not known, and what follows a failure that shows; None without evidence."""
    adequate: bool
    """Within the guard; False where nothing is: then the best candidate serves or, without any, the
    mapping."""
    why: str
    """One sentence for a person."""
    successor: Unit | None = None
    """Takes over when the failure of ``unit`` shows; None: none is planned."""
    evidence: Support | None = None
    """What ``expected_quality`` rests on; None without a table's word."""
    input_tokens: int | None = None
    """Of the request; None where its size is not known, and dollars are those of an ordinary task."""
    seen: float = 0.0
    """How often a failure is seen in such a session, in [0, 1]."""
    terms: str | None = None
    """What it was made under beside the request: dial, caps and table, as one name."""
    move: Move = Move.BEGIN
    background: bool = False
    """The client asks on its own account (a title, a summary): its session must not change."""
    mapped: bool = False
    """No model with evidence was a candidate: the fallback tier's mapping applies."""
    candidates: Candidates = NO_CANDIDATES
    """The lowest score first; none when decided from memory."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Model id → why it may not serve."""


# What came of it.


class Fault(StrEnum):
    """What a failure speaks of: that says who is asked next, and what is remembered."""

    MOMENT = "the moment"
    """Another may do better now, and this one later."""
    MODEL = "the model"
    """It is not to be had there: gone, renamed, not for us."""
    FIT = "the fit"
    """It cannot do, or that provider will not have it do, what this request asks."""
    WINDOW = "the length"
    """The request is longer than its context."""
    ACCOUNT = "the account"
    """The provider serves nothing of ours: no credits, not our country."""
    KEY = "the key"
    """The provider does not know our key."""
    REQUEST = "the request"
    """Nobody could serve it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed, before its first byte."""

    unit: Unit
    provider: str
    status: int
    """The upstream's; 504 for a time-out, 502 for everything else."""
    reason: str
    retry_after_s: float | None = None
    """What the upstream asked to wait; None where it did not."""
    called: bool = True
    """False when a penalty or a doubt forbade the call."""
    fault: Fault = Fault.MOMENT
    window_tokens: int | None = None
    """The model's context as the upstream, or else the catalogue, names it; None where neither does."""

    def __str__(self) -> str:
        """Write ``model=reason``, as headers name it."""
        return f"{self.unit.model}={self.reason}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply was billed for, in tokens."""

    input_tokens: int = 0
    """All of it, what the cache served or took included."""
    output_tokens: int = 0
    """Answer and reasoning."""
    cached_tokens: int = 0
    """Input that the provider's cache served."""
    cache_write_tokens: int = 0
    """Input that the provider's cache took, where it says so."""
    reasoning_tokens: int = 0
    """Share of the output that was thought."""
    cost_usd: float | None = None
    """Dollars by the provider's own word; None where it gives none."""
