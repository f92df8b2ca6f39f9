"""Write files so that a reader finds the old ones or the new ones, and a failure leaves the old."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotWrite(OSError):
    """A folder or a file in it cannot be written; says why, and that nothing was changed."""

    def __init__(self, path: Path, error: OSError | str) -> None:
        """Put the message together."""
        reason = error if isinstance(error, str) else error.strerror or str(error)
        super().__init__(f"cannot write {path}: {reason}; what was there is as it was")


@contextmanager
def replacing(folder: Path, *names: str) -> Iterator[Path]:
    """Yield an empty folder, whose files replace those of ``folder`` when all went well.

    That ``folder`` can be written, and that ``names`` are no folders in it, is found out on entering,
    before any work.  Every file is on the disk before the first is moved; ``names`` are moved last, in
    their order, so that the file that vouches for the others comes at the end.  Raises CannotWrite.
    """
    made = _make(folder)
    try:
        for name in names:
            if (folder / name).is_dir():
                raise CannotWrite(folder / name, "it is a folder")
        with _staging(folder) as staging:
            yield staging
            _move(staging, folder, names)
    except OSError as error:
        if error.filename is None and not isinstance(error, CannotWrite):
            raise CannotWrite(folder, error) from error  # a write says why it failed, not where
        raise
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def must_be_writable(folder: Path, *names: str) -> None:
    """Find out what ``replacing`` finds out on entering; raises CannotWrite."""
    with replacing(folder, *names):
        pass


def _make(folder: Path) -> list[Path]:
    """Make a folder; returns those that were not there, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(folder, error) from error
    return missing


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside ``folder``, which makes moving out of it a rename."""
    try:
        staging = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    except OSError as error:
        raise CannotWrite(folder, error) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, folder: Path, last: tuple[str, ...]) -> None:
    files = sorted(
        staging.iterdir(), key=lambda f: (f.name in last and 1 + last.index(f.name), f.name)
    )
    for path in files:
        _settle(path)
    for path in files:
        path.replace(folder / path.name)
    if os.name == "posix":
        _settle(folder)


def _settle(path: Path) -> None:
    """Have the disk hold what was written."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
