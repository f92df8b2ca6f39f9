"""The data that decisions rest on, as it lies in a folder, reloaded while the gateway runs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from classifier.model import ARTEFACT_FILES
from router.decision.tiers import Data, Decides
from router.errors import BadArtefact
from router.evidence.catalogue import CATALOGUE_FILE, Catalogue, load_catalogue
from router.evidence.names import Names, UnknownName
from router.evidence.table import TABLE_FILE
from router.providers.endpoints import Providers
from router.values import Interface, Limits

log = logging.getLogger(__name__)

WATCHED: Final = (CATALOGUE_FILE, TABLE_FILE, *ARTEFACT_FILES)
"""Files of the models folder whose change is picked up.  Providers are not: who is called, under
which key, is settled when the gateway starts."""

_FOLDERS = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\":;,]+[/\\])+(?=[^/\\\s])")
"""The folders of an absolute path, of POSIX or Windows."""

LoadEngine = Callable[[Path, Catalogue], Decides]


class LiveData:
    """The newest good data of a folder; bad data keeps the last good and says so."""

    def __init__(
        self,
        folder: Path,
        providers: Providers,
        load_engine: LoadEngine,
        aliases: Mapping[str, str] | None = None,
        limits: Mapping[str, Limits] | None = None,
    ) -> None:
        """Load everything; raises BadArtefact for a bad catalogue, not for a bad engine.

        ``limits`` are those of keys, by the holder's name: a catalogue that lacks a model which they
        list is bad, because what it would let serve is not what was meant.
        """
        self._aliases = aliases or {}
        self._limits = limits or {}
        self._folder = folder
        self._providers = providers
        self._load_engine = load_engine
        self._stamp = self._stamps()
        self.problem = ""
        self.current = self._load(None)

    def refresh(self) -> bool:
        """Load again if a file changed; say whether the data is new."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        last = self.current
        try:
            self.current = self._load(last)
        except Exception as error:  # whatever a file holds, the last good data serves
            log.error("changed data is not used, the last good one stays: %s", error)
            self.problem = self._told(error)
        return self.current is not last

    def _load(self, last: Data | None) -> Data:
        """Read the folder: one catalogue, and an engine that decides on it.

        An engine that cannot be loaded leaves ``last`` in place, if that has one: the catalogue and
        the table that go with it belong together.
        """
        catalogue = load_catalogue(self._folder / CATALOGUE_FILE)
        catalogue = catalogue.can_also(self._providers.dialects.abilities)
        for name, to in self._aliases.items():
            if catalogue.tier(to) is None and ("/" not in to or catalogue.names_tier(to)):
                raise BadArtefact(f"aliases: {name} = {to!r}: no such tier, and no model's id")
        providers = self._providers
        names = Names(catalogue, providers.spellings(catalogue), providers.aggregators)
        for holder, limits in self._limits.items():
            try:
                names.within(limits)
            except UnknownName as error:
                raise BadArtefact(f"callers: {holder}: {error}") from None
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
        reachable = {i: providers.reachable(catalogue, i) for i in Interface}
        openings = {i: _set_one_of(providers.openings(i)) for i in Interface}
        return Data(catalogue, engine, problem, reachable, names, self._aliases, openings)

    def _told(self, problem: Exception) -> str:
        """Return a problem as clients may hear it: files by name alone, wherever they lie."""
        text = str(problem) or repr(problem)
        for folder in (self._folder, self._folder.resolve()):
            text = text.replace(f"{folder}{os.sep}", "")
        return _FOLDERS.sub("", text)

    def _stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Identify the files' state: name, modification time, size."""
        found = []
        for name in WATCHED:
            try:
                stat = (self._folder / name).stat()
            except OSError:
                continue
            found.append((name, stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def _set_one_of(variables: tuple[str, ...]) -> str:
    return f"set {' or '.join(variables)}" if variables else ""
