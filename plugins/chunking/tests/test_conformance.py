from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag_chunking.chunkers import ParentChild, Sentences, WholeDocument, Words


@parametrize_checks(
    "chunker",
    Words,
    lambda: Words(size=3, overlap=2),
    Sentences,
    lambda: Sentences(size=5, overlap=2),
    WholeDocument,
    lambda: ParentChild(keep="children"),
    lambda: ParentChild(keep="parents", size=7, child_size=3),
)
def test_conformance(check, make):
    check(make)
