"""What a name for a model means: one model has many names, and a limit holds for all of them.  Pure.

A client, a key's list and a header may write ``claude-opus-4-8``, ``Anthropic/Claude-Opus-4.8``, a
snapshot by its date, an aggregator's variant (``…:nitro``) or prefix (``openrouter/…``).  All are
resolved to the id of the catalogue before anything is asked of the model; what is sent upstream stays
as it was written.  The names that evidence is joined on are not among them: those of a paid and of a
free offer may be the same.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from router.evidence.catalogue import Catalogue
from router.values import NO_LIMITS, Limits, family_of

ROUTERS: Final = "openrouter"
"""Vendor of models that are no model, but choose one."""

_SNAPSHOT: Final = re.compile(r"(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2})|-latest)$")
"""How vendors end the name of a model that they froze on a day, or of its newest state."""

CLOSE: Final = 0.85
"""How alike (``difflib``) a name must be to one that is known to be taken for a slip of the pen."""


class Named(NamedTuple):
    """What a name was resolved to."""

    id: str
    """Of the catalogue; the name itself, in small letters, where the catalogue has no such model."""
    known: bool
    variant: str = ""
    """What the name asks for beside the model: ``nitro``, ``online``, ``free``."""


class UnknownName(ValueError):
    """A list of models names one that there is not."""


class Names:
    """The names of a catalogue's models."""

    def __init__(
        self,
        catalogue: Catalogue,
        spellings: Mapping[str, str] | None = None,
        aggregators: Iterable[str] = (),
    ) -> None:
        """Keep every name; ``spellings`` are names that providers give → ids."""
        self._ids = frozenset(model.id for model in catalogue.models)
        self._names_tier = catalogue.names_tier
        self._vendors = frozenset(map(family_of, self._ids))
        self._prefixes = tuple(f"{name}/" for name in {*aggregators, ROUTERS})
        known = {fold(name): model_id for name, model_id in (spellings or {}).items()}
        known |= _by_tail(model.id for model in catalogue.models if not model.own)
        for tail, model_id in _by_tail(m.id for m in catalogue.models if m.own).items():
            known.setdefault(tail, model_id)
        self._known = known | {fold(model_id): model_id for model_id in self._ids}
        self._limits: dict[Limits, Limits] = {}

    def of(self, name: str) -> Named:
        """Resolve a name."""
        if name in self._ids:
            return Named(name, known=True)
        low = name.strip().lower()
        for prefix in self._prefixes:
            if low not in self._ids and "/" in (rest := low.removeprefix(prefix)):
                low = rest
        text = fold(low)
        if model_id := self._known.get(text) or self._known.get(without_snapshot(text)):
            return Named(model_id, known=True)
        head, _, variant = low.rpartition(":")
        if head and (inner := self.of(head)).known:
            said = f"{inner.variant}:{variant}" if inner.variant else variant
            return Named(inner.id, known=True, variant=said)
        return Named(low, known=False)

    def listed(self, entries: Iterable[str]) -> frozenset[str]:
        """Return a list of models by their ids, patterns with ``*`` as they are; raises UnknownName.

        A name that the catalogue does not know stands for itself where it may be somebody else's
        model: a vendor's that the catalogue has, or nearly a known one, is a mistake.
        """
        return frozenset(self._entry(entry) for entry in entries)

    def _entry(self, entry: str) -> str:
        found = self.of(entry)
        if found.known and not found.variant:
            return found.id
        if "*" in found.id:
            fitting = any(fits(found.id, model_id) for model_id in self._ids)
            if family_of(found.id) in self._vendors and not fitting:
                raise UnknownName(f"{entry!r} fits no model; {self._hint(found.id)}")
            return found.id
        if self._names_tier(found.id):
            raise UnknownName(f"{entry!r} is a tier, and a limit is on models")
        if found.known:
            raise UnknownName(f"a limit is on models and not on their variants; write {found.id}")
        slip = difflib.get_close_matches(fold(found.id), self._known, n=1, cutoff=CLOSE)
        if slip or family_of(found.id) in self._vendors:
            raise UnknownName(f"there is no model {entry!r}; {self._hint(found.id)}")
        return found.id

    def _hint(self, name: str) -> str:
        if name in self._vendors:
            return f"did you mean {name}/*?"
        close = difflib.get_close_matches(fold(name), sorted(self._known), n=1, cutoff=0.5)
        end = "a pattern with * takes models that the catalogue does not have"
        if not close:
            return f"GET /v1/models has them; {end}"
        return f"did you mean {self._known[close[0]]}? ({end})"

    def within(self, limits: Limits) -> Limits:
        """Return a key's limits with every model by its id; raises UnknownName."""
        if limits is NO_LIMITS:
            return limits
        if limits not in self._limits:
            fields = {name: getattr(limits, name) for name in ("allow", "deny", "pin")}
            self._limits[limits] = limits.model_copy(update=self.resolved(fields))
        return self._limits[limits]

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return some fields of ``Limits`` with every model by its id; raises UnknownName."""
        found = dict(fields)
        for name in ("allow", "deny"):
            if found.get(name):
                found[name] = self._of_field(name, found[name])
        if found.get("pin"):
            found["pin"] = self.of(found["pin"]).id
        return found

    def _of_field(self, name: str, entries: Iterable[str]) -> frozenset[str]:
        try:
            return self.listed(entries)
        except UnknownName as error:
            raise UnknownName(f"{name}: {error}") from None


def _by_tail(model_ids: Iterable[str]) -> dict[str, str]:
    """Return the ids by what stands after their vendor, where that tells them apart."""
    ids = tuple(model_ids)
    tails = Counter(fold(model_id.partition("/")[2]) for model_id in ids)
    found = ((fold(model_id.partition("/")[2]), model_id) for model_id in ids)
    return {tail: model_id for tail, model_id in found if tail and tails[tail] == 1}


def fold(name: str) -> str:
    """Return a name as far as it tells models apart: case, dots and dashes do not."""
    return name.strip().lower().replace(".", "-").replace("_", "-")


def without_snapshot(name: str) -> str:
    """Return a name without the day on which its vendor froze it."""
    return _SNAPSHOT.sub("", name)


def fits(pattern: str, text: str) -> bool:
    """Say whether a text fits a pattern, in which ``*`` is any text; never slower than linear."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return text.endswith(last) and len(text) - len(last) >= at


def lists(listed: frozenset[str], model_id: str) -> bool:
    """Say whether a list of ids and patterns has a model."""
    low = model_id.lower()
    return model_id in listed or any("*" in entry and fits(entry, low) for entry in listed)


def expanded(listed: frozenset[str], ids: Iterable[str]) -> frozenset[str]:
    """Return a list with those of some ids that fit its patterns."""
    patterns = [entry for entry in listed if "*" in entry]
    if not patterns:
        return listed
    return listed.union(i for i in ids if any(fits(pattern, i.lower()) for pattern in patterns))


def both(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Return what two lists have in common; a pattern holds what another says more closely."""
    return frozenset(
        [entry for entry in one if lists(other, entry)]
        + [entry for entry in other if lists(one, entry)]
    )
