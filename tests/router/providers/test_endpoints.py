"""Who serves which model, in which format, under which name."""

from __future__ import annotations

import pytest

from router.evidence.catalogue import load_catalogue
from router.providers.endpoints import Provider, Providers, configured_providers, load_providers
from router.settings import Settings
from router.values import Interface
from router.wire.format import FORMATS

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
