"""A models folder that holds only what differs: its rows lie over the shipped ones, and nothing mixes."""

from __future__ import annotations

import json
import shutil

import pytest

from classifier.model import ARTEFACT_FILES
from router.decision.engine import Engine
from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, load_catalogue
from router.providers.endpoints import load_providers
from tests.evidence import catalogue, model, table

SHIPPED = load_catalogue()

MINE = """
[[models]]
id = "mine/coder"
name = "Coder"
vendor = "mine"
context_tokens = 32_000
interfaces = ["chat"]
price = { input = 0, output = 0, source = "mine", date = 2026-11-01 }
"""


def test_a_row_of_an_overlay_is_added_or_takes_the_place_of_the_shipped_one(tmp_path):
    first = SHIPPED.models[0]
    (tmp_path / "catalogue.toml").write_text(MINE + MINE.replace("mine/coder", first.id))
    found = load_catalogue(tmp_path / "catalogue.toml")
    ids = [model.id for model in SHIPPED.models]
    assert [model.id for model in found.models] == [*ids, "mine/coder"]
    assert found.model(first.id).name == "Coder"
    assert found.models[1:-1] == SHIPPED.models[1:]
    assert (found.tiers, found.economics) == (SHIPPED.tiers, SHIPPED.economics)


def test_a_whole_catalogue_is_taken_as_it_is(tmp_path):
    text = (MODELS_DIR / "catalogue.toml").read_text()
    (tmp_path / "catalogue.toml").write_text(text.replace("stepfun/step-3.7", "stepfun/step-9"))
    found = load_catalogue(tmp_path / "catalogue.toml")
    assert len(found.models) == len(SHIPPED.models)
    assert found.model("stepfun/step-3.7-flash:free") is None


@pytest.mark.parametrize(
    "text", ["", "nonsense = 1", "models = 3", MINE + MINE, '[[models]]\nid = "x/y"', "[[tiers]"]
)
def test_a_bad_overlay_names_its_file(tmp_path, text):
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(BadArtefact, match=str(path)):
        load_catalogue(path)


def test_a_providers_overlay_adds_and_replaces_rows_by_name(tmp_path):
    path = tmp_path / "providers.toml"
    rows = '[[providers]]\nname = "{}"\nbase_url = "http://gpu:8000/v1"\nformats = ["chat"]\n'
    path.write_text(rows.format("mine") + rows.format("openai"))
    shipped, found = load_providers(), load_providers(path)
    assert [row.name for row in found] == [*(row.name for row in shipped), "mine"]
    assert next(row for row in found if row.name == "openai").base_url == "http://gpu:8000/v1"
    path.write_text("[[providers]\n")
    with pytest.raises(BadArtefact, match=str(path)):
        load_providers(path)


@pytest.mark.parametrize("name", ["catalogue.toml", "providers.toml", "table.json"])
def test_one_file_alone_makes_a_folder_and_the_rest_is_the_shipped_one(tmp_path, name):
    shutil.copy(MODELS_DIR / name, tmp_path)
    engine = Engine.load(tmp_path)
    assert engine.catalogue == SHIPPED
    assert engine.models <= {model.id for model in SHIPPED.models}
    assert load_providers(tmp_path / "providers.toml") == load_providers()


@pytest.mark.parametrize("name", ARTEFACT_FILES)
def test_a_part_of_a_classifier_is_never_joined_with_the_shipped_rest(tmp_path, name):
    shutil.copy(MODELS_DIR / name, tmp_path)
    with pytest.raises(BadArtefact) as caught:
        Engine.load(tmp_path)
    assert all(file in str(caught.value) for file in ARTEFACT_FILES)


def test_a_folder_that_there_is_not_is_an_error(tmp_path):
    with pytest.raises(BadArtefact, match="no models folder"):
        load_catalogue(tmp_path / "none" / "catalogue.toml")


def test_units_that_the_catalogue_lacks_are_ignored_with_a_line(caplog):
    whole = table([0.1, 0.5, 0.9], [0.1, 0.2, 0.3])
    found = whole.of(catalogue(model("m0"), model("m2")), name="my/table.json")
    assert found.units == (whole.units[0], whole.units[2])
    assert (found.quality == whole.quality[:, :, [0, 2]]).all()
    assert (found.cost_usd == whole.cost_usd[:, :, [0, 2]]).all()
    assert [line.getMessage() for line in caplog.records] == [
        "my/table.json: the catalogue lacks m1: what is known of them is ignored"
    ]
    assert whole.of(catalogue(model("m0"), model("m1"), model("m2"))).units == whole.units
    assert len(caplog.records) == 1


def test_a_table_and_a_catalogue_of_other_models_do_not_go_together(tmp_path):
    raw = json.loads((MODELS_DIR / "table.json").read_bytes())
    raw["units"] = [unit | {"model": f"x/{unit['model']}"} for unit in raw["units"]]
    (tmp_path / "table.json").write_text(json.dumps(raw))
    with pytest.raises(BadArtefact, match="table.json: none of its models is in the catalogue"):
        Engine.load(tmp_path)


@pytest.mark.parametrize("how", [{"cost": 0.0}, {"free": True}])
def test_what_costs_nothing_by_the_catalogue_is_expected_to_cost_nothing(how):
    """A price of zero is a price: measured dollars were somebody else's."""
    whole = table([0.8, 0.9], [0.1, 0.2])
    found = whole.of(catalogue(model("m0", **how), model("m1")))
    assert not found.cost_usd[..., 0].any()
    assert not found.cost_upper_usd[..., 0].any()
    assert (found.cost_usd[..., 1] == whole.cost_usd[..., 1]).all()
