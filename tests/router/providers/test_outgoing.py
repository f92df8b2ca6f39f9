"""On a switch of families foreign signed reasoning goes, and every other byte stays.

Bodies are written by hand.  What a family signed stands in guillemets with its letter, «A…» or
«B…», together with the comma that goes with it; «S…» is what a strict vendor refuses.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.attempts import Attempt
from router.providers.endpoints import Endpoint, Provider
from router.providers.outgoing import Order, write_body
from router.values import Interface, Target, Unit
from router.wire.format import FORMATS
from router.wire.request import parse
from router.wire.splice import without

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES

HEAD = r"""
{ "stream":true , "temperature": 1.50,	"top_p":1e0, "seed" : 123456789012345678901234567890,
  "metadata":{"note":"caf\u00e9 \/ \u003cb\u003e é 😀 \ud83d\ude00", "model":"a\"model\": \\"},
  "model" : "a/one",
"""

TALKS = {
    CHAT: HEAD
    + r"""
  "messages" : [
    {"role":"system" , "content":"be brief\\"},
    {"role":"user","content":"\u0068ello \u003cb\u003e [{,"},
    {"role":"assistant", "content":null«A , "reasoning_details":[
        {"type":"reasoning.text","text":"A [1]","signature":"sig\u0041=="} , {
        "type":"reasoning.encrypted","data":"A{2\\\"}","index": 1e0}]», "reasoning":"A \"aloud\"",
      "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\": 1.50}"}}]},
    {"role":"tool","tool_call_id":"1","content":"]}" , "n":1.50},
    {"role":"assistant","reasoning_content":"A plain", "content":"x","reasoning_details":[
      {"type":"reasoning.summary","summary":"A","index":0}«A ,
      {"type":"reasoning.text","text":"A","signature":"s","index":-0}», {"type":"reasoning.text",
      "text":"A unsigned","signature":null,"big":98765432109876543210987654321}  ]  },
    {"content":"go\ton","role":"user" },
    { «B"reasoning_details" : [{"type":"reasoning.encrypted","data":"B"}] , »"role":"assistant",
      "content":"\u00e9t\u00e9", "reasoning": "B aloud" , "reasoning_content":""},
    {"role":"user","content":[{"type":"text","text":"now?", "n": 1e2}]}
  ] , "n":1 }
""",
    RESPONSES: HEAD
    + r"""
  "input" : [
    {"role":"user","content":"\u0068ello \u003cb\u003e [{,"}«A,
    {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"A\/1\\"}» ,
    {"type":"reasoning","id":"rs_2","summary":[{"type":"summary_text","text":"A plain"}], "n":1.50},
    {"type":"function_call","call_id":"1","name":"f","arguments":"{\"x\": 1.50}"}«A , {
      "summary" : [ ] ,"type":"reas\u006fning", "encrypted_content":"A2]"}»,
    {"type":"function_call_output","call_id":"1","output":"]}" , "n":1e2},
    {"type":"reasoning","summary":[], "encrypted_content":""},
    {"type":"reasoning","summary":[], "encrypted_content":null ,"big":98765432109876543210987654321},
    {"content":"go\ton","role":"user" }«B ,
    {"type":"reasoning","id":"rs_3","summary":[{"type":"summary_text","text":"B"}],
     "encrypted_content":"B"}»,
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"\u00e9"}]},
    {"role":"user","content":[{"type":"input_text","text":"now?", "n": 1e2}]}
  ] , "n":1 }
""",
    MESSAGES: HEAD
    + r"""
  "messages" : [
    {"role":"user","content":"\u0068ello \u003cb\u003e [{,"},
    {"role":"assistant", "content":[ «A{"type":"thinking","thinking":"A \"1\"","signature":"sig\u0041=="}
        , »{"type":"thinking","thinking":"A unsigned", "signature":""},{"type":"thinking" , "thinking":""}«A
       ,{"type":"redacted_thinking","data":"A]}\\"}», {"type":"tool_use","id":"1","name":"f",
        "input":{"x": 1.50,"big":98765432109876543210987654321,"type":"redacted_thinking"}} ]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[
      {"type":"text","text":"]}" , "n":1.50}]} ] }«A,
    {"role":"assistant","content": [ {"type":"thinking","thinking":"A only","signature":"s"} ,
      {"type":"redacted_thinking","data":"A"} ] }»,
    {"content":"go\ton","role":"user" },
    {"role":"assistant", "content":[«B{"type":"th\u0069nking","thinking":"B","signature":"B"},
      »{"type":"text","text":"\u00e9"} ] },
    {"role":"user","content":[{"type":"text","text":"now?", "n": 1e2}]}
  ] , "n":1 }
