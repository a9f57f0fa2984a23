"""Vectors of a batch taken apart and put together, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hookrag.values import SparseRows, Vectors


def take(vectors: Vectors, rows: Sequence[int]) -> Vectors:
    """The vectors of some rows, in the order given; a row may be taken several times."""
    index = np.asarray(rows, dtype=np.int64)
    return Vectors(
        None if vectors.dense is None else vectors.dense[index],
        None if vectors.sparse is None else _take_sparse(vectors.sparse, index),
        None if vectors.multi is None else tuple(vectors.multi[i] for i in rows),
    )


def _take_sparse(sparse: SparseRows, index: np.ndarray) -> SparseRows:
    lengths = np.diff(sparse.indptr)[index]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    spans = [slice(sparse.indptr[i], sparse.indptr[i + 1]) for i in index]
    indices = np.concatenate([sparse.indices[s] for s in spans]) if spans else sparse.indices[:0]
    values = np.concatenate([sparse.values[s] for s in spans]) if spans else sparse.values[:0]
    return SparseRows(indptr, indices, values, sparse.width)


def stack(parts: Sequence[Vectors]) -> Vectors:
    """The rows of all parts, in order. The parts have the same outputs; there is at least one."""
    first = parts[0]
    dense = None if first.dense is None else np.concatenate([p.dense for p in parts if p.dense is not None])
    multi = None if first.multi is None else tuple(row for p in parts if p.multi is not None for row in p.multi)
    sparse = None
    if first.sparse is not None:
        rows = [p.sparse for p in parts if p.sparse is not None]
        lengths = np.concatenate([np.diff(r.indptr) for r in rows])
        sparse = SparseRows(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([r.indices for r in rows]),
            np.concatenate([r.values for r in rows]),
            first.sparse.width,
        )
    return Vectors(dense, sparse, multi)
