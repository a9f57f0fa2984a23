"""The contract of a store, on a real Milvus Lite."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from hookrag import (
    Card,
    Chunk,
    Document,
    Hit,
    HookragError,
    IdentityError,
    Row,
    RowKey,
    ScoreKind,
    chunk_of,
    parse_filter,
    tracing,
)
from hookrag_milvus import store as module
from hookrag_milvus.store import Milvus
from numpy.typing import NDArray
from pymilvus.exceptions import MilvusException


def random_vectors(n: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def make_rows(vectors: NDArray[np.float32], **metadata: object) -> list[Row]:
    rows = []
    for number, vector in enumerate(vectors):
        document = Document(
            f"doc-{number}", f"text of {number}", "Title", {"n": number, "even": number % 2 == 0, **metadata}
        )
        rows.append(Row(chunk_of(document, 0, len(document.text)), "owner", number, vector))
    return rows


def brute_force(rows: list[Row], query: NDArray[np.float32], k: int, metric: str = "COSINE") -> list[tuple[str, float]]:
    pairs = []
    for row in rows:
        score = float(row.dense.astype(np.float64) @ query.astype(np.float64))
        if metric == "COSINE":
            score /= math.sqrt(
                float((row.dense.astype(np.float64) ** 2).sum()) * float((query.astype(np.float64) ** 2).sum())
            )
        pairs.append((row.chunk.id, score))
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k]


def assert_hits(hits: list[Hit], expected: list[tuple[str, float]]) -> None:
    assert [hit.chunk.id for hit in hits] == [chunk_id for chunk_id, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx(
        [score for _, score in expected], rel=1e-5, abs=abs(expected[0][1]) * 1e-6 + 1e-6
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[Milvus]]:
    """A list: what a test adds to it is closed at its end."""
    stores: list[Milvus] = []
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path: Path, opened: list[Milvus]) -> Milvus:
    made = Milvus(chunker=None, embedder=None, path=tmp_path / "index")
    made.open()
    opened.append(made)
    return made


# Rows


def test_rows_come_back_as_they_were_sent(store: Milvus) -> None:
    metadata = {
        "s": "é", "i": 2**62, "f": 0.1, "b": True, "none": None, "nan": float("inf"), "list": [1, "x", {"deep": [None]}],
        "": "empty key", "pk": "not a field", "text": "nor this", "$meta": 1, "dense": [1.0],
    }  # fmt: skip
    text = "a text with \t tabs, 日本語 and \u0000"
    document = Document("d\"'\\\n\u0000é", text, "The title", metadata)
    chunk = replace(
        chunk_of(document, 2, len(document.text), metadata={"more": 1}), parent="f" * 32, sources=("a", "b")
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
    store = Milvus(chunker=None, embedder=None, path=tmp_path, metric="IP")
    store.open()
    opened.append(store)
    rows = make_rows(np.array([[0, 0], [3, 4]], np.float32))
    assert store.put(rows, version=1) == {}
    (hits,) = store.search_dense(np.array([[0, 2]], np.float32), k=5, where=None)
    assert [(hit.chunk.id, hit.score) for hit in hits] == [(rows[1].chunk.id, 8.0), (rows[0].chunk.id, 0.0)]
    assert store.dense_kind == ScoreKind("inner product")


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


@pytest.mark.parametrize("metric", ["COSINE", "IP"])
def test_scores_and_order_are_those_of_brute_force(tmp_path: Path, opened: list[Milvus], metric: str) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path, metric=metric)
    store.open()
    opened.append(store)
    rows = make_rows(random_vectors(1_500, 24) * 3)
    queries = random_vectors(20, 24, seed=1) * 5
    some = parse_filter("even == true and n < 700")
    kept = [row for row in rows if row.chunk.metadata["even"] and row.chunk.metadata["n"] < 700]
    for start in range(
        0, 1_500, 500
    ):  # the first batches in segments on disk after the first search, the last in memory
        store.put(rows[start : start + 500], version=1)
        store.sync()
        present = rows[: start + 500]
        for hits, query in zip(store.search_dense(queries, k=10, where=None), queries, strict=True):
            assert_hits(hits, brute_force(present, query, 10, metric))
    for hits, query in zip(store.search_dense(queries, k=25, where=some), queries, strict=True):
        assert_hits(hits, brute_force(kept, query, 25, metric))
    gone = {row.chunk.id for row in rows[::3]}
    store.drop(list(gone), version=2)
    left = [row for row in rows if row.chunk.id not in gone]
    assert_hits(store.search_dense(queries[:1], k=16_384, where=None)[0], brute_force(left, queries[0], 2_000, metric))


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


def test_a_full_disk_stops_the_run_and_not_a_document(store: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(random_vectors(4, 4))
    store.put(rows[:1], version=1)

    def failing(name, data, **rest):
        raise MilvusException(1, "[Errno 28] No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store._connection.client, "upsert", failing)
        with pytest.raises(HookragError) as caught:
            store.put(rows, version=1)
    failure = f"{store.path}/milvus.db, collection hookrag: write failed: [Errno 28] No space left on device (MilvusException)"
    assert str(caught.value) == failure
    with pytest.raises(HookragError) as caught:
        store.count()
    assert str(caught.value) == (
        f"{store.path}/milvus.db: a write failed, so the store has to be closed and opened again: {failure}"
    )
    store.close()
    store.open()
    assert store.put(rows, version=1) == {}
    assert store.count() == 4


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


# HNSW


def clustered(n: int, dim: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(30, dim))
    return (centres[rng.integers(0, 30, n)] + 0.4 * rng.normal(size=(n, dim))).astype(np.float32)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Milvus, list[Row]]]:
    store = Milvus(
        chunker=None, embedder=None, path=tmp_path_factory.mktemp("hnsw"), index="HNSW", m=12, ef_construction=120
    )
    store.open()
    rows = make_rows(clustered(4_000, 32))
    store.put(rows, version=1)
    store.search_dense(rows[0].dense[None], k=1, where=None)  # flushes
    store.close()
    store.open()  # loading builds the graph, which is built in the background otherwise
    yield store, rows
    store.close()


def test_hnsw_is_built_as_it_was_asked_for_and_finds_nearly_all(graph: tuple[Milvus, list[Row]]) -> None:
    import faiss

    store, rows = graph
    built = [faiss.read_index(str(file)) for file in store.path.rglob("*.idx")]
    assert [(index.hnsw.nb_neighbors(1), index.hnsw.efConstruction, index.ntotal) for index in built] == [
        (12, 120, 4_000)
    ]
    queries = clustered(4_050, 32)[4_000:]
    found = store.search_dense(queries, k=10, where=None)
    expected = [{chunk_id for chunk_id, _ in brute_force(rows, query, 10)} for query in queries]
    recall = sum(len({hit.chunk.id for hit in hits} & best) for hits, best in zip(found, expected, strict=True)) / 500
    assert recall >= 0.99


def test_a_filter_is_answered_exactly_under_hnsw(graph: tuple[Milvus, list[Row]]) -> None:
    store, rows = graph
    queries = clustered(4_020, 32)[4_000:]
    kept = [row for row in rows if row.chunk.metadata["n"] < 400]
    with tracing() as trace:
        answers = store.search_dense(queries, k=5, where=parse_filter("n < 400"))
    for hits, query in zip(answers, queries, strict=True):
        assert_hits(hits, brute_force(kept, query, 5))
    assert trace.notes == {"exact": 20}  # the graph would have returned five hits, too, but not always the best


def test_no_cosine_of_the_graph_is_over_one(graph: tuple[Milvus, list[Row]]) -> None:
    store, rows = graph
    answers = store.search_dense(np.stack([row.dense for row in rows[:500]]), k=1, where=None)
    assert max(hits[0].score for hits in answers) == 1.0


def test_what_the_graph_misses_is_scored_exactly(
    graph: tuple[Milvus, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the exact search of small selections off, the graph is asked first, and it does not reach some of the few rows.
    monkeypatch.setattr(module, "_EXACT_ROWS", 0)
    monkeypatch.setattr(module, "_EXACT_SHARE", 0.0)
    store, rows = graph
    kept = [rows[number] for number in (7, 300, 2999, 3000, 3500, 3999, 17, 18)]
    queries = np.stack([row.dense for row in rows[:12]])
    with tracing() as trace:
        answers = [
            store.search_dense(query[None], k=8, where=parse_filter("n in [7, 300, 2999, 3000, 3500, 3999, 17, 18]"))
            for query in queries
        ]
    assert trace.notes.get("exact", 0) > 0, "the graph reached every row: the test does not test"
    for (hits,), query in zip(answers, queries, strict=True):
        assert_hits(hits, brute_force(kept, query, 8))


# The card


def test_a_card_is_kept_before_and_after_there_is_a_collection(tmp_path: Path, opened: list[Milvus]) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    opened.append(store)
    first = store.card()
    assert (len(first.uuid), first.owner, first.epoch, first.generation, first.identity) == (32, "", 0, 1, {})
    claimed = Card(first.uuid, "journal \"'\\é", 3, 1, {"model": "x", "dim": 4, "norm": True, "none": None})
    store.stamp(claimed)
    store.close()
    store.open()
    assert store.card() == claimed
    store.put(make_rows(random_vectors(1, 4)), version=1)
    assert store.card() == claimed
    assert not (tmp_path / "card.json").exists()
    later = replace(claimed, epoch=4, generation=2)
    store.stamp(later)
    assert store.card() == later
    store.close()
    store.open()
    assert store.card() == later
    with pytest.raises(HookragError) as caught:
        store.stamp(Card("another"))
    assert (
        str(caught.value)
        == f"{tmp_path}/milvus.db: got a card of the store another, expected one of the store {first.uuid}"
    )


@pytest.mark.parametrize("wipe", ["database", "folder", "collection"])
def test_a_wiped_store_has_another_uuid(tmp_path: Path, opened: list[Milvus], wipe: str) -> None:
    import shutil

    store = Milvus(chunker=None, embedder=None, path=tmp_path / "index")
    store.open()
    opened.append(store)
    before = store.card()
    store.put(make_rows(random_vectors(3, 4)), version=1)
    if wipe == "collection":
        store._connection.client.drop_collection("hookrag")
    store.close()
    if wipe == "database":
        shutil.rmtree(tmp_path / "index" / "milvus.db")
    if wipe == "folder":
        shutil.rmtree(tmp_path / "index")
    store.open()
    assert store.card().uuid != before.uuid
    assert (store.card().owner, store.card().epoch, store.count()) == ("", 0, 0)


def test_a_process_that_died_while_it_made_the_collection_leaves_a_store_that_works(
    tmp_path: Path, opened: list[Milvus]
) -> None:
    from hookrag_milvus import collection

    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    opened.append(store)
    card = store.card()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection, "_create_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.put(make_rows(random_vectors(2, 4)), version=1)
    store.close()
    store.open()
    assert store.card() == card
    assert not (tmp_path / "card.json").exists()
    rows = make_rows(random_vectors(2, 4))
    assert store.put(rows, version=1) == {}
    assert_hits(store.search_dense(rows[0].dense[None], k=2, where=None)[0], brute_force(rows, rows[0].dense, 2))


@pytest.mark.parametrize("text", ["", "[]", '{"uuid": "x"}', "null"])
def test_a_damaged_card_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    with pytest.raises(HookragError) as caught:
        store.open()
    assert str(caught.value) == (
        f"{tmp_path}/card.json: the card is damaged (got {text!r}, expected a JSON object): restore the store from a backup, "
        "or remove it and index again"
    )
    (tmp_path / "card.json").unlink()
    store.open()  # it did not stay locked
    store.close()


# Several stores


def test_stores_share_a_database_until_the_last_is_closed(tmp_path: Path, opened: list[Milvus]) -> None:
    first, second = (Milvus(chunker=None, embedder=None, path=tmp_path / "index") for _ in range(2))
    other = Milvus(chunker=None, embedder=None, path=tmp_path / "x" / ".." / "index", collection="other")
    for store in (first, second, other):
        store.open()
        opened.append(store)
    rows = make_rows(random_vectors(3, 4))
    first.put(rows, version=1)
    other.put(make_rows(random_vectors(2, 6)), version=1)
    assert (second.count(), other.count()) == (3, 2)
    assert second.card() == first.card() != other.card()
    second.stamp(replace(second.card(), epoch=5))
    assert first.card().epoch == 5
    first.close()
    assert_hits(second.search_dense(rows[0].dense[None], k=3, where=None)[0], brute_force(rows, rows[0].dense, 3))
    second.close()
    other.close()
    assert not (tmp_path / "index" / "writer.pid").exists()
    first.open()
    assert first.count() == 3


def test_writers_of_one_collection_wait_for_each_other(
    tmp_path: Path, opened: list[Milvus], monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setattr(module, "_FLUSH_ROWS", 50)
    stores = [Milvus(chunker=None, embedder=None, path=tmp_path) for _ in range(3)]
    for store in stores:
        store.open()
        opened.append(store)
    rows = make_rows(random_vectors(900, 8))
    query = random_vectors(1, 8, seed=9)

    def work(number: int) -> None:
        store = stores[number % 3]
        assert store.put(rows[number * 30 : number * 30 + 30], version=1) == {}
        store.sync()
        store.search_dense(query, k=5, where=None)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(30)))
    assert [store.count() for store in stores] == [900] * 3
    assert_hits(stores[0].search_dense(query, k=10, where=None)[0], brute_force(rows, query[0], 10))


# Opening


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metric": "IP"}, "made with metric = 'COSINE', opened with metric = 'IP'"),
        ({"index": "FLAT"}, "made with index = 'HNSW', opened with index = 'FLAT'"),
        ({"m": 20}, "made with m = 16, opened with m = 20"),
        ({"ef_construction": 99}, "made with ef_construction = 200, opened with ef_construction = 99"),
    ],
)
def test_other_settings_than_the_collection_has_are_refused(
    tmp_path: Path, change: dict[str, object], text: str
) -> None:
    settings: dict[str, object] = {"chunker": None, "embedder": None, "path": tmp_path, "index": "HNSW"}
    store = Milvus(**settings)
    store.open()
    store.put(make_rows(random_vectors(2, 4)), version=1)
    store.close()
    with pytest.raises(IdentityError) as caught:
        Milvus(**{**settings, **change}).open()
    assert str(caught.value) == (
        f"{tmp_path}/milvus.db: the collection hookrag was {text}: set it back, or index into another path or collection"
    )
    store.open()
    assert store.count() == 2
    store.close()


def test_a_file_of_the_old_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "milvus.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(HookragError) as caught:
        Milvus(chunker=None, embedder=None, path=tmp_path).open()
    assert str(caught.value) == (
        f"{tmp_path}/milvus.db: got a file, expected a folder: Milvus Lite 2 wrote it, whose format version 3 does not read; "
        "move the file away and index again"
    )


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HookragError) as caught:
        Milvus(chunker=None, embedder=None, path=tmp_path / "file" / "index").open()
    assert (
        str(caught.value) == f"{tmp_path}/file/index: the folder cannot be made: Not a directory: choose another path"
    )


def test_damaged_files_are_named(tmp_path: Path) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    store.put(make_rows(random_vectors(2, 4)), version=1)
    store.close()
    (schema,) = tmp_path.rglob("schema.json")
    whole = schema.read_text()
    schema.write_text(whole[:50])
    with pytest.raises(HookragError) as caught:
        store.open()
    assert str(caught.value).startswith(f"{tmp_path}/milvus.db")
    schema.write_text(whole)
    store.open()
    assert store.count() == 2
    store.close()


def test_a_collection_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    from hookrag_milvus.lite import acquire, release
    from pymilvus import MilvusClient

    engine = acquire(tmp_path / "milvus.db")
    client = MilvusClient(str(tmp_path / "milvus.db"))
    client.create_collection("hookrag", dimension=4)
    client.close()
    release(engine)
    with pytest.raises(HookragError) as caught:
        Milvus(chunker=None, embedder=None, path=tmp_path).open()
    assert str(caught.value) == (
        f"{tmp_path}/milvus.db: the collection hookrag was not made by hookrag (got the fields id, vector, expected check, "
        "chunk, dense, document_id, owner, pk, text and a card): choose another collection"
    )


def test_many_rows_in_lite_are_warned_of(
    store: Milvus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from hookrag_milvus import collection

    monkeypatch.setattr(collection, "_LITE_ROWS", 1_000)
    store.put(make_rows(random_vectors(1_001, 4)), version=1)
    with caplog.at_level(logging.WARNING, "hookrag_milvus"):
        store.search_dense(random_vectors(1, 4), k=1, where=None)
    assert [record.getMessage() for record in caplog.records] == [
        f"{store.path}/milvus.db: 1,001 rows in Milvus Lite, which walks them all on every search: above 1,000 use a Milvus "
        "server (uri)"
    ]


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    for operation in (
        store.card,
        store.count,
        store.sync,
        lambda: list(store.scan()),
        lambda: store.put([], version=1),
    ):
        with pytest.raises(HookragError) as caught:
            operation()
        assert str(caught.value) == f"{tmp_path}: the store is not open: call open() first"
    store.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "L2"}, "metric must be COSINE or IP, got 'L2'"),
        ({"index": "DISKANN"}, "index must be FLAT or HNSW, got 'DISKANN'"),
        ({"m": 1}, "m must be in [2, 2048], got 1"),
        ({"ef_construction": 7}, "ef_construction must be in [8, 32768], got 7"),
        ({"ef": 0}, "ef must be in [1, 32768], got 0"),
        ({"timeout": 0.0}, "timeout must be a number of seconds over 0, got 0.0"),
        ({"timeout": math.nan}, "timeout must be a number of seconds over 0, got nan"),
        (
            {"collection": "a-b"},
            "collection must be up to 255 letters, digits and underscores and not begin with a digit, got 'a-b'",
        ),
        ({"token_env": "TOKEN"}, "token_env is for a server, got no uri: set uri, or leave token_env out"),
        (
            {"uri": "http://me:hunter2@host:19530"},
            "uri holds a secret: take it out, and name the environment variable that has it by token_env",
        ),
        (
            {"uri": "http://host:19530/?token=hunter2"},
            "uri holds a secret: take it out, and name the environment variable that has it by token_env",
        ),
        (
            {"uri": "./x.db"},
            "uri must be http://host:port or https://host:port, got './x.db'; an embedded database needs no uri",
        ),
        ({"uri": "http://[::1"}, "uri is not a URL, expected http://host:port or https://host:port"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Milvus(chunker=None, embedder=None, path=tmp_path, **settings)
    assert str(caught.value) == message
    assert "hunter2" not in str(caught.value)


def test_constructing_does_nothing(tmp_path: Path) -> None:
    Milvus(chunker=None, embedder=None, path=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_chunks_are_kept_as_json_of_a_few_keys(store: Milvus) -> None:
    (row,) = make_rows(random_vectors(1, 4))
    store.put([row], version=1)
    (kept,) = store._connection.client.query("hookrag", filter='pk != ""', output_fields=["chunk"])
    assert json.loads(kept["chunk"]) == {
        "context": "Title", "start": 0, "end": 9, "parent": None, "sources": [], "metadata": {"n": 0, "even": True},
    }  # fmt: skip
    assert isinstance(row.chunk, Chunk)
