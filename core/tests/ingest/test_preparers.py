"""Batches prepared by something else than the ingest itself: in other processes, or in another order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import pytest
from hookrag import Document, ItemRejected, Vectors
from hookrag.ingest import IngestStopped, Item, Preparer
from hookrag.ingest.prepare import LocalPreparer
from hookrag.protocols import Chunker, Embedder
from hookrag.values import Chunk

from .fakes import FakeStore, Letters, Words, run, target

OLD = [(f"d{n:02}", f"line {n}\n{'abcdefgh'[n % 8] * (n % 7)}\nthe same") for n in range(40)]
NEW = [*((id, f"first\n{text}" if n % 3 else text) for n, (id, text) in enumerate(OLD[5:])), ("e", "new\nthe same")]
FAILING = [("bad", "one\nBAD"), ("poison", "one\nPOISON"), ("refused", "no")]


def cut_there(chunker: Chunker, document: Document) -> list[Chunk] | str:
    try:
        return list(chunker.chunk([document])[0])
    except ValueError as error:
        return str(error)


def embedded_there(embedder: Embedder, outputs: list, text: str) -> Vectors | str:
    try:
        return embedder.embed([text], role="document", outputs=outputs)
    except ItemRejected as error:
        return str(error)


class Elsewhere:
    """Each document and each text is a task of a process of its own, and comes back whenever it is ready."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool
        self.tasks = 0

    def cut(self, target, documents):
        tasks = {self.pool.submit(cut_there, target.store.chunker, one): one for one in documents}
        return self.ready(tasks, lambda chunks: [chunks])

    def embed(self, embedder, outputs, texts):
        tasks = {self.pool.submit(embedded_there, embedder, list(outputs), one): one for one in texts}
        return self.ready(tasks, lambda vectors: vectors)

    def ready(self, tasks: dict, made: Callable) -> Iterator[tuple]:
        for done in as_completed(tasks):
            self.tasks += 1
            result = done.result()
            yield [tasks[done]], ItemRejected(result) if isinstance(result, str) else made(result)


class Backwards(LocalPreparer):
    """From the last document to the first, and from the longest text to the shortest, in threes."""

    def cut(self, target, documents):
        return super().cut(target, documents[::-1])

    def embed(self, embedder, outputs, texts):
        ordered = sorted(texts, key=len, reverse=True)
        for start in range(0, len(ordered), 3):
            yield from super().embed(embedder, outputs, ordered[start : start + 3])


class Store(FakeStore):
    """Two of these share an embedder: one has its dense vectors alone."""

    def __init__(self, name: str, outputs: tuple[str, ...]) -> None:
        super().__init__(name, chunker=Words(), embedders=dict.fromkeys(outputs, Letters()))
        self.refuses = lambda row: "it says no" if row.chunk.text == "no" else ""


def indexed(folder, preparer: Preparer | None) -> list:
    """What the stores and the reports hold after documents were new, changed and gone, some of them failing."""
    stores = [Store("terms", ()), Store("dense", ("dense",)), Store("both", ("dense", "sparse"))]
    told = []
    files = [Item("file", "1", lambda: iter([Document("file#1", "x\ny"), Document("file#2", "y\nBAD")]), "file")]
    for documents in (OLD, [*NEW, *FAILING, *files], NEW):
        report = run(folder, stores, documents, prune=True, preparer=preparer, batch_bytes=200)
        seconds = {"seconds": {}, "failed": sorted(one.id for one in report.failed)}
        told.append({**report.to_json(), **seconds})
    journal = run(folder, stores, NEW, preparer=preparer)
    assert (journal.unchanged, journal.new, journal.changed) == (len(NEW), 0, 0)
    return [[sorted((row.chunk.id, row.check) for row in store.rows.values()) for store in stores], told]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list:
    rows, reports = indexed(tmp_path_factory.mktemp("local"), None)
    assert all(rows)
    assert reports[1]["failed"] == ["bad", "file#2", "poison", "refused"]
    assert reports[1]["reused"] > 0
    assert reports[1]["changed"] > 0 < reports[1]["removed"]
    return [rows, reports]


def test_rows_prepared_in_other_processes_are_the_same(tmp_path, expected, monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(pytestconfig.rootpath)  # where they find this module
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        preparer = Elsewhere(pool)
        assert indexed(tmp_path, preparer) == expected
    assert preparer.tasks > 100


def test_rows_prepared_in_another_order_are_the_same(tmp_path, expected):
    assert indexed(tmp_path, Backwards(0.3)) == expected


class Forgetful(LocalPreparer):
    def __init__(self, what: str) -> None:
        super().__init__(0.1)
        self.what = what

    def cut(self, target, documents):
        return super().cut(target, documents[:-1] if self.what == "cut" else documents)

    def embed(self, embedder, outputs, texts):
        return super().embed(embedder, outputs, texts[:-1] if self.what == "embed" else texts)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", "Forgetful.cut gave neither chunks nor an error for 'b'"),
        ("embed", "Forgetful.embed gave neither vectors nor an error for a text of 'b'"),
    ],
)
def test_a_preparer_that_forgets_something_stops_the_run_and_nothing_is_taken_for_empty(tmp_path, what, message):
    store = Store("dense", ("dense",))
    documents = [("a", "one"), ("b", "two")]
    with pytest.raises(IngestStopped) as stopped:
        run(tmp_path, [store], documents, targets=[target(store)], preparer=Forgetful(what))
    assert str(stopped.value).startswith(f"{message}\n")
    assert store.rows == {}
    assert run(tmp_path, [store], documents).new == 2
