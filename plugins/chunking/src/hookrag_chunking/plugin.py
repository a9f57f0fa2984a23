"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def chunkers() -> Components:
    return {
        "words": Component("hookrag_chunking.chunkers:Words", "Windows of so many words, overlapping."),
        "sentences": Component("hookrag_chunking.chunkers:Sentences", "Whole sentences, packed up to so many words."),
        "document": Component("hookrag_chunking.chunkers:WholeDocument", "Each document as one chunk."),
        "parent-child": Component(
            "hookrag_chunking.chunkers:ParentChild", "Small chunks to find in large ones to read."
        ),
    }
