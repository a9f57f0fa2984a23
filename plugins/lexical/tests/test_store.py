"""The contract of a store: rows go in, come out as they were, are found, are gone after a drop."""

from __future__ import annotations

import gc
import importlib
import json
import tracemalloc

import numpy as np
import pytest
from hookrag import (
    Card,
    Chunk,
    Document,
    HookragError,
    IdentityError,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    chunk_of,
    parse_filter,
)
from hookrag_lexical import plugin
from hookrag_lexical.analysis import analyzer
from hookrag_lexical.columns import PendingTerms
from hookrag_lexical.fields import Field
from hookrag_lexical.store import Lexical
from hookrag_segments import segment, snapshot, writer


class Whole:
    """A chunker that takes each document whole."""

    def chunk(self, documents, /):
        return [[chunk_of(document, 0, len(document.text))] for document in documents]


class Sparse:
    """An embedder that is never asked: the rows of these tests bring their vectors."""

    outputs = ("sparse",)

    def identity(self):
        raise AssertionError

    def embed(self, texts, /, *, role, outputs):
        raise AssertionError


def made(path, **settings):
    store = Lexical(chunker=Whole(), path=path, **settings)
    store.open()
    return store


def row(text, name="", *, document="d", metadata=None, owner="me", check=7, sparse=None, context=""):
    chunk = Chunk(name or text, document, text, 0, len(text), context, metadata=metadata or {})
    if sparse is not None:
        sparse = (np.array(list(sparse), dtype=np.int32), np.array(list(sparse.values()), dtype=np.float32))
    return Row(chunk, owner, check, sparse=sparse)


def filled(path, *rows, **settings):
    store = made(path, **settings)
    assert store.put(rows, version=1) == {}
    store.sync()
    return store


def found(store, text, k=10, where=None):
    return [hit.chunk.id for hit in store.search_text([text], k=k, where=where)[0]]


