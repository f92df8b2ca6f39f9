"""The decision engine: classifier, table and catalogue, loaded once and checked together.

``Engine.decide`` is the whole path from a parsed request in its session to a decision; the gateway,
the command line, the simulator and the latency benchmark call it.  A request that brings nothing
new (no new ask, no new evidence of failure) is answered from what its session remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from classifier.model import Assessment, BadClassifier, Classifier
from classifier.tasks import family_of as task_family
from router.decision.policy import (
    DEFAULT_DIAL,
    DIALS,
    Decision,
    Dial,
    Limits,
    Move,
    decide,
    forbidden,
)
from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, Catalogue, load_catalogue
from router.evidence.table import Table, load_table
from router.sessions.session import NEW, Session, facing
from router.wire.request import ChatRequest

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
        session: Session = NEW,
        reachable: frozenset[str] | None = None,
        reassess: bool = False,
        now_s: float = 0.0,
    ) -> tuple[Assessment, Decision]:
        """Assess a request and choose what serves it; raises NoModelFits.

        ``session`` is what is remembered from before this request, ``now_s`` the time on the clock
        of its caches; ``reassess`` reads the request even if nothing is new.
        """
        faced = facing(session, request)
        settled = faced.evidence == session.evidence and session.terms == self.terms(dial, limits)
        if settled and not reassess and not is_background(request, None):
            model = self.catalogue.model(session.model)
            served = reachable is None or session.model in reachable
            if (
                session.assessment
                and model
                and served
                and not forbidden(model, request.needs, limits)
            ):
                return session.assessment, _stays(faced, now_s, self.catalogue, request)
        assessment = self._assess(request, faced)
        if is_background(request, assessment):
            faced = _aside(session)
        decision = decide(
            assessment,
            request.needs,
            faced,
            self.table,
            self.catalogue,
            dial,
            limits=limits,
            reachable=reachable,
            now_s=now_s,
        )
        return assessment, decision

    @property
    def models(self) -> frozenset[str]:
        """The models there is evidence of."""
        return frozenset(unit.model for unit in self.table.units)

    def terms(self, dial: Dial, limits: Limits) -> str:
        """Name what a decision was made under, beside the request; another name, another decision.

        Which models are allowed is not part of it: that is asked of the incumbent every time.
        """
        return f"{dial.name} {limits.max_cost_usd} {limits.min_quality} {self.table.version}"

    def _assess(self, request: ChatRequest, session: Session) -> Assessment:
        conversation = request.conversation
        if session.carried:
            since = replace(conversation.since, carried=session.carried)
            conversation = replace(conversation, since=since)
        return self.classifier.assess(conversation)


def is_background(request: ChatRequest, assessment: Assessment | None) -> bool:
    """Whether a client makes a request on its own account: a title, a summary.

    Where it does not say so the text tells, but a title or a commit message that is asked for with
    tools at hand is its user's wish.
    """
    if request.conversation.aside:
        return True
    if declared := request.conversation.declared_task:
        return task_family(declared) == "background"
    if assessment is None or assessment.family != "background":
        return False
    return not request.needs.tools or assessment.task == "background/summary"


def _aside(session: Session) -> Session:
    """Return a session as a background call sees it: its caches, and none of its troubles."""
    return replace(
        session, failures=0, carried=0, failed=(), blamed=0, calls=0, toll=0, stays=False
    )


def _stays(session: Session, now_s: float, catalogue: Catalogue, request: ChatRequest) -> Decision:
    """Decide from memory: nothing is new."""
    context = request.needs.input_tokens * session.scale
    held = session.cached_tokens(session.model, catalogue.economics, now_s)
    return Decision(
        model=session.model,
        effort=session.effort,
        fallbacks=session.fallbacks,
        expected_quality=session.expected_quality,
        expected_cost_usd=session.expected_cost_usd,
        adequate=session.adequate,
        why=f"stays with {session.unit}: nothing is new since it was chosen; "
        f"{min(held, context):,.0f} of {context:,.0f} tokens are cached.",
        move=Move.STAY,
    )


def remembering(
    session: Session,
    assessment: Assessment | None,
    decision: Decision | None,
    served: str,
    terms: str,
) -> Session:
    """Return the session with a decision that was carried out by the model ``served``.

    What was decided from memory is there already.  Where nothing was decided (a model asked for by
    name, another tier, a mapping) the next request must be.
    """
    if assessment is None or decision is None or decision.mapped:
        return replace(session, assessment=None, terms="")
    if not decision.candidates:
        return session
    of = next((c for c in decision.candidates if c.unit.model == served), None)
    switched = decision.move is Move.SWITCH and session.model not in ("", decision.model)
    return replace(
        session,
        assessment=assessment,
        fallbacks=tuple(unit for unit in decision.fallbacks if unit.model != served),
        expected_quality=of.quality if of else float("nan"),
        expected_cost_usd=of.session_usd if of else float("nan"),
        adequate=bool(of and of.adequate),
        terms=terms,
        toll=session.toll + switched,
        quiet_asks=0 if switched else session.quiet_asks,
    )
