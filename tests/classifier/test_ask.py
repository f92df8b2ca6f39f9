"""The user's ask is found, and nothing else, in every shape that clients send."""

from __future__ import annotations

import importlib.util
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.ask import MAX_BEFORE, MAX_SETTING, ask_of, clip, read_conversation
from classifier.carry import REPLY_CHARS
from classifier.markers import MARKERS
from classifier.turns import Exchange, Role, Since, ToolCall, Turn
from router.wire.format import interface_of
from router.wire.request import parse

ASK = "Make the importer skip rows whose date lies in the future."
NEXT = "Why did that slow the nightly job down?"


def user(*texts):
    return Turn(Role.USER, texts)


def tool(*texts):
    return Turn(Role.TOOL, texts)


@pytest.mark.parametrize(
    "texts",
    [
        (ASK,),
        (f'"{ASK}"',),
        ("<system-reminder>be nice</system-reminder>", ASK),
        (ASK, "\n\n<environment_details>cwd: /x</environment_details>"),
        (f"<environment_details>a</environment_details>\n{ASK}",),
        (f"<task>\n{ASK}\n</task>", "<environment_details>\nfiles\n</environment_details>"),
        (f"<user_message>{ASK}</user_message><environment_details>e</environment_details>",),
        (f"<current_datetime>now</current_datetime>\n\n{ASK}",),
        (
            f"Please solve this issue: {ASK}\n\nYou can execute bash commands and edit files to implement it",
        ),
        (f"look:\n<issue_description>{ASK}</issue_description>\nNow follow ten rules",),
        (f"<session>{ASK}</session>",),
    ],
)
def test_client_blocks_and_wrappers_are_taken_off(texts):
    assert ask_of(user(*texts)) == ASK


@pytest.mark.parametrize(
    "text",
    [
        'rename "a" to "b"',
        '"foo" and "bar" clash',
        "<div>why is this not centred?</div>",
        "use <T extends Foo> here",
        "a < b and c > d",
        "explain <system> in our XML",
    ],
)
def test_the_users_own_quotes_and_tags_stay(text):
    assert ask_of(user(text)) == text


def test_an_escaped_shell_argument_is_unquoted():
    assert ask_of(user(r'"Fix \"off by one\" here"')) == 'Fix "off by one" here'


def test_rules_repeated_from_the_system_prompt_are_cut():
    rules = "Edit rules.\n\n" + "Every edit must be a block. " * 30
    assert ask_of(user(f"{ASK}\n\n{rules}"), system=f"You edit code.\n{rules}") == ASK


def test_a_long_paste_that_is_not_in_the_system_prompt_stays():
    paste = "\n\n".join(f"line {i} of a trace" for i in range(100))
    assert ask_of(user(f"{ASK}\n\n{paste}"), system="You edit code.").endswith("line 99 of a trace")


@pytest.mark.parametrize("row", MARKERS, ids=lambda row: f"{row.client}, {row.known}")
def test_what_a_client_marks_as_its_own_is_taken_off(row):
    for tag in row.blocks:
        assert ask_of(user(f"<{tag}>anything\n{NEXT}</{tag}>")) == ""
        assert ask_of(user(f"<{tag}>never closed {NEXT}")) == ""
    for tag in row.wrappers:
        assert ask_of(user(f"<{tag}>{ASK}</{tag}>")) == ASK
    for words in row.openers:
        assert ask_of(user(f"{words} {ASK}")) == ASK
    for words in row.trailers:
        assert ask_of(user(f"{ASK}\n\n{words} and more")) == ASK


def test_a_tool_result_continues_the_ask_it_serves():
    turns = (
        user(ASK),
        Turn(Role.ASSISTANT, ("ok",), (ToolCall("bash", "pytest"),)),
        tool("== 2 failed, 3 passed =="),
        Turn(Role.ASSISTANT, (), (ToolCall("bash", "pytest"),)),
        tool("Traceback (most recent call last):"),
        user("<environment_details>later</environment_details>"),
    )
    read = read_conversation(turns)
    assert read.ask == ASK
    assert read.since == Since(tool_calls=2, errors=1, failing_tests=1)


