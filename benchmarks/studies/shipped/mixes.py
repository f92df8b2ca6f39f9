"""What ships on stated mixes of asks: dollars, success, and what decisions rest on, before and after.

Asks are decided by their reading and paid for by what they are: dollars and success are the table's in
the labelled cell.  So that before and after share a yardstick, both are valued by the new table; what
the old one believed of its own picks stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.frames import Column, read_csv
from benchmarks.studies.shipped.before import kept, picks_before, stops
from benchmarks.studies.shipped.ground import Array32, rounded, serving
from benchmarks.table.build import SEED, Posterior
from benchmarks.table.choose import NOBODY
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.traffic import Readings, read_writers
from classifier.model import Classifier
from classifier.tasks import TYPES
from classifier.training.dataset import HELD_OUT_WRITERS
from classifier.training.rows import as_key, as_number
from router.decision.ladder import ladder_among
from router.decision.policy import support_of
from router.decision.rule import (
    FALSE_ALARM,
    SUCCESSOR_ODDS,
    compare,
    enough,
    plans_of,
    with_odds,
)
from router.evidence.catalogue import Catalogue
from router.evidence.table import Table
from router.values import DIALS, Dial, Support

STUDY_WRITERS: Final = ("ines", "leila")
"""The writers kept out of training whose asks the dial was not set on."""

SEEN: Final = 0.5
"""How often a failure is seen where an agent works; the catalogue's for agents that run commands."""

N_TOP: Final = 10

EVERYDAY: Final = "everyday-mix.csv"

MIX_COLUMNS: Final = (
    Column("task", as_key, required=True),
    Column("level", as_number, required=True),
    Column("asks", as_number, required=True),
)


@dataclass(frozen=True, slots=True)
class AskMix:
    """n asks: what each is read as, what it is, and its weight, which adds up to one."""

    name: str
    p_type: Array32
    p_level: Array32
    task: Ints
    level: Ints
    weight: Floats


@dataclass(frozen=True, slots=True)
class UnitShare:
    """How much of a mix a unit serves."""

    unit: str
    share: float


@dataclass(frozen=True, slots=True)
class OnMix:
    """A stop on a mix.  ``seen``: how often an agent's failure is seen, and its successor takes over.

    ``usd`` an ask and ``quality`` are expected by the new table, ``own_quality`` by the one that decided.
    ``measured``, ``related`` and ``prior`` are shares of decisions by what they rest on.
    """

    mix: str
    table: str
    dial: str
    seen: float
    usd: float
    quality: float
    own_quality: float
    measured: float
    related: float
    prior: float
    top: tuple[UnitShare, ...]


@dataclass(frozen=True, slots=True)
class SingleOnMix:
    """The best single unit of those that were measured enough, by the new table."""

    mix: str
    unit: str
    usd: float
    quality: float


def mixes_of(classifier: Classifier, notes: Path) -> list[AskMix]:
    """Read the mixes: two writers' asks, and the stated everyday one where its file is in ``notes``."""
    read = read_writers(classifier, STUDY_WRITERS)
    found = [
        AskMix(
            f"asks of {' and '.join(STUDY_WRITERS)}, types alike",
            read.p_type, read.p_level, read.task, read.level, read.uniform(),
        )
    ]  # fmt: skip
    if (notes / EVERYDAY).exists():
        found.append(everyday(notes / EVERYDAY, read_writers(classifier, HELD_OUT_WRITERS)))
    return found


def everyday(path: Path, readings: Readings) -> AskMix:
    """Read a mix that only says how many asks are of which type and level; readings are drawn."""
    rows = read_csv(path, MIX_COLUMNS).frame
    times = rows["asks"].to_numpy().astype(np.int64)
    task = np.repeat([TYPES.index(name) for name in rows["task"]], times)
    level = np.repeat(rows["level"].to_numpy().astype(np.int64) - 1, times)
    p_type, p_level = readings.drawn(task, level, SEED)
    n = len(task)
    return AskMix(f"{n} everyday asks", p_type, p_level, task, level, np.full(n, 1 / n))


def on_mixes(
    mixes: Sequence[AskMix], table: Table, before: Posterior | None, catalogue: Catalogue
) -> tuple[tuple[OnMix, ...], tuple[SingleOnMix, ...]]:
    """Decide every ask of every mix at every stop, among the units that serve by default."""
    own = table.kept(serving(table.units, catalogue).tolist())
    old = None if before is None else kept(before, serving(before.units, catalogue))
    found: list[OnMix] = []
    singles = []
    for mix in mixes:
        singles.append(_single(mix, own))
        for dial in DIALS.values():
            if old is not None:
                found.append(_before(mix, old, own, dial))
            found += [_after(mix, own, catalogue, dial, seen) for seen in (0.0, SEEN)]
    return tuple(found), tuple(singles)


