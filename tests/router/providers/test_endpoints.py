"""Who serves which model, in which format, under which name."""

from __future__ import annotations

import pytest

from router.evidence.catalogue import load_catalogue
from router.providers.endpoints import Provider, Providers, configured_providers, load_providers
from router.settings import Settings
from router.values import Interface
from router.wire.format import FORMATS
from router.wire.preferences import read_preferences

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
ROWS = load_providers()


def providers(**environ: str) -> Providers:
    return configured_providers(ROWS, keys={}, environ=environ)


def test_only_providers_with_a_key_or_an_address_are_used():
    assert [p.name for p in providers().configured] == ["simulated"]
    found = providers(OPENAI_API_KEY="k", OLLAMA_BASE_URL="http://localhost:11434/v1")
    assert [p.name for p in found.configured] == ["openai", "ollama"]


@pytest.mark.parametrize(
    ("environ", "model", "interface", "url", "name"),
    [
        ("OPENAI_API_KEY", "openai/gpt-5.5", RESPONSES, "api.openai.com/v1/responses", "gpt-5.5"),
        ("OPENAI_API_KEY", "gpt-5.5", CHAT, "api.openai.com/v1/chat/completions", "gpt-5.5"),
        ("ANTHROPIC_API_KEY", "anthropic/claude-opus-4.7", MESSAGES,
         "api.anthropic.com/v1/messages", "claude-opus-4-7"),
        ("DEEPSEEK_API_KEY", "deepseek/deepseek-v4-pro", MESSAGES,
         "api.deepseek.com/anthropic/v1/messages", "deepseek-v4-pro"),
        ("GEMINI_API_KEY", "google/gemini-3.5-flash", CHAT,
         "generativelanguage.googleapis.com/v1beta/openai/chat/completions", "gemini-3.5-flash"),
        ("OPENROUTER_API_KEY", "z-ai/glm-5", MESSAGES, "openrouter.ai/api/v1/messages", "z-ai/glm-5"),
        ("KILO_API_KEY", "z-ai/glm-5", CHAT, "api.kilo.ai/api/gateway/chat/completions", "z-ai/glm-5"),
        ("TOGETHER_API_KEY", "z-ai/glm-5", CHAT, "api.together.xyz/v1/chat/completions", "zai-org/GLM-5"),
        ("GROQ_API_KEY", "groq/openai/gpt-oss-20b", CHAT,
         "api.groq.com/openai/v1/chat/completions", "openai/gpt-oss-20b"),
    ],
)  # fmt: skip
def test_models_map_to_addresses_and_names(environ, model, interface, url, name):
    [endpoint] = providers(**{environ: "sk-1"}).endpoints(model, interface)
    assert (address(endpoint, interface), endpoint.model) == (f"https://{url}", name)
    [(header, value)] = endpoint.auth_headers()
    assert (header, value) in {("x-api-key", "sk-1"), ("authorization", "Bearer sk-1")}
    assert "sk-1" not in repr(endpoint)


def address(endpoint, interface):
    return FORMATS[interface].url(endpoint.base_url, endpoint.model, streams=False, query=b"")


def test_formats_are_never_translated():
    found = providers(OPENAI_API_KEY="k", ANTHROPIC_API_KEY="k")
    assert not found.endpoints("openai/gpt-5.5", MESSAGES)
    assert not found.endpoints("anthropic/claude-opus-4.7", CHAT)
    catalogue = load_catalogue()
    assert "openai/gpt-5.5" in found.reachable(catalogue, RESPONSES)
    assert "openai/gpt-5.5" not in found.reachable(catalogue, MESSAGES)


def test_vendors_come_before_aggregators_and_the_callers_own_key_before_ours():
    found = providers(OPENAI_API_KEY="ours", OPENROUTER_API_KEY="r")
    names = [e.provider.name for e in found.endpoints("openai/gpt-5.5", CHAT)]
    assert names == ["openai", "openrouter"]
    first, *_ = found.endpoints("openai/gpt-5.5", CHAT, {"openrouter": "mine"})
    assert (first.provider.name, first.key, first.theirs) == ("openrouter", "mine", True)
    first, _ = providers().endpoints("openai/gpt-5.5", CHAT, {"openai": "mine", "unknown": "x"})
    assert first.key == "mine"


