"""``auto-efficient route``: say what a request asks for, what should serve it, and why."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from benchmarks.options import DialName, Json, ModelsDir
from classifier.model import Assessment
from classifier.tasks import LEVELS, TYPES
from classifier.training.rows import BadData, Misfit, parsed, read_lines
from router.callers.wishes import narrowed, read_wishes, resolved
from router.decision import reasons
from router.decision.engine import Engine
from router.decision.explain import as_json
from router.errors import BadRequest, RouterError
from router.evidence.catalogue import MODELS_DIR
from router.evidence.names import Names, UnknownName
from router.values import DEFAULT_DIAL, Caller, Candidate, Decision, Dial, Limits, dial_named
from router.wire.format import interface_of
from router.wire.request import ChatRequest, from_fields, from_text, parse

SHOWN_TYPES: Final = 5
SHOWN_CANDIDATES: Final = 12

DEFAULT_PATH: Final = "/v1/chat/completions"


def route(
    text: Annotated[
        str | None,
        typer.Argument(help="The ask; without it a request body (JSON) is read from stdin."),
    ] = None,
    path: Annotated[
        str, typer.Option(help="Path of the stdin body: tells its wire format.")
    ] = DEFAULT_PATH,
    mode: Annotated[str, typer.Option(help="Agent mode, as in x-kilocode-mode.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header, 'Name: value'.")
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option(help='Decide for every line: {"text": …} or {"path", "headers", "body"}.'),
    ] = None,
    dial: DialName = DEFAULT_DIAL,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Model that may serve, * is any text; all without it.  Repeatable."),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(help="Model never to use, * is any text.  Repeatable."),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="Most US dollars expected for this request's plan.")
    ] = None,
    min_quality: Annotated[
        float, typer.Option(help="Least expected probability of success, 0 to 1.")
    ] = 0.0,
    open_weights: Annotated[
        bool, typer.Option("--open-weights", help="Only models with open weights.")
    ] = False,
    data_policy: Annotated[
        list[str] | None,
        typer.Option(help="Data policy, as the catalogue names it, that will do.  Repeatable."),
    ] = None,
    prompt_logging: Annotated[
        bool,
        typer.Option(
            "--prompt-logging", "--allow-logging", help="Also free offers, which may log prompts."
        ),
    ] = False,
    pin: Annotated[str | None, typer.Option(help="The one model that may serve.")] = None,
    json: Json = False,
    models: ModelsDir = MODELS_DIR,
) -> None:
    """Say what a request asks for, which model should serve it, and why.  Calls no model."""
    if jsonl is not None and (text is not None or mode or header):
        raise typer.BadParameter(
            "lines of a file carry their own text and headers; drop the others"
        )
    limits = _limits(
        allow=allow,
        deny=deny or [],
        max_cost_usd=max_cost,
        min_quality=min_quality,
        open_weights_only=open_weights,
        data_policies=data_policy,
        prompt_logging=prompt_logging,
        pin=pin,
    )
    headers = _headers(header or [], mode)
    caller = Caller("owner", owner=True, dial=dial_named(dial), limits=limits)
    try:
        engine = Engine.load(models)
        caller = _under_limits(caller, engine)
        if jsonl is not None:
            raise typer.Exit(_route_lines(engine, jsonl, caller, path))
        asked = _narrowed(caller, headers, engine)
        request = _request(text, path, headers)
        assessment, decision = engine.decide(request, dial=asked.dial, limits=asked.limits)
    except (RouterError, BadData) as error:
        typer.echo(f"auto-efficient route: {error}", err=True)
        raise typer.Exit(2) from error
    if json:
        sys.stdout.buffer.write(orjson.dumps(as_json(assessment, decision)) + b"\n")
    else:
        show(assessment, decision, asked.dial, Console())


def _limits(**fields: object) -> Limits:
    """Check what the options allow, as keys and headers are checked."""
    try:
        return Limits.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).removesuffix("_usd").replace("_", "-")
        raise typer.BadParameter(first["msg"].lower(), param_hint=f"--{option}") from None


def _route_lines(engine: Engine, file: Path, caller: Caller, path: str) -> int:
    """Print one JSON line per request; returns the exit code, 1 if a line could not be read.

    ``path`` holds where a line names none.  Raises BadData for a file that cannot be read.
    """
    failed = done = 0
    for number, line in read_lines(file):
        try:
            request, headers = _line_request(line, path)
            asked = _narrowed(caller, headers, engine)
            decided = engine.decide(request, dial=asked.dial, limits=asked.limits)
            answer = as_json(*decided)
        except (RouterError, Misfit) as error:
            failed += 1
            answer = {"error": str(error), "line": number}
        done += 1
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    if not done:
        raise BadData("holds no lines", path=file)
    if failed:
        typer.echo(f"auto-efficient route: {failed} of {done} lines could not be decided", err=True)
    return 1 if failed else 0


def _under_limits(caller: Caller, engine: Engine) -> Caller:
    """Let limits name models as people do; raises BadRequest for one that there is not."""
    try:
        return replace(caller, limits=Names(engine.catalogue).within(caller.limits))
    except UnknownName as error:
        raise BadRequest(f"--{error}") from None


def _narrowed(caller: Caller, headers: Mapping[str, str], engine: Engine) -> Caller:
    lower = {name.lower(): value for name, value in headers.items()}
    return narrowed(caller, resolved(read_wishes(lower), Names(engine.catalogue)))


def _line_request(line: bytes, path: str) -> tuple[ChatRequest, dict[str, str]]:
    """Return the request of a line, and its headers; raises BadRequest and Misfit."""
    raw = parsed(line)
    if ("text" in raw) == ("body" in raw):
        raise BadRequest('each line must be {"text": …} or {"path", "headers", "body"}')
    headers = {} if raw.get("headers") is None else raw["headers"]
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise BadRequest("`headers` must map names to strings")
    if "text" in raw:
        if not isinstance(raw["text"], str):
            raise BadRequest("`text` must be a string")
        return _from_text(raw["text"], headers), headers
    path = path if raw.get("path") is None else raw["path"]
    if not isinstance(path, str):
        raise BadRequest("`path` must be a string")
    body, interface = raw["body"], interface_of(path)
    if isinstance(body, str):
        read = parse(body.encode(), interface=interface, headers=headers, path=path)
        return read, headers
    if not isinstance(body, dict):
        raise BadRequest("`body` must be a JSON object, or one as a string")
    return from_fields(body, body=line, interface=interface, headers=headers, path=path), headers


def _from_text(text: str, headers: Mapping[str, str]) -> ChatRequest:
    """Make a request of a text alone, with the headers that came with it."""
    body = from_text(text).body
    return parse(body, interface=interface_of(DEFAULT_PATH), headers=headers)


def _request(text: str | None, path: str, headers: dict[str, str]) -> ChatRequest:
    if text is None and sys.stdin.isatty():
        raise BadRequest("give an ask as argument, a request body on stdin, or --jsonl FILE")
    if text is not None:
        return _from_text(text, headers)
    body = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    return parse(body, interface=interface_of(path), headers=headers, path=path)


def _headers(given: list[str], mode: str) -> dict[str, str]:
    headers = {"x-kilocode-mode": mode} if mode else {}
    for item in given:
        name, colon, value = item.partition(":")
        if not colon:
            raise typer.BadParameter(f"{item!r} is not 'Name: value'", param_hint="--header")
        if name.strip().lower() in {known.lower() for known in headers}:
            raise typer.BadParameter(f"{name.strip()} is given twice", param_hint="--header")
        headers[name.strip()] = value.strip()
    return headers


def show(assessment: Assessment, decision: Decision, dial: Dial, console: Console) -> None:
    """Print a decision for a person: what was read, what the table says, what was chosen."""
    console.print(Text("ask        ", style="dim") + Text(_one_line(assessment.ask)))
    top = assessment.p_type.argsort()[::-1][:SHOWN_TYPES]
    console.print(_bars("task", [(TYPES[i], float(assessment.p_type[i])) for i in top]))
    levels = zip(LEVELS, assessment.p_level, strict=True)
    console.print(_bars("difficulty", [(name, float(p)) for name, p in levels]))
    if assessment.declared:
        console.print(Text("moved by   ", style="dim") + Text(assessment.declared))
    console.print(_grid(decision, dial))
    console.print(Text("decision   ", style="dim") + Text(decision.unit.model, style="bold green"))
    if decision.unit.effort:
        console.print(Text("effort     ", style="dim") + Text(decision.unit.effort))
    fallbacks = ", ".join(str(unit) for unit in decision.fallbacks) or "none"
    console.print(Text("fallbacks  ", style="dim") + Text(fallbacks))
    if decision.successor:
        console.print(Text("then       ", style="dim") + Text(str(decision.successor)))
    console.print(Text("why        ", style="dim") + Text(decision.why))


def _bars(title: str, shares: list[tuple[str, float]]) -> Grid:
    grid = Grid(box=None, show_header=False, padding=(0, 1, 0, 0))
    for i, (name, share) in enumerate(shares):
        bar = "█" * round(share * 24)
        grid.add_row(Text(f"{title if not i else '':10}", style="dim"), f"{share:4.0%}", bar, name)
    return grid


def _grid(decision: Decision, dial: Dial) -> Grid:
    span = reasons.span_of(decision.input_tokens)
    title = (
        f"table: ✓ likely near the best at a margin of {dial.margin:.0%}; $ task and $ plan {span}, "
        f"$ ordinary {reasons.ORDINARY}"
    )
    grid = Grid(title=title, title_justify="left", header_style="dim", box=None)
    for column in (
        "",
        "model",
        "success",
        "P(near)",
        "$ ordinary",
        "$ task",
        "then",
        "$ plan",
        "score",
        "evidence",
    ):
        left = column in {"", "model", "then", "evidence"}
        grid.add_column(column, justify="left" if left else "right")
    for c in _shown(decision):
        picked = c.unit == decision.unit
        grid.add_row(
            "→" if picked else "✓" if c.near else "",
            Text(str(c.unit), style="bold" if picked else ""),
            f"{c.quality:.1%}",
            f"{c.p_near:.2f}",
            f"{c.ordinary_usd:.4f}",
            f"{c.task_usd:.4f}",
            str(c.second or ""),
            f"{c.plan_usd:.4f}",
            f"{c.score:.4f}",
            c.evidence.value,
        )
    if (more := len(decision.candidates) - SHOWN_CANDIDATES) > 0:
        grid.add_row("", Text(f"… and {more} more", style="dim"))
    return grid


def _shown(decision: Decision) -> list[Candidate]:
    """Return the chosen one, the best, and those that were nearest to being chosen; cheapest first."""
    every = list(decision.candidates)
    best = max((c.lower for c in every), default=0.0)
    first = sorted(
        every, key=lambda c: (c.unit != decision.unit, c.lower < best, not c.near, c.score)
    )
    return sorted(first[:SHOWN_CANDIDATES], key=lambda c: c.plan_usd)


def _one_line(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= 160 else f"{joined[:157]}…"