def _single(mix: AskMix, table: Table) -> SingleOnMix:
    may = enough(table.items.sum(axis=(0, 1)))
    quality = mix.weight @ table.quality[mix.task, mix.level]
    best = int(np.where(may, quality, -np.inf).argmax())
    usd = float(mix.weight @ table.cost_usd[mix.task, mix.level, best])
    return SingleOnMix(mix.name, str(table.units[best]), rounded(usd), rounded(quality[best]))


def _after(mix: AskMix, table: Table, catalogue: Catalogue, dial: Dial, seen: float) -> OnMix:
    """Decide with the new table and rule."""
    price = table.price_of(dial.margin)
    agent = seen * (1 - mix.p_type @ catalogue.economics.is_single)
    ladder = ladder_among(table, dial.margin)
    firsts, usd, quality, rests = [], [], [], []
    for i, read in enumerate(zip(mix.p_type, mix.p_level, strict=True)):
        expected = table.expect(*read)
        standing = compare(expected, dial.margin)
        plans = plans_of(
            expected, standing, expected.cost_usd, price,
            seen=float(agent[i]), after_price=table.price_of(0.0),
        )  # fmt: skip
        first = int(np.where(ladder.may(standing, expected), plans.score(price), np.inf).argmin())
        cell = (mix.task[i], mix.level[i])
        q, c = table.quality[cell], table.cost_usd[cell]
        spent, solved = float(c[first]), float(q[first])
        second = int(plans.second[first])
        if second != NOBODY:
            shown = float(agent[i]) * (1 - solved) + FALSE_ALARM * solved
            mended = float(with_odds(q[second : second + 1], SUCCESSOR_ODDS)[0])
            spent += shown * float(c[second])
            solved += float(agent[i]) * (1 - solved) * mended
        firsts.append(first)
        usd.append(spent)
        quality.append(solved)
        rests.append(support_of(expected, first))
    names = [str(table.units[i]) for i in firsts]
    q = np.array(quality)
    return _on_mix(mix, "after", dial, seen, names, np.array(usd), q, q, rests)


def _before(mix: AskMix, old: Posterior, table: Table, dial: Dial) -> OnMix:
    """Decide with the old ones; what the new table does not know is valued by the old."""
    picks = picks_before(old, mix.p_type, mix.p_level, dial)
    summed = old.table(stops())
    rows = {str(unit): i for i, unit in enumerate(table.units)}
    names = [str(old.units[i]) for i in picks]
    own = summed.quality[mix.task, mix.level, picks].astype(float)
    usd = summed.cost_usd[mix.task, mix.level, picks].astype(float)
    quality = own.copy()
    for i, name in enumerate(names):
        if name in rows:
            cell = (mix.task[i], mix.level[i], rows[name])
            usd[i], quality[i] = table.cost_usd[cell], table.quality[cell]
    rests = [
        support_of(summed.expect(mix.p_type[i], mix.p_level[i]), int(pick))
        for i, pick in enumerate(picks)
    ]
    return _on_mix(mix, "before", dial, 0.0, names, usd, quality, own, rests)


def _on_mix(
    mix: AskMix,
    table: str,
    dial: Dial,
    seen: float,
    names: Sequence[str],
    usd: Floats,
    quality: Floats,
    own: Floats,
    rests: Sequence[Support],
) -> OnMix:
    shares: dict[str, float] = {}
    for name, weight in zip(names, mix.weight.tolist(), strict=True):
        shares[name] = shares.get(name, 0.0) + weight
    top = sorted(shares.items(), key=lambda pair: -pair[1])[:N_TOP]
    of = {
        kind: float(mix.weight @ np.array([found is kind for found in rests])) for kind in Support
    }
    return OnMix(
        mix=mix.name,
        table=table,
        dial=dial.name,
        seen=seen,
        usd=rounded(mix.weight @ usd),
        quality=rounded(mix.weight @ quality),
        own_quality=rounded(mix.weight @ own),
        measured=rounded(of[Support.MEASURED]),
        related=rounded(of[Support.RELATED]),
        prior=rounded(of[Support.PRIOR]),
        top=tuple(UnitShare(name, rounded(share)) for name, share in top),
    )
