"""What a server of one's own has, by its own list: which models, under which names.  Pure.

A vendor's row says what it serves.  A server of one's own is asked (``router.providers.inventory``),
and then what it does not list is not there.  What it lists is a model of the catalogue, where its
name is one of that model's names, or else one of its own, of which nothing is known but the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from router.evidence.names import Named, fits, fold

LATEST: Final = ":latest"
"""What Ollama adds to a name without a tag, in its list or by itself."""

ROUTED: Final = frozenset({"nitro", "floor", "online", "exacto"})
"""Variants by which an aggregator is told how to serve a model that it lists without them."""

SAME: Final = frozenset({"", "latest", "cloud"})
"""Tags of Ollama's that tell of the same model."""


class Listed(NamedTuple):
    """One model of a server's list."""

    name: str
    context_tokens: int | None = None
    """Input and output together; None where the list does not say."""
    chats: bool = True
    """It answers conversations, as far as the list or its name tells: no embeddings, no speech."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The models of one server."""

    ids: Mapping[str, str]
    """Id, of the catalogue or of the server's own → the server's name."""
    names: Mapping[str, str]
    """Other names, folded → the server's name."""
    patterns: tuple[str, ...]
    """Names with ``*``, as proxies list them: any text."""
    own: Mapping[str, Listed]
    """Id → what the catalogue does not know."""
    of: Callable[[str], Named]
    """Resolves a name by the catalogue."""

    @property
    def spellings(self) -> dict[str, str]:
        """Return what its models may be called → their ids."""
        by_name = {name: model_id for model_id, name in self.ids.items()}
        return {text: by_name[name] for text, name in self.names.items() if name in by_name}

    def find(self, model: str) -> str | None:
        """Return what the server calls a model; None where it does not have it."""
        if name := self.ids.get(model) or self.names.get(fold(model)):
            return name
        named = self.of(model)
        if named.known and not named.variant and (name := self.ids.get(named.id)):
            return name
        head, _, variant = model.rpartition(":")
        if head and variant.lower() in ROUTED and (name := self.find(head)):
            return f"{name}:{variant}"
        return model if any(fits(pattern, model) for pattern in self.patterns) else None


def shelf_of(
    listed: Iterable[Listed], of: Callable[[str], Named], own_id: Callable[[str], str | None]
) -> Shelf:
    """Sort a server's list; ``own_id`` says under which id clients ask for a name of it.

    A variant of the catalogue's model can be asked for by its name, and is held to that model's limits.
    """
    ids: dict[str, str] = {}
    names: dict[str, str] = {}
    own: dict[str, Listed] = {}
    entries = tuple(listed)
    for entry in entries:
        named, asked = of(entry.name), own_id(entry.name)
        if named.known and named.variant in SAME:
            ids.setdefault(named.id, entry.name)
        elif asked is not None and not named.known and "*" not in asked:
            ids.setdefault(asked, entry.name)
            own.setdefault(asked, entry)
        for name in _spelt(entry.name, asked):
            names.setdefault(fold(name), entry.name)
    patterns = tuple(entry.name for entry in entries if "*" in entry.name)
    return Shelf(ids, names, patterns, own, of)


def _spelt(*names: str | None) -> Iterator[str]:
    for name in filter(None, names):
        yield name
        yield name.removesuffix(LATEST) if name.endswith(LATEST) else name + LATEST