@pytest.mark.parametrize(
    ("given", "base"),
    [("http://h:1", "http://h:1/v1"), ("http://h:1/", "http://h:1/v1"),
     ("http://h:1/v1", "http://h:1/v1"), ("https://h/api/v1/", "https://h/api/v1")],
)  # fmt: skip
def test_one_upstream_serves_everything(given, base):
    for interface, path in ((CHAT, "/chat/completions"), (MESSAGES, "/messages")):
        [endpoint] = Providers.single(given, "k").endpoints("a/b", interface)
        assert address(endpoint, interface) == base + path


def test_a_local_server_is_a_row_of_the_configuration():
    row = Provider(
        name="mine", base_url="http://127.0.0.1:9/v1", auth="none",
        formats=frozenset({CHAT}), serves=("mine/",), strip="mine/",
    )  # fmt: skip
    found = configured_providers(ROWS, own_rows=[row], keys={}, environ={})
    [endpoint] = found.endpoints("mine/qwen", CHAT)
    assert (endpoint.model, endpoint.auth_headers()) == ("qwen", [])


# Settings.


def test_without_any_key_the_simulated_provider_answers():
    assert [p.name for p in Settings().make_providers({}).configured] == ["simulated"]
    found = Settings().make_providers({"OPENAI_API_KEY": "k"})
    assert [p.name for p in found.configured] == ["openai"]


# Who calls.


# Who is asked first, and who is not asked at all.

AGGREGATORS = {"OPENROUTER_API_KEY": "r", "KILO_API_KEY": "k"}
LOCAL = [row for row in ROWS if row.url_env]


def asked(found, model, interface=CHAT, **more):
    return [endpoint.provider.name for endpoint in found.endpoints(model, interface, **more)]


@pytest.mark.parametrize("row", LOCAL, ids=[row.name for row in LOCAL])
@pytest.mark.parametrize("write", [str, str.upper, str.title])
def test_a_private_name_goes_to_its_own_server_alone(row, write):
    name, key = write(f"{row.name}/my-model:8b"), {"openrouter": "mine"}
    found = providers(**AGGREGATORS, **{row.url_env: "http://127.0.0.1:9/v1"})
    for interface in Interface:
        expected = [row.name] if interface in row.formats else []
        assert asked(found, name, interface) == expected
        assert asked(found, name, interface, own_keys=key) == expected
    without = providers(**AGGREGATORS)
    assert asked(without, name) == []
    assert row.url_env in without.owner_of(name)


@pytest.mark.parametrize(
    ("more", "private"),
    [
        ({"auth": "none", "base_url": "https://far.example.com/v1"}, True),
        ({"base_url": "http://10.0.0.7:8000/v1"}, True),
        ({"base_url": "http://gpu-box:8000/v1"}, True),
        ({"base_url": "https://far.example.com/v1"}, False),
        ({"base_url": "https://far.example.com/v1", "private": True}, True),
        ({"base_url": "http://10.0.0.7:8000/v1", "private": False}, False),
        ({"auth": "none", "base_url": "http://127.0.0.1:8000/v1", "private": False}, False),
    ],
)
def test_a_row_of_your_own_is_private_where_it_is_near_or_needs_no_key(more, private):
    row = Provider.model_validate({"name": "mine", "formats": ["chat"], "serves": ["mine/"]} | more)
    keys = {"mine": "k", "openrouter": "r"}
    found = configured_providers(ROWS, own_rows=[row], keys=keys, environ={})
    assert asked(found, "mine/secret") == (["mine"] if private else ["mine", "openrouter"])


def test_a_public_model_on_a_server_of_your_own_may_still_come_from_elsewhere():
    row = Provider(
        name="mine", base_url="http://127.0.0.1:9/v1", auth="none", formats=frozenset({CHAT}),
        models={"qwen/qwen3.6-plus": "local-qwen"},
    )  # fmt: skip
    found = configured_providers(ROWS, own_rows=[row], keys={"openrouter": "r"}, environ={})
    assert asked(found, "qwen/qwen3.6-plus") == ["mine", "openrouter"]


def test_who_says_more_closely_what_it_serves_is_asked_first_wherever_its_row_stands():
    def row(name, **more):
        return Provider(
            name=name, base_url="https://x.example.com", formats=frozenset({CHAT}), **more
        )

    rows = [
        row("all", serves=("",)),
        row("vendor", serves=("a/",)),
        row("family", serves=("a/b",)),
        row("named", models={"a/b-1": "b1"}),
    ]
    found = Providers(rows, dict.fromkeys(["all", "vendor", "family", "named"], "k"))
    assert asked(found, "a/b-1") == ["named", "family", "vendor", "all"]
    assert asked(found, "A/B-2") == ["family", "vendor", "all"]
    assert asked(found, "c/d") == ["all"]