def test_the_asks_before_come_each_with_the_assistants_last_words():
    turns = (
        user(ASK),
        Turn(Role.ASSISTANT, ("Looking.",), (ToolCall("bash", "ls"),)),
        tool("a.py"),
        Turn(Role.ASSISTANT, ("Found two ways.", "Option 1 or option 2?")),
        user("2"),
        Turn(Role.ASSISTANT, (), (ToolCall("bash", "ls"),)),
        tool("a.py"),
        user("and now?"),
    )
    read = read_conversation(turns)
    assert read.ask == "and now?"
    assert read.before == (Exchange(ASK, "Option 1 or option 2?"), Exchange("2", ""))


def test_of_many_asks_the_newest_are_read_and_of_long_words_the_ends():
    turns = tuple(
        turn
        for n in range(MAX_BEFORE + 5)
        for turn in (user(f"{n} " + "x" * 9000), Turn(Role.ASSISTANT, ("y" * 9000 + f" {n}?",)))
    )
    read = read_conversation((*turns, user("2")))
    first = 5 - MAX_SETTING  # they are long enough to set a task
    assert [e.ask.split()[0] for e in read.before] == [str(n) for n in range(first, MAX_BEFORE + 5)]
    assert all(len(e.reply) == REPLY_CHARS and e.reply.endswith("?") for e in read.before)
    assert all(len(e.ask) < 9000 for e in read.before)


@pytest.mark.parametrize("answers", [0, 1, MAX_BEFORE - 1, MAX_BEFORE, MAX_BEFORE + 1, 20, 60])
@pytest.mark.parametrize(
    "ask", [ASK, "把登录模块迁移到新的框架并补充测试", "ログイン画面を新しい構成に移行して"]
)
def test_the_ask_that_set_the_task_comes_first_however_many_answers_follow(answers, ask):
    talk = [turn for n in range(answers) for turn in (user(f"yes {n}"), says(f"And {n}?"))]
    read = read_conversation(
        (user("hello"), says("Hi!"), user(ask), says("Shall I?"), *talk, user("2"))
    )
    assert ask in [exchange.ask for exchange in read.before]
    assert read.before[-1].reply == (f"And {answers - 1}?" if answers else "Shall I?")
    assert len(read.before) <= MAX_BEFORE + MAX_SETTING


@pytest.mark.parametrize(
    "answer",
    ["yes please, go on", "はい、お願いします", "2番でお願いします", "네, 계속 진행해 주세요", "👍" * 9, "好的，请继续"],
)  # fmt: skip
def test_an_answer_in_any_script_does_not_hide_the_ask_that_set_the_task(answer):
    talk = [turn for n in range(30) for turn in (user(answer), says(f"And {n}?"))]
    read = read_conversation((user(ASK), says("Shall I?"), *talk, user("2")))
    assert read.before[0] == Exchange(ASK, "And 17?")
    assert len(read.before) == MAX_BEFORE + 1


def test_a_long_answer_does_not_hide_the_ask_that_set_the_task_and_stands_after_what_it_answers():
    long = "the second of the two, as it leaves the old tables alone"
    talk = [turn for n in range(30) for turn in (user("2"), says(f"And {n}?"))]
    read = read_conversation(
        (user(ASK), says("Which way?"), user(long), says("Good."), *talk, user("2"))
    )
    assert read.before[:2] == (Exchange(ASK, "Which way?"), Exchange(long, "And 17?"))


def test_a_short_ask_among_those_that_are_read_is_not_passed_over_for_an_older_one():
    talk = [turn for n in range(8) for turn in (user(f"yes {n}"), says(f"And {n}?"))]
    read = read_conversation(
        (user("migrate the whole monolith to services"), says("Done."),
         user("fix the typo in README"), says("Which?"), *talk, user("2"))
    )  # fmt: skip
    assert [exchange.ask for exchange in read.before][:3] == [
        "migrate the whole monolith to services", "fix the typo in README", "yes 0",
    ]  # fmt: skip


