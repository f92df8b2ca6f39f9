"""Columns of a file as a tidy polars frame: of JSON lines and of Parquet the same, or a clear error.

What a file calls a column, what its cells may hold and what is expected of them is a ``Column``; a
cell that does not fit is refused with file, row, column, what was expected and what stood there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import polars as pl

from classifier.training.rows import (
    BadData,
    Cell,
    Misfit,
    Row,
    as_flag,
    as_key,
    as_number,
    as_score,
    as_text,
    is_parquet,
    read_parquet,
    read_rows,
    shown,
)

DTYPES: Final[dict[Cell, pl.DataType]] = {
    as_text: pl.String(), as_key: pl.String(), as_number: pl.Float64(), as_score: pl.Float64(),
    as_flag: pl.Boolean(),
}  # fmt: skip
"""What a column of such cells is in a frame; any other is text."""

SHOWN_COLUMNS: Final = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name here, what cells it has, and how files spell it (of several the first).

    ``otherwise`` stands in where a cell is missing; a ``required`` one may not be.  Numbers lie
    ``within`` two bounds, both included; ``expected`` says so in words.
    """

    name: str
    cell: Cell
    spellings: tuple[str, ...] = ()
    required: bool = False
    otherwise: Any = None
    within: tuple[float, float] | None = None
    expected: str = ""

    @property
    def spelt(self) -> tuple[str, ...]:
        """How files may call it."""
        return self.spellings or (self.name,)

    def name_in(self, names: Sequence[str]) -> str:
        """What a file of these columns calls it."""
        return next((name for name in self.spelt if name in names), self.spelt[0])

    @property
    def dtype(self) -> pl.DataType:
        """What it is in a frame."""
        return DTYPES.get(self.cell, pl.String())


@dataclass(frozen=True, slots=True)
class Tidy:
    """The columns of a file: ``frame``, where each row stands, and the columns that were not read."""

    path: Path
    frame: pl.DataFrame
    place: Callable[[int], str]
    unread: tuple[str, ...]

    def refuse(self, bad: pl.Expr, column: str, problem: str, *, spelt: str = "") -> None:
        """Raise BadData for the first row where ``bad`` holds, with the number of such rows.

        ``spelt`` is what the file calls the column.
        """
        at = self.frame.select(bad.fill_null(False).arg_true()).to_series()
        if len(at):
            value = self.frame[column][int(at[0])]
            said = problem if value is None else f"{problem}, not {shown(value)}"
            raise self.bad(int(at[0]), spelt or column, said, len(at))

    def bad(self, row: int, column: str, problem: str, rows: int = 1) -> BadData:
        """Say what is wrong with a row, numbered from 0."""
        return BadData(problem, path=self.path, place=self.place(row), column=column, rows=rows)


def read_columns(path: Path, columns: Sequence[Column]) -> Tidy:
    """Read columns of a file, checked; raises BadData."""
    return _tidy(path, _parquet(path) if is_parquet(path) else _lines(path), columns)


def read_csv(path: Path, columns: Sequence[Column]) -> Tidy:
    """Read columns of a table of texts, checked; raises BadData."""
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadData(f"cannot be read: {str(error).splitlines()[0]}", path=path) from error
    return _tidy(path, _frame(path, frame), columns)


def _tidy(path: Path, source: _Source, columns: Sequence[Column]) -> Tidy:
    _require(path, source.names, columns)
    series = [_series(path, source, column) for column in columns]
    known = {name for column in columns for name in column.spelt}
    unread = tuple(name for name in source.names if name not in known)
    tidy = Tidy(path, pl.DataFrame(series), source.place, unread)
    for column in columns:
        _check(tidy, column, column.name_in(source.names))
    filled = [pl.col(c.name).fill_null(c.otherwise) for c in columns if c.otherwise is not None]
    return Tidy(path, tidy.frame.with_columns(filled), source.place, unread)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's columns by name: ``take`` gives the cells of the first of some spellings."""

    names: tuple[str, ...]
    place: Callable[[int], str]
    take: Callable[[tuple[str, ...]], pl.Series | list[Any]]


