"""What a run refuses to do, in which words, and that the command it names mends it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from hookrag import IdentityError, IngestRefused
from hookrag.ingest import Ingest, check_identity

from .fakes import FakeStore, Letters, run, target

DOCUMENTS = [("a", "one\ntwo"), ("b", "three")]


def owner(folder):
    import sqlite3

    db = sqlite3.connect(folder / "journal.sqlite3")
    try:
        return db.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone()[0]
    finally:
        db.close()


def refused(folder, stores, documents=DOCUMENTS, error=IngestRefused, **options):
    before = {store.name: (dict(store.rows), store.saved) for store in stores}
    with pytest.raises(error) as raised:
        run(folder, stores, documents, **options)
    assert {store.name: (dict(store.rows), store.saved) for store in stores} == before
    return str(raised.value)


def emptied(name="s"):
    store = FakeStore(name)
    store.saved = replace(store.saved, uuid=f"{name}-new")
    return store


# Stores that are not the ones they were.


def test_the_epoch_rises_with_each_run_and_the_card_says_whose_the_store_is(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)
    assert store.saved == replace(store.saved, owner=owner(tmp_path), epoch=1, identity={"chunker.use": "lines"})
    run(tmp_path, [store], DOCUMENTS)
    assert store.saved.epoch == 2
    assert {row.owner for row in store.rows.values()} == {owner(tmp_path)}


def test_a_replaced_store(tmp_path):
    old, other = FakeStore(), FakeStore("other")
    run(tmp_path, [old, other], DOCUMENTS)
    new = emptied()
    assert refused(tmp_path, [new, other]) == (
        f"[stores.s] was replaced or emptied: it is the store s-new, the journal in {tmp_path} filled {old.saved.uuid}.\n"
        "Fill it again: hookrag index --rebuild s PATH..."
    )
    report = run(tmp_path, [new, other], DOCUMENTS, rebuild=["s"])
    assert (new.texts, report.written, len(other.puts)) == (other.texts, 3, 1)
    assert run(tmp_path, [new, other], DOCUMENTS).unchanged == 2


def test_a_store_that_lost_its_owner(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)
    store.saved, store.rows = replace(store.saved, owner="", epoch=0), {}
    assert refused(tmp_path, [store]) == (
        f"[stores.s] was reset: it has no owner, but the journal in {tmp_path} filled it.\n"
        "Fill it again: hookrag index --rebuild s PATH..."
    )
    run(tmp_path, [store], DOCUMENTS, rebuild=["s"])
    assert store.texts == ["a:one", "a:two", "b:three"]


def test_a_store_that_was_put_back(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)
    rows, card = dict(store.rows), store.saved
    run(tmp_path, [store], [("a", "one\nzwei"), ("b", "three")])
    store.rows, store.saved = rows, card
    assert refused(tmp_path, [store]) == (
        f"[stores.s] is older than the journal in {tmp_path}: the store is at epoch 1, the journal at 2.\n"
        "Was the store restored from a backup or copied? Compare and mend them: hookrag verify --repair"
    )
    (found,) = Ingest(tmp_path, [target(store)]).verify(repair=True).stores
    assert (found.missing, found.unexpected, found.repaired) == (1, 1, True)
    run(tmp_path, [store], [("a", "one\nzwei"), ("b", "three")])
    assert store.texts == ["a:one", "a:zwei", "b:three"]


def test_a_journal_that_was_put_back(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)
    shutil.copy(tmp_path / "journal.sqlite3", tmp_path / "copy")
    run(tmp_path, [store], [("a", "one\nzwei"), ("c", "new")])
    shutil.copy(tmp_path / "copy", tmp_path / "journal.sqlite3")
    assert refused(tmp_path, [store]) == (
        f"the journal in {tmp_path} is older than [stores.s]: the store is at epoch 2, the journal at 1.\n"
        "Was the journal restored from a backup or copied? Compare and mend them: hookrag verify --repair"
    )
    assert Ingest(tmp_path, [target(store)]).verify(repair=True).stores[0].repaired
    run(tmp_path, [store], [("a", "one\nzwei"), ("c", "new")])
    assert store.texts == ["a:one", "a:zwei", "c:new"]


def test_a_journal_from_before_the_store(tmp_path):
    first, second = FakeStore("first"), FakeStore("second")
    run(tmp_path, [first], DOCUMENTS)
    shutil.copy(tmp_path / "journal.sqlite3", tmp_path / "copy")
    run(tmp_path, [second], [*DOCUMENTS, ("c", "four")])
    shutil.copy(tmp_path / "copy", tmp_path / "journal.sqlite3")
    assert refused(tmp_path, [first, second]) == (
        f"the journal in {tmp_path} is older than [stores.second]: "
        "the store was written from it, but it does not remember that.\n"
        "Was the journal restored from a backup? Compare and mend them: hookrag verify --repair"
    )
    Ingest(tmp_path, [target(first), target(second)]).verify(repair=True)
    run(tmp_path, [first, second], DOCUMENTS)
    assert first.texts == second.texts == ["a:one", "a:two", "b:three"]


def test_a_copied_journal_is_refused_once_the_other_has_written(tmp_path):
    store = FakeStore()
    run(tmp_path / "one", [store], DOCUMENTS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    run(tmp_path / "two", [store], DOCUMENTS)
    assert "is older than [stores.s]" in refused(tmp_path / "one", [store])


def test_a_store_of_another_journal(tmp_path):
    store = FakeStore()
    run(tmp_path / "one", [store], DOCUMENTS)
    run(tmp_path / "two", [FakeStore("mine")], [("x", "mine")])
    message = refused(tmp_path / "two", [store])
    assert message == (
        f"[stores.s] belongs to another journal: its owner is {owner(tmp_path / 'one')}, "
        f"the journal in {tmp_path / 'two'} is {owner(tmp_path / 'two')}.\n"
        "Was the journal deleted, or does another index write here? Give this index a store of its own, "
        "or make the store this index's: hookrag index --take-over PATH..."
    )
    assert refused(tmp_path / "two", [store], rebuild=["s"]) == message
    run(tmp_path / "two", [store], [("x", "mine")], take_over=True)
    assert store.texts == ["x:mine"]
    assert {row.owner for row in store.rows.values()} == {owner(tmp_path / "two")}
    assert "belongs to another journal" in refused(tmp_path / "one", [store])


def test_a_lost_journal_is_made_again_without_embedding(tmp_path):
    letters = Letters()
    store = FakeStore("s", embedders={"dense": letters})
    run(tmp_path / "one", [store], [*DOCUMENTS, ("gone", "four")])
    letters.texts.clear()
    assert "was the journal deleted" in refused(tmp_path / "two", [store]).lower()
    report = run(tmp_path / "two", [store], [("a", "one\nzwei"), ("b", "three")], take_over=True)
    assert (letters.texts, report.changed, report.kept, report.removed) == (["zwei"], 2, 2, 0)
    assert store.texts == ["a:one", "a:zwei", "b:three", "gone:four"]
    assert Ingest(tmp_path / "two", [target(store)]).verify().ok
    report = run(tmp_path / "two", [store], [("a", "one\nzwei"), ("b", "three")], prune=True)
    assert (report.unchanged, report.removed) == (2, 1)
    assert store.texts == ["a:one", "a:zwei", "b:three"]


def test_stores_of_different_journals_are_not_taken_over_together(tmp_path):
    one, two = FakeStore("one"), FakeStore("two")
    run(tmp_path / "one", [one], DOCUMENTS)
    run(tmp_path / "two", [two], DOCUMENTS)
    owners = sorted([owner(tmp_path / "one"), owner(tmp_path / "two")])
    assert refused(tmp_path / "new", [one, two], take_over=True) == (
        f"the stores one, two belong to different journals: {owners[0]}, {owners[1]}.\n"
        "Take over one and fill the others again: hookrag index --take-over --rebuild two PATH..."
    )
    run(tmp_path / "new", [one, two], DOCUMENTS, take_over=True, rebuild=["two"])
    assert one.texts == two.texts == ["a:one", "a:two", "b:three"]
    assert {row.owner for store in (one, two) for row in store.rows.values()} == {owner(tmp_path / "new")}


def test_a_store_that_is_not_there_cannot_be_rebuilt(tmp_path):
    assert refused(tmp_path, [FakeStore()], rebuild=["x"]) == "no store 'x' to rebuild; stores of this index: s"


# Other settings.


def test_several_stores_with_other_settings_are_mended_by_one_command(tmp_path):
    stores = [FakeStore("s"), FakeStore("t")]
    run(tmp_path, stores, DOCUMENTS, targets=[target(store, size=1) for store in stores])
    now = [target(store, size=2) for store in stores]
    said = refused(tmp_path, stores, error=IdentityError, targets=now)
    assert said == (
        f"[stores.s] of the index in {tmp_path} was made with other settings:\n"
        "  size: indexed with 1, opened with 2\n"
        f"[stores.t] of the index in {tmp_path} was made with other settings:\n"
        "  size: indexed with 1, opened with 2\n"
        "Set them back, or make their rows anew: hookrag index --rebuild s --rebuild t PATH..."
    )
    with pytest.raises(IdentityError) as raised:
        check_identity(tmp_path, now)
    assert str(raised.value) == said
    assert run(tmp_path, stores, DOCUMENTS, targets=now, rebuild=["s", "t"]).written == 6


def test_a_search_does_not_take_a_store_that_is_gone_for_one_that_is_empty(tmp_path):
    stores = [FakeStore("s"), FakeStore("t")]
    check_identity(tmp_path, [target(store) for store in stores])
    run(tmp_path, stores, DOCUMENTS)
    check_identity(tmp_path, [target(store) for store in stores])
    again = [stores[0], emptied("t")]
    with pytest.raises(IdentityError) as raised:
        check_identity(tmp_path, [target(store) for store in again])
    assert str(raised.value) == (
        f"[stores.t] is empty, but the journal in {tmp_path} filled it: its folder was deleted, or its server emptied.\n"
        "Fill it again: hookrag index --rebuild t PATH..."
    )
    run(tmp_path, again, DOCUMENTS, rebuild=["t"])
    check_identity(tmp_path, [target(store) for store in again])


def test_an_index_that_was_made_with_other_settings(tmp_path):
    store = FakeStore()
    made = {"chunker.size": 200, "chunker.use": "words", "dense.weights": "abc", "v": 1}
    now = {"chunker.size": 300, "dense.weights": "abc", "pooling": "mean", "v": True}
    run(tmp_path, [store], DOCUMENTS, targets=[target(store, **made)])
    expected = (
        f"[stores.s] of the index in {tmp_path} was made with other settings:\n"
        "  chunker.size: indexed with 200, opened with 300\n"
        "  chunker.use: indexed with 'words', opened with nothing\n"
        "  pooling: indexed with nothing, opened with 'mean'\n"
        "  v: indexed with 1, opened with True\n"
        "Set them back, or make its rows anew: hookrag index --rebuild s PATH..."
    )
    assert refused(tmp_path, [store], error=IdentityError, targets=[target(store, **now)]) == expected
    assert refused(tmp_path, [store], error=IdentityError, targets=[target(store, **now)], dry_run=True) == expected
    with pytest.raises(IdentityError) as raised:
        check_identity(tmp_path, [target(store, **now)])
    assert str(raised.value) == expected
    check_identity(tmp_path, [target(store, **made)])
    run(tmp_path, [store], DOCUMENTS, targets=[target(store, **now)], rebuild=["s"])
    check_identity(tmp_path, [target(store, **now)])
    assert (len(store.drops), store.texts) == (3, ["a:one", "a:two", "b:three"])


def test_more_than_five_differences_are_counted(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS, targets=[target(store, **{f"f{n}": 1 for n in range(8)})])
    with pytest.raises(IdentityError) as raised:
        check_identity(tmp_path, [target(store, **{f"f{n}": 2 for n in range(8)})])
    assert str(raised.value).splitlines()[-2] == "  and 3 more"


def test_a_store_that_was_never_written_may_be_opened_with_any_settings(tmp_path):
    store = FakeStore()
    check_identity(tmp_path, [target(store)])
    run(tmp_path, [store], [], targets=[target(store, v=1)])
    run(tmp_path, [store], DOCUMENTS, targets=[target(store, v=2)])
    assert store.saved.identity == {"v": 2}


def test_a_journal_of_a_newer_format(tmp_path):
    import sqlite3

    run(tmp_path, [FakeStore()], DOCUMENTS)
    db = sqlite3.connect(tmp_path / "journal.sqlite3")
    db.execute("PRAGMA user_version = 7")
    db.close()
    assert refused(tmp_path, [FakeStore()], error=IdentityError) == (
        f"the journal {tmp_path / 'journal.sqlite3'} has format 7, this hookrag knows up to 1: use a newer hookrag"
    )


# Documents that are gone.


def documents(n):
    return [(f"d{i:03}", f"line {i}") for i in range(n)]


@pytest.mark.parametrize(
    ("before", "after", "passes"), [(15, 5, True), (15, 4, False), (200, 180, True), (200, 179, False)]
)
def test_ten_documents_or_a_tenth_may_go(tmp_path, before, after, passes):
    store = FakeStore()
    run(tmp_path, [store], documents(before))
    if passes:
        assert run(tmp_path, [store], documents(after)).removed == before - after
        return
    with pytest.raises(IngestRefused):
        run(tmp_path, [store], [*documents(after), ("new", "new")])
    assert len(store.rows) == before + 1
    assert run(tmp_path, [store], [*documents(after), ("new", "new")], prune=True).removed == before - after
    assert len(store.rows) == after + 1


def test_too_much_is_gone(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], documents(15))
    with pytest.raises(IngestRefused) as raised:
        run(tmp_path, [store], documents(3))
    listed = "".join(f"\n  d{n:03}" for n in range(3, 13))
    expected = (
        "12 of 15 documents of docs are gone, and that is more than ten documents and a tenth of them: they were not removed. "
        f"Everything else is done.{listed}\n  and 2 more\nIf they are meant to go: hookrag index --prune PATH..."
    )
    assert str(raised.value) == expected
    assert (raised.value.report.unchanged, raised.value.report.held) == (3, 12)
    report = run(tmp_path, [store], documents(3), dry_run=True)
    assert (report.refused, report.held, report.removed) == (expected, 12, 0)


def test_a_refused_removal_says_what_a_new_store_lacks_all_the_same(tmp_path):
    stores = [FakeStore("old"), FakeStore("new")]
    run(tmp_path, stores[:1], documents(15))
    with pytest.raises(IngestRefused) as raised:
        run(tmp_path, stores, documents(3))
    assert raised.value.report.lacking == {"new": 12}


def test_an_empty_root(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], documents(2))
    with pytest.raises(IngestRefused, match="2 of 2 documents of docs are gone, and nothing at all was found there: "):
        run(tmp_path, [store], [])
    assert len(store.rows) == 2
    assert run(tmp_path, [store], [], prune=True).removed == 2


def test_a_root_on_another_device(tmp_path, monkeypatch):
    store = FakeStore()
    run(tmp_path, [store], documents(3), root=tmp_path)
    device = os.stat(tmp_path).st_dev
    real = os.stat

    def moved(path, **options):
        found = real(path, **options)
        return os.stat_result((*found[:2], device + 1, *found[3:])) if str(path) == str(tmp_path) else found

    monkeypatch.setattr(os, "stat", moved)
    with pytest.raises(IngestRefused, match=rf"on another device than before \(device {device + 1}, before {device}\)"):
        run(tmp_path, [store], documents(2), root=tmp_path)
    assert len(store.rows) == 3
    # Nothing is gone, so nothing can be lost: the device is the new one from now on.
    run(tmp_path, [store], documents(3), root=tmp_path)
    assert run(tmp_path, [store], documents(2), root=tmp_path).removed == 1


def test_one_source_never_removes_what_came_from_another(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [("a", "one")], source="A")
    run(tmp_path, [store], [("b", "two")], source="B")
    run(tmp_path, [store], [], source="A", prune=True)
    assert store.texts == ["b:two"]


def test_what_is_not_complete_removes_nothing(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], documents(3))
    report = run(tmp_path, [store], [("d000", "changed")], complete=False)
    assert (report.changed, report.removed, len(store.rows)) == (1, 0, 3)


def test_a_rebuild_says_what_other_sources_have_yet_to_bring(tmp_path):
    store, other = FakeStore(), FakeStore("other")
    run(tmp_path, [store, other], [("a", "one")], source="A")
    run(tmp_path, [store, other], [("b", "two")], source="B")
    assert run(tmp_path, [store, other], [("a", "one")], source="A", rebuild=["s"]).lacking == {"s": 1}
    assert run(tmp_path, [store, other], [("b", "two")], source="B").lacking == {}
    assert store.texts == other.texts == ["a:one", "b:two"]


def test_a_refusal_names_the_part_of_the_source(tmp_path):
    store = FakeStore()
    inside = [(f"docs/{n}", "line") for n in range(12)]
    run(tmp_path, [store], [*inside, ("docsy", "other")])
    with pytest.raises(
        IngestRefused, match="12 of 12 documents of docs of docs are gone, and nothing at all was found"
    ):
        run(tmp_path, [store], [], under="docs/")
    assert run(tmp_path, [store], [], under="docs", prune=True).removed == 12
    assert store.texts == ["docsy:other"]
