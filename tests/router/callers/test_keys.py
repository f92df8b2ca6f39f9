"""Who calls: the owner, the holder of a key, or nobody in particular."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.directory import directory_of
from router.callers.keys import (
    KEY_HEADERS,
    MAX_PRESENTED,
    OWN_KEY_CHARS,
    OWNER,
    Key,
    Keys,
    fixed_holders,
    fixed_terms,
    own_keys,
    presented_keys,
)
from router.errors import BadRequest, Unauthenticated


def keys_of(*held: Key, local: bool = True) -> Keys:
    return Keys(directory_of(fixed_holders(held), fixed_terms(held)), local=local)


def who(keys: Keys, headers, address="1.2.3.4"):
    return keys.identify(headers, address, 0.0).caller


def key(secret: str, **more) -> Key:
    return Key(name="anna", sha256=hashlib.sha256(secret.encode()).hexdigest(), **more)


def test_with_no_key_and_on_loopback_every_local_caller_is_the_owner():
    keys = keys_of(local=True)
    for headers in ({}, {"authorization": "Bearer whatever"}, {"host": "127.0.0.1:4000"}):
        assert who(keys, headers, "127.0.0.1") == OWNER
    assert who(keys, {"host": "localhost", "origin": "http://localhost:3000"}, "::1") == OWNER
    assert who(keys, {"origin": "vscode-webview://x"}, "127.0.0.1") == OWNER


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_a_web_page_in_the_owners_browser_is_not_the_owner(headers):
    assert who(keys_of(local=True), headers, "127.0.0.1").anonymous


def test_a_key_is_known_or_refused_and_none_is_anonymous():
    keys = keys_of(key("s3cret", dial="economy", balance=False), local=True)
    for headers in ({"x-api-key": "s3cret"}, {"authorization": "bearer  s3cret"}):
        caller = who(keys, headers, "1.2.3.4")
        assert (caller.name, caller.dial.name, caller.balance) == ("anna", "economy", False)
    with pytest.raises(Unauthenticated):
        who(keys, {"authorization": "Bearer wrong"}, "1.2.3.4")
    assert who(keys, {}, "1.2.3.4").anonymous
    assert who(keys_of(local=False), {}, "1.2.3.4").anonymous


@given(
    st.permutations(["s3cret", "wrong", "-", ""]),
    st.sampled_from(["{}", "Bearer {}", "bearer   {} ", "{}, sk-other", "sk-other, Bearer {}"]),
)
def test_any_right_key_opens_wherever_it_stands(presented, written):
    keys = keys_of(key("other"), key("s3cret"), local=True)
    headers = dict(zip(KEY_HEADERS, map(written.format, presented), strict=True))
    assert who(keys, headers, "1.2.3.4").name == "anna"


def test_a_key_with_a_comma_is_one_key():
    keys = keys_of(key("a,b"), local=True)
    assert who(keys, {"x-api-key": "a,b"}, "1.2.3.4").name == "anna"


def test_of_a_flood_of_keys_few_are_looked_at():
    flood = presented_keys(dict.fromkeys(KEY_HEADERS, "k," * 30_000))
    assert len(flood) == len(KEY_HEADERS) * (1 + MAX_PRESENTED)


def test_a_provider_that_is_not_known_is_refused_where_a_key_is_brought_to_it():
    known = frozenset({"openai", "mistral"})
    assert own_keys({"x-provider-key-openai": "k", "x-provider-key-zzz": " "}, known)
    for name, hint in (("opnai", "did you mean openai"), ("zzz", "there are mistral, openai")):
        with pytest.raises(BadRequest, match=hint):
            own_keys({f"x-provider-key-{name}": "k"}, known)


@given(st.text(max_size=40))
def test_any_authorization_header_is_read_without_failing(value):
    presented_keys({"authorization": value})
    own_keys({"x-provider-key-openai": value})


# How often.


def test_a_key_of_ones_own_is_brought_by_its_header_alone():
    headers = {
        "x-provider-key-openai": " sk-1 ",
        "x-provider-key-mistral": "  ",
        "authorization": "Bearer sk-2",
        "x-api-key": "sk-3",
        "x-provider": "sk-4",
    }
    assert own_keys(headers) == {"openai": "sk-1"}


def test_what_is_too_long_for_a_key_is_refused_by_the_name_of_its_header():
    assert own_keys({"x-provider-key-openai": "k" * OWN_KEY_CHARS})
    with pytest.raises(BadRequest, match=r"x-provider-key-openai: 60,000 characters are no key"):
        own_keys({"x-provider-key-openai": "k" * 60_000}, frozenset({"openai"}))