def _parquet(path: Path) -> _Source:
    return _frame(path, read_parquet(path))


def _frame(path: Path, frame: pl.DataFrame) -> _Source:
    if frame.is_empty():
        raise BadData("holds no rows", path=path)

    def take(spelt: tuple[str, ...]) -> pl.Series | list[Any]:
        name = next((name for name in spelt if name in frame.columns), None)
        return [None] * len(frame) if name is None else frame[name]

    return _Source(tuple(frame.columns), lambda row: f"row {row + 1}", take)


def _lines(path: Path) -> _Source:
    rows: list[Row] = list(read_rows(path))
    if not rows:
        raise BadData("holds no rows", path=path)

    def take(spelt: tuple[str, ...]) -> list[Any]:
        found = (next((name for name in spelt if name in row.values), "") for row in rows)
        return [row.values.get(name) for row, name in zip(rows, found, strict=True)]

    names = dict.fromkeys(name for row in rows for name in row.values)
    return _Source(tuple(names), lambda row: rows[row].place, take)


def _require(path: Path, names: Sequence[str], columns: Sequence[Column]) -> None:
    lacking = [c for c in columns if c.required and not set(c.spelt) & set(names)]
    if not lacking:
        return
    close = get_close_matches(lacking[0].name, names, n=1, cutoff=0.5)
    hint = f"; is {close[0]!r} meant?" if close else ""
    found = ", ".join(names[:SHOWN_COLUMNS]) + (" …" if len(names) > SHOWN_COLUMNS else "")
    wanted = ", ".join(column.name for column in lacking)
    raise BadData(
        f"no column {wanted}; there are {found or 'none'}{hint} (what is read: docs/retrain.md)",
        path=path,
    )


def _series(path: Path, source: _Source, column: Column) -> pl.Series:
    """Read the cells of a column; polars' own types are cast, all else is read one by one."""
    taken = source.take(column.spelt)
    if isinstance(taken, pl.Series):
        taken = _plain(taken)
        if (cast := _cast(taken, column)) is not None:
            return cast.alias(column.name)
        taken = taken.to_list()
    cells, first, misfits = [], None, 0
    for row, value in enumerate(taken):
        try:
            cells.append(column.cell(value))
        except Misfit as error:
            misfits += 1
            first = first or (row, f"{error}, not {shown(value)}")
    if first is not None:
        row, problem = first
        name, place = column.name_in(source.names), source.place(row)
        raise BadData(problem, path=path, place=place, column=name, rows=misfits)
    return pl.Series(column.name, cells, dtype=column.dtype)


def _plain(series: pl.Series) -> pl.Series:
    """Turn dates, categories and decimals into texts and numbers."""
    dtype = series.dtype
    if dtype.is_temporal() or dtype in (pl.Categorical, pl.Enum):
        return series.cast(pl.String)
    return series.cast(pl.Float64) if dtype.is_decimal() else series


def _cast(series: pl.Series, column: Column) -> pl.Series | None:
    """Cast a column whose type fits already, or return None."""
    dtype, wanted = series.dtype, column.dtype
    if dtype == pl.String and wanted == pl.String:
        return series.set(series.str.strip_chars() == "", None)
    if dtype.is_integer() and wanted != pl.Boolean and column.cell is not as_text:
        return series.cast(wanted)
    if dtype.is_float() and wanted == pl.Float64:
        found = series.cast(pl.Float64).fill_nan(None)
        return None if found.is_infinite().any() else found
    fits = dtype == pl.Boolean and (wanted == pl.Boolean or column.cell is as_score)
    return series.cast(wanted) if fits else None


def _check(tidy: Tidy, column: Column, spelt: str) -> None:
    """Refuse what is missing where it must not be, and numbers out of bounds."""
    here, name = pl.col(column.name), column.name
    expected = f"expected {column.expected or 'a value'}"
    if column.required:
        tidy.refuse(here.is_null(), name, f"{expected}, and there is none", spelt=spelt)
    if column.within is not None:
        low, high = column.within
        tidy.refuse((here < low) | (here > high), name, expected, spelt=spelt)
