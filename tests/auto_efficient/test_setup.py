"""Clients are set up in their own files, whatever else stands there, and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_efficient.changed_files import BACKUP, NOTE, NotChanged, change, create, undo
from auto_efficient.clients import Filling, load_clients
from auto_efficient.config_text import SYNTAXES, jsonc
from auto_efficient.config_text.trees import leaves

CLIENTS = load_clients()
URL = "http://127.0.0.1:4000"
FILLING = Filling(URL, "kilo-auto/efficient", "sk-of-mine")

JSONC = """{
  // the theme
  "theme": "dark", /* kept */
  "env": {"FOO": "1"}, "list": [1, 2, {"a": "}"}],
}
"""
TOML = """# mine
approval = "never"  # quick

[mcp.docs]
command = "docs"
args = ["[a]", "b"]
"""
YAML = "# mine\nmodel: old  # favourite\nlist:\n  - a\n"
ENV = "# mine\nexport FOO='a b'\nMODEL=old # why\n"
SAMPLES = {"jsonc": JSONC, "toml": TOML, "yaml": YAML, "env": ENV}
SETTINGS = {
    "jsonc": {("model",): "m", ("env", "BAR"): "2", ("a", "b.c", "d/e"): 3},
    "toml": {("model",): "m", ("size",): 3, ("providers", "auto", "name"): "Auto"},
    "yaml": {("model",): "m/x", ("key",): "true"},
    "env": {("MODEL",): "m", ("KEY",): "a'b c"},
}


def always(settings):
    return lambda text: settings


def run(*words: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **environ}
    if path := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = path
    command = [sys.executable, "-m", "auto_efficient", "setup", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def listing(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder; onnxruntime makes itself a ``.cache``."""
    paths = [p for p in folder.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


# Laws of a change.


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_set_is_there_and_the_rest_stays(tmp_path, name):
    path = tmp_path / "file"
    path.write_text(SAMPLES[name])
    assert change(path, name, always(SETTINGS[name]))
    text, syntax = path.read_text(), SYNTAXES[name]
    for keys, value in SETTINGS[name].items():
        assert syntax.find(text, keys) == syntax.written(value)
    kept = syntax.values(SAMPLES[name]).items()
    assert {k: v for k, v in kept if k not in SETTINGS[name]}.items() <= syntax.values(text).items()
    for note in ("// the theme", "/* kept */") if name == "jsonc" else ("# mine",):
        assert note in text
    assert (tmp_path / ("file" + BACKUP)).read_text() == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_undone_it_is_as_before(tmp_path, name, ends, mark):
    path = tmp_path / "file"
    path.write_bytes((mark + SAMPLES[name].replace("\n", ends)).encode())
    path.chmod(0o640)
    before = listing(tmp_path)
    change(path, name, always(SETTINGS[name]))
    assert path.read_bytes().count(b"\r\n") == (
        path.read_bytes().count(b"\n") if ends == "\r\n" else 0
    )
    assert undo(path) == []
    assert listing(tmp_path) == before
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", SAMPLES)
def test_twice_is_once(tmp_path, name):
    path = tmp_path / "file"
    path.write_text(SAMPLES[name])
    change(path, name, always(SETTINGS[name]))
    once = listing(tmp_path)
    assert not change(path, name, always(SETTINGS[name]))
    assert listing(tmp_path) == once


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_that_was_not_there_is_gone_again(tmp_path, name):
    path = tmp_path / "folder" / "file"
    change(path, name, always(SETTINGS[name]))
    assert path.stat().st_mode & 0o777 == 0o600
    assert undo(path) == []
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("name", SAMPLES)
def test_after_others_changed_it_only_ours_is_taken_out(tmp_path, name):
    path, syntax = tmp_path / "file", SYNTAXES[name]
    path.write_text(SAMPLES[name])
    change(path, name, always(SETTINGS[name]))
    path.write_text(syntax.put(path.read_text(), ("theirs",), syntax.written("new")))
    assert undo(path) == []
    after = syntax.values(path.read_text())
    assert after == syntax.values(SAMPLES[name]) | {
        ("theirs",): syntax.values(syntax.put("", ("theirs",), syntax.written("new")))[("theirs",)]
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_what_others_set_anew_stays_and_is_told(tmp_path, name):
    path, syntax = tmp_path / "file", SYNTAXES[name]
    path.write_text(SAMPLES[name])
    change(path, name, always(SETTINGS[name]))
    first = next(iter(SETTINGS[name]))
    path.write_text(syntax.put(path.read_text(), first, syntax.written("theirs")))
    assert len(undo(path)) == 1
    assert syntax.find(path.read_text(), first) == syntax.written("theirs")


def test_a_change_after_somebody_elses_is_undone_without_theirs(tmp_path):
    path = tmp_path / "file"
    path.write_text(JSONC)
    change(path, "jsonc", always({("model",): "a"}))
    path.write_text(jsonc.put(path.read_text(), ("theirs",), "1"))
    change(path, "jsonc", always({("model",): "b"}))
    undo(path)
    assert jsonc.values(path.read_text()) == jsonc.values(JSONC) | {("theirs",): 1}


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "dotfiles", tmp_path / "file"
    real.write_text("{}")
    link.symlink_to(real)
    change(link, "jsonc", always({("a",): 1}))
    assert link.is_symlink()
    assert json.loads(real.read_text()) == {"a": 1}
    undo(link)
    assert real.read_text() == "{}"


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
keys = st.lists(st.text(), min_size=1, max_size=3).map(tuple)


@given(
    st.dictionaries(st.text(), trees, max_size=4),
    keys,
    st.text() | st.integers(),
    st.sampled_from([None, 1, "\t"]),
)
def test_any_json_is_set_and_undone(tree, path, value, indent):
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.json"
        file.write_bytes(text.encode())
        try:
            changed = change(file, "jsonc", always({path: value}))
        except NotChanged:
            assert file.read_bytes() == text.encode()
            return
        after = leaves(json.loads(file.read_bytes()))
        assert after[path] == value
        before = {p: v for p, v in leaves(tree).items() if path[: len(p)] != p}
        assert before.items() <= after.items()
        if changed:
            undo(file)
        assert file.read_bytes() == text.encode()


@given(st.text(alphabet='{}[]",:/* \n\\a1'))
def test_no_text_is_made_worse(text):
    with tempfile.TemporaryDirectory() as folder:
        for name in SAMPLES:
            file = Path(folder) / name
            file.write_bytes(text.encode())
            try:
                change(file, name, always(SETTINGS[name]))
                undo(file)
            except NotChanged:
                pass
            assert file.read_bytes() == text.encode()


lines = st.sampled_from(
    ["", "# note", 'a = "x"', "b = 1 # n", "[t]", "[t.u]", "[[l]]", 'c = """', '"""', "d = [", "]"]
)


@given(st.lists(lines, max_size=12).map("\n".join))
def test_any_toml_keeps_what_it_says(text):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_bytes(text.encode())
        try:
            change(file, "toml", always(SETTINGS["toml"] | {("t", "u", "v"): "w"}))
        except NotChanged:
            return
        after = leaves(tomllib.loads(file.read_text()))
        assert after[("t", "u", "v")] == "w"
        kept = {p: v for p, v in leaves(tomllib.loads(text)).items() if v != {}}
        assert kept.items() <= after.items()
        undo(file)
        assert file.read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jsonc", "{"),
        ("jsonc", "[1]"),
        ("jsonc", '{"a": 1}'),
        ("toml", "a = ["),
        ("toml", 'providers.auto.name = "x"'),
        ("toml", 'model = """\nlong"""'),
    ],
)
def test_what_cannot_be_edited_is_left_alone(tmp_path, name, text):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(NotChanged):
        change(path, name, always(SETTINGS[name]))
    assert listing(tmp_path) == {"file": text.encode()}


def test_a_file_in_another_encoding_is_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(NotChanged, match="UTF-8"):
        change(path, "jsonc", always({("a",): 1}))


def test_a_whole_file_is_replaced_by_force_alone(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("mine: 1\n")
    with pytest.raises(NotChanged, match="--force"):
        create(path, "yaml", "ours: 1\n", force=False)
    assert create(path, "yaml", "ours: 1\n", force=True)
    undo(path)
    assert path.read_text() == "mine: 1\n"


def test_a_whole_file_that_was_changed_since_stays_and_so_does_what_was_there_before(tmp_path):
    path, backup = tmp_path / "config.yaml", tmp_path / f"config.yaml{BACKUP}"
    path.write_text("mine: 1\n")
    create(path, "yaml", "ours: 1\n", force=True)
    path.write_text("ours: 1\nmine: 2\n")
    with pytest.raises(NotChanged, match="--undo"):
        create(path, "yaml", "ours: 2\n", force=True)
    assert backup.name in undo(path)[0]
    assert (path.read_text(), backup.read_text()) == ("ours: 1\nmine: 2\n", "mine: 1\n")
    with pytest.raises(NotChanged, match="move it away"):
        create(path, "yaml", "ours: 1\n", force=True)
    assert set(listing(tmp_path)) == {path.name, backup.name}


def test_what_others_wrote_in_another_way_is_told(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine = 1\n")
    change(path, "toml", always({("servers", "auto", "key"): "sk-1"}))
    path.write_text('mine = 2\n[servers]\nauto = {key = "sk-1"}\n')
    [said] = undo(path)
    assert said.startswith("servers.auto.key was written in another way")


def test_a_comment_that_was_added_after_our_table_does_not_hold_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine = 1\n")
    change(path, "toml", always({("servers", "auto", "key"): "sk-1"}))
    path.write_text(f"{path.read_text()}\n# mine\n[servers.mine]\nkey = 1\n")
    assert undo(path) == []
    assert path.read_text() == "mine = 1\n\n# mine\n[servers.mine]\nkey = 1\n"


def test_what_others_broke_is_left_until_it_is_mended(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"mine": 1}')
    change(path, "jsonc", always({("a",): 1}))
    whole = path.read_text()
    path.write_text(f'{{"other": 1, {whole[1:-1]}')
    broken = listing(tmp_path)
    with pytest.raises(NotChanged, match="mend it"):
        undo(path)
    assert listing(tmp_path) == broken
    path.write_text(f'{{"other": 1, {whole[1:]}')
    assert undo(path) == []
    assert json.loads(path.read_text()) == {"other": 1, "mine": 1}


def test_a_file_that_was_deleted_since_is_as_it_was_before(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'{"mine": 1}')
    path.chmod(0o640)
    change(path, "jsonc", always({("a",): 1}))
    path.unlink()
    assert undo(path) == []
    assert (listing(tmp_path), path.stat().st_mode & 0o777) == ({"file": b'{"mine": 1}'}, 0o640)


# The clients.


@pytest.mark.parametrize(
    ("client", "file"),
    [(name, file) for name, row in CLIENTS.items() for file in row.files],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_client_gets_what_its_row_says(tmp_path, client, file):
    if file.whole:
        pytest.skip("is written whole")
    path = tmp_path / "file"
    change(path, file.syntax, lambda text: file.settings(FILLING, text))
    found = SYNTAXES[file.syntax].values(path.read_text())
    assert found.keys() == file.settings(FILLING).keys()
    assert FILLING.key in path.read_text()
    assert "{" not in path.read_text().replace("{\n", "").replace("{}", "")


def test_every_client_can_be_set_up_somehow():
    for row in CLIENTS.values():
        assert row.files or row.commands or row.env
        assert row.docs.startswith("https://")
        assert row.checked.year >= 2026


def test_a_setting_of_the_users_own_stays(tmp_path):
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"permissions": {"defaultMode": "plan"}}')
    assert run("claude-code", "--write", home=tmp_path).returncode == 0
    assert json.loads(settings.read_text())["permissions"] == {"defaultMode": "plan"}


def test_the_command_prints_and_writes_nothing(tmp_path):
    got = run("claude-code", "--key", "sk-secret", home=tmp_path)
    assert got.returncode == 0
    assert f"{tmp_path}/.claude/settings.json" in got.stdout
    assert '"ANTHROPIC_BASE_URL": "http://127.0.0.1:4000"' in got.stdout
    assert "sk-secret" not in got.stdout + got.stderr
    assert listing(tmp_path) == {}


def test_the_command_writes_and_undoes(tmp_path):
    config = tmp_path / "codex" / "config.toml"
    config.parent.mkdir()
    config.write_text(TOML)
    words = ("codex", "--url", "http://gate:1/v1/", "--key", "sk-1", "--write")
    got = run(*words, home=tmp_path, CODEX_HOME=str(config.parent))
    assert got.returncode == 0, got.stderr
    read = tomllib.loads(config.read_text())
    assert read["model_providers"]["auto"]["base_url"] == "http://gate:1/v1"
    assert read["model_providers"]["auto"]["experimental_bearer_token"] == "sk-1"
    assert read["mcp"]["docs"]["command"] == "docs"
    assert "sk-1" not in got.stdout
    got = run("codex", "--undo", home=tmp_path, CODEX_HOME=str(config.parent))
    assert got.returncode == 0, got.stderr
    assert listing(tmp_path) == {"codex/config.toml": TOML.encode()}


def test_a_key_that_others_can_read_is_told(tmp_path):
    config = tmp_path / ".codex" / "config.toml"
    config.parent.mkdir()
    config.touch(0o644)
    assert "chmod 600" in run("codex", "--key", "k", "--write", home=tmp_path).stderr
    assert "chmod 600" not in run("codex", "--write", home=tmp_path).stderr


def test_without_a_key_none_is_written(tmp_path):
    assert run("codex", "--write", home=tmp_path).returncode == 0
    read = tomllib.loads((tmp_path / ".codex" / "config.toml").read_text())
    assert "experimental_bearer_token" not in read["model_providers"]["auto"]


def test_the_project_is_one_folder(tmp_path):
    project = tmp_path / "project"
    got = run("openai-sdk", "--project", str(project), "--write", home=tmp_path)
    assert got.returncode == 0, got.stderr
    text = (project / ".env").read_text()
    assert text == "OPENAI_BASE_URL=http://127.0.0.1:4000/v1\nOPENAI_API_KEY=local\n"
    assert (project / (".env" + NOTE)).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "there are claude-code"),
        (("codex", "--write", "--undo"), "exclude"),
        (("codex", "--undo"), "nothing was changed"),
        (("codex", "--project", ".", "--write"), "no file"),
        (("cline", "--write"), "no file"),
        (("openai-sdk", "--write"), "--project"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path, words, said):
    got = run(*words, home=tmp_path)
    assert got.returncode == 2
    assert said in got.stderr
    assert listing(tmp_path) == {}


def test_a_broken_file_is_named_and_left(tmp_path):
    config = tmp_path / ".claude" / "settings.json"
    config.parent.mkdir()
    config.write_text('{"env": ')
    got = run("claude-code", "--write", home=tmp_path)
    assert got.returncode == 2
    assert str(config) in got.stderr
    assert config.read_text() == '{"env": '
