"""The decision engine: classifier, table and catalogue, loaded once and checked together.

``Engine.decide`` is the whole path from a parsed request to a decision; the gateway, the
command line and the latency benchmark call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from classifier.model import Assessment, BadClassifier, Classifier
from router.apis import ChatRequest
from router.catalogue import MODELS_DIR, Catalogue, load_catalogue
from router.errors import BadArtefact
from router.policy import DEFAULT_DIAL, DIALS, Decision, Dial, Limits, Session, decide
from router.table import Table, load_table

CATALOGUE_FILE: Final = "catalogue.toml"
TABLE_FILE: Final = "table.json"

NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Engine:
    """What every decision is made from."""

    classifier: Classifier
    table: Table
    catalogue: Catalogue

    @classmethod
    def load(cls, folder: Path = MODELS_DIR) -> Self:
        """Load every artefact in ``folder``; raises BadArtefact when one must not be used."""
        catalogue = load_catalogue(folder / CATALOGUE_FILE)
        table = load_table(folder / TABLE_FILE)
        known = {model.id for model in catalogue.models}
        if missing := sorted({unit.model for unit in table.units} - known):
            raise BadArtefact(
                f"{folder / TABLE_FILE}: holds models that the catalogue lacks: "
                f"{', '.join(missing)}; add them or rebuild with `auto-efficient table build`"
            )
        try:
            classifier = Classifier.load(folder)
        except BadClassifier as error:
            raise BadArtefact(str(error)) from error
        return cls(classifier, table, catalogue)

    def decide(
        self,
        request: ChatRequest,
        *,
        dial: Dial = DIALS[DEFAULT_DIAL],
        limits: Limits = NO_LIMITS,
        session: Session = Session(),  # noqa: B008 - frozen and empty
        reachable: frozenset[str] | None = None,
    ) -> tuple[Assessment, Decision]:
        """Assess a request and choose what serves it; raises NoModelFits."""
        assessment = self.classifier.assess(request.conversation)
        decision = decide(
            assessment,
            request.needs,
            session,
            self.table,
            self.catalogue,
            dial,
            limits=limits,
            reachable=reachable,
        )
        return assessment, decision
