"""The chunkers that cut by words and sentences, or by other chunkers. A document of white space alone has no chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hookrag import Chunk, Chunker, Document, chunk_of

from hookrag_chunking.spans import WordSpans, packed, windows


class Words:
    """Cuts documents into windows of `size` words, each beginning with the last `overlap` words of the one before."""

    version = 1

    def __init__(self, *, size: int = 200, overlap: int = 40) -> None:
        _check_size("size", size)
        if not 0 <= overlap < size:
            raise ValueError(f"overlap must be in [0, size), which is [0, {size}), got {overlap}")
        self.size = size
        self.overlap = overlap

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return [
            [chunk_of(it, *span) for span in windows(WordSpans(it.text), size=self.size, overlap=self.overlap)]
            for it in documents
        ]


class Sentences:
    """Cuts documents into whole sentences, as many as fit into `size` words; a longer sentence is cut between words.

    A chunk begins with the last `overlap` sentences of the one before, or as many of them as leave room for a new one.
    """

    version = 2

    def __init__(self, *, size: int = 200, overlap: int = 1) -> None:
        _check_size("size", size)
        if overlap < 0:
            raise ValueError(f"overlap must be 0 sentences or more, got {overlap}")
        self.size = size
        self.overlap = overlap

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return [
            [chunk_of(it, *span) for span in packed(it.text, size=self.size, overlap=self.overlap)] for it in documents
        ]


class WholeDocument:
    """Makes each document one chunk, without its outer white space."""

    version = 1

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return [_whole(document) for document in documents]


class ParentChild:
    """Cuts documents into parents of `size` words, and each into children of `child_size` words that name it.

    Gives the children, which are small enough to be found, or the parents, which are large enough to be read: a store for each,
    and the retriever `parents` lifts what it finds in the one to what the other holds. None of them overlap.
    """

    version = 1

    def __init__(self, *, keep: Literal["children", "parents"], size: int = 400, child_size: int = 100) -> None:
        _check_size("size", size)
        if not 1 <= child_size <= size:
            raise ValueError(f"child_size must be in [1, size], which is [1, {size}], got {child_size}")
        self.keep = keep
        self.size = size
        self.child_size = child_size

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        return [self._cut(document) for document in documents]

    def _cut(self, document: Document) -> list[Chunk]:
        found = WordSpans(document.text)
        chunks = []
        for first in range(0, len(found), self.size):
            inside = found[first : first + self.size]
            parent = chunk_of(document, inside[0][0], inside[-1][1], level="parent")
            if self.keep == "parents":
                chunks.append(parent)
                continue
            for span in windows(inside, size=self.child_size, overlap=0):
                chunks.append(chunk_of(document, *span, level="child", parent=parent.id))
        return chunks


class Nested:
    """Cuts documents into parents by one chunker, and each parent into children by another.

    Gives the children or the parents, as `parent-child` does. A child's context is its parent's; one that two parents have,
    because they overlap, belongs to the first.
    """

    version = 1

    def __init__(self, *, keep: Literal["children", "parents"], parent: Chunker, child: Chunker) -> None:
        self.keep = keep
        self.parent = parent
        self.child = child

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        found = []
        for document, cut in zip(documents, self.parent.chunk(documents), strict=True):
            parents = [
                chunk_of(document, it.start, it.end, context=it.context, level="parent") for it in cut if not it.sources
            ]
            found.append(parents if self.keep == "parents" else self._children(document, parents))
        return found

    def _children(self, document: Document, parents: Sequence[Chunk]) -> list[Chunk]:
        texts = [Document(parent.id, parent.text, parent.context) for parent in parents]
        found: dict[str, Chunk] = {}
        for parent, cut in zip(parents, self.child.chunk(texts), strict=True):
            for it in cut:
                if it.sources:
                    continue
                start, end = parent.start + it.start, parent.start + it.end
                child = chunk_of(document, start, end, context=it.context, level="child", parent=parent.id)
                found.setdefault(child.id, child)  # where parents overlap, both may have it
        return sorted(found.values(), key=lambda child: child.start)


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name} must be 1 word or more, got {size}")


def _whole(document: Document) -> list[Chunk]:
    text = document.text.strip()
    if not text:
        return []
    start = len(document.text) - len(document.text.lstrip())
    return [chunk_of(document, start, start + len(text))]
