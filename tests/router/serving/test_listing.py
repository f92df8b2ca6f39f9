"""What each caller is told of tiers and models, and of how mappings changed, through the API."""

from __future__ import annotations

import shutil

import pytest

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, load_catalogue
from router.evidence.changelog import load_changelog
from router.serving.live import WATCHED
from router.values import Interface
from tests.gateway_rig import PATHS, ask, gateway
from tests.router.serving.test_live import touch
from tests.router.serving.test_strangers import by, key

CATALOGUE = load_catalogue()
OPUS, SONNET, GPT = "anthropic/claude-opus-4.7", "anthropic/claude-sonnet-4.6", "openai/gpt-5.5"
TIERS = [tier.id for tier in CATALOGUE.tiers]


async def listed(client, headers=None):
    """Return the entries by id, as a caller sees them."""
    answer = await client.get("/v1/models", headers=headers or {})
    assert answer.status_code == 200, answer.text
    return {entry["id"]: entry for entry in answer.json()["data"]}


def pool_of(entries, tier):
    return [member["model"] for member in entries[tier]["pool"]]


async def test_variants_have_the_shape_that_the_original_products_clients_read():
    """A record of records with ``model``, ``reasoning.{enabled,effort}`` and ``verbosity``."""
    async with gateway() as client:
        entries = await listed(client)
        found = {tier: entries[tier]["opencode"]["variants"] for tier in TIERS}
        for variants in found.values():
            for options in variants.values():
                assert options.keys() <= {"model", "reasoning", "verbosity"}
                assert options["model"] in CATALOGUE.ids
                assert options.get("reasoning", {}).keys() <= {"enabled", "effort"}
        thinks = {"enabled": True, "effort": "medium"}
        plan = {"model": OPUS, "reasoning": thinks, "verbosity": "medium"}
        assert found["kilo-auto/frontier"]["plan"] == plan
        assert found["kilo-auto/frontier"]["code"] == plan | {"model": SONNET}
        assert "default" not in found["kilo-auto/frontier"]
        assert found["kilo-auto/balanced"] == {
            "chat": {"model": "qwen/qwen3.6-plus", "reasoning": {"enabled": True}},
            "responses": {"model": GPT, "reasoning": {"enabled": True, "effort": "low"}},
            "messages": {"model": SONNET, "reasoning": {"enabled": True, "effort": "low"}},
        }
        assert found["kilo-auto/small"] == {
            "paid": {"model": "google/gemma-4-31b-it"},
            "unpaid": {"model": "google/gemma-4-26b-a4b-it:free"},
        }
        assert found["kilo-auto/efficient"] == found["kilo-auto/free"] == {}


async def test_a_pool_tells_price_and_support():
    async with gateway() as client:
        (member,) = (await listed(client))["kilo-auto/efficient"]["pool"]
        assert member["model"] == GPT
        assert float(member["pricing"]["prompt"]) > 0
        assert member["support"] == "measured"
        assert (member["items"], member["measured_cells"]) == (50 * 92, 92)


async def test_without_a_key_only_what_is_free_is_listed():
    async with gateway(callers=[key("anna")]) as client:
        entries = await listed(client)
        models = [entry for name, entry in entries.items() if name not in TIERS]
        assert models
        assert all(entry["isFree"] for entry in models)
        for tier in ("kilo-auto/frontier", "kilo-auto/balanced", "kilo-auto/efficient"):
            assert entries[tier]["pool"] == []
            assert entries[tier]["opencode"]["variants"] == {}
        assert len(pool_of(entries, "kilo-auto/free")) == 4
        assert list(entries["kilo-auto/small"]["opencode"]["variants"]) == ["unpaid"]
        refused = await client.get(f"/v1/models/{GPT}")
        assert refused.status_code == 404
        assert "not for this caller" in refused.text
        assert (await client.get(f"/v1/models/{GPT}", headers=by("anna"))).status_code == 200


