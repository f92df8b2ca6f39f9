"""What vendors take: the facts by which a routed request is written for one of them.

``models/dialects.toml`` holds a row per API and wire format, and rows of models that are peculiar
wherever they are called.  ``Dialects.of`` joins what holds for a model at a provider in a format
into ``Facts``.  What no row says is not known, and changes nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError, field_validator

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR
from router.values import Entry, Interface, Needs

DIALECTS_FILE: Final = "dialects.toml"

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Every effort that some vendor names, from the least."""

MAX_JOINED: Final = 4096
"""Models at dialects whose facts are remembered: clients may name any model."""

Names = frozenset[str]
NO_NAMES: Final = Names()


class Dialect(Entry):
    """What one API takes in one wire format."""

    name: str = Field(description="Of its provider, or what a provider's row names as `dialect`.")
    format: Interface = Field(description="The wire format.")
    source: str = Field(description="Where it was read.")
    date: Date = Field(description="When.")
    known: Names = Field(default=NO_NAMES, description="Top-level fields it takes; none: any.")
    refused: Names = Field(default=NO_NAMES, description="Top-level fields it refuses.")
    renamed: dict[str, str] = Field(default={}, description="Top-level fields → their names here.")
    beside_thinking: Names = Field(
        default=NO_NAMES, description="Top-level fields it refuses while the model thinks."
    )
    nowhere: Names = Field(
        default=NO_NAMES, description="Members that no message, part, call or tool may have."
    )
    members: dict[str, Names] = Field(
        default={}, description="Kind of object → the only members that it may have."
    )
    filled: dict[str, dict[str, Any]] = Field(
        default={}, description="Kind of object → members that it must have, and what says nothing."
    )
    roles: dict[str, str] = Field(default={}, description="Roles → what to say instead.")
    items: Names = Field(default=NO_NAMES, description="Types of input items it refuses.")
    call_id: str = Field(default="", description="Pattern of a tool call's id.")
    tools: int | None = Field(default=None, gt=0, description="The most tools.")
    tool_name_chars: int | None = Field(default=None, gt=0, description="The longest tool's name.")
    plain_names: bool = Field(
        default=False, description="Tools' names are ASCII letters, digits, `_` and `-`."
    )
    schema_without: Names = Field(
        default=NO_NAMES, alias="schema", description="Keywords its schemas of tools do not know."
    )
    least_output: int = Field(default=0, description="The least room for an answer, in tokens.")

    @field_validator("call_id")
    @classmethod
    def _is_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a pattern: {error}") from error
        return pattern


