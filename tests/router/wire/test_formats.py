"""Every wire format keeps the protocol, whatever it is: a new one is tested by being a row."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from typing import get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.values import Interface, Target, Unit
from router.wire import sse
from router.wire.faults import error_in
from router.wire.format import FORMATS, Format, interface_of
from router.wire.parts import Progress
from router.wire.relay import Relay
from router.wire.request import parse
from router.wire.splice import set_fields, without

ALL = pytest.mark.parametrize("interface", Interface)
SPOKEN = pytest.mark.parametrize("interface", WRITERS)

FACTS = get_type_hints(Format)
RULES = {name: rule for name, rule in vars(Format).items() if inspect.isfunction(rule)}
RULES = {name: rule for name, rule in RULES.items() if not name.startswith("_")}

BASE = "https://provider.example/v1"


def test_the_protocol_is_read_whole():
    assert {"PATHS", "ITEMS", "MARKS"} <= FACTS.keys()
    assert {"wanted", "read", "url", "see", "closing"} <= RULES.keys()


# What a format is.


@ALL
def test_a_format_is_the_module_of_its_name(interface):
    assert FORMATS[interface] is import_module(f"router.wire.{interface.value}")


@ALL
@pytest.mark.parametrize("fact", FACTS)
def test_a_format_states_every_fact(interface, fact):
    value = getattr(FORMATS[interface], fact)
    arbitrary = TypeAdapter(FACTS[fact], config=ConfigDict(arbitrary_types_allowed=True))
    assert arbitrary.validate_python(value, strict=True) == value


@ALL
@pytest.mark.parametrize("rule", RULES)
def test_a_format_has_every_rule_and_takes_what_the_protocol_says(interface, rule):
    def taken(function, *skipped):
        hints = get_type_hints(function)
        found = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, hints[p.name]) for p in found if p.name not in skipped]

    assert taken(getattr(FORMATS[interface], rule)) == taken(RULES[rule], "self")


def test_no_two_formats_share_a_path():
    paths = [path for f in FORMATS.values() for path in (*f.PATHS, f.COUNT_PATH) if path]
    assert len(paths) == len(set(paths))


@ALL
def test_the_address_of_a_format_leads_back_to_it(interface):
    """What a provider is sent names the model, and asks for a stream or not."""
    format = FORMATS[interface]
    for streams in (False, True):
        url = format.url(BASE, "m-1", streams=streams, query=b"key=secret")
        assert url.startswith(BASE)
        assert "secret" not in url
        assert interface_of(url.removeprefix(BASE)) is interface
        sent = {"stream": streams} | format.write_model({"stream": streams}, "m-1")
        assert format.wanted(url.partition("?")[0], sent) == ("m-1", streams)


@ALL
def test_a_count_of_tokens_is_told_where_a_path_asks_for_it(interface):
    format = FORMATS[interface]
    if format.COUNT_PATH:
        assert 41 in orjson.loads(orjson.dumps(format.counted(41))).values()


# What a request says, and what is changed of it.

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([1.5, 1e22]) | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
TARGETS = st.builds(
    Target,
    st.builds(Unit, st.just("a/x"), st.sampled_from([None, "none", "low", "high"])),
    verbosity=st.sampled_from([None, "low"]),
    reasoning=st.sampled_from([None, False, True]),
)


@st.composite
def bodies(draw, items):
    """A body as some client might write it: its spaces, escapes and numbers are its own."""
    fields = draw(st.dictionaries(TEXTS, JSON, max_size=4))
    fields |= draw(st.sampled_from([{}, {"model": "a/x"}, {"model": "a/x", "stream": True}]))
    fields[items] = [{"role": "user", "content": draw(TEXTS)}]
    names = draw(st.permutations(list(fields)))
    gap, colon = draw(st.sampled_from(["", " ", "\n  "])), draw(st.sampled_from([":", " : "]))
    text = json.dumps(
        {name: fields[name] for name in names},
        ensure_ascii=draw(st.booleans()),
        separators=(f"{gap},{gap}", colon),
    )
    return text.replace("1.5", "1.50").encode()


@ALL
@given(data=st.data())
def test_what_routing_changes_is_all_that_changes(interface, data):
    format = FORMATS[interface]
    request = parse(data.draw(bodies(format.ITEMS)), interface=interface)
    body = request.body  # what decides who may answer is settled already
    changes = format.write_target(request.fields, data.draw(TARGETS))
    changes |= format.write_model(request.fields, "other-name")
    changes |= format.ask_for_usage(request.fields)
    sent = set_fields(body, request.fields, changes)
    assert orjson.loads(sent) == {**request.fields, **changes}
    rest = [(name,) for name in changes]
    assert without(sent, rest) == without(body, rest)


# Errors.


@ALL
@given(
    st.integers(400, 599), st.sampled_from(["", "invalid_request"]), TEXTS.filter(lambda text: text)
)
def test_an_error_is_json_and_says_its_message(interface, status, code, message):
    told = orjson.loads(orjson.dumps(FORMATS[interface].error_body(status, code, message)))
    found = error_in(told)
    assert found is not None
    assert found[1] == message
    assert 400 <= found[0] < 600


# Streams.

SCRIPTS = st.sampled_from(["", "reasoning", "tool=look", "no_usage", "no_finish", "words=3"])


def relayed(format, stream, *, problem, cuts=()):
    """Pass a stream on in pieces; return what the client is sent."""
    relay = Relay(format, wants_usage=True, model="a/x")
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    return b"".join([*map(relay.feed, pieces), relay.close(problem)])


def check_ended_once(format, stream):
    """Nothing follows the end, nothing is given twice, and nobody has anything to add."""
    progress = Progress()
    ends = reasons = 0
    for raw, data in sse.events(stream):
        assert raw.endswith(b"\n\n")
        assert not progress.ended, f"{raw!r} follows the end"
        assert format.see(data, progress) is None, f"{raw!r} lacks something"
        alone = Progress()
        format.see(data, alone)
        ends += alone.ended
        reasons += alone.finished and not alone.ended
    assert progress.ended
    assert progress.finished or progress.failed
    assert ends == 1
    assert reasons <= 1
    assert format.closing(progress, "") == b""


@SPOKEN
@given(data=st.data())
def test_a_stream_ends_exactly_once_wherever_it_was_cut(interface, data):
    format = FORMATS[interface]
    fields = {"model": "a/x", format.ITEMS: [{"role": "user", "content": "Hello there"}]}
    answer = make_answer(fields, interface, data.draw(SCRIPTS))
    whole = b"".join(WRITERS[interface].events(answer))
    stream = whole[: data.draw(st.integers(0, len(whole)))]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    problem = data.draw(st.sampled_from(["", "the upstream broke off the stream"]))
    sent = relayed(format, stream, problem=problem, cuts=cuts)
    check_ended_once(format, sent)
    assert relayed(format, sent, problem="") == sent


@SPOKEN
def test_a_whole_stream_passes_as_it_came(interface):
    format = FORMATS[interface]
    fields = {"model": "a/x", format.ITEMS: [{"role": "user", "content": "Hello there"}]}
    whole = b"".join(WRITERS[interface].events(make_answer(fields, interface)))
    assert relayed(format, whole, problem="") == whole
    check_ended_once(format, whole)
