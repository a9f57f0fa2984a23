"""The kit's checks of a store, with either analyzer and either kind of lengths."""

from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import HashEmbedder, WordChunker
from hookrag_lexical.store import Lexical


def english(folder):
    return Lexical(chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index")


def general(folder):
    return Lexical(
        chunker=WordChunker(), embedder=HashEmbedder(), path=folder / "index", analyzer="unicode", norms="lucene"
    )


@parametrize_checks("store", english, general)
def test_keeps_the_promises_of_a_store(check, make):
    check(make)
