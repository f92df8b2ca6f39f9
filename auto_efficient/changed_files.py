"""Change people's files so that it can be undone: a backup, a note of what was changed, and back.

Beside a file ``settings.json`` lie ``settings.json.auto-efficient.bak``, what it was before the first
change, and ``settings.json.auto-efficient.json``, what was set in it.  Undoing puts the file back byte
for byte while nobody else has changed it; after that it takes out only what is ours and still is as we
left it, and says what it leaves.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auto_efficient.config_text import SYNTAXES, Syntax
from auto_efficient.config_text.trees import Keys

BACKUP: Final = ".auto-efficient.bak"
NOTE: Final = ".auto-efficient.json"

CHANGED: Final = "it was changed since it was written here"

PRIVATE: Final = 0o600
"""Who may read a new file that may hold a key: its owner."""


class NotChanged(Exception):
    """A file cannot be changed, or back; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class ChangeNote:
    """What was done to a file."""

    syntax: str
    existed: bool
    digest: str
    """SHA-256 of the file as we left it."""
    others: bool
    """Somebody else changed it between two of our changes."""
    set: dict[str, str]
    """Path, as a JSON list → what was written there."""


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(data).hexdigest()


def read_text(data: bytes) -> str:
    """Return a file's text, lines ending in LF; raises NotChanged for what is no UTF-8."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise NotChanged(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None


def as_before(text: str, data: bytes) -> bytes:
    """Return a text as bytes, with the mark and the ends of lines that the file had."""
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    ends = text.replace("\n", "\r\n") if b"\r\n" in data else text
    return mark + ends.encode()


def with_settings(text: str, syntax: Syntax, settings: Mapping[Keys, object]) -> str:
    """Return a file's text with values set; raises ValueError where the rest would not stay."""
    before = syntax.values(text)
    meant: dict[Keys, object] = {}
    for path, value in settings.items():
        raw = syntax.written(value)
        meant |= syntax.values(syntax.put("", path, raw))
        if path not in before or syntax.find(text, path) != raw:
            text = syntax.put(text, path, raw)
    kept = {path: value for path, value in before.items() if not _lies_on(path, settings)}
    if syntax.values(text) != kept | meant:
        raise ValueError("its values stand in places that are not edited here")
    return text


def _lies_on(path: Keys, settings: Mapping[Keys, object]) -> bool:
    """Say whether a value is one of ours, or an empty table that one of ours goes into."""
    return any(ours[: len(path)] == path for ours in settings)


def change(path: Path, name: str, settings_of: Callable[[str], Mapping[Keys, object]]) -> bool:
    """Set values in a file of a syntax; say whether that changed it; raises NotChanged or OSError.

    ``settings_of`` says which, given the file's text.
    """
    path, syntax = path.resolve(), SYNTAXES[name]
    data = path.read_bytes() if path.exists() else b""
    try:
        settings = settings_of(read_text(data))
        text = with_settings(read_text(data), syntax, settings)
    except (ValueError, RecursionError) as error:
        told = (
            f"it is not edited ({error}): mend it, or add by hand what is printed without --write"
        )
        raise NotChanged(told) from None
    new = as_before(text, data)
    if new == data and path.exists():
        return False
    raws = {json.dumps(keys): syntax.written(value) for keys, value in settings.items()}
    _write(path, new, raws, name)
    return True


def create(path: Path, name: str, content: str, *, force: bool) -> bool:
    """Write a whole file; what is there already is replaced by ``force`` alone."""
    path, new = path.resolve(), content.encode()
    if path.exists() and path.read_bytes() == new:
        return False
    if path.exists() and not force:
        raise NotChanged(
            "it is there already and is not edited here: add the lines, or give --force"
        )
    note, backup = note_of(path), _beside(path, BACKUP)
    if note is not None and path.exists() and digest_of(path.read_bytes()) != note.digest:
        raise NotChanged(f"{CHANGED}; take it back with --undo first")
    if note is None and backup.exists():
        raise NotChanged(f"what was here before lies in {backup.name} still: move it away first")
    _write(path, new, {}, name)
    return True


def _write(path: Path, new: bytes, raws: dict[str, str], name: str) -> None:
    """Write a file, its backup once, and the note."""
    existed, note = path.exists(), note_of(path)
    data = path.read_bytes() if existed else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    if note is None and existed:
        _replace(_beside(path, BACKUP), data, _mode_of(path))
    others = note is not None and (note.others or note.digest != digest_of(data))
    told = ChangeNote(
        syntax=name,
        existed=note.existed if note else existed,
        digest=digest_of(new),
        others=others,
        set=(note.set if note else {}) | raws,
    )
    fields = {field: getattr(told, field) for field in ChangeNote.__slots__}
    _replace(_beside(path, NOTE), json.dumps(fields, indent=1).encode(), PRIVATE)
    _replace(path, new, _mode_of(path))


def undo(path: Path) -> list[str]:
    """Put a file back; return what could not be taken back; raises NotChanged or OSError."""
    path = path.resolve()
    note = note_of(path)
    if note is None:
        raise NotChanged("nothing was changed here, or it was undone already")
    data = path.read_bytes() if path.exists() else None
    backup = _beside(path, BACKUP)
    before = backup.read_bytes() if note.existed else b""
    left: list[str] = []
    if data is None and note.existed:
        _replace(path, before, _mode_of(backup))
    elif data is not None and digest_of(data) == note.digest and not note.others:
        if note.existed:
            _replace(path, before, _mode_of(path))
        else:
            path.unlink()
    elif data is not None and note.set:
        text, left = _without_ours(read_text(data), read_text(before), note)
        _replace(path, as_before(text, data), _mode_of(path))
    elif data is not None:
        kept = f"; what was here before is in {backup.name}" if note.existed else ""
        left = [f"{CHANGED}: it stays as it is{kept}"]
    if note.set or not left:
        backup.unlink(missing_ok=True)
    _beside(path, NOTE).unlink()
    return left


def _without_ours(text: str, before: str, note: ChangeNote) -> tuple[str, list[str]]:
    """Take out what is ours of a file that others changed too; also return what stays, and why.

    Raises NotChanged for a text that cannot be read.
    """
    syntax, left = SYNTAXES[note.syntax], []
    try:
        held, had = syntax.values(text), syntax.values(before)
    except (ValueError, RecursionError) as error:
        raise NotChanged(f"it is as it was ({error}): mend it, and take ours out then") from None
    for told, ours in note.set.items():
        path: Keys = tuple(json.loads(told))
        now, was = syntax.find(text, path), syntax.find(before, path)
        if now is None and any(at[: len(path)] == path and at not in had for at in held):
            left.append(f"{'.'.join(path)} was written in another way since: take it out by hand")
        if now == was or now is None:
            continue
        if now != ours:
            left.append(f"{'.'.join(path)} was changed since: it stays as it is")
        elif was is not None:
            text = syntax.put(text, path, was)
        else:
            text = syntax.cut(text, path)
            for depth in range(len(path) - 1, 0, -1):
                if syntax.find(text, path[:depth]) in EMPTY and not syntax.find(
                    before, path[:depth]
                ):
                    text = syntax.cut(text, path[:depth])
    return text, left


EMPTY: Final = ("{}", "{\n}")


def note_of(path: Path) -> ChangeNote | None:
    """Read the note of a file; None where nothing was changed."""
    note = _beside(path.resolve(), NOTE)
    return ChangeNote(**json.loads(note.read_text("utf-8"))) if note.exists() else None


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else PRIVATE


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file in one step: a reader sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
