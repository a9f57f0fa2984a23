"""What fails: one document, for a moment, or everything; and what a run that is cut off leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hookrag import Document, ItemRejected
from hookrag.ingest import Ingest, IngestStopped, Item

from .fakes import Died, FakeStore, Letters, TransientError, run, target


def item(id, text_or_documents, key="1"):
    documents = text_or_documents if isinstance(text_or_documents, list) else [Document(id, text_or_documents)]
    return Item(id, key, lambda: iter(documents), f"files/{id}")


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


def test_a_document_whose_new_form_failed_is_counted_once(tmp_path):
    store = FakeStore()
    store.refuses = lambda row: "no" if row.chunk.text == "bad" else ""
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("y", "two")])])
    changed = item("f", [Document("x", "one"), Document("y", "bad")], key="2")
    for failed, failed_before in ((1, 0), (0, 1)):
        report = run(tmp_path, [store], [changed])
        assert (report.unchanged, len(report.failed), report.failed_before) == (1, failed, failed_before)
    assert store.texts == ["x:one", "y:two"], "the form that could be taken stays"


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


def test_a_store_that_is_not_fenced_is_given_time_to_settle_after_a_run_that_was_cut_off(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("hookrag.ingest.stores.time.sleep", lambda seconds: calls.append(seconds))
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


@pytest.mark.parametrize("cut_off", ["T2: before", "T3: before"])
def test_rows_of_a_run_that_was_cut_off_are_not_taken_for_those_of_the_next(tmp_path, cut_off):
    class Drifting(Letters):
        drift = 0.0

        def embed(self, texts, *, role, outputs):
            made = super().embed(texts, role=role, outputs=outputs)
            return replace(made, dense=made.dense + np.float32(self.drift))

    embedder = Drifting()
    store = FakeStore(embedders={"dense": embedder})
    run(tmp_path, [store], [("a", "one")])
    with pytest.raises(Died):
        run(tmp_path, [store], [("a", "two")], fault=dying(cut_off))
    embedder.drift = 1e-3  # other texts in the batch, another processor
    run(tmp_path, [store], [("a", "two" if cut_off == "T2: before" else "one")])
    (checked,) = Ingest(tmp_path, [target(store)]).verify(deep=True).stores
    assert (checked.ok, len(store.rows)) == (True, 1)


def test_a_document_that_comes_back_right_after_its_removal_is_not_taken_for_unchanged(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [("a", "one"), ("b", "two")])
    with pytest.raises(Died):
        run(tmp_path, [store], [("a", "one")], fault=dying("tidy: before"))
    report = run(tmp_path, [store], [("a", "one"), ("b", "two")])
    assert (report.new, report.unchanged, store.texts) == (1, 1, ["a:one", "b:two"])
