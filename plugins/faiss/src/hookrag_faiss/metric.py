"""What a score is: exact values, and quick ones to choose by."""

from __future__ import annotations

import numpy as np
from hookrag_stores.vectors import Floats, Metric
from numpy.typing import NDArray

_EPS = float(np.finfo(np.float32).eps)


def exact(metric: Metric, vectors: Floats, query: Floats) -> Floats:
    """The scores of float32[n, d] for float32[d], summed in 64 bits and rounded once: equal vectors have equal scores.

    COSINE: x.q / (|x| |q|); IP: x.q; L2: -|x - q|^2.

    >>> x, q = np.array([[3, 4], [1, 0]], dtype=np.float32), np.array([2, 0], dtype=np.float32)
    >>> [exact(metric, x, q).round(4).tolist() for metric in ("COSINE", "IP", "L2")]
    [[0.6000000238418579, 1.0], [6.0, 2.0], [-17.0, -1.0]]
    """
    rows, one = vectors.astype(np.float64), query.astype(np.float64)
    # Not as hookrag_stores.nearest does: a matrix product may sum the last rows in another order than the first, einsum sums
    # each row by itself.
    if metric == "L2":
        rows -= one
        scores = -np.einsum("ij,ij->i", rows, rows)
    else:
        scores = np.einsum("ij,j->i", rows, one)
    if metric == "COSINE":
        scores /= np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.sqrt(one @ one)
        scores = np.clip(scores, -1.0, 1.0)
    rounded: Floats = scores.astype(np.float32)
    return rounded


def quick(metric: Metric, vectors: Floats, norms: Floats, queries: Floats) -> Floats:
    """Scores of float32[n, d] for float32[q, d] but for rounding, and for L2 but for what is one query's alone: float32[q, n].

    >>> x, q = np.array([[3, 4], [1, 0]], dtype=np.float32), np.array([[2, 0]], dtype=np.float32)
    >>> [quick(metric, x, np.array([5, 1], dtype=np.float32), q).tolist() for metric in ("COSINE", "IP", "L2")]
    [[[1.2000000476837158, 2.0]], [[6.0, 2.0]], [[-13.0, 3.0]]]
    """
    products: Floats = queries @ vectors.T
    if metric == "COSINE":
        products /= norms
    elif metric == "L2":
        products *= 2
        products -= norms * norms
    return products


def slack(metric: Metric, longest: float, queries: Floats) -> NDArray[np.float64]:
    """How far below the k-th quick score a row can lie and be among the k best: float64[q].

    A product of d terms in 32 bits is off by less than d / 8 + 16 roundings of the product of the lengths: BLAS sums in
    parts, so the error grows much slower than d.
    """
    lengths: NDArray[np.float64] = np.linalg.norm(queries.astype(np.float64), axis=1)
    if metric == "IP":
        lengths = lengths * longest
    elif metric == "L2":
        lengths = (lengths + longest) ** 2
    slacks: NDArray[np.float64] = lengths * _EPS * (queries.shape[1] / 8 + 16)
    return slacks
