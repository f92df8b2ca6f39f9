"""The changelog of mappings: that it agrees with the catalogue, and what differs between two of them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, load_catalogue
from router.evidence.changelog import (
    CHANGELOG_FILE,
    TABLE,
    Remapping,
    differences,
    load_changelog,
    mapped,
    recorded,
    unrecorded,
)
from router.evidence.table import TABLE_FILE, load_table

CATALOGUE = load_catalogue()
DAY = date(2026, 12, 24)
FRONTIER = CATALOGUE.tier("kilo-auto/frontier")
MODELS = sorted(CATALOGUE.ids)


def with_tier(catalogue, tier):
    tiers = tuple(tier if t.id == tier.id else t for t in catalogue.tiers)
    return catalogue.model_copy(update={"tiers": tiers})


def state_of(catalogue):
    return {tier.id: mapped(tier) for tier in catalogue.tiers}


def test_the_changelog_ends_where_the_catalogue_is():
    """Add a [[changes]] to models/changelog.toml for whatever differs here."""
    found = recorded(load_changelog())
    for rows in found.values():
        rows.pop(TABLE, None)
    assert found == state_of(CATALOGUE)


def test_the_changelog_ends_with_the_table_that_is_shipped():
    """Add a [[changes]] with `under = ["table"]` to models/changelog.toml, and why it was rebuilt."""
    found = recorded(load_changelog())
    assert found["kilo-auto/efficient"][TABLE] == load_table(MODELS_DIR / TABLE_FILE).version


def test_every_entry_goes_on_from_the_one_before():
    state: dict[tuple[str, str], str] = {}
    for entry in reversed(load_changelog()):
        assert entry.why
        assert entry.was != entry.now
        for key in entry.under:
            assert state.get((entry.tier, key), "") == entry.was
            state[entry.tier, key] = entry.now


def test_the_days_are_those_of_the_catalogues_own_notes():
    days = {(change.date, tier) for change in CATALOGUE.changes for tier in change.tiers}
    assert days == {(e.date, e.tier) for e in load_changelog() if e.under != (TABLE,)}


def test_a_mapping_that_changes_without_an_entry_is_noticed():
    changed = FRONTIER.model_copy(update={"modes": FRONTIER.modes | {"plan": "openai/gpt-5.5"}})
    catalogue = with_tier(CATALOGUE, changed)
    assert recorded(load_changelog())[FRONTIER.id] != mapped(changed)
    (change,) = differences(CATALOGUE, catalogue, DAY)
    assert str(change) == (
        "kilo-auto/frontier over plan: anthropic/claude-opus-4.7@medium → openai/gpt-5.5@medium"
    )


@given(st.dictionaries(st.sampled_from(sorted(FRONTIER.modes)), st.sampled_from(MODELS)))
def test_differences_replayed_on_the_old_state_give_the_new(modes):
    catalogue = with_tier(
        CATALOGUE, FRONTIER.model_copy(update={"modes": FRONTIER.modes | modes, "effort": None})
    )
    found = differences(CATALOGUE, catalogue, DAY)
    start = differences(CATALOGUE.model_copy(update={"tiers": ()}), CATALOGUE, DAY)
    assert recorded([*reversed(found), *reversed(start)]) == state_of(catalogue)
    assert not differences(catalogue, catalogue, DAY)
    assert not unrecorded(found, found)


def test_a_tier_that_goes_maps_to_nothing_any_more():
    without = CATALOGUE.model_copy(update={"tiers": CATALOGUE.tiers[1:]})
    found = differences(CATALOGUE, without, DAY)
    assert {change.tier for change in found} == {FRONTIER.id}
    assert all(change.now == "" and str(change).endswith("→ nothing") for change in found)
    assert recorded([*reversed(found), *load_changelog()])[FRONTIER.id] == {}


def test_a_folders_own_entries_come_before_the_shipped_ones(tmp_path):
    shipped = load_changelog()
    assert load_changelog(tmp_path) == shipped
    own = f'[[changes]]\ndate = {DAY}\ntier = "mine/t"\nunder = ["plan"]\nnow = "a/b"\n'
    (tmp_path / CHANGELOG_FILE).write_text(own)
    mine = Remapping(date=DAY, tier="mine/t", under=("plan",), now="a/b")
    assert load_changelog(tmp_path) == (mine, *shipped)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[changes]]\n", "changes.0.date"),
        ('[[changes]]\ndate = 2026-01-01\ntier = "t"\nunder = []\n', "under"),
        ("[[change]]\n", "there is no table 'change'"),
        ("nonsense", "cannot read the changelog"),
    ],
)
def test_a_malformed_changelog_is_refused_with_its_place(tmp_path, text, said):
    (tmp_path / CHANGELOG_FILE).write_text(text)
    with pytest.raises(BadArtefact, match=said):
        load_changelog(tmp_path)
