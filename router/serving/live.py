"""The data that decisions rest on, as it lies in a folder, reloaded while the gateway runs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from classifier.model import ARTEFACT_FILES
from router.callers.overrides import checked
from router.callers.terms import Terms
from router.decision.picks import table_change
from router.decision.tiers import Data, Decides
from router.errors import BadArtefact, BadRequest
from router.evidence.catalogue import (
    CATALOGUE_FILE,
    MODELS_DIR,
    Catalogue,
    is_whole,
    load_catalogue,
)
from router.evidence.changelog import (
    CHANGELOG_FILE,
    Remapping,
    differences,
    load_changelog,
    unrecorded,
)
from router.evidence.names import Names, UnknownName
from router.evidence.table import TABLE_FILE
from router.providers.endpoints import PROVIDERS_FILE, Providers
from router.providers.inventory import Inventory
from router.providers.stock import shelves_of, with_own
from router.values import Caller, Interface, Limits

log = logging.getLogger(__name__)

WATCHED: Final = (CATALOGUE_FILE, CHANGELOG_FILE, TABLE_FILE, *ARTEFACT_FILES)
"""Files of the models folder whose change is picked up.  Providers are not: who is called, under
which key, is settled when the gateway starts."""

NOBODY_ASKED: Final = Inventory()

_FOLDERS = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\":;,]+[/\\])+(?=[^/\\\s])")
"""The folders of an absolute path, of POSIX or Windows."""

LoadEngine = Callable[[Path, Catalogue], Decides]

Changed = Callable[[Sequence[Remapping]], None]
"""Is told what tiers map to otherwise once new data is in use; may not block for long."""

MAX_CHANGES: Final = 1000
"""Most changes that are remembered of the time since the start, about 500 bytes each."""


def untold(changes: Sequence[Remapping]) -> None:
    """Tell nobody."""


class LiveData:
    """The newest good data of a folder; bad data keeps the last good and says so."""

    def __init__(
        self,
        folder: Path,
        providers: Providers,
        load_engine: LoadEngine,
        aliases: Mapping[str, str] | None = None,
        callers: Iterable[Caller] = (),
        inventory: Inventory = NOBODY_ASKED,
        changed: Changed = untold,
    ) -> None:
        """Load everything; raises BadArtefact for a bad catalogue, not for a bad engine.

        ``inventory`` is what servers of one's own list.

        ``callers`` are the holders of keys: a catalogue that lacks a model or a tier which they name is
        bad, because what it would let serve is not what was meant.  ``changed`` is told of mappings that
        change while the process runs.
        """
        self._aliases = aliases or {}
        self._callers = tuple(callers)
        self._changed = changed
        self._folder = folder
        self._providers = providers
        self._load_engine = load_engine
        self.inventory = inventory
        self._stamp = self._stamps()
        self.problem = ""
        self.changes: tuple[Remapping, ...] = ()
        """What tiers map to otherwise since the start, the newest first."""
        self._held: frozenset[str] = frozenset()
        self._whole = False
        self.current = self._load(None)

    def refresh(self) -> bool:
        """Load again if a file changed; say whether the data is new."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        return self._renewed()

    def restock(self, inventory: Inventory) -> bool:
        """Take what servers of one's own list now; say whether the data is new."""
        before, self.inventory = self.inventory, inventory.after(self.inventory)
        return self.inventory.listed != before.listed and self._renewed()

    def check_terms(self, terms: Terms) -> None:
        """Raise BadRequest where terms name a model, a tier or an agent that there is not."""
        data = self.current
        if problem := misnamed(terms, terms, data.catalogue, data.names, self._unlisted()):
            raise BadRequest(f"terms: {problem}")

    def _unlisted(self) -> bool:
        """Say whether some server of one's own has not said what it has, so a name may be its."""
        own = self._providers.own
        return any(server.provider.name not in self.inventory.listed for server in own)

    def _renewed(self) -> bool:
        last = self.current
        try:
            self.current = self._load(last)
        except Exception as error:  # whatever a file holds, the last good data serves
            log.error("changed data is not used, the last good one stays: %s", error)
            self.problem = self._told(error)
        if self.current is last:
            return False
        self._compare(last, self.current)
        return True

    def _compare(self, last: Data, data: Data) -> None:
        """Remember, log and tell what tiers map to otherwise."""
        try:
            found = changes_between(last, data)
            self.changes = (*found, *self.changes)[:MAX_CHANGES]
            for change in found:
                log.warning("%s", change)
            if found:
                self._changed(found)
        except Exception:  # the new data serves whether or not it can be compared
            log.exception("what changed in the data cannot be told")

    def _load(self, last: Data | None) -> Data:
        """Read the folder: one catalogue, and an engine that decides on it.

        An engine that cannot be loaded leaves ``last`` in place, if that has one: the catalogue and
        the table that go with it belong together.
        """
        providers, path = self._providers, self._folder / CATALOGUE_FILE
        present = self._present()
        listed = load_catalogue(path, whole=self._whole)
        listed = listed.can_also(providers.dialects.abilities)
        spellings, aggregators = providers.spellings(listed), providers.aggregators
        known = Names(listed, spellings, aggregators)
        shelves = shelves_of(providers.own, self.inventory, listed, known)
        catalogue = with_own(listed, providers.own, shelves, self.inventory.on)
        for shelf in shelves.values():
            spellings |= shelf.spellings
        names = Names(catalogue, spellings, aggregators)
        unlisted = self._unlisted()
        for name, to in self._aliases.items():
            named = "/" in to or unlisted or names.of(to).known
            if catalogue.tier(to) is None and (catalogue.names_tier(to) or not named):
                raise BadArtefact(f"aliases: {name} = {to!r}: no such tier, and no model's id")
        for caller in self._callers:
            refuse_unknown(caller, catalogue, names, unlisted=unlisted)
        engine: Decides | None = None
        problem: str | None = None
        try:
            engine = self._load_engine(self._folder, catalogue)
        except BadArtefact as error:
            problem = self._told(error)
            log.error("the decision engine cannot be loaded: %s", error)
            if last is not None and last.engine is not None:
                self.problem = problem
                return last
        self.problem = problem or ""
        self._held, self._whole = present, is_whole(path)
        providers.restock(shelves)
        reachable = {i: providers.reachable(catalogue, i) for i in Interface}
        empty = [name for name, shelf in shelves.items() if not shelf.names]
        openings = {i: _ways(providers.openings(i), empty) for i in Interface}
        changelog = load_changelog(self._folder)
        return Data(
            catalogue, engine, problem, reachable, names, self._aliases, openings, changelog
        )

    def _present(self) -> frozenset[str]:
        """Return which files the folder has; raises BadArtefact where one is gone, or there is none.

        What was there, or was whole, when all was good is being written: the shipped data does not
        take its place while the gateway runs.
        """
        files = (*WATCHED, PROVIDERS_FILE)
        present = frozenset(name for name in files if (self._folder / name).exists())
        if gone := sorted(self._held - present):
            raise BadArtefact(f"{gone[0]} is gone; put it back, or start again without it")
        if not present:
            raise BadArtefact(
                f"{self._folder}: no models folder: it has none of {', '.join(files)}"
            )
        return present

    def _told(self, problem: Exception) -> str:
        """Return a problem as clients may hear it: files by name alone, wherever they lie."""
        text = str(problem) or repr(problem)
        for folder in (self._folder, self._folder.resolve()):
            text = text.replace(f"{folder}{os.sep}", "")
        return _FOLDERS.sub("", text)

    def _stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Identify the state of the folder's files and of those they lie over."""
        found = []
        for path in (folder / name for folder in (self._folder, MODELS_DIR) for name in WATCHED):
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def refuse_unknown(caller: Caller, catalogue: Catalogue, names: Names, *, unlisted: bool) -> None:
    """Raise BadArtefact where what a caller is allowed, or set, names what there is not."""
    if problem := misnamed(caller.limits, caller, catalogue, names, unlisted):
        raise BadArtefact(f"callers: {caller.name}: {problem}")


