"""Which models the simulated provider knows: the catalogue's, and what their vendors may call others."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FAMILY = re.compile(r"[a-z]+")


def is_known(name: str, model_ids: Iterable[str]) -> bool:
    """Say whether a model of a name may exist.

    ``model_ids`` are ``vendor/name``.  Known are those, with or without their vendor, and any name
    of a family among them that carries a version: ``gpt-6-mini`` where there is a ``gpt-5.5``, but
    neither ``gpt-none`` nor ``nobody/gpt-6``.
    """
    vendor, slash, bare = name.lower().rpartition("/")
    vendors: dict[str, set[str]] = {}
    for model_id in model_ids:
        family, _, own = model_id.partition("/")
        if bare == own and (not slash or vendor == family):
            return True
        if found := _FAMILY.match(own):
            vendors.setdefault(family, set()).add(found[0])
    found = _FAMILY.match(bare)
    families = vendors.get(vendor, set()) if slash else set().union(*vendors.values())
    return found is not None and found[0] in families and any(c.isdigit() for c in bare)
