"""Texts as vectors, for the policies and readers that compare one text with another."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from benchmarks.judge.measures import Ints
from benchmarks.judge.pool import Array32
from classifier.features import tokenize

N_HASHES: Final = 1 << 16
N_CONCEPTS: Final = 256
"""Hash buckets and LSA dimensions of the first study (notes/classifier-study.md)."""

N_NEIGHBOURS: Final = 100


class TextSpace:
    """Hashed TF-IDF and its LSA, fitted on training texts."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        """Fit weights and concepts; small text sets get fewer concepts."""
        counts = _counts(texts)
        self.tfidf_ = TfidfTransformer(sublinear_tf=True).fit(counts)
        used = int((counts.getnnz(axis=0) > 0).sum())
        n_concepts = max(1, min(N_CONCEPTS, len(texts) - 1, used - 1))
        with np.errstate(invalid="ignore"):  # of texts without words no share is explained
            self.svd_ = TruncatedSVD(n_concepts, n_iter=3, random_state=0).fit(
                self.tfidf_.transform(counts)
            )

    def words(self, texts: tuple[str, ...]) -> sp.csr_matrix:
        """TF-IDF rows of unit length, (n, N_HASHES)."""
        return self.tfidf_.transform(_counts(texts))

    def concepts(self, texts: tuple[str, ...]) -> Array32:
        """LSA rows of unit length, float32 (n, n_concepts); an empty text is all zeros."""
        found = self.svd_.transform(self.words(texts)).astype(np.float32)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))


def neighbours(
    train: Array32, test: Array32, train_groups: Ints | None, test_groups: Ints | None
) -> Ints:
    """Indices of the nearest training rows by cosine, (n, k); never of the item's own group."""
    k = min(N_NEIGHBOURS, len(train))
    found = np.empty((len(test), k), dtype=np.int64)
    for start in range(0, len(test), 1000):
        rows = slice(start, start + 1000)
        distance = -(test[rows] @ train.T)
        if train_groups is not None and test_groups is not None:
            distance[train_groups[None, :] == test_groups[rows, None]] = np.inf
        found[rows] = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return found


@lru_cache(maxsize=20_000)
def _hashes(text: str) -> Ints:
    return np.asarray(tokenize(text).hashes[0].astype(np.int64) % N_HASHES)


def _counts(texts: tuple[str, ...]) -> sp.csr_matrix:
    rows = [_hashes(text) for text in texts]
    ends = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    data = np.ones(ends[-1], dtype=np.float32)
    counts = sp.csr_matrix(
        (data, np.concatenate([*rows, np.zeros(0, np.int64)]), ends), (len(texts), N_HASHES)
    )
    counts.sum_duplicates()
    return counts
