"""The arithmetic of BM25: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Norms = Literal["exact", "lucene"]


@dataclass(frozen=True, slots=True)
class Bm25:
    """The parameters of BM25. The score of a row for a query is the sum over its terms, repeated ones counted again, of

        idf(t) * tf / (tf + k1 * (1 - b + b * length / average))

    without the factor (k1 + 1), which changes no order. S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework:
    BM25 and Beyond", 2009, section 3.4, as Lucene's BM25Similarity has it since version 8.
    """

    k1: float
    b: float
    norms: Norms

    def penalties(self, lengths: NDArray[np.integer[Any]], average: float) -> NDArray[np.float64]:
        """What is added to tf in the denominator, float64[n]; lengths in terms, and their average over rows that have any.

        >>> Bm25(k1=1.0, b=0.5, norms="exact").penalties(np.array([10, 30]), 20.0).tolist()
        [0.75, 1.25]
        """
        seen = lengths if self.norms == "exact" else lucene_lengths(lengths)
        return self.k1 * (1 - self.b + self.b * (seen / average))


def idf(rows: int, df: int) -> float:
    """The weight of a term that df of the rows contain: ln(1 + (rows - df + 0.5) / (df + 0.5)), always above 0.

    >>> round(idf(3, 1), 6)  # ln(1 + 2.5 / 1.5)
    0.980829
    """
    return log(1 + (rows - df + 0.5) / (df + 0.5))


def lucene_lengths(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Lengths as Lucene's one byte remembers them, `byte4ToInt(intToByte4(length))` of its SmallFloat.

    Up to 24 exact; beyond, the excess keeps its four highest bits.

    >>> lucene_lengths(np.array([0, 24, 40, 41, 42, 57, 1000])).tolist()
    [0, 24, 40, 40, 42, 56, 984]
    """
    excess = np.maximum(lengths.astype(np.int64) - 24, 0)
    shift = np.maximum(np.frexp(excess.astype(np.float64))[1] - 4, 0)
    return np.where(lengths < 24, lengths, 24 + ((excess >> shift) << shift))
