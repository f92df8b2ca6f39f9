"""Fields of a body by which one comes to a model: read, tried here, and written once."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadRequest
from router.values import Interface
from router.wire.choosers import MAX_MODELS, NO_CHOOSERS, TRIED_HERE, settled
from router.wire.format import FORMATS
from router.wire.preferences import FIELDS, NO_PREFERENCES, read_preferences
from router.wire.request import parse

every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)


def read(interface=Interface.CHAT, **fields):
    body = {FORMATS[interface].ITEMS: [{"role": "user", "content": "hi"}], **fields}
    return parse(orjson.dumps(body), interface=interface)


@every_format
def test_models_are_tried_here_and_sent_on_by_nobody(interface):
    asked = read(interface, model="a/b", models=["c/d", "e/f", "c/d"], route="fallback")
    assert (asked.model, asked.choosers.models) == ("a/b", ("c/d", "e/f"))
    assert not {*orjson.loads(asked.body)} & {*TRIED_HERE}
    assert orjson.loads(asked.body) == asked.fields
    objects = read(interface, model="a/b", fallbacks=[{"model": "c/d"}])
    assert objects.choosers.models == ("c/d",)


@every_format
def test_without_a_model_the_first_of_the_list_is_asked_for(interface):
    asked = read(interface, models=["a/b", "c/d"])
    assert (asked.model, asked.choosers.models) == ("a/b", ("c/d",))


@pytest.mark.parametrize(
    "models",
    [["a", 1], "a/b", {"a": 1}, [""], [None], ["a" * 300], ["a\nb"], ["a"] * (MAX_MODELS + 1)],
)
def test_a_list_that_cannot_be_read_is_refused(models):
    with pytest.raises(BadRequest, match="`models`"):
        read(model="a/b", models=models)


def test_what_lets_an_upstream_choose_is_named():
    asked = read(model="a/b", preset="p", plugins=[{"id": "web"}, {"id": "response-healing"}])
    assert asked.choosers.open == ("preset", "plugins: web")
    assert read(model="a/b", plugins=[{"id": "web", "enabled": False}]).choosers == NO_CHOOSERS
    others = read(model="a/b", fallbacks=[{"a/b": ["c/d"]}])
    assert others.choosers.open == ("fallbacks",)
    assert "fallbacks" in others.fields


def test_a_tool_of_the_provider_names_a_model_and_a_function_does_not():
    function = {"type": "function", "function": {"name": "f"}, "model": "x/y"}
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "a/b"}
    image = {"type": "openrouter:image", "parameters": {"model": "c/d"}}
    asked = read(model="m", tools=[function, advisor, image])
    assert asked.choosers.tools == (("tools[1].model", "a/b"), ("tools[2].model", "c/d"))
    assert asked.choosers.open == ("tools: openrouter:image",)


NAMING = [
    {"type": "openrouter:fusion", "parameters": {"models": ["c/d"]}},
    {"type": "openrouter:fusion", "parameters": {"analysis_models": [{"id": "c/d"}]}},
    {"type": "advisor", "config": {"model": "c/d"}},
    {"type": "namespace", "name": "n", "tools": [{"type": "advisor", "Model": "c/d"}]},
    {"name": "x", "model": "c/d"},
]


@every_format
@pytest.mark.parametrize("tool", NAMING)
def test_wherever_a_tool_names_a_model_it_is_found(interface, tool):
    assert [name for _, name in read(interface, tools=[tool]).choosers.tools] == ["c/d"]


@pytest.mark.parametrize("tool", NAMING)
def test_a_tool_that_an_item_adds_names_its_models_too(tool):
    added = {"type": "additional_tools", "tools": [tool]}
    asked = read(Interface.RESPONSES, input=[added])
    assert [name for _, name in asked.choosers.tools] == ["c/d"]


@every_format
def test_a_schema_names_no_model(interface):
    schema = {"properties": {"model": {"enum": ["c/d"]}}, "default": {"model": "c/d"}}
    tools = [
        {"name": "f", "input_schema": schema},
        {"type": "custom", "name": "f", "input_schema": schema},
        {"type": "function", "name": "f", "parameters": schema},
        {"type": "function", "function": {"name": "f", "parameters": schema}},
        {"type": "openrouter:datetime"},
    ]
    nested = {"type": "namespace", "name": "n", "tools": tools}
    assert read(interface, model="m", tools=[*tools, nested]).choosers == NO_CHOOSERS


@every_format
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools: openrouter:web_search"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"plugins": {"id": "web"}}, "plugins: web"),
        ({"plugins": "web"}, "plugins: web"),
    ],
)
def test_paid_services_in_any_shape_are_named(interface, fields, named):
    assert read(interface, model="m", **fields).choosers.open == (named,)


@every_format
def test_what_raises_the_price_is_named(interface):
    asked = read(interface, model="m", service_tier="priority", speed="fast")
    assert asked.choosers.dearer == ("service_tier: priority", "speed: fast")
    plain = read(interface, model="m", service_tier="flex", speed="standard")
    assert plain.choosers == NO_CHOOSERS


FOLDED = ["Model", "MODELS", "model\u017f", "Provider", "Tools", "tool\u017f", "Service_Tier"]


@every_format
@pytest.mark.parametrize("key", FOLDED)
def test_a_field_that_some_servers_would_take_for_another_is_sent_to_none(interface, key):
    asked = read(interface, **{"model": "a/b", key: "c/d", "Other": 1})
    assert key not in orjson.loads(asked.body)
    assert key not in asked.fields
    assert asked.fields["Other"] == 1


# Keys that are written twice.

TWICE = [
    '{"model":"a/one","messages":[],"model":"b/two"}',
    '{"mod\\u0065l":"a/one","messages":[],"model":"b/two"}',
    '{"model":"a/one","messages":[],"mod\\u0065l":"b/two"}',
    '{"model":null,"model":"a/one" , "messages":[],\n"model" : "b/two"}',
    '{"messages":[{"model":"x"}],"model":["a/one"],"model":"b/two"}',
]


def first_and_last(body):
    """Read a body as parsers do that keep the first, and the last, of a key."""
    first = json.loads(body, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    return first, json.loads(body)


@pytest.mark.parametrize("body", TWICE)
def test_of_a_model_that_is_named_twice_nobody_sees_more_than_the_last(body):
    asked = parse(body.encode(), interface=Interface.CHAT)
    first, last = first_and_last(asked.body)
    assert first == last
    assert asked.model == last["model"] == "b/two"


names = st.sampled_from(
    ["model", "models", "provider", "plugins", "preset", "x", "mod\\u0065l", "tools"]
)
values = st.sampled_from(['"a"', "null", "[]", "{}", '{"model":"b"}', '[{"model":{"models":1}}]'])


@given(st.lists(st.tuples(names, values), min_size=1, max_size=6))
def test_however_a_body_is_written_every_parser_sees_one_of_each_field(members):
    body = ("{" + ",".join(f'"{name}":{value}' for name, value in members) + "}").encode()
    once, fields = settled(body, orjson.loads(body))
    first, last = first_and_last(once)
    assert orjson.loads(once) == fields == last
    kept = {"model", "provider", "plugins", "preset", "tools"}
    assert {k: first[k] for k in kept & first.keys()} == {k: last[k] for k in kept & last.keys()}


def test_a_parameter_called_model_changes_nothing():
    body = b'{"model" : "a/b",\n"tools":[{"input":{"model":"x"},"schema":{"model":{"type":1}}}]}'
    assert settled(body, orjson.loads(body))[0] is body


# The object `provider`.


def test_preferences_are_read():
    found = read_preferences(
        {"provider": {"only": ["OpenAI", "deepinfra/turbo"], "order": ["x"], "zdr": True}}
    )
    assert (found.only, found.order, found.binds) == ({"openai", "deepinfra"}, ("x",), ("zdr",))
    assert found.admits(frozenset({"openai"}), aggregates=True)
    assert not found.admits(frozenset({"openai"}), aggregates=False)
    assert found.named == "`provider.only`, `provider.zdr`"


@pytest.mark.parametrize(
    "given",
    [{}, {"zdr": False}, {"data_collection": "allow"}, {"require_parameters": None, "only": None},
     {"allow_fallbacks": True}, {"quantizations": []}, {"only": []}],
)  # fmt: skip
def test_what_asks_for_nothing_keeps_nobody_out(given):
    assert read_preferences({"provider": given}).admits(frozenset({"openai"}), aggregates=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [("only", "openai"), ("ignore", [1]), ("order", {}), ("allow_fallbacks", "no"), ("zdr", "yes"),
     ("data_collection", "no"), ("max_price", 1), ("max_price", {"prompt": "nan"}),
     ("max_price", {"completion": -1}), ("max_price", {"prompt": True})],
)  # fmt: skip
def test_a_field_that_cannot_be_read_is_refused_by_name(field, value):
    with pytest.raises(BadRequest, match=f"`provider.{field}`"):
        read_preferences({"provider": {field: value}})


def test_the_object_must_be_one_and_an_unknown_field_binds():
    assert read_preferences({"provider": {"new_rule": 1}}).binds == ("new_rule",)
    assert read_preferences({}) is NO_PREFERENCES
    with pytest.raises(BadRequest, match="`provider` must be an object"):
        read_preferences({"provider": "openai"})
    assert len({row.field for row in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize("plugins", [[{"id": {}}], [[]], [{"id": []}], [None], "x", {"a": 1}])
def test_plugins_of_any_shape_are_read(plugins):
    body = json.dumps({"model": "a/b", "messages": [], "plugins": plugins}).encode()
    assert parse(body, interface=Interface.CHAT).model == "a/b"


@pytest.mark.parametrize(
    "rest",
    [
        b'"x":{"model":"\\ud83d"}',
        b'"x":[{"model":{"model":NaN}}]',
        b'"y":{"z":"\x01","model":1e999}',
    ],
)
def test_what_only_lenient_parsers_take_is_settled_too(rest):
    """A key that stands deeper as well, and one that is named twice."""
    body = b'{"model":"a/b",%b}' % rest
    assert parse(body, interface=Interface.CHAT).body == body
    twice = b'{"model":"c/d",%b,"model":"a/b"}' % rest
    read = parse(twice, interface=Interface.CHAT)
    assert (read.model, read.body) == ("a/b", body)


@every_format
@pytest.mark.parametrize("name", [" a/b", "a/b ", "\ta/b\n", "\u00a0a/b"])
def test_blanks_around_a_name_are_no_part_of_it(interface, name):
    asked = read(interface, model=name, models=[name.replace("a", "c")])
    assert (asked.model, asked.choosers.models) == ("a/b", ("c/b",))
    assert read(interface, model="  ").model is None
