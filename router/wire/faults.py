"""Errors that come with a status of 200: in a body, in an event, in a choice.  Pure.

Vendors and the servers before them write errors in many places, and fields called ``error`` that
say nothing into good answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from router.wire.parts import mappings

ERROR_STATUS: Final = {
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "api_error": 502,
    "server_error": 502,
    "timeout_error": 504,
}
"""Codes and types of errors, by the status that says the same."""

BASE_STATUS: Final = {1002: 429, 1004: 401, 1008: 402, 1039: 429, 2013: 400}
"""``base_resp.status_code`` of MiniMax: rate, key, balance, rate in tokens, parameters
(https://platform.minimax.io/docs/api-reference/errorcode)."""

FAILED: Final = "the upstream's answer failed"

TOLD_CHARS: Final = 4_000
"""Longest text of an error; the longest of a vendor has some 600."""

HARMLESS: Final = frozenset({"", "0", "200", "none", "null", "ok", "success", "false"})
"""What an error says that is none."""


def error_in(fields: object) -> tuple[int, str] | None:
    """Return the status and text of an error that came with a status of 200; None if it is none."""
    if not isinstance(fields, dict):
        return None
    return _error_of(fields) or _error_of(_nested(fields))


def _nested(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the response that an event tells of."""
    response = fields.get("response")
    return response if isinstance(response, dict) else {}


def _error_of(fields: Mapping[str, Any]) -> tuple[int, str] | None:
    if fields.get("type") == "error" or fields.get("object") == "error":
        error = fields.get("error")
        return _told(error if isinstance(error, dict) else fields)
    if _says(error := fields.get("error")):
        return _told(error)
    if error := _in_choices(fields):
        return error
    base = fields.get("base_resp")
    if isinstance(base, dict) and _says(code := base.get("status_code")):
        status = BASE_STATUS.get(code, 502) if isinstance(code, int) else 502
        return status, cut(str(base.get("status_msg") or f"status {code}"))
    return (502, FAILED) if fields.get("status") == "failed" else None


def code_of(fields: Mapping[str, Any]) -> str:
    """Return the code that an error names; empty where it names none."""
    said: Mapping[str, Any] = fields
    for holder in ("response", "error"):
        inner = said.get(holder)
        said = inner if isinstance(inner, dict) else said
    code = said.get("code")
    return code if isinstance(code, str) else ""


def _in_choices(fields: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return the error of choices of which every one failed."""
    choices = [*mappings(fields.get("choices"))]
    failed = [choice for choice in choices if choice_failed(choice)]
    if not failed or len(failed) < len(choices):
        return None
    error = failed[0].get("error")
    return _told(error if _says(error) else FAILED)


def choice_failed(choice: Mapping[str, Any]) -> bool:
    """Say whether one choice of several holds an error."""
    return choice.get("finish_reason") == "error" or _says(choice.get("error"))


def _says(error: object) -> bool:
    """Say whether an error says anything; an object does when one of its values does."""
    if isinstance(error, dict):
        return any(map(_is_word, error.values()))
    return _is_word(error)


def _is_word(value: object) -> bool:
    if isinstance(value, Mapping | list):
        return bool(value)
    return str(value).strip().lower() not in HARMLESS


def _told(error: object) -> tuple[int, str]:
    """Return the status and the text of an error."""
    if not isinstance(error, dict):
        return error if type(error) is int and 400 <= error < 600 else 502, cut(str(error))
    message = error.get("message")
    said = message if isinstance(message, str) and message else str(dict(error))
    return _status(error), cut(said)


def cut(text: str) -> str:
    """Return as much of an error's text as a person reads."""
    return text if len(text) <= TOLD_CHARS else text[: TOLD_CHARS - 1] + "…"


def _status(error: Mapping[str, Any]) -> int:
    """Return the status that an error's code, status or type stands for."""
    for name in ("code", "status", "status_code", "type"):
        value = error.get(name)
        if type(value) is int and 400 <= value < 600:
            return value
        if isinstance(value, str) and re.fullmatch("[45][0-9][0-9]", value):
            return int(value)
        if isinstance(value, str) and value in ERROR_STATUS:
            return ERROR_STATUS[value]
    return 502
