"""Choosing the best rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hookrag_segments.segment import Ints

Floats = NDArray[np.float32]


def select(rows: Ints, scores: Floats, k: int, names: Callable[[Ints], NDArray[np.bytes_]]) -> tuple[Ints, Floats]:
    """The k best rows with their scores: score descending, then name ascending. `names` is asked about few of the rows only.

    >>> ids = np.array([b"d", b"a", b"c", b"b"])
    >>> rows, scores = select(np.arange(4), np.array([1, 2, 2, 2], dtype=np.float32), 2, lambda rows: ids[rows])
    >>> rows.tolist(), scores.tolist()
    ([1, 3], [2.0, 2.0])
    """
    if k <= 0:
        return rows[:0], scores[:0]
    if len(rows) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        chosen = np.flatnonzero(scores >= threshold)
        if len(chosen) > k:
            tied = scores[chosen] == threshold
            above, level = chosen[~tied], chosen[tied]
            level = level[np.argsort(names(rows[level]), kind="stable")[: k - len(above)]]
            chosen = np.concatenate([above, level])
        rows, scores = rows[chosen], scores[chosen]
    order = np.argsort(-scores)
    rows, scores = rows[order], scores[order]
    equal = scores[1:] == scores[:-1]
    if equal.any():
        # Names are compared where scores are equal only: most rows are told apart without theirs.
        shared = np.zeros(len(scores), dtype=np.bool_)
        shared[1:] = equal
        shared[:-1] |= equal
        tied = np.flatnonzero(shared)
        rows[tied] = rows[tied][np.lexsort((names(rows[tied]), -scores[tied]))]
    return rows, scores
