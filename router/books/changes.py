"""What of mappings and tables changed while gateways ran, kept so that a restart does not forget it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Engine, insert, select

from router.evidence.changelog import Remapping
from router.storage.database import writing
from router.storage.schema import changes

SAME_S: Final = 600.0
"""The same change within this time is one that several workers or replicas saw."""

NEWEST: Final = 500
"""How many are read."""

_REMAPPING: Final = TypeAdapter(Remapping)


def keep(engine: Engine, seen: Sequence[Remapping], now_s: float) -> None:
    """Keep changes that this process saw, unless another kept them."""
    with writing(engine) as connection:
        recent = select(changes.c.said).where(changes.c.at_s > now_s - SAME_S)
        known = set(connection.execute(recent).scalars())
        told = [said for said in map(_dumped, seen) if said not in known]
        if told:
            connection.execute(insert(changes), [{"at_s": now_s, "said": said} for said in told])


def kept(engine: Engine) -> tuple[Remapping, ...]:
    """Return what was kept, the newest first."""
    query = select(changes.c.said).order_by(changes.c.id.desc()).limit(NEWEST)
    with engine.connect() as connection:
        return tuple(_read(connection.execute(query).scalars()))


def _dumped(change: Remapping) -> str:
    return change.model_dump_json()


def _read(said: Iterable[str]) -> Iterable[Remapping]:
    for text in said:
        yield _REMAPPING.validate_python(orjson.loads(text))
