"""Data that changes under a running gateway: the new if it is good, else all of the last good."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import weakref
from pathlib import Path

import pytest

from router.decision.engine import Engine
from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR
from router.providers.endpoints import SIMULATED_ROW, Providers
from router.serving.live import WATCHED, LiveData
from router.values import Caller, Limits
from tests.gateway_rig import StubEngine, gateway

SONNET = 'explore      = "anthropic/claude-sonnet-4.6"'
OPUS = 'explore      = "anthropic/claude-opus-4.7"'


@pytest.fixture
def folder(tmp_path):
    for name in (*WATCHED, "providers.toml"):
        shutil.copy(MODELS_DIR / name, tmp_path)
    return tmp_path


def stub(folder, catalogue):
    return StubEngine()


def live_of(folder, load_engine=stub):
    return LiveData(folder, Providers([SIMULATED_ROW], {}), load_engine)


def touch(path, text):
    path.write_text(text)
    at = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(at, at))


def explores_with(live):
    return live.current.catalogue.tier("kilo-auto/frontier").modes["explore"]


def test_changed_data_is_picked_up_and_bad_data_keeps_the_last_good(folder):
    live = live_of(folder)
    path = folder / "catalogue.toml"
    good = path.read_text()
    assert not live.refresh()
    touch(path, good.replace(SONNET, OPUS))
    assert live.refresh()
    assert explores_with(live) == "anthropic/claude-opus-4.7"
    for bad in ("[[tiers]", good.replace('rule        = "mode"', 'rule = "modal"'), ""):
        touch(path, bad + "#" * len(live.problem))
        assert not live.refresh()
        assert "catalogue" in live.problem
        assert explores_with(live) == "anthropic/claude-opus-4.7"
    touch(path, good)
    assert live.refresh()
    assert not live.problem


def test_data_and_engine_rest_on_one_catalogue_also_after_a_broken_table(folder):
    """A new catalogue without its table would let tiers and decisions disagree: both stay."""
    live = live_of(folder, Engine.load)
    first, catalogue, table = live.current, folder / "catalogue.toml", folder / "table.json"
    assert first.catalogue is first.engine.catalogue
    good = table.read_text()
    touch(catalogue, catalogue.read_text().replace(SONNET, OPUS))
    touch(table, "{}")
    assert not live.refresh()
    assert live.current is first
    assert "table" in live.problem
    touch(table, good)
    assert live.refresh()
    assert live.current.catalogue is live.current.engine.catalogue
    assert explores_with(live) == "anthropic/claude-opus-4.7"
    assert not live.problem


def test_data_that_was_replaced_is_let_go_at_once(folder):
    """By nobody's collector: what is frozen when it becomes garbage would be kept for ever."""
    live = live_of(folder, Engine.load)
    path = folder / "catalogue.toml"
    good, kept = path.read_text(), []
    gc.collect()
    gc.disable()
    try:
        for n in range(3):
            old = live.current
            old.engine.classifier.read("Fix the login page.")
            kept += map(weakref.ref, (old.engine.classifier, old.catalogue))
            del old
            gc.freeze()
            touch(path, good + "#" * (n + 1))
            assert live.refresh()
        assert [part() for part in kept if part() is not None] == []
    finally:
        gc.unfreeze()
        gc.enable()


