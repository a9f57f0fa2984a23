"""Where the meaning of a text turns: distances between neighbouring sentences, and the ones that are large."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ThresholdName = Literal["percentile", "standard_deviation", "interquartile", "gradient"]

AMOUNTS: dict[ThresholdName, float] = {
    "percentile": 95.0,
    "standard_deviation": 3.0,
    "interquartile": 1.5,
    "gradient": 95.0,
}
"""The usual amount for each threshold, which LangChain's SemanticChunker has as its defaults too."""


def distances(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine distances of each row from the next, 1 - a.b / (|a| |b|): float64[n - 1]; 1 where a vector is zero.

    >>> distances(np.array([[1, 0], [2, 0], [0, 1], [3, 4]], dtype=np.float32)).round(6).tolist()
    [0.0, 1.0, 0.2]
    """
    rows = vectors.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    products = np.einsum("ij,ij->i", rows[:-1], rows[1:])
    lengths = norms[:-1] * norms[1:]
    cosines: NDArray[np.float64] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return 1.0 - cosines


def breakpoints(found: NDArray[np.float64], threshold: ThresholdName, amount: float) -> list[int]:
    """The ascending i for which the text breaks between sentence i and i + 1: where x[i] > limit.

    With the distances d, percentiles interpolated linearly:

    - percentile: x = d, limit = the amount-th percentile of d (Kamradt 2024, "5 Levels of Text Splitting", level 4);
    - standard_deviation: x = d, limit = mean(d) + amount * std(d), of the population;
    - interquartile: x = d, limit = mean(d) + amount * (75th - 25th percentile of d);
    - gradient: x = d', limit = the amount-th percentile of d', where d' = (d[i+1] - d[i-1]) / 2, one-sided at the ends.

    >>> d = np.array([0.1, 0.1, 0.1, 0.9, 0.1])
    >>> [breakpoints(d, "percentile", 75), breakpoints(d, "standard_deviation", 1), breakpoints(d, "interquartile", 1.5)]
    [[3], [3], [3]]
    >>> breakpoints(d, "gradient", 75)  # d' = [0, 0, 0.4, 0, -0.8], its 75th percentile is 0
    [2]
    """
    values = np.gradient(found) if threshold == "gradient" and len(found) > 1 else found
    if len(values) == 0:
        return []
    if threshold in ("percentile", "gradient"):
        limit = np.percentile(values, amount)
    elif threshold == "standard_deviation":
        limit = values.mean() + amount * values.std()
    else:
        limit = values.mean() + amount * np.subtract(*np.percentile(values, [75, 25]))
    return [int(place) for place in np.flatnonzero(values > limit)]
