"""Models as people look at them: prices, evidence, who has them, and what is held against whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from router.evidence.catalogue import Model
from router.evidence.table import Backing
from router.providers.breaker import THRESHOLD, Key, Suspicion
from router.serving.gateway import Gateway
from router.serving.listing import support_of
from router.values import Interface, Support


class Ailment(NamedTuple):
    """What is held against a provider's model, or all of a provider's."""

    whom: str
    told: str


class Shown(NamedTuple):
    """A model as a page shows it."""

    model: Model
    backing: Backing
    support: Support | None
    """None where no outcome is recorded of it."""
    providers: tuple[str, ...]
    held: tuple[Ailment, ...]
    requests: float
    share: float
    """Of all requests."""


def models_of(gateway: Gateway, requests: Mapping[str, float]) -> list[Shown]:
    """Return all models, those that served most first; ``requests`` says how often each did."""
    data, total = gateway.data.current, sum(requests.values())
    backing = data.engine.table.backing if data.engine else {}
    standing = gateway.upstream.memory.standing()
    shown = []
    for model in data.catalogue.models:
        n = requests.get(model.id, 0.0)
        found = backing.get(model.id)
        who = _providers(gateway, model.id)
        shown.append(
            Shown(
                model,
                found or Backing(0, 0),
                support_of(found) if found else None,
                who,
                _held(model.id, who, standing),
                n,
                n / total if total else 0.0,
            )
        )
    return sorted(shown, key=lambda row: (-row.requests, not row.providers, -row.backing.items))


def _providers(gateway: Gateway, model: str) -> tuple[str, ...]:
    """Return who has a model, in any format."""
    found = (
        endpoint.provider.name
        for interface in Interface
        for endpoint in gateway.providers.endpoints(model, interface)
    )
    return tuple(dict.fromkeys(found))


def _held(
    model: str, providers: tuple[str, ...], standing: Mapping[Key, Suspicion]
) -> tuple[Ailment, ...]:
    """Return what is held against a model where it can be had."""
    of = {(name,) for name in providers} | {(name, model) for name in providers}
    return tuple(
        Ailment(" ".join((key[0], *key[2:])), told)
        for key, held in standing.items()
        if key[:2] in of and (told := in_words(held))
    )


def in_words(held: Suspicion) -> str:
    """Say what is held against somebody; nothing where it has no effect."""
    said = (
        (f"asked to wait, {held.penalty_s:.0f} s more", held.penalty_s > 0),
        (f"refused, tried last for {held.doubted_s:.0f} s", held.doubted_s > 0),
        (f"circuit open, {held.open_s:.0f} s more", held.open_s > 0),
        (
            f"{len(held.witnesses)} of {THRESHOLD} failures that open its circuit",
            0 < len(held.witnesses) < THRESHOLD,
        ),
    )
    return "; ".join(words for words, is_so in said if is_so)
