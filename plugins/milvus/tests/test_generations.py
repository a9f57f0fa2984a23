"""Generations: an alias leads to one of the collections of an index. On Milvus Lite in server mode, and on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hookrag import HookragError, Row
from hookrag_milvus import collection as schema
from hookrag_milvus.store import Milvus
from milvus_kit import made, make_rows, random_vectors

Make = Callable[..., Milvus]


@pytest.fixture(scope="module")
def lite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path_factory.mktemp("served") / "x.db"), port=0)
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=0).wait()
    database.close()


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.service)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes open stores of one index."""
    if request.param == "server":
        yield request.getfixturevalue("served")
        return
    address = request.getfixturevalue("lite_server")
    stores: list[Milvus] = []

    def on_lite(folder: str = "index", **settings: object) -> Milvus:
        name = "".join(char if char.isalnum() else "_" for char in tmp_path.name)
        store = made(tmp_path / folder, uri=address, collection=f"c_{name}x", **settings)
        stores.append(store)
        store.open()
        return store

    yield on_lite
    for store in stores:
        store.close()


def texts(store: Milvus) -> list[str]:
    store.sync()
    (hits,) = store.search_dense(np.ones((1, 4), np.float32), k=10, where=None)
    return sorted(hit.chunk.text for hit in hits)


def rows_of(*numbers: int) -> list[Row]:
    rows = make_rows(random_vectors(max(numbers) + 1, 4))
    return [rows[number] for number in numbers]


def test_the_first_use_makes_a_first_generation_and_its_alias(make: Make) -> None:
    store = make()
    card = store.card()
    assert card.generation == 1
    store.put(rows_of(0, 1), version=1)
    assert store.card() == card
    described = store._connection.client.describe_collection(store.collection)
    assert described["collection_name"] == f"{store.collection}_g1"
    same = make("elsewhere", generation=1)
    assert same.card() == card
    assert texts(same) == texts(store) == ["text of 0", "text of 1"]
    again = make("again")
    again.put(rows_of(2), version=2)
    assert texts(same) == ["text of 0", "text of 1", "text of 2"]


def test_searches_go_from_one_generation_to_the_next_at_once(make: Make) -> None:
    old = make()
    old.put(rows_of(0, 1), version=1)
    new = make(generation=2)
    assert (new.count(), new.card().generation) == (0, 2)
    assert new.card().uuid != old.card().uuid
    new.put(rows_of(5), version=2)
    assert new.card().generation == 2
    assert texts(old) == ["text of 0", "text of 1"]
    new.promote()
    new.promote()  # again is a success
    assert texts(old) == ["text of 5"], "an open store follows the alias"
    assert old.card() == new.card()
    old.put(rows_of(6), version=3)
    assert texts(new) == ["text of 5", "text of 6"]
    back = make("back", generation=1)
    assert texts(back) == ["text of 0", "text of 1"]
    back.promote()
    assert texts(old) == ["text of 0", "text of 1"]


def test_a_generation_is_retired_unless_searches_use_it(make: Make) -> None:
    old = make()
    old.put(rows_of(0, 1), version=1)
    new = make(generation=2)
    new.put(rows_of(5), version=2)
    with pytest.raises(HookragError) as caught:
        new.retire(1)
    assert str(caught.value) == (
        f"{old.uri}: the collection {old.collection}_g1 is what searches use: promote another generation before this one is "
        "retired"
    )
    new.promote()
    new.retire(1)
    new.retire(1)
    new.retire(77)
    assert not new._connection.client.has_collection(f"{old.collection}_g1")
    assert texts(old) == ["text of 5"]


def test_a_generation_without_rows_cannot_be_promoted(make: Make) -> None:
    old = make()
    old.put(rows_of(0), version=1)
    with pytest.raises(HookragError) as caught:
        make(generation=2).promote()
    assert str(caught.value) == (
        f"{old.uri}: the collection {old.collection}_g2 cannot be promoted, for it does not exist: put rows into this "
        "generation first"
    )
    assert texts(old) == ["text of 0"]


@pytest.mark.parametrize("step", ["_create_index", "_lead"])
def test_a_process_that_died_before_the_alias_is_made_good(
    make: Make, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    first = make()
    card = first.card()
    with monkeypatch.context() as patch:
        patch.setattr(
            schema if step == "_create_index" else Milvus, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            first.put(rows_of(0), version=1)
    first.close()
    first.open()
    assert first.card() == card
    first.put(rows_of(0), version=1)
    assert texts(first) == ["text of 0"]
    assert first._connection.client.describe_collection(first.collection)["collection_name"] == f"{first.collection}_g1"


def test_a_first_generation_of_others_is_not_taken_over(make: Make) -> None:
    other = make("other", generation=1)
    other.put(rows_of(0), version=1)
    store = make()
    assert store.count() == 0
    with pytest.raises(HookragError) as caught:
        store.put(rows_of(1), version=1)
    assert str(caught.value) == (
        f"{store.uri}: the collection {store.collection}_g1 is there, but the alias {store.collection} leads nowhere: "
        "promote a generation, or choose another collection"
    )
    other.promote()
    assert texts(store) == ["text of 0"]


def test_a_collection_in_the_place_of_the_alias_is_named(make: Make) -> None:
    store = make(generation=2)
    store.put(rows_of(0), version=1)
    client = store._connection.client
    client.create_collection(store.collection, dimension=4)
    with pytest.raises(HookragError) as caught:
        store.promote()
    assert str(caught.value) == (
        f"{store.uri}: {store.collection} is a collection, expected an alias that leads to one: rename it to "
        f"{store.collection}_g1, or choose another collection"
    )
    client.drop_collection(store.collection)


def test_an_embedded_database_has_no_generations(store: Milvus) -> None:
    for operation in (store.promote, lambda: store.retire(1)):
        with pytest.raises(HookragError) as caught:
            operation()
        assert str(caught.value) == (
            f"{store.path}/milvus.db: an embedded database has one generation: index the next one into another path"
        )
