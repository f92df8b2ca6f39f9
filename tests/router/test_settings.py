"""Settings come from several sources, and what is wrong in one is named."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ValidationError

from router.errors import BadArtefact
from router.settings import Settings


def test_later_sources_override_earlier_ones(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('port = 1\nhost = "0.0.0.0"\n[timeouts]\nidle_s = 3\n')
    environ = {"AUTO_EFFICIENT_PORT": "2", "AUTO_EFFICIENT_WORKERS": "2"}
    settings = Settings.load(environ=environ, overrides={"workers": 3, "host": None}, config=config)
    assert (settings.host, settings.port, settings.workers) == ("0.0.0.0", 2, 3)
    assert settings.timeouts.idle_s == 3


@pytest.mark.parametrize("text", ["porrt = 1", "port = 99999", "port = ", 'upstream = "ftp://x"'])
def test_bad_settings_are_refused_with_their_name(tmp_path, text):
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(BadArtefact, match="por|upstream|cannot read"):
        Settings.load(environ={}, config=config)


def test_secrets_do_not_show():
    settings = Settings.load(environ={"AUTO_EFFICIENT_UPSTREAM_KEY": "sk-secret"})
    assert "sk-secret" not in repr(settings)
    assert "sk-secret" not in settings.model_dump_json()


def test_a_key_for_a_provider_that_is_not_there_is_refused():
    settings = Settings.model_validate({"keys": {"opnai": "sk-1"}})
    with pytest.raises(BadArtefact, match=r"no provider 'opnai'.*openai"):
        settings.make_providers({})


def test_two_keys_share_no_name():
    def with_keys(*names):
        rows = [{"name": name, "sha256": f"{i:064x}"} for i, name in enumerate(names)]
        return Settings.model_validate({"callers": rows})

    assert len(with_keys("anna", "ben").callers) == 2
    for names in (("anna", "anna"), ("owner",), ("anonymous 1.2.3.4",)):
        with pytest.raises(ValueError, match="called"):
            with_keys(*names)


def test_names_and_origins_are_read_from_a_file_or_one_variable_and_checked():
    environ = {
        "AUTO_EFFICIENT_OWN_NAMES": "Host.Docker.Internal, gateway.lan",
        "AUTO_EFFICIENT_ALLOWED_ORIGINS": "https://chat.example/ file://",
    }
    home = Settings.load(environ=environ).home
    assert home.names == {"host.docker.internal", "gateway.lan"}
    assert home.origins == {"https://chat.example", "file://"}
    for name, value in (("own_names", "http://x"), ("own_names", "*"), ("allowed_origins", "null")):
        with pytest.raises(BadArtefact, match=name):
            Settings.load(environ={}, overrides={name: [value]})


def test_two_keys_of_one_digest_are_refused_by_name():
    rows = "".join(f'[[callers]]\nname = "{name}"\nsha256 = "{"0" * 64}"\n' for name in ("a", "b"))
    with pytest.raises(ValidationError, match="a and b have the same sha256"):
        Settings.model_validate(tomllib.loads(rows))
