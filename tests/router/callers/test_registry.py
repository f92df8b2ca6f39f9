"""Keys, teams and terms in a database: made, changed, ended, each change written down and seen by others."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from router.callers.directory import Access
from router.callers.keys import Key
from router.callers.meters import END_S
from router.callers.registry import FIRST_ADMIN, FIRST_ADMIN_S, Made, Registry
from router.callers.rows import terms_in
from router.callers.seal import Seal
from router.errors import BadRequest, NotFound
from router.storage.database import file_url, open_database

SEAL = Seal(b"a" * 16)
FIXED = Key(name="file", sha256=hashlib.sha256(b"file-key").hexdigest(), deny={"openai/*"})


class Clock:
    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(tmp_path):
    engine = open_database(file_url(tmp_path / "books.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def registry(engine, clock):
    return Registry(engine, SEAL, fixed=[FIXED], clock=clock)


def opens(registry, clock, key: str):
    return registry.directory().of_key(key, clock.now_s)


# Keys.


def test_a_key_is_kept_as_its_digest_alone_and_opens(registry, clock, engine, tmp_path):
    made = registry.create("anna", "test", scopes=[Access.READ])
    member = opens(registry, clock, made.key)
    assert (member.caller.name, member.scopes) == ("anna", {Access.READ})
    engine.dispose()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.key.encode() not in written
    assert made.key not in str(registry.listed()) + str(registry.history())
    assert registry.listed()[0]["hint"] == made.key[-4:]


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "x" * 101, "owner", "anonymous", "anonymous 1.2.3.4", "a/b", "..", "file"],
)
def test_a_name_that_is_somebody_elses_or_none_is_refused(registry, name):
    with pytest.raises(BadRequest):
        registry.create(name, "test")


def test_a_name_is_one_name_however_its_letters_are_composed(registry):
    registry.create("Jose\u0301", "test")
    with pytest.raises(BadRequest, match="rotate it"):
        registry.create("Jos\u00e9", "test")


@pytest.mark.parametrize("expires_s", [0.0, float("nan"), float("inf"), END_S + 1])
def test_a_day_that_is_past_or_none_is_no_expiry(registry, expires_s):
    with pytest.raises(BadRequest, match="expires"):
        registry.create("anna", "test", expires_s=expires_s)
    assert registry.listed() == []


def test_a_rotated_key_opens_through_its_grace_and_the_new_one_after(registry, clock):
    old = registry.create("anna", "test", scopes=[Access.INFERENCE, Access.READ])
    new = registry.rotate("anna", "test", grace_s=60)
    assert opens(registry, clock, old.key).caller.name == "anna"
    assert opens(registry, clock, new.key).scopes == {Access.INFERENCE, Access.READ}
    clock.now_s += 61
    assert opens(registry, clock, old.key) is None
    assert opens(registry, clock, new.key)


def test_rotating_never_lengthens_a_key(registry, clock):
    ends_s = clock.now_s + 100
    old = registry.create("anna", "test", expires_s=ends_s)
    new = registry.rotate("anna", "test")
    assert new.expires_s == ends_s
    registry.rotate("anna", "test", grace_s=float("inf"))
    clock.now_s = ends_s
    assert opens(registry, clock, old.key) is None
    assert opens(registry, clock, new.key) is None


def test_revoking_forgets_the_own_provider_keys_of_a_name(registry):
    registry.create("anna", "ops")
    registry.set_secret("key:anna", "openai", "sk-hers", "ops")
    registry.set_secret("org", "openai", "sk-ours", "ops")
    registry.revoke("anna", "ops")
    registry.create("anna", "ops")
    assert registry.secrets() == {"org": {"openai": "sk-ours"}}


def test_revoking_ends_every_key_of_a_name_and_leaves_nobody_the_owner(registry, clock):
    old, new = registry.create("anna", "test"), registry.rotate("anna", "test")
    registry.revoke("anna", "test")
    assert not opens(registry, clock, old.key)
    assert not opens(registry, clock, new.key)
    bare = Registry(registry._engine, SEAL, clock=clock).directory()
    assert (bare.has_keys, bare.by_digest) == (True, {})
    with pytest.raises(NotFound):
        registry.revoke("anna", "test")


def test_a_key_of_the_settings_is_changed_there(registry):
    changes = (
        lambda: registry.revoke("file", "test"),
        lambda: registry.rotate("file", "test"),
        lambda: registry.change("file", "test", team=None),
        lambda: registry.set_terms("key:file", {"dial": "economy"}, "test"),
        lambda: registry.set_secret("key:file", "openai", "k", "test"),
    )
    for change in changes:
        with pytest.raises(BadRequest, match="of the settings"):
            change()
    assert registry.terms()["key:file"].deny == {"openai/*"}


def test_team_scopes_and_expiry_change_and_the_holder_goes_on(registry, clock):
    registry.create_team("core", "test")
    made = registry.create("anna", "test")
    ends_s = clock.now_s + 100
    registry.change("anna", "test", team="core", scopes=[Access.READ], expires_s=ends_s)
    member = opens(registry, clock, made.key)
    assert (member.caller.team, member.scopes, member.expires_s) == ("core", {Access.READ}, ends_s)
    registry.change("anna", "test", team=None, expires_s=None)
    assert opens(registry, clock, made.key).caller.team is None
    for wrong in ({"team": "none"}, {"scopes": []}, {"expires_s": 1.0}):
        with pytest.raises((BadRequest, NotFound)):
            registry.change("anna", "test", **wrong)
    change = registry.history("key:anna")[0]
    assert (change["action"], '"team":"core"' in change["before"]) == ("key.change", True)


def test_a_change_gives_a_rotated_key_no_longer_life(registry, clock):
    old = registry.create("anna", "test")
    registry.rotate("anna", "test", grace_s=60)
    registry.change("anna", "test", expires_s=None, scopes=[Access.READ])
    assert opens(registry, clock, old.key).scopes == {Access.READ}
    clock.now_s += 61
    assert opens(registry, clock, old.key) is None


# The first admin key.


def test_the_first_admin_key_is_made_once_and_ends_with_the_next_one(registry, clock):
    made = registry.first_admin()
    assert isinstance(made, Made)
    assert opens(registry, clock, made.key).scopes == set(Access)
    assert (
        registry.first_admin()
        == made.expires_s
        == pytest.approx(clock.now_s + FIRST_ADMIN_S, abs=1)
    )
    registry.create("anna", FIRST_ADMIN)
    assert opens(registry, clock, made.key)
    registry.create("boss", FIRST_ADMIN, scopes=[Access.ADMIN])
    assert opens(registry, clock, made.key) is None
    assert registry.first_admin() is None


def test_it_is_made_again_once_it_expired_and_ends_where_another_becomes_one(registry, clock):
    first = registry.first_admin()
    clock.now_s += FIRST_ADMIN_S
    again = registry.first_admin()
    assert isinstance(again, Made)
    assert again.key != first.key
    registry.create("anna", "test")
    registry.change("anna", "test", scopes=[Access.ADMIN])
    assert opens(registry, clock, again.key) is None


def test_an_admin_key_of_the_settings_is_enough(engine, clock):
    boss = Key(name="boss", sha256="0" * 64, scopes={Access.ADMIN})
    assert Registry(engine, SEAL, fixed=[boss], clock=clock).first_admin() is None


def test_of_replicas_that_start_at_once_one_makes_it(engine):
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: Registry(engine, SEAL).first_admin(), range(4)))
    assert len([one for one in made if isinstance(one, Made)]) == 1


# Teams and terms.


def test_terms_take_the_place_of_what_was_said_and_a_patch_changes_a_part(registry):
    registry.create_team("a:b", "test")
    registry.set_terms("team:a:b", {"dial": "economy", "requests_per_minute": 3}, "test")
    registry.set_terms(
        "team:a:b", {"requests_per_minute": None, "credit_usd": 2}, "test", patches=True
    )
    said = registry.terms()["team:a:b"]
    assert (said.dial, said.requests_per_minute, said.credit_usd) == ("economy", None, 2)
    registry.set_terms("team:a:b", {}, "test")
    assert "team:a:b" not in registry.terms()
    assert [row["after"] for row in registry.history("team:a:b")][0] is None


def test_patches_at_the_same_time_lose_nothing(registry):
    fields = ("requests_per_minute", "tokens_per_minute", "credit_usd", "max_cost_usd")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda f: registry.set_terms("org", {f: 7}, "test", patches=True), fields))
    assert {getattr(registry.terms()["org"], field) for field in fields} == {7}


@pytest.mark.parametrize(
    "fields",
    [
        {"requests_per_minute": 10**30},
        {"dial": "\ud800"},
        {"budgets": [{"usd": float("nan"), "per": "day"}]},
        {"no_such": 1},
        {"credit_usd": -1},
        {"allow": []},
    ],
)
def test_terms_that_cannot_be_read_are_refused_by_name(fields):
    with pytest.raises(BadRequest, match="terms: "):
        terms_in(fields)


@pytest.mark.parametrize(
    "account", ["team:none", "key:none", "anna", "team:", "", "address:1.2.3.4"]
)
def test_an_account_that_there_is_not_has_no_terms(registry, account):
    with pytest.raises((BadRequest, NotFound)):
        registry.set_terms(account, {"dial": "economy"}, "test")


def test_what_does_not_pass_the_check_is_not_kept(registry):
    def refuse(terms):
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        registry.set_terms("org", {"dial": "economy"}, "test", check=refuse)
    assert "org" not in registry.terms()
    assert registry.history() == []


# Own provider keys.


def test_a_provider_key_is_encrypted_and_used_by_its_holders(
    registry, clock, engine, tmp_path, caplog
):
    made = registry.create("anna", "test")
    registry.set_secret("key:anna", "openai", "sk-very-secret", "test")
    assert opens(registry, clock, made.key).own_keys == {"openai": "sk-very-secret"}
    assert "sk-very-secret" not in str(registry.history())
    other = Registry(engine, Seal(b"b" * 16), clock=clock)
    assert opens(other, clock, made.key).own_keys == {}
    assert "sealed by another secret_key" in caplog.text
    registry.set_secret("key:anna", "openai", None, "test")
    assert registry.secrets() == {}
    engine.dispose()
    assert all(b"sk-very-secret" not in path.read_bytes() for path in tmp_path.iterdir())


# What was changed.


def test_every_change_is_written_down_and_raises_the_revision(registry):
    changes = {
        "team.create": lambda: registry.create_team("core", "boss"),
        "key.create": lambda: registry.create("anna", "boss", team="core"),
        "key.change": lambda: registry.change("anna", "boss", team=None),
        "key.rotate": lambda: registry.rotate("anna", "boss"),
        "terms.set": lambda: registry.set_terms("key:anna", {"dial": "economy"}, "boss"),
        "provider_key.set": lambda: registry.set_secret("key:anna", "openai", "k", "boss"),
        "provider_key.forget": lambda: registry.set_secret("key:anna", "openai", None, "boss"),
        "rows.forget": lambda: registry.forgotten("anna", "boss", 3),
        "key.revoke": lambda: registry.revoke("anna", "boss"),
    }
    for action, change in changes.items():
        before = registry.revision()
        change()
        newest = registry.history()[0]
        assert (newest["action"], newest["actor"]) == (action, "boss")
        assert registry.revision() == before + 1 == registry.directory().revision
    assert len(registry.history()) == len(changes)


def test_terms_that_this_gateway_cannot_read_are_not_passed_over(registry, engine):
    registry.set_terms("org", {"dial": "economy"}, "test")
    with engine.begin() as connection:
        connection.execute(text("""UPDATE terms SET terms = '{"newer": 1}'"""))
    with pytest.raises(BadRequest, match="newer"):
        registry.directory()
