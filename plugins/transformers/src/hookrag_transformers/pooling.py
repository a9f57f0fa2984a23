"""From the states of tokens to one vector a text: pure functions on arrays.

states: float32[n, t, d], padded on the right; lengths: int[n], how many of the t rows of each text are tokens.
The poolings are those of Reimers and Gurevych 2019 (Sentence-BERT), section 3, and last-token pooling as decoders use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "cls", "last"]
Floats = NDArray[np.float32]
Lengths = NDArray[np.intp]


def mean(states: Floats, lengths: Lengths) -> Floats:
    """The mean of the states of each text's tokens, float32[n, d].

    >>> states = np.array([[[1, 2], [3, 4]], [[5, 6], [9, 9]]], dtype=np.float32)
    >>> mean(states, np.array([2, 1])).tolist()
    [[2.0, 3.0], [5.0, 6.0]]
    """
    kept = np.arange(states.shape[1])[None, :] < lengths[:, None]
    total = np.where(kept[:, :, None], states, np.float32(0)).sum(axis=1, dtype=np.float32)
    return np.asarray(total / lengths[:, None].astype(np.float32), dtype=np.float32)


def cls(states: Floats, lengths: Lengths) -> Floats:
    """The state of each text's first token, float32[n, d].

    >>> cls(np.array([[[1, 2], [3, 4]]], dtype=np.float32), np.array([2])).tolist()
    [[1.0, 2.0]]
    """
    return states[:, 0]


def last(states: Floats, lengths: Lengths) -> Floats:
    """The state of each text's last token, float32[n, d].

    >>> last(np.array([[[1, 2], [3, 4]], [[5, 6], [0, 0]]], dtype=np.float32), np.array([2, 1])).tolist()
    [[3.0, 4.0], [5.0, 6.0]]
    """
    return states[np.arange(len(states)), lengths - 1]


def l2_normalised(vectors: Floats) -> Floats:
    """The vectors divided by their Euclidean length; a zero vector stays zero.

    >>> l2_normalised(np.array([[3, 4], [0, 0]], dtype=np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True, dtype=np.float32))
    return np.asarray(vectors / np.maximum(norms, np.float32(1e-12)), dtype=np.float32)


POOLINGS: Mapping[Pooling, Callable[[Floats, Lengths], Floats]] = MappingProxyType(
    {"mean": mean, "cls": cls, "last": last}
)