def test_the_ask_that_set_the_task_is_found_under_a_clients_rules_and_with_the_words_after_it():
    rules = "\n\n" + "Always answer in the format of edit blocks, and say nothing else. " * 4
    talk = [
        turn for n in range(MAX_BEFORE + 3) for turn in (user(f"yes {n}{rules}"), says(f"And {n}?"))
    ]
    read = read_conversation(
        (user(ASK + rules), says("Shall I?"), *talk, user(f"2{rules}")), system="Edit." + rules
    )
    assert read.before[:2] == (Exchange(ASK, "And 2?"), Exchange("yes 3", "And 3?"))


def says(words):
    return Turn(Role.ASSISTANT, (words,))


def worked(*steps):
    """Return what an assistant did after ASK: (tool, arguments, what came of it)."""
    turns = [user(ASK)]
    for i, (name, arguments, result) in enumerate(steps):
        turns.append(Turn(Role.ASSISTANT, (), (ToolCall(name, arguments, f"c{i}"),)))
        turns.append(Turn(Role.TOOL, (result,), result_of=f"c{i}"))
    return read_conversation(tuple(turns)).since


TESTED = ("bash", '{"command": "pytest -x"}', "1 failed, 3 passed")
EDITED = ("edit", '{"path": "a.py", "new": "x"}', "ok")


@pytest.mark.parametrize(
    "change",
    [
        EDITED,
        ("apply_patch", "*** Begin Patch", "Done!"),
        ("bash", '{"command": "sed -i s/a/b/ a.py"}', ""),
        ("shell", '["bash", "-lc", "cat > a.py <<EOF"]', ""),
        ("mcp__files__put", "{}", "ok"),
    ],
)
def test_what_was_red_before_anything_was_changed_is_no_failure(change):
    look = ("read_file", "a.py", "def paginate(): ...")
    assert worked(TESTED, look, TESTED).failures == 1  # the repeat, with nothing done in between
    assert worked(TESTED, look, change).failures == 0
    assert worked(TESTED, change, TESTED).failures == 1
    again = ("edit", '{"path": "b.py", "new": "y"}', "ok")
    assert worked(TESTED, change, TESTED, again, TESTED).failures == 2


MODULE = "1\timport io\n2\ttry: ...\n3\texcept OSError as error:\n4\t    raise Bad('fatal error') # 2 failed"


@pytest.mark.parametrize(
    "look",
    [
        ("read", "a.py"),
        ("Grep", "error"),
        ("bash", '{"command": "sed -n 1,80p a.py"}'),
        ("shell", '["bash", "-lc", "cd app && git diff | head"]'),
        ("bash", '{"command": "git log --format=%s"}'),
    ],
)
def test_what_a_file_says_is_no_failure_and_no_success(look):
    assert worked((*look, MODULE), EDITED, (*look, MODULE)).failures == 0
    assert worked(EDITED, TESTED, (*look, "5 passed")).failures == 1
    assert worked(EDITED, (*look, "Error: no such file or directory")).errors == 1


def test_a_script_that_shows_the_fault_before_anything_was_changed_is_no_failure():
    script = ("bash", '{"command": "python repro.py"}', "Traceback (most recent call last):")
    assert worked(script).failures == 0
    assert worked(script, EDITED, script).failures == 1


def test_a_call_made_again_after_a_change_is_no_repeat():
    status = ("bash", "git status", "clean")
    assert worked(status, status, status).retries == 2
    assert worked(status, EDITED, status, ("edit", "b.py", "ok"), status).retries == 0


def test_tests_that_pass_undo_all_failures():
    green = ("bash", '{"command": "pytest -x"}', "4 passed")
    assert worked(EDITED, TESTED, EDITED, TESTED, green).failures == 0


