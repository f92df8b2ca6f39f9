"""One wish said in many ways: does the reading hold, and does what it is sent to cost the same?

The asks are those of the writers that training never sees, and so are the phrases and pastes around
them.  Each is said once more in every way of ``classifier.training.variations``; beside these, the sets in
which a writer said one wish several times (bare, courteous, with a story, beside a paste, in another language).  What a
reading costs is the expected cost of the model decided on, at the shipped table, which stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.judge.evaluate import Progress
from benchmarks.output import json_text
from benchmarks.studies.study import Options, Study
from classifier.training.calibrate import MIN_PART, OWN_TURNS
from classifier.training.dataset import (
    CORPUS_PREFIX,
    HELD_OUT_WRITERS,
    LabelledRow,
    agreed,
    read_corpus,
)
from classifier.training.variations import VARIATIONS, material
from router.decision.engine import Engine
from router.wire.request import from_text

SEED: Final = 3
SAME_COST: Final = 1.5
"""Two ways of saying a wish cost alike within this factor."""

SET_SIZE: Final = 4
"""Sets of fewer ways have no quartiles worth the name."""


@dataclass(frozen=True, slots=True)
class Held:
    """How well the reading held over n pairs: shares of families kept and of costs within SAME_COST.

    ``level_change`` is the mean absolute change of the expected level, in levels.
    """

    pairs: int
    family_kept: float
    level_change: float
    cost_alike: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Of sets in which one wish is said several times: what varies within them.

    ``cost`` is the median over sets of the upper quartile of the decided costs over the lower one.
    """

    sets: int
    family_kept: float
    level_change: float
    cost_alike: float
    cost: float


@dataclass(frozen=True, slots=True)
class Invariance:
    """By variation, by language, and over the sets of one wish."""

    by_variation: Mapping[str, Held]
    by_language: Mapping[str, Held]
    one_wish: Spread

    def to_json(self) -> str:
        """Write it as indented JSON."""
        return json_text(asdict(self), indent=1)


@dataclass(frozen=True, slots=True)
class _Read:
    family: str
    level: float
    usd: float


def measure(engine: Engine, rows: Sequence[LabelledRow], progress: Progress) -> Invariance:
    """Read every row as it is and said in other ways."""
    plain = [_read(engine, row.text) for row in rows]
    pairs: dict[str, list[tuple[int, _Read]]] = {}
    for name, variation in VARIATIONS.items():
        progress(f"reading asks with {name}")
        rng = random.Random(SEED)
        pairs[name] = [
            (i, _read(engine, variation(row.text, material(row.lang, aside=True), rng).text))
            for i, row in enumerate(rows)
        ]
    together = [pair for found in pairs.values() for pair in found]
    langs = sorted({row.lang for row in rows})
    by_language = {
        lang: [pair for pair in together if rows[pair[0]].lang == lang] for lang in langs
    }
    return Invariance(
        {name: _held(plain, found) for name, found in (pairs | {"all": together}).items()},
        {
            lang: _held(plain, found)
            for lang, found in by_language.items()
            if len(found) >= MIN_PART
        },
        _spread(rows, plain),
    )


def _read(engine: Engine, text: str) -> _Read:
    read, decision = engine.decide(from_text(text))
    return _Read(read.family, read.expected_level, decision.expected_cost_usd or 0.0)


def _held(plain: Sequence[_Read], found: Sequence[tuple[int, _Read]]) -> Held:
    pairs = [(plain[i], read) for i, read in found]
    return Held(
        len(pairs),
        _share([a.family == b.family for a, b in pairs]),
        round(float(np.mean([abs(a.level - b.level) for a, b in pairs])), 4),
        _share([_alike(a.usd, b.usd) for a, b in pairs]),
    )


def _spread(rows: Sequence[LabelledRow], plain: Sequence[_Read]) -> Spread:
    """Measure sets of one wish: each member beside the first that was written."""
    sets: dict[str, list[_Read]] = {}
    for row, read in zip(rows, plain, strict=True):
        if "/p-" in row.group:
            sets.setdefault(row.group, []).append(read)
    large = [found for found in sets.values() if len(found) >= SET_SIZE]
    if not large:
        return Spread(0, *[float("nan")] * 4)
    pairs = [(found[0], other) for found in large for other in found[1:]]
    costs = [np.percentile([read.usd for read in found], (25, 75)) for found in large]
    return Spread(
        len(large),
        _share([a.family == b.family for a, b in pairs]),
        round(float(np.mean([abs(a.level - b.level) for a, b in pairs])), 4),
        _share([_alike(a.usd, b.usd) for a, b in pairs]),
        round(float(np.median([high / max(low, 1e-9) for low, high in costs])), 4),
    )


def _alike(one: float, other: float) -> bool:
    low, high = sorted((one, other))
    return high <= low * SAME_COST


def _share(held: Sequence[bool]) -> float:
    return round(float(np.mean(held)), 4) if held else float("nan")


def page(found: Invariance) -> str:
    """Lay it out as Markdown."""
    lines = [
        f"| {name} | {held.pairs:,} | {held.family_kept:.3f} | {held.level_change:.3f} | {held.cost_alike:.3f} |"
        for part in (found.by_variation, found.by_language)
        for name, held in part.items()
    ]
    one = found.one_wish
    return f"""## One wish said in many ways

Asks of the writers {", ".join(HELD_OUT_WRITERS)}, and phrases and pastes around them, of which training saw none.

| said with, or language | pairs | family kept | mean change of level | cost within {SAME_COST} times |
|---|---|---|---|---|
{chr(10).join(lines)}

Of {one.sets} sets in which one of them said a wish several times: family kept {one.family_kept:.3f}, mean change of level
{one.level_change:.3f}, cost within {SAME_COST} times {one.cost_alike:.3f}; the upper quartile of a set's costs is {one.cost:.2f} times the lower one (median).
"""


def write_page(found: Invariance, folder: Path) -> Path:
    """Write ``invariance.md`` into a folder; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "invariance.md"
    path.write_text(page(found), "utf-8")
    return path


def run(options: Options, progress: Progress) -> Invariance:
    """Measure what ships."""
    names = {f"{CORPUS_PREFIX}{writer}" for writer in HELD_OUT_WRITERS}
    rows = [r for r in agreed(read_corpus()) if r.source in names and r.turn in OWN_TURNS]
    return measure(Engine.load(options.artefacts), rows, progress)


STUDY = Study(
    "invariance",
    "Whether one wish said in many ways is read alike, and costs alike.",
    run,
    write_page,
    page,
    draws=False,
)
