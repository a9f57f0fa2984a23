"""What a dry run says: fates, chunks, and the texts, tokens and dollars of what would be embedded; it writes nothing."""

from __future__ import annotations

import hashlib
import re

import pytest
from hookrag import TransientError
from hookrag.ingest import IngestStopped

from .fakes import FakeStore, Letters, Words, run, target

DOCUMENTS = [("a", "one\ntwo"), ("b", "three\nfour fives"), ("c", "")]


class Counting(Letters):
    """With a tokenizer whose tokens are words, of which a text may have two, and a price."""

    price = 2.0

    def room(self, role):
        return 2

    def tokens(self, texts):
        return [[match.span() for match in re.finditer(r"\w+", text)] for text in texts]


def told(report):
    return [(one.embedder, one.texts, one.tokens, one.exact, one.dollars) for one in report.to_embed]


def written(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir() if path.name != "lock"}


def test_nothing_is_written_and_nothing_embedded(tmp_path):
    letters = Letters()
    store = FakeStore(embedders={"dense": letters})
    report = run(tmp_path / "index", [store], DOCUMENTS, dry_run=True)
    assert (report.new, report.chunks, report.embedded, report.written) == (3, 4, 0, 0)
    # A quarter of the characters, rounded up: one, two, three, four fives.
    assert told(report) == [("Letters", 4, 1 + 1 + 2 + 3, False, None)]
    assert (letters.texts, store.rows, (tmp_path / "index").exists()) == ([], {}, False)
    run(tmp_path / "index", [store], DOCUMENTS)
    before, rows = written(tmp_path / "index"), dict(store.rows)
    report = run(tmp_path / "index", [store], [("a", "one\nzwei"), ("d", "new")], dry_run=True, prune=True)
    assert (report.new, report.changed, report.removed, report.chunks) == (1, 1, 2, 3)
    assert (written(tmp_path / "index"), store.rows) == (before, rows)


def test_a_dry_run_that_stops_takes_nothing_back_either(tmp_path):
    store = FakeStore()
    failed = [("a", "BAD"), ("b", "BAD"), ("c", "fine")]
    run(tmp_path, [store], failed)
    before = written(tmp_path)
    with pytest.raises(IngestStopped, match="cannot be cut"):
        run(tmp_path, [store], [*failed, *((f"d{n}", "BAD") for n in range(30))], dry_run=True, retry_failed=True)
    assert written(tmp_path) == before
    assert run(tmp_path, [store], failed).failed_before == 2


def test_an_embedder_that_does_not_say_how_much_it_reads_is_estimated(tmp_path):
    class Roomless(Letters):
        def tokens(self, texts):
            return [[(0, len(text))] for text in texts]

    report = run(tmp_path, [FakeStore(embedders={"dense": Roomless()})], [("a", "one two three")], dry_run=True)
    assert told(report) == [("Roomless", 1, 4, False, None)]


def test_only_what_is_in_no_store_yet_counts_as_a_run_would_embed_it(tmp_path):
    letters = Letters()
    store = FakeStore(chunker=Words(), embedders={"dense": letters})
    run(tmp_path, [store], DOCUMENTS)
    changed = [("a", "one\nzwei\nthree"), ("b", "\nthree\nfour fives"), ("c", ""), ("d", "zwei")]
    dry = run(tmp_path, [store], changed, dry_run=True)
    letters.texts.clear()
    report = run(tmp_path, [store], changed)
    # The lines of b moved: other rows, whose vectors are those of the old ones.
    assert (dry.reused, report.reused) == (2, 2)
    assert [one.texts for one in dry.to_embed] == [report.embedded] == [2]
    assert sorted(letters.texts) == ["three", "zwei"]
    assert told(report) == []
    dry = run(tmp_path, [store], changed, dry_run=True)
    assert (dry.unchanged, told(dry)) == (4, [])


def test_tokens_are_counted_by_the_embedders_tokenizer_and_have_its_price(tmp_path):
    store = FakeStore(embedders={"dense": Counting()})
    report = run(tmp_path, [store], [("a", "one\ntwo words\nthree words here")], dry_run=True)
    assert told(report) == [("Counting", 3, 1 + 2 + 2, True, 1e-05)]
    assert report.to_json()["to_embed"] == [
        {"embedder": "Counting", "texts": 3, "tokens": 5, "truncated": 1, "exact": True, "dollars": 1e-05}
    ]


def test_an_embedder_that_several_stores_share_is_called_once(tmp_path):
    letters, counting = Letters(), Counting()
    stores = [
        FakeStore("first", embedders={"dense": letters}),
        FakeStore("second", embedders={"dense": letters, "sparse": letters}),
        FakeStore("third", embedders={"dense": counting}),
        FakeStore("words"),
    ]
    targets = [target(store, key="counting" if store.name == "third" else "letters") for store in stores]
    report = run(tmp_path, stores, [("a", "one\ntwo words")], targets=targets, dry_run=True)
    assert told(report) == [("Letters", 2, 1 + 3, False, None), ("Counting", 2, 3, True, 6e-06)]


def test_a_tokenizer_that_fails_is_named(tmp_path):
    class Broken(Counting):
        def tokens(self, texts):
            raise TransientError("the tokenizer's server is away")

    store = FakeStore(embedders={"dense": Broken()})
    with pytest.raises(IngestStopped, match=r"^Broken failed in tokens: the tokenizer's server is away\n"):
        run(tmp_path, [store], DOCUMENTS, dry_run=True)
