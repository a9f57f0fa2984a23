from __future__ import annotations

import re

from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import HashEmbedder
from hookrag_chunking.chunkers import Nested, ParentChild, Sentences, WholeDocument, Words
from hookrag_chunking.measured import FixedCharacters, FixedTokens, Recursive, Sections
from hookrag_chunking.semantic import Semantic


class WordTokens(HashEmbedder):
    """Reads 64 tokens: words of up to five characters, and whatever else there is."""

    def room(self, role):
        return 64

    def tokens(self, texts):
        return [[found.span() for found in re.finditer(r"\w{1,5}|\S", text)] for text in texts]


@parametrize_checks(
    "chunker",
    Words,
    lambda: Words(size=3, overlap=2),
    FixedCharacters,
    lambda: FixedTokens(embedder=WordTokens()),
    Recursive,
    lambda: Recursive(embedder=WordTokens(), units="tokens", size=20, overlap=5),
    lambda: Sections(size=30, overlap=5),
    lambda: Semantic(embedder=HashEmbedder(), min_size=20),
    Sentences,
    lambda: Sentences(size=5, overlap=2),
    WholeDocument,
    lambda: ParentChild(keep="children"),
    lambda: ParentChild(keep="parents", size=7, child_size=3),
    lambda: Nested(keep="children", parent=Sections(), child=Sentences(size=20)),
    lambda: Nested(keep="parents", parent=Sections(), child=Sentences(size=20)),
)
def test_conformance(check, make):
    check(make)
