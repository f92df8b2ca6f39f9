"""What passes through, on its way: gated as a model by name is, sent on, and relayed as it comes."""

from __future__ import annotations

from typing import Final

from router.callers.keys import not_the_owners
from router.decision.eligible import eligibility_of
from router.decision.tiers import Data, Plan, aliased, refused_as
from router.errors import BadRequest, Unauthenticated, UnknownModel
from router.evidence.catalogue import Catalogue
from router.evidence.embeddings import DEAREST, price_of
from router.providers.attempts import Attempt
from router.providers.endpoints import Providers
from router.providers.pass_through import PassedAnswer
from router.serving.admission import Estimate, estimated, prices_of
from router.serving.asgi import Call, Headers
from router.serving.headers import STREAM_HEADERS, decision_headers
from router.values import Caller, Interface, Needs, PassThrough, Target, Unit
from router.wire.parts import positive_int
from router.wire.pass_through import Passing

LEGACY_TOKENS: Final = 16
"""What a legacy completion has where it names no bound
(https://platform.openai.com/docs/api-reference/completions)."""


def admitted(
    passing: Passing, caller: Caller, data: Data, providers: Providers, own_keys: dict[str, str]
) -> tuple[Attempt, ...]:
    """Return where a request may go, in order; raises RouterError where it may go nowhere."""
    name = aliased(passing.model, data.aliases)
    if data.catalogue.tier(name) or data.catalogue.names_tier(name):
        raise BadRequest(
            f"{name} is a tier, and no tier decides on {passing.kind.path}: name a model, as "
            "openai/text-embedding-3-small"
        )
    needs = Needs(Interface.CHAT, input_tokens=passing.input_tokens)
    eligible = eligibility_of(caller, needs, data.catalogue, None)
    opens, barred = eligible.opens(passing.choosers), eligible.refusal_of(name, data.names.of(name))
    for what, refusal in (("the request", opens), (name, barred)):
        if refusal is not None:
            error = refused_as(what, refusal)
            if isinstance(error, Unauthenticated):
                raise Unauthenticated(not_the_owners(str(error), caller.objection))
            raise error
    preferences = passing.choosers.preferences
    found = providers.endpoints(name, passing.kind, own_keys, preferences)
    if not found:
        raise _nobody(passing, name, providers)
    return tuple(Attempt(Target(Unit(name)), endpoint) for endpoint in found)


def _nobody(passing: Passing, name: str, providers: Providers) -> UnknownModel:
    """Say that no provider passes a model's requests on, and who does so for others."""
    takes = [row.name for row in providers.configured if passing.kind in row.passes]
    does = f"{', '.join(takes)} for theirs" if takes else "none of those configured"
    return UnknownModel(
        f"no configured provider takes {passing.kind.value} for {name!r}; what does is {does}: name "
        "the model with its provider's prefix, as openai/text-embedding-3-small"
    )


def estimated_passing(passing: Passing, model: str, catalogue: Catalogue) -> Estimate:
    """Return the most that a request to a model can be expected to come to."""
    if passing.kind is PassThrough.EMBEDDINGS:
        listed = prices_of([model], catalogue) if catalogue.model(model) else None
        prices = [price_of(model) or DEAREST] if listed is None else listed
        return estimated(prices, passing.input_tokens, 0)
    answer = positive_int(passing.fields.get("max_tokens")) or LEGACY_TOKENS
    output_tokens = answer * passing.n_answers
    return estimated(prices_of([model], catalogue), passing.input_tokens, output_tokens)


async def relayed(call: Call, passed: PassedAnswer, more: Headers) -> None:
    """Send an answer to the client as it comes, with some headers more."""
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in passed.headers]
    model = passed.attempt.target.unit.model
    made = Plan(None, (passed.attempt.target,), f"{model} was asked for by name.")
    headers += [*decision_headers(call.decision_id, made, passed), *more]
    if passed.body is not None:
        await call.answer(passed.status, headers, passed.body)
        return
    await call.start(passed.status, headers + STREAM_HEADERS)
    async for data in passed.pieces():
        await call.piece(data)
    await call.finish()
