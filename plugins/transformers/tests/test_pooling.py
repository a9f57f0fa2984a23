from __future__ import annotations

import numpy as np
import pytest
from hookrag_transformers.pooling import POOLINGS, l2_normalised


def slow(name: str, states: np.ndarray, length: int) -> list[float]:
    """One text, in plain Python."""
    rows = [[float(x) for x in row] for row in states[:length]]
    if name == "cls":
        return rows[0]
    if name == "last":
        return rows[-1]
    return [sum(column) / length for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", list(POOLINGS))
def test_poolings_agree_with_plain_python(name):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(6, 9, 5)).astype(np.float32)
    lengths = np.array([1, 9, 4, 5, 2, 8])
    states[0, 1:] = np.nan  # what lies in the padding must not matter
    pooled = POOLINGS[name](states, lengths)
    assert pooled.dtype == np.float32
    expected = [slow(name, one, int(length)) for one, length in zip(states, lengths, strict=True)]
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


def test_normalised_vectors_have_length_one_and_zero_stays_zero():
    vectors = np.array([[1e-3, 2e-3], [-5, 12], [0, 0]], dtype=np.float32)
    made = l2_normalised(vectors)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(made[1], [-5 / 13, 12 / 13], atol=1e-6)
