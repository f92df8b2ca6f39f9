"""What can go wrong, drawn once.

RouterError
├── BadArtefact       a catalogue, table or classifier that must not be served from
├── BadRequest        the client's request cannot be read
│   ├── TooLarge      a body, a header block or a list beyond its limit
│   ├── TooSlow       a body that does not arrive
│   └── UnknownEncoding  a body in a content encoding that is not read
├── NoModelFits       no model may or can serve the request
├── UnknownModel      no tier and no configured provider answers to the model's name
├── UnknownAnswer     a stored answer that is not the caller's
├── NotFound          something that is asked for by name and is not there
├── Unauthenticated   a key that is not ours, or a paid model without any
├── Busy              there is no room for the body of a request at the moment
├── NotKept           something that is kept nowhere here
├── Forbidden         a key that does not open this
├── BudgetSpent       a budget, or what was paid in, is used up
├── RateLimited       a caller asks too often
├── ForeignOrigin     a web page of another origin asks whether it may ask
├── NotOffered        another protocol than HTTP is asked for
└── Exhausted         every attempt failed

Each carries the HTTP status and the code with which the gateway tells its client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from router.values import Failure


class RouterError(Exception):
    """Base of everything this package raises on purpose; the message says what to do."""

    status: int = 500
    code: ClassVar[str] = "internal_error"
    retry_after_s: float | None = None


class BadArtefact(RouterError):
    """A data file is missing, malformed, or does not match the others."""


class BadRequest(RouterError):
    """The request body or its headers cannot be read."""

    status = 400
    code = "invalid_request"


class TooLarge(BadRequest):
    """Something in the request is beyond its limit."""

    status = 413
    code = "request_too_large"


class TooSlow(BadRequest):
    """The request's body did not arrive in time."""

    status = 408
    code = "request_timeout"


class UnknownEncoding(BadRequest):
    """The body is in a content encoding that is not read."""

    status = 415
    code = "unsupported_encoding"


class NoModelFits(RouterError):
    """Every model was excluded by a filter, or none can serve the request."""

    status = 400
    code = "no_model_fits"


class UnknownModel(RouterError):
    """Nothing answers to the name of the model."""

    status = 404
    code = "model_not_found"


class UnknownAnswer(RouterError):
    """The request builds on a stored answer that is not its caller's."""

    status = 404
    code = "previous_response_not_found"


class Unauthenticated(RouterError):
    """The caller's key is unknown, or the model needs one."""

    status = 401
    code = "invalid_api_key"


class NotFound(RouterError):
    """There is nothing of that name."""

    status = 404
    code = "not_found"


class NotKept(RouterError):
    """What is asked for needs a database, and there is none."""

    status = 503
    code = "not_kept"


class Forbidden(RouterError):
    """The caller's key is known and does not open this."""

    status = 403
    code = "permission_denied"


class BudgetSpent(RouterError):
    """Nothing is left of a budget, or of what was paid in; ``retry_after_s`` says when there is again."""

    status = 402
    code = "budget_exceeded"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(RouterError):
    """The caller asked too often; ``retry_after_s`` says when to come back."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ForeignOrigin(RouterError):
    """A web page asks whether it may ask, and its origin is not allowed."""

    status = 403
    code = "origin_not_allowed"


class NotOffered(RouterError):
    """The client asks for WebSockets; this status makes those that try them first use HTTP."""

    status = 426
    code = "upgrade_required"


class Busy(RouterError):
    """The gateway holds as many bodies as it may; another moment is as good as this one was."""

    status = 503
    code = "overloaded"
    retry_after_s = 2.0


class Exhausted(RouterError):
    """Every attempt failed; the status is that of the failure a client can best act on."""

    code = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after_s: float | None = None,
        failures: Sequence[Failure] = (),
    ) -> None:
        """Keep what the client should see beside the message."""
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.failures = failures
