"""The shipped catalogue says what the design says, and a bad one is refused by name."""

from __future__ import annotations

import pytest

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, load_catalogue
from router.values import Interface, Needs
from tests.evidence import model

NAMED = """anthropic/claude-opus-4.7 anthropic/claude-sonnet-4.6 anthropic/claude-haiku-4.5
openai/gpt-5.5 openai/gpt-5.4 openai/gpt-5.4-mini google/gemini-3.1-pro-preview
google/gemini-2.5-flash google/gemma-4-31b-it google/gemma-4-26b-a4b-it:free x-ai/grok-4
x-ai/grok-code-fast-1 deepseek/deepseek-v3.2 moonshotai/kimi-k2.5 minimax/minimax-m2.7
qwen/qwen3.6-plus stepfun/step-3.7-flash:free poolside/laguna-m.1:free
nvidia/nemotron-3-ultra-550b-a55b:free openrouter/free anthropic/claude-opus-5
anthropic/claude-sonnet-5 deepseek/deepseek-v4-flash deepseek/deepseek-v4-flash-0731
deepseek/deepseek-v4-pro-0813 kwaipilot/kat-coder-pro-v2.5 meta/muse-spark-1.2 moonshotai/kimi-k3
openai/gpt-5.6-luna openai/gpt-5.6-sol qwen/qwen3.8-max thinkingmachines/inkling x-ai/grok-4.6
xiaomi/mimo-v2.5-pro z-ai/glm-5.3 z-ai/glm-5.3-flash""".split()  # noqa: SIM905 - a list to read

OPUS, SONNET = "anthropic/claude-opus-4.7", "anthropic/claude-sonnet-4.6"


@pytest.fixture(scope="module")
def shipped():
    return load_catalogue()


@pytest.mark.parametrize("name", NAMED)
def test_every_named_model_is_there_with_a_sourced_price(shipped, name):
    found = shipped.model(name)
    assert found is not None
    assert found.price is not None
    assert found.price.source
    assert found.context_tokens


def test_frontier_maps_by_mode(shipped):
    modes = shipped.tier("kilo-auto/frontier").modes
    for mode in ("plan", "general", "architect", "orchestrator", "ask", "debug"):
        assert modes[mode] == OPUS
    for mode in ("build", "explore", "code", "default"):
        assert modes[mode] == SONNET
    tier = shipped.tier("kilo-auto/frontier")
    assert (tier.effort, tier.verbosity) == ("medium", "medium")


def test_balanced_maps_by_interface(shipped):
    by = shipped.tier("kilo-auto/balanced").interfaces
    assert (by[Interface.CHAT].model, by[Interface.CHAT].reasoning) == ("qwen/qwen3.6-plus", True)
    assert (by[Interface.RESPONSES].model, by[Interface.RESPONSES].effort) == (
        "openai/gpt-5.5",
        "low",
    )
    assert (by[Interface.MESSAGES].model, by[Interface.MESSAGES].effort) == (SONNET, "low")


def test_small_maps_by_balance_and_is_hidden(shipped):
    small = shipped.tier("kilo-auto/small")
    assert small.hidden
    assert (small.balance.paid, small.balance.unpaid) == (
        "google/gemma-4-31b-it", "google/gemma-4-26b-a4b-it:free",
    )  # fmt: skip


def test_no_tier_maps_to_what_is_sold_no_more(shipped):
    for tier in shipped.tiers:
        for name in tier.model_ids:
            assert shipped.model(name).retired is None, f"{tier.id}: {name}"


def test_free_maps_to_free_models(shipped):
    """Step 3.7 Flash and Laguna M.1 left it on 2026-11-30: no list has them for nothing any more."""
    weights = {choice.model: choice.weight for choice in shipped.tier("kilo-auto/free").affinity}
    assert weights == {
        "nvidia/nemotron-3-ultra-550b-a55b:free": 3,
        "google/gemma-4-26b-a4b-it:free": 2,
        "nvidia/nemotron-3.5-super-vl:free": 2,
        "openrouter/free": 1,
    }
    assert all(shipped.model(name).costs_nothing for name in weights)


def test_what_a_model_cost_when_it_came_out_outlives_price_cuts(shipped):
    """Every model but a router has a launch price."""
    without = {m.id for m in shipped.models if m.launch is None}
    assert without == {"openrouter/free"}
    luna = shipped.model("openai/gpt-5.6-luna")
    assert (luna.launch.input, luna.launch.output) == (1.0, 6.0)
    assert (luna.price.input, luna.price.output) == (0.2, 1.2)


def test_a_name_of_the_evidence_means_one_model(shipped):
    names = [n for m in shipped.models for n in (m.id, *m.aliases, *m.efforts_as)]
    assert sorted({n for n in names if names.count(n) > 1}) == []


@pytest.mark.parametrize(
    ("legacy", "tier"),
    [("kilo/auto", "frontier"), ("kilo/auto-free", "free"), ("auto-small", "small")],
)
def test_legacy_ids_are_accepted(shipped, legacy, tier):
    assert shipped.tier(legacy).id == f"kilo-auto/{tier}"


def test_defaults_depend_on_a_key(shipped):
    assert shipped.defaults.with_key == "kilo-auto/balanced"
    assert shipped.defaults.without_key == "kilo-auto/free"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('rule        = "mode"', 'rule        = "moon"', "tiers.0.rule"),
        ("hidden      = true", "hiden       = true", "hiden"),
        ('paid   = "google/gemma-4-31b-it"', 'paid   = "google/none"', "google/none"),
        ('with_key = "kilo-auto/balanced"', 'with_key = "kilo-auto/none"', "kilo-auto/none"),
        ("\n[[models]]", "\n[[models", "cannot read"),
        (
            'released          = "2026-02-05"',
            'released          = "2026-07-05"',
            "before it was out",
        ),
    ],
)
def test_a_bad_catalogue_is_refused_with_its_place(tmp_path, old, new, named):
    text = (MODELS_DIR / "catalogue.toml").read_text("utf-8")
    assert old in text
    path = tmp_path / "catalogue.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(BadArtefact) as refused:
        load_catalogue(path)
    assert named in str(refused.value)


def test_unknown_is_not_capable():
    bare = model("bare", abilities=frozenset(), context=None)
    assert bare.lacks(Needs()) == "context length unknown"
    assert model("m", abilities=frozenset()).lacks(Needs(json_schema=True)) == "no json schema"
    assert model("m").lacks(Needs(tools=True, images=True)) is None


def test_room_beyond_the_longest_answer_of_a_model_is_a_wish():
    short = model("m", context=100_000).model_copy(update={"max_output_tokens": 8_000})
    assert short.lacks(Needs(input_tokens=90_000, output_tokens=128_000)) is None
    assert short.lacks(Needs(input_tokens=95_000, output_tokens=128_000)) is not None
    unknown = model("m", context=100_000).model_copy(update={"max_output_tokens": None})
    assert unknown.lacks(Needs(output_tokens=128_000)) is not None