def test_a_tool_that_fails_outright_counts_even_before_a_change():
    assert worked(("read_file", "b.py", "Error: no such file")).errors == 1


def test_a_second_ask_starts_afresh():
    turns = (user(ASK), tool("1 failed"), Turn(Role.ASSISTANT, ("done",)), user(NEXT))
    read = read_conversation(turns)
    assert (read.ask, read.before) == (NEXT, (Exchange(ASK, "done"),))
    assert read.since == Since()
    assert read.user_turns == 2


def test_what_is_typed_at_a_completion_prompt_counts_and_a_files_text_does_not():
    typed = (user(ASK), tool(f"<user_message>\n{NEXT}\n</user_message>"))
    assert read_conversation(typed).ask == NEXT
    from_file = (user(ASK), tool(f"notes.txt:\n<user_message>{NEXT}</user_message>"))
    assert read_conversation(from_file).ask == ASK


def test_system_turns_in_the_middle_are_no_asks():
    turns = (user(ASK), Turn(Role.SYSTEM, ("You are an agent. Fix everything.",)))
    assert read_conversation(turns).ask == ASK


def test_a_conversation_without_a_user_has_an_empty_ask():
    assert read_conversation((Turn(Role.ASSISTANT, ("hello",)),)).ask == ""
    assert read_conversation(()).ask == ""


@given(st.text(max_size=50).map(lambda piece: piece * 120))
def test_clipping_keeps_head_and_tail(text):
    assert clip(text) == text or (text.startswith(clip(text)[:100]) and len(clip(text)) < len(text))


@given(st.lists(st.tuples(st.sampled_from(list(Role)), st.lists(st.text(max_size=80)))))
def test_any_conversation_can_be_read(raw):
    read = read_conversation(tuple(Turn(role, tuple(texts)) for role, texts in raw))
    assert len(read.ask) <= 5000


def _cases(shared):
    spec = importlib.util.spec_from_file_location("s", shared / "notes" / "expand_shapes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shapes = json.loads((shared / "notes" / "client_shapes.json").read_text())
    for client, shape in shapes.items():
        if client == "_about":
            continue
        for part in ("first", "after_tool", "second_turn"):
            if part in shape:
                yield client, part, module.expand(shapes, client, part, ASK, NEXT)


def _parse(raw):
    body = orjson.dumps(raw["body"])
    return parse(body, interface=interface_of(raw["path"]), headers=raw["headers"])


def test_every_recorded_client_shape_gives_the_ask_alone(shared):
    """mini-swe-agent's skeleton joins filler to the ask without a seam, so it may keep some."""
    seen = 0
    for client, part, raw in _cases(shared):
        read = _parse(raw).conversation
        wanted = NEXT if part == "second_turn" or "hint headers" in client else ASK
        seamless = client.startswith("mini_swe") or "hint headers" in client
        assert wanted in read.ask if seamless else read.ask == wanted, (client, part)
        seen += 1
    assert seen >= 35


def test_background_calls_of_agents_are_recognised_by_shape(shared):
    spec = importlib.util.spec_from_file_location("s", shared / "notes" / "expand_shapes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shapes = json.loads((shared / "notes" / "client_shapes.json").read_text())
    found = {}
    for client, shape in shapes.items():
        for name in shape.get("background", {}) if client != "_about" else ():
            raw = module.expand(shapes, client, f"background:{name}", ASK, NEXT)
            found[client, name] = _parse(raw).conversation
    titles = [c for (_, n), c in found.items() if n.startswith("title")]
    assert {c.declared_task for c in titles} == {"background/title"}
    subagents = [c for (_, n), c in found.items() if n.startswith("subagent")]
    assert all(c.subagent and c.ask == NEXT and not c.declared_task for c in subagents)
    toolless = [c for (_, n), c in found.items() if n == "compaction" and not c.tools]
    assert {c.declared_task for c in toolless} == {"background/summary"}
    after = [c for (_, n), c in found.items() if n == "first call after compaction"]
    assert all(c.ask == ASK for c in after)