class Quirk(Entry):
    """What is peculiar to some models, wherever they are called or in some dialects only."""

    models: tuple[str, ...] = Field(description="Catalogue ids, `*` standing for any text.")
    at: Names = Field(default=NO_NAMES, description="Dialects in which it holds; none: all.")
    formats: frozenset[Interface] = Field(
        default=frozenset(Interface), description="Wire formats in which it holds."
    )
    source: str = Field(description="Where it was read.")
    date: Date = Field(description="When.")
    refused: Names = Field(default=NO_NAMES, description="Top-level fields they refuse.")
    alone: tuple[str, ...] = Field(
        default=(), description="Top-level fields of which they take one; the first goes before."
    )
    efforts: tuple[str, ...] | None = Field(
        default=None, description="Reasoning efforts that may be asked for; not set: not known."
    )
    effort_beside_tools: bool = Field(default=True, description="Take an effort beside tools.")
    thinks_unasked: bool = Field(
        default=False, description="Think when no effort is named, as if one were."
    )
    thinking: Names | None = Field(
        default=None, description="Types of `thinking` that they take; not set: not known."
    )
    begun: bool = Field(default=True, description="Go on with an answer that the client begins.")
    roles: dict[str, str] = Field(default={}, description="Roles → what to say instead.")
    filled: dict[str, dict[str, Any]] = Field(
        default={}, description="Kind of object → members that it must have, and what says nothing."
    )
    abilities: Names = Field(
        default=NO_NAMES, description="What they can do that the catalogue does not name."
    )

    @field_validator("efforts")
    @classmethod
    def _are_known(cls, efforts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := [effort for effort in efforts or () if effort not in EFFORTS]:
            raise ValueError(f"no effort is named {unknown[0]!r}; there are {', '.join(EFFORTS)}")
        return efforts

    def is_of(self, model: str) -> bool:
        """Say whether a model is one of these."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model takes at a provider in a wire format; the defaults take everything."""

    known: Names = NO_NAMES
    refused: Names = NO_NAMES
    renamed: Mapping[str, str] = field(default_factory=dict)
    beside_thinking: Names = NO_NAMES
    alone: tuple[str, ...] = ()
    nowhere: Names = NO_NAMES
    members: Mapping[str, Names] = field(default_factory=dict)
    filled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    items: Names = NO_NAMES
    call_id: re.Pattern[str] | None = None
    tools: int | None = None
    tool_name_chars: int | None = None
    plain_names: bool = False
    schema_without: Names = NO_NAMES
    least_output: int = 0
    efforts: tuple[str, ...] | None = None
    effort_beside_tools: bool = True
    thinks_unasked: bool = False
    thinking: Names | None = None
    begun: bool = True

    @property
    def deep(self) -> bool:
        """Whether they speak of more than the top level of a body."""
        said = (self.nowhere, self.members, self.filled, self.roles, self.items, self.call_id)
        return any(said) or bool(self.schema_without)

    def bars(self, needs: Needs, effort: str | None) -> str | None:
        """Say what of a request, at an effort, cannot be written without loss; None: nothing."""
        if needs.begun and not self.begun:
            return "goes on with no answer that the client begins"
        if not needs.tools:
            return None
        if self.tools is not None and needs.n_tools > self.tools:
            return f"takes {self.tools} tools, not {needs.n_tools:,}"
        if self.tool_name_chars is not None and needs.tool_name_chars > self.tool_name_chars:
            return f"takes tools' names of {self.tool_name_chars} characters at most"
        if self.plain_names and needs.odd_tool_names:
            return "takes tools' names of letters, digits, _ and - only"
        thinks = self.thinks_unasked if effort is None else effort != "none"
        if thinks and not self.effort_beside_tools:
            return f"takes no effort beside tools over {needs.interface.value}"
        return None

    def effort(self, asked: str | None, *, tools: bool) -> str | None:
        """Return the effort to ask for where a request asks for one, or None, for none."""
        if tools and not self.effort_beside_tools and (asked or self.thinks_unasked):
            asked = "none"
        if asked is None or self.efforts is None or asked in self.efforts:
            return asked
        if asked not in EFFORTS or not self.efforts:
            return None
        at = EFFORTS.index(asked)
        return min(self.efforts, key=lambda effort: abs(EFFORTS.index(effort) - at))


ANYTHING: Final = Facts()
"""Of an API of which nothing is known."""


class Dialects:
    """The rows of the table, and what they come to for a model at a provider."""

    def __init__(self, dialects: Iterable[Dialect], quirks: Iterable[Quirk]) -> None:
        """Keep the rows."""
        self._dialects = {(row.name, row.format): row for row in dialects}
        self._quirks = tuple(quirks)
        self._joined: dict[tuple[str, str, Interface], Facts] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names of the dialects."""
        return frozenset(name for name, _ in self._dialects)

    def of(self, dialect: str, model: str, format: Interface) -> Facts:
        """Return what a model takes in a dialect's format; remembered for so many models."""
        key = (dialect, model, format)
        found = self._joined.get(key)
        if found is None:
            found = self._join(*key)
            if len(self._joined) < MAX_JOINED:
                self._joined[key] = found
        return found

    def _join(self, dialect: str, model: str, format: Interface) -> Facts:
        row = self._dialects.get((dialect, format))
        quirks = [
            quirk
            for quirk in self._quirks
            if format in quirk.formats
            and (not quirk.at or dialect in quirk.at)
            and quirk.is_of(model)
        ]
        return _joined(row, quirks) if row or quirks else ANYTHING

    def abilities(self, model: str) -> frozenset[str]:
        """Return what a model can do that the catalogue does not name."""
        found = (quirk.abilities for quirk in self._quirks if quirk.is_of(model))
        return NO_NAMES.union(*found)


NO_DIALECTS: Final = Dialects((), ())

ROW_FACTS: Final = (
    *("known", "renamed", "beside_thinking", "nowhere", "members", "items", "tools"),
    *("tool_name_chars", "plain_names", "schema_without", "least_output"),
)
"""Facts that only dialects have, under the same name."""


def _joined(row: Dialect | None, quirks: list[Quirk]) -> Facts:
    """Join a dialect's row with those of a model; of two that say the same the later holds."""
    known = {name: getattr(row, name) for name in ROW_FACTS} if row else {}
    said = [q.efforts for q in quirks if q.efforts is not None]
    modes = [q.thinking for q in quirks if q.thinking is not None]
    return Facts(
        **known,
        call_id=re.compile(row.call_id) if row and row.call_id else None,
        refused=(row.refused if row else NO_NAMES).union(*(q.refused for q in quirks)),
        alone=tuple(name for q in quirks for name in q.alone),
        roles=_merged([row.roles] if row else [], [q.roles for q in quirks]),
        filled=_merged([row.filled] if row else [], [q.filled for q in quirks]),
        efforts=said[-1] if said else None,
        effort_beside_tools=all(q.effort_beside_tools for q in quirks),
        thinks_unasked=any(q.thinks_unasked for q in quirks),
        thinking=modes[-1] if modes else None,
        begun=all(q.begun for q in quirks),
    )


def _merged(*several: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for some in several for one in some for key, value in one.items()}


def load_dialects(path: Path = MODELS_DIR / DIALECTS_FILE) -> Dialects:
    """Read the table; raises BadArtefact naming the key at fault.

    A folder without one has what is shipped: facts about vendors are nobody's own.
    """
    path = path if path.is_file() else MODELS_DIR / DIALECTS_FILE
    try:
        rows = tomllib.loads(path.read_text("utf-8"))
        dialects = [Dialect.model_validate(row) for row in rows.pop("dialects", [])]
        quirks = [Quirk.model_validate(row) for row in rows.pop("quirks", [])]
    except (OSError, ValueError) as error:
        raise BadArtefact(f"{path}: {_place(error)}") from error
    if rows:
        raise BadArtefact(f"{path}: {next(iter(rows))}: no such table; there are dialects, quirks")
    return Dialects(dialects, quirks)


def _place(error: Exception) -> str:
    """Say where in a table something is wrong, and what."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False)[0]
    return f"{error.title}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
