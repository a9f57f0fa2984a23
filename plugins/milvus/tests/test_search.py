"""Searches of a real Milvus Lite, beside brute force."""

from __future__ import annotations

import logging
import tracemalloc
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from hookrag import HookragError, ScoreKind, parse_filter
from hookrag_milvus.store import Milvus
from milvus_kit import assert_hits, brute_force, made, make_rows, random_vectors
from numpy.typing import NDArray
from pymilvus.exceptions import MilvusException

# Search


def test_nothing_is_found_where_nothing_is(store: Milvus) -> None:
    queries = random_vectors(2, 4)
    assert store.search_dense(queries, k=3, where=None) == [[], []]
    assert store.search_dense(queries, k=3, where=parse_filter("n == 1")) == [[], []]
    assert (store.count(), store.count(parse_filter("n == 1")), list(store.scan())) == (0, 0, [])
    rows = make_rows(random_vectors(2, 4))
    store.put(rows, version=1)
    store.drop([row.chunk.id for row in rows], version=2)
    assert store.search_dense(queries, k=3, where=None) == [[], []]
    assert store.search_dense(np.empty((0, 4), np.float32), k=3, where=None) == []


@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_scores_and_order_are_those_of_brute_force(tmp_path: Path, opened: list[Milvus], metric: str) -> None:
    store = made(tmp_path, metric=metric)
    store.open()
    opened.append(store)
    rows = make_rows(random_vectors(1_200, 24) * 3)
    queries = random_vectors(10, 24, seed=1) * 5
    some = parse_filter("even == true and n < 700")
    kept = [row for row in rows if row.chunk.metadata["even"] and row.chunk.metadata["n"] < 700]
    for start in range(
        0, 1_200, 400
    ):  # the first batches in segments on disk after the first search, the last in memory
        store.put(rows[start : start + 400], version=1)
        store.sync()
        present = rows[: start + 400]
        for hits, query in zip(store.search_dense(queries, k=10, where=None), queries, strict=True):
            assert_hits(hits, brute_force(present, query, 10, metric))
    for hits, query in zip(store.search_dense(queries, k=25, where=some), queries, strict=True):
        assert_hits(hits, brute_force(kept, query, 25, metric))
    gone = {row.chunk.id for row in rows[::3]}
    store.drop(list(gone), version=2)
    left = [row for row in rows if row.chunk.id not in gone]
    assert_hits(store.search_dense(queries[:1], k=16_384, where=None)[0], brute_force(left, queries[0], 2_000, metric))


