"""Write the ledger out: CSV, JSON lines, Parquet, a page of rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import BigInteger, Boolean, Engine, Float, Integer

from router.books.find import every
from router.storage.schema import requests

COLUMNS: Final = [column.name for column in requests.columns]

Page = Sequence[Mapping[str, Any]]


def as_csv(rows: Page, *, head: bool = True) -> str:
    """Write rows as CSV; a text that a spreadsheet would take for a formula begins with a quote."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    if head:
        writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _safe(value: Any) -> Any:
    """Return a value as a spreadsheet may have it: clients choose names of models and modes."""
    return (
        f"'{value}"
        if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
        else value
    )


def write_out(engine: Engine, path: Path) -> Iterator[int]:
    """Write all rows to a file, by its name's ending; yield how many there are so far.

    Raises ValueError for an ending that is not known, ImportError where Parquet's library is missing.
    """
    kinds: dict[str, Callable[[Path, Iterable[Page]], Iterator[int]]] = {
        ".csv": _csv,
        ".jsonl": _jsonl,
        ".parquet": _parquet,
    }
    if path.suffix not in kinds:
        raise ValueError(
            f"{path.name}: it ends with {path.suffix or 'nothing'}; use {', '.join(kinds)}"
        )
    return kinds[path.suffix](path, every(engine))


def _csv(path: Path, pages: Iterable[Page]) -> Iterator[int]:
    with path.open("w", encoding="utf-8", newline="") as file:
        n = 0
        file.write(as_csv([]))
        for page in pages:
            file.write(as_csv(page, head=False))
            n += len(page)
            yield n


def _jsonl(path: Path, pages: Iterable[Page]) -> Iterator[int]:
    with path.open("wb") as file:
        n = 0
        for page in pages:
            file.writelines(orjson.dumps(dict(row)) + b"\n" for row in page)
            n += len(page)
            yield n


def _parquet(path: Path, pages: Iterable[Page]) -> Iterator[int]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema([(column.name, _arrow(pa, column.type)) for column in requests.columns])
    with ParquetWriter(path, schema) as writer:
        n = 0
        for page in pages:
            writer.write_table(pa.Table.from_pylist([dict(row) for row in page], schema=schema))
            n += len(page)
            yield n


def _arrow(pa: Any, kind: object) -> Any:
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, Float):
        return pa.float64()
    return pa.int64() if isinstance(kind, BigInteger | Integer) else pa.string()
