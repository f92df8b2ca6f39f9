"""What is installed is what is declared, and what is declared is used."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from router.catalogue import models_dir
from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BASE = PYPROJECT["project"]["dependencies"]
EXTRAS = [r for extra in PYPROJECT["project"]["optional-dependencies"].values() for r in extra]
GROUPS = PYPROJECT["dependency-groups"]
DEV = [*BASE, *EXTRAS, *GROUPS["dev"]]


def names(requirements):
    return {canonicalize_name(Requirement(r).name) for r in requirements}


def imported(*folders):
    """Return the distributions that the code under the folders imports, wherever in a file."""
    own = {"auto_efficient", "router", "classifier", "benchmarks", "tests"}
    found = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    providers = packages_distributions()
    modules = found - own - sys.stdlib_module_names
    return {canonicalize_name(name) for module in modules for name in providers[module]}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    assert imported("router") <= names(BASE)  # the gateway needs no extra
    shipped = imported("auto_efficient", "router", "classifier", "benchmarks")
    assert shipped == names([*BASE, *EXTRAS])
    assert imported("tests") <= names(DEV)


def test_artefacts_are_found_in_a_checkout_and_in_a_wheel(tmp_path):
    assert models_dir(tmp_path) == tmp_path / "models"
    packaged = tmp_path / "auto_efficient" / "models"
    packaged.mkdir(parents=True)
    assert models_dir(tmp_path) == tmp_path / "models"
    (packaged / "catalogue.toml").touch()
    assert models_dir(tmp_path) == packaged
