"""A real Milvus server: the conformance kit, the indexes, and what a server does that Milvus Lite does not."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hookrag import HookragError, parse_filter
from hookrag.filters import matches
from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import HashEmbedder, WordChunker
from hookrag_milvus import index as module
from hookrag_milvus import rows as records
from hookrag_milvus.store import Milvus
from hookrag_stores.rows import rest_of
from milvus_kit import assert_hits, brute_force, clustered, make_rows, random_vectors, remove

pytestmark = pytest.mark.service

Make = Callable[..., Milvus]
PREFIX = f"kit_{uuid.uuid4().hex}_"
SERVER: dict[str, str] = {}


@pytest.fixture(scope="module")
def kit(server: str) -> Iterator[None]:
    # `make` takes a folder alone, and the address is known only when the server runs.
    SERVER["address"] = server
    yield
    remove(server, PREFIX)


def in_folder(folder: Path) -> Milvus:
    name = PREFIX + uuid.uuid5(uuid.NAMESPACE_URL, str(folder)).hex
    return Milvus(chunker=WordChunker(), embedder=HashEmbedder(), path=folder, uri=SERVER["address"], collection=name)


@pytest.mark.usefixtures("kit")
@parametrize_checks(
    "store",
    in_folder,
    expected_failures={
        "check_search_dense_cuts_ties_by_id": "Milvus cuts equal scores at k as it finds them; what it returns is sorted"
    },
)
def test_conformance(check, make):
    check(make)


@pytest.mark.parametrize("index", ["FLAT", "IVF_FLAT", "HNSW"])
@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_scores_and_order_are_those_of_brute_force(served: Make, metric: str, index: str) -> None:
    built = {"HNSW": {"m": 8, "ef_construction": 40}, "IVF_FLAT": {"nlist": 8, "nprobe": 8}, "FLAT": {}}[index]
    store = served(metric=metric, index=index, **built)
    rows = make_rows(random_vectors(300, 16) * 3)
    assert store.put(rows, version=1) == {}
    store.sync()
    described = store._connection.client.describe_index(store.collection, "dense")
    assert (described["metric_type"], described["index_type"]) == (metric, index)
    assert {name: int(described[name]) for name in store._options.build} == store._options.build
    queries = random_vectors(5, 16, seed=1) * 5
    for hits, query in zip(store.search_dense(queries, k=10, where=None), queries, strict=True):
        assert_hits(hits, brute_force(rows, query, 10, metric))
    store.close()
    store.open()
    assert_hits(store.search_dense(queries[:1], k=10, where=None)[0], brute_force(rows, queries[0], 10, metric))
    other = {"HNSW": {"m": 9, "ef_construction": 40}, "IVF_FLAT": {"nlist": 9, "nprobe": 8}}.get(index)
    if other:
        with pytest.raises(HookragError, match="was made with"):
            served(metric=metric, index=index, **other)


@pytest.mark.parametrize("where", ["n < 300", "n < 30", "n in [7, 300, 2999, 2000, 1500, 999, 17, 18]"])
def test_as_many_rows_are_found_as_match(served: Make, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(module, "_WIDER", 1)
    store = served(index="HNSW")
    rows = make_rows(clustered(3_000, 32))
    store.put(rows, version=1)
    store.sync()
    kept = {row.chunk.id for row in rows if matches(parse_filter(where), row.chunk.metadata)}
    for query in clustered(3_005, 32)[3_000:]:
        (hits,) = store.search_dense(query[None], k=30, where=parse_filter(where))
        assert len({hit.chunk.id for hit in hits} & kept) == len(hits) == min(30, len(kept))


def test_what_was_synced_is_seen_and_what_is_reopened_is_loaded(served: Make) -> None:
    store, reader = served(), served("reader")
    rows = make_rows(random_vectors(40, 4))
    for start in range(0, 40, 10):
        store.put(rows[start : start + 10], version=1)
        store.drop([rows[start].chunk.id], version=2)
        store.sync()
        assert reader.count() == 9 * (start // 10 + 1)
        (hits,) = reader.search_dense(rows[start].dense[None], k=50, where=None)
        assert len(hits) == reader.count()
        assert rows[start].chunk.id not in {hit.chunk.id for hit in hits}
    store._connection.client.release_collection(store.collection)
    assert reader.count() == 36


def test_rows_at_the_limits_of_a_server_are_taken_and_rows_over_them_are_not_sent(served: Make) -> None:
    # A server counts bytes and refuses 65,536 of them, an element that is not finite, and a JSON value over 64 KiB.
    store = served()
    row = make_rows(random_vectors(1, 4))[0]
    text = "é" * 32_767 + "x"
    assert len(text.encode()) == 65_535
    full = replace(row, chunk=replace(row.chunk, id="1" * 32, text=text, document_id="é" * 256))
    room = records.MAX_JSON - len(rest_of(replace(row.chunk, context="")))
    wide = replace(row, chunk=replace(row.chunk, id="2" * 32, context="x" * room))
    assert store.put([full, wide], version=1) == {}
    over = [
        replace(full, chunk=replace(full.chunk, id="3" * 32, text=text + "x")),
        replace(row, chunk=replace(row.chunk, id="4" * 32, context="x" * (room + 1))),
        replace(row, chunk=replace(row.chunk, id="5" * 32), dense=np.array([1, math.nan, 0, 0], np.float32)),
    ]
    refused = store.put([*over, row], version=1)
    assert {chunk_id: reason.split(",")[0] for chunk_id, reason in refused.items()} == {
        "3" * 32: "its text takes 65",
        "4" * 32: "its context",
        "5" * 32: "its dense vector has a value that is not finite",
    }
    store.sync()
    found = store.fetch(["1" * 32, "2" * 32, row.chunk.id])
    assert [one and one.chunk for one in found] == [full.chunk, wide.chunk, row.chunk]


def test_more_than_a_request_may_hold_is_sent_in_several(served: Make) -> None:
    # A server takes requests of at most 64 MB; these rows are of 79 MB.
    store = served()
    rows = [replace(row, chunk=replace(row.chunk, text="x" * 65_000)) for row in make_rows(random_vectors(1_200, 4))]
    assert store.put(rows, version=1) == {}
    store.sync()
    assert store.count() == 1_200
    found = store.fetch([row.chunk.id for row in rows])
    assert [one is not None and len(one.chunk.text) for one in found] == [65_000] * 1_200