def queries(*vectors):
    at = np.cumsum([0, *map(len, vectors)]).astype(np.int64)
    dims = np.array([dim for vector in vectors for dim in vector], dtype=np.int32)
    values = np.array([value for vector in vectors for value in vector.values()], dtype=np.float32)
    return SparseRows(at, dims, values, 100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "terms"


STRANGE = Chunk(
    "ünïcödé-\u4e2d\U0001f600",
    "dir/a b:1 \u202e",
    "Zeile eins\r\nzeile \u0000 zwei \ud800 \U0001f600",
    3,
    2**40,
    "Titel \u2014 1.2",
    "parent-1",
    ("s1", "s 2"),
    {"z": 1, "a": {"list": [1, 2.5, None, True, "\u00e9\ud83d", {}], "": []}, "n": -0.0, "big": 2**70, "tiny": 5e-324},
)


def test_every_field_comes_back_as_it_was_put(path):
    rows = [Row(STRANGE, "owner-ä\udc80", -(2**63)), Row(Chunk("plain", "d", "", 0, 0), "", 2**63 - 1)]
    store = filled(path, *rows)
    store.close()
    store.open()
    got = store.fetch(["plain", "nobody", STRANGE.id])
    assert got == [rows[1], None, rows[0]]
    assert json.dumps(got[2].chunk.metadata) == json.dumps(STRANGE.metadata)  # the order of keys, and -0.0
    [hit] = store.search_text(["zwei"], k=5, where=None)[0]
    assert hit.chunk == STRANGE
    assert isinstance(hit.score, float)
    keys = [key for page in store.scan() for key in page]
    assert keys == [RowKey(item.chunk.id, item.chunk.document_id, item.owner, item.check) for item in rows]


def test_what_was_put_is_seen_after_sync_and_not_before(path):
    store = filled(path, row("alpha"))
    store.put([row("beta alpha")], version=2)
    store.drop(["alpha"], version=2)
    assert (found(store, "alpha beta"), store.count(), store.fetch(["beta alpha"])) == (["alpha"], 1, [None])
    store.sync()
    assert (found(store, "alpha beta"), store.count()) == (["beta alpha"], 1)


def test_putting_and_dropping_again_is_a_success(path):
    first, second = row("alpha", "x"), row("alpha", "x", owner="other", check=8)
    store = filled(path, first)
    assert store.put([second, row("gamma"), row("gamma")], version=2) == {}
    store.drop(["nobody", "\ud800", ""], version=2)
    store.sync()
    assert store.fetch(["x", "gamma"]) == [first, row("gamma")]
    assert sum(map(len, store.scan())) == store.count() == 2


def test_the_last_of_put_and_drop_before_a_sync_counts(path):
    store = filled(path, row("alpha", "old"), row("alpha", "new", check=1))
    store.drop(["old", "new"], version=2)
    store.put([row("alpha", "new", check=2), row("alpha", "brief"), row("alpha", "again", check=3)], version=2)
    store.drop(["brief", "again"], version=2)
    store.put([row("alpha", "again", check=4)], version=2)
    store.sync()
    checks = {key.chunk_id: key.check for page in store.scan() for key in page}
    assert checks == {"new": 2, "again": 4}
    assert [kept and kept.check for kept in store.fetch(["new", "again", "old", "brief"])] == [2, 4, None, None]
    assert store.put([row("alpha", "again", check=5)], version=3) == {}
    store.sync()
    assert store.count() == 2
    assert found(store, "alpha") == ["again", "new"]


def test_a_buffer_that_is_full_goes_to_disk_unseen(path, monkeypatch):
    monkeypatch.setattr(writer, "BUFFER_BYTES", 1)
    store = made(path)
    for at in range(30):
        store.put([row(f"word n{at}")], version=1)
    store.drop(["word n3", "word n29"], version=1)
    assert len(list(path.glob("*.segment"))) == 30
    assert store.count() == 0
    store.sync()
    assert store.count() == len(found(store, "word", k=100)) == 28
    assert len(store._index.snapshot().opened) == 1


def test_unsynced_rows_are_forgotten_on_close_with_their_files(path, monkeypatch):
    monkeypatch.setattr(writer, "BUFFER_BYTES", 1)
    store = filled(path, row("alpha"))
    store.put([row("beta")], version=1)
    assert len(list(path.glob("*.segment"))) == 2
    store.close()
    store.open()
    assert store.count() == 1
    store.drop([], version=1)
    assert len(list(path.glob("*.segment"))) == 1


def test_ties_follow_the_chunk_id_at_the_cut_and_across_segments(path):
    store = made(path)
    names = ["d", "a", "é", "c", "b", "aa", "Z"]
    for name in names:
        store.put([row("same words", name), row("other words", f"{name}-2")], version=1)
        store.sync()
    for k in range(9):
        assert found(store, "same", k=k) == sorted(names)[:k]


def test_queries_without_a_known_term_find_nothing(path):
    store = filled(path, row("alpha"), row("the of"), row("", "empty"))
    assert store.search_text(["", "the", "omega", "alpha"], k=3, where=None)[:3] == [[], [], []]
    assert found(store, "alpha omega") == ["alpha"]
    assert made(path.parent / "empty").search_text(["alpha"], k=3, where=None) == [[]]


def test_context_is_searched_with_the_text(path):
    store = filled(path, row("body", "1", context="Heading"), row("heading", "2", context="other"))
    assert sorted(found(store, "heading")) == ["1", "2"]


def test_filters_are_applied_before_the_cut(path):
    rows = [row("word " * (9 - at), f"r{at}", metadata={"year": 2000 + at, "odd": bool(at % 2)}) for at in range(8)]
    store = filled(path, *rows, row("word", "bare"))
    assert found(store, "word", k=2, where=parse_filter("year >= 2004")) == ["r4", "r5"]
    assert store.count(parse_filter("odd == true and year < 2004")) == 2
    assert store.count(parse_filter("not exists(year)")) == 1
    store.drop(["r4"], version=2)
    store.sync()
    assert found(store, "word", k=2, where=parse_filter("year >= 2004")) == ["r5", "r6"]
    assert store.count(parse_filter("year >= 2004")) == 3
    assert found(store, "word", where=parse_filter("year > 3000")) == []


def test_a_filter_is_evaluated_once_for_each_different_metadata(path, monkeypatch):
    calls = []
    evaluate = snapshot.matches
    monkeypatch.setattr(snapshot, "matches", lambda tree, metadata: calls.append(1) or evaluate(tree, metadata))
    store = filled(path, *(row(f"word {at}", metadata={"lang": "en" if at % 2 else "de"}) for at in range(50)))
    for _ in range(3):
        assert len(found(store, "word", k=50, where=parse_filter('lang == "en"'))) == 25
    assert len(calls) == 2
    store.put([row("word more", metadata={"lang": "en"})], version=2)
    store.sync()
    assert store.count(parse_filter('lang == "en"')) == 26
    assert len(calls) == 3


def test_matching_terms_are_those_of_the_index_in_the_order_of_the_question(path):
    store = filled(path, row("Foxes were jumping", "1"), row("A lazy fox", "2"))
    assert store.matching_terms("the lazy jumps of a lazy fox", ["2", "nobody", "1"]) == [
        ("lazi", "fox"),
        (),
        ("jump", "fox"),
    ]


def test_repeated_terms_of_a_question_count_each_time(path):
    store = filled(path, row("alpha beta"), row("alpha"))
    once, twice = store.search_text(["beta", "beta beta"], k=1, where=None)
    assert twice[0].score == pytest.approx(2 * once[0].score, rel=1e-6)


def test_the_card_is_made_once_and_stamped_at_once(path):
    store = made(path)
    card = store.card()
    assert (len(card.uuid), card.owner, card.epoch, card.generation) == (32, "", 0, 1)
    store.put([row("alpha")], version=1)
    stamped = Card(card.uuid, "journal", 3, 2, {"space": "ä", "dims": 3, "x": None, "y": 0.5, "z": True})
    store.stamp(stamped)
    other = made(path)
    assert other.card() == stamped
    assert other.count() == 0
    store.sync()
    assert (other.card(), other.count()) == (stamped, 1)
    with pytest.raises(HookragError) as error:
        store.stamp(Card("another"))
    assert str(error.value) == f"{path}: its card has uuid {card.uuid}, got another: a card belongs to one store"


def test_another_analyzer_is_refused(path):
    filled(path, row("alpha"), analyzer="unicode").close()
    with pytest.raises(IdentityError) as error:
        made(path)
    assert str(error.value) == (
        f"{path} was made with analyzer = 'unicode', expected 'lucene-english': go back to it, or make the index anew with "
        "hookrag reindex PATH...; where the store has a `path`, give it another one and run hookrag index --rebuild NAME "
        "PATH..."
    )
    assert made(path, analyzer="unicode", k1=2.0, b=0.0, norms="lucene").count() == 1


def test_an_index_without_rows_takes_another_analyzer(path):
    store = filled(path, row("alpha"), analyzer="unicode")
    store.drop(["alpha"], version=2)
    store.sync()
    store.close()
    filled(path, row("the foxes"), analyzer="lucene-english").close()
    with pytest.raises(IdentityError, match="was made with analyzer = 'lucene-english', expected 'unicode'"):
        made(path, analyzer="unicode")
    assert found(made(path), "fox") == ["the foxes"]


def test_identity_names_the_analyzer_and_nothing_of_the_query(path):
    one = Lexical(chunker=Whole(), path=path).identity()
    assert one == Lexical(chunker=Whole(), path=path, k1=2.0, b=0.1, norms="lucene").identity()
    assert (one["analyzer"], one["analyzer_stemmer"]) == ("lucene-english", "porter")
    assert one["analyzer_stop_words"] == "33 words, 103998005f242e1e"
    assert one != Lexical(chunker=Whole(), path=path, analyzer="unicode").identity()


def test_constructor_refuses_what_it_cannot_do(path):
    class Dense(Sparse):
        outputs = ("multi", "dense")

    for settings, text in (
        ({"b": 7.0}, "b must be in [0, 1], got 7.0"),
        ({"b": float("nan")}, "b must be in [0, 1], got nan"),
        ({"k1": -0.1}, "k1 must be at least 0, got -0.1"),
        ({"k1": float("inf")}, "k1 must be a finite number, got inf"),
        (
            {"embedder": Dense()},
            "embedder must give sparse vectors, got one that gives dense, multi: keep those in another store",
        ),
    ):
        with pytest.raises(ValueError) as error:
            Lexical(chunker=Whole(), path=path, **settings)
        assert str(error.value) == text
    assert not path.exists()


def test_what_is_not_open_and_what_keeps_no_vectors_says_so(path):
    store = Lexical(chunker=Whole(), path=path)
    for call in (
        store.card,
        store.count,
        lambda: store.put([], version=1),
        lambda: store.search_text(["a"], k=1, where=None),
    ):
        with pytest.raises(HookragError) as error:
            call()
        assert str(error.value) == f"{path} is not open: call open() first"
    store.open()
    with pytest.raises(HookragError) as error:
        store.search_sparse(queries({1: 1.0}), k=1, where=None)
    assert str(error.value) == f"{path} keeps no sparse vectors: give the store an embedder of sparse vectors"
    assert store.text_kind == ScoreKind("bm25")


def test_a_document_goes_in_and_is_found_by_its_title(path):
    document = Document("a.md", "They hop.", "Hares & Rabbits", {"lang": "en"})
    [[chunk]] = Whole().chunk([document])
    store = filled(path, Row(chunk, "me", 1))
    [[hit]] = store.search_text(["rabbit"], k=3, where=parse_filter('lang == "en"'))
    assert hit.chunk == chunk


def test_scans_and_filters_go_through_pages(path, monkeypatch):
    monkeypatch.setattr(segment, "PAGE", 3)
    monkeypatch.setattr(snapshot, "PAGE", 3)
    store = filled(path, *(row(f"word {at}", metadata={"n": at}) for at in range(10)))
    store.drop(["word 4"], version=2)
    store.sync()
    assert [len(page) for page in store.scan()] == [3, 3, 3]
    assert store.count(parse_filter("n >= 3")) == 6


BULKY = {
    "long metadata": (20, lambda at: {"metadata": {"text": f"{at} " * 100_000}}),
    "much metadata": (1000, lambda at: {"metadata": {f"k{key}": f"v{at}-{key}" for key in range(40)}}),
    "nested metadata": (100, lambda at: {"metadata": {"list": [{"at": at + key} for key in range(500)]}}),
    "many chunks that it is made of": (
        100,
        lambda at: {"made_of": tuple(f"{at}-{number:08}" for number in range(500))},
    ),
    "texts": (1000, lambda at: {"context": f"{at} \U0001f600" * 500}),
}


@pytest.mark.parametrize("kind", BULKY)
def test_what_stays_in_memory_is_bounded_whatever_is_large(path, kind):
    count, more = BULKY[kind]
    rows = [Row(Chunk(str(at), "d", "word", 0, 4, **more(at)), "", 0) for at in range(count)]
    store = filled(path, *rows, cache_mb=1)
    assert len(found(store, "word", k=1)) == 1
    del rows
    gc.collect()
    tracemalloc.start()
    try:
        assert len(found(store, "word", k=1000)) == count
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1.2 * 2**20
    finally:
        tracemalloc.stop()


def test_new_terms_count_for_the_memory_that_rows_take():
    pending = PendingTerms(analyzer(["unicode-words"]), [Field("", 1.0, 0.4)], sparse=False)
    rows = [row(" ".join(f"w{at}x{number}" for number in range(20_000)), str(at)) for at in range(3)]
    tracemalloc.start()
    try:
        counted = sum(map(pending.take, rows))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / 3 < counted < taken


def test_metadata_that_would_come_back_changed_is_refused_beside_its_like_too(path):
    store = made(path)
    refused = store.put([row("a", metadata={"t": ["x"]}), row("b", metadata={"t": ("x",)})], version=1)
    assert refused == {
        "b": "its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings"
    }


def test_the_plugin_offers_the_store():
    module, _, name = plugin.stores()["lexical"].target.partition(":")
    assert getattr(importlib.import_module(module), name) is Lexical
