"""What a caller sets for itself in place of the catalogue: tiers by mode or agent, and mappings.  Pure.

``tiers`` says which tier serves a mode or an agent, whichever tier that asks for: frontier for code, free
for explore.  ``mappings`` says what a tier maps to, by whatever of a request is nearest: its agent, its
format, its caller's balance, else ``default``.  Neither touches a model that is asked for by its name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from router.evidence.catalogue import Catalogue, Tier
from router.evidence.names import CLOSE, Names
from router.values import Caller, Interface, Unit
from router.wire.clients import KINDS, SUBAGENT

PAID: Final = "paid"
UNPAID: Final = "unpaid"
DEFAULT: Final = "default"

OTHERS: Final = frozenset({*(i.value for i in Interface), PAID, UNPAID, DEFAULT})
"""What a mapping goes by beside agents."""

NAME_CHARS: Final = 64
"""Longest name of an agent that is taken; those of clients have 17 at most."""


class Override(NamedTuple):
    """Something that a caller set, and for what."""

    for_what: str
    what: str


def tier_set(caller: Caller, roles: Iterable[str]) -> Override | None:
    """Return the tier that a caller set for the nearest of the roles; None where it set none."""
    return next(
        (Override(role, caller.tiers[role]) for role in roles if role in caller.tiers), None
    )


def model_set(
    caller: Caller, tier: Tier, catalogue: Catalogue, roles: Iterable[str], interface: Interface
) -> Override | None:
    """Return what a caller set for the nearest of what a request is; None where it set nothing."""
    row = rows_set(caller, tier, catalogue)
    keys = [*roles, interface.value, PAID if caller.balance else UNPAID, DEFAULT]
    return next((Override(key, row[key]) for key in keys if key in row), None)


def rows_set(caller: Caller, tier: Tier, catalogue: Catalogue) -> Mapping[str, str]:
    """Return all that a caller set for a tier, by whichever of its names."""
    found: dict[str, str] = {}
    for name, rows in caller.mappings.items():
        if catalogue.tier(name) is tier:
            found |= rows
    return found


def checked(
    tiers: Mapping[str, str],
    mappings: Mapping[str, Mapping[str, str]],
    catalogue: Catalogue,
    names: Names,
    *,
    unlisted: bool = False,
) -> tuple[str, ...]:
    """Say what is wrong with what a caller set; nothing where all is well.

    ``unlisted``: some server of one's own has not said what it has, so a name may be its.
    """
    agents = agents_of(catalogue)
    return (
        *_of_tiers(tiers, catalogue, agents),
        *_of_mappings(mappings, catalogue, names, agents, unlisted=unlisted),
    )


def agents_of(catalogue: Catalogue) -> frozenset[str]:
    """Return the modes and agents that are known by name: of the catalogue, and of clients."""
    modes = {mode for tier in catalogue.tiers for mode in tier.modes}
    return frozenset({*modes, *KINDS["x-kilocode-mode"], SUBAGENT} - {DEFAULT})


def _of_tiers(
    tiers: Mapping[str, str], catalogue: Catalogue, agents: frozenset[str]
) -> Iterator[str]:
    for agent, tier in tiers.items():
        problem = f"{agent!r} is no mode or agent" if agent in OTHERS else _agent(agent, agents)
        if problem:
            yield f"tiers: {problem}"
        if catalogue.tier(tier) is None:
            yield f"tiers: {agent}: {_no_tier(tier, catalogue)}"


def _of_mappings(
    mappings: Mapping[str, Mapping[str, str]],
    catalogue: Catalogue,
    names: Names,
    agents: frozenset[str],
    *,
    unlisted: bool,
) -> Iterator[str]:
    for tier, rows in mappings.items():
        if catalogue.tier(tier) is None:
            yield f"mappings: {_no_tier(tier, catalogue)}"
        for key, model in rows.items():
            place = f"mappings: {tier}"
            if problem := _agent(key, agents | OTHERS):
                yield f"{place}: {problem}"
            if problem := _model(model, catalogue, names, unlisted=unlisted):
                yield f"{place}: {key}: {problem}"


def _no_tier(tier: str, catalogue: Catalogue) -> str:
    return f"there is no tier {tier!r}; there are {', '.join(t.id for t in catalogue.tiers)}"


def _agent(name: str, known: frozenset[str]) -> str | None:
    """Say what is wrong with the name of a mode or agent.

    Clients take agents of any name, so only a slip is refused: a name that is nearly a known one, and
    neither is the beginning or the end of the other, as ``coder`` is of none but ``code``.
    """
    if name in known:
        return None
    if not (0 < len(name) <= NAME_CHARS and name.isprintable()):
        return f"the name of a mode or agent has 1 to {NAME_CHARS} printable characters"
    if name != name.strip().lower():
        return (
            f"{name!r}: modes and agents are written in small letters, without blanks around them"
        )
    slip = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
    if not slip or any(_extends(a, b) for a, b in ((name, slip[0]), (slip[0], name))):
        return None
    return f"there is no mode or agent {name!r}; did you mean {slip[0]}?"


def _extends(longer: str, shorter: str) -> bool:
    return longer.startswith(shorter) or longer.endswith(shorter)


def _model(text: str, catalogue: Catalogue, names: Names, *, unlisted: bool) -> str | None:
    """Say what is wrong with a ``model@effort``."""
    unit = Unit.parse(text)
    if catalogue.tier(unit.model) or catalogue.names_tier(unit.model):
        return f"{unit.model!r} is a tier, and a tier maps to models; `tiers` takes tiers"
    named = names.of(unit.model)
    if not named.known:
        return None if unlisted else f"there is no model {unit.model!r}; GET /v1/models has them"
    model = catalogue.model(named.id)
    if named.variant or model is None:
        return f"a tier maps to models and not to their variants; write {named.id}"
    if unit.effort is None or model.own or unit.effort in model.efforts:
        return None
    efforts = f"it has {', '.join(model.efforts)}" if model.efforts else "no list gives it any"
    return f"{named.id} has no effort {unit.effort!r}; {efforts}"