async def test_a_gateway_that_reloads_again_and_again_keeps_its_memory(folder):
    async with gateway(models_dir=folder, reload_s=0.01, load_engine=Engine.load) as client:
        path, data = folder / "catalogue.toml", client.app.state.gateway.data
        good, sizes = path.read_text(), []
        for n in range(12):
            old = data.current
            touch(path, good + "#" * n)
            while data.current is old:  # noqa: ASYNC110 - what a reload changes has no event
                await asyncio.sleep(0.01)
            sizes.append(rss_mb())
    assert sizes[-1] - sizes[len(sizes) // 2] < 30


def rss_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def test_a_bad_engine_at_start_degrades_and_new_catalogues_are_still_read(folder):
    def broken(folder, catalogue):
        raise BadArtefact("the table is malformed")

    live = live_of(folder, broken)
    assert live.current.engine is None
    assert live.current.engine_error == live.problem == "the table is malformed"
    path = folder / "catalogue.toml"
    touch(path, path.read_text().replace(SONNET, OPUS))
    assert live.refresh()
    assert explores_with(live) == "anthropic/claude-opus-4.7"


def test_a_catalogue_without_a_model_that_a_key_lists_is_not_used_and_says_so(folder):
    """Else the key would deny what there is not any more, and let something else serve."""
    anna = Caller("anna", limits=Limits(deny=frozenset({"gpt-5.5"})))
    live = LiveData(folder, Providers([SIMULATED_ROW], {}), stub, callers=[anna])
    path = folder / "catalogue.toml"
    touch(path, path.read_text().replace('"openai/gpt-5.5"', '"openai/gpt-5.6"'))
    assert not live.refresh()
    assert "callers: anna: deny: there is no model" in live.problem
    assert live.current.names.of("gpt-5.5").known


def test_who_is_told_of_changes_hears_each_once_and_nothing_where_none_is(folder):
    heard = []
    live = LiveData(folder, Providers([SIMULATED_ROW], {}), stub, changed=heard.append)
    path = folder / "catalogue.toml"
    good = path.read_text()
    touch(path, good + "# no mapping\n")
    assert live.refresh()
    assert not heard
    touch(path, good.replace(SONNET, OPUS))
    assert live.refresh()
    ((change,),) = heard
    assert live.changes == (change,)
    assert str(change).startswith("kilo-auto/frontier over explore: anthropic/claude-sonnet-4.6@")


def test_another_table_is_told_with_how_many_cells_pick_another(folder):
    live = live_of(folder, Engine.load)
    path = folder / "table.json"
    touch(path, path.read_text().replace(live.current.engine.table.version, "0123456789abcdef"))
    assert live.refresh()
    (change,) = live.changes
    assert str(change).endswith("→ 0123456789abcdef")
    assert change.why == "0 of 92 cells changed pick."


def test_a_catalogue_without_what_a_key_maps_to_is_not_used(folder):
    anna = Caller(
        "anna", mappings={"kilo/auto": {"plan": "gpt-5.5"}}, tiers={"a": "kilo-auto/small"}
    )
    live = LiveData(folder, Providers([SIMULATED_ROW], {}), stub, callers=[anna])
    path = folder / "catalogue.toml"
    touch(path, path.read_text().replace('"openai/gpt-5.5"', '"openai/gpt-5.6"'))
    assert not live.refresh()
    assert "callers: anna: mappings: kilo/auto: plan: there is no model" in live.problem


def test_a_bad_catalogue_is_refused_at_start(folder):
    (folder / "catalogue.toml").write_text("nonsense = 1")
    with pytest.raises(BadArtefact):
        live_of(folder)


def test_an_overlay_is_laid_over_the_shipped_data_and_picked_up_like_it(tmp_path):
    path = tmp_path / "catalogue.toml"
    with pytest.raises(BadArtefact, match="no models folder"):
        live_of(tmp_path)
    row = '[[models]]\nid = "mine/{}"\nname = "M"\nvendor = "mine"\ninterfaces = ["chat"]\n'
    path.write_text(row.format("one"))
    live = live_of(tmp_path, Engine.load)
    shipped = len(live.current.catalogue.models) - 1
    assert live.current.engine.catalogue.model("mine/one")
    touch(path, row.format("one") + row.format("two"))
    assert live.refresh()
    assert live.current.names.of("two").id == "mine/two"
    path.unlink()
    assert not live.refresh()
    assert live.problem == "catalogue.toml is gone; put it back, or start again without it"
    assert len(live.current.catalogue.models) == shipped + 2


def test_half_of_a_whole_catalogue_is_one_that_is_being_written_and_no_overlay(folder):
    live = live_of(folder)
    path = folder / "catalogue.toml"
    good = path.read_text()
    touch(path, good[: good.index("\n[[tiers]]")])
    assert not live.refresh()
    assert "tiers: Field required" in live.problem
    touch(path, good)
    assert live.refresh()
