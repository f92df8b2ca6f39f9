"""What ships, judged: the table on sources it has not seen, and what it makes the rule pick.

Six questions, a module each (``benchmarks.studies.shipped``):

    sources   a benchmark left out: is the dial's promise kept there, and at what cost?
    hidden    a type of task left out: do the intervals hold what units really did on it?
    thinned   a model of which ten outcomes are known: is it over-trusted?
    cells     what is picked in every cell, before and after: does it make sense beside its neighbours?
    mixes     dollars, success and evidence over stated mixes of asks, before and after
    efforts   efforts of one model that are out of order

The first three fit the table again, some fifty times: ten minutes of one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.judge.evaluate import Progress
from benchmarks.output import json_text
from benchmarks.studies.shipped.before import kept, stops, table_before
from benchmarks.studies.shipped.cells import (
    Passed,
    Pick,
    Sense,
    passed_over,
    picks_after,
    picks_as_before,
    sense,
    written,
)
from benchmarks.studies.shipped.efforts import Effort, efforts_of
from benchmarks.studies.shipped.ground import Shipped, read_ground, read_items, serving
from benchmarks.studies.shipped.hidden import HiddenType, hide_types
from benchmarks.studies.shipped.mixes import OnMix, SingleOnMix, mixes_of, on_mixes
from benchmarks.studies.shipped.sources import SourceGap, StopGap, leave_sources_out
from benchmarks.studies.shipped.thinned import Thinned, thin_units
from benchmarks.studies.study import Options, Study
from benchmarks.table.build import Posterior
from classifier.model import Classifier
from router.decision.engine import classifier_folder
from router.evidence.catalogue import Catalogue, file_of
from router.evidence.table import TABLE_FILE, Table, load_table
from router.values import DEFAULT_DIAL, DIALS

NOTES = "notes"
"""Folder beside the shared data that may hold a stated mix of asks."""


@dataclass(frozen=True, slots=True)
class TableStudy:
    """Everything that was found.  ``picks`` are by table, "before" and "after"."""

    version: str
    outcomes: int
    sources: tuple[SourceGap, ...]
    stops: tuple[StopGap, ...]
    hidden: tuple[HiddenType, ...]
    thinned: tuple[Thinned, ...]
    senses: tuple[Sense, ...]
    picks: Mapping[str, tuple[Pick, ...]]
    passed: tuple[Passed, ...]
    mixes: tuple[OnMix, ...]
    singles: tuple[SingleOnMix, ...]
    efforts: tuple[Effort, ...]

    def to_json(self) -> str:
        """Write it as indented JSON."""
        found = asdict(self)
        for told, source in zip(found["sources"], self.sources, strict=True):
            told |= {"broken": source.broken, "refuted": source.refuted}
        return json_text(found, indent=1)


def run(options: Options, progress: Progress) -> TableStudy:
    """Judge the table of ``options.artefacts``."""
    ground = read_ground(options, progress)
    path = file_of(options.artefacts, TABLE_FILE)
    table = load_table(path).of(ground.catalogue, name=str(path))
    classifier = Classifier.load(classifier_folder(options.artefacts))
    return judged(
        ground, table, classifier, table_before(), options.shared.parent / NOTES, progress
    )


def judged(
    ground: Shipped,
    table: Table,
    classifier: Classifier,
    before: Posterior | None,
    notes: Path,
    progress: Progress,
) -> TableStudy:
    """Ask all six questions of a table, of the evidence that it was built from."""
    progress("looking at cells and mixes")
    mixes, singles = on_mixes(mixes_of(classifier, notes), table, before, ground.catalogue)
    senses, picks, passed = _cells(table, before, ground.catalogue)
    hidden = hide_types(ground, progress)
    thinned = thin_units(ground, table.price_of(DIALS[DEFAULT_DIAL].margin), progress)
    progress("reading the items of benchmarks")
    sources, stops = leave_sources_out(ground, read_items(ground, classifier), progress)
    return TableStudy(
        version=table.version,
        outcomes=len(ground.problem.score),
        sources=sources,
        stops=stops,
        hidden=hidden,
        thinned=thinned,
        senses=senses,
        picks=picks,
        passed=passed,
        mixes=mixes,
        singles=singles,
        efforts=efforts_of(table),
    )


def _cells(
    table: Table, before: Posterior | None, catalogue: Catalogue
) -> tuple[tuple[Sense, ...], dict[str, tuple[Pick, ...]], tuple[Passed, ...]]:
    """Look at every cell among the units that serve by default, before and after."""
    own = table.kept(serving(table.units, catalogue).tolist())
    senses, picks = [], {}
    if before is not None:
        old = kept(before, serving(before.units, catalogue))
        summed, was = old.table(stops()), picks_as_before(old)
        senses.append(sense("before", summed, was, passed_over(summed, was)))
        picks["before"] = tuple(written(summed, was))
    chosen = picks_after(own)
    passed = passed_over(own, chosen)
    senses.append(sense("after", own, chosen, passed))
    picks["after"] = tuple(written(own, chosen))
    return tuple(senses), picks, tuple(passed)


def report(found: TableStudy, folder: Path) -> Path:
    """Write ``table.md``, ``table.json`` and the figures into a folder; returns the page."""
    from benchmarks.studies.shipped.page import write_report

    return write_report(found, folder)


def page(found: TableStudy) -> str:
    """Lay it out as Markdown."""
    from benchmarks.studies.shipped.page import markdown

    return markdown(found)


STUDY = Study(
    "table",
    "The shipped table on sources, types and models that it has not seen, and what it makes the rule pick.",
    run,
    report,
    page,
)
