"""Who serves which model, in which format, under which name; keys; settings; who calls."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.keys import OWNER, Key, Keys, own_keys, presented_key
from router.callers.rates import Window, block_of
from router.errors import BadArtefact, Unauthenticated
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


def test_later_sources_override_earlier_ones(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('port = 1\nhost = "0.0.0.0"\n[timeouts]\nidle_s = 3\n')
    environ = {"AUTO_EFFICIENT_PORT": "2", "AUTO_EFFICIENT_WORKERS": "2"}
    settings = Settings.load(environ=environ, overrides={"workers": 3, "host": None}, config=config)
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 2, 3)
    assert settings.timeouts.idle_s == 3


@pytest.mark.parametrize("text", ["porrt = 1", "port = 99999", "port = ", 'upstream = "ftp://x"'])
def test_bad_settings_are_refused_with_their_name(tmp_path, text):
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(BadArtefact, match="por|upstream|cannot read"):
        Settings.load(environ={}, config=config)


def test_secrets_do_not_show():
    settings = Settings.load(environ={"AUTO_EFFICIENT_UPSTREAM_KEY": "sk-secret"})
    assert "sk-secret" not in repr(settings)
    assert "sk-secret" not in settings.model_dump_json()


def test_without_any_key_the_simulated_provider_answers():
    assert [p.name for p in Settings().make_providers({}).configured] == ["simulated"]
    found = Settings().make_providers({"OPENAI_API_KEY": "k"})
    assert [p.name for p in found.configured] == ["openai"]


# Who calls.


def key(secret: str, **more) -> Key:
    return Key(name="anna", sha256=hashlib.sha256(secret.encode()).hexdigest(), **more)


def test_with_no_key_and_on_loopback_every_local_caller_is_the_owner():
    keys = Keys([], local=True)
    for headers in ({}, {"authorization": "Bearer whatever"}, {"host": "127.0.0.1:4000"}):
        assert keys.identify(headers, "127.0.0.1") is OWNER
    assert keys.identify({"host": "localhost", "origin": "http://localhost:3000"}, "") is OWNER
    assert keys.identify({"origin": "vscode-webview://x"}, "") is OWNER


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}])
def test_a_web_page_in_the_owners_browser_is_not_the_owner(headers):
    assert Keys([], local=True).identify(headers, "127.0.0.1").anonymous


def test_a_key_is_known_or_refused_and_none_is_anonymous():
    keys = Keys([key("s3cret", dial="economy", balance=False)], local=True)
    for headers in ({"x-api-key": "s3cret"}, {"authorization": "bearer  s3cret"}):
        caller = keys.identify(headers, "1.2.3.4")
        assert (caller.name, caller.dial.name, caller.balance) == ("anna", "economy", False)
    with pytest.raises(Unauthenticated):
        keys.identify({"authorization": "Bearer wrong"}, "1.2.3.4")
    assert keys.identify({}, "1.2.3.4").anonymous
    assert Keys([], local=False).identify({}, "1.2.3.4").anonymous


@given(st.text(max_size=40))
def test_any_authorization_header_is_read_without_failing(value):
    presented_key({"authorization": value})
    own_keys({"x-provider-key-openai": value})


# How often.


def test_the_window_allows_exactly_its_number_and_then_says_how_long_to_wait():
    window = Window(200)
    assert [window.wait_s("a", 0.0) for _ in range(200)] == [0.0] * 200
    assert 0 < window.wait_s("a", 10.0) <= 3600
    assert window.wait_s("b", 10.0) == 0.0
    assert window.wait_s("a", 2 * 3600.0) == 0.0


@given(st.lists(st.floats(0, 20_000), max_size=300))
def test_no_window_ever_lets_much_more_through(times):
    window = Window(20)
    allowed = [t for t in sorted(times) if window.wait_s("a", t) == 0.0]
    for start in allowed:
        assert sum(start <= t < start + 3600 for t in allowed) <= 40


def test_addresses_are_counted_by_what_one_caller_holds():
    assert block_of("2001:db8:1:2:3::4") == block_of("2001:db8:1:2:ffff::1")
    assert block_of("::ffff:1.2.3.4") == "1.2.3.4"
    assert block_of("nonsense") == "nonsense"