def test_a_batch_under_l2_takes_no_more_memory_than_its_queries_one_by_one(
    tmp_path: Path, opened: list[Milvus]
) -> None:
    # Of n queries at once Milvus Lite makes all n x rows x dim differences, here 49 MB, and their squares.
    store = made(tmp_path, metric="L2")
    store.open()
    opened.append(store)
    rows = make_rows(random_vectors(3_000, 64))
    store.put(rows, version=1)
    queries = random_vectors(64, 64, seed=1)
    store.search_dense(queries[:1], k=5, where=None)
    tracemalloc.start()
    try:
        answers = store.search_dense(queries, k=5, where=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15e6
    assert_hits(answers[63], brute_force(rows, queries[63], 5, "L2"))
    assert store.dense_kind == ScoreKind("negated squared distance")


def test_close_vectors_far_from_the_origin_keep_their_distances(tmp_path: Path, opened: list[Milvus]) -> None:
    # |q|^2 - 2 q.r + |r|^2 in 32 bits would leave nothing of these: they are computed by differences.
    store = made(tmp_path, metric="L2")
    store.open()
    opened.append(store)
    rows = make_rows(np.array([[5_000 + step / 8, 5_000, 0] for step in range(20)], np.float32))
    store.put(rows, version=1)
    (hits,) = store.search_dense(rows[3].dense[None], k=4, where=None)
    assert [hit.score for hit in hits] == [0, -1 / 64, -1 / 64, -4 / 64]
    too_far = replace(rows[0], dense=np.array([1.4e19, 0, 0], np.float32))
    assert store.put([too_far], version=2) == {
        rows[0].chunk.id: "its dense vector has the squared length 1.96e+38, expected one that 32 bits hold: scale it"
    }


def test_cosines_stay_within_their_bounds_and_ties_are_ordered_by_id(store: Milvus) -> None:
    vector = np.full(384, 0.1, np.float32)
    rows = make_rows(np.stack([vector * (1 + number) for number in range(20)] + [-vector]))
    store.put(rows, version=1)
    (hits,) = store.search_dense(vector[None] * 7, k=30, where=None)
    assert max(hit.score for hit in hits) <= 1.0
    assert hits[-1].score == pytest.approx(-1.0, abs=1e-6)
    assert hits[-1].score >= -1.0
    assert [(-hit.score, hit.chunk.id) for hit in hits] == sorted((-hit.score, hit.chunk.id) for hit in hits)
    assert store.dense_kind == ScoreKind("cosine")


def test_what_is_too_large_is_sent_and_asked_for_in_halves(store: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    # Real limits are of hundreds of MB: here the client refuses sooner, in the words of gRPC.
    client = store._connection.client
    upsert, search, query = client.upsert, client.search, client.query
    sizes: list[int] = []

    def limited(call, items, size):
        if size > 3:
            raise TooLargeRpc()
        sizes.append(size)
        return call(items)

    monkeypatch.setattr(
        client, "upsert", lambda name, data, **rest: limited(lambda rows: upsert(name, rows, **rest), data, len(data))
    )
    monkeypatch.setattr(
        client, "search", lambda name, data, **rest: limited(lambda rows: search(name, rows, **rest), data, len(data))
    )
    monkeypatch.setattr(
        client,
        "query",
        lambda name, filter, **rest: limited(
            lambda _: query(name, filter=filter, **rest), filter, filter.count(",") + 1
        ),
    )
    rows = make_rows(random_vectors(10, 4))
    assert store.put(rows, version=1) == {}
    queries = random_vectors(7, 4, seed=1)
    for hits, query_vector in zip(store.search_dense(queries, k=4, where=None), queries, strict=True):
        assert_hits(hits, brute_force(rows, query_vector, 4))
    ids = [row.chunk.id for row in rows]
    assert [row and row.chunk.id for row in store.fetch(ids)] == ids
    assert len(sizes) > 10


class TooLargeRpc(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return "Received message larger than max"


def test_a_batch_that_is_refused_is_searched_for_the_rows_that_are_wrong(
    store: Milvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everything that Milvus Lite refuses is refused before; a server may know more reasons.
    rows = make_rows(random_vectors(40, 4))
    poison = {rows[3].chunk.id, rows[4].chunk.id, rows[39].chunk.id}
    upsert = store._connection.client.upsert

    def refusing(name, data, **rest):
        if bad := [row["pk"] for row in data if row["pk"] in poison]:
            raise MilvusException(1100, f"row {bad[0]} is not to my taste")
        return upsert(name, data, **rest)

    monkeypatch.setattr(store._connection.client, "upsert", refusing)
    refused = store.put(rows, version=1)
    assert refused == {
        one: f"{store.path}/milvus.db, collection hookrag: write failed: row {one} is not to my taste" for one in poison
    }
    assert sorted(key.chunk_id for page in store.scan() for key in page) == sorted(
        {row.chunk.id for row in rows} - poison
    )


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 5)), "query vectors have the shape [1, 5], expected [n, 4]: use the embedder of this index"),
        (np.array([[1, 2, 3, 4], [np.nan, 0, 0, 0]]), "query vector 1 has a value that is not finite"),
        (np.zeros((1, 4)), "query vector 0 is all zeros, which has no cosine with anything"),
    ],
)
def test_bad_queries_are_refused(store: Milvus, vectors: NDArray[np.float32], message: str) -> None:
    store.put(make_rows(random_vectors(2, 4)), version=1)
    with pytest.raises(HookragError) as caught:
        store.search_dense(vectors.astype(np.float32), k=1, where=None)
    assert str(caught.value) == f"{store.path}/milvus.db: {message}"
    for k in (0, 16_385):
        with pytest.raises(HookragError) as caught:
            store.search_dense(np.ones((1, 4), np.float32), k=k, where=None)
        assert (
            str(caught.value)
            == f"{store.path}/milvus.db: got k = {k}, expected 1 to 16,384, the most that Milvus returns"
        )


def test_the_width_of_a_query_is_checked_where_no_row_is(store: Milvus) -> None:
    # Both Milvus Lite and servers answer such a search on an empty collection with nothing.
    rows = make_rows(random_vectors(2, 4))
    store.put(rows, version=1)
    store.drop([row.chunk.id for row in rows], version=2)
    with pytest.raises(HookragError) as caught:
        store.search_dense(np.ones((1, 5), np.float32), k=1, where=None)
    assert str(caught.value) == (
        f"{store.path}/milvus.db: query vectors have the shape [1, 5], expected [n, 4]: use the embedder of this index"
    )


def test_a_collection_that_is_not_loaded_is_loaded(store: Milvus) -> None:
    rows = make_rows(random_vectors(20, 4))
    store.put(rows, version=1)
    query = rows[7].dense
    reads = (
        lambda: assert_hits(store.search_dense(query[None], k=3, where=None)[0], brute_force(rows, query, 3)),
        lambda: store.fetch([rows[7].chunk.id])[0].check == 7,
        lambda: store.count(parse_filter("even == true")) == 10,
        lambda: sum(map(len, store.scan())) == 20,
    )
    for read in reads:
        store._connection.client.release_collection("hookrag")
        assert read() in (None, True)


def test_the_client_logs_no_tracebacks_of_its_own(store: Milvus, caplog: pytest.LogCaptureFixture) -> None:
    store.put(make_rows(random_vectors(2, 4)), version=1)
    with caplog.at_level(logging.DEBUG), pytest.raises(HookragError, match="search failed"):
        store._connection.call(
            "search", lambda: store._connection.client.search("hookrag", data=[[1.0]], retry_times=1)
        )
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_collection_that_was_dropped_is_an_error_and_not_an_empty_answer(store: Milvus) -> None:
    rows = make_rows(random_vectors(2, 4))
    store.put(rows, version=1)
    store._connection.client.drop_collection("hookrag")
    for use in (store.count, lambda: list(store.scan()), lambda: store.put(rows, version=2)):
        with pytest.raises(HookragError, match="hookrag"):
            use()
    store.close()
    store.open()
    assert store.count() == 0
