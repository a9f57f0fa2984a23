"""The core's own components keep the promises that it asks of others."""

from __future__ import annotations

from pathlib import Path

from hookrag import chunk_of
from hookrag.components import readers
from hookrag.components.fused import Fused
from hookrag.components.middleware import Budget, Cache, Redact, Retry
from hookrag.components.parents import Parents
from hookrag.components.reranked import Reranked
from hookrag.components.search import Dense, Sparse, Text
from hookrag.testing import documents, filled, parametrize_checks
from hookrag.testing.fakes import HashEmbedder, MemoryStore, OverlapReranker, RankFuser, WordChunker
from hookrag.testing.samples import put


def store() -> MemoryStore:
    made = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder(), outputs=["dense", "sparse", "multi"])
    return filled(made)


def fused(**options) -> Fused:
    common = store()
    return Fused(
        retrievers=[Dense(store=common), Sparse(store=common), Text(store=common)], fuser=RankFuser(), **options
    )


def reranked() -> Reranked:
    return Reranked(retriever=fused(), reranker=OverlapReranker())


def parents(depth: int = 50) -> Parents:
    children = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    larger = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    for document in documents():
        whole = chunk_of(document, 0, len(document.text), level="parent")
        put(larger, [whole])
        middle = len(document.text) // 2
        for start, end in ((0, middle), (middle, len(document.text))):
            put(children, [chunk_of(document, start, end, level="child", parent=whole.id)])
    return Parents(retriever=Dense(store=children), store=larger, depth=depth)


@parametrize_checks(
    "retriever",
    lambda: Dense(store=store()),
    lambda: Dense(store=store(), embedder=HashEmbedder()),
    lambda: Sparse(store=store()),
    lambda: Text(store=store()),
)
def test_search(check, make):
    check(make)


@parametrize_checks("retriever", fused, lambda: fused(on_error="skip", depth=5), reranked)
def test_fused_and_reranked(check, make):
    check(make)


@parametrize_checks("retriever", parents, lambda: parents(depth=1))
def test_parents(check, make):
    check(make)


@parametrize_checks(
    "middleware",
    Retry,
    Cache,
    lambda: Cache(size=3),
    lambda: Budget(calls=10_000),
    lambda: Budget(tokens=1_000_000, per="process"),
    lambda: Redact(patterns=[r"\d{16}"]),
)
def test_middleware(check, make):
    check(make)


@parametrize_checks("reader", lambda folder: readers.Text(), lambda folder: readers.Markdown())
def test_readers_of_texts(check, make):
    check(make)


OWN_IDS = {"check_ids_begin_with_the_files": "a record is known by its own id, because judgements name it"}


@parametrize_checks(
    "reader", lambda folder: readers.JsonLines(), lambda folder: readers.Csv(), expected_failures=OWN_IDS
)
def test_readers_of_records(check, make):
    check(make)


def nameless_lines(folder: Path) -> readers.JsonLines:
    (folder / "lines.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    return readers.JsonLines()


def nameless_rows(folder: Path) -> readers.Csv:
    (folder / "rows.csv").write_text("text,year\none,1999\ntwo,2000\n")
    return readers.Csv()


@parametrize_checks("reader", nameless_lines, nameless_rows)
def test_readers_of_records_without_ids(check, make):
    check(make)
