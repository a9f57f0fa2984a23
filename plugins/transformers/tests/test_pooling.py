from __future__ import annotations

import numpy as np
import pytest
from hookrag_transformers.pooling import POOLINGS, l2_normalised


def slow(name: str, states: np.ndarray, length: int, start: int) -> list[float]:
    """One text's vector in plain Python."""
    rows = [[float(value) for value in row] for row in states[start:length]]
    if name in ("cls", "last"):
        return rows[0 if name == "cls" else -1]
    columns = list(zip(*rows, strict=True))
    if name == "max":
        return [max(column) for column in columns]
    weights = [place + 1 for place in range(start, length)] if name == "weightedmean" else [1] * len(rows)
    over = len(rows) ** 0.5 if name == "mean_sqrt_len" else sum(weights)
    return [sum(weight * value for weight, value in zip(weights, column, strict=True)) / over for column in columns]


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("name", list(POOLINGS))
def test_poolings_agree_with_plain_python(name, start):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(6, 9, 5)).astype(np.float32)
    lengths = np.array([3, 9, 4, 5, 3, 8])
    states[0, 3:] = np.nan  # what lies in the padding must not matter
    pooled = POOLINGS[name](states, lengths, np.full(6, start))
    assert pooled.dtype == np.float32
    expected = [slow(name, one, int(length), start) for one, length in zip(states, lengths, strict=True)]
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


def test_normalised_vectors_have_length_one_and_zero_stays_zero():
    vectors = np.array([[1e-3, 2e-3], [-5, 12], [0, 0]], dtype=np.float32)
    made = l2_normalised(vectors)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(made[1], [-5 / 13, 12 / 13], atol=1e-6)
