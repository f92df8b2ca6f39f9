"""Hashed tokens → the sparse vector that the model reads: vocabulary, TF-IDF, unit length.

The vocabulary is what training saw: per block of tokens, the sorted hashes whose rows weigh at
least ``MIN_ROWS`` together, and their inverse document frequency.  A token counts
log(1 + 2 × its summed weights) times its idf; each block is scaled to unit length, then to its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import BLOCKS, HASH_BITS, HashedText

MIN_ROWS: Final = 3

BLOCK_WEIGHTS: Final = (1.0, 1.5, 0.7)
"""Of words, characters and edges, in the order of BLOCKS; see benchmarks/LOG.md, 2026-11-25."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Per block: ``keys`` uint32 sorted hashes, ``idf`` float32, ``slots`` hash → column or -1."""

    keys: tuple[NDArray[np.uint32], ...]
    idf: tuple[Floats, ...]
    slots: tuple[NDArray[np.int32], ...]

    @property
    def size(self) -> int:
        """Number of columns, all blocks together."""
        return sum(len(keys) for keys in self.keys)

    def vector(self, tokens: HashedText) -> tuple[Ints, Floats]:
        """Return the columns (int64) and values (float32) of one text's sparse vector."""
        columns, values, offset = [], [], 0
        for hashes, counts, slots, idf, weight in zip(
            tokens.hashes, tokens.weights, self.slots, self.idf, BLOCK_WEIGHTS, strict=True
        ):
            known = slots[hashes]
            column, place = np.unique(known[known >= 0], return_inverse=True)
            count = np.bincount(place, counts[known >= 0], len(column))
            value = np.log1p(2 * count) * idf[column]
            length = np.sqrt(value @ value)
            columns.append(column + offset)
            values.append(value * (weight / length) if length > 0 else value)
            offset += len(idf)
        return (
            np.concatenate(columns).astype(np.int64),
            np.concatenate(values).astype(np.float32),
        )


def build_vocabulary(
    texts: Sequence[HashedText],
    weights: Sequence[float] | None = None,
    *,
    min_rows: float = MIN_ROWS,
) -> Vocabulary:
    """Collect the tokens of the training rows; ``weights`` are the rows', 1 each by default.

    A row of weight 0.3 counts as 0.3 rows, so public sources add only what they often say.
    """
    weight_of = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=float)
    keys, idf = [], []
    for block in range(len(BLOCKS)):
        rows_with = np.zeros(1 << HASH_BITS)
        for tokens, weight in zip(texts, weight_of, strict=True):
            rows_with[np.unique(tokens.hashes[block])] += weight
        kept = np.flatnonzero(rows_with >= min_rows - 1e-9)
        keys.append(kept.astype(np.uint32))
        ratio = (1 + weight_of.sum()) / (1 + rows_with[kept])
        idf.append((np.log(ratio) + 1).astype(np.float32))
    return _indexed(tuple(keys), tuple(idf))


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write keys and idf (the latter as float16, which is what training must then use too)."""
    arrays = {f"keys_{b}": k for b, k in zip(BLOCKS, vocabulary.keys, strict=True)}
    arrays |= {
        f"idf_{b}": i.astype(np.float16) for b, i in zip(BLOCKS, vocabulary.idf, strict=True)
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy's stub wants bool


def load_vocabulary(file: Path | BinaryIO) -> Vocabulary:
    """Read what ``save_vocabulary`` wrote."""
    with np.load(file, allow_pickle=False) as stored:
        keys = tuple(stored[f"keys_{block}"] for block in BLOCKS)
        idf = tuple(stored[f"idf_{block}"].astype(np.float32) for block in BLOCKS)
    return _indexed(keys, idf)


def _indexed(keys: tuple[NDArray[np.uint32], ...], idf: tuple[Floats, ...]) -> Vocabulary:
    slots = []
    for block_keys in keys:
        slot = np.full(1 << HASH_BITS, -1, dtype=np.int32)
        slot[block_keys] = np.arange(len(block_keys), dtype=np.int32)
        slots.append(slot)
    rounded = tuple(i.astype(np.float16).astype(np.float32) for i in idf)
    return Vocabulary(keys, rounded, tuple(slots))
