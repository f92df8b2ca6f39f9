"""What is installed is what is declared, what is declared is used, and the locks are fresh."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from auto_efficient import __version__
from auto_efficient.cli import app
from router.evidence.catalogue import models_dir
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BASE = PYPROJECT["project"]["dependencies"]
EXTRAS = [r for extra in PYPROJECT["project"]["optional-dependencies"].values() for r in extra]
GROUPS = PYPROJECT["dependency-groups"]
EXTRAS_OF = PYPROJECT["project"]["optional-dependencies"]
LOCKS = {
    "serve": BASE,
    "deploy": [*BASE, *EXTRAS_OF["postgres"], *EXTRAS_OF["redis"], *EXTRAS_OF["otel"]],
    "dev": [*BASE, *EXTRAS, *GROUPS["dev"]],
    "install": GROUPS["install"],
}
every_lock = pytest.mark.parametrize("name", LOCKS)


def names(requirements):
    return {canonicalize_name(Requirement(r).name) for r in requirements}


def locked(name):
    """Return name → (version, the rest of its block: hashes, and who asks for it)."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==([^\s;]+)(.*?)(?=^[a-z]|\Z)", text, re.M | re.S)
    return {package: (version, rest) for package, version, rest in blocks}


@every_lock
def test_locks_are_fresh(name):
    """Run `make lock` when this fails."""
    lock = locked(name)
    for requirement in map(Requirement, LOCKS[name]):
        version, _ = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement
        assert not requirement.extras, "name what the extra brings: a lock does not say"
    asked = {package for package, (_, rest) in lock.items() if "auto-efficient (" in rest}
    assert asked == names(LOCKS[name])


@every_lock
def test_locks_hold_hashes_and_name_no_place(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    assert not re.search(r"://|^-|\.\./|@ ", text, re.MULTILINE)
    assert all("--hash=sha256:" in rest for _, rest in locked(name).values())


def test_locks_agree_on_every_version():
    dev = locked("dev")
    for name in ("serve", "deploy", "install"):
        for package, (version, _) in locked(name).items():
            assert dev.get(package, (version,))[0] == version, package
    assert locked("serve").keys() < locked("deploy").keys() < dev.keys()


def always(tree):
    """Go over what runs when a module is imported: all but the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from always(node)


def imported(*folders, walk=ast.walk):
    """Return the distributions that the code under the folders imports, wherever ``walk`` goes."""
    own = {"auto_efficient", "router", "classifier", "benchmarks", "deploy", "examples", "tests"}
    found = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    providers = packages_distributions()
    modules = found - own - sys.stdlib_module_names
    return {name for module in modules for name in brought(providers[module])}


def brought(distributions):
    """Return which distributions a module comes from: of many that share a name, those declared."""
    found = {canonicalize_name(name) for name in distributions}
    return found & names(LOCKS["dev"]) or found


BY_NAME = {"psycopg", "psycopg-binary"}
"""What SQLAlchemy loads by the name of a URL's driver."""


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    assert imported("router", walk=always) <= names(BASE)  # the gateway needs no extra
    shipped = imported("auto_efficient", "router", "classifier", "benchmarks")
    assert shipped | BY_NAME == names([*BASE, *EXTRAS])
    assert imported("tests") <= names(LOCKS["dev"])


def test_artefacts_are_found_in_a_checkout_and_in_a_wheel(tmp_path):
    assert models_dir(tmp_path) == tmp_path / "models"
    packaged = tmp_path / "auto_efficient" / "models"
    packaged.mkdir(parents=True)
    assert models_dir(tmp_path) == tmp_path / "models"
    (packaged / "catalogue.toml").touch()
    assert models_dir(tmp_path) == packaged


def test_the_version_is_written_down_once():
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.stdout.strip() == __version__ == PYPROJECT["project"]["version"]


def test_what_scripts_import_by_its_old_place_is_the_same():
    from classifier import dataset
    from classifier.training.dataset import read_jsonl
    from router import catalogue
    from router.evidence.catalogue import MODELS_DIR, load_catalogue

    assert dataset.read_jsonl is read_jsonl
    assert (catalogue.MODELS_DIR, catalogue.load_catalogue) == (MODELS_DIR, load_catalogue)
