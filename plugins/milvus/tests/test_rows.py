"""Rows that come back as they were sent, and rows that cannot be taken; on a real Milvus Lite."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hookrag import Chunk, Document, Row, RowKey, ScoreKind, chunk_of
from hookrag_milvus.store import Milvus
from milvus_kit import made, make_rows, random_vectors

# Rows


def test_rows_come_back_as_they_were_sent(store: Milvus) -> None:
    metadata = {
        "s": "é", "i": 2**62, "f": 0.1, "b": True, "none": None, "nan": float("inf"), "list": [1, "x", {"deep": [None]}],
        "": "empty key", "pk": "not a field", "text": "nor this", "$meta": 1, "dense": [1.0],
    }  # fmt: skip
    text = "a text with \t tabs, 日本語 and \u0000"
    document = Document("d\"'\\\n\u0000é", text, "The title", metadata)
    chunk = replace(
        chunk_of(document, 2, len(document.text), metadata={"more": 1}), parent="f" * 32, made_of=("a", "b")
    )
    row = Row(chunk, "owner-uuid", -(2**63), np.array([0.1, -2e-20, 3e18], np.float32))
    assert store.put([row], version=1) == {}
    store.sync()
    (found,) = store.fetch([chunk.id], vectors=True)
    assert found is not None
    assert (found.chunk, found.owner, found.check) == (row.chunk, row.owner, row.check)
    assert found.dense is not None
    assert found.dense.dtype == np.float32
    assert found.dense.tobytes() == row.dense.tobytes()
    (hit,) = store.search_dense(row.dense[None], k=3, where=None)[0]
    assert hit.chunk == chunk
    assert list(store.scan()) == [[RowKey(chunk.id, chunk.document_id, "owner-uuid", -(2**63))]]


@pytest.mark.parametrize("check", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_checks_of_64_bits_are_kept(store: Milvus, check: int) -> None:
    row = replace(make_rows(random_vectors(1, 4))[0], check=check)
    store.put([row], version=1)
    assert [key.check for page in store.scan() for key in page] == [check]


def test_fetch_keeps_the_order_and_says_what_is_absent(store: Milvus) -> None:
    rows = make_rows(random_vectors(5, 4))
    assert store.fetch([rows[0].chunk.id]) == [None]
    store.put(rows, version=1)
    wanted = [rows[3].chunk.id, "f" * 32, rows[0].chunk.id, rows[3].chunk.id, "hostile\"'"]
    found = store.fetch(wanted)
    assert [row and row.chunk.id for row in found] == [rows[3].chunk.id, None, rows[0].chunk.id, rows[3].chunk.id, None]
    assert found[0] is not None
    assert found[0].dense is None
    assert store.fetch([]) == []


def test_a_row_put_twice_is_one_row(store: Milvus) -> None:
    rows = make_rows(random_vectors(3, 4))
    assert store.put([*rows, rows[0]], version=1) == {}
    assert store.put(rows, version=2) == {}
    store.sync()
    assert store.count() == 3
    assert [key.chunk_id for page in store.scan() for key in page] == sorted(row.chunk.id for row in rows)


def test_drop_deletes_what_is_there(store: Milvus) -> None:
    store.drop(["0" * 32], version=1)  # before there is a collection
    rows = make_rows(random_vectors(4, 4))
    store.put(rows, version=1)
    store.drop([rows[1].chunk.id, "0" * 32], version=2)
    assert store.fetch([row.chunk.id for row in rows[:2]])[1] is None
    assert store.count() == 3
    store.put([rows[1]], version=3)
    assert store.count() == 4


@pytest.mark.parametrize(
    "hostile", ['x"] or pk != "', "x' or 'a' == 'a", "zz'] or id not in ['zz", "*", "", "%", "\\", "x\ny"]
)
def test_hostile_ids_touch_nothing_else(store: Milvus, hostile: str) -> None:
    rows = make_rows(random_vectors(3, 4))
    store.put(rows, version=1)
    store.drop([hostile], version=2)
    assert store.fetch([hostile]) == [None]
    assert store.count() == 3
    refused = store.put([replace(rows[0], chunk=replace(rows[0].chunk, id=hostile))], version=3)
    assert refused == {
        hostile: f"its id {hostile!r} is not 1 to 64 letters, digits and _ . : / -: make chunks with chunk_of()"
    }


def test_many_ids_at_once(store: Milvus) -> None:
    rows = make_rows(random_vectors(2_500, 4))
    assert store.put(rows, version=1) == {}
    ids = [row.chunk.id for row in rows]
    assert [row and row.chunk.id for row in store.fetch(ids[::-1])] == ids[::-1]
    store.drop(ids[:2_400], version=2)
    assert sorted(key.chunk_id for page in store.scan() for key in page) == sorted(ids[2_400:])


# Items that cannot be taken


def bad_rows() -> dict[str, tuple[Row, str]]:
    row = make_rows(random_vectors(1, 4))[0]

    def with_chunk(**changes: object) -> Row:
        return replace(row, chunk=replace(row.chunk, **changes))

    def with_vector(*values: float) -> Row:
        return replace(row, dense=np.array(values, np.float32))

    vector = "its dense vector"
    return {
        "nan": (with_vector(1, math.nan, 0, 0), f"{vector} has a value that is not finite"),
        "inf": (with_vector(1, math.inf, 0, 0), f"{vector} has a value that is not finite"),
        "overflow": (replace(row, dense=np.array([1, 1e39, 0, 0])), f"{vector} has a value that is not finite"),
        "zero": (with_vector(0, 0, 0, 0), f"{vector} is all zeros, which has no cosine with anything"),
        "dim": (with_vector(1, 1, 1, 1, 1), f"{vector} has 5 dimensions, expected 4, those of the rows before it"),
        "huge": (
            with_vector(2e19, 2e19, 2e19, 2e19),
            f"{vector} has the squared length inf, expected one that 32 bits hold: scale it",
        ),
        "tiny": (
            with_vector(2**-64, 0, 0, 0),
            f"{vector} has the squared length 2.93874e-39, expected one that 32 bits hold: scale it",
        ),
        "none": (replace(row, dense=None), "it has no dense vector"),
        "matrix": (
            replace(row, dense=np.ones((1, 4), np.float32)),
            f"{vector} has the shape [1, 4], expected [d] with d from 2 to 32768",
        ),
        "text": (
            with_chunk(text="é" * 40_000),
            "its text takes 80,000 bytes of UTF-8, expected at most 65,535: make smaller chunks",
        ),
        "document": (
            with_chunk(document_id="é" * 300),
            "its document id takes 600 bytes of UTF-8, expected at most 512: make it shorter",
        ),
        "context": (
            with_chunk(context="x" * 60_001),
            "its context, sources and metadata as JSON takes 60,091 bytes of UTF-8, expected at most 60,000: make it shorter",
        ),
        "facets": (
            with_chunk(metadata={"tags": [str(number) for number in range(2_000)]}),
            "its metadata for filters as JSON takes 84,015 bytes of UTF-8, expected at most 60,000: make it shorter",
        ),
        "surrogate": (with_chunk(text="\ud800"), "its text holds half of a surrogate pair, which UTF-8 cannot hold"),
        "value": (
            with_chunk(metadata={"x": b""}),
            "its metadata are not JSON values: Object of type bytes is not JSON serializable",
        ),
        "key": (with_chunk(metadata={1: 2}), "its metadata have a key that is not a string"),
        "integer": (
            with_chunk(metadata={"x": 2**64 + 1}),
            "its metadata hold an integer that neither 64 bits nor a float hold: write it as text",
        ),
        "owner": (
            replace(row, owner="x" * 129),
            "its owner takes 129 bytes of UTF-8, expected at most 128: make it shorter",
        ),
        "check": (replace(row, check=2**63), f"its check is {2**63}, expected a signed integer of 64 bits"),
    }


@pytest.mark.parametrize("case", bad_rows())
def test_a_bad_row_is_named_and_the_others_are_taken(store: Milvus, case: str) -> None:
    bad, reason = bad_rows()[case]
    bad = replace(bad, chunk=replace(bad.chunk, id="b" * 32))
    good = make_rows(random_vectors(3, 4))
    with np.errstate(over="ignore"):
        assert store.put([good[0], bad, *good[1:]], version=1) == {"b" * 32: reason}
    assert store.count() == 3


def test_a_store_of_bad_rows_alone_has_no_collection(store: Milvus) -> None:
    bad = bad_rows()["nan"][0]
    assert list(store.put([bad], version=1)) == [bad.chunk.id]
    assert store.count() == 0
    assert store.put(make_rows(random_vectors(2, 7)), version=1) == {}


def test_zeros_are_taken_where_inner_products_rank(tmp_path: Path, opened: list[Milvus]) -> None:
    store = made(tmp_path, metric="IP")
    store.open()
    opened.append(store)
    rows = make_rows(np.array([[0, 0], [3, 4]], np.float32))
    assert store.put(rows, version=1) == {}
    (hits,) = store.search_dense(np.array([[0, 2]], np.float32), k=5, where=None)
    assert [(hit.chunk.id, hit.score) for hit in hits] == [(rows[1].chunk.id, 8.0), (rows[0].chunk.id, 0.0)]
    assert store.dense_kind == ScoreKind("inner product")


def test_chunks_are_kept_as_json_of_a_few_keys(store: Milvus) -> None:
    (row,) = make_rows(random_vectors(1, 4))
    store.put([row], version=1)
    (kept,) = store._connection.client.query("hookrag", filter='pk != ""', output_fields=["chunk"])
    assert json.loads(kept["chunk"]) == {
        "context": "Title", "start": 0, "end": 9, "parent": None, "sources": [], "metadata": {"n": 0, "even": True},
    }  # fmt: skip
    assert isinstance(row.chunk, Chunk)
