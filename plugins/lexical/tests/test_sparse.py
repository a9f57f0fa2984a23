"""Sparse vectors beside the text, and rows that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hookrag import Chunk, Row, SparseRows
from hookrag_lexical.store import Lexical


class Sparse:
    """An embedder that is never asked: the rows of these tests bring their vectors."""

    outputs = ("sparse",)

    def identity(self):
        raise AssertionError

    def embed(self, texts, /, *, role, outputs):
        raise AssertionError


def made(path, **settings):
    store = Lexical(chunker=None, path=path, **settings)
    store.open()
    return store


def row(text, name="", *, document="d", metadata=None, owner="me", check=7, sparse=None, context=""):
    chunk = Chunk(name or text, document, text, 0, len(text), context, metadata=metadata or {})
    if sparse is not None:
        sparse = (np.array(list(sparse), dtype=np.int32), np.array(list(sparse.values()), dtype=np.float32))
    return Row(chunk, owner, check, sparse=sparse)


def filled(path, *rows, **settings):
    store = made(path, **settings)
    assert store.put(rows, version=1) == {}
    store.sync()
    return store


def found(store, text, k=10, where=None):
    return [hit.chunk.id for hit in store.search_text([text], k=k, where=where)[0]]


def queries(*vectors):
    at = np.cumsum([0, *map(len, vectors)]).astype(np.int64)
    dims = np.array([dim for vector in vectors for dim in vector], dtype=np.int32)
    values = np.array([value for vector in vectors for value in vector.values()], dtype=np.float32)
    return SparseRows(at, dims, values, 100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "terms"


def test_sparse_vectors_are_kept_and_searched(path):
    rows = [
        row("a", sparse={3: 1.5, 90: 2.0}),
        row("b", sparse={3: -1.0, 4: 0.0}),
        row("c", sparse={}),
        row("d"),
    ]
    store = filled(path, *rows, embedder=Sparse())
    assert store.embedders == {"sparse": store.embedder}
    hits = store.search_sparse(queries({3: 2.0, 4: 5.0}, {}, {90: 0.5}, {3: -1.0}, {7: 1.0}), k=5, where=None)
    assert [[(hit.chunk.id, hit.score) for hit in found] for found in hits] == [
        [("a", 3.0), ("b", -2.0)],
        [],
        [("a", 1.0)],
        [("b", 1.0), ("a", -1.5)],
        [],
    ]
    for asked in (rows, rows[::-1]):
        for want, got in zip(asked, store.fetch([item.chunk.id for item in asked], vectors=True), strict=True):
            assert (want.chunk, want.sparse is None) == (got.chunk, got.sparse is None)
            if want.sparse is not None:
                assert [part.tolist() for part in want.sparse] == [part.tolist() for part in got.sparse]
                assert [part.dtype for part in want.sparse] == [part.dtype for part in got.sparse]
    assert store.fetch(["a"])[0].sparse is None


def test_a_row_that_shares_a_dimension_is_found_where_its_product_is_zero(path):
    store = filled(path, row("zero", sparse={1: 1.0, 2: -2.0}), row("other", sparse={5: 1.0}), embedder=Sparse())
    [hits] = store.search_sparse(queries({1: 2.0, 2: 1.0}), k=5, where=None)
    assert [(hit.chunk.id, hit.score) for hit in hits] == [("zero", 0.0)]


def test_rows_that_cannot_be_kept_are_named_with_the_reason_and_the_others_are_kept(path):
    store = made(path, embedder=Sparse())
    vector = np.ones(2, dtype=np.float32)
    bad = [
        row("t", "x" * 256),
        row("t", "nul\0"),
        row("t", "half\ud800"),
        row("t", "json", metadata={"when": {1, 2}}),
        row("t", "keys", metadata={1: 2}),
        row("t", "tuple", metadata={"a": {"b": (1, 2)}}),
        row("t", "not a number", metadata={"a": float("nan")}),
        Row(Chunk("span", "d", "t", 0, 2**63), "", 0),
        Row(Chunk("dense", "d", "t", 0, 1), "", 0, dense=vector),
        Row(Chunk("multi", "d", "t", 0, 1), "", 0, multi=vector[None]),
        Row(Chunk("order", "d", "t", 0, 1), "", 0, sparse=(np.array([2, 1], dtype=np.int32), vector)),
        Row(Chunk("nan", "d", "t", 0, 1), "", 0, sparse=(np.array([1, 2], dtype=np.int32), vector * np.nan)),
        Row(Chunk("shape", "d", "t", 0, 1), "", 0, sparse=(np.array([1], dtype=np.int32), vector)),
    ]
    assert store.put([*bad, row("t", "good")], version=1) == {
        "x" * 256: "its chunk id has 256 bytes, expected 1 to 255 and no NUL",
        "nul\0": "its chunk id has 4 bytes, expected 1 to 255 and no NUL",
        "half\ud800": "its chunk id has a lone surrogate, which no store keeps",
        "json": "its metadata is not JSON: Object of type set is not JSON serializable",
        "keys": "its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings",
        "tuple": "its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings",
        "not a number": "its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings",
        "span": "its span 0:9223372036854775808 is not one of 64-bit integers, start first",
        "dense": "it has a dense vector, which a lexical store does not keep",
        "multi": "it has a multi vector, which a lexical store does not keep",
        "order": "its sparse vector needs ascending indices from 0 and finite values",
        "nan": "its sparse vector needs ascending indices from 0 and finite values",
        "shape": "its sparse vector has (1,) indices and (2,) values",
    }
    store.sync()
    assert found(store, "t") == ["good"]
    plain = made(path.parent / "plain")
    assert plain.put([row("t", sparse={1: 1.0})], version=1) == {
        "t": "it has a sparse vector, but the store has no embedder that makes them"
    }
