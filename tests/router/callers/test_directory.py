"""Who may ask: looked up by what a key hashes to, under the terms of organisation, team and key."""

from __future__ import annotations

import hashlib

from router.callers.directory import Access, Holder, directory_of
from router.callers.keys import Keys
from router.callers.terms import Terms


def holder(name="anna", secret="s3cret", team=None, scopes=(Access.INFERENCE,), expires_s=None):
    sha256 = hashlib.sha256(secret.encode()).hexdigest()
    return Holder(name, sha256, team, frozenset(scopes), expires_s)


def test_a_key_opens_until_it_expires():
    directory = directory_of([holder(expires_s=100.0)])
    assert directory.of_key("s3cret", 99.9).caller.name == "anna"
    assert directory.of_key("s3cret", 100.0) is None
    assert directory.of_key("S3cret", 0.0) is None
    assert directory.of_key("\ud800", 0.0) is None


def test_the_accounts_of_a_key_are_its_organisation_team_and_own():
    terms = {name: Terms(credit_usd=1) for name in ("org", "team:a:b", "team:a", "key:anna")}
    member = directory_of([holder(team="a:b")], terms).of_key("s3cret", 0.0)
    assert [account for account, _ in member.allowances] == ["org", "team:a:b", "key:anna"]


def test_the_organisations_budget_holds_for_the_owner_and_for_anonymous_callers():
    directory = directory_of([], {"org": Terms(credit_usd=1, deny={"openai/*"})})
    for member in (directory.owner, directory.anonymous):
        assert [account for account, _ in member.allowances] == ["org"]
        assert member.caller.limits.deny == {"openai/*"}


def test_the_nearest_own_key_to_a_provider_is_used_and_shown_by_no_repr():
    secrets = {"org": {"openai": "o1", "mistral": "o2"}, "team:x": {"openai": "t1"}}
    member = directory_of([holder(team="x")], {}, secrets).of_key("s3cret", 0.0)
    assert member.own_keys == {"openai": "t1", "mistral": "o2"}
    assert "t1" not in repr(member)


def test_a_key_with_the_scope_admin_opens_everything():
    member = directory_of([holder(scopes=[Access.ADMIN])]).of_key("s3cret", 0.0)
    assert all(member.opens(access) for access in Access)
    reader = directory_of([holder(scopes=[Access.READ])]).of_key("s3cret", 0.0)
    assert [access for access in Access if reader.opens(access)] == [Access.READ]


def test_where_there_was_a_key_nobody_becomes_the_owner():
    keys = Keys(directory_of([], had_keys=True), local=True)
    assert keys.identify({}, "127.0.0.1", 0.0).caller.anonymous
    assert not Keys(directory_of([]), local=True).identify({}, "127.0.0.1", 0.0).caller.anonymous


def test_an_older_directory_never_takes_the_place_of_a_newer_one():
    keys = Keys(directory_of([holder()]), local=True)
    newer = directory_of([], had_keys=True, revision=2)
    keys.renew(newer)
    keys.renew(directory_of([holder()], revision=1))
    assert keys.directory is newer