def misnamed(
    limits: Limits, said: Terms | Caller, catalogue: Catalogue, names: Names, unlisted: bool
) -> str:
    """Say what limits and overrides name that there is not; nothing where all is known.

    ``unlisted``: some server of one's own has not said what it has, so a name may be its.
    """
    pin = limits.pin
    try:
        names.resolved({"allow": limits.allow, "deny": limits.deny})
        if pin is not None and not unlisted:
            names.listed([pin])
    except UnknownName as error:
        return str(error)
    if pin is not None and "*" in pin:
        return f"pin: {pin!r} is more than one model"
    return next(iter(checked(said.tiers, said.mappings, catalogue, names, unlisted=unlisted)), "")


def changes_between(last: Data, data: Data) -> tuple[Remapping, ...]:
    """Say what tiers map to otherwise in newer data, and that another table decides."""
    today = datetime.now(UTC).date()
    found = differences(last.catalogue, data.catalogue, today)
    if last.engine and data.engine:
        tier = next((t.id for t in data.catalogue.tiers if t.rule == "efficient"), "")
        found += table_change(last.engine.table, data.engine.table, tier, today)
    return tuple(found)


def history(data: Data, here: Sequence[Remapping]) -> tuple[Remapping, ...]:
    """Return all changes that are known, the newest first: of the data, and those seen ``here`` beside."""
    return (*unrecorded(here, data.changelog), *data.changelog)


def _ways(variables: Iterable[str], empty: Iterable[str]) -> str:
    """Say how more models come into reach: a key to set, or a server to fill."""
    keys = " or ".join(variables)
    ways = [f"set {keys}"] if keys else []
    return "; or ".join([*ways, *(f"add one to {name}, which lists none" for name in empty)])
