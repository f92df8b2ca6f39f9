"""What the documentation says is generated where it can be, complete, fresh, and it works."""

from __future__ import annotations

import re
import tomllib

import pytest

import auto_efficient
from auto_efficient.cli import app
from benchmarks.docs import BLOCKS, commands, headers, rendered
from benchmarks.docs.api import told_kinds
from benchmarks.docs.pages import blocks_named
from benchmarks.docs.settings import MODELS
from classifier.tasks import TYPES
from router.callers.keys import OWN_KEY_PREFIX
from router.callers.wishes import WISHES
from router.evidence.catalogue import load_catalogue
from router.serving.headers import TOLD
from router.settings import Settings
from router.values import DIALS
from router.wire.clients import KINDS
from tests.conftest import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "models" / "README.md")
}
DOCS = {name: text for name, text in PAGES.items() if name.startswith(("docs/", "README"))}

README_BYTES = 6144


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_everything_generated_is_fresh_and_shown():
    """Run `auto-efficient docs` when this fails."""
    for name, text in rendered(app=app, package=auto_efficient).items():
        assert PAGES[name] == text, f"{name} is stale: run `auto-efficient docs`"
    assert {name for text in DOCS.values() for name in blocks_named(text)} == BLOCKS.keys()


@pytest.mark.parametrize("model", MODELS.values())
def test_every_setting_is_described(model):
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} needs a description"


def test_every_name_that_people_use_stands_in_some_page():
    options, words = [], []
    for command, called in commands.walk(commands.root(app), (commands.NAME,)):
        words.append(" ".join(called))
        taken = commands.parameters(command)
        options += [o for p in taken if p.param_type_name == "option" for o in p.opts]
    client_headers = [name for names, _ in headers.SAYS for name in names]
    request_headers = [*(wish.header for wish in WISHES), *KINDS, *client_headers, OWN_KEY_PREFIX]
    codes = [kind.code for kind in told_kinds()]
    tiers = [tier.id for tier in load_catalogue().tiers]
    reply_headers = [told.name for told in TOLD]
    everything = "\n".join(DOCS.values())
    for name in (
        *words,
        *options,
        *request_headers,
        *reply_headers,
        *codes,
        *tiers,
        *DIALS,
        *TYPES,
    ):
        assert name in everything, f"{name} is nowhere in README.md or docs/"


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue  # another site
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page} links to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page} links to {target}: no such heading"


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_the_two_commands_of_the_readme_are_targets():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^\$ make (\w+)", PAGES["README.md"], re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_no_paths_of_one_machine_are_committed():
    for name, text in PAGES.items():
        assert not re.search(r"/home/|/tmp/|/work/|/root/", text), name


def test_python_that_is_shown_runs(capsys):
    exec("\n".join(code_blocks(DOCS["docs/embed.md"], "python")), {"__name__": "embed"})
    assert capsys.readouterr().out.count("\n") >= 3


def test_configuration_that_is_shown_is_accepted(tmp_path):
    """A block of TOML is ours when it sets one of our settings; other programs' are left alone."""
    shown = [block for text in DOCS.values() for block in code_blocks(text, "toml")]
    ours = [block for block in shown if Settings.model_fields.keys() & tomllib.loads(block).keys()]
    assert ours
    for block in ours:
        path = tmp_path / "auto-efficient.toml"
        path.write_text(block, "utf-8")
        Settings.load(environ={}, config=path)
