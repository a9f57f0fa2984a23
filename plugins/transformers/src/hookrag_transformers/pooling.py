"""From the states of tokens to one vector a text: pure functions on arrays.

states: float32[n, t, d], padded on the right; the tokens of text i that count are those from starts[i] (int[n], 0 unless a
prompt is left out) up to, without, lengths[i] (int[n], above starts[i]). The poolings are those of Reimers and Gurevych 2019
(Sentence-BERT), section 3, the position-weighted mean of Muennighoff 2022 (SGPT), and last-token pooling as
decoders use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weightedmean"]
Floats = NDArray[np.float32]
Places = NDArray[np.intp]


def mean(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The mean of the states of each text's tokens, float32[n, d].

    >>> states = np.array([[[1, 2], [3, 4]], [[5, 6], [9, 9]]], dtype=np.float32)
    >>> mean(states, np.array([2, 1]), np.array([0, 0])).tolist()
    [[2.0, 3.0], [5.0, 6.0]]
    """
    return _total(states, lengths, starts) / _column(lengths - starts)


def mean_sqrt_len(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The sum of the states divided by the square root of their number, float32[n, d].

    >>> mean_sqrt_len(np.ones((1, 4, 2), dtype=np.float32), np.array([4]), np.array([0])).tolist()
    [[2.0, 2.0]]
    """
    roots = np.sqrt(_column(lengths - starts))
    return np.asarray(_total(states, lengths, starts) / roots, dtype=np.float32)


def weightedmean(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The mean with weights 1, 2, 3, ... by the token's place in the text, prompt included, float32[n, d].

    >>> weightedmean(np.array([[[3], [6]]], dtype=np.float32), np.array([2]), np.array([0])).tolist()
    [[5.0]]
    """
    weights = np.arange(1, states.shape[1] + 1, dtype=np.float32)
    total = _total(states * weights[None, :, None], lengths, starts)
    # The sum of the weights starts + 1 ... lengths.
    return total / _column((lengths * (lengths + 1) - starts * (starts + 1)) // 2)


def largest(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The largest value of each dimension over each text's tokens, float32[n, d].

    >>> largest(np.array([[[1, 4], [3, 2], [9, 9]]], dtype=np.float32), np.array([2]), np.array([0])).tolist()
    [[3.0, 4.0]]
    """
    kept = _kept(states, lengths, starts)
    return np.asarray(np.where(kept, states, np.float32(-np.inf)).max(axis=1), dtype=np.float32)


def cls(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The state of each text's first token, float32[n, d].

    >>> cls(np.array([[[1, 2], [3, 4]]], dtype=np.float32), np.array([2]), np.array([0])).tolist()
    [[1.0, 2.0]]
    """
    return states[np.arange(len(states)), starts]


def last(states: Floats, lengths: Places, starts: Places) -> Floats:
    """The state of each text's last token, float32[n, d].

    >>> states = np.array([[[1, 2], [3, 4]], [[5, 6], [0, 0]]], dtype=np.float32)
    >>> last(states, np.array([2, 1]), np.array([0, 0])).tolist()
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


def _kept(states: Floats, lengths: Places, starts: Places) -> NDArray[np.bool_]:
    place = np.arange(states.shape[1])[None, :]
    return ((starts[:, None] <= place) & (place < lengths[:, None]))[:, :, None]


def _total(states: Floats, lengths: Places, starts: Places) -> Floats:
    # What is left out is chosen away, not multiplied by 0: it may be infinite.
    kept = np.where(_kept(states, lengths, starts), states, np.float32(0))
    return np.asarray(kept.sum(axis=1, dtype=np.float32), dtype=np.float32)


def _column(counts: NDArray[Any]) -> Floats:
    return counts[:, None].astype(np.float32)


POOLINGS: Mapping[Pooling, Callable[[Floats, Places, Places], Floats]] = MappingProxyType(
    {
        "mean": mean,
        "cls": cls,
        "last": last,
        "max": largest,
        "mean_sqrt_len": mean_sqrt_len,
        "weightedmean": weightedmean,
    }
)
