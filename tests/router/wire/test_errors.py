"""An error has the type that its format's clients know its status by."""

from __future__ import annotations

import pytest

from router.values import Interface
from router.wire.format import FORMATS

OPENAI = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "invalid_request_error", 429: "rate_limit_error",
    499: "invalid_request_error", 500: "server_error", 503: "server_error", 504: "server_error",
}  # fmt: skip
ANTHROPIC = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 499: "invalid_request_error", 500: "api_error",
    503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


@pytest.mark.parametrize("interface", [Interface.CHAT, Interface.RESPONSES], ids=str)
@pytest.mark.parametrize(("status", "kind"), OPENAI.items())
def test_openai_names_the_kind_of_an_error(interface, status, kind):
    told = FORMATS[interface].error_body(status, "c", "m")
    assert told == {"error": {"message": "m", "type": kind, "param": None, "code": "c"}}


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC.items())
def test_anthropic_names_the_kind_of_an_error_and_has_no_codes(status, kind):
    told = FORMATS[Interface.MESSAGES].error_body(status, "c", "m")
    assert told == {"type": "error", "error": {"type": kind, "message": "m"}}
