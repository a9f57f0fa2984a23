"""The kit's checks of a store: exact, and with graphs over a handful of rows."""

from __future__ import annotations

import pytest
from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import HashEmbedder, WordChunker
from hookrag_faiss import planning, search
from hookrag_faiss.store import Faiss


@pytest.fixture(autouse=True)
def graphs_of_few(monkeypatch):
    monkeypatch.setattr(planning, "ENOUGH_BYTES", 256)
    monkeypatch.setattr(search, "SCANNED", 0)


def flat(folder):
    return Faiss(chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index", index="FLAT")


def graph(folder):
    return Faiss(chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index")


def product(folder):
    return Faiss(chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index", metric="IP")


def distance(folder):
    return Faiss(chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index", metric="L2")


@parametrize_checks("store", flat, graph, product, distance)
def test_keeps_the_promises_of_a_store(check, make):
    check(make)
