"""The arithmetic of the rankings: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from hookrag_lexical.fields import Field

Norms = Literal["exact", "lucene"]
Method = Literal["lucene", "robertson", "atire", "bm25+", "bm25l", "tf-idf"]
Numbers = NDArray[np.float64]

DELTA = {"bm25+": 1.0, "bm25l": 0.5, "tf-idf": 1.0}
"""What `delta` is where nothing else is said, for the methods that have one."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A ranking. The score of a row is the sum, over the terms t of the query that it contains, of

        how often t is in the query * idf(t) * saturation(tf, B),  B = 1 - b + b * length / average

    where N is the number of rows that have a term, df that of the rows with t, and length is in terms:

    | method | idf | saturation | |
    |---|---|---|---|
    | lucene | ln(1 + (N - df + .5) / (df + .5)) | tf / (tf + k1 B) | Lucene since version 8 |
    | robertson | max(0, ln((N - df + .5) / (df + .5))) | tf / (tf + k1 B) | Robertson et al., TREC-3, 1994 |
    | atire | ln(N / df) | (k1 + 1) tf / (tf + k1 B) | Trotman, Jia, Crane, SIGIR OSIR 2012 |
    | bm25+ | ln((N + 1) / df) | (k1 + 1) tf / (tf + k1 B) + delta | Lv, Zhai, CIKM 2011 |
    | bm25l | ln((N + 1) / (df + .5)) | (k1 + 1) (tf / B + delta) / (k1 + tf / B + delta) | Lv, Zhai, SIGIR 2011 |
    | tf-idf | ln((N + 1) / df) | 1 + ln(1 + ln(tf / B + delta)) | Rousseau, Vazirgiannis, SIGIR 2013 |

    The names are those of C. Kamphuis et al., "Which BM25 Do You Mean?", ECIR 2020. A term that a row does not contain adds
    nothing, as published: with delta for every row, as some libraries have it, delta would change no order. `norms` says what
    lengths are taken for.

    With several fields (BM25F: S. Robertson, H. Zaragoza, M. Taylor, CIKM 2004; with lengths by field, H. Zaragoza et al., TREC
    2004), the tf of a row is the sum over its fields of weight * tf / B, each with the b, the lengths and the average of the
    field, and B is 1 in the saturation. The average is over the rows that have a term in the field, df counts the rows that
    have t in a field with a weight above 0, and N those with a term in any field, whatever its weight.
    """

    method: Method
    k1: float
    delta: float
    norms: Norms
    fields: tuple[Field, ...]

    def normalised(self, lengths: NDArray[np.integer[Any]], average: float, b: float) -> Numbers:
        """B, float64[n].

        >>> formula = Formula("lucene", k1=1.0, delta=0.0, norms="exact", fields=())
        >>> formula.normalised(np.array([10, 30]), 20.0, b=0.5).tolist()
        [0.75, 1.25]
        """
        seen = lengths if self.norms == "exact" else lucene_lengths(lengths)
        return 1 - b + b * (seen / average)

    def saturation(self, tf: Numbers, normal: Numbers | float) -> Numbers:
        """What so many occurrences are worth, float64[n]; `normal` is B.

        >>> def of(method, delta=0.0):
        ...     return Formula(method, 1.0, delta, "exact", ()).saturation(np.array([3.0]), 1.0).round(6).tolist()
        >>> of("lucene"), of("robertson"), of("atire")  # 3 / 4, the same, 2 * 3 / 4
        ([0.75], [0.75], [1.5])
        >>> of("bm25+", 1.0), of("bm25l", 1.0)  # 1.5 + 1, 2 * 4 / 5
        ([2.5], [1.6])
        >>> of("tf-idf", 1.0)  # 1 + ln(1 + ln 4)
        [1.869742]
        """
        match self.method:
            case "lucene" | "robertson":
                return tf / (tf + self.k1 * normal)
            case "atire":
                return (self.k1 + 1) * tf / (tf + self.k1 * normal)
            case "bm25+":
                return (self.k1 + 1) * tf / (tf + self.k1 * normal) + self.delta
            case "bm25l":
                moved = tf / normal + self.delta
                return (self.k1 + 1) * moved / (self.k1 + moved)
            case "tf-idf":
                worth: Numbers = 1 + np.log(1 + np.log(tf / normal + self.delta))
                return worth
        assert_never(self.method)

    def idf(self, rows: int, df: int) -> float:
        """The weight of a term that df of the rows contain.

        >>> def of(method):
        ...     return round(Formula(method, 1.0, 0.0, "exact", ()).idf(3, 1), 6)
        >>> of("lucene"), of("robertson"), of("atire")  # ln(1 + 2.5 / 1.5), ln(2.5 / 1.5), ln 3
        (0.980829, 0.510826, 1.098612)
        >>> of("bm25+"), of("bm25l"), of("tf-idf")  # ln 4, ln(4 / 1.5), ln 4
        (1.386294, 0.980829, 1.386294)
        """
        match self.method:
            case "lucene":
                return log(1 + (rows - df + 0.5) / (df + 0.5))
            case "robertson":
                return max(0.0, log((rows - df + 0.5) / (df + 0.5)))
            case "atire":
                return log(rows / df)
            case "bm25+" | "tf-idf":
                return log((rows + 1) / df)
            case "bm25l":
                return log((rows + 1) / (df + 0.5))
        assert_never(self.method)


def formula(method: Method, k1: float, delta: float | None, norms: Norms, fields: tuple[Field, ...]) -> Formula:
    """The formula of a configuration. Raises ValueError for a number that it cannot have."""
    if delta is not None and method not in DELTA:
        raise ValueError(f"delta has no meaning for method = {method!r}: leave it out, or choose {', '.join(DELTA)}")
    least = 1.0 if method == "tf-idf" else 0.0  # the logarithm of a logarithm
    shift = DELTA.get(method, 0.0) if delta is None else delta
    if method in DELTA and not least <= shift < float("inf"):
        raise ValueError(f"delta must be a number from {least:g} for method = {method!r}, got {shift}")
    return Formula(method, k1, shift, norms, fields)


def lucene_lengths(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Lengths as Lucene's one byte remembers them, `byte4ToInt(intToByte4(length))` of its SmallFloat.

    Up to 24 exact; beyond, the excess keeps its four highest bits.

    >>> lucene_lengths(np.array([0, 24, 40, 41, 42, 57, 1000])).tolist()
    [0, 24, 40, 40, 42, 56, 984]
    """
    excess = np.maximum(lengths.astype(np.int64) - 24, 0)
    shift = np.maximum(np.frexp(excess.astype(np.float64))[1] - 4, 0)
    return np.where(lengths < 24, lengths, 24 + ((excess >> shift) << shift))
