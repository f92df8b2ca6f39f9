"""The commands that build the table, judge the routing and retrain.

Plain functions: a command line only has to register them.  What is heavy is imported when called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.status import Status

from benchmarks.options import OWN_MODELS, DialName
from benchmarks.output import json_text
from benchmarks.studies import NAMES, load_study
from router.errors import RouterError
from router.evidence.catalogue import MODELS_DIR, file_of
from router.evidence.table import TABLE_FILE, load_table
from router.values import DEFAULT_DIAL, dial_named

if TYPE_CHECKING:
    from benchmarks.studies.study import Options, Study
    from classifier.training.dataset import LabelledRow

SHARED_DATA: Final = Path("../shared/data")

Shared = Annotated[Path, typer.Option(help="Folder with the public outcomes and labels.")]


@contextmanager
def plain_errors(command: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn expected errors into one line on stderr and exit code 2."""
    try:
        yield
    except Exception as error:
        if isinstance(error, BrokenPipeError) or not isinstance(error, (*kinds, OSError)):
            raise
        said = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            said = f"{error.filename}: {error.strerror}"
        typer.echo(f"auto-efficient {command}: {said}", err=True)
        raise typer.Exit(2) from error


def train(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Your own labelled requests, JSONL or Parquet, instead of ours.  Repeatable."
        ),
    ] = None,
    shared: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder with the public outcomes and labels; {SHARED_DATA} by default, where it lies."
        ),
    ] = None,
    corpus_only: Annotated[
        bool, typer.Option("--corpus-only", help="Train on the committed corpus alone.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder where the artefact is written; what is there is replaced.")
    ] = OWN_MODELS,
    without: Annotated[
        list[str] | None, typer.Option(help="A source to leave out, as the card names it.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Skip cross-validation; keep the shipped temperatures and turns."
        ),
    ] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Train nothing; measure --out on held-out writers.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Retrain the classifier: labelled requests → artefact and model card."""
    from classifier.model import ARTEFACT_FILES, BadClassifier, Classifier
    from classifier.training.cli import gather_rows, rescore_and_report, train_and_report
    from classifier.training.rows import BadData
    from classifier.training.staged import must_be_writable

    sources = {"--data": data, "--corpus-only": corpus_only, "--shared": shared}
    _one_of(sources, "say where the rows come from; give one")
    if rescore:
        given = {"--without": without, "--quick": quick, **sources}
        _one_of({"--rescore": True, **given}, "--rescore trains nothing; leave out the rest")
    console = Console(stderr=True)
    use_shared = shared is not None or not (data or corpus_only or rescore) and SHARED_DATA.is_dir()
    for needed in ("onnx", "scipy", "sklearn", *["polars"] * use_shared):
        import_module(needed)  # a missing extra is found before the work, not at its end
    with plain_errors("train", BadData, BadClassifier):
        if rescore:
            card = rescore_and_report(out, console)
        else:
            must_be_writable(out, *ARTEFACT_FILES)
            public = _public_rows(shared or SHARED_DATA, console) if use_shared else []
            if not (data or corpus_only or use_shared):
                typer.echo(
                    f"{SHARED_DATA} is not there: the committed corpus alone is read", err=True
                )
            rows, notes = gather_rows(data or [], public, without or [])
            for note in notes:
                typer.echo(note, err=True)
            shipped = Classifier.load(MODELS_DIR).card if quick else None
            card = train_and_report(rows, out, console, shipped)
    if json:
        typer.echo(json_text(card, indent=1))


def _one_of(given: Mapping[str, object], why: str) -> None:
    """Refuse options that exclude each other."""
    named = [option for option, value in given.items() if value not in (None, False)]
    if len(named) > 1:
        raise typer.BadParameter(f"{why} of {', '.join(named)}")


def _public_rows(shared: Path, console: Console) -> list[LabelledRow]:
    """Read public labels and place benchmark items on the human-time scale."""
    from benchmarks.frames import read_columns
    from benchmarks.outcomes import CODING, GENERAL
    from benchmarks.schema import LABEL_COLUMNS
    from benchmarks.table.time_scale import placed_items
    from classifier.training.dataset import placed_rows, public_rows

    path = shared / "coding" / "labelled_prompts.parquet"
    labelled = read_columns(path, LABEL_COLUMNS).frame
    with console.status("placing benchmark items on the human-time scale (about a minute)"):
        # What ships learned from these two.  The third set is the table's alone: types and levels
        # in it are our own reading, and a classifier that learned those would be taught itself.
        placed = placed_items(shared, (GENERAL, CODING))
    return [
        *public_rows(labelled.iter_rows(named=True)),
        *placed_rows(placed.iter_rows(named=True)),
    ]


def table_build(
    shared: Shared = SHARED_DATA,
    models: Annotated[Path, typer.Option(help="Folder with the catalogue.")] = MODELS_DIR,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"File to write; {TABLE_FILE} in MODELS by default, without --models in {OWN_MODELS}."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; exit 1 if OUT, or MODELS' own table, is stale."
        ),
    ] = False,
) -> None:
    """Build the cost-quality table from recorded outcomes, byte for byte reproducibly."""
    from benchmarks.table.build import build, to_bytes
    from classifier.training.rows import BadData
    from classifier.training.staged import replacing

    ours = models == MODELS_DIR and not check
    path = out or (OWN_MODELS if ours else models) / TABLE_FILE
    console = Console(stderr=True)
    with plain_errors("table build", BadData, RouterError):
        there = path.read_bytes() if check else b""
        with nullcontext(Path()) if check else replacing(path.parent, path.name) as made:
            with console.status("fitting outcomes (one to three minutes)"):
                artefact = build(shared, models=models, progress=console.print)
            fresh = to_bytes(artefact)
            if not check:
                (made / path.name).write_bytes(fresh)
    if check:
        stale = there != fresh
        typer.echo(
            f"{path} is {'stale: run `auto-efficient table build`' if stale else 'fresh'}", err=True
        )
        raise typer.Exit(1 if stale else 0)
    typer.echo(
        f"wrote {path}: version {artefact['version']}, {len(artefact['units'])} units", err=True
    )


def table_show(
    task: Annotated[
        str | None, typer.Argument(help="A family, a type or family/type; all without it.")
    ] = None,
    level: Annotated[int | None, typer.Option(min=1, max=4, help="Difficulty, 1 to 4.")] = None,
    dial: DialName = DEFAULT_DIAL,
    everyone: Annotated[
        bool, typer.Option("--all", help="Show units that fall short too.")
    ] = False,
    models: Annotated[Path, typer.Option(help="Folder with the table.")] = MODELS_DIR,
    json: Annotated[bool, typer.Option("--json", help="Print the cells as JSON.")] = False,
) -> None:
    """Show per cell who is near the best and who is picked, with interval, cost and evidence."""
    from benchmarks.table.view import cells, show

    with plain_errors("table show", RouterError, ValueError, KeyError):
        table = load_table(file_of(models, TABLE_FILE))
        if json:
            for cell in cells(table, task=task, level=level, dial=dial_named(dial)):
                typer.echo(json_text(cell))
        else:
            view = show(table, task=task, level=level, dial=dial_named(dial), all_units=everyone)
            Console().print(view)


def table_diff(
    old: Annotated[Path, typer.Argument(help="A table.json.")],
    new: Annotated[Path, typer.Argument(help="Another; the shipped one by default.")] = (
        MODELS_DIR / TABLE_FILE
    ),
    dial: DialName = DEFAULT_DIAL,
) -> None:
    """Say what changed between two tables: units, numbers, and who is picked."""
    from benchmarks.table.view import diff

    with plain_errors("table diff", RouterError):
        Console().print(diff(load_table(old), load_table(new), dial=dial_named(dial)))


def evaluate(
    study: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help=f"A ready study: {', '.join(NAMES)}."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Prompts, Parquet or JSONL (schema: benchmarks/schema.py)."),
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option(help="Outcomes of models on those prompts, Parquet or JSONL.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option("--models", help="Models of the pool as the outcomes name them, a,b,…"),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option("--study", help="The same as the argument."),
    ] = None,
    shared: Shared = SHARED_DATA,
    seeds: Annotated[int, typer.Option(min=1, help="Number of splits.")] = 5,
    price: Annotated[
        list[str] | None, typer.Option(help="MODEL=USD per item, where outcomes lack costs.")
    ] = None,
    whole_catalogue: Annotated[
        bool, typer.Option("--catalogue", help="agents: every catalogue model.")
    ] = False,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="routellm, eleven: one benchmark out at a time.")
    ] = False,
    artefacts: Annotated[Path, typer.Option(help="Folder with the classifier.")] = MODELS_DIR,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page with figures into this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the evaluation as JSON.")] = False,
) -> None:
    """Judge our routing and every baseline on recorded outcomes, with intervals."""
    from benchmarks.judge.pool import CannotEvaluate
    from benchmarks.studies.study import Options
    from classifier.model import BadClassifier
    from classifier.training.rows import BadData
    from classifier.training.staged import replacing

    own = {"--prompts": prompts, "--outcomes": outcomes, "--models": pool, "--price": price}
    name = _study_named(study, alias, own)
    chosen = load_study(name) if name else _own_study(prompts, outcomes, pool, price or [])
    options = Options(shared, artefacts, seeds, whole_catalogue, leave_one_out)
    _refuse_unheeded(chosen, options)
    if report is not None and chosen.draws:
        import_module("matplotlib")  # a missing extra is found before the work, not at its end
    console = Console(stderr=True)
    with (
        plain_errors("evaluate", BadData, CannotEvaluate, BadClassifier, RouterError),
        nullcontext() if report is None else replacing(report) as made,
    ):
        with console.status("") as status:
            found = chosen.run(options, partial(_tell, console, status))
        page = None if made is None else chosen.report(found, made)
    if report is not None and page is not None:
        typer.echo(f"wrote {report / page.name}", err=True)
    if json or chosen.page is None:
        typer.echo(found.to_json())
    else:
        Console().print(Markdown(chosen.page(found)))


def _tell(console: Console, status: Status, what: str) -> None:
    """Show how far a study is: in place at a terminal, else line by line."""
    if console.is_terminal:
        status.update(escape(what))
    else:
        typer.echo(what, err=True)


def _study_named(study: str | None, alias: str | None, own: Mapping[str, object]) -> str | None:
    """Return the name of the ready study that is asked for, None where one's own files are."""
    given = [option for option, value in own.items() if value is not None]
    names = {name for name in (study, alias) if name is not None}
    if len(names) > 1:
        raise typer.BadParameter(f"two studies are named: {', '.join(sorted(names))}")
    if not names:
        if own["--prompts"] is None or own["--outcomes"] is None:
            raise typer.BadParameter(
                "give --prompts and --outcomes, or a study: `evaluate sessions`, or --study NAME"
            )
        return None
    (name,) = names
    if name not in NAMES:
        known = "\n".join(f"{name}: {load_study(name).doc}" for name in NAMES)
        raise typer.BadParameter(f"no such study; one of\n{known}", param_hint="STUDY or --study")
    if given:
        raise typer.BadParameter(f"the study {name} has its own data; leave out {', '.join(given)}")
    return name


