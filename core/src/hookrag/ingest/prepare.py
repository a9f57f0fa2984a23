"""What takes the time of an ingest: cutting documents and embedding texts, here or elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from hookrag.ingest.failures import bisected, refuses_document, refuses_text
from hookrag.ingest.stores import attempt
from hookrag.ingest.target import Target
from hookrag.protocols import Embedder
from hookrag.values import Chunk, Document, Output, Vectors

TEXTS_AT_ONCE = 256


class Preparer(Protocol):
    """Makes chunks of documents and vectors of texts for an ingest, which keeps the journal and the stores to itself.

    Documents, chunks, texts and vectors are plain values that can be pickled, a target names its store and an embedder of a
    pipeline its table (`step`): the work may be done by other processes or machines that have made the same components. `cut`
    is called in the ingest's thread, `embed` in one other thread, so that one batch is cut while another is embedded.

    Both yield parts of what they were given, in any order, as they are ready: some of it with the results in the same order,
    or a single one of it with the error that refuses it. Any other error that they raise stops the run.
    """

    def cut(
        self, target: Target, documents: Sequence[Document]
    ) -> Iterator[tuple[Sequence[Document], Sequence[Sequence[Chunk]] | Exception]]:
        """The chunks of the documents, by the chunker of the target's store."""

    def embed(
        self, embedder: Embedder, outputs: Collection[Output], texts: Sequence[str]
    ) -> Iterator[tuple[Sequence[str], Vectors | Exception]]:
        """The vectors of the texts, each of which is there once."""


class LocalPreparer:
    """Prepares in this process, with the components that the targets hold; what may pass is tried for `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience

    def cut(
        self, target: Target, documents: Sequence[Document]
    ) -> Iterator[tuple[Sequence[Document], Sequence[Sequence[Chunk]] | Exception]]:
        """All at once; where that is refused, in halves."""
        chunker, what = target.store.chunker, f"the chunker of {target} failed"

        def cut(some: Sequence[Document]) -> Sequence[Sequence[Chunk]]:
            return attempt(what, lambda: chunker.chunk(some), refuses_document, self._patience)

        return bisected(documents, cut, refuses_document)

    def embed(
        self, embedder: Embedder, outputs: Collection[Output], texts: Sequence[str]
    ) -> Iterator[tuple[Sequence[str], Vectors | Exception]]:
        """From the shortest text to the longest, for those of one length need no padding together."""

        def embed(some: Sequence[str]) -> Vectors:
            call = lambda: embedder.embed(some, role="document", outputs=outputs)  # noqa: E731
            return attempt("an embedder failed", call, refuses_text, self._patience)

        ordered = sorted(texts, key=len)
        for start in range(0, len(ordered), TEXTS_AT_ONCE):
            yield from bisected(ordered[start : start + TEXTS_AT_ONCE], embed, refuses_text)
