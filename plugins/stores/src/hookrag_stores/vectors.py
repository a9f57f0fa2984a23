"""Dense vectors: how they are compared, and which of them have scores at all.

Engines differ in what they refuse, and some accept nan. So vectors are checked before they are sent. Engines compute in 32
bits, squared lengths too.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from hookrag import ItemRejected, ScoreKind
from numpy.typing import NDArray

Metric = Literal["COSINE", "IP", "L2"]
Floats = NDArray[np.float32]

KINDS: Mapping[Metric, ScoreKind] = MappingProxyType(
    {
        "COSINE": ScoreKind("cosine"),
        "IP": ScoreKind("inner product"),
        "L2": ScoreKind("negated squared distance"),
    }
)
"""What the scores of each metric are."""

# Of the squared length; the squared distance of two vectors is at most four times the greater of theirs.
_LEAST: Mapping[Metric, float] = MappingProxyType({"COSINE": float(np.finfo(np.float32).tiny), "IP": 0.0, "L2": 0.0})
_GREATEST = float(np.finfo(np.float32).max)
_MOST: Mapping[Metric, float] = MappingProxyType({"COSINE": _GREATEST, "IP": _GREATEST, "L2": _GREATEST / 4})


def wrong(vector: Floats, metric: Metric) -> str:
    """Why float32[d] has no scores, "" if it has. To be called within `unwarned`.

    >>> wrong(np.zeros(2, np.float32), "COSINE"), wrong(np.zeros(2, np.float32), "IP")
    ('is all zeros, which has no cosine with anything', '')
    """
    square = np.dot(vector, vector)
    if _LEAST[metric] <= square <= _MOST[metric]:
        return ""
    if not np.isfinite(vector).all():
        return "has a value that is not finite"
    if metric == "COSINE" and not vector.any():
        return "is all zeros, which has no cosine with anything"
    return f"has the squared length {square:g}, expected one that 32 bits hold: scale it"


def unwarned() -> AbstractContextManager[Any]:
    """Within it numpy does not warn of what is found wrong and said here. Entered once for many rows, for it is slow."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore")


def dense_of(vector: Any, metric: Metric, *, least: int = 1, most: int, dim: int | None = None) -> Floats:
    """The dense vector of a row as float32[d], which may be the one that was given. To be called within `unwarned`.

    d is from `least` to `most`, and `dim` where there are rows already. Raises ItemRejected, which says what is wrong with it.
    """
    if vector is None:
        raise ItemRejected("it has no dense vector")
    made: Floats = np.ascontiguousarray(vector, dtype=np.float32)
    if np.ndim(vector) != 1 or not least <= len(made) <= most:
        raise ItemRejected(
            f"its dense vector has the shape {list(np.shape(vector))}, expected [d] with d from {least} to {most}"
        )
    if dim is not None and len(made) != dim:
        raise ItemRejected(f"its dense vector has {len(made)} dimensions, expected {dim}, those of the rows before it")
    if reason := wrong(made, metric):
        raise ItemRejected(f"its dense vector {reason}")
    return made


def queries_of(vectors: Any, metric: Metric, *, dim: int) -> Floats:
    """Query vectors as float32[n, dim]. Raises ValueError, which says what is wrong with them."""
    queries: Floats = np.ascontiguousarray(vectors, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(
            f"query vectors have the shape {list(queries.shape)}, expected [n, {dim}]: use the embedder of this index"
        )
    with unwarned():
        for number, query in enumerate(queries):
            if reason := wrong(query, metric):
                raise ValueError(f"query vector {number} {reason}")
    return queries
