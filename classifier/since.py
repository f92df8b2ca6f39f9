"""What happened after an ask, counted: calls, failures, repeats, answers, and calls left open."""

from __future__ import annotations

import re
from typing import Final

from classifier.turns import Role, Since, ToolCall, Turn

RESULT_CHARS: Final = 2000
"""How much of a tool result is searched for failures: half at its head, half at its tail."""

MAX_RESULTS: Final = 64
"""How many tool results since the ask are searched, newest first."""

QUESTION_TOOLS: Final = frozenset(
    {
        "askuserquestion", "ask_followup_question", "ask_user", "ask_user_question", "question",
        "request_user_input",
    }
)  # fmt: skip
"""Tools, in lower case, by which an agent asks its user something: the result is the answer."""

_FAILURE = re.compile(
    r"\b(?:error|exception|traceback|fatal|panic(?:ked)?|command not found|no such file|"
    r"permission denied|exit(?:ed)?(?: with)?(?: code| status)?:? [1-9])",
    re.IGNORECASE,
)
_FAILURE_WORDS = (
    "error", "exception", "traceback", "fatal", "panic", "command not found", "no such file",
    "permission denied", "exit",
)  # fmt: skip
_FAILED_TESTS = re.compile(
    r"\b[1-9]\d* (?:tests? )?fail(?:ed|ures?|ing)\b|\bFAIL(?:ED)?\b|AssertionError|✗|not ok \d",
)
_PASSED_TESTS = re.compile(
    r"\b[1-9]\d* (?:tests? )?pass(?:ed|ing)\b|\b[Aa]ll (?:\d+ )?tests pass|^OK\b|^PASS\b|"
    r"\bBUILD SUCCESS",
    re.MULTILINE,
)
_ERRORS_COUNTED = re.compile(r"\b[1-9]\d* errors?\b")


def since_of(turns: tuple[Turn, ...]) -> Since:
    """Count what the turns after an ask show of its progress."""
    calls = [call for turn in turns for call in turn.tool_calls]
    results = [(i, turn) for i, turn in enumerate(turns) if turn.role is Role.TOOL][-MAX_RESULTS:]
    errors = failing = start = 0
    for i, turn in results:
        text = "\n".join(_ends(text) for text in turn.texts)
        if _tells_failed_tests(text):
            failing += 1
        elif not turn.failed and _tells_passed_tests(text):
            errors = failing = 0
            start = i + 1
        elif turn.failed or _tells_failure(text):
            errors += 1
    recent = [call for turn in turns[start:] for call in turn.tool_calls] if start else calls
    return Since(
        tool_calls=len(calls),
        errors=errors,
        failing_tests=failing,
        retries=len(recent) - len(set(recent)),
        answers=_answers(turns, calls),
    )


def has_open_call(turns: tuple[Turn, ...]) -> bool:
    """Say whether a call lacks its result, with no user turn come after it."""
    calls: list[str] = []
    results: list[str] = []
    for turn in reversed(turns):
        if turn.role is Role.USER:
            break
        if turn.role is Role.TOOL:
            results.append(turn.result_of)
        calls += [call.id for call in turn.tool_calls]
    named = {call for call in calls if call}
    return not named.issubset(results) or calls.count("") > len(results)


def _answers(turns: tuple[Turn, ...], calls: list[ToolCall]) -> int:
    """Count the questions to the user that have their answer."""
    asked = {call.id for call in calls if call.name.lower() in QUESTION_TOOLS}
    if not asked:
        return 0
    return sum(turn.role is Role.TOOL and turn.result_of in asked for turn in turns)


def _tells_passed_tests(text: str) -> bool:
    likely = "pass" in text or "OK" in text or "PASS" in text or "SUCCESS" in text
    return likely and bool(_PASSED_TESTS.search(text)) and not _ERRORS_COUNTED.search(text)


def _tells_failure(text: str) -> bool:
    """Search for a failure; plain words are looked for first, which is ten times as fast."""
    lower = text.lower()
    return any(word in lower for word in _FAILURE_WORDS) and bool(_FAILURE.search(text))


def _tells_failed_tests(text: str) -> bool:
    likely = "fail" in text or "FAIL" in text or "AssertionError" in text
    return (likely or "✗" in text or "not ok" in text) and bool(_FAILED_TESTS.search(text))


def _ends(text: str) -> str:
    if len(text) <= RESULT_CHARS:
        return text
    return f"{text[: RESULT_CHARS // 2]}\n{text[-RESULT_CHARS // 2 :]}"
