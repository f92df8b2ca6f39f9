"""The lists of servers of one's own, as the rest of the gateway knows them: shelves, and models.  Pure.

Models that only such a list knows join the catalogue as they are: without evidence, and with nothing
held against them that nobody said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from router.evidence.catalogue import Catalogue, Model, Price
from router.evidence.names import Names
from router.providers.endpoints import Endpoint, runs_here
from router.providers.inventory import Inventory
from router.providers.shelf import Listed, Shelf, shelf_of
from router.values import family_of

REMOTE: Final = ("-cloud", ":cloud")
"""How names end of what a local server (Ollama) lets run in its maker's cloud."""

LOCAL: Final = "local"
"""Data policy of what runs on one's own machines."""


def shelves_of(
    servers: Iterable[Endpoint], inventory: Inventory, catalogue: Catalogue, names: Names
) -> dict[str, Shelf]:
    """Return provider → what it has, for those that listed it."""
    return {
        server.provider.name: _shelf(
            server, inventory.listed[server.provider.name], catalogue, names
        )
        for server in servers
        if server.provider.name in inventory.listed
    }


def _shelf(server: Endpoint, listed: Iterable[Listed], catalogue: Catalogue, names: Names) -> Shelf:
    def own_id(name: str) -> str | None:
        """Leave out what is named as a tier is: those are this gateway's to map."""
        return None if catalogue.names_tier(name) else server.provider.own_id(name)

    return shelf_of(listed, names.of, own_id)


def with_own(
    catalogue: Catalogue, servers: Iterable[Endpoint], shelves: Mapping[str, Shelf], on: date
) -> Catalogue:
    """Return a catalogue with the models that only servers of one's own know.

    What one of them lists is not retired: that it is sold nowhere says nothing of weights one runs.
    """
    there = {model_id for shelf in shelves.values() for model_id in shelf.ids}
    back = [model.id for model in catalogue.models if model.retired and model.id in there]
    found: dict[str, Model] = {}
    for server in servers:
        shelf = shelves.get(server.provider.name)
        for model_id, listed in shelf.own.items() if shelf else ():
            if listed.chats and catalogue.model(model_id) is None:
                found.setdefault(model_id, own_model(model_id, listed, server, on))
    if not found and not back:
        return catalogue
    known = (
        m.model_copy(update={"retired": None}) if m.id in back else m for m in catalogue.models
    )
    return catalogue.of_models((*known, *found.values()))


def own_model(model_id: str, listed: Listed, server: Endpoint, on: date) -> Model:
    """Describe a model of which only a server's list tells.

    What one's own machine does costs nothing and stays there.  Elsewhere neither the price is known
    nor who reads the prompts.
    """
    name, row = listed.name, server.provider
    local = runs_here(server) and not name.endswith(REMOTE)
    return Model(
        id=model_id,
        name=name,
        vendor=family_of(name) if "/" in name else row.name,
        context_tokens=listed.context_tokens,
        interfaces=row.formats,
        price=Price(input=0, output=0, source=f"runs on {row.name}", date=on) if local else None,
        data_policy=LOCAL if local else "unknown",
        own=True,
    )
