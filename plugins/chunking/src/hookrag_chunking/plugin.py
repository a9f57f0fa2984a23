"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def chunkers() -> Components:
    return {
        "words": Component("hookrag_chunking.chunkers:Words", "Windows of so many words, overlapping."),
        "characters": Component(
            "hookrag_chunking.measured:FixedCharacters", "Windows of so many characters, overlapping."
        ),
        "tokens": Component(
            "hookrag_chunking.measured:FixedTokens", "Windows of the embedder's tokens, as many as it reads."
        ),
        "recursive": Component(
            "hookrag_chunking.measured:Recursive", "By separators, the coarsest first, up to a size."
        ),
        "sections": Component(
            "hookrag_chunking.measured:Sections", "Markdown and HTML by headings, with their path as context."
        ),
        "semantic": Component("hookrag_chunking.semantic:Semantic", "Between sentences whose vectors are far apart."),
        "sentences": Component("hookrag_chunking.chunkers:Sentences", "Whole sentences, packed up to so many words."),
        "document": Component("hookrag_chunking.chunkers:WholeDocument", "Each document as one chunk."),
        "parent-child": Component(
            "hookrag_chunking.chunkers:ParentChild", "Small chunks to find in large ones to read."
        ),
        "nested": Component("hookrag_chunking.chunkers:Nested", "The same, cut by any two other chunkers."),
    }
