"""Indexes are built as they were asked for, and what they miss under a filter is found all the same."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from hookrag import Row, parse_filter, tracing
from hookrag.filters import matches
from hookrag_milvus import index as module
from hookrag_milvus.store import Milvus
from milvus_kit import assert_hits, brute_force, clustered, made, make_rows
from numpy.typing import NDArray

ROWS, DIM = 2_000, 32
BUILDS = {
    "graph": {"index": "HNSW", "m": 12, "ef_construction": 120},
    "graph of distances": {"index": "HNSW", "m": 8, "ef_construction": 64, "metric": "L2", "ef": 32},
    "lists": {"index": "IVF_FLAT", "nlist": 40, "nprobe": 20},
}
EIGHT = (7, 300, 1999, 1200, 1500, 999, 17, 18)
SELECTIONS = {"10 %": "n < 200", "1 %": "n >= 1000 and n < 1020", "8 rows": f"n in {list(EIGHT)}"}


@pytest.fixture(scope="module", params=BUILDS)
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Milvus, list[Row]]]:
    store = made(tmp_path_factory.mktemp("built"), **BUILDS[request.param])
    store.open()
    rows = make_rows(clustered(ROWS, DIM))
    store.put(rows, version=1)
    store.search_dense(rows[0].dense[None], k=1, where=None)  # moves the rows into a segment
    store.close()
    store.open()  # loading builds the index, which is built in the background otherwise
    yield store, rows
    store.close()


def new_queries(n: int) -> NDArray[np.float32]:
    return clustered(ROWS + n, DIM)[ROWS:]


def test_an_index_is_built_as_it_was_asked_for(built: tuple[Milvus, list[Row]]) -> None:
    # Of parameters that pymilvus sends as it does to servers, Milvus Lite drops all.
    store, _ = built
    (index,) = [faiss.read_index(str(file)) for file in store.path.rglob("*.idx")]
    assert index.ntotal == ROWS
    assert index.metric_type == (faiss.METRIC_L2 if store.metric == "L2" else faiss.METRIC_INNER_PRODUCT)
    if store.index == "HNSW":
        assert (index.hnsw.nb_neighbors(1), index.hnsw.efConstruction) == (store.m, store.ef_construction)
    else:
        assert index.nlist == store.nlist


def test_an_index_finds_nearly_all(built: tuple[Milvus, list[Row]]) -> None:
    store, rows = built
    queries = new_queries(50)
    found = store.search_dense(queries, k=10, where=None)
    expected = [{chunk_id for chunk_id, _ in brute_force(rows, query, 10, store.metric)} for query in queries]
    recall = sum(len({hit.chunk.id for hit in hits} & best) for hits, best in zip(found, expected, strict=True)) / 500
    assert recall >= 0.97
    scores = {row.chunk.id: score for row in rows for _, score in brute_force([row], queries[0], 1, store.metric)}
    assert [hit.score for hit in found[0]] == pytest.approx([scores[hit.chunk.id] for hit in found[0]], rel=1e-4)


def test_parameters_of_a_search_reach_the_engine(built: tuple[Milvus, list[Row]]) -> None:
    store, rows = built
    queries = new_queries(60)
    nearest = [brute_force(rows, query, 1, store.metric)[0][0] for query in queries]

    def found(**settings: int) -> int:
        had = {name: getattr(store, name) for name in ("metric", "index", "m", "ef_construction", "nlist")}
        other = made(store.path, **had, **settings)
        other.open()
        answers = other.search_dense(queries, k=1, where=None)
        other.close()
        return sum(hits[0].chunk.id == best for hits, best in zip(answers, nearest, strict=True))

    few, many = ({"nprobe": 1}, {"nprobe": 40}) if store.index == "IVF_FLAT" else ({"ef": 1}, {"ef": 2_000})
    assert found(**few) < found(**many) == len(queries)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_filter_is_answered_exactly(built: tuple[Milvus, list[Row]], selection: str) -> None:
    store, rows = built
    where = parse_filter(SELECTIONS[selection])
    kept = [row for row in rows if matches(where, row.chunk.metadata)]
    queries = new_queries(10)
    answers = store.search_dense(queries, k=10, where=where)
    for hits, query in zip(answers, queries, strict=True):
        assert_hits(hits, brute_force(kept, query, 10, store.metric))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_as_many_rows_are_found_as_match(
    built: tuple[Milvus, list[Row]], monkeypatch: pytest.MonkeyPatch, selection: str
) -> None:
    # As in a collection so large that the graph is not walked whole.
    monkeypatch.setattr(module, "_WIDER", 1)
    store, rows = built
    where = parse_filter(SELECTIONS[selection])
    kept = {row.chunk.id for row in rows if matches(where, row.chunk.metadata)}
    for query in np.concatenate([new_queries(3), np.stack([row.dense for row in rows[:2]])]):
        (hits,) = store.search_dense(query[None], k=30, where=where)
        assert len({hit.chunk.id for hit in hits} & kept) == len(hits) == min(30, len(kept))


def test_what_the_index_misses_is_scored_exactly(
    built: tuple[Milvus, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WIDER", 1)
    store, rows = built
    kept = [rows[number] for number in EIGHT]
    exact = 0
    for query in (row.dense for row in rows[:6]):
        with tracing() as trace:
            (hits,) = store.search_dense(query[None], k=8, where=parse_filter(SELECTIONS["8 rows"]))
        if "exact" in trace.notes:
            exact += 1
            assert_hits(hits, brute_force(kept, query, 8, store.metric))
    assert exact > 0 or store.index == "IVF_FLAT", "the index reached every row: the test does not test"


def test_no_cosine_is_over_one(built: tuple[Milvus, list[Row]]) -> None:
    store, rows = built
    answers = store.search_dense(np.stack([row.dense for row in rows[:100]]), k=1, where=None)
    best = 0.0 if store.metric == "L2" else 1.0
    assert max(hits[0].score for hits in answers) == best