def _own_study(
    prompts: Path | None, outcomes: Path | None, pool: str | None, price: list[str]
) -> Study[Any]:
    """Return the study of the user's own files."""
    from benchmarks.studies.own_files import study_of

    assert prompts is not None
    assert outcomes is not None
    models = None if pool is None else [name.strip() for name in pool.split(",") if name.strip()]
    if models == []:
        raise typer.BadParameter("names no model", param_hint="--models")
    return study_of(prompts, outcomes, models=models, usd_per_item=_prices(price))


def _refuse_unheeded(study: Study[Any], options: Options) -> None:
    """Refuse an option that the study would pass over."""
    asked = {"whole_catalogue": "--catalogue", "leave_one_out": "--leave-one-out"}
    for field, option in asked.items():
        if getattr(options, field) and field not in study.heeds:
            raise typer.BadParameter(
                f"{study.name} does not heed it; leave it out", param_hint=option
            )


def _prices(given: list[str]) -> dict[str, float]:
    """Read MODEL=USD; raises BadParameter for what is no price, and for a model named twice."""
    prices: dict[str, float] = {}
    for item in given:
        name, _, usd = (part.strip() for part in item.rpartition("="))
        try:
            stated = float(usd)
        except ValueError:
            stated = math.nan
        if not name or not 0 <= stated < math.inf:
            problem = f"{item!r} is not MODEL=USD, US dollars per item from 0 up"
            raise typer.BadParameter(problem, param_hint="--price")
        if name in prices:
            raise typer.BadParameter(f"{name} is priced twice", param_hint="--price")
        prices[name] = stated
    return prices
