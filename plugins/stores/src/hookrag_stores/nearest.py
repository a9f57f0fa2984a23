"""Exact scores of vectors, computed here: what an approximate index is replaced by where it would miss rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hookrag_stores.vectors import Metric

Float = TypeVar("Float", np.float32, np.float64)


def scores(queries: NDArray[Float], rows: NDArray[Float], metric: Metric) -> NDArray[Float]:
    """float[n, m]: q . r; divided by |q| |r| for COSINE and then in [-1, 1]; for L2, -|q - r|^2. As exact as the type is.

    >>> scores(np.array([[3, 4]], np.float32), np.array([[4, 3], [-3, -4]], np.float32), "COSINE").round(2).tolist()
    [[0.9599999785423279, -1.0]]
    >>> scores(np.array([[3, 4]], np.float32), np.array([[4, 3], [3, 4]], np.float32), "L2").tolist()
    [[-2.0, -0.0]]
    """
    if metric == "IP":
        return queries @ rows.T
    if metric == "L2":
        # By differences: of |q|^2 - 2 q.r + |r|^2 little is left where q and r are close. By query: n m d floats are too many.
        return np.stack([-np.square(rows - query).sum(axis=1) for query in queries])
    cosine: NDArray[Float] = (_directions(queries) @ _directions(rows).T).clip(-1, 1)
    return cosine


def nearest(
    queries: NDArray[Float], pages: Iterable[tuple[Sequence[str], NDArray[Float]]], k: int, metric: Metric
) -> list[list[tuple[str, float]]]:
    """For each query the k best (id, score) of all pages: score descending, then id ascending, at the cut too.

    queries: float[n, d]; each page holds m ids and float[m, d].
    """
    best: list[list[tuple[str, float]]] = [[] for _ in queries]
    for ids, rows in pages:
        found = scores(queries, rows, metric)
        for at, row in enumerate(found):
            # Everything that ties with the k-th stays, so that ids decide among them.
            worst = np.partition(row, -k)[-k] if len(ids) > k else -np.inf
            merged = best[at] + [(ids[i], float(row[i])) for i in np.flatnonzero(row >= worst).tolist()]
            best[at] = sorted(merged, key=lambda pair: (-pair[1], pair[0]))[:k]
    return best


def _directions(rows: NDArray[Float]) -> NDArray[Float]:
    directions: NDArray[Float] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return directions
