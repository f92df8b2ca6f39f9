"""What servers list, in the shapes that there are, and what is made of it."""

from __future__ import annotations

from datetime import date

import pytest

from router.evidence.catalogue import load_catalogue
from router.evidence.names import Names
from router.providers.endpoints import Endpoint, Provider, Providers, load_providers, runs_here
from router.providers.inventory import Inventory, NoList, listed_in, said_of
from router.providers.shelf import Listed, shelf_of
from router.providers.stock import own_model, shelves_of, with_own

CATALOGUE = load_catalogue()
NAMES = Names(CATALOGUE, Providers(load_providers(), {}).spellings(CATALOGUE), ["kilo"])
DAY = date(2026, 11, 1)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"data": [{"id": "a", "max_model_len": 8192}]}, [Listed("a", 8192)]),
        ({"data": [{"type": "model", "id": "a", "display_name": "A"}]}, [Listed("a")]),
        ({"models": [{"name": "a:1b", "model": "a:1b"}], "data": [{"id": "b"}]}, [Listed("b")]),
        ({"models": [{"name": "a:1b", "size": 3}]}, [Listed("a:1b")]),
        ([{"id": "a", "type": "chat"}, {"id": "b", "type": "image"}], [Listed("a"), Listed("b", None, False)]),
        ({"data": [{"id": "a", "context_length": 0}, {"id": "a"}, {"id": ""}]}, [Listed("a")]),
        ({"data": [{"id": "x\ny"}, {"id": "z" * 999}, {"id": "a"}, 3]}, [Listed("a")]),
        ({"data": [{"id": "nomic-embed-text"}]}, [Listed("nomic-embed-text", None, False)]),
        ({"data": None}, []),
        ([], []),
    ],
)  # fmt: skip
def test_a_list_is_read_in_every_shape(answer, found):
    assert list(listed_in(answer)) == found


@pytest.mark.parametrize("answer", [3, None, "a", {}, {"data": 3}, {"data": [3]}, {"error": {}}])
def test_what_is_no_list_is_told_from_an_empty_one(answer):
    with pytest.raises(NoList):
        listed_in(answer)


def shelf(*names, prefix=""):
    return shelf_of([Listed(name) for name in names], NAMES.of, lambda name: prefix + name)


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [
        (["openai/gpt-5.5"], "gpt-5.5", "openai/gpt-5.5"),
        (["gpt-5.5"], "openrouter/openai/GPT-5.5", "gpt-5.5"),
        (["openai/gpt-5.5"], "openai/gpt-5.5:nitro", "openai/gpt-5.5:nitro"),
        (["openai/gpt-5.5"], "openai/gpt-5.5:free", None),
        (["anthropic/claude-opus-4.8:thinking"], "anthropic/claude-opus-4.8", None),
        (["qwen3:8b"], "qwen3", None),
        (["qwen3"], "qwen3:latest", "qwen3"),
        (["kimi-k2.6:cloud"], "moonshotai/kimi-k2.6", "kimi-k2.6:cloud"),
        (["openai/*"], "openai/gpt-5.5", "openai/gpt-5.5"),
        (["openai/*"], "x-ai/grok", None),
        (["*"], "anything", "anything"),
        ([], "anything", None),
    ],
)
def test_a_shelf_is_found_by_any_name_of_what_is_on_it(names, asked, found):
    assert shelf(*names).find(asked) == found


def test_a_variant_of_a_known_model_is_no_model_of_its_own():
    """Else a list that denies the model would not hold for it."""
    assert not shelf("openai/gpt-5.5:extended").own
    assert shelf("openai/gpt-5.5:extended").find("openai/gpt-5.5:extended")


def test_names_of_ones_own_models_never_take_those_of_the_catalogue():
    [server] = Providers.single("http://127.0.0.1:1").own
    inventory = Inventory(
        {"upstream": (Listed("mine/claude-opus-4.8"), Listed("mine/coder"))}, on=DAY
    )
    shelves = shelves_of([server], inventory, CATALOGUE, NAMES)
    names = Names(with_own(CATALOGUE, [server], shelves, DAY))
    assert names.of("claude-opus-4.8").id == "anthropic/claude-opus-4.8"
    assert names.of("coder").id == "mine/coder"


def test_names_like_a_tiers_stay_this_gateways():
    [server] = Providers.single("http://127.0.0.1:1").own
    inventory = Inventory({"upstream": (Listed("kilo-auto/frontier"), Listed("kilo-auto/else"))})
    shelves = shelves_of([server], inventory, CATALOGUE, NAMES)
    assert with_own(CATALOGUE, [server], shelves, DAY) is CATALOGUE


def server(url, key="", **row):
    given = {"name": "mine", "base_url": url, "formats": ["chat"], "serves": ["mine/"], **row}
    return Endpoint(Provider.model_validate(given), "", url, key)


@pytest.mark.parametrize(
    ("where", "here"),
    [
        (server("http://127.0.0.1:1/v1", auth="none"), True),
        (server("http://gpu.example.com/v1", auth="none"), True),
        (server("http://127.0.0.1:1/v1", key="k", private=True), False),
        (server("http://10.0.0.2:8000/v1", key="k", url_env="VLLM_BASE_URL"), True),
        (*Providers.single("http://127.0.0.1:1").own, True),
        (*Providers.single("https://gateway.example.com").own, False),
        (*Providers.single("http://127.0.0.1:1", "k").own, False),
    ],
)
def test_only_what_ones_own_machine_does_costs_nothing_and_stays_there(where, here):
    assert runs_here(where) == here
    model = own_model("m", Listed("m"), where, DAY)
    assert model.costs_nothing == here
    assert model.data_policy == ("local" if here else "unknown")
    assert not model.free
    assert not own_model("m", Listed("m:cloud"), where, DAY).costs_nothing


def test_servers_are_ones_own_by_their_row():
    rows = [row.model_copy(update={"base_url": "http://127.0.0.1:1"}) for row in load_providers()]
    keys = dict.fromkeys([row.name for row in rows], "k")
    own = [endpoint.provider.name for endpoint in Providers(rows, keys).own]
    assert own == ["ollama", "vllm", "llamacpp", "lmstudio"]


def test_lines_say_what_was_found_and_what_was_not():
    many = tuple(Listed(f"m{i}") for i in range(8))
    found = Inventory({"a": many, "b": ()}, {"c": "status 404"})
    assert said_of(found) == [
        "a has m0, m1, m2, m3, m4, m5 and 2 more",
        "b has none, so nothing is served",
        "c does not list its models (status 404): any name is sent to it",
    ]
