"""The decision engine: classifier, table and catalogue, loaded once and checked together.

``Engine.decide`` is the whole path from a parsed request in its session to a decision; the gateway,
the command line, the simulator and the latency benchmark call it.  A request that brings nothing
new (no new ask, no new evidence of failure) is answered from what its session remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from classifier.model import ARTEFACT_FILES, Assessment, BadClassifier, Classifier
from classifier.since import runs_commands
from classifier.tasks import family_of as task_family
from router.decision import reasons
from router.decision.eligible import Eligibility, Way
from router.decision.forecast import Forecast, forecast_of, vouched_of
from router.decision.policy import decide
from router.errors import BadArtefact
from router.evidence.catalogue import (
    CATALOGUE_FILE,
    MODELS_DIR,
    Catalogue,
    Economics,
    file_of,
    load_catalogue,
)
from router.evidence.table import TABLE_FILE, Table, load_table
from router.sessions.session import NEW, Basis, Incumbent, Session
from router.sessions.steps import Heard, aside, hear, on_request
from router.values import (
    DEFAULT_DIAL,
    DIALS,
    NO_LIMITS,
    Decision,
    Dial,
    Limits,
    Move,
    Needs,
    Unit,
    nothing_bars,
)
from router.wire.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Engine:
    """What every decision is made from."""

    classifier: Classifier
    table: Table
    catalogue: Catalogue

    @classmethod
    def load(cls, folder: Path = MODELS_DIR, catalogue: Catalogue | None = None) -> Self:
        """Load every artefact of ``folder``; raises BadArtefact when one must not be used.

        What the folder lacks is the shipped one's.  ``catalogue`` is that of the folder, for callers
        who read it already.
        """
        catalogue = catalogue or load_catalogue(folder / CATALOGUE_FILE)
        path = file_of(folder, TABLE_FILE)
        table = load_table(path).of(catalogue, name=str(path))
        try:
            classifier = Classifier.load(classifier_folder(folder))
        except BadClassifier as error:
            raise BadArtefact(str(error)) from error
        return cls(classifier, table, catalogue)

    @property
    def models(self) -> frozenset[str]:
        """The models there is evidence of."""
        return frozenset(unit.model for unit in self.table.units)

    @property
    def standing(self) -> Mapping[str, float]:
        """Model → how well it does over all kinds of task alike."""
        return vouched_of(self.table)

    def forecast(self, request: ChatRequest) -> Forecast:
        """Say what a request is expected to cost, and how to end, with any model."""
        assessment = self.classifier.assess(request.conversation)
        return forecast_of(assessment, self.table, self.catalogue, needs=request.needs)

    def decide(
        self,
        request: ChatRequest,
        *,
        dial: Dial = DIALS[DEFAULT_DIAL],
        limits: Limits = NO_LIMITS,
        reachable: frozenset[str] | None = None,
        session: Session = NEW,
        heard: Heard | None = None,
        reassess: bool = False,
        now_s: float = 0.0,
        bars: Callable[[Unit], str | None] = nothing_bars,
    ) -> tuple[Assessment, Decision]:
        """Assess a request and choose what serves it; raises NoModelFits.

        ``reachable`` holds the model ids that some provider serves in the request's format; None
        means all.  ``session`` is what is remembered from before this request, ``heard`` what the
        request tells it (``hear``), for callers who know; ``reassess`` reads the request even
        if nothing is new; ``now_s`` is the time on the clock of the session's caches; ``bars`` says why
        no provider of a unit takes the request as it is.
        """
        eligible = Eligibility(self.catalogue, request.needs, limits, reachable, bars=bars)
        terms = self._terms(dial, limits)
        faced = on_request(session, heard or self.hear(request, session))
        if not reassess and not is_background(request, None):
            basis, incumbent = session.basis, session.incumbent
            if incumbent and basis and _settled(basis, faced, terms, incumbent, eligible):
                made = _stays(faced, incumbent, eligible, now_s)
                seen = seen_of(request, basis.assessment, self.catalogue.economics)
                return basis.assessment, replace(made, seen=seen, terms=terms)
        assessment = self._assess(request, faced)
        background = is_background(request, assessment)
        if background:
            faced = aside(session)
        seen = 0.0 if background else seen_of(request, assessment, self.catalogue.economics)
        decision = decide(assessment, eligible, faced, self.table, dial, seen=seen, now_s=now_s)
        return assessment, replace(decision, seen=seen, terms=terms, background=background)

    def again(
        self,
        assessment: Assessment,
        needs: Needs,
        session: Session,
        *,
        dial: Dial,
        limits: Limits,
        reachable: frozenset[str] | None,
        seen: float,
        remembers: bool,
        now_s: float,
    ) -> Decision:
        """Choose what serves a request that was read before; raises NoModelFits.

        ``session`` has heard the request; ``seen`` is how often a failure is seen in it, in [0, 1];
        what ``remembers`` is decided from memory where that still holds.
        """
        eligible, terms = (
            Eligibility(self.catalogue, needs, limits, reachable),
            self._terms(dial, limits),
        )
        basis, incumbent = session.basis, session.incumbent
        if (
            remembers
            and incumbent
            and basis
            and _settled(basis, session, terms, incumbent, eligible)
        ):
            made = _stays(session, incumbent, eligible, now_s)
        else:
            made = decide(assessment, eligible, session, self.table, dial, seen=seen, now_s=now_s)
        return replace(made, seen=seen, terms=terms)

    def hear(self, request: ChatRequest, session: Session = NEW) -> Heard:
        """Say what a request tells its session; an ask that this knows already is not read again."""
        told, conversation = hear(request), request.conversation
        if told.ask == session.task.evidence.ask or not conversation.before:
            return told
        return told._replace(carries=self.classifier.assess(conversation).carries)

    def _terms(self, dial: Dial, limits: Limits) -> str:
        """Name what a decision was made under, beside the request; another name, another decision.

        Which models are allowed is not part of it: that is asked of the incumbent every time.
        """
        return f"{dial.name} {limits.max_cost_usd} {limits.min_quality} {self.table.version}"

    def _assess(self, request: ChatRequest, session: Session) -> Assessment:
        conversation = request.conversation
        if carried := session.trouble.carried:
            since = replace(conversation.since, carried=carried)
            conversation = replace(conversation, since=since)
        return self.classifier.assess(conversation)


def seen_of(request: ChatRequest, read: Assessment, economics: Economics) -> float:
    """Return how often a failure of this request's work is seen, in [0, 1].

    One answer has nobody to see it fail; an agent sees its commands fail, or its user tells it.
    """
    if not request.needs.tools:
        return 0.0
    agent = 1.0 - float(read.p_type @ economics.is_single)
    runs = runs_commands(request.conversation.tools)
    return agent * (economics.seen.commands if runs else economics.seen.tools)


def classifier_folder(folder: Path) -> Path:
    """Return where the classifier of a models folder lies; raises BadArtefact for a part of one.

    Its files are of one training: none may be the folder's and another the shipped one's.
    """
    own = [name for name in ARTEFACT_FILES if (folder / name).exists()]
    lacking = [name for name in ARTEFACT_FILES if name not in own]
    if own and lacking:
        raise BadArtefact(
            f"{folder}: has {', '.join(own)} but not {', '.join(lacking)}: the files of one training "
            "go together; add what is missing or remove the rest"
        )
    return folder if own else MODELS_DIR


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


def _settled(
    basis: Basis, faced: Session, terms: str, incumbent: Incumbent, eligible: Eligibility
) -> bool:
    """Say whether nothing is new since the incumbent was chosen, and it may still serve.

    Under a price cap everything is new: a request grows, and what it costs with it.
    """
    if eligible.limits.max_cost_usd is not None:
        return False
    same = basis.evidence == faced.task.evidence and basis.terms == terms
    may = eligible.refusal(incumbent.unit.model, Way.DECIDED) is None
    return same and may and eligible.bars(incumbent.unit) is None


def _stays(session: Session, incumbent: Incumbent, eligible: Eligibility, now_s: float) -> Decision:
    """Decide from memory."""
    model = incumbent.unit.model
    context = (eligible.needs.input_tokens or 0) * session.context.scale
    lifetime_s = eligible.catalogue.economics.lifetime_s(model)
    held = min(session.cached_tokens(model, lifetime_s, now_s), context)
    second = incumbent.successor
    then = f" Should its failure show, {second} is to take over." if second else ""
    return Decision(
        unit=incumbent.unit,
        fallbacks=incumbent.fallbacks,
        expected_quality=incumbent.expected_quality,
        expected_cost_usd=incumbent.expected_cost_usd,
        adequate=incumbent.adequate,
        why=reasons.remembers(incumbent.unit, reasons.cached_part(held, context)) + then,
        successor=second,
        evidence=incumbent.evidence,
        input_tokens=eligible.needs.input_tokens,
        move=Move.STAY,
    )
