"""An ask is found at a bounded cost, whatever stands around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ask import RULES_CHARS, ask_of, instruction_of, read_conversation
from classifier.features import tokenize
from classifier.turns import Role, ToolCall, Turn
from tests.growth import assert_linear

ASK = "Make the importer skip rows whose date lies in the future."


def user(*texts):
    return Turn(Role.USER, texts)


def tool(*texts):
    return Turn(Role.TOOL, texts)


def calls(arguments):
    return Turn(Role.ASSISTANT, tool_calls=(ToolCall("read", arguments),))


PIECES = st.sampled_from(
    [
        *(
            "<system-reminder>",
            "</system-reminder>",
            "<task>",
            "</task>",
            "<user_query>",
            "</user_query>",
        ),
        *(
            "<environment_details>",
            "</environment_details>",
            "<b x='1'>",
            "</b>",
            "<",
            ">",
            '"',
            '\\"',
        ),
        *(
            " ",
            "\n",
            "\n\n",
            "\n\n\n",
            "\u3000",
            "ab",
            "Fix it",
            "Please solve this issue:",
            "ab" * 120,
        ),
        "# *SEARCH/REPLACE block* Rules",
    ]
)


@given(st.lists(PIECES, max_size=24).map("".join), st.lists(PIECES, max_size=24).map("".join))
def test_the_first_paragraph_that_the_system_prompt_holds_is_where_the_ask_ends(text, system):
    """Told by searching for each paragraph in turn, which costs too much of a long conversation."""
    whole = ask_of(user(text))
    at = whole.find("\n\n")
    while 0 <= at <= len(whole) - RULES_CHARS and whole[at:].strip() not in system:
        at = whole.find("\n\n", at + 2)
    found = system and 0 <= at <= len(whole) - RULES_CHARS
    assert ask_of(user(text), system) == (whole[:at].rstrip() if found else whole)
    assert bool(ask_of(user(text), system)) == bool(whole)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: ("", "<system-reminder></system-reminder>" * (n // 35) + ASK),
        lambda n: ("", ASK + "<system-reminder></system-reminder>" * (n // 35)),
        lambda n: ("", ASK + "</system-reminder>" * (n // 18)),
        lambda n: ("", "<system-reminder>" * (n // 17)),
        lambda n: ("", "<task>" * 60 + "</tas" * (n // 5)),
        lambda n: ("", "<" * n),
        lambda n: ("", " " * n + ASK + "<system-reminder>" + " " * n + "</system-reminder>"),
        lambda n: ("", '"' + '\\"' * n + '"'),
        lambda n: ("", ASK + "\n" * n + ASK),
        lambda n: ("ab" * n, "\n\n".join(["ab"] * 60) + "\n\n" + "ab" * n + "c"),
        lambda n: ("a" * n, ASK + "\n\n" + "a" * (n // 2) + "b" + "a" * (n // 2)),
    ],
    ids=["blocks before", "blocks after", "closings", "openings", "wrappers", "angles", "spaces",
         "quotes", "newlines", "system prompt", "letters"],
)  # fmt: skip
def test_an_ask_is_found_in_time_that_grows_with_the_text(make):
    def work(case: tuple[str, str]) -> None:
        system, text = case
        read_conversation((user(text),) * 3, system=system)

    assert_linear(work, make, 40_000)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (user("ab " * 300),) * n,
        lambda n: (user(*["<task>a</task>"] * 60),) * n,
        lambda n: (calls("x"), tool("1 failed")) * n,
        lambda n: (user(ASK), *[tool("x " * 300)] * n),
    ],
    ids=["users", "wrappers", "failures", "results"],
)
def test_a_conversation_is_read_in_time_that_grows_with_its_turns(make):
    """The system prompt is long, and is not searched once for each turn."""

    def work(turns: tuple[Turn, ...]) -> None:
        read_conversation(turns, system="ab " * 100 * len(turns))

    assert_linear(work, make, 200)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "still ",
            "still not",
            "keeps ",
            "1",
            "1 ",
            "11 tests ",
            "fail ",
            "All 1 tests ",
            "exit code ",
        ),
        *(
            "no such ",
            "<a ",
            "</a",
            "a/",
            "a.",
            "-",
            "\n-",
            "\n ",
            " at x",
            "https://",
            "`",
            "\u0130",
            "@",
        ),
        *(
            "{",
            "yes ",
            "ok, ",
            "it did",
            "that's ",
            "_session_a",
            "✗",
            "\t",
            "\r\n",
            "error",
            "the same ",
        ),
    ],
)
def test_no_pattern_backtracks(piece):
    """A result, an ask and a short ask of nothing but one piece, whatever it is."""

    def work(text: str) -> None:
        turns = (user("a"), user(text), calls(text), tool(text, text), user(text))
        read = read_conversation(turns, system=text)
        assert read.complains in (True, False)
        tokenize(read.ask)
        instruction_of(read.ask)

    assert_linear(work, lambda n: piece * (n // len(piece)), 30_000)
