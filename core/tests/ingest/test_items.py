"""Items of a source: one document or many, unread, skipped, moved."""

from __future__ import annotations

from hookrag import Document, ReadError
from hookrag.ingest import Item, Skipped, Unread

from .fakes import FakeStore, run


def item(id, text_or_documents, key="1"):
    documents = text_or_documents if isinstance(text_or_documents, list) else [Document(id, text_or_documents)]
    return Item(id, key, lambda: iter(documents), f"files/{id}")


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


def test_what_is_not_read_keeps_its_old_version_and_what_else_is_gone_is_removed(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("a", "one"), item("b", "two"), item("c", "three"), item("deep/d", "four")])
    unread = [Unread("b", "files/b", "no permission"), Unread("deep/", "files/deep", "cannot be listed")]
    report = run(tmp_path, [store], [item("a", "uno", "2"), *unread])
    assert (report.changed, report.removed, report.held) == (1, 1, 2)
    assert store.texts == ["a:uno", "b:two", "deep/d:four"]
    report = run(tmp_path, [store], [item("a", "uno", "2"), item("b", "two")])
    assert (report.removed, report.held) == (1, 0)


def test_where_the_root_cannot_be_listed_nothing_is_removed_even_when_pruning(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("a", "one")])
    report = run(tmp_path, [store], [Unread(".", "files", "cannot be listed")], prune=True)
    assert (report.removed, report.held, store.texts) == (0, 1, ["a:one"])


def test_a_record_that_may_have_moved_into_an_unread_file_stays_until_it_is_pruned(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("f#2", "two")]), item("g", [Document("y", "y")])])
    run(tmp_path, [store], [item("h", "h")], complete=False)
    broken = Unread("g", "files/g", "is cut off")
    report = run(tmp_path, [store], [item("f", [Document("z", "three")], "2"), item("h", "h"), broken])
    assert (report.removed, report.held) == (0, 3)
    assert store.texts == ["f#2:two", "h:h", "x:one", "y:y", "z:three"]
    report = run(tmp_path, [store], [item("h", "h"), broken])
    assert (report.removed, report.held) == (1, 3)  # f itself is gone, and with it the record that has no other name
    report = run(tmp_path, [store], [item("f", [Document("z", "three")], "2"), item("h", "h"), broken], prune=True)
    assert (report.removed, report.held, store.texts) == (1, 1, ["h:h", "y:y", "z:three"])


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


def test_of_two_documents_with_one_id_the_first_is_indexed(tmp_path):
    store = FakeStore()
    for _ in range(2):
        report = run(tmp_path, [store], [("x", "one"), ("y", "y"), ("x", "two")])
        assert store.texts == ["x:one", "y:y"]
        assert [one.reason for one in report.failed] == [
            "document id 'x' was met twice in this run: ids must be unique"
        ]
    assert run(tmp_path, [store], [("x", "one"), ("y", "y")]).unchanged == 2


def test_a_document_may_move_to_another_item(tmp_path):
    store = FakeStore()
    run(tmp_path, [store], [item("f", [Document("x", "one"), Document("y", "two")])])
    moved = [item("e", [Document("x", "one")]), item("f", [Document("y", "two")], "2")]
    report = run(tmp_path, [store], moved)
    assert (report.unchanged, report.removed, report.failed) == (2, 0, [])
    assert run(tmp_path, [store], moved).unchanged == 2
    assert run(tmp_path, [store], moved[1:]).removed == 1
    assert store.texts == ["y:two"]
