"""The chunkers that cut by words and sentences, or by other chunkers. A document of white space alone has no chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from hookrag import AtLeast, Chunk, Chunker, Document, checked, chunk_of

from hookrag_chunking.spans import WordSpans, packed, windows

Keep: TypeAlias = Annotated[
    Literal["children", "parents"],
    "what this one gives: the children, which name the parent they lie in, or the parents",
]


class Words:
    """Cuts documents into windows of `size` words, each beginning with the last `overlap` words of the one before."""

    version = 1

    @checked
    def __init__(
        self,
        *,
        size: Annotated[int, AtLeast(1), "words in a chunk"] = 200,
        overlap: Annotated[int, AtLeast(0), "words that a chunk repeats from the one before; fewer than `size`"] = 40,
    ) -> None:
        if overlap >= size:
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

    @checked
    def __init__(
        self,
        *,
        size: Annotated[
            int, AtLeast(1), "most words in a chunk of whole sentences; a longer sentence is cut between words"
        ] = 200,
        overlap: Annotated[
            int,
            AtLeast(0),
            "sentences that a chunk repeats from the one before, as far as there is room for a new one",
        ] = 1,
    ) -> None:
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

    @checked
    def __init__(
        self,
        *,
        keep: Keep,
        size: Annotated[int, AtLeast(1), "words in a parent"] = 400,
        child_size: Annotated[int, AtLeast(1), "words in a child; at most `size`"] = 100,
    ) -> None:
        if child_size > size:
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

    @checked
    def __init__(
        self,
        *,
        keep: Keep,
        parent: Annotated[Chunker, "cuts the documents"],
        child: Annotated[Chunker, "cuts each parent, as if it were a document with the parent's context for its title"],
    ) -> None:
        self.keep = keep
        self.parent = parent
        self.child = child

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        found = []
        for document, cut in zip(documents, self.parent.chunk(documents), strict=True):
            parents = [
                chunk_of(document, it.start, it.end, context=it.context, level="parent") for it in cut if not it.made_of
            ]
            found.append(parents if self.keep == "parents" else self._children(document, parents))
        return found

    def _children(self, document: Document, parents: Sequence[Chunk]) -> list[Chunk]:
        texts = [Document(parent.id, parent.text, parent.context) for parent in parents]
        found: dict[str, Chunk] = {}
        for parent, cut in zip(parents, self.child.chunk(texts), strict=True):
            for it in cut:
                if it.made_of:
                    continue
                start, end = parent.start + it.start, parent.start + it.end
                child = chunk_of(document, start, end, context=it.context, level="child", parent=parent.id)
                found.setdefault(child.id, child)  # where parents overlap, both may have it
        return sorted(found.values(), key=lambda child: child.start)


def _whole(document: Document) -> list[Chunk]:
    text = document.text.strip()
    if not text:
        return []
    start = len(document.text) - len(document.text.lstrip())
    return [chunk_of(document, start, start + len(text))]
