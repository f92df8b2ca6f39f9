"""What a routed request looks like at each vendor, and what keeps a model out."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, load_catalogue
from router.evidence.dialects import EFFORTS, Dialect, Facts, load_dialects
from router.providers.attempts import Attempt
from router.providers.endpoints import Endpoint, Provider, Providers, load_providers
from router.providers.outgoing import Order, sent_fields, write_body
from router.settings import Settings
from router.values import Interface, Needs, Target, Unit
from router.wire.fields import Fields
from router.wire.format import FORMATS
from router.wire.request import parse
from router.wire.schemas import said_without
from tests.gateway_rig import PATHS, ask, gateway

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
DIALECTS, CATALOGUE = load_dialects(), load_catalogue()
ROWS = {row.name: row for row in load_providers()}

GPT, MINI, OPUS, HAIKU = (
    *("openai/gpt-5.5", "openai/gpt-5-mini"),
    *("anthropic/claude-opus-4.7", "anthropic/claude-haiku-4.5"),
)
GEMINI, GROK = "google/gemini-3.5-flash", "x-ai/grok-code-fast-1"

LONG_ID = "functions.write:0" + "x" * 60
TOOL = {"type": "function", "function": {"name": "write", "parameters": {"type": "object"}}}
TALK = [
    {"role": "developer", "content": [{"type": "text", "text": "be brief",
                                       "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": "go", "name": "anna"},
    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [
        {"id": LONG_ID, "type": "function", "function": {"name": "write", "arguments": "{}"},
         "extra_content": {"google": {"thought_signature": "abc"}}}]},
    {"role": "tool", "tool_call_id": LONG_ID, "content": "ok"},
]  # fmt: skip


def order_of(interface: Interface, fields: dict[str, Any], *, routed: bool = True) -> Order:
    body = orjson.dumps({"model": "kilo-auto/x"} | fields)
    request = parse(body, interface=interface)
    return Order(request, [], {}, routed, room=CATALOGUE.room)


def attempt_at(
    provider: str, interface: Interface, model: str, effort: str | None = None
) -> Attempt:
    row = ROWS.get(provider) or Provider(name=provider, formats=frozenset(Interface))
    facts = DIALECTS.of(row.dialect or row.name, model, interface)
    return Attempt(Target(Unit(model, effort)), Endpoint(row, "theirs", "https://p", facts=facts))


def sent(provider, interface, model, fields, effort=None) -> dict[str, Any]:
    attempt = attempt_at(provider, interface, model, effort)
    return orjson.loads(write_body(order_of(interface, fields), attempt)[0])


def told(provider, interface, model, fields, effort=None) -> tuple[str, ...]:
    at = attempt_at(provider, interface, model, effort)
    return write_body(order_of(interface, fields), at)[1]


# Who is asked for by name, and who is not known.


@pytest.mark.parametrize(
    "provider", [*(n for n, row in ROWS.items() if not row.strict), "somebody"]
)
@pytest.mark.parametrize("interface", Interface)
def test_a_model_asked_for_by_name_gets_the_clients_body(provider, interface):
    body = ask(interface, "theirs") | {"temperature": 0.5, "max_tokens": 900_000, "thinking": {}}
    body[FORMATS[interface].ITEMS] = [{"role": "user", "content": "hi", "cache_control": {}}]
    order = order_of(interface, body, routed=False)
    for model in (GPT, OPUS, GEMINI):
        attempt = attempt_at(provider, interface, model)
        assert write_body(order, attempt) == (order.request.body, ())


@pytest.mark.parametrize("interface", Interface)
def test_who_is_not_known_is_sent_what_the_client_sent(interface):
    fields = {"temperature": 0.5, "top_k": 3, "anything": [1.5]} | ask(interface, "theirs")
    assert sent("somebody", interface, "a/b", fields) | {"stream_options": 0} == (
        fields | {"stream_options": 0}
    )


# Each vendor.


def test_openai_is_sent_only_what_its_chat_completions_take():
    fields = {"messages": TALK, "max_tokens": 500_000, "temperature": 0, "top_p": 0.9, "stop": ["x"],
              "tools": [TOOL | {"cache_control": {}}], "made_up": 1, "seed": 7}  # fmt: skip
    found = sent("openai", CHAT, MINI, fields, "low")
    assert "max_tokens" not in found
    assert found["max_completion_tokens"] == CATALOGUE.room(MINI)
    assert found["seed"] == 7
    assert found["reasoning_effort"] == "low"
    assert found.keys().isdisjoint({"temperature", "top_p", "stop", "made_up"})
    assert found["tools"] == [TOOL]
    assert not re.search("cache_control|extra_content|reasoning_content", json.dumps(found))
    call, result = found["messages"][2]["tool_calls"][0], found["messages"][3]
    assert call["id"] == result["tool_call_id"]
    assert len(call["id"]) <= 40
    assert found["messages"][0]["role"] == "developer"
    assert set(told("openai", CHAT, MINI, fields)) == {"temperature", "top_p", "stop", "made_up"}


@pytest.mark.parametrize("effort", [None, "low", "xhigh"])
def test_no_effort_goes_beside_tools_where_it_is_refused(effort):
    fields = {"messages": TALK, "tools": [TOOL]}
    assert sent("openai", CHAT, GPT, fields, effort)["reasoning_effort"] == "none"
    assert told("openai", CHAT, GPT, fields, effort) == (f"effort {effort or 'by default'}",)
    assert sent("openai", CHAT, GPT, {"messages": TALK}, "low")["reasoning_effort"] == "low"
    for elsewhere in ("openrouter", "somebody"):
        found = sent(elsewhere, CHAT, GPT, fields, effort)
        assert found.get("reasoning_effort") == effort
    responses = sent("openai", RESPONSES, GPT, {"input": "hi", "tools": [TOOL]}, effort)
    assert responses.get("reasoning") == ({"effort": effort} if effort else None)


def test_an_effort_that_a_model_does_not_have_becomes_the_nearest():
    fields = {"messages": TALK, "reasoning_effort": "xhigh"}
    assert sent("openai", CHAT, MINI, fields)["reasoning_effort"] == "high"
    fields = {"messages": TALK, "output_config": {"effort": "max", "format": {}}}
    assert sent("anthropic", MESSAGES, HAIKU, fields)["output_config"] == {"format": {}}
    del fields["output_config"]["format"]
    assert "output_config" not in sent("anthropic", MESSAGES, HAIKU, fields)
    assert sent("anthropic", MESSAGES, OPUS, fields)["output_config"] == {"effort": "max"}


@pytest.mark.parametrize("provider", ["anthropic", "openrouter", "somebody"])
def test_opus_samples_as_it_likes_and_thinks_as_it_sees_fit_wherever_it_is(provider):
    fields = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 900_000, "top_k": 3,
              "temperature": 0.2, "thinking": {"type": "enabled", "budget_tokens": 31_999}}  # fmt: skip
    found = sent(provider, MESSAGES, OPUS, fields)
    assert found.keys() == {"model", "messages", "max_tokens", "thinking"}
    assert found["max_tokens"] == CATALOGUE.room(OPUS)
    assert found["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert set(told(provider, MESSAGES, OPUS, fields)) == {"temperature", "top_k"}


def test_thinking_is_written_as_a_model_takes_it():
    def thinks(model, thinking, most=10_000):
        return sent("anthropic", MESSAGES, model,
                    {"messages": [], "max_tokens": most, "thinking": thinking}).get("thinking")  # fmt: skip

    adaptive, enabled = {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 5000}
    assert thinks(HAIKU, enabled) == enabled
    assert thinks(HAIKU, adaptive) == {"type": "enabled", "budget_tokens": 8000}
    assert thinks(HAIKU, adaptive, 1000) is None
    assert thinks(HAIKU, enabled | {"budget_tokens": 10_000})["budget_tokens"] < 10_000
    assert thinks(OPUS, adaptive | {"display": "omitted"}) == adaptive | {"display": "omitted"}
    assert thinks(OPUS, enabled | {"display": "omitted"}) == adaptive | {"display": "omitted"}
    assert thinks(OPUS, {"type": "disabled"}) is None
    assert thinks("anthropic/claude-opus-4.6", enabled) == enabled
    assert thinks(HAIKU, None) is None


def test_one_of_two_ways_to_sample_goes_first_and_none_beside_thinking():
    fields = {"messages": [], "max_tokens": 9000, "temperature": 0.2, "top_p": 0.9}
    found = sent("anthropic", MESSAGES, HAIKU, fields)
    assert (found["temperature"], found.get("top_p")) == (0.2, None)
    fields["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    assert sent("anthropic", MESSAGES, HAIKU, fields).keys().isdisjoint({"temperature", "top_p"})


def test_system_messages_amid_the_others_are_the_users_where_they_are_not_known():
    amid = [{"role": "user", "content": "hi"}, {"role": "system", "content": "late rules"}]
    for model, role in ((HAIKU, "user"), ("anthropic/claude-opus-4.8", "system")):
        found = sent("anthropic", MESSAGES, model, {"messages": amid})["messages"]
        assert found == [amid[0], {"role": role, "content": "late rules"}]


def test_anthropic_ids_of_calls_keep_to_its_letters_and_its_marks_stay():
    talk = [
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {"id": "a.b"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "functions.f:0", "cache_control": {"type": "ephemeral"},
             "content": [{"type": "text", "text": "x", "reasoning_content": "y"}]}]},
    ]  # fmt: skip
    call, result = (
        m["content"][0] for m in sent("anthropic", MESSAGES, HAIKU, {"messages": talk})["messages"]
    )
    assert call["id"] == result["tool_use_id"]
    assert re.fullmatch("[a-zA-Z0-9_-]+", call["id"])
    assert call["input"] == {"id": "a.b"}
    assert result["cache_control"] == {"type": "ephemeral"}
    assert result["content"] == [{"type": "text", "text": "x"}]


def test_mistral_is_sent_nine_letters_and_no_member_it_does_not_know():
    fields = {"messages": TALK, "max_completion_tokens": 100, "stream": True, "seed": 3, "store": True,
              "stream_options": {"include_usage": True}, "tools": [TOOL]}  # fmt: skip
    found = sent("mistral", CHAT, "mistralai/devstral", fields)
    call, result = found["messages"][2]["tool_calls"][0], found["messages"][3]
    assert re.fullmatch("[a-zA-Z0-9]{9}", call["id"])
    assert call["id"] == result["tool_call_id"]
    assert (found["max_tokens"], found["random_seed"], found["stream"]) == (100, 3, True)
    assert found.keys().isdisjoint({"max_completion_tokens", "seed", "stream_options", "store"})
    assert found["messages"][0]["role"] == "system"
    assert found["messages"][1] == {"role": "user", "content": "go"}
    assert found["messages"][2].keys() == {"role", "content", "tool_calls"}
    short = {"messages": [{"role": "tool", "tool_call_id": "abcDEF123", "content": "ok"}]}
    assert sent("mistral", CHAT, "mistralai/devstral", short)["messages"] == short["messages"]


def test_deepseek_and_gemini_are_given_what_they_must_find_in_a_history():
    deepseek = sent("deepseek", CHAT, "deepseek/deepseek-v4-pro", {"messages": TALK})["messages"]
    assert [m.get("reasoning_content") for m in deepseek] == [None, None, "hm", None]
    bare = [{"role": "assistant", "content": "x"}]
    assert sent("deepseek", CHAT, "deepseek/deepseek-v4-pro", {"messages": bare})["messages"] == [
        bare[0] | {"reasoning_content": ""}
    ]
    gemini = sent("google", CHAT, GEMINI, {"messages": TALK})["messages"]
    assert gemini[2]["tool_calls"][0]["extra_content"] == TALK[2]["tool_calls"][0]["extra_content"]
    del (plain := json.loads(json.dumps(TALK)))[2]["tool_calls"][0]["extra_content"]
    made = sent("google", CHAT, GEMINI, {"messages": plain})["messages"][2]["tool_calls"][0]
    assert made["extra_content"]["google"]["thought_signature"]
    assert gemini[0]["role"] == "system"


def test_tools_that_an_item_adds_are_listed_where_the_item_is_not_known():
    added = {"type": "additional_tools", "role": "developer", "tools": [TOOL]}
    update = {"type": "configuration_update", "reasoning": {"effort": "max"}}
    fields = {
        "input": [added, update, {"role": "user", "content": "hi"}],
        "tools": [{"type": "custom"}],
    }
    found = sent("xai", RESPONSES, GROK, fields)
    assert found["tools"] == [{"type": "custom"}, TOOL]
    assert found["input"] == fields["input"][2:]
    kept = sent("openai", RESPONSES, GPT, fields)
    assert (kept["input"], kept["tools"]) == (fields["input"], fields["tools"])
    tiers = sent("openai", RESPONSES, GPT, fields, "low")
    assert tiers["input"] == [added, fields["input"][2]]


def test_openai_gives_no_answer_shorter_than_it_can():
    assert sent("openai", RESPONSES, GPT, {"input": "hi", "max_output_tokens": 1}) == {
        "model": "theirs", "input": "hi", "max_output_tokens": 16,
    }  # fmt: skip


@pytest.mark.parametrize("interface", Interface)
def test_everything_else_of_the_body_stays_byte_for_byte(interface):
    items = FORMATS[interface].ITEMS
    body = (
        b'{ "model" : "kilo-auto/x",\t"metadata":{"n":1.50, "big":12345678901234567890123},'
        b'"%b" : [ {"role":"user" ,"content":"\\u00e9\\/"} ], "temperature":1e0 }' % items.encode()
    )
    order = Order(parse(body, interface=interface), [], {}, routed=True)
    done, _ = write_body(order, attempt_at("somebody", interface, OPUS))
    cut = body.replace(b', "temperature":1e0', b"").replace(b"kilo-auto/x", b"theirs")
    assert done == cut


# What keeps a model out.


@pytest.mark.parametrize(
    ("provider", "model", "interface", "needs", "effort", "why"),
    [
        ("openai", MINI, CHAT, {"tools": True, "n_tools": 129}, None, "takes 128 tools, not 129"),
        ("openai", MINI, CHAT, {"tools": True, "n_tools": 128}, "low", None),
        ("openai", MINI, CHAT, {"tools": True, "tool_name_chars": 65}, None, "64 characters"),
        ("openai", MINI, CHAT, {"tools": True, "odd_tool_names": True}, None, "letters, digits"),
        ("openai", GPT, CHAT, {"tools": True}, "low", "no effort beside tools over chat"),
        ("openai", GPT, CHAT, {"tools": True}, None, "no effort beside tools over chat"),
        ("openai", GPT, CHAT, {"tools": True}, "none", None),
        ("openai", "openai/gpt-5.4", CHAT, {"tools": True}, None, None),
        ("openai", GPT, RESPONSES, {"tools": True}, "low", None),
        ("openrouter", GPT, CHAT, {"tools": True, "n_tools": 500}, "low", None),
        ("openrouter", OPUS, CHAT, {"begun": True}, None, "no answer that the client begins"),
        ("anthropic", HAIKU, MESSAGES, {"begun": True}, None, None),
    ],
)
def test_what_cannot_be_written_without_loss_keeps_a_model_out(
    provider, model, interface, needs, effort, why
):
    providers = Providers([ROWS[provider]], {provider: "k"}, DIALECTS)
    asked = Needs(interface=interface, **needs)
    said = providers.bars(asked)(Unit(model, effort))
    assert (said is None) if why is None else (why in (said or ""))
    assert len(providers.takers(Unit(model, effort), asked)) == 1  # the last way is kept


def test_of_two_providers_the_one_that_takes_it_is_asked():
    rows = [ROWS["openai"], ROWS["openrouter"]]
    providers = Providers(rows, {"openai": "k", "openrouter": "k"}, DIALECTS)
    tools, unit = Needs(interface=CHAT, tools=True), Unit(GPT, "low")
    assert providers.bars(tools)(unit) is None
    assert [e.provider.name for e in providers.takers(unit, tools)] == ["openrouter"]
    names = [e.provider.name for e in providers.takers(unit, Needs(interface=CHAT))]
    assert names == ["openai", "openrouter"]


@pytest.mark.parametrize(("interface", "last", "begun"), [
    (MESSAGES, {"role": "assistant", "content": "The answer is"}, True),
    (MESSAGES, {"role": "assistant", "content": [{"type": "text", "text": "{"}]}, True),
    (MESSAGES, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "1"}]}, False),
    (CHAT, {"role": "assistant", "content": "{"}, True),
    (CHAT, {"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}, False),
    (RESPONSES, {"role": "assistant", "content": "{"}, False),
])  # fmt: skip
def test_an_answer_that_the_client_begins_is_seen(interface, last, begun):
    fields = {FORMATS[interface].ITEMS: [{"role": "user", "content": "hi"}, last]}
    assert order_of(interface, fields).request.needs.begun is begun


async def test_what_is_left_out_is_told_in_the_reason():
    seen: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        said = {"role": "assistant", "content": "fine"}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        return httpx.Response(200, json={"id": "c", "choices": [choice]})

    body = ask(CHAT, "kilo-auto/efficient") | {"temperature": 0.3, "user": "anna"}
    transport = httpx.MockTransport(answer)
    async with gateway(transport=transport, environ={"OPENAI_API_KEY": "k"}) as client:
        response = await client.post(PATHS[CHAT], json=body)
    assert response.status_code == 200
    assert "refuses temperature: left out" in response.headers["x-auto-reason"]
    assert "temperature" not in seen[0]


# The table.


def test_every_dialect_is_a_providers_and_every_quirk_of_a_known_model():
    rows = tomllib.loads((MODELS_DIR / "dialects.toml").read_text("utf-8"))
    spoken = {(row.dialect or row.name, f.value) for row in ROWS.values() for f in row.formats}
    assert {(row["name"], row["format"]) for row in rows["dialects"]} <= spoken
    for quirk in rows["quirks"]:
        assert set(quirk.get("efforts", ())) <= set(EFFORTS)
        assert set(quirk.get("at", ())) <= {name for name, _ in spoken}


def test_a_model_has_every_effort_in_the_catalogue_that_the_table_knows():
    for model in CATALOGUE.models:
        for interface in Interface:
            facts = DIALECTS.of("", model.id, interface)
            if facts.efforts is not None and model.efforts:
                lacking = set(model.efforts) - set(facts.efforts)
                assert lacking <= ({"none"} if interface is MESSAGES else set()), model.id


def test_what_a_model_can_besides_counts_as_an_ability():
    video = Needs(video=True)
    known = CATALOGUE.can_also(DIALECTS.abilities)
    able = {model.id for model in known.models if model.lacks(video) is None}
    assert able == {model.id for model in CATALOGUE.models if "/gemini-" in model.id}
    assert all(model.lacks(video) == "no video" for model in CATALOGUE.models)


def test_a_dialect_that_is_not_there_is_refused_at_the_start():
    row = {"name": "mine", "base_url": "https://x", "formats": ["chat"], "dialect": "opanai"}
    settings = Settings(providers=[row])
    with pytest.raises(BadArtefact, match="no dialect 'opanai'"):
        settings.make_providers({})


@pytest.mark.parametrize(("text", "named"), [
    ("[[dialects]]\nname = 'x'", "format"),
    ("[[dialects]]\nname='x'\nformat='chat'\nsource='s'\ndate=2026-01-01\ncall_id='('", "call_id"),
    ("[[dialects]]\nname='x'\nformat='chat'\nsource='s'\ndate=2026-01-01\nknow=[]", "know"),
    ("[[quirks]]\nmodels=['x']\nsource='s'\ndate=2026-01-01\nefforts=['lots']", "lots"),
    ("[[quirk]]", "quirk"),
    ("][", "Invalid statement"),
])  # fmt: skip
def test_a_bad_table_is_refused_with_its_place(tmp_path, text, named):
    path = tmp_path / "dialects.toml"
    path.write_text(text)
    with pytest.raises(BadArtefact, match=named) as refused:
        load_dialects(path)
    assert str(path) in str(refused.value)


def test_a_folder_without_a_table_has_the_shipped_one(tmp_path):
    found = load_dialects(tmp_path / "dialects.toml")
    assert found.of("openai", GPT, CHAT) == DIALECTS.of("openai", GPT, CHAT)


@given(st.sampled_from([*EFFORTS, "odd", None]), st.booleans(),
       st.none() | st.lists(st.sampled_from(EFFORTS), unique=True).map(tuple))  # fmt: skip
def test_an_effort_is_asked_for_only_where_it_is_taken(asked, tools, efforts):
    facts = Facts(efforts=efforts, effort_beside_tools=not tools)
    given = facts.effort(asked, tools=tools)
    assert given is None or efforts is None or given in efforts
    assert efforts is None or asked not in efforts or tools or given == asked


# Schemas.

REFUSED = Dialect.model_validate(
    {"name": "x", "format": "chat", "source": "s", "date": "2026-01-01",
     "schema": ["$ref", "$defs", "const", "oneOf", "allOf", "type[]", "additionalProperties"]}
).schema_without  # fmt: skip


def test_a_schema_is_said_in_words_that_are_known():
    schema = {
        "type": "object", "additionalProperties": False, "required": ["const"],
        "$defs": {"P": {"type": "object", "properties": {"x": {"const": "a"}}}},
        "properties": {
            "const": {"type": ["string", "null"]}, "$ref": {"$ref": "#/$defs/P", "description": "d"},
            "one": {"oneOf": [{"type": "string"}, {"type": ["integer", "number"]}]},
            "all": {"allOf": [{"$ref": "#/$defs/P"}, {"properties": {"y": {}}, "required": ["y"]}]},
        },
    }  # fmt: skip
    p = {"type": "object", "properties": {"x": {"enum": ["a"]}}}
    assert said_without(schema, REFUSED) == {
        "type": "object", "required": ["const"],
        "properties": {
            "const": {"type": "string", "nullable": True}, "$ref": p | {"description": "d"},
            "one": {"anyOf": [{"type": "string"}, {"anyOf": [{"type": "integer"}, {"type": "number"}]}]},
            "all": p | {"properties": p["properties"] | {"y": {}}, "required": ["y"]},
        },
    }  # fmt: skip


def test_a_reference_into_itself_ends_and_one_that_grows_stays():
    tree = {"$defs": {"N": {"properties": {"n": {"$ref": "#/$defs/N"}}}}, "$ref": "#/$defs/N"}
    assert said_without(tree, REFUSED) == {"properties": {"n": {"type": "object"}}}
    assert said_without({"$ref": "#"}, REFUSED) == {"type": "object"}
    laughs = {f"d{i}": {"properties": {k: {"$ref": f"#/$defs/d{i + 1}"} for k in "abcdef"}}
              for i in range(9)}  # fmt: skip
    assert said_without({"$defs": laughs, "$ref": "#/$defs/d0"}, REFUSED) is None


def test_gemini_is_sent_a_schema_it_knows():
    odd = {"name": "f", "strict": True, "parameters": {
        "$schema": "s", "type": "object", "properties": {"a": {"const": "x", "examples": ["x"]}},
        "additionalProperties": False}}  # fmt: skip
    found = sent(
        "google", CHAT, GEMINI, {"messages": [], "tools": [{"type": "function", "function": odd}]}
    )
    assert found["tools"][0]["function"] == {
        "name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": ["x"]}}},
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.just("#/a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "$ref", "a", "properties", "allOf", "oneOf", "const", "items",
                         "role", "id", "content", "tool_calls", "function", "parameters"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_no_schema_is_too_odd(schema):
    said = said_without(schema, REFUSED)
    assert said is None or isinstance(said, dict)


@given(st.sampled_from([*ROWS, "somebody"]), st.sampled_from(list(Interface)),
       st.sampled_from([GPT, OPUS, HAIKU, GEMINI, GROK]), JSON, JSON,
       st.dictionaries(st.sampled_from(["max_tokens", "thinking", "reasoning", "output_config",
                                        "temperature", "reasoning_effort"]), JSON))  # fmt: skip
def test_no_body_is_too_odd_for_a_vendor(provider, interface, model, items, tools, more):
    fields = {FORMATS[interface].ITEMS: items, "tools": tools} | more
    found = sent(provider, interface, model, fields, "low")
    assert found["model"] == "theirs"
    order, attempt = order_of(interface, fields), attempt_at(provider, interface, model, "low")
    assert found.keys() <= sent_fields(order, attempt)
    gone = {name for name in write_body(order, attempt)[1] if not name.startswith("effort ")}
    assert gone.isdisjoint(found) and gone.isdisjoint(sent_fields(order, attempt))


@pytest.mark.parametrize("interface", list(Interface))
@pytest.mark.parametrize("routed", [True, False])
def test_what_is_sent_is_named_without_reading_a_body_again(interface, routed):
    fields = {"model": "a/b", FORMATS[interface].ITEMS: [{"role": "user", "content": "x" * 300_000}]} | {
        "reasoning": {"effort": "high"}, "stream": True, "x" * 9_999: 1,
        **{f"more{n}": [[[n]]] * 20 for n in range(999)},
    }  # fmt: skip
    request = parse(orjson.dumps(fields), interface=interface)
    request = replace(request, fields=Fields(b"not to be read" * 10_000, fields))
    order, attempt = (
        replace(order_of(interface, {}), request=request, routed=routed),
        attempt_at("somebody", interface, GPT, "low"),
    )
    before = sent_fields(order, attempt)
    request.let_go()
    assert sent_fields(order, attempt) == before
    with pytest.raises(ValueError, match="JSON|Expecting|unexpected"):
        len(request.fields)
    assert {"model", "stream", "reasoning", "more0"} <= before
    assert len(before) < 300
    assert max(map(len, before)) < 100
