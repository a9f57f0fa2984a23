"""The comparison of stores with the journal, and its repair."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hookrag import HookragError, IdentityError, TransientError
from hookrag.ingest import Ingest

from .fakes import Died, FakeStore, Letters, run, target

DOCUMENTS = [("a", "one\ntwo"), ("b", "three"), ("c", "")]


def row(store, text):
    return next(one for one in store.rows.values() if one.chunk.text == text)


def verify(folder, *stores, **options):
    return Ingest(folder, [target(store) for store in stores], patience=0.1).verify(**options)


def test_what_agrees_is_ok(tmp_path):
    stores = [FakeStore("first"), FakeStore("second", embedders={"dense": Letters()})]
    run(tmp_path, stores, DOCUMENTS)
    found = verify(tmp_path, *stores)
    assert found.ok
    assert json.loads(json.dumps(found.to_json()))["stores"][1] == {
        "name": "second", "rows": 3, "expected": 3, "compared": 0, "missing": 0, "unexpected": 0, "wrong": 0, "damaged": 0,
        "drifted": 0, "doubled": 0, "foreign": 0, "pending": 0, "repaired": False, "rebuild": False, "card": "",
        "incomplete": "", "files": "", "examples": {}, "ok": True,
    }  # fmt: skip


def test_one_lost_and_one_doubled_are_both_found(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)
    lost = row(store, "two")
    del store.rows[lost.chunk.id]
    store.rows["again"] = row(store, "one")
    (found,) = verify(tmp_path, store).stores
    assert (found.rows, found.expected, found.missing, found.doubled, found.ok) == (3, 3, 1, 1, False)
    assert found.examples == {"missing": [f"{lost.chunk.id} of a"]}


def test_repair_drops_what_should_not_be_there_and_the_next_run_writes_what_lacks(tmp_path):
    letters = Letters()
    store, other = FakeStore("s", embedders={"dense": letters}), FakeStore("other")
    run(tmp_path, [store, other], DOCUMENTS)
    lost, damaged = row(store, "two"), row(store, "three")
    del store.rows[lost.chunk.id]
    store.rows[damaged.chunk.id] = replace(damaged, check=1)
    orphan = replace(damaged, chunk=replace(damaged.chunk, id="orphan", document_id="gone"))
    foreign = replace(orphan, chunk=replace(orphan.chunk, id="foreign"), owner="somebody")
    store.rows |= {"orphan": orphan, "foreign": foreign}
    (found, fine) = verify(tmp_path, store, other).stores
    assert (found.missing, found.wrong, found.unexpected, found.foreign, found.repaired) == (1, 1, 1, 1, False)
    assert found.examples["unexpected"] == ["orphan of gone"]
    assert fine.ok
    assert verify(tmp_path, store, other, repair=True).stores[0].repaired
    assert set(store.rows) == {row(store, "one").chunk.id, "foreign"}
    letters.texts.clear()
    report = run(tmp_path, [store, other], DOCUMENTS)
    assert (report.changed, report.unchanged, report.written, sorted(letters.texts)) == (2, 1, 2, ["three", "two"])
    assert store.rows.pop("foreign") is foreign
    assert store.texts == other.texts
    assert verify(tmp_path, store, other).ok


def test_nothing_is_repaired_after_a_scan_that_was_cut_short(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(9)])
    del store.rows[row(store, "line 4").chunk.id]
    before, scan = dict(store.rows), store.scan

    def broken():
        pages = scan()
        yield next(pages)
        raise RuntimeError("connection lost")

    store.scan = broken
    (found,) = verify(tmp_path, store, repair=True).stores
    assert (found.incomplete, found.repaired, found.ok) == ("[stores.s] failed in scan: connection lost", False, False)
    store.scan = lambda: (page for page in list(scan())[:2])
    (found,) = verify(tmp_path, store, repair=True).stores
    assert (found.incomplete, found.repaired) == ("the scan gave 6 rows, the store says it has 8", False)
    assert store.rows == before


def test_a_store_that_is_not_the_journals_is_not_repaired(tmp_path):
    store = FakeStore()
    run(tmp_path / "one", [store], DOCUMENTS)
    run(tmp_path / "two", [FakeStore("mine")], DOCUMENTS)
    before = dict(store.rows)
    (found,) = verify(tmp_path / "two", store, repair=True).stores
    assert found.card.startswith("[stores.s] belongs to another journal")
    assert (found.foreign, found.repaired, found.ok) == (3, False, False)
    assert store.rows == before


def test_a_store_that_was_never_written_is_ok(tmp_path):
    (found,) = verify(tmp_path, FakeStore(), repair=True).stores
    assert (found.ok, found.rows) == (True, 0)


def test_what_a_run_left_unfinished_is_pending_and_not_wrong(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], DOCUMENTS)

    def die(place):
        if place == "T2: before":
            raise Died

    with pytest.raises(Died):
        run(tmp_path, [store], [("a", "one\nzwei"), ("b", "three"), ("c", "")], fault=die)
    (found,) = verify(tmp_path, store).stores
    assert (found.rows, found.expected, found.pending, found.ok) == (4, 3, 2, True)
    # A repair makes an end of it.
    (found,) = verify(tmp_path, store, repair=True).stores
    assert (found.ok, store.texts) == (True, ["a:one", "a:two", "b:three"])


def raising(error, cause=None):
    """A card that cannot be read."""

    def card():
        raise error from cause

    return card


DAMAGED = HookragError("a.segment is damaged: delete the folder")


@pytest.mark.parametrize(
    ("error", "cause", "checks", "told"),
    [
        (DAMAGED, None, True, {"files": str(DAMAGED), "rebuild": True}),
        # It need not be the files: nothing is said of filling it again.
        (DAMAGED, None, False, {"incomplete": f"[stores.s] failed in card: {DAMAGED}"}),
        (DAMAGED, PermissionError(), True, {"incomplete": f"[stores.s] failed in card: {DAMAGED}"}),
        (TransientError("it is busy"), None, True, {"incomplete": "[stores.s] failed in card: it is busy"}),
        (IdentityError("a newer version wrote it"), None, True, {"card": "a newer version wrote it"}),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_and_the_others_are_compared_and_mended(
    error, cause, checks, told, tmp_path, monkeypatch
):
    monkeypatch.setattr("hookrag.ingest.stores.SETTLE_SECONDS", 0)
    store, other = FakeStore(), FakeStore("other")
    run(tmp_path, [store, other], DOCUMENTS)

    def die(place):
        if place == "T2: before":
            raise Died

    with pytest.raises(Died):
        run(tmp_path, [store, other], [("a", "one\nzwei"), ("b", "three"), ("c", "")], fault=die)
    store.card = raising(error, cause)
    store.sync = raising(error, cause)  # it has to settle after what was cut off, which it cannot either
    targets = [target(store, fenced=False), target(other, fenced=False)]
    targets[0] = replace(targets[0], check_files=(lambda: None) if checks else None)
    broken, mended = Ingest(tmp_path, targets, patience=0.1).verify(repair=True).stores
    found = {name: getattr(broken, name) for name in ("card", "incomplete", "files", "rebuild")}
    assert found == {"card": "", "incomplete": "", "files": "", "rebuild": False} | told
    assert (broken.ok, broken.repaired, broken.rows, broken.expected) == (False, False, 0, 3)
    assert (mended.ok, mended.repaired, other.texts) == (True, True, ["a:one", "a:two", "b:three"])
