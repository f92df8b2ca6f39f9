"""The commands that build the table, judge the routing and retrain.

Plain functions: a command line only has to register them.  What is heavy is imported when called.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.options import DialName
from benchmarks.studies import NAMES, load_study
from router.errors import RouterError
from router.evidence.catalogue import CATALOGUE_FILE, MODELS_DIR
from router.evidence.table import TABLE_FILE, load_table
from router.values import DEFAULT_DIAL, DIALS

if TYPE_CHECKING:
    from benchmarks.studies.study import Study
    from classifier.training.dataset import LabelledRow

SHARED_DATA: Final = Path("../shared/data")

Shared = Annotated[Path, typer.Option(help="Folder with the public outcomes and labels.")]


@contextmanager
def plain_errors(command: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn expected errors into one line on stderr and exit code 2."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*kinds, OSError)):
            raise
        typer.echo(f"auto-efficient {command}: {error}", err=True)
        raise typer.Exit(2) from error


def train(
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Your own labelled requests (JSONL), instead of ours.  Repeatable."),
    ] = None,
    shared: Shared = SHARED_DATA,
    corpus_only: Annotated[
        bool, typer.Option("--corpus-only", help="Train on the committed corpus alone.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the artefact is written.")] = MODELS_DIR,
    without: Annotated[
        list[str] | None, typer.Option(help="A source to leave out, as the card names it.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip cross-validation; keep the shipped temperatures.")
    ] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Train nothing; measure --out on held-out writers.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Retrain the classifier: labelled requests → artefact and model card."""
    from classifier.model import CARD_FILE, BadClassifier
    from classifier.training.cli import gather_rows, rescore_and_report, train_and_report
    from classifier.training.dataset import BadData

    console = Console(stderr=True)
    for needed in ("onnx", "scipy", "sklearn"):
        import_module(needed)  # a missing extra is found before the work, not at its end
    use_shared = not (data or corpus_only) and shared.is_dir()
    if not (data or corpus_only or use_shared):
        console.print(f"{shared} is not there: training on the committed corpus alone")
    with plain_errors("train", BadData, BadClassifier):
        if rescore:
            rescore_and_report(out, console)
            return
        public = _public_rows(shared, console) if use_shared else []
        rows = [r for r in gather_rows(data or [], public) if r.source not in (without or ())]
        shipped = json_module.loads((MODELS_DIR / CARD_FILE).read_bytes()) if quick else {}
        card = train_and_report(
            rows, out, console, tuple(shipped["temperatures"]) if quick else None
        )
    if json:
        typer.echo(json_module.dumps(card, indent=1))


def _public_rows(shared: Path, console: Console) -> list[LabelledRow]:
    """Read public labels and place benchmark items on the human-time scale."""
    import polars as pl

    from benchmarks.table.time_scale import placed_items
    from classifier.training.dataset import placed_rows, public_rows

    with console.status("placing benchmark items on the human-time scale (about a minute)"):
        placed = placed_items(shared)
    labelled = pl.read_parquet(shared / "coding" / "labelled_prompts.parquet")
    return [
        *public_rows(labelled.iter_rows(named=True)),
        *placed_rows(placed.iter_rows(named=True)),
    ]


def table_build(
    shared: Shared = SHARED_DATA,
    models: Annotated[Path, typer.Option(help="Folder with the catalogue.")] = MODELS_DIR,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; MODELS/table.json by default.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the table is stale.")
    ] = False,
) -> None:
    """Build the cost-quality table from recorded outcomes, byte for byte reproducibly."""
    from benchmarks.outcomes import BadOutcomes
    from benchmarks.table.build import build, to_bytes, write_atomically

    path = out or models / TABLE_FILE
    console = Console(stderr=True)
    with plain_errors("table build", BadOutcomes, RouterError):
        with console.status("fitting outcomes (one to three minutes)"):
            artefact = build(shared, catalogue_path=models / CATALOGUE_FILE)
        if check:
            stale = path.read_bytes() != to_bytes(artefact)
            console.print(
                f"{path} is {'stale: run `auto-efficient table build`' if stale else 'fresh'}"
            )
            raise typer.Exit(1 if stale else 0)
        write_atomically(path, artefact)
    console.print(f"wrote {path}: version {artefact['version']}, {len(artefact['units'])} units")


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
    """Show per cell who is adequate, with interval, cost and evidence."""
    from benchmarks.table.view import cells, show

    with plain_errors("table show", RouterError, ValueError, KeyError):
        table = load_table(models / TABLE_FILE)
        if json:
            for cell in cells(table, task=task, level=level, dial=DIALS[dial]):
                typer.echo(json_module.dumps(cell))
        else:
            view = show(table, task=task, level=level, dial=DIALS[dial], all_units=everyone)
            Console().print(view)


def table_diff(
    old: Annotated[Path, typer.Argument(help="A table.json.")],
    new: Annotated[Path, typer.Argument(help="Another; the shipped one by default.")] = (
        MODELS_DIR / TABLE_FILE
    ),
    dial: DialName = DEFAULT_DIAL,
) -> None:
    """Say what changed between two tables: units, numbers, who became adequate."""
    from benchmarks.table.view import diff

    with plain_errors("table diff", RouterError):
        Console().print(diff(load_table(old), load_table(new), dial=DIALS[dial]))


def evaluate(
    study: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help=f"A ready study: {', '.join(NAMES)}."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Prompts, Parquet or JSONL (schema: benchmarks/outcomes.py)."),
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
        bool, typer.Option("--catalogue", help="agents, adequacy: every catalogue model.")
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
    from benchmarks.outcomes import BadOutcomes
    from benchmarks.studies.study import Options
    from classifier.model import BadClassifier

    options = Options(shared, artefacts, seeds, whole_catalogue, leave_one_out)
    chosen = _chosen(study or alias, prompts, outcomes, pool, price or [])
    console = Console(stderr=True)
    with plain_errors("evaluate", BadOutcomes, CannotEvaluate, BadClassifier, RouterError):
        with console.status("") as status:
            found = chosen.run(options, status.update)
        if report is not None:
            console.print(f"wrote {chosen.report(found, report)}")
    if json or chosen.page is None:
        typer.echo(found.to_json())
    else:
        Console().print(Markdown(chosen.page(found)))


def _chosen(
    name: str | None,
    prompts: Path | None,
    outcomes: Path | None,
    pool: str | None,
    price: list[str],
) -> Study[Any]:
    """Return the study that was asked for: a ready one, or that of the user's own files."""
    from benchmarks.studies.own_files import study_of

    if (name is None) == (prompts is None or outcomes is None):
        raise typer.BadParameter(
            "give --prompts and --outcomes, or a study: `evaluate sessions`, or --study NAME"
        )
    if name in NAMES:
        return load_study(name)
    if prompts is None or outcomes is None:
        known = "\n".join(f"{name}: {load_study(name).doc}" for name in NAMES)
        raise typer.BadParameter(f"no such study; one of\n{known}", param_hint="STUDY or --study")
    models = [model.strip() for model in pool.split(",")] if pool else None
    return study_of(prompts, outcomes, models=models, usd_per_item=_prices(price) or None)


def _prices(given: list[str]) -> dict[str, float]:
    prices = {}
    for item in given:
        name, _, usd = item.rpartition("=")
        try:
            prices[name] = float(usd)
        except ValueError:
            raise typer.BadParameter(f"{item!r} is not MODEL=USD", param_hint="--price") from None
    return prices
