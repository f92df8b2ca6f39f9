"""What happened after an ask, counted: calls, failures, repeats, answers, and calls left open."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
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

LOOKS: Final = frozenset(
    {
        "ask", "browse", "cat", "codebase", "fetch", "find", "get", "glob", "grep", "list", "ls", "lsp",
        "open", "question", "read", "search", "show", "think", "view", "web",
    }
)  # fmt: skip
NOTES: Final = frozenset({"plan", "todo", "todos"})
"""Words, in lower case, of the names of tools that change nothing of the user's: ``read_file`` begins
with one of the first, ``update_plan`` and ``TodoWrite`` hold one of the second."""

COMMAND_CHARS: Final = 2000
"""How much of a command is searched for what it changes."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SHELL = re.compile(r"bash|shell|exec|command|terminal|run_cmd", re.IGNORECASE)
_RUNS = re.compile(r"test|lint|check|diagnos|compile|build|python|notebook|jupyter", re.IGNORECASE)
_RUN_COMMANDS = re.compile(
    r"\b(?:pytest|unittest|tox|nox|jest|vitest|mocha|rspec|phpunit|ctest|test|tests|check|lint|"
    r"ruff|mypy|pyright|tsc|eslint|clippy|vet|build|compile|"
    r"(?:python3?|node|ruby|php|perl|deno run|bun|go run|cargo run|java|dotnet run) [\w./-]+)\b"
)
"""Parts of a shell command that runs tests, a build or a script."""

_LOOK_COMMANDS = re.compile(
    r"\b(?:ls|cat|head|tail|grep|rg|ag|find|fd|tree|wc|pwd|which|env|nl|less|sed -n|"
    r"git (?:status|diff|log|show|blame|branch|ls-files|grep))\b"
)
"""Parts of a shell command that looks around."""

_CHANGES = re.compile(
    r"\bsed (?:-\w+ )*-i|\bperl -\w*i|\b(?:apply_patch|patch|tee|mv|cp|rm|mkdir|touch|chmod|ln) |"
    r"\bgit (?:apply|checkout|commit|reset|stash|merge|rebase|revert|restore|pull|cherry-pick)\b|"
    r"\b(?:install|upgrade|migrate|generate|--fix|--write)\b|<<|"
    r"(?<![-=<>&|\d])>>?\s*(?!&|/dev/null)[\w./~$\"'\\]"
)
"""Parts of a shell command that change something."""

_FAILURE = re.compile(
    r"\b(?:error|exception|traceback|fatal|panic(?:ked)?|command not found|no such file|"
    r"permission denied|exit(?:ed)?(?: with)?(?: code| status)?:? [1-9])",
    re.IGNORECASE,
)
_FAILED_LOOK = re.compile(
    r"\W*(?:<\w+>)?\W*(?:error|fail(?:ed|ure)|fatal|exception|traceback|could ?n[o']t|cannot|can't|no such|"
    r"permission denied|(?:file|path) (?:not found|does not exist)|not found|enoent|command not found)",
    re.IGNORECASE,
)
"""How the result of a look that failed begins; what a file says further on is the file's."""

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


def runs_commands(tools: Iterable[str]) -> bool:
    """Say whether an agent can run commands with tools of these names."""
    return any(_SHELL.search(name) for name in tools)


def since_of(turns: tuple[Turn, ...]) -> Since:
    """Count what the turns after an ask show of its progress; every sign of trouble counts once.

    A call that fails again is a failure and not a repeat as well, and one that is made again after
    a change is no repeat at all.  What a command or a test shows before the assistant has changed
    anything is what it was called for, and not its failure.
    """
    seen = _Seen()
    results = [i for i, turn in enumerate(turns) if turn.role is Role.TOOL]
    first = results[-MAX_RESULTS] if len(results) > MAX_RESULTS else 0
    for i, turn in enumerate(turns):
        for call in turn.tool_calls:
            seen.call(call)
        if turn.role is Role.TOOL and i >= first:
            seen.result(turn)
    return Since(
        tool_calls=len(seen.calls),
        errors=seen.errors,
        failing_tests=seen.failing,
        retries=seen.retries,
        answers=_answers(turns, seen.calls),
    )


class _Seen:
    """The progress of an ask as far as its turns were read."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.errors = self.failing = self.retries = 0
        """What went wrong since tests last passed."""
        self._made: dict[str, ToolCall] = {}
        self._lately: set[ToolCall] = set()
        """Calls made since the last change."""
        self._repeats: set[str] = set()
        """Ids of the calls counted as repeats."""
        self._changed = False

    def call(self, call: ToolCall) -> None:
        """Take in what the assistant does."""
        self.calls.append(call)
        self._made[call.id] = call
        if call in self._lately:
            self.retries += 1
            self._repeats.add(call.id)
        elif kind_of(call) is Act.CHANGE:
            self._lately = set()
            self._changed = True
        self._lately.add(call)

    def result(self, turn: Turn) -> None:
        """Take in what came of it."""
        call = self._made.get(turn.result_of) if turn.result_of else None
        kind = None if call is None else kind_of(call)
        text = "\n".join(_ends(text) for text in turn.texts)
        tests_failed = kind is not Act.LOOK and _tells_failed_tests(text)
        if kind is Act.LOOK:
            failed = turn.failed or bool(_FAILED_LOOK.match(text))
        elif not tests_failed and not turn.failed and _tells_passed_tests(text):
            self.errors = self.failing = self.retries = 0
            self._lately = set()
            return
        else:
            failed = tests_failed or turn.failed or _tells_failure(text)
        if failed and (self._changed or kind is not Act.RUN):
            self.failing += tests_failed
            self.errors += not tests_failed
            self.retries -= turn.result_of in self._repeats
            self._repeats.discard(turn.result_of)


class Act(Enum):
    """What a call does to the work."""

    LOOK = "look"
    """What its result says is what it looked at: only that it failed counts."""
    RUN = "run"
    """Runs something, and changes nothing that is known of."""
    CHANGE = "change"


def kind_of(call: ToolCall) -> Act:
    """Say what a call does; a tool or a command that is not known counts as changing something."""
    words = [word.lower() for word in _WORD.findall(call.name)]
    if _SHELL.search(call.name):
        return _kind_of_command(call.arguments[:COMMAND_CHARS])
    if _RUNS.search(call.name):
        return Act.RUN
    looks = not LOOKS.isdisjoint(words[:1]) or not NOTES.isdisjoint(words)
    return Act.LOOK if looks else Act.CHANGE


def _kind_of_command(command: str) -> Act:
    """Say what a shell command does: of what it runs and what it looks at, the first says so."""
    runs, looks = _RUN_COMMANDS.search(command), _LOOK_COMMANDS.search(command)
    if _CHANGES.search(command) or not (runs or looks):
        return Act.CHANGE
    return Act.LOOK if looks and not (runs and runs.start() < looks.start()) else Act.RUN


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
