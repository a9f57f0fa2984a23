"""The columns that this store has besides those of every segment: vectors float32[n * d], norms float32[n], the fact `dim`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hookrag import ItemRejected, Row
from hookrag_segments.content import Columns
from hookrag_segments.files import Array, Layout
from hookrag_segments.live import LiveSegment
from hookrag_segments.merge import column, pieces_of
from hookrag_segments.segment import Segment
from hookrag_stores.vectors import Floats, Metric, dense_of, unwarned

MAX_DIM = 32_768


def layout(n: int, dim: int) -> Layout:
    """Types and counts of the columns."""
    return {"vectors": ("<f4", n * dim), "norms": ("<f4", n)}


def dim_of(segment: Segment) -> int:
    """How many numbers each vector has."""
    dim: int = segment.data.facts["dim"]
    return dim


def matrix(segment: Segment) -> Floats:
    """The vectors, float32[n, d], in the map."""
    return segment["vectors"].reshape(len(segment), dim_of(segment))


class PendingVectors:
    """The vectors of rows in memory; `dim` is that of the rows before them, None where there are none."""

    def __init__(self, dim: int | None, metric: Metric) -> None:
        self._dim = dim
        self._metric = metric
        self._vectors: list[Floats] = []

    def take(self, row: Row, /) -> int:
        """Keep the row's vector. Raises ItemRejected for one that has no scores, or is of another width."""
        if row.sparse is not None or row.multi is not None:
            raise ItemRejected(
                f"it has a {'multi' if row.sparse is None else 'sparse'} vector, which a faiss store does not keep"
            )
        with unwarned():
            vector = dense_of(row.dense, self._metric, most=MAX_DIM, dim=self._dim).copy()
        self._dim = len(vector)
        self._vectors.append(vector)
        return vector.nbytes

    def columns(self) -> Columns:
        """Both columns."""
        vectors = self._vectors
        dim = self._dim or 0

        def pieces() -> Iterator[tuple[str, Array]]:
            for start in range(0, len(vectors), 4096):
                block = np.stack(vectors[start : start + 4096])
                yield "vectors", block.reshape(-1)
                yield "norms", np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))

        return Columns(layout(len(vectors), dim), pieces(), {"dim": dim})


def merged(sources: Sequence[LiveSegment]) -> Columns:
    """The columns of the live rows of the sources, in their order."""
    dim = dim_of(sources[0].segment)

    def pieces() -> Iterator[tuple[str, Array]]:
        for source in sources:
            for first, stop in source.runs():
                for piece in pieces_of(source.segment, "vectors", first * dim, stop * dim):
                    yield "vectors", piece
            source.segment.data.forget()
        yield from column(sources, "norms")

    return Columns(layout(sum(len(source.live) for source in sources), dim), pieces(), {"dim": dim})
