"""The dated changelog of what tiers map to: as it is kept, and what differs between two catalogues.  Pure.

``models/changelog.toml`` is written by people, an entry for each thing that came to map to another; replayed
from the oldest it gives what the catalogue says (``recorded``, ``mapped``), which a test holds it to.  A
folder of one's own may have one, whose entries come before the shipped ones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, Catalogue, Tier
from router.values import Entry, Target

CHANGELOG_FILE: Final = "changelog.toml"

TABLE: Final = "table"
"""What an entry goes by that tells of the cost-quality table; ``was`` and ``now`` are versions."""

SESSION: Final = "session"
"""What the shares of a tier go by that draws a model for each session."""

FALLBACK: Final = "fallback"
"""What the tier goes by that maps where no evidence decides."""


class Remapping(Entry):
    """That something came to map to something else."""

    date: date
    tier: str
    under: Annotated[tuple[str, ...], Field(min_length=1)]
    """Modes, formats, balances; or ``session``, ``fallback``, ``table``."""
    was: str = ""
    """Empty where there was none."""
    now: str = ""
    """Empty where there is none any more."""
    why: str = ""
    """And by which source."""

    def __str__(self) -> str:
        """Say it in words."""
        if self.under == (TABLE,):
            return f"the table of {self.tier}: {self.was or 'none'} → {self.now or 'none'}"
        return (
            f"{self.tier} over {', '.join(self.under)}: {self.was or 'nothing'} → "
            f"{self.now or 'nothing'}"
        )


def load_changelog(folder: Path = MODELS_DIR) -> tuple[Remapping, ...]:
    """Read a folder's entries and the shipped ones, the newest first; raises BadArtefact."""
    paths = dict.fromkeys((folder / CHANGELOG_FILE, MODELS_DIR / CHANGELOG_FILE))
    found = [entry for path in paths if path.exists() for entry in _read(path)]
    return tuple(sorted(dict.fromkeys(found), key=lambda entry: entry.date, reverse=True))


_ENTRIES: Final = TypeAdapter(tuple[Remapping, ...])


def _read(path: Path) -> tuple[Remapping, ...]:
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        if unknown := sorted(tables.keys() - {"changes"}):
            raise BadArtefact(f"{path}: there is no table {unknown[0]!r}; entries are [[changes]]")
        return _ENTRIES.validate_python(tables.get("changes", ()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadArtefact(f"{path}: changes.{place}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise BadArtefact(f"cannot read the changelog {path}: {error}") from error


def mapped(tier: Tier) -> dict[str, str]:
    """Return mode, format, balance, ``session`` or ``fallback`` → what a tier maps to, in words."""
    effort = f"@{tier.effort}" if tier.effort else ""
    rows = {mode: f"{model}{effort}" for mode, model in tier.modes.items()}
    rows |= {interface.value: said_of(row.target) for interface, row in tier.interfaces.items()}
    if tier.balance:
        rows |= {"paid": tier.balance.paid, "unpaid": tier.balance.unpaid}
    if tier.affinity:
        rows[SESSION] = ", ".join(f"{choice.model} {choice.weight:g}" for choice in tier.affinity)
    if tier.fallback:
        rows[FALLBACK] = tier.fallback
    return rows


def said_of(target: Target) -> str:
    """Write a target: the unit, and whether a model without efforts thinks."""
    thinks = {True: ", thinking", False: ", without thinking", None: ""}[target.reasoning]
    return f"{target.unit}{thinks}"


def differences(old: Catalogue, new: Catalogue, on: date, why: str = "") -> list[Remapping]:
    """Return what tiers map to otherwise in ``new``, those that changed alike as one."""
    before = {tier.id: mapped(tier) for tier in old.tiers}
    after = {tier.id: mapped(tier) for tier in new.tiers}
    found = []
    for tier in {**before, **after}:
        was, now = before.get(tier, {}), after.get(tier, {})
        moved = [(was.get(k, ""), now.get(k, ""), k) for k in {**was, **now}]
        moved = sorted((row for row in moved if row[0] != row[1]), key=lambda row: row[:2])
        for (left, came), rows in groupby(moved, key=lambda row: row[:2]):
            under = tuple(key for _, _, key in rows)
            found.append(Remapping(date=on, tier=tier, under=under, was=left, now=came, why=why))
    return found


def recorded(entries: Iterable[Remapping]) -> dict[str, dict[str, str]]:
    """Replay entries, given with the newest first: tier → mode, format … → what it maps to by then."""
    found: dict[str, dict[str, str]] = {}
    for entry in reversed(list(entries)):
        rows = found.setdefault(entry.tier, {})
        for key in entry.under:
            rows.pop(key, None)
            if entry.now:
                rows[key] = entry.now
    return found


def unrecorded(found: Iterable[Remapping], entries: Iterable[Remapping]) -> tuple[Remapping, ...]:
    """Return those of some changes that no entry tells of."""
    told: set[tuple[str, str, str, str]] = {row for entry in entries for row in _rows(entry)}
    return tuple(change for change in found if not told.issuperset(_rows(change)))


def _rows(entry: Remapping) -> list[tuple[str, str, str, str]]:
    return [(entry.tier, key, entry.was, entry.now) for key in entry.under]


def as_json(entry: Remapping) -> Mapping[str, Any]:
    """Return an entry as it is told to clients."""
    return {
        "date": entry.date.isoformat(),
        "tier": entry.tier,
        "under": list(entry.under),
        "from": entry.was or None,
        "to": entry.now or None,
        "why": entry.why or None,
        "text": str(entry),
    }
