"""Every fake keeps the promises of its kind, and says where it does not."""

from __future__ import annotations

from hookrag.testing import filled, parametrize_checks
from hookrag.testing.fakes import (
    FirstHit,
    HashEmbedder,
    ListRetriever,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
    WordChunker,
)

FORGETS = "its rows and its card are in memory alone"


def memory(folder=None) -> MemoryStore:
    return MemoryStore(chunker=WordChunker(), embedder=HashEmbedder(), outputs=["dense", "sparse", "multi"])


@parametrize_checks("chunker", WordChunker, lambda: WordChunker(size=1), lambda: WordChunker(size=10_000))
def test_chunker(check, make):
    check(make)


@parametrize_checks("embedder", HashEmbedder, lambda: HashEmbedder(width=7, prefix="a "))
def test_embedder(check, make):
    check(make)


@parametrize_checks(
    "store",
    memory,
    expected_failures={"check_card_survives_reopening": FORGETS, "check_rows_survive_reopening": FORGETS},
)
def test_store(check, make):
    check(make)


@parametrize_checks("retriever", lambda: ListRetriever(texts=["one", "two", "three"]))
def test_retriever(check, make):
    check(make)


@parametrize_checks("fuser", RankFuser)
def test_fuser(check, make):
    check(make)


@parametrize_checks("reranker", OverlapReranker)
def test_reranker(check, make):
    check(make)


@parametrize_checks("llm", ScriptedLLM)
def test_llm(check, make):
    check(make)


@parametrize_checks("generator", FirstHit, lambda: FirstHit(status="unverified"))
def test_generator(check, make):
    check(make)


def test_a_filled_store_holds_the_documents_of_the_kit():
    store = filled(memory())
    assert store.count() == 12