""",
}

WROTE = {
    CHAT: {"A": frozenset(range(5)), "B": frozenset(range(5, 8))},
    RESPONSES: {"A": frozenset(range(8)), "B": frozenset(range(8, 12))},
    MESSAGES: {"A": frozenset(range(4)), "B": frozenset(range(4, 7))},
}
"""Which items each family wrote, or was sent last."""


def spoken(talk: str, *, gone: str = "") -> bytes:
    """Write a body without its guillemets, and without the parts of the letters in ``gone``."""
    kept = re.sub(f"«[{gone}][^»]*»", "", talk) if gone else talk
    return re.sub("«.|»", "", kept).encode()


def sent(
    interface: Interface,
    body: bytes,
    model: str,
    *,
    foreign: frozenset[int] = frozenset(),
    effort: str | None = None,
    reasoning: bool | None = None,
    **row: Any,
) -> bytes:
    """Return what a provider with such a row is sent for a body."""
    formats = frozenset(Interface)
    provider = Provider(name="p", base_url="https://p/v1", formats=formats, serves=("",), **row)
    attempt = Attempt(
        Target(Unit(model, effort), reasoning=reasoning),
        Endpoint(provider, model, "https://p/v1"),
    )
    order = Order(
        request=parse(body, interface=interface),
        attempts=[attempt],
        headers={},
        routed=effort is not None or reasoning is not None,
        foreign={model: foreign}.__getitem__,
    )
    return write_body(order, attempt)[0]


def named(body: bytes, model: str) -> bytes:
    """Return a body with another model."""
    assert body.count(b'"a/one"') == 1
    return body.replace(b'"a/one"', b'"%b"' % model.encode())


every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)


@every_format
@pytest.mark.parametrize("own", ["A", "B"])
def test_exactly_what_the_other_family_signed_goes(interface, own):
    talk, other = TALKS[interface], "AB".replace(own, "")
    done = sent(interface, spoken(talk), "x/new", foreign=WROTE[interface][other])
    assert done == named(spoken(talk, gone=other), "x/new")


@every_format
def test_a_third_family_is_sent_nothing_signed(interface):
    talk, foreign = TALKS[interface], frozenset.union(*WROTE[interface].values())
    done = sent(interface, spoken(talk), "x/new", foreign=foreign)
    assert done == named(spoken(talk, gone="AB"), "x/new")
    items = orjson.loads(done)[FORMATS[interface].ITEMS]
    assert not list(FORMATS[interface].foreign_reasoning(items, lambda i: True))


@every_format
def test_within_a_family_only_the_model_changes(interface):
    body = spoken(TALKS[interface])
    assert sent(interface, body, "x/new") == named(body, "x/new")


@every_format
def test_with_nothing_to_change_the_body_is_passed_on_as_it_is(interface):
    """The same object: nothing was parsed, cut or dumped."""
    body = spoken(TALKS[interface], gone="AB")
    assert sent(interface, body, "a/one", foreign=frozenset(range(20))) is body


@every_format
def test_the_effort_is_added_in_front_of_what_is_left(interface):
    talk = TALKS[interface]
    given = {"foreign": WROTE[interface]["A"], "effort": "low", "reports_usage": False}
    done = sent(interface, spoken(talk), "a/one", **given)
    field = {
        CHAT: b'"reasoning_effort":"low",',
        RESPONSES: b'"reasoning":{"effort":"low"},',
        MESSAGES: b'"output_config":{"effort":"low"},',
    }[interface]
    assert done == spoken(talk, gone="A").replace(b'"stream"', field + b'"stream"', 1)


@every_format
def test_each_request_begins_with_the_one_before(interface):
    """As far as the conversation goes that both have, which is what prompt caches are made of."""
    key, before = FORMATS[interface].ITEMS, b""
    items = [orjson.dumps(x) for x in orjson.loads(spoken(TALKS[interface]))[key]]
    for n in range(len(items)):
        body = b'{"model":"a/one","%b":[ %b]}' % (key.encode(), b" ,\n".join(items[: n + 1]))
        done = sent(interface, body, "x/new", foreign=WROTE[interface]["A"])
        assert done.startswith(before)
        before = done.removesuffix(b"]}")
    assert len(before) < len(body) - 100  # something went


def test_a_strict_vendor_is_sent_no_reasoning_at_all_and_nothing_of_other_dialects():
    talk = r"""
{ «S"usage" : {"include":true} , »"model":"a/one",
  "messages":[ {"role":"user","content":"\u003ca\u003e"«S ,"__copilotMessageSource":1.50»},
    {"role":"assistant"«S , "reasoning":"A"» ,"content":"\/"«S ,
     "reasoning_details":[{"type":"reasoning.text","text":"A","signature":"s"}]»,"n": 1.50},
    {«S"reasoning_content":"B", »"role":"assistant","content":"b"«S ,"provider_specific_fields":{}»}]«S
  , "reasoning":{"effort":"high"}», "temperature":1.50 }
