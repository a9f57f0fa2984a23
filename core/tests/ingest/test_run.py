"""What a run does to stores, and what it reports."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hookrag import Document, ItemRejected, ReadError, chunk_of
from hookrag.ingest import Ingest, IngestStopped, Item, Skipped, Unread

from .fakes import Died, FakeStore, Letters, TransientError, Words, run, target


def item(id, text_or_documents, key="1"):
    documents = text_or_documents if isinstance(text_or_documents, list) else [Document(id, text_or_documents)]
    return Item(id, key, lambda: iter(documents), f"files/{id}")


def test_new_changed_unchanged_and_removed(tmp_path):
    store = FakeStore()
    report = run(tmp_path, [store], [("a", "one\ntwo"), ("b", "three"), ("c", "")])
    assert (report.new, report.changed, report.unchanged, report.removed) == (3, 0, 0, 0)
    assert (report.chunks, report.written, report.empty) == (3, 3, 1)
    assert store.texts == ["a:one", "a:two", "b:three"]
    report = run(tmp_path, [store], [("a", "one\nzwei"), ("b", "three")])
    assert (report.new, report.changed, report.unchanged, report.removed) == (0, 1, 1, 1)
    assert (report.written, report.kept) == (1, 1)
    assert store.texts == ["a:one", "a:zwei", "b:three"]
    report = run(tmp_path, [store], [("a", "one\nzwei"), ("b", "three")])
    assert (report.unchanged, report.items, report.written, report.chunks) == (2, 2, 0, 0)


def test_back_and_forth_between_two_versions(tmp_path):
    store = FakeStore()
    for text in ("one\ntwo", "two\nthree", "one\ntwo", "", "one\ntwo"):
        run(tmp_path, [store], [("a", text)])
        assert store.texts == sorted(f"a:{line}" for line in text.split("\n") if line)


def test_title_and_metadata_are_part_of_the_key(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [Document("a", "one", "old", {"tag": 1})])
    report = run(tmp_path, [store], [Document("a", "one", "old", {"tag": 2})])
    assert report.changed == 1
    assert [row.chunk.metadata for row in store.rows.values()] == [{"tag": 2}]
    assert run(tmp_path, [store], [Document("a", "one", "new", {"tag": 2})]).changed == 1
    assert run(tmp_path, [store], [Document("a", "one", "new", {"tag": 2})]).unchanged == 1


def test_one_chunker_cuts_once_and_one_embedder_embeds_once_for_all_stores(tmp_path):
    chunker, letters = Words(), Letters()
    stores = [
        FakeStore("dense", chunker=chunker, embedders={"dense": letters}),
        FakeStore("sparse", chunker=chunker, embedders={"sparse": letters}),
        FakeStore("terms", chunker=chunker),
    ]
    report = run(tmp_path, stores, [("a", "one\ntwo\none more"), ("b", "one")])
    assert chunker.calls == [["a", "b"]]
    assert letters.texts == ["one", "two", "one more"]
    assert letters.calls == [(3, frozenset({"dense", "sparse"}))]
    assert (report.embedded, report.chunks, report.written) == (3, 4, 12)
    row = next(row for row in stores[0].rows.values() if row.chunk.text == "two")
    assert row.dense.tolist() == [0] * 8
    assert row.sparse is None
    assert stores[1].rows[row.chunk.id].sparse[0].tolist() == sorted(map(ord, "otw"))
    assert stores[2].rows[row.chunk.id].dense is None
    # Other vectors, other checks; texts alone have one too.
    assert len({store.rows[row.chunk.id].check for store in stores}) == 3
    assert all(-(2**63) <= one.check < 2**63 for store in stores for one in store.rows.values())


def test_all_tokens_of_a_text_are_vectors_where_the_store_wants_them(tmp_path):
    store = FakeStore("s", embedders={"multi": Letters()})
    run(tmp_path, [store], [("a", "ab")])
    assert [row.multi.tolist() for row in store.rows.values()] == [[[97.0], [98.0]]]


def test_a_chunk_that_others_lie_in_has_no_vector(tmp_path):
    class Nested(Words):
        def chunk(self, documents):
            whole = [chunk_of(one, 0, len(one.text), level="parent") for one in documents]
            parts = super().chunk(documents)
            from dataclasses import replace

            return [[w, *(replace(part, parent=w.id) for part in some)] for w, some in zip(whole, parts, strict=True)]

    letters = Letters()
    store = FakeStore("s", chunker=Nested(), embedders={"dense": letters})
    run(tmp_path, [store], [("a", "one\ntwo")])
    assert letters.texts == ["one", "two"]
    assert {row.chunk.text: row.dense is None for row in store.rows.values()} == {
        "one\ntwo": True,
        "one": False,
        "two": False,
    }


def test_a_line_inserted_above_embeds_only_itself(tmp_path):
    letters = Letters()
    store = FakeStore("s", embedders={"dense": letters})
    run(tmp_path, [store], [("a", "one\ntwo")])
    letters.texts.clear()
    report = run(tmp_path, [store], [("a", "zero\none\ntwo")])
    assert letters.texts == ["zero"]
    assert (report.embedded, report.reused, report.written) == (1, 2, 3)
    assert sorted(row.chunk.start for row in store.rows.values()) == [0, 5, 9]


def test_vectors_that_a_store_does_not_give_back_bit_by_bit_are_made_again(tmp_path):
    letters = Letters()
    store = FakeStore("s", embedders={"dense": letters})
    run(tmp_path, [store], [("a", "ab")])
    rounded = store.fetch

    def fetch(ids, *, vectors):
        from dataclasses import replace

        return [row and replace(row, dense=row.dense + np.float32(0.25)) for row in rounded(ids, vectors=vectors)]

    store.fetch = fetch
    letters.texts.clear()
    report = run(tmp_path, [store], [("a", "\nab")])
    assert (letters.texts, report.reused) == (["ab"], 0)


def test_a_store_that_is_added_later_gets_everything(tmp_path):
    first, second = FakeStore("first"), FakeStore("second")
    documents = [("a", "one"), ("b", "two")]
    run(tmp_path, [first], documents)
    report = run(tmp_path, [first, second], documents)
    assert (report.changed, report.written) == (2, 2)
    assert second.texts == first.texts == ["a:one", "b:two"]
    assert len(first.puts) == 1


def test_a_store_that_was_left_out_catches_up(tmp_path):
    first, second = FakeStore("first"), FakeStore("second")
    run(tmp_path, [first, second], [("a", "one"), ("b", "two"), ("c", "three")])
    run(tmp_path, [first], [("a", "uno"), ("c", "three")])
    assert second.texts == ["a:one", "b:two", "c:three"]
    run(tmp_path, [first, second], [("a", "uno"), ("c", "three")])
    assert first.texts == second.texts == ["a:uno", "c:three"]


def test_another_recipe_cuts_again_and_keeps_equal_rows(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [("a", "one\ntwo")])
    report = run(tmp_path, [store], [("a", "one\ntwo")], targets=[target(store, recipe="2")])
    assert (report.changed, report.kept, report.written) == (1, 2, 0)
    assert run(tmp_path, [store], [("a", "one\ntwo")], targets=[target(store, recipe="2")]).unchanged == 1


def test_batches_are_bounded(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [(f"d{n}", "0123456789") for n in range(10)], batch_bytes=30)
    assert [len(put) for put in store.puts] == [3, 3, 3, 1]
    whole = FakeStore("multi", embedders={"multi": Letters()})
    run(tmp_path / "multi", [whole], [(f"d{n}", "0123456789") for n in range(4)], batch_bytes=16 * 20)
    assert [len(put) for put in whole.puts] == [2, 2]


# Items.


def test_an_item_whose_key_is_the_same_is_not_loaded(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("y", "two")])])

    def never():
        raise AssertionError("loaded")

    report = run(tmp_path, [store], [Item("f", "1", never)])
    assert (report.items, report.unchanged, report.removed) == (1, 2, 0)


def test_of_a_changed_item_only_changed_documents_are_indexed_and_lost_ones_removed(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("y", "two"), Document("z", "three")])])
    changed = [Document("x", "one"), Document("y", "zwei")]
    report = run(tmp_path, [store], [item("f", changed, "2")], complete=False)
    assert (report.unchanged, report.changed, report.removed) == (1, 1, 1)
    assert store.texts == ["x:one", "y:zwei"]
    report = run(tmp_path, [store], [item("f", changed, "2")], complete=False)
    assert (report.items, report.unchanged, report.chunks) == (1, 2, 0)


def test_an_item_that_does_not_fit_is_read_to_its_end_before_anything_of_it_changes(tmp_path):
    store = FakeStore()
    loads = []

    def load(broken):
        loads.append(broken)
        for n in range(10):
            if broken and n == 8:
                raise ReadError("corpus.jsonl:9: expected a JSON object, got '{'")
            yield Document(f"d{n}", f"line {n}")

    report = run(tmp_path, [store], [Item("f", "1", lambda: load(True), "corpus.jsonl")], batch_bytes=12)
    assert store.rows == {}
    assert [(one.id, one.locator, one.reason) for one in report.unread] == [
        ("f", "corpus.jsonl", "corpus.jsonl:9: expected a JSON object, got '{'")
    ]
    report = run(tmp_path, [store], [Item("f", "2", lambda: load(False))], batch_bytes=12)
    assert (report.new, len(store.rows), loads) == (10, 10, [True, False, False])
    report = run(tmp_path, [store], [Item("f", "3", lambda: load(True))], batch_bytes=12)
    assert (len(report.unread), report.removed, len(store.rows)) == (1, 0, 10)


def test_unread_keeps_the_old_version_and_holds_removals(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("a", "one"), item("b", "two"), item("c", "three")])
    report = run(tmp_path, [store], [item("a", "uno", "2"), Unread("b", "files/b", "no permission")])
    assert (report.changed, report.removed, report.held) == (1, 0, 2)
    assert store.texts == ["a:uno", "b:two", "c:three"]
    report = run(tmp_path, [store], [item("a", "uno", "2"), item("b", "two")])
    assert (report.removed, report.held) == (1, 0)


def test_what_is_skipped_is_counted_and_counts_as_unread_where_it_had_been_indexed(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("a", "one"), Skipped("b", "files/b", "hidden")])
    report = run(
        tmp_path, [store], [Skipped("a", "files/a", "binary"), Skipped("b", "", "hidden"), Skipped("c", "", "hidden")]
    )
    assert (report.skipped, [one.id for one in report.unread]) == ({"hidden": 2}, ["a"])
    assert store.texts == ["a:one"]


def test_an_id_belongs_to_one_item(tmp_path):
    store = FakeStore()
    report = run(
        tmp_path, [store], [item("f", [Document("x", "one")]), item("g", [Document("x", "two"), Document("y", "y")])]
    )
    assert [(one.id, one.locator, one.reason) for one in report.failed] == [
        ("x", "files/g", "document id 'x' was met twice in this run: ids must be unique")
    ]
    assert store.texts == ["x:one", "y:y"]
    report = run(tmp_path, [store], [item("f", [Document("x", "one")]), item("g", [Document("x", "2")], "2")])
    assert [one.reason for one in report.failed] == [
        "document id 'x' is taken by files/f: ids must be unique in an index"
    ]
    report = run(tmp_path, [store], [item("h", [Document("x", "one")])], source="other")
    assert [one.reason for one in report.failed] == [
        "document id 'x' is taken by files/f of the source docs: ids must be unique in an index"
    ]
    assert store.texts == ["x:one"]


def test_a_document_may_move_to_another_item(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("y", "two")])])
    moved = [item("e", [Document("x", "one")]), item("f", [Document("y", "two")], "2")]
    report = run(tmp_path, [store], moved)
    assert (report.unchanged, report.removed, report.failed) == (2, 0, [])
    assert run(tmp_path, [store], moved).unchanged == 2
    assert run(tmp_path, [store], moved[1:]).removed == 1
    assert store.texts == ["y:two"]


# Failures.


def test_a_document_that_cannot_be_cut_fails_alone(tmp_path):
    store = FakeStore()
    documents = [(f"d{n}", "BAD" if n in (3, 7) else f"line {n}") for n in range(10)]
    report = run(tmp_path, [store], documents)
    assert [(one.id, one.reason) for one in report.failed] == [
        ("d3", "the line BAD cannot be cut"),
        ("d7", "the line BAD cannot be cut"),
    ]
    assert (report.new, len(store.rows)) == (8, 8)


def test_a_text_that_cannot_be_embedded_fails_its_document_alone(tmp_path):
    stores = [FakeStore("terms"), FakeStore("vectors", embedders={"dense": Letters()})]
    run(tmp_path, stores, [("a", "one"), ("b", "two")])
    report = run(tmp_path, stores, [("a", "POISON\nnew"), ("b", "zwei"), ("c", "three")])
    assert [(one.id, one.reason) for one in report.failed] == [("a", "a text is poison")]
    for store in stores:
        assert store.texts == ["a:one", "b:zwei", "c:three"]


def test_a_row_that_one_store_refuses_fails_its_document_in_all_of_them(tmp_path):
    stores = [FakeStore("first"), FakeStore("second")]
    run(tmp_path, stores, [("a", "one"), ("b", "two")])
    stores[1].refuses = lambda row: "too long" if row.chunk.text == "bad" else ""
    report = run(tmp_path, stores, [("a", "uno\nbad"), ("b", "zwei"), ("new", "bad\ngood")])
    assert [(one.id, one.reason) for one in report.failed] == [
        ("a", "[stores.second] refused a row: too long"),
        ("new", "[stores.second] refused a row: too long"),
    ]
    for store in stores:
        assert store.texts == ["a:one", "b:zwei"]


def test_a_batch_that_is_refused_whole_is_bisected(tmp_path):
    store = FakeStore()
    put = store.put

    def strict(rows, *, version):
        if any("bad" in row.chunk.text for row in rows):
            raise ItemRejected("a field is too long")
        return put(rows, version=version)

    store.put = strict
    report = run(tmp_path, [store], [(f"d{n}", "bad" if n == 500 else "good") for n in range(1000)])
    assert [(one.id, one.reason) for one in report.failed] == [
        ("d500", "[stores.s] refused a row: a field is too long")
    ]
    assert (report.new, len(store.rows)) == (999, 999)


def test_a_failed_document_is_tried_again_when_it_changes_or_on_request(tmp_path):
    store = FakeStore()
    store.refuses = lambda row: "no" if row.chunk.text == "bad" else ""
    run(tmp_path, [store], [("a", "bad"), ("b", "good")])
    report = run(tmp_path, [store], [("a", "bad"), ("b", "good")])
    assert (report.failed, report.failed_before, report.unchanged) == ([], 1, 1)
    report = run(tmp_path, [store], [("a", "bad"), ("b", "good")], retry_failed=True)
    assert [one.id for one in report.failed] == ["a"]
    assert [one.id for one in Ingest(tmp_path, [target(store)]).status().failed] == ["a"]
    report = run(tmp_path, [store], [("a", "better"), ("b", "good")])
    assert (report.new, report.failed_before) == (1, 0)
    assert Ingest(tmp_path, [target(store)]).status().failed == ()


def test_of_an_item_with_a_failed_document_only_that_one_is_tried_again(tmp_path):
    store = FakeStore()
    store.refuses = lambda row: "no" if row.chunk.text == "bad" else ""
    file = item("f", [Document("x", "one"), Document("y", "bad")])
    run(tmp_path, [store], [file])
    report = run(tmp_path, [store], [file])
    assert (report.unchanged, report.failed_before, report.failed) == (1, 1, [])
    store.refuses = lambda row: ""
    report = run(tmp_path, [store], [file], retry_failed=True)
    assert (report.unchanged, report.new) == (1, 1)


def test_metadata_of_another_type_fails_its_document(tmp_path):
    store = FakeStore()
    documents = [Document("a", "one", metadata={"year": 2020}), Document("b", "two", metadata={"year": "2020"})]
    report = run(tmp_path, [store], [*documents, ("c", "three")], fields={"year": "int"})
    assert [one.id for one in report.failed] == ["b"]
    assert report.failed[0].reason.startswith("metadata field year, declared as int\n  got: ")
    assert store.texts == ["a:one", "c:three"]


def test_documents_that_cannot_be_stored_fail(tmp_path):
    store = FakeStore()
    report = run(
        tmp_path,
        [store],
        [
            Document("", "x"),
            Document("\udc80", "x"),
            Document("m", "x", metadata={"when": object()}),
            Document("n", "x", metadata={"v": float("nan")}),
        ],
    )
    assert [(one.id, one.reason) for one in report.failed] == [
        ("", "document id '': expected text that is not empty and that UTF-8 can hold"),
        ("\\udc80", r"document id '\udc80': expected text that is not empty and that UTF-8 can hold"),
        ("m", "metadata of document 'm' must be JSON values: Object of type object is not JSON serializable"),
        ("n", "metadata of document 'n' must be JSON values: Out of range float values are not JSON compliant"),
    ]  # fmt: skip
    assert store.rows == {}


def test_lone_surrogates_are_replaced_and_counted(tmp_path):
    store = FakeStore()
    report = run(tmp_path, [store], [Document("a", "x\ud800y", "t\udfff", {"k\ud800": ["\ud800", {"n": "\ud800"}]})])
    assert report.surrogates == 5
    (row,) = store.rows.values()
    assert (row.chunk.text, row.chunk.metadata) == ("x\ufffdy", {"k\ufffd": ["\ufffd", {"n": "\ufffd"}]})


def test_a_failure_that_passes_is_tried_again_with_the_same_rows_and_version(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [("a", "one")])
    seen = []
    put = store.put

    def shaky(rows, *, version):
        seen.append(([row.chunk.id for row in rows], version))
        if len(seen) < 3:
            raise TransientError("busy")
        return put(rows, version=version)

    store.put = shaky
    report = run(tmp_path, [store], [("a", "two")], patience=30)
    assert (report.changed, len(seen)) == (1, 3)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("where", ["put", "drop", "sync", "embed", "chunk"])
@pytest.mark.parametrize("error", [TransientError("the server does not answer"), RuntimeError("disk full")])
def test_what_concerns_everything_stops_the_run_and_nothing_failed(tmp_path, where, error):
    letters = Letters()
    stores = [FakeStore("first"), FakeStore("second", embedders={"dense": letters})]
    run(tmp_path, stores, [("a", "one"), ("b", "two")])
    part = {"embed": letters, "chunk": stores[1].chunker}.get(where, stores[1])
    works = getattr(part, where)

    def broken(*args, **kwargs):
        raise error

    setattr(part, where, broken)
    documents = [("a", "uno"), ("b", "zwei"), ("c", "three")]
    with pytest.raises(IngestStopped) as stopped:
        run(tmp_path, stores, documents)
    assert str(error) in str(stopped.value)
    assert "run the same command again to go on" in str(stopped.value)
    assert stopped.value.report.failed == []
    status = Ingest(tmp_path, [target(store) for store in stores]).status()
    assert status.failed == ()
    assert status.last.startswith("stopped at ")
    setattr(part, where, works)
    run(tmp_path, stores, documents)
    for store in stores:
        assert store.texts == ["a:uno", "b:zwei", "c:three"]


def test_twenty_equal_failures_in_a_row_stop_the_run_and_are_taken_back(tmp_path):
    store = FakeStore()
    store.refuses = lambda row: f"index is read-only [{row.chunk.id}]"
    documents = [(f"d{n:02}", f"line {n}") for n in range(50)]
    with pytest.raises(IngestStopped) as stopped:
        run(tmp_path, [store], documents, batch_bytes=60)
    assert str(stopped.value).startswith(
        "20 documents in a row failed at writing to [stores.s] in the same way, so this is not about the documents: "
        "[stores.s] refused a row: index is read-only ["
    )
    assert Ingest(tmp_path, [target(store)]).status().failed == ()
    store.refuses = lambda row: ""
    assert run(tmp_path, [store], documents).new == 50
    assert len(store.rows) == 50


def test_keyboard_interrupt_says_that_it_can_go_on(tmp_path):
    store = FakeStore()

    def interrupted(place):
        if place == "s sync: before" and store.puts[1:]:
            raise KeyboardInterrupt

    documents = [(f"d{n}", f"line {n}") for n in range(6)]
    with pytest.raises(KeyboardInterrupt) as raised:
        run(tmp_path, [store], documents, batch_bytes=14, fault=interrupted)
    assert raised.value.__notes__ == [
        "indexing was interrupted: 2 new and 0 changed documents are in the index, nothing is lost; "
        "run the same command again to go on"
    ]
    status = Ingest(tmp_path, [target(store)]).status()
    assert (status.unfinished, status.last.split(" at ")[0], status.documents) == (2, "interrupted", {"docs": 2})
    report = run(tmp_path, [store], documents)
    assert (report.new, report.unchanged, len(store.rows)) == (4, 2, 6)


# Reports.


def test_a_dry_run_counts_and_writes_nothing(tmp_path):
    store = FakeStore("s", embedders={"dense": Letters()})
    report = run(tmp_path, [store], [("a", "one\ntwo"), ("b", "BAD")], dry_run=True)
    assert (report.new, report.chunks, [one.id for one in report.failed]) == (1, 2, ["b"])
    assert (store.rows, store.saved.owner, list(tmp_path.iterdir())) == ({}, "", [])
    run(tmp_path, [store], [("a", "one"), ("b", "two"), ("c", "three")])
    before = dict(store.rows), store.saved
    report = run(tmp_path, [store], [("a", "uno"), ("b", "two"), ("d", "four")], dry_run=True)
    assert (report.new, report.changed, report.unchanged, report.removed) == (1, 1, 1, 1)
    assert (dict(store.rows), store.saved) == before
    assert run(tmp_path, [store], [("a", "uno"), ("b", "two"), ("d", "four")]).removed == 1


def test_the_report_is_json(tmp_path):
    store = FakeStore()
    store.refuses = lambda row: "no" if row.chunk.text == "bad" else ""
    report = run(tmp_path, [store], [("a", "one"), ("b", "bad"), Skipped("c", "", "hidden")])
    made = json.loads(json.dumps(report.to_json()))
    assert {name: value for name, value in made.items() if name != "seconds"} == {
        "source": "docs",
        "dry_run": False,
        "items": 2,
        "new": 1,
        "changed": 0,
        "unchanged": 0,
        "removed": 0,
        "held": 0,
        "failed_before": 0,
        "failed": [{"id": "b", "locator": "", "reason": "[stores.s] refused a row: no"}],
        "unread": [],
        "skipped": {"hidden": 1},
        "chunks": 2,
        "written": 1,
        "kept": 0,
        "embedded": 0,
        "reused": 0,
        "empty": 0,
        "surrogates": 0,
        "refused": "",
        "lacking": {},
    }
    assert set(made["seconds"]) == {"read", "chunk", "embed", "journal", "write"}


def test_progress_is_told_after_embedding_and_writing(tmp_path):
    told = []
    store = FakeStore("s", embedders={"dense": Letters()})
    run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(4)], batch_bytes=14, progress=told.append)
    assert [(one.phase, one.new, one.embedded) for one in told] == [
        ("embed", 0, 2), ("write", 2, 2), ("embed", 2, 4), ("write", 4, 4), ("write", 4, 4),
    ]  # fmt: skip


def test_an_ingest_needs_a_store(tmp_path):
    with pytest.raises(ValueError, match="an ingest needs at least one store"):
        Ingest(tmp_path, [])
    with pytest.raises(ValueError, match="dry_run cannot be combined with take_over or rebuild: they change stores"):
        run(tmp_path, [FakeStore()], [], dry_run=True, take_over=True)


def test_a_store_that_is_not_fenced_is_given_time_to_settle_after_a_run_that_was_cut_off(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("hookrag.ingest.session.time.sleep", lambda seconds: calls.append(seconds))
    store = FakeStore()
    sync = store.sync
    store.sync = lambda: (calls.append("sync"), sync())

    def indexed(text, **options):
        calls.clear()
        run(tmp_path, [store], [("a", text)], targets=[target(store, fenced=False)], **options)
        return calls

    assert indexed("one") == ["sync"]

    def interrupt(place):
        if place == "T2: before":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        indexed("two", fault=interrupt)
    assert indexed("two")[:3] == ["sync", 2.0, "sync"]
    assert indexed("two") == []
    assert store.texts == ["a:two"]


def test_an_index_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        IngestStopped, match=f"the folder of the index {tmp_path}/file/x cannot be written: Not a directory"
    ):
        run(tmp_path / "file" / "x", [FakeStore()], [])
    (tmp_path / "journal.sqlite3").write_text("this is no database, and it is long enough to be seen as none" * 20)
    with pytest.raises(
        IngestStopped, match=f"the journal {tmp_path}/journal.sqlite3 cannot be opened: file is not a database"
    ):
        run(tmp_path, [FakeStore()], [])


def test_errors_that_components_wrap_keep_their_class():
    from hookrag import ComponentError, ContractError
    from hookrag.ingest.failures import refuses_document, refuses_item, refuses_text

    wrapped = ComponentError("[chunkers.a] failed")
    wrapped.__cause__ = ValueError("bad")
    assert refuses_document(wrapped)
    assert not refuses_item(wrapped)
    assert not refuses_text(wrapped)
    assert refuses_text(ContractError("not finite"))
    assert not refuses_document(ComponentError("out of memory"))


def dying(at):
    def fault(place):
        if place == at:
            raise Died(place)

    return fault


def test_an_item_that_goes_back_after_half_of_it_was_written_is_not_taken_for_unchanged(tmp_path):
    store = FakeStore()
    before = item("f", [Document("x", "one"), Document("y", "two")], "1")
    after = item("f", [Document("x", "uno"), Document("y", "zwei")], "2")
    run(tmp_path, [store], [before])
    store.fault = lambda place: store.puts[2:] and dying(place)(place)
    with pytest.raises(Died):
        run(tmp_path, [store], [after], batch_bytes=4)
    store.fault = lambda place: None
    assert "x:uno" in store.texts
    run(tmp_path, [store], [before])
    assert store.texts == ["x:one", "y:two"]


def test_a_document_that_comes_back_right_after_its_removal_is_not_taken_for_unchanged(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [("a", "one"), ("b", "two")])
    with pytest.raises(Died):
        run(tmp_path, [store], [("a", "one")], fault=dying("tidy: before"))
    report = run(tmp_path, [store], [("a", "one"), ("b", "two")])
    assert (report.new, report.unchanged, store.texts) == (1, 1, ["a:one", "b:two"])
