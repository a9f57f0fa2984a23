"""The chunker `semantic`: cuts where an embedder finds that the text turns to something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Annotated

import numpy as np
from hookrag import AtLeast, Chunk, Document, Embedder, checked, chunk_of
from numpy.typing import NDArray

from hookrag_chunking.breakpoints import AMOUNTS, ThresholdName, breakpoints, distances
from hookrag_chunking.spans import Piece, Span, joined, sentence_pieces

_TEXTS = 2048


class Semantic:
    """Cuts documents between sentences whose vectors are far apart, and joins the others.

    Each sentence is embedded with `buffer` sentences on either side, those of all documents together; there is a cut where the
    cosine distance to the next exceeds a threshold within the document: see `breakpoints`. A chunk of fewer than `min_size`
    words is joined with the next one, the last with the one before, where both fit into `size` words; one of more than `size`
    words is cut between sentences, a longer sentence between words.
    """

    version = 2

    @checked
    def __init__(
        self,
        *,
        embedder: Annotated[Embedder, "gives the vectors of sentences"],
        threshold: Annotated[ThresholdName, "how the distance at which to cut is found in a document"] = "percentile",
        amount: Annotated[
            float | None, "of the threshold; without it 95, 3, 1.5 and 95 for the four thresholds in their order"
        ] = None,
        buffer: Annotated[int, AtLeast(0), "sentences on either side that are embedded with each"] = 1,
        min_size: Annotated[
            int, AtLeast(0), "a chunk of fewer words is joined with a neighbour where both fit into `size`"
        ] = 0,
        size: Annotated[int, AtLeast(1), "most words in a chunk; a longer one is cut between sentences"] = 400,
    ) -> None:
        if amount is not None and threshold in ("percentile", "gradient") and not 0 <= amount <= 100:
            raise ValueError(f'amount must be in [0, 100] for threshold = "{threshold}", got {amount}')
        if min_size > size:
            raise ValueError(f"min_size must be in [0, size], which is [0, {size}], got {min_size}")
        if "dense" not in embedder.outputs:
            given = ", ".join(sorted(embedder.outputs))
            raise ValueError(f"embedder must give dense vectors, got one that gives {given}")
        self.embedder = embedder
        self.threshold: ThresholdName = threshold
        self.amount = amount
        self.buffer = buffer
        self.min_size = min_size
        self.size = size

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        pieces = [sentence_pieces(document.text, self.size) for document in documents]
        found = self._distances(documents, pieces)
        return [
            [chunk_of(document, *span) for span in self._spans(of_one, far)]
            for document, of_one, far in zip(documents, pieces, found, strict=True)
        ]

    def _distances(self, documents: Sequence[Document], pieces: Sequence[Sequence[Piece]]) -> list[NDArray[np.float64]]:
        """Of each document, the distance of each piece from the next; only a few vectors are kept at a time."""
        found: list[list[NDArray[np.float64]]] = [[] for _ in documents]
        last: dict[int, NDArray[np.float32]] = {}
        windows = self._windows(documents, pieces)
        while batch := list(islice(windows, _TEXTS)):
            vectors = self.embedder.embed([text for _, text in batch], role="document", outputs={"dense"}).dense
            assert vectors is not None
            at = 0
            for number, group in groupby(batch, key=lambda one: one[0]):
                rows = vectors[at : at + len(list(group))]
                at += len(rows)
                known = np.concatenate([last.pop(number), rows]) if number in last else rows
                found[number].append(distances(known))
                last[number] = rows[-1:].copy()
        return [np.concatenate(rows) if rows else np.zeros(0) for rows in found]

    def _windows(self, documents: Sequence[Document], pieces: Sequence[Sequence[Piece]]) -> Iterator[tuple[int, str]]:
        for number, (document, of_one) in enumerate(zip(documents, pieces, strict=True)):
            if len(of_one) < 2:
                continue  # nothing to compare
            for place in range(len(of_one)):
                first = of_one[max(place - self.buffer, 0)]
                last = of_one[min(place + self.buffer, len(of_one) - 1)]
                yield number, document.text[first[0] : last[1]]

    def _spans(self, pieces: Sequence[Piece], far: NDArray[np.float64]) -> Iterator[Span]:
        amount = AMOUNTS[self.threshold] if self.amount is None else self.amount
        ends = [place + 1 for place in breakpoints(far, self.threshold, amount)] + [len(pieces)]
        start = 0
        for end in merged(pieces, ends, self.min_size, self.size):
            yield from joined(pieces[start:end], size=self.size, overlap=0)
            start = end


def merged(pieces: Sequence[Piece], ends: Sequence[int], least: int, most: int) -> list[int]:
    """Where the groups that end before these pieces end after joining those of fewer than `least` words.

    One is joined with the next, the last with the one before, as long as both have at most `most` words together.

    >>> merged([(0, 1, 1), (2, 3, 1), (4, 9, 3), (10, 11, 1)], [1, 2, 3, 4], 2, 4)
    [2, 4]
    """
    found: list[tuple[int, int]] = []  # where the group ends, its words
    start = 0
    for end in ends:
        count = sum(words for _, _, words in pieces[start:end])
        small = bool(found) and (found[-1][1] < least or (end == len(pieces) and count < least))
        if small and found[-1][1] + count <= most:
            found[-1] = end, found[-1][1] + count
        else:
            found.append((end, count))
        start = end
    return [end for end, _ in found]