"""
    body = spoken(talk)
    for foreign in (frozenset[int](), frozenset({1}), frozenset(range(3))):
        done = sent(CHAT, body, "x/new", foreign=foreign, strict=True)
        assert done == named(spoken(talk, gone="S"), "x/new")
    assert sent(CHAT, body, "x/new") == named(body, "x/new")


def test_a_strict_vendor_is_not_asked_in_a_dialect_it_refuses():
    body = b'{"model":"a/one","reasoning":{"effort":"high"},"messages":[]}'
    done = sent(CHAT, body, "a/one", effort="low", strict=True)
    assert done == b'{"reasoning_effort":"low","model":"a/one","messages":[]}'
    assert sent(CHAT, done, "a/one", reasoning=True, strict=True) == done


def test_a_body_of_nothing_but_what_is_refused_still_becomes_one():
    done = sent(CHAT, b'{ "usage":{} , "provider":{}}', "x/new", strict=True)
    assert orjson.loads(done) == {"model": "x/new"}


def test_references_to_what_a_provider_stored_go_unless_it_is_asked_directly():
    talk = r"""
{"model":"a/one","input":[ «R{"type":"item_reference","id":"rs_1"} , »{"role":"user","content":"\/"}«R ,
  {"id":"msg_1","type":"item_reference"}», {"type":"reasoning","id":"rs_2","summary":[]} ]}
"""
    body = spoken(talk)
    assert sent(RESPONSES, body, "x/new") == named(spoken(talk, gone="R"), "x/new")
    assert sent(RESPONSES, body, "x/new", stateful=True) == named(body, "x/new")
    routed = sent(RESPONSES, body, "a/one", effort="low", stateful=True)
    assert orjson.loads(routed)["input"] == orjson.loads(spoken(talk, gone="R"))["input"]


def test_items_that_are_named_twice_leave_no_signed_reasoning_behind():
    """Parsers differ on which of the two they take, so the one that was not read goes."""
    items = b'[{"role":"user","content":"hi"},{"role":"assistant","content":[%b{"type":"text","text":"x"}]}]'
    signed = items % b'{"type":"thinking","thinking":"A","signature":"s"},'
    body = b'{"model":"a/one","messages":%b,"messages":%b}' % (signed, signed)
    done = sent(MESSAGES, body, "a/one", foreign=frozenset({1}))
    assert done == b'{"model":"a/one","messages":%b}' % (items % b"")


KINDS = [
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning.text",
    "reasoning.encrypted",
    "text",
]
KEYS = ["type", "content", "signature", "data", "encrypted_content", "reasoning_details", "text"]
SOUP = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "s", *KINDS]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)


@every_format
@given(items=st.lists(SOUP, max_size=4), foreign=st.frozensets(st.integers(0, 4)))
def test_no_item_is_too_odd_and_nothing_signed_is_left(interface, items, foreign):
    find = FORMATS[interface].foreign_reasoning
    paths = list(find(items, foreign.__contains__))
    assert {path[0] for path in paths} <= foreign
    if foreign >= frozenset(range(len(items))):
        left = orjson.loads(without(orjson.dumps(items), paths))
        assert not list(find(left, lambda i: True))
