"""Stores that break one promise each: variations of one that keeps its rows in a file."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hookrag import Card, Chunker, Embedder, best, chunk_of
from hookrag.filters import matches
from hookrag.testing import checks, run_checks
from hookrag.testing.fakes import HashEmbedder, MemoryStore, WordChunker

REST = ("search_sparse", "search_text", "search_multi")


class FileStore(MemoryStore):
    """`MemoryStore` with a file."""

    def __init__(self, *, chunker: Chunker, embedder: Embedder, folder: Path) -> None:
        super().__init__(chunker=chunker, embedder=embedder, outputs=["dense", "sparse", "multi"])
        self.folder = folder

    def open(self) -> None:
        if self._file.exists():
            self._card, self.rows = pickle.loads(self._file.read_bytes())

    def close(self) -> None:
        self.sync()

    def stamp(self, card) -> None:
        super().stamp(card)
        self.sync()

    def sync(self) -> None:
        if self.folder.exists():
            self._file.write_bytes(pickle.dumps((self._card, self.rows)))

    @property
    def _file(self) -> Path:
        return self.folder / "rows"


def make(cls):
    return lambda folder: cls(chunker=WordChunker(), embedder=HashEmbedder(), folder=folder)


class ForgetsItsCard(FileStore):
    def open(self) -> None:
        uuid = self._card.uuid
        super().open()
        self._card = Card(uuid)


class SharesItsName(FileStore):
    def card(self):
        return replace(super().card(), uuid="the store")

    def stamp(self, card) -> None:
        super().stamp(replace(card, uuid="the store"))


class IsBornOwned(FileStore):
    def card(self):
        card = super().card()
        return card if card.owner else replace(card, owner="me")


class StampsHalf(FileStore):
    def stamp(self, card) -> None:
        super().stamp(replace(card, generation=1))


class KeepsOnlyMemory(FileStore):
    def sync(self) -> None:
        if self.folder.exists():
            self._file.write_bytes(pickle.dumps((self._card, {})))


class RefusesTwice(FileStore):
    def put(self, rows, *, version):
        there = {row.chunk.id: "exists" for row in rows if row.chunk.id in self.rows}
        super().put(rows, version=version)
        return there


class DropsForGood(FileStore):
    def drop(self, chunk_ids, *, version):
        super().drop(chunk_ids, version=version)
        self.dropped = {*getattr(self, "dropped", ()), *chunk_ids}

    def put(self, rows, *, version):
        kept = [row for row in rows if row.chunk.id not in getattr(self, "dropped", ())]
        return super().put(kept, version=version)


class DropsStrictly(FileStore):
    def drop(self, chunk_ids, *, version):
        for name in chunk_ids:
            if name == "f" * 32:
                raise KeyError(name)
        super().drop(chunk_ids, version=version)


class ScansAPage(FileStore):
    def scan(self):
        yield from list(super().scan())[:10]


class KeepsUnsignedChecks(FileStore):
    def scan(self):
        for page in super().scan():
            yield [replace(key, check=key.check % 2**64) for key in page]


class ShowsVectors(FileStore):
    def fetch(self, chunk_ids, *, vectors=False):
        found = super().fetch(chunk_ids, vectors=vectors)
        if vectors or len(found) != 1 or found[0] is None:
            return found
        return [replace(found[0], dense=np.zeros(64, np.float32))]


class RoundsVectors(FileStore):
    def fetch(self, chunk_ids, *, vectors=False):
        found = super().fetch(chunk_ids, vectors=vectors)
        return [replace(row, dense=row.dense.round(1)) if row and row.dense is not None else row for row in found]


class LosesNul(FileStore):
    def fetch(self, chunk_ids, *, vectors=False):
        found = super().fetch(chunk_ids, vectors=vectors)
        return [
            row and replace(row, chunk=replace(row.chunk, text=row.chunk.text.replace("\x00", ""))) for row in found
        ]


class LosesParents(FileStore):
    def fetch(self, chunk_ids, *, vectors=False):
        found = super().fetch(chunk_ids, vectors=vectors)
        return [row and replace(row, chunk=replace(row.chunk, parent=None)) for row in found]


class MatchesPrefixes(FileStore):
    def drop(self, chunk_ids, *, version):
        gone = [name for name in self.rows if any(one in ("*", "") or name == one for one in chunk_ids)]
        super().drop(gone, version=version)


class CountsMissing(FileStore):
    def count(self, where=None):
        if where is None:
            return len(self.rows)
        return sum(
            matches(where, row.chunk.metadata) or ("!=" in repr(where) and not row.chunk.metadata)
            for row in self.rows.values()
        )


class FoldsCase(FileStore):
    def count(self, where=None):
        if where is None or getattr(where, "value", None) != "En":
            return super().count(where)
        return 6


class GivesViews(FileStore):
    def fetch(self, chunk_ids, *, vectors=False):
        self.given = super().fetch(chunk_ids, vectors=vectors)
        if vectors:
            self.given = [
                replace(row, dense=row.dense.copy()) if row and row.dense is not None else row for row in self.given
            ]
        return self.given

    def put(self, rows, *, version):
        if version == 3:
            for row in getattr(self, "given", ()):
                if row is not None and row.dense is not None:
                    row.dense[:] = 0
        return super().put(rows, version=version)


class MapsCosine(FileStore):
    def search_dense(self, vectors, *, k, where):
        found = super().search_dense(vectors, k=k, where=where)
        return [[replace(hit, score=(1 + hit.score) / 2) for hit in hits] for hits in found]


class FiltersAfterwards(FileStore):
    def search_text(self, texts, *, k, where):
        found = super().search_text(texts, k=k, where=None)
        return [[hit for hit in hits if where is None or matches(where, hit.chunk.metadata)] for hits in found]


class CutsTiesAnyhow(FileStore):
    def search_sparse(self, vectors, *, k, where):
        found = super().search_sparse(vectors, k=1_000, where=where)
        kept = [sorted(hits, key=lambda hit: (-hit.score, -int(hit.chunk.id, 16)))[:k] for hits in found]
        return [list(best(hits, k)) for hits in kept]


class NeedsManyRows(FileStore):
    def search_multi(self, vectors, *, k, where):
        if k > len(self.rows) > 0 and k < 100:
            raise ValueError(f"k = {k} exceeds {len(self.rows)}")
        return super().search_multi(vectors, k=k, where=where)


class SearchesASnapshot(FileStore):
    def search_text(self, texts, *, k, where):
        now, self.snapshot = self.rows, getattr(self, "snapshot", None) or dict(self.rows)
        self.rows = {name: row for name, row in self.snapshot.items() if name in now}
        try:
            return super().search_text(texts, k=k, where=where)
        finally:
            self.rows = now


class FindsEverything(FileStore):
    def search_text(self, texts, *, k, where):
        found = super().search_text(texts, k=k, where=where)
        everything = list(
            best(
                (
                    replace(hit, score=1.0)
                    for hit in super(FileStore, self).search_dense(np.ones((1, 64), np.float32), k=k, where=where)[0]
                ),
                k,
            )
        )
        return [hits or everything if not text.strip() else hits for text, hits in zip(texts, found, strict=True)]


class LosesContext(FileStore):
    def search_dense(self, vectors, *, k, where):
        found = super().search_dense(vectors, k=k, where=where)
        return [[replace(hit, chunk=replace(hit.chunk, context="")) for hit in hits] for hits in found]


class NeedsAQuery(FileStore):
    def search_text(self, texts, *, k, where):
        if any('"zeppelin" AND' in text for text in texts):
            raise SyntaxError("unbalanced parenthesis")
        return super().search_text(texts, k=k, where=where)


class ReadsTheBatch(FileStore):
    def search_dense(self, vectors, *, k, where):
        found = super().search_dense(vectors, k=k, where=where)
        return found if len(found) == 1 else [found[0], *found[1:-1], found[-1][:-1] if k == 5 else found[-1]]


BAD = [
    (ForgetsItsCard, ["check_card_survives_reopening"], "stamp() saves durably before it returns"),
    (SharesItsName, ["check_two_stores_have_two_uuids"], "has the uuid of another store"),
    (IsBornOwned, ["check_new_store_has_a_card"], "is new and has the owner 'me'"),
    (StampsHalf, ["check_stamp_changes_the_card", "check_card_survives_reopening"], "card.generation is 2 and 1"),
    (
        KeepsOnlyMemory,
        ["check_rows_survive_reopening", "check_works_again_after_close"],
        "does not have a row after it is opened again",
    ),
    (RefusesTwice, ["check_put_is_idempotent"], "a row that is there already is a success"),
    (DropsForGood, ["check_dropped_rows_can_be_put_again"], "that was dropped and put again"),
    (DropsStrictly, ["check_dropped_rows_are_gone"], "failed in drop: KeyError"),
    (ScansAPage, ["check_scan_tells_every_row_once"], "scans 1000 keys of 1000 rows where there are 1100"),
    (KeepsUnsignedChecks, ["check_scan_tells_every_row_once"], "check is a signed integer of 64 bits"),
    (
        ShowsVectors,
        ["check_fetch_gives_vectors_when_asked"],
        "gives ['dense'] vectors unasked: None for vectors unless fetch(..., vectors=True)",
    ),
    (
        RoundsVectors,
        ["check_fetch_gives_vectors_when_asked", "check_rows_survive_reopening"],
        "gives another row from fetch(vectors=True) than was put: row.dense differs by up to 0.0",
    ),
    (LosesNul, ["check_odd_rows_are_kept_or_refused"], "than was put: row.chunk.text"),
    (LosesParents, ["check_rows_are_fetched_whole"], "than was put: row.chunk.parent"),
    (MatchesPrefixes, ["check_odd_ids_find_nothing"], "pass ids as parameters, never inside an expression"),
    (
        CountsMissing,
        ["check_count_obeys_filters", "check_count_obeys_odd_filters"],
        'for the filter lang != "en", which 6 match',
    ),
    (FoldsCase, ["check_count_obeys_odd_filters"], 'counts 6 rows for the filter lang == "En", which 0 match'),
    (GivesViews, ["check_fetched_rows_may_be_kept"], "give copies, not views of its own memory"),
    (MapsCosine, ["check_search_dense_is_exact"], "return mathematical scores, and search exactly or declare"),
    (FiltersAfterwards, ["check_search_text_obeys_filters"], "filter before taking the k best, not after"),
    (
        CutsTiesAnyhow,
        ["check_search_sparse_cuts_ties_by_id", "check_search_sparse_keeps_the_smaller_k"],
        "before cutting to k: hookrag.best()",
    ),
    (NeedsManyRows, ["check_search_multi_keeps_the_smaller_k"], "ValueError: k = 62 exceeds 12"),
    (
        SearchesASnapshot,
        ["check_search_text_sees_what_was_synced"],
        "does not find a new row in search_text after sync()",
    ),
    (FindsEverything, ["check_search_text_takes_odd_queries"], "only rows that share a term with the query"),
    (LosesContext, ["check_search_dense_gives_whole_chunks"], "gives another chunk in search_dense than was put"),
    (NeedsAQuery, ["check_search_text_takes_odd_queries"], "SyntaxError: unbalanced parenthesis"),
    (ReadsTheBatch, ["check_search_dense_answers_each_query_alone", "check_search_dense_is_exact"], "finds other rows"),
]


@pytest.mark.parametrize(("cls", "names", "text"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_store_fails_the_check_it_should(fails, cls, names, text):
    fails("store", make(cls), names, text)


def test_the_store_that_the_bad_ones_vary_passes_everything():
    results = run_checks("store", make(FileStore))
    assert {(result.outcome, result.message) for result in results} == {("passed", "")}


KEPT = ("card", "stamp", "put", "drop", "sync", "scan", "fetch", "count", "_matching", "open", "close", "_file")


def only(*searches):
    """A class with these searches of the store and none besides."""
    names = (*KEPT, "__init__", *searches)
    found = {name: FileStore.__dict__.get(name) or MemoryStore.__dict__[name] for name in names}

    def constructor(self, *, chunker: Chunker, embedder: Embedder, folder: Path) -> None:
        self.chunker, self.embedder, self.folder = chunker, embedder, folder
        self.embedders = dict.fromkeys(("dense", "sparse", "multi"), embedder)
        self.rows, self._card = {}, Card(str(id(self)))

    def stamp(self, card) -> None:
        self._card = card
        self.sync()

    return type("Only", (), found | {"__init__": constructor, "stamp": stamp, "__module__": __name__})


def test_a_store_without_a_search_passes_by_lacking_it():
    cls = only("search_dense", "dense_kind")
    results = run_checks("store", make(cls))
    assert {result.outcome for result in results} == {"passed"}
    notes = {result.check: result.message for result in results if result.message}
    assert notes == {
        check.__name__: f"it has no {name}()"
        for check in checks("store")
        for name in REST
        if check.__name__.startswith(f"check_{name}_")
    }


def test_a_search_on_the_object_alone_fails(fails):
    cls = only("search_dense", "dense_kind")

    class Hidden(cls):
        def __init__(self, *, chunker: Chunker, embedder: Embedder, folder: Path) -> None:
            super().__init__(chunker=chunker, embedder=embedder, folder=folder)
            self.search_text = lambda texts, *, k, where: [[] for _ in texts]

    names = [check.__name__ for check in checks("store") if check.__name__.startswith("check_search_text_")]
    fails("store", make(Hidden), names, "has search_text on the object alone, which no pipeline sees")


def test_a_search_without_an_embedder_is_not_passed_over():
    results = run_checks("store", lambda folder: MemoryStore(chunker=WordChunker()))
    failed = {result.check: result.message for result in results if result.outcome == "failed"}
    assert failed["check_search_dense_is_exact"] == (
        "MemoryStore has search_dense() and was made without an embedder for dense vectors: "
        "give make() one, hookrag.testing.fakes.HashEmbedder(): what is offered is checked"
    )
    assert not any("search_text" in name for name in failed)


def test_rows_of_the_kit_are_named_by_their_content():
    from hookrag.testing.samples import chunks, documents

    document = documents()[0]
    assert chunks()[0] == chunk_of(document, 0, len(document.text))
