"""The card lives with the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hookrag import Card, HookragError
from hookrag_milvus.store import Milvus
from milvus_kit import assert_hits, brute_force, made, make_rows, random_vectors

# The card


def test_a_card_is_kept_before_and_after_there_is_a_collection(tmp_path: Path, opened: list[Milvus]) -> None:
    store = made(tmp_path)
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

    store = made(tmp_path / "index")
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

    store = made(tmp_path)
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
    store = made(tmp_path)
    with pytest.raises(HookragError) as caught:
        store.open()
    assert str(caught.value) == (
        f"{tmp_path}/card.json: the card is damaged (got {text!r}, expected a JSON object): restore the store from a backup, "
        "or remove it and index again"
    )
    (tmp_path / "card.json").unlink()
    store.open()  # it did not stay locked
    store.close()
