"""Vectors that have scores, and exact scores beside a brute-force twin."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hookrag import ItemRejected
from hookrag_stores.nearest import nearest, scores
from hookrag_stores.vectors import KINDS, dense_of, queries_of, unwarned, wrong
from hypothesis import given
from hypothesis import strategies as st

METRICS = ["COSINE", "IP", "L2"]


def twin(query, row, metric):
    q, r = query.astype(np.float64), row.astype(np.float64)
    if metric == "L2":
        return -float(np.sum((q - r) ** 2))
    product = float(np.dot(q, r))
    return product if metric == "IP" else product / float(np.sqrt(np.dot(q, q)) * np.sqrt(np.dot(r, r)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_formula(metric, kind):
    rng = np.random.default_rng(1)
    queries, rows = (rng.standard_normal((n, 17)).astype(np.float32) for n in (5, 40))
    found = scores(queries.astype(kind), rows.astype(kind), metric)
    assert (found.shape, found.dtype) == ((5, 40), kind)
    expected = [[twin(query, row, metric) for row in rows] for query in queries]
    np.testing.assert_allclose(found, expected, rtol=1e-4 if kind == np.float32 else 1e-12, atol=1e-5)


def test_a_distance_between_close_vectors_is_not_lost():
    far = np.full(8, 1e4, np.float32)
    near = far.copy()
    near[0] += 0.25
    assert scores(far[None], near[None], "L2").tolist() == [[-0.0625]]


def test_a_cosine_is_never_more_than_one():
    rows = np.random.default_rng(2).standard_normal((200, 33)).astype(np.float32)
    assert scores(rows, rows, "COSINE").max() <= 1


@given(
    st.lists(st.lists(st.tuples(st.text(max_size=2), st.integers(-2, 2)), max_size=6), max_size=4),
    st.integers(1, 8),
)
def test_the_nearest_of_all_pages_with_equal_scores_by_id(pages, k):
    queries = np.array([[1], [-2]], np.float32)
    given = [
        ([name for name, _ in page], np.array([[x] for _, x in page], np.float32).reshape(-1, 1)) for page in pages
    ]
    everything = [pair for page in pages for pair in page]
    for query, found in zip((1, -2), nearest(queries, given, k, "IP"), strict=True):
        assert found == sorted(((name, float(query * x)) for name, x in everything), key=lambda p: (-p[1], p[0]))[:k]


def refused(vector, metric="COSINE", **bounds):
    with pytest.raises(ItemRejected) as error, unwarned():
        dense_of(vector, metric, **{"most": 8, **bounds})
    return str(error.value)


def test_a_vector_without_scores_is_refused_and_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(None) == "it has no dense vector"
        assert refused([[1.0, 2.0]]) == "its dense vector has the shape [1, 2], expected [d] with d from 1 to 8"
        assert refused(1.0) == "its dense vector has the shape [], expected [d] with d from 1 to 8"
        assert refused([1.0], least=2) == "its dense vector has the shape [1], expected [d] with d from 2 to 8"
        assert refused(np.ones(9)) == "its dense vector has the shape [9], expected [d] with d from 1 to 8"
        assert refused([1.0], dim=2) == "its dense vector has 1 dimensions, expected 2, those of the rows before it"
        assert refused([1.0, np.nan]) == "its dense vector has a value that is not finite"
        assert refused([1.0, -np.inf], "L2") == "its dense vector has a value that is not finite"
        assert refused([1.0, 1e39], "IP") == "its dense vector has a value that is not finite"
        assert refused([0.0, -0.0]) == "its dense vector is all zeros, which has no cosine with anything"
        long = "its dense vector has the squared length {}, expected one that 32 bits hold: scale it"
        assert refused([1e-30, 0.0]) == long.format("0")
        assert refused([1e20, 0.0], "IP") == long.format("inf")
        assert refused([1.4e19, 0.0], "L2") == long.format("1.96e+38")


def test_a_vector_with_scores_is_given_as_floats_of_32_bits():
    with unwarned():
        for metric in METRICS:
            made = dense_of([1, 2.5], metric, most=8, dim=2)
            assert (made.dtype, made.tolist()) == (np.float32, [1.0, 2.5])
            assert wrong(np.zeros(2, np.float32), metric) == (
                "is all zeros, which has no cosine with anything" if metric == "COSINE" else ""
            )
        assert wrong(np.array([1.4e19, 0], np.float32), "IP") == ""


def test_queries_are_checked_one_by_one():
    made = queries_of([[1, 2], [3, 4]], "COSINE", dim=2)
    assert (made.dtype, made.tolist()) == (np.float32, [[1, 2], [3, 4]])
    with pytest.raises(ValueError) as error:
        queries_of([[1, 2]], "COSINE", dim=3)
    assert str(error.value) == ("query vectors have the shape [1, 2], expected [n, 3]: use the embedder of this index")
    with pytest.raises(ValueError) as error:
        queries_of([[1, 2], [0, 0]], "COSINE", dim=2)
    assert str(error.value) == "query vector 1 is all zeros, which has no cosine with anything"


def test_each_metric_says_what_its_scores_are():
    assert {metric: kind.name for metric, kind in KINDS.items()} == {
        "COSINE": "cosine",
        "IP": "inner product",
        "L2": "negated squared distance",
    }
