"""Sessions: scripts of steps, each played in every format, and a conversation that is stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tests.recording.cases.asks import ASKS
from tests.recording.cases.case import EFFICIENT, Cases, post
from tests.recording.formats import RESPONSES, WIRES, Fields, Wire


@dataclass(frozen=True)
class Step:
    """One request of a session: what is new in it.

    ``say`` is the user's, ``result`` a tool's; ``opens`` calls a tool without a result.  ``keep``
    is false for what the client does not go on from, ``alone`` for what is sent without the
    history, ``forgets`` for a history that was compacted.  ``{model}`` in a header stands for who
    answered last.
    """

    say: str = ""
    result: str = ""
    opens: bool = False
    tool: str = "bash"
    headers: dict[str, str] = field(default_factory=dict)
    more: Fields = field(default_factory=dict)
    keep: bool = True
    alone: bool = False
    forgets: bool = False


LOOKED = "def export(order):\n    return render(order.lines[0])"
FAILED = "==== 2 failed, 3 passed in 0.4s ====\nE  AssertionError: totals differ"
PASSED = "==== 5 passed in 0.4s ===="
TROUBLE = (*(Step(result=FAILED) for _ in range(5)),)
SCRIPTS: dict[str, tuple[Step, ...]] = {
    "failing tests": (
        Step(say=ASKS[0]), Step(result=LOOKED), Step(opens=True, keep=False), *TROUBLE,
        Step(result=PASSED), Step(say=ASKS[1]), Step(result="bash: no such file"),
    ),
    "complaint": (
        Step(say=ASKS[1]), Step(result=PASSED), Step(say="It still fails with the same error."),
        Step(result=FAILED), Step(say="ok, go on"), Step(say="That is not fixed, it keeps crashing"),
        Step(say=ASKS[15]), Step(say="Thanks!"),
    ),
    "wishes": (
        Step(say=ASKS[2]), Step(result=LOOKED, headers={"x-auto-pin": "anthropic/claude-opus-4.7"}),
        Step(say="Now rename it"), Step(say="Plan it", more={"model": "kilo-auto/frontier"}),
        Step(say="Now the next one", headers={"x-auto-pin": "off", "x-auto-switch": "off"}),
        *TROUBLE, Step(say=ASKS[25], headers={"x-auto-switch": "on"}),
        Step(result=LOOKED, headers={"x-auto-reassess": "true"}),
        Step(result=LOOKED, headers={"x-auto-pin": "x-ai/grok-4"}),
    ),
    "limits": (
        Step(say=ASKS[7]), Step(result=LOOKED, headers={"x-auto-deny": "{model}"}),
        Step(result=LOOKED), Step(result=LOOKED, headers={"x-auto-dial": "quality"}),
        Step(result=LOOKED, headers={"x-auto-max-cost": "0.05"}), Step(say=ASKS[12]),
    ),
    "thoughts": (
        Step(say=f"{ASKS[0]} [[upstream: think]]", headers={"x-auto-pin": "anthropic/claude-opus-4.6"}),
        Step(result=f"{LOOKED} [[upstream: think]]", headers={"x-auto-pin": "off"}),
        Step(result=FAILED), Step(result=FAILED, headers={"x-auto-deny": "{model}"}),
        Step(say="Go on [[upstream: think]]", headers={"x-auto-pin": "openai/gpt-5.5"}),
        Step(say="And now the other one", headers={"x-auto-pin": "anthropic/claude-opus-4.6"}),
        Step(result=LOOKED, headers={"x-auto-pin": "minimax/minimax-m3"}),
    ),
    "beside": (
        Step(say=ASKS[19]), Step(say="A title for this?", headers={"x-kilocode-mode": "title"}, alone=True),
        Step(result=LOOKED), Step(say="Find the callers", headers={"x-claude-code-agent-id": "a1"}, alone=True),
        Step(say="Sum this up", headers={"x-kilocode-mode": "compaction"}, keep=False),
        Step(say="Summary so far: the plugins load. Now add the tests.", forgets=True),
        Step(result="x" * 9000, tool="bash"), Step(say=ASKS[35]),
    ),
    "asked back": (
        Step(say=ASKS[5]), Step(result="Three services, please", tool="ask_user"), *TROUBLE[:3],
        Step(result="<feedback>Now make it two</feedback>"), Step(result=LOOKED),
    ),
    "other tiers": (
        Step(say=ASKS[6]), Step(say=ASKS[4], more={"model": "kilo-auto/balanced"}),
        Step(result=LOOKED), Step(say=ASKS[16], more={"model": "openai/gpt-5.4"}),
        Step(result=LOOKED), Step(say=ASKS[8], more={"model": "kilo-auto/free"}), Step(result=LOOKED),
    ),
    "many small asks": tuple(
        Step(say=text) for text in (ASKS[25], *ASKS[11:17], ASKS[7], ASKS[1], ASKS[8])
    ),
    "bound": (
        Step(say=f"{ASKS[0]} [[upstream: think]]"), *TROUBLE,
        Step(say=ASKS[2], headers={"x-auto-pin": "x-ai/grok-4"}),
        Step(opens=True, keep=False, headers={"x-auto-pin": "off"}), Step(result=LOOKED),
    ),
    "fallback": (
        Step(say=ASKS[32]), Step(result=f"{LOOKED} [[upstream: down for {{model}}]]"), Step(result=LOOKED),
        Step(say="Hello [[upstream: down]]"), Step(say=ASKS[30]),
    ),
}  # fmt: skip


def talk(wire: Wire, name: str, script: tuple[Step, ...], *, streams: bool = False) -> Cases:
    """Play a session; a client of streams keeps the gist of an answer."""
    history, model = list(wire.opening), ""
    for n, step in enumerate(script):
        items = list(wire.opening if step.alone or step.forgets else history)
        items += new_items(wire, step, f"call_{n}", model)
        headers = {"x-session-id": f"{name} {wire.name}"}
        headers |= {k: v.format(model=model) for k, v in step.headers.items()}
        fields = {
            "model": EFFICIENT,
            "stream": streams,
            **wire.base,
            wire.items: items,
            **step.more,
        }
        reply = yield post(f"{name}{', streamed' * streams} {n}", wire, fields, headers)
        if reply.status != 200 or step.alone or not step.keep:
            continue
        model = reply.headers["x-auto-model"]
        gist = [{"role": "assistant", "content": "It is done."}]
        history = items + (gist if streams else wire.replied(json.loads(reply.body)))


def new_items(wire: Wire, step: Step, call: str, model: str) -> list[Fields]:
    if step.say:
        return [{"role": "user", "content": step.say.format(model=model)}]
    called = wire.called(step.tool, call)
    return (
        [called] if step.opens else [called, wire.returned(call, step.result.format(model=model))]
    )


def sessions() -> Cases:
    for name, script in SCRIPTS.items():
        for wire in WIRES:
            yield from talk(wire, name, script)
    for wire in WIRES:
        yield from talk(wire, "failing tests", SCRIPTS["failing tests"][:6], streams=True)


def stored() -> Cases:
    """Yield a conversation that its provider keeps: the client names the last answer, no session."""
    last, model = "", EFFICIENT
    for n, text in enumerate((ASKS[6], "Go on", "It still fails", FAILED, ASKS[1], ASKS[12])):
        reference = [{"type": "item_reference", "id": "rs_1"}] if n % 2 else []
        items = [*reference, {"role": "user", "content": text}]
        more = {"previous_response_id": last} if last else {}
        fields = {"model": model, "input": items, "stream": n == 3, **more}
        reply = yield post(f"stored {n}", RESPONSES, fields, named=False)
        found = re.search(rb'"id": ?"(resp_\w+)"', reply.body)
        last, model = (
            found[1].decode() if found else last,
            "openai/gpt-5.5" if n == 4 else EFFICIENT,
        )