@pytest.mark.parametrize(
    ("limits", "may"),
    [
        ({"deny": ["openai/*"]}, lambda model: model.vendor not in {"openai", "openrouter"}),
        ({"allow": ["anthropic/*"]}, lambda model: model.id.startswith("anthropic/")),
        ({"open_weights_only": True}, lambda model: model.open_weights),
        ({"data_policies": ["may_log"]}, lambda model: model.data_policy == "may_log"),
        ({"pin": OPUS}, lambda model: model.id == OPUS),
        ({"max_cost_usd": 0.01, "min_quality": 0.5}, lambda model: True),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_what_a_key_may_not_use_is_nowhere_in_its_list(limits, may):
    async with gateway(callers=[key("anna") | limits]) as client:
        entries = await listed(client, by("anna"))
        allowed = {model.id for model in CATALOGUE.models if may(model)}
        assert entries.keys() - {*TIERS} == allowed
        for tier in TIERS:
            rows = entries[tier]["opencode"]["variants"].values()
            named = {*pool_of(entries, tier), *(row["model"] for row in rows)}
            assert named <= allowed
            assert entries[tier]["autoRouting"]["models"] == pool_of(entries, tier)


async def test_a_header_narrows_the_list_as_it_narrows_a_request():
    async with gateway() as client:
        entries = await listed(client, {"x-auto-deny": "anthropic/*"})
        assert not [name for name in entries if name.startswith("anthropic/")]
        assert entries["kilo-auto/frontier"]["pool"], "somebody else stands in"


async def test_a_key_sees_its_own_mappings_and_asks_by_them():
    rows = {"kilo-auto/frontier": {"plan": f"{GPT}@high", "reviewer": "gpt-5.5"}}
    anna = key("anna") | {"mappings": rows, "tiers": {"explore": "kilo-auto/free"}, "team": "web"}
    async with gateway(callers=[anna, key("ben")]) as client:
        variants = (await listed(client, by("anna")))["kilo-auto/frontier"]["opencode"]["variants"]
        assert variants["plan"]["model"] == variants["reviewer"]["model"] == GPT
        assert variants["plan"]["reasoning"]["effort"] == "high"
        assert variants["ask"]["model"] == OPUS
        other = (await listed(client, by("ben")))["kilo-auto/frontier"]["opencode"]["variants"]
        assert other["plan"]["model"] == OPUS
        body = ask(Interface.CHAT, "kilo-auto/frontier")
        for who, mode, tier, model in (
            ("anna", "plan", "kilo-auto/frontier", GPT),
            ("ben", "plan", "kilo-auto/frontier", OPUS),
            ("anna", "explore", "kilo-auto/free", None),
        ):
            headers = by(who) | {"x-kilocode-mode": mode}
            answer = await client.post(PATHS[Interface.CHAT], json=body, headers=headers)
            assert answer.status_code == 200
            assert answer.headers["x-auto-tier"] == tier
            assert model in (None, answer.headers["x-auto-model"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tiers": {"code": "kilo-auto/none"}}, "anna: tiers: code: there is no tier"),
        ({"mappings": {"kilo/auto": {"plan": "openai/none"}}}, "plan: there is no model"),
    ],
)
async def test_a_gateway_does_not_start_on_what_there_is_not(given, said):
    with pytest.raises(BadArtefact, match=said):
        async with gateway(callers=[key("anna") | given]):
            raise AssertionError("it started")


@pytest.mark.parametrize("interface", Interface, ids=str)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("tier", TIERS)
async def test_every_answer_tells_the_model_that_serves_and_its_effort(tier, interface, stream):
    async with gateway() as client:
        body = ask(interface, tier, stream=stream)
        answer = await client.post(PATHS[interface], json=body)
        assert answer.status_code == 200
        (record,) = client.records
        assert answer.headers["x-auto-tier"] == tier
        assert answer.headers["x-auto-model"] == record.unit.model
        assert answer.headers.get("x-auto-effort") == record.unit.effort
        assert answer.headers["x-auto-reason"]


async def test_the_changelog_tells_what_is_shipped_and_what_changed_since(tmp_path):
    for name in (*WATCHED, "providers.toml"):
        shutil.copy(MODELS_DIR / name, tmp_path)
    path = tmp_path / "catalogue.toml"
    async with gateway(models_dir=tmp_path, reload_s=3600) as client:
        told = (await client.get("/v1/changelog")).json()
        assert told["object"] == "list"
        shipped = load_changelog()
        assert [entry["text"] for entry in told["data"]] == [str(entry) for entry in shipped]
        assert told["data"][-1]["from"] is None
        touch(
            path, path.read_text().replace('"qwen/qwen3.6-plus", reasoning', f'"{GPT}", reasoning')
        )
        assert client.app.state.gateway.data.refresh()
        newest = (await client.get("/v1/changelog")).json()["data"][0]
        assert newest["text"] == (
            f"kilo-auto/balanced over chat: qwen/qwen3.6-plus, thinking → {GPT}, thinking"
        )
        assert (await client.get("/api/gateway/v1/changelog")).status_code == 404
