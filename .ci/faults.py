"""Seed faults, one at a time, into copies of the tree, and see which of them the tests catch.

    .venv/bin/uv pip install --python .venv/bin/python cosmic-ray==8.7.0
    .venv/bin/python .ci/faults.py --seed 20261129 --n 100 --out faults.jsonl

Faults are drawn without replacement from all *places* (a file, a span of it, a kind of fault) that
cosmic-ray knows, and then one of the place's faults, so that a comparison counts once and not seven
times.  Left out is what changes nothing by construction or cannot run at all: type annotations,
slots, caches, ``is`` for ``==`` and back, what does not compile.  A fault is tried on the tests of its
room, those named after its file first, and then on all others of the router that are not slow; it
is caught when one fails, or when they take longer than ``CPU_S``.  CONTRIBUTING.md says what came out.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import importlib
import json
import multiprocessing
import os
import py_compile
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("router/decision", "router/wire", "router/callers")
CPU_S = 120
WALL_S = 900
"""For tests that wait for ever; a busy machine alone must catch nothing."""

EQUIVALENT = {"Is_Eq", "IsNot_NotEq", "Eq_Is", "NotEq_IsNot"}
HEAVY = ("hypothesis", "schemathesis", "numpy", "onnxruntime", "fastapi_offline", "httpx", "typer",
         "openai", "anthropic", "uvicorn", "uvloop", "pydantic")  # fmt: skip
"""Imported once, and had by every run of the tests from then on."""

Place = tuple[str, int, int, int, int, str]
Fault = dict[str, Any]


def equivalent(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans in which no fault changes what the code does."""
    nodes: list[ast.expr | None] = []
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            nodes.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.append(node.returns)
            caches = (d for d in node.decorator_list if "cache" in ast.unparse(d))
            spans += [((d.lineno, 0), (d.lineno + 1, 0)) for d in caches]
        elif isinstance(node, ast.keyword) and node.arg == "slots":
            nodes.append(node.value)
    found = [n for n in nodes if n is not None]
    return spans + [
        ((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in found
    ]


def places() -> dict[Place, list[tuple[str, int]]]:
    """Map each place (file, start, end, kind) to its faults (operator, occurrence)."""
    found: dict[Place, list[tuple[str, int]]] = {}
    for path in sorted(p for room in ROOMS for p in (ROOT / room).glob("*.py")):
        code = path.read_text("utf-8")
        spans, nodes = equivalent(ast.parse(code)), list(ast_nodes(get_ast(code)))
        for name in sorted(operator_names()):
            if get_operator(name).arguments() or name.partition("Operator_")[2] in EQUIVALENT:
                continue
            operator = get_operator(name)()
            spots = [spot for node in nodes for spot in operator.mutation_positions(node)]
            for occurrence, (start, end) in enumerate(spots):
                if not any(a <= start and end <= b for a, b in spans):
                    kind = name.partition("Operator_")[0].removeprefix("core/")
                    place = (str(path.relative_to(ROOT)), *start, *end, kind)
                    found.setdefault(place, []).append((name, occurrence))
    return found


def faults(seed: int, n: int) -> list[Fault]:
    """Draw faults: each with its place and the file's text with the fault in it."""
    dice, every = random.Random(seed), places()
    drawn: list[Fault] = []
    for place in dice.sample(sorted(every), len(every)):
        name, occurrence = dice.choice(every[place])
        code = (ROOT / place[0]).read_text("utf-8")
        faulty = mutate_code(code, get_operator(name)(), occurrence)
        with contextlib.suppress(SyntaxError):
            compile(faulty, place[0], "exec")
            drawn.append({"file": place[0], "line": place[1], "fault": name, "code": faulty})
        if len(drawn) == n:
            return drawn
    raise SystemExit(f"there are no {n} faults")


def stages(tree: Path, file: str) -> list[list[str]]:
    """Return the closest tests first: those of the file's room, then all others of the router."""
    room, stem = Path("tests") / Path(file).parent, Path(file).stem
    every = [p.relative_to(tree) for p in sorted((tree / "tests/router").rglob("test_*.py"))]
    close = sorted((p for p in every if p.is_relative_to(room)), key=lambda p: stem not in p.stem)
    return [[str(p) for p in close], [str(p) for p in every if p not in close]]


def tried(tree: Path, fault: Fault) -> str | None:
    """Run the tests on a tree with the fault in it; return what caught it, None if nothing did."""
    path = tree / fault["file"]
    before = path.read_text("utf-8")
    path.write_text(fault["code"], "utf-8")
    try:
        return next(
            filter(None, (failure(tree, tests) for tests in stages(tree, fault["file"]))), None
        )
    finally:
        path.write_text(before, "utf-8")


def failure(tree: Path, tests: list[str]) -> str | None:
    """Return what failed first, None if nothing did."""
    said = tree.parent / "said"
    if not (child := os.fork()):
        test(tree, tests, said)
    deadline = time.monotonic() + WALL_S
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.05)
        done, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and what its tests left running
    if not done:
        os.waitpid(child, 0)
    if not done or os.WIFSIGNALED(status):
        return "time-out"
    lines = said.read_text("utf-8", "replace").splitlines() or ["nothing was said"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return [*failed, lines[-1]][0][:300] if os.WEXITSTATUS(status) else None


def test(tree: Path, tests: list[str], said: Path) -> None:
    """Be a process that runs tests and ends."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ["PYTHONPATH"] = str(tree)
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "--tb=no"]
    options += ["--hypothesis-seed=1", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = 1
    try:
        code = pytest.main([*options, *tests])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def work(tree: Path, drawn: list[Fault], tasks: Any, results: Any) -> None:
    """Try faults on a tree until there are none."""
    for i in iter(tasks.get, None):
        results.put((i, tried(tree, drawn[i])))


def main() -> None:
    """Draw, try, and write a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the faults to try")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    drawn = faults(args.seed, args.n)
    numbers = range(args.n) if args.only is None else args.only
    for name in HEAVY:
        importlib.import_module(name)
    fork = multiprocessing.get_context("fork")
    tasks, results = fork.SimpleQueue(), fork.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, args.out.open("w", encoding="utf-8") as out:
        workers = []
        for i in range(args.workers):
            tree = Path(folder) / str(i) / "tree"
            skip = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "results")
            shutil.copytree(ROOT, tree, ignore=skip)
            by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
            compileall.compile_dir(tree, quiet=2, invalidation_mode=by_hash)
            workers.append(fork.Process(target=work, args=(tree, drawn, tasks, results)))
        sound = {"file": drawn[0]["file"], "code": (ROOT / drawn[0]["file"]).read_text("utf-8")}
        if caught := tried(tree, sound):
            raise SystemExit(f"without a fault the tests fail: {caught}")
        for worker in workers:
            worker.start()
        for i in [*numbers, *(None for _ in workers)]:
            tasks.put(i)
        for _ in numbers:
            i, caught = results.get()
            fault = drawn[i]
            out.write(json.dumps({"i": i, **fault, "caught": caught}) + "\n")
            out.flush()
            if not caught:
                sys.stdout.write(f"{i} {fault['file']}:{fault['line']} {fault['fault']} survived\n")
                sys.stdout.flush()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main()
