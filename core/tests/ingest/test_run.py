"""What a run does to stores, and what it reports."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hookrag import Document, HookragError
from hookrag.errors import IngestStopped
from hookrag.ingest import Given, Ingest, Skipped

from .fakes import FakeStore, Letters, Words, run, target


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
    text = "0123456789\n" * 2**12
    for outputs, size in (((), 6), (("dense",), 5), (("multi", "dense"), 1)):
        name = f"store{len(outputs)}"
        whole = FakeStore(name, embedders={output: Letters() for output in outputs})
        run(tmp_path / name, [whole], [(f"d{n}", text) for n in range(6)])
        assert len(whole.puts[0]) == min(1000, size * 2**12)
        assert len({id for put in whole.puts for id in put}) == 6 * 2**12


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
        "truncated": 0,
        "tokens_cut": 0,
        "empty": 0,
        "surrogates": 0,
        "refused": "",
        "lacking": {},
        "to_embed": [],
    }
    assert set(made["seconds"]) == {"read", "chunk", "embed", "journal", "write"}


def test_progress_is_told_after_writing(tmp_path):
    told = []
    store = FakeStore("s", embedders={"dense": Letters()})
    run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(4)], batch_bytes=14, progress=told.append)
    written = [(one.new, one.embedded) for one in told if one.phase == "write"]
    # What is embedded while the first batch is written is on its way, too.
    assert [one.pending_bytes for one in told if one.phase == "write"] == [12, 0, 0]
    # While a batch is written, the vectors of the next are made.
    assert written[0][0] == 2
    assert written[0][1] in (2, 4)
    assert written[1:] == [(4, 4), (4, 4)]


def test_an_ingest_needs_a_store(tmp_path):
    with pytest.raises(ValueError, match="an ingest needs at least one store"):
        Ingest(tmp_path, [])
    with pytest.raises(ValueError, match="dry_run cannot be combined with take_over or rebuild: they change stores"):
        run(tmp_path, [FakeStore()], [], dry_run=True, take_over=True)


def test_progress_is_told_while_embedding_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr("hookrag.ingest.session.TELL_SECONDS", 0.01)
    told = []

    class Slow(Letters):
        def embed(self, texts, *, role, outputs):
            while not any(one.phase == "embed" for one in told):
                time.sleep(0.01)
            return super().embed(texts, role=role, outputs=outputs)

    run(tmp_path, [FakeStore("s", embedders={"dense": Slow()})], [("d", "a line")], progress=told.append)
    assert {one.phase for one in told} >= {"embed", "write"}
    assert {one.pending_bytes for one in told if one.phase == "embed"} == {6}


def test_the_next_batch_is_embedded_while_one_is_written(tmp_path):
    embedder = Letters()
    store = FakeStore("s", embedders={"dense": embedder})
    seen = []

    def write_slowly(place):
        if place == "s put: before":
            until = time.monotonic() + 5
            while len(embedder.texts) < min(4, 2 * len(seen) + 4) and time.monotonic() < until:
                time.sleep(0.01)
            seen.append(len(embedder.texts))

    run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(4)], batch_bytes=14, fault=write_slowly)
    assert seen == [4, 4]


def test_what_was_embedded_before_an_embedder_failed_is_written(tmp_path):
    class Dies(Letters):
        def embed(self, texts, *, role, outputs):
            if self.texts:
                raise RuntimeError("the server is gone")
            return super().embed(texts, role=role, outputs=outputs)

    store = FakeStore("s", embedders={"dense": Dies()})
    with pytest.raises(IngestStopped, match="the server is gone"):
        run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(6)], batch_bytes=14)
    assert store.texts == ["d0:line 0", "d1:line 1"]


@pytest.mark.parametrize("entry", [{"id": "d"}, None, ("d", "text"), 42, b"x"])
def test_an_entry_of_another_type_stops_the_run_and_nothing_counts_as_gone(tmp_path, entry):
    store = FakeStore()
    run(tmp_path, [store], [("d0", "one"), ("d1", "two")])
    with pytest.raises(
        HookragError, match=rf"got {type(entry).__name__} as entry 2 of the documents: expected a Document"
    ):
        Ingest(tmp_path, [target(store)]).run(Given([Document("d0", "one"), entry], "docs", complete=True))
    assert store.texts == ["d0:one", "d1:two"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("d", None), "text of document 'd': expected text, got NoneType"),
        (Document("d", "x", title=3), "title of document 'd': expected text, got int"),
        (Document(7, "x"), "id of document 7: expected text, got int"),
        (Document("d", "x", metadata=["a"]), "metadata of document 'd': expected a mapping, got list"),
    ],
)
def test_a_document_with_a_field_of_another_type_fails_alone(tmp_path, document, reason):
    report = run(tmp_path, [FakeStore()], [document, ("e", "good")])
    assert [one.reason for one in report.failed] == [reason]
    assert report.new == 1


def test_a_report_says_how_long_the_run_took_also_where_it_ended_early(tmp_path):
    store = FakeStore()
    put = store.put

    def slow(rows, *, version):
        time.sleep(0.05)
        return put(rows, version=version)

    store.put = slow
    report = run(tmp_path, [store], [("a", "one")])
    assert report.took >= 0.05
    assert "took" not in report.to_json()
    store.raises = [RuntimeError("no room")]
    with pytest.raises(IngestStopped) as stopped:
        run(tmp_path, [store], [("a", "two")])
    assert stopped.value.report.took > 0
