"""One wish in other ways: the wish stays, and what the test uses is never trained with."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training.variations import (
    FOLDER,
    LEXICON_FOLDER,
    MAX_SWAPPED_CHARS,
    OFTEN,
    PHRASES_FILE,
    VARIATIONS,
    material,
    other_language,
    vary,
)

AROUND = ("framed", "context sentence", "sign-off", "courtesy", "beside a paste", "markdown")
LANGS = sorted(path.stem for path in (FOLDER / LEXICON_FOLDER).glob("*.tsv"))
SEEDS = st.integers(0, 10_000)


@given(st.text(min_size=1), st.sampled_from(["en", *LANGS, "xx"]), SEEDS)
def test_what_is_put_around_a_wish_leaves_it_word_for_word(text, lang, seed):
    for name in AROUND:
        said = VARIATIONS[name](text, material(lang, aside=bool(seed % 2)), random.Random(seed))
        assert said.text[slice(*said.own)] == text


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1), SEEDS)
def test_casing_changes_case_and_the_last_sign_alone(text, seed):
    said = VARIATIONS["casing"](text, material("en", aside=False), random.Random(seed))
    assert said.text.lower().rstrip(".! ") == text.lower().rstrip(".! ")


@given(st.text(min_size=1), st.sampled_from(["en", *LANGS]), SEEDS, st.booleans())
def test_a_wish_said_in_several_ways_lies_where_it_is_said_to_lie(text, lang, seed, aside):
    said = vary(text, lang, random.Random(seed), aside=aside)
    start, end = said.own
    assert 0 <= start <= end <= len(said.text)
    assert end - start >= len(text) // 2
    assert said == vary(text, lang, random.Random(seed), aside=aside)


@pytest.mark.parametrize("name", ["casing", "typing errors"])
def test_what_changes_the_words_themselves_does(name):
    text = "please rename every function of the importer module"
    around = material("en", aside=False)
    assert any(VARIATIONS[name](text, around, random.Random(k)).text != text for k in range(20))


def test_names_survive_typing_errors():
    text = (
        "please rename get_user in src/api/user.ts to fetch_user, and update `config.max_size` too"
    )
    for seed in range(50):
        said = VARIATIONS["typing errors"](text, material("en", aside=False), random.Random(seed))
        for name in ("get_user", "src/api/user.ts", "fetch_user", "`config.max_size`"):
            assert name in said.text


@pytest.mark.parametrize("lang", ["en", *LANGS])
def test_what_is_kept_aside_is_never_trained_with(lang):
    for kind in ("openers", "contexts", "closers", "wrappers", "pastes"):
        trained, aside = (set(getattr(material(lang, aside=a), kind)) for a in (False, True))
        assert trained and aside
        assert not trained & aside


def test_every_wrapper_has_one_place_for_the_wish():
    for lang in ("en", *LANGS):
        for aside in (False, True):
            assert all(w.count("{}") == 1 for w in material(lang, aside=aside).wrappers)


def test_every_variation_is_weighed():
    assert tuple(OFTEN) == tuple(VARIATIONS)  # they are drawn by their places


@pytest.mark.parametrize("lang", LANGS)
def test_every_line_of_a_dictionary_is_a_word_and_its_forms(lang):
    lines = (FOLDER / LEXICON_FOLDER / f"{lang}.tsv").read_text("utf-8").splitlines()
    assert len(lines) >= 800
    for line in lines:
        english, forms = line.split("\t")
        assert english == english.lower().strip() != ""
        assert 1 <= len(forms.split("|")) <= 3
        assert all(form.strip() == form != "" for form in forms.split("|"))


def test_only_short_english_asks_are_put_into_another_language():
    rng = random.Random(1)
    assert other_language("corrige le bug", "fr", rng) is None
    assert other_language("fix it " * 1000, "en", rng) is None


def test_words_are_swapped_and_names_are_not():
    text = "please explain the test in src/app.py and why foo_bar fails"
    said = [other_language(text, "en", random.Random(seed)) for seed in range(40)]
    assert all("src/app.py" in s.text and "foo_bar" in s.text for s in said)
    assert all("explain" not in s.text and " the " not in s.text for s in said)
    assert len({s.text for s in said}) > 10


@given(st.text(alphabet="abcXYZéñжЖ写 ,'\n.!。?", min_size=1), SEEDS)
def test_casing_keeps_the_words_of_other_scripts(text, seed):
    said = VARIATIONS["casing"](text, material("en", aside=False), random.Random(seed))
    assert said.text.lower().rstrip(".!。 ") == text.lower().rstrip(".!。 ")
    assert said.own == (0, len(said.text))


def test_every_language_of_a_dictionary_has_phrases_of_its_own():
    phrases = json.loads((FOLDER / PHRASES_FILE).read_text("utf-8"))
    assert {*LANGS, "en"} <= set(phrases)
    assert len({tuple(own["openers"]) for own in phrases.values()}) == len(phrases)


@pytest.mark.parametrize("lang", ["en", *LANGS])
def test_there_are_sentences_enough_for_the_longest_context(lang):
    """Up to three are drawn at once."""
    assert all(len(material(lang, aside=aside).contexts) >= 3 for aside in (False, True))


@given(st.text(), st.sampled_from(["en", *LANGS]), SEEDS, st.booleans())
def test_typing_errors_touch_no_line_space_or_sign(text, lang, seed, aside):
    said = VARIATIONS["typing errors"](text, material(lang, aside=aside), random.Random(seed))
    assert [c for c in said.text if not c.isalpha()] == [c for c in text if not c.isalpha()]
    assert said.own == (0, len(said.text))


@given(st.text(max_size=200), SEEDS)
def test_words_of_another_language_lie_where_they_are_said_to_lie(text, seed):
    said = other_language(text, "en", random.Random(seed))
    assert said or not set(text.lower().split()) - {"a", "an", "the"}
    assert said is None or 0 <= said.own[0] <= said.own[1] <= len(said.text)
    assert said == other_language(text, "en", random.Random(seed))


def test_an_ask_of_the_greatest_length_is_put_into_another_language_and_none_longer():
    assert other_language("x" * MAX_SWAPPED_CHARS, "en", random.Random(1)) is not None
    assert other_language("x" * (MAX_SWAPPED_CHARS + 1), "en", random.Random(1)) is None


@pytest.mark.parametrize(
    "name", ["src/app.py", "foo_bar", "`x.y`", "user@test.com", "--file-test", "fix.test"]
)
def test_names_with_signs_are_not_swapped(name):
    for seed in range(60):
        assert (
            name in other_language(f"please fix {name} in the file", "en", random.Random(seed)).text
        )


def test_articles_without_a_counterpart_go():
    """Czech, Polish and others have none; where a dictionary has one, it stands there swapped."""
    for seed in range(60):
        said = other_language("fix the zzz and a qqq of an xxx", "en", random.Random(seed))
        own = said.text[slice(*said.own)].split()
        assert "the" not in own
        assert "an" not in own
        assert {"zzz", "qqq", "xxx"} <= set(own)


def test_an_article_goes_and_the_words_around_it_stay():
    for seed in range(60):
        said = other_language("zzz the qqq", "en", random.Random(seed))
        own = said.text[slice(*said.own)]
        assert own.startswith("zzz ")
        assert own.endswith("qqq")
