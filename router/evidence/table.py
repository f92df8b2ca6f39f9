"""The cost-quality table: what benchmark evidence says of every model on every kind of task.

A *cell* is a task type at a difficulty level; a *unit* is a model at a reasoning effort, which
is how models are measured and served.  The table is built only by ``benchmarks.table.build``; here
it is read, checked and looked up.  Quality is kept twice: summarised per cell for people, and
as joint posterior draws for the policy, because "not worse than the best" is a statement
about a *difference*, and two models measured on the same items are not independent.
"""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from router.errors import BadArtefact
from router.evidence.catalogue import Catalogue
from router.values import Unit

log = logging.getLogger(__name__)

Array = NDArray[np.float32]

TABLE_FILE: Final = "table.json"

FORMAT: Final = 1
"""Of the artefact; a table of another format is refused."""

DRAW_SCALE: Final = 65535
"""Draws are stored as uint16: quality × 65535."""

DEFAULT_EFFORT: Final = "default"
"""How recorded outcomes and the artefact spell the provider's own effort."""


COLUMNS: Final = (
    "quality", "lower", "upper", "cost_usd", "cost_upper_usd", "items", "successes"
)  # fmt: skip
"""What is kept per cell and unit, beside the draws."""


def unit_of(model: str, effort: str | None) -> Unit:
    """Return a unit whose effort is spelled as in files."""
    return Unit(model, None if effort in (None, DEFAULT_EFFORT) else effort)


@dataclass(frozen=True, slots=True)
class Table:
    """Evidence per cell and unit; T types, L levels, U units, K draws.

    ``draws`` float32 (T, L, U, K): joint posterior draws of the probability of success.
    ``quality``, ``lower``, ``upper`` float32 (T, L, U): mean and one-sided 95% bounds.
    ``cost_usd``, ``cost_upper_usd`` float32 (T, L, U): realised dollars per task.
    ``items``, ``successes`` (T, L, U): direct evidence; zero items means borrowed.
    """

    units: tuple[Unit, ...]
    draws: Array
    quality: Array
    lower: Array
    upper: Array
    cost_usd: Array
    cost_upper_usd: Array
    items: Array
    successes: Array
    version: str
    meta: dict[str, Any]

    def expect(self, p_type: Array, p_level: Array) -> tuple[Array, Array, Array]:
        """Average the table over a classifier's distribution.

        Returns draws (U, K), cost_usd (U,) and the share of the weight that rests on direct
        evidence (U,).  Cells under a thousandth of the weight are left out.
        """
        weight = np.outer(p_type, p_level).astype(np.float32)
        types, levels = np.nonzero(weight > 1e-3)
        w = weight[types, levels]
        w /= w.sum()
        n_units, n_draws = self.draws.shape[2:]
        draws = (w @ self.draws[types, levels].reshape(len(w), -1)).reshape(n_units, n_draws)
        return draws, w @ self.cost_usd[types, levels], w @ (self.items[types, levels] > 0)

    def of(self, catalogue: Catalogue, *, name: str = TABLE_FILE) -> Table:
        """Return the table as far as it goes with a catalogue; raises BadArtefact where nothing does.

        Units that the catalogue lacks are left out, which is said.  What costs nothing by the
        catalogue is expected to cost nothing, whatever it cost where it was measured.
        """
        known = [catalogue.model(unit.model) for unit in self.units]
        lacking = sorted({u.model for u, m in zip(self.units, known, strict=True) if m is None})
        if lacking and not any(known):
            raise BadArtefact(
                f"{name}: none of its models is in the catalogue ({', '.join(lacking[:3])}, ...): "
                "the two do not go together; rebuild it with `auto-efficient table build`"
            )
        table = self
        if lacking:
            log.warning(
                "%s: the catalogue lacks %s: what is known of them is ignored",
                name,
                ", ".join(lacking),
            )
            table = self._kept([i for i, model in enumerate(known) if model])
        free = [model.costs_nothing for model in known if model]
        if not table.cost_upper_usd[..., free].any():
            return table
        zero, priced = np.array(free), (table.cost_usd, table.cost_upper_usd)
        usd, upper = (np.where(zero, np.float32(0), column) for column in priced)
        return replace(table, cost_usd=usd, cost_upper_usd=upper)

    def _kept(self, rows: list[int]) -> Table:
        """Return some units only."""
        kept = {name: getattr(self, name)[:, :, rows] for name in ("draws", *COLUMNS)}
        return replace(self, units=tuple(self.units[i] for i in rows), **kept)


def load_table(path: Path) -> Table:
    """Read and check an artefact; raises BadArtefact with what to do about it."""
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = (
            f"cannot read the cost-quality table {path}: {error}; run `auto-efficient table build`"
        )
        raise BadArtefact(message) from error
    return table_from_json(raw, name=str(path))


def table_from_json(raw: dict[str, Any], *, name: str = "table") -> Table:
    """Turn the artefact's JSON into arrays; raises BadArtefact."""
    if not isinstance(raw, dict) or not isinstance(raw.get("version"), str):
        raise BadArtefact(f"{name}: not a cost-quality table; rebuild it")
    if raw.get("format") != FORMAT:
        raise BadArtefact(f"{name}: format {raw.get('format')!r}, this version reads {FORMAT}")
    if raw.get("taxonomy") != taxonomy_fingerprint():
        raise BadArtefact(
            f"{name}: built for taxonomy {raw.get('taxonomy')!r}, the classifier has "
            f"{taxonomy_fingerprint()!r}; rebuild it with `auto-efficient table build`"
        )
    try:
        units = tuple(unit_of(u["model"], u["effort"]) for u in raw["units"])
        shape = (len(TYPES), N_LEVELS, len(units))
        columns = {
            key: np.array(raw["cells"][key], dtype=np.float32).reshape(shape) for key in COLUMNS
        }
        packed = np.frombuffer(base64.b64decode(raw["draws"]), dtype="<u2")
        draws = packed.reshape(*shape, -1).astype(np.float32) / np.float32(DRAW_SCALE)
    except (KeyError, TypeError, ValueError) as error:
        raise BadArtefact(f"{name}: malformed: {error!r}; rebuild it") from error
    if not all(np.isfinite(a).all() for a in columns.values()):
        raise BadArtefact(f"{name}: holds a number that is not finite; rebuild it")
    return Table(
        units=units,
        draws=draws,
        version=raw["version"],
        meta={k: v for k, v in raw.items() if k not in {"draws", "cells"}},
        **columns,
    )
