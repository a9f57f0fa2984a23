"""Opening: what is in the way is named; stores of one process share a database."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hookrag import HookragError, IdentityError
from hookrag_milvus import store as module
from hookrag_milvus.store import Milvus
from milvus_kit import assert_hits, brute_force, made, make_rows, random_vectors

# Several stores


def test_stores_share_a_database_until_the_last_is_closed(tmp_path: Path, opened: list[Milvus]) -> None:
    first, second = (made(tmp_path / "index") for _ in range(2))
    other = made(tmp_path / "x" / ".." / "index", collection="other")
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
    stores = [made(tmp_path) for _ in range(3)]
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
    ("had", "change", "text"),
    [
        ({}, {"metric": "IP"}, "made with metric = 'COSINE', opened with metric = 'IP'"),
        ({"metric": "L2"}, {"metric": "COSINE"}, "made with metric = 'L2', opened with metric = 'COSINE'"),
        ({"index": "HNSW"}, {"index": "FLAT"}, "made with index = 'HNSW', opened with index = 'FLAT'"),
        ({"index": "HNSW"}, {"m": 20}, "made with m = 16, opened with m = 20"),
        (
            {"index": "HNSW"},
            {"ef_construction": 99},
            "made with ef_construction = 200, opened with ef_construction = 99",
        ),
        ({"index": "IVF_FLAT", "nlist": 7}, {"nlist": 8}, "made with nlist = 7, opened with nlist = 8"),
    ],
)
def test_other_settings_than_the_collection_has_are_refused(
    tmp_path: Path, had: dict[str, object], change: dict[str, object], text: str
) -> None:
    # Milvus Lite would rank by the metric of the index, and give scores by the formula of the other.
    store = made(tmp_path, **had)
    store.open()
    store.put(make_rows(random_vectors(2, 4)), version=1)
    store.close()
    with pytest.raises(IdentityError) as caught:
        made(tmp_path, **{**had, **change}).open()
    assert str(caught.value) == (
        f"{tmp_path}/milvus.db: the collection hookrag was {text}: set it back, or index into another path or collection"
    )
    again = made(tmp_path, **had, **({"ef": 500} if "HNSW" in had.values() else {}))  # that is of searches alone
    again.open()
    assert again.count() == 2
    again.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HookragError) as caught:
        made(tmp_path / "file" / "index").open()
    assert (
        str(caught.value) == f"{tmp_path}/file/index: the folder cannot be made: Not a directory: choose another path"
    )


def test_a_collection_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    from hookrag_milvus.lite import acquire, release
    from pymilvus import MilvusClient

    engine = acquire(tmp_path / "milvus.db")
    client = MilvusClient(str(tmp_path / "milvus.db"))
    client.create_collection("hookrag", dimension=4)
    client.close()
    release(engine)
    with pytest.raises(HookragError) as caught:
        made(tmp_path).open()
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
    store = made(tmp_path)
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


def test_constructing_does_nothing(tmp_path: Path) -> None:
    made(tmp_path / "index")
    assert not (tmp_path / "index").exists()
