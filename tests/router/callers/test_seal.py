"""What is sealed opens with the same key alone, and what is signed holds for its purpose alone."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.seal import KEY_FILE, Seal, seal_of
from router.errors import BadArtefact

ONE, OTHER = Seal(b"a" * 16), Seal(b"b" * 16)


@given(st.text())
def test_what_is_sealed_opens_with_its_key_and_no_other(text):
    text = text.encode("utf-8", "replace").decode()
    sealed = ONE.sealed(text)
    assert ONE.opened(sealed) == text
    assert OTHER.opened(sealed) is None
    assert ONE.opened(sealed[:-3] + b"AAA") is None


@given(st.text(), st.text())
def test_a_signature_holds_for_its_text_its_key_and_its_purpose(text, other):
    signed = ONE.signed(text, "sign-in")
    assert ONE.verified(signed, "sign-in") == text
    assert ONE.verified(signed, "form") is None
    assert OTHER.verified(signed, "sign-in") is None
    assert ONE.verified(other, "sign-in") is None
    assert ONE.verified(f"{other}{signed}", "sign-in") in (None, text if not other else None)


def test_a_short_key_is_refused_with_how_to_make_one():
    with pytest.raises(BadArtefact, match="openssl rand"):
        seal_of("short", None)


def test_without_one_a_file_that_only_its_owner_reads_keeps_it(tmp_path):
    folder = tmp_path / "state"
    sealed = seal_of("", folder).sealed("sk-1")
    assert seal_of("", folder).opened(sealed) == "sk-1"
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert seal_of("", tmp_path / "elsewhere").opened(sealed) is None
    assert seal_of("k" * 32, folder).opened(sealed) is None


def test_a_folder_that_cannot_be_used_ends_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArtefact, match="state_dir"):
        seal_of("", tmp_path / "file")
