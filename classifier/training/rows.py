"""Rows of a file that people bring: JSON lines, gzipped or not, and Parquet, read one way.

Every command that takes a file reads it here, so that a byte order mark, Windows line ends, blank
lines or a compressed file mean the same everywhere, and so that what is wrong is said alike: which
file, which row, which column, what was expected and what stood there.

What a cell may hold is said by five functions (``as_text`` to ``as_flag``).
Null, a blank string and NaN are ways to say *missing*: a CSV knows only the second, pandas writes
the third.  Zero and false are values like any other.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

GZIP: Final = b"\x1f\x8b"
PARQUET: Final = b"PAR1"

FOREIGN: Final[tuple[tuple[bytes, str], ...]] = (
    (codecs.BOM_UTF16_LE, "UTF-16 text"),
    (codecs.BOM_UTF16_BE, "UTF-16 text"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "a database"),
)
"""How files begin that are neither JSON lines nor Parquet, and what they are."""

WANTED: Final = "JSON lines in UTF-8 (one object a line; may be gzipped) or Parquet is read"

SHOWN_CHARS: Final = 40
"""So much of a value is repeated in a message."""


class BadData(ValueError):
    """A file, or what was read of it, cannot be used; says where, what was expected, what was found.

    ``place`` is a row as ``line 3`` or ``row 3``, counted from 1; ``rows`` how many are like it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: Path | None = None,
        place: str = "",
        column: str = "",
        rows: int = 1,
    ) -> None:
        """Put the message together."""
        where = ", ".join(str(part) for part in (path, place) if part)
        said = ": ".join(part for part in (where, f"`{column}`" if column else "", problem) if part)
        super().__init__(f"{said} ({rows:,} such rows)" if rows > 1 else said)


class Misfit(ValueError):
    """A value is not what its column holds; the message says what was expected."""


Cell = Callable[[Any], Any]
"""Reads a value: what it is, None where it is missing; raises Misfit."""


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: null, a blank string, NaN."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_text(value: Any) -> str | None:
    """Read a text; lone halves of surrogate pairs become U+FFFD."""
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise Misfit("expected text")
    return value if value.isascii() else _whole(value)


def as_key(value: Any) -> str | None:
    """Read an identifier or a name: a text, or a number, 3 and 3.0 being ``3``."""
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
        raise Misfit("expected a text or a number")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and not is_missing(value):
        whole = math.isfinite(value) and value == int(value)
        return str(int(value)) if whole else str(value)
    return as_text(value)


def as_number(value: Any) -> float | None:
    """Read a finite number, or a text that spells one with a decimal point."""
    if is_missing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Misfit("expected a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise Misfit("expected a number") from None
    if math.isnan(found):
        return None
    if math.isinf(found):
        raise Misfit("expected a finite number")
    return found


def as_score(value: Any) -> float | None:
    """Read a number; true and false are 1 and 0."""
    return float(value) if isinstance(value, bool) else as_number(value)


def as_flag(value: Any) -> bool | None:
    """Read true or false, also spelt as text or as 1 and 0."""
    if is_missing(value):
        return None
    spelt = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(spelt, str | int | float) or spelt not in _FLAGS:
        raise Misfit("expected true or false")
    return _FLAGS[spelt]


_FLAGS: Final[dict[Any, bool]] = {
    True: True, False: False, "true": True, "false": False, "1": True, "0": False, "1.0": True,
    "0.0": False,
}  # fmt: skip


def shown(value: Any) -> str:
    """Repeat a value in a message, cut short."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None:
        return "null"
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    said = repr(value)
    return said if len(said) <= SHOWN_CHARS else f"{said[:SHOWN_CHARS]}…"


def _whole(value: str) -> str:
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, and its values by column."""

    path: Path
    place: str
    values: dict[str, Any]

    def get(self, column: str, cell: Cell) -> Any:
        """Read one of its cells, None where missing; raises BadData."""
        value = self.values.get(column)
        try:
            return cell(value)
        except Misfit as error:
            raise self.bad(f"{error}, not {shown(value)}", column) from None

    def bad(self, problem: str, column: str = "") -> BadData:
        """Say what is wrong with it."""
        return BadData(problem, path=self.path, place=self.place, column=column)


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file row by row, in its order; raises BadData."""
    if is_parquet(path):
        yield from _parquet_rows(path)
        return
    for number, line in read_lines(path):
        try:
            yield Row(path, f"line {number}", parsed(line))
        except Misfit as error:
            raise BadData(str(error), path=path, place=f"line {number}") from None


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, each with its number from 1; raises BadData.

    A byte order mark is left out and a gzipped file unpacked, whatever the file is called.
    """
    number = 0
    with _opened(path) as file:
        head = file.peek(16)
        for mark, what in FOREIGN:
            if head.startswith(mark):
                raise BadData(f"is {what}; {WANTED}", path=path)
        lines = gzip.GzipFile(fileobj=file) if head.startswith(GZIP) else file
        try:
            for number, line in enumerate(lines, start=1):
                kept = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if kept.strip():
                    yield number, kept.rstrip(b"\r\n")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            place = f"after line {number}"
            raise BadData(
                f"the compressed file is damaged: {error}", path=path, place=place
            ) from error


def parsed(line: bytes) -> dict[str, Any]:
    """Parse one line, a JSON object that names nothing twice; raises Misfit."""
    try:
        found = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        at = error.start + 1
        raise Misfit(f"not UTF-8 (byte {at} of it is 0x{line[at - 1]:02x}); {WANTED}") from None
    except json.JSONDecodeError as error:
        raise Misfit(f"not JSON: {error.msg} at character {error.pos + 1}; {WANTED}") from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, Misfit):
            raise
        raise Misfit(f"not JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise Misfit(f"not a JSON object but {_kind(found)}; {WANTED}")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Misfit(f"names {shown(twice)} twice")
    return found


def _kind(value: Any) -> str:
    """Say what a line that is no object holds."""
    if isinstance(value, list):
        return "a list (pandas writes lines with `to_json(…, orient='records', lines=True)`)"
    return f"the value {shown(value)}"


def is_parquet(path: Path) -> bool:
    """Whether a file says that it is Parquet; a pipe is not looked into, as that would use it up."""
    if not path.is_file():
        return False
    with _opened(path) as file:
        return file.read(len(PARQUET)) == PARQUET


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise BadData("no such file", path=path) from None
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", path=path) from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    frame = read_parquet(path)
    for number, values in enumerate(frame.iter_rows(named=True), start=1):
        yield Row(path, f"row {number}", values)


def read_parquet(path: Path) -> Any:
    """Read Parquet as a polars frame; needs the ``train`` extra.  Raises BadData."""
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(f"the Parquet file cannot be read: {reason}", path=path) from error


SUFFIXES: Final = frozenset({".gz", ".jsonl", ".ndjson", ".json", ".parquet"})


def name_of(path: Path) -> str:
    """Return a file's name without what says its format: ``mine`` of ``mine.JSONL.gz``."""
    name = path.name
    while (suffix := Path(name).suffix).lower() in SUFFIXES and Path(name).stem:
        name = name[: -len(suffix)]
    return name


def refuse_twice(paths: Iterable[Path], option: str) -> None:
    """Refuse a file that is named twice, also by another name of it; raises BadData."""
    seen: dict[tuple[int, int] | Path, Path] = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            continue
        earlier = seen.setdefault((stat.st_dev, stat.st_ino), path)
        if earlier is not path:
            raise BadData(f"{option} names this file twice ({earlier})", path=path)
