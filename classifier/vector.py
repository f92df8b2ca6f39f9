"""Hashed tokens → the sparse vector that the model reads: vocabulary, TF-IDF, unit length.

The vocabulary is what training saw: per block of tokens, the sorted hashes whose rows weigh at
least ``MIN_ROWS`` together, and their inverse document frequency.  A token counts
log(1 + 2 × how often) times its idf; within a segment each block is scaled to unit length, then to its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import BLOCKS, HASH_BITS, HashedText

MIN_ROWS: Final = 9
"""Of weight 1.  Fewer read people never seen a little better and make the artefact larger than 25 MB (8: 26.9)."""

BLOCK_WEIGHTS: Final = (1.0, 1.5, 0.7)
"""Of words, characters and edges, in the order of BLOCKS; see benchmarks/LOG.md, 2026-11-25."""

_WEIGHTS = np.array(BLOCK_WEIGHTS, np.float32)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Per block: ``keys`` uint32 sorted hashes, ``idf`` float32, ``slots`` hash → column or -1.

    Columns are numbered through the blocks; ``starts`` has each block's first.
    """

    keys: tuple[NDArray[np.uint32], ...]
    idf: tuple[Floats, ...]
    slots: tuple[NDArray[np.int32], ...]
    all_idf: Floats
    starts: Ints

    @property
    def size(self) -> int:
        """Number of columns, all blocks together."""
        return len(self.all_idf)

    def vectors(self, tokens: HashedText) -> tuple[Ints, Floats]:
        """Return the columns of a text, int64 (n,) sorted, and the values of its segments.

        The values are float32 (segments, n), zero where a segment lacks the column: all is reckoned on
        the others, the ``hits``.
        """
        slots = np.concatenate([t.take(h) for t, h in zip(self.slots, tokens.hashes, strict=True)])
        known = (slots >= 0).nonzero()[0]
        keys = (slots.take(known).astype(np.int64) << 32) | known
        keys.sort()  # far faster than argsort
        column_of = keys >> 32
        new = np.ones(len(keys), np.bool_)
        new[1:] = column_of[1:] != column_of[:-1]
        columns, cells = column_of[new], new.cumsum() - 1
        count, n = len(tokens.shapes), len(columns)
        if count > 1:
            of_segment = np.concatenate(tokens.segments).take(keys & 0xFFFFFFFF)
            cells = of_segment.astype(np.int64) * n + cells
        often = np.bincount(cells, minlength=count * n)
        hits = often.nonzero()[0]
        found: Floats = np.log1p(2 * often.take(hits), dtype=np.float32)
        found *= self.all_idf.take(columns).take(hits % n if count > 1 else hits)
        starts = np.arange(count)[:, None] * n + columns.searchsorted(self.starts)
        values = np.zeros(count * n, np.float32)
        values[hits] = found * _scales(found, hits.searchsorted(starts.ravel()))
        return columns, values.reshape(count, n)


def _scales(values: Floats, starts: Ints) -> Floats:
    """Return what makes each block of each segment a vector of the block's weight, for each value."""
    bounds = np.concatenate((starts, (len(values),)))
    squares = np.zeros(len(values) + 1, np.float32)
    np.multiply(values, values, out=squares[:-1])
    lengths = np.sqrt(np.add.reduceat(squares, starts)).reshape(-1, len(BLOCKS))
    scales = (_WEIGHTS / np.maximum(lengths, 1e-9)).astype(np.float32, copy=False)
    return scales.ravel().repeat(bounds[1:] - bounds[:-1])


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
    sizes = [len(block_keys) for block_keys in keys]
    starts = np.cumsum([0, *sizes[:-1]])
    slots = []
    for block_keys, start in zip(keys, starts, strict=True):
        slot = np.full(1 << HASH_BITS, -1, dtype=np.int32)
        slot[block_keys] = np.arange(start, start + len(block_keys), dtype=np.int32)
        slots.append(slot)
    rounded = tuple(i.astype(np.float16).astype(np.float32) for i in idf)
    return Vocabulary(keys, rounded, tuple(slots), np.concatenate(rounded), starts)
