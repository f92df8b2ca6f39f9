"""What a study is: a question that is answered from recorded outcomes, printed, and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from benchmarks.judge.evaluate import Progress
from classifier.model import Classifier
from router.evidence.catalogue import CATALOGUE_FILE, MODELS_DIR, Catalogue, load_catalogue


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may say of a study; each heeds what concerns it."""

    shared: Path
    """Folder laid out like ``../shared/data``."""
    artefacts: Path = MODELS_DIR
    """Folder with the classifier and the catalogue."""
    seeds: int = 5
    """Number of splits."""
    whole_catalogue: bool = False
    """Every model of the catalogue instead of nine."""
    leave_one_out: bool = False
    """One benchmark is left out at a time."""

    def classifier(self) -> Classifier:
        """Load the classifier; raises BadClassifier."""
        return Classifier.load(self.artefacts)

    def catalogue(self) -> Catalogue | None:
        """Load the catalogue where all of it is wanted; raises BadArtefact."""
        return load_catalogue(self.artefacts / CATALOGUE_FILE) if self.whole_catalogue else None


class Found(Protocol):
    """What a study found."""

    def to_json(self) -> str:
        """Write it as JSON."""
        ...


F = TypeVar("F", bound=Found)


@dataclass(frozen=True, slots=True)
class Study(Generic[F]):
    """A study by name: how it is run, how its page and figures are written, how it is printed.

    ``run`` raises CannotEvaluate, BadData, BadClassifier or RouterError.  ``report`` writes into
    a folder and returns the page; ``page`` is Markdown for people, None where JSON is all there is.
    """

    name: str
    doc: str
    run: Callable[[Options, Progress], F]
    report: Callable[[F, Path], Path]
    page: Callable[[F], str] | None = None
    heeds: frozenset[str] = frozenset()
    """Of ``Options``, what it heeds beside ``shared``, ``artefacts`` and ``seeds``."""
    draws: bool = True
    """Whether its report has figures, which need the ``plots`` extra."""