def test_what_is_reachable_is_what_has_endpoints():
    catalogue = load_catalogue()
    for environ, keys in [
        ({"OPENAI_API_KEY": "k"}, {}),
        ({"OPENAI_API_KEY": "k"}, {"anthropic": "mine"}),
        ({**AGGREGATORS, "OLLAMA_BASE_URL": "http://127.0.0.1:9"}, {"deepseek": "mine", "no": "x"}),
    ]:
        found = providers(**environ)
        for interface in Interface:
            served = found.reachable(catalogue, interface, keys)
            assert served == {
                m.id for m in catalogue.models if asked(found, m.id, interface, own_keys=keys)
            }


# What a request's `provider` object says of them.

BOTH = {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "r"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["openai", "openrouter"]),
        ({"only": ["anthropic"]}, ["openrouter"]),
        ({"only": ["OpenAI"]}, ["openai", "openrouter"]),
        ({"ignore": ["openai"]}, ["openrouter"]),
        ({"order": ["openrouter", "openai"]}, ["openrouter", "openai"]),
        ({"allow_fallbacks": False}, ["openai"]),
        ({"sort": "price"}, ["openrouter", "openai"]),
        ({"data_collection": "deny"}, ["openrouter"]),
        ({"zdr": True}, ["openrouter"]),
        ({"require_parameters": True}, ["openrouter"]),
        ({"quantizations": ["fp8"]}, ["openrouter"]),
        ({"max_price": {"prompt": 1}}, ["openrouter"]),
        ({"something_new": 1}, ["openrouter"]),
    ],
)
def test_preferences_narrow_who_is_asked(given, expected):
    preferences = read_preferences({"provider": given})
    assert asked(providers(**BOTH), "openai/gpt-5.5", preferences=preferences) == expected


def test_a_slug_of_openrouters_is_our_provider():
    preferences = read_preferences({"provider": {"only": ["google-ai-studio"]}})
    found = providers(GEMINI_API_KEY="k")
    assert asked(found, "google/gemini-3.5-flash", preferences=preferences) == ["google"]


def test_a_highest_price_leaves_out_dearer_models():
    preferences = read_preferences({"provider": {"max_price": {"prompt": "1", "completion": 2}}})
    catalogue = load_catalogue()
    found = providers(**BOTH).reachable(catalogue, CHAT, None, preferences)
    prices = [catalogue.model(model_id).price for model_id in found]
    assert found
    assert all(price.input <= 1 and price.output <= 2 for price in prices)


@pytest.mark.parametrize("auth", ["none", "bearer"])
@pytest.mark.parametrize("start", ["openai/", "openai/gpt-", "gpt-", "qwen/", "google/"])
def test_a_vendors_names_are_private_to_nobody_who_does_not_say_so(start, auth):
    model = f"{start}x"
    fields = {"name": "lite", "base_url": "http://127.0.0.1:9/v1", "auth": auth}
    row = Provider.model_validate(fields | {"formats": ["chat"], "serves": [start, "mine/"]})
    keys = {"lite": "k", "openrouter": "r"}

    def found(row):
        return configured_providers(ROWS, own_rows=[row], keys=keys, environ={}, vendors=["qwen"])

    assert asked(found(row), model) == ["lite", "openrouter"]
    assert asked(found(row), model, Interface.RESPONSES) == ["openrouter"]
    assert asked(found(row), "mine/x") == ["lite"]
    alone = found(row.model_copy(update={"private": True}))
    assert asked(alone, model) == ["lite"]
    assert asked(alone, model, Interface.RESPONSES) == []
    assert f"names beginning {start!r} are for lite alone, which speaks chat" in alone.owner_of(
        model
    )


def test_the_catalogues_vendors_are_among_those_whose_names_are_private_to_nobody():
    row = {"name": "lite", "base_url": "http://127.0.0.1:9/v1", "auth": "none"}
    rows = [Provider.model_validate(row | {"formats": ["chat"], "serves": ["moonshotai/"]})]
    found = Settings(providers=rows).make_providers({"OPENROUTER_API_KEY": "r"})
    assert asked(found, "moonshotai/kimi-k2.6") == ["lite", "openrouter"]
