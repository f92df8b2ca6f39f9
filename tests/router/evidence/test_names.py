"""One model has many names, and a limit holds for all of them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.evidence.catalogue import load_catalogue
from router.evidence.names import Named, Names, UnknownName, both, fits, lists
from router.providers.endpoints import Providers, load_providers
from router.values import Limits

CATALOGUE = load_catalogue()
PROVIDERS = Providers(load_providers(), {})
NAMES = Names(CATALOGUE, PROVIDERS.spellings(CATALOGUE), PROVIDERS.aggregators)
IDS = [model.id for model in CATALOGUE.models]
OPUS = "anthropic/claude-opus-4.8"


def spellings_of(model_id):
    """Return how clients, vendors and aggregators write an id."""
    bare = model_id.partition("/")[2]
    return {
        model_id.upper(),
        model_id.replace(".", "-"),
        model_id.replace("-", "_"),
        f" {model_id} ",
        f"openrouter/{model_id}",
        f"kilo/{model_id}",
        f"{model_id}-20260528",
        f"{model_id}@20260528",
        f"{model_id}-2026-05-28",
        f"{model_id}-latest",
        *({bare, bare.replace(".", "-")} if bare != "free" else ()),
    }


@pytest.mark.parametrize("model_id", IDS)
def test_every_spelling_of_a_model_is_that_model(model_id):
    assert NAMES.of(model_id) == Named(model_id, known=True)
    for name in spellings_of(model_id):
        assert NAMES.of(name) == (model_id, True, ""), name


@pytest.mark.parametrize("model_id", IDS)
@pytest.mark.parametrize("variant", ["nitro", "online", "floor", "free", "exacto", "thinking"])
def test_a_variant_is_of_its_model(model_id, variant):
    for name in {model_id, *spellings_of(model_id)}:
        assert NAMES.of(f"{name.strip()}:{variant}") == (model_id, True, variant), name


def test_what_a_provider_calls_a_model_is_that_model():
    spelt = PROVIDERS.spellings(CATALOGUE)
    assert spelt["claude-opus-4-8"] == OPUS
    assert all(NAMES.of(name).id == model_id for name, model_id in spelt.items())


@pytest.mark.parametrize(
    "name",
    [
        "openrouter/auto", "openai/gpt-5.5-pro", "openai/gpt-5.5@preset/mine", "@preset/mine",
        "ollama/qwen3:8b", "gpt-6", "", "/", ":", "openrouter/", "anthropic/", "a" * 256,
        "google/gemma-4-26b-a4b-it",
    ],
)  # fmt: skip
def test_what_is_not_a_spelling_is_not_known(name):
    """The last is what a free offer's paid one is called, and evidence of both is joined on it."""
    assert not NAMES.of(name).known


@given(st.text(max_size=60))
def test_any_text_is_resolved_and_to_one_thing(text):
    found = NAMES.of(text)
    assert found.known == (found.id in IDS)
    again = NAMES.of(found.id)
    assert (again.id, again.known) == (found.id, found.known)


# Lists.


def test_a_list_takes_ids_other_names_of_them_patterns_and_names_of_your_own():
    listed = NAMES.listed(["gpt-5.5", "openai/*", "*", "ollama/*", "ollama/qwen3", "my-model"])
    assert listed == {"openai/gpt-5.5", "openai/*", "*", "ollama/*", "ollama/qwen3", "my-model"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("opnai/gpt-5.5", "did you mean openai/gpt-5.5?"),
        ("openai/gpt5.5", "did you mean openai/gpt-5.5?"),
        ("openai/gpt-5.5-pro", "did you mean openai/gpt-5.5?"),
        ("openai/gp-*", "fits no model"),
        ("openai", "did you mean openai/*?"),
        ("kilo-auto/free", "is a tier"),
        (f"{OPUS}:nitro", f"write {OPUS}"),
        ("google/gemma-4-31b-it:free", "write google/gemma-4-31b-it"),
    ],
)
def test_a_list_with_a_mistake_is_refused_with_what_was_meant(entry, said):
    with pytest.raises(UnknownName, match=re.escape(said)):
        NAMES.listed(["openai/gpt-5.4", entry])


def test_limits_are_resolved_with_their_field_named():
    limits = NAMES.within(Limits(allow=frozenset({"gpt-5.5"}), pin="claude-opus-4-8"))
    assert (limits.allow, limits.pin) == ({"openai/gpt-5.5"}, OPUS)
    with pytest.raises(UnknownName, match="deny: there is no model"):
        NAMES.within(Limits(deny=frozenset({"opnai/gpt-5.5"})))


patterns = st.text(st.sampled_from("ab*"), max_size=8)
texts = st.text(st.sampled_from("ab"), max_size=10)


@given(patterns, texts)
def test_a_pattern_fits_what_the_same_regular_expression_does(pattern, text):
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert fits(pattern, text) == bool(re.fullmatch(expression, text))


def test_a_pattern_of_many_stars_takes_no_longer():
    began = time.perf_counter()
    assert not fits("*a" * 2000 + "b", "a" * 4000)
    assert time.perf_counter() - began < 1.0


@given(st.frozensets(patterns), st.frozensets(patterns), texts)
def test_what_two_lists_have_in_common_widens_neither(one, other, text):
    if lists(both(one, other), text):
        assert lists(one, text)
        assert lists(other, text)


def test_what_two_lists_have_in_common_is_what_says_more():
    assert both(frozenset({"openai/*", "a/b"}), frozenset({"openai/gpt-5.5", "a/*"})) == {
        "openai/gpt-5.5",
        "a/b",
    }
