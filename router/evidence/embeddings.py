"""What embeddings cost: models that no tier serves, so that the catalogue does not have them.

A name that is not here is taken, where a budget must hold, to cost as much as the dearest that was seen.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from router.evidence.catalogue import Price
from router.values import family_of

READ: Final = date(2026, 11, 30)


def _listed(usd_per_mtok: float, source: str) -> Price:
    return Price(input=usd_per_mtok, output=0.0, source=source, date=READ)


PRICES: Final = {
    "text-embedding-3-small": _listed(
        0.02, "https://developers.openai.com/api/docs/models/text-embedding-3-large"
    ),
    "text-embedding-3-large": _listed(
        0.13, "https://developers.openai.com/api/docs/models/text-embedding-3-large"
    ),
    "text-embedding-ada-002": _listed(
        0.10, "https://openrouter.ai/models/openai/text-embedding-ada-002"
    ),
}

DEAREST: Final = _listed(0.25, "https://docs.venice.ai/models/text-embedding-3-large")
"""Of Gemini Embedding 2 there, the dearest of five vendors' that the page lists."""


def price_of(model: str) -> Price | None:
    """Return the list price of a model, with or without its vendor's prefix; None for one not listed."""
    return PRICES.get(model.removeprefix(f"{family_of(model)}/"))
