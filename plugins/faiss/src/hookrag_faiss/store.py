"""The store `faiss`: dense vectors in files of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from hookrag import Between, Card, Chunker, Embedder, Filter, Hit, HookragError, Row, RowKey, ScoreKind, checked
from hookrag_segments.index import Index
from hookrag_stores.settings import check_gives
from hookrag_stores.vectors import KINDS, Metric, queries_of
from numpy.typing import NDArray

from hookrag_faiss.content import Vectors
from hookrag_faiss.search import Searches


class Faiss:
    """Finds the nearest dense vectors, in files under `path` that searches map into memory and never load whole.

    `index = "FLAT"` compares every vector. "HNSW" does so where they are few and searches graphs where they are many: it looks
    at max(ef, 2 k) rows of a graph, more under a filter, and compares every vector that matches where those are few or the
    graph finds fewer than min(k, matching rows). Scores are always exact, and equal ones are ordered by chunk id.

    `ef` and `index` may change at any time; `m` and `ef_construction` hold for the graphs that are built from then on. Another
    `metric` needs the rows to be indexed again.

    One process writes at a time; any number read, without a lock, and see each commit whole. What `sync` acknowledged
    survives a kill and a power cut. `fetch`, `scan`, `count` and searches see what was synced.
    """

    version = 1
    fenced = True  # there is no server that a late write could reach

    @checked
    def __init__(
        self,
        *,
        chunker: Annotated[Chunker, "cuts the documents"],
        embedder: Annotated[Embedder, "gives the dense vectors that are kept"],
        path: Annotated[Path, "a folder that belongs to this store"],
        metric: Annotated[
            Metric,
            "`IP` is the inner product, and of `L2` scores are negated squared distances; another one means indexing again",
        ] = "COSINE",
        index: Annotated[Literal["FLAT", "HNSW"], "`FLAT` compares every vector, always"] = "HNSW",
        m: Annotated[int, Between(2, 2_048), "neighbours of a row in the graphs that are built from now on"] = 16,
        ef_construction: Annotated[int, Between(8, 32_768), "rows that are looked at while they are built"] = 200,
        ef: Annotated[
            int,
            Between(1, 32_768),
            "rows that a search looks at in each graph, at least 2 k; may be changed at any time",
        ] = 64,
    ) -> None:
        check_gives(embedder, "dense")
        self.chunker = chunker
        self.embedder = embedder
        self.embedders = {"dense": embedder}
        self.path = path
        self.metric: Metric = metric
        self.index: Literal["FLAT", "HNSW"] = index
        self.m = m
        self.ef_construction = ef_construction
        self.ef = ef
        self._files: Index[Searches] = Index(path, Vectors(metric, index == "HNSW", m, ef_construction))

    @property
    def dense_kind(self) -> ScoreKind:
        return KINDS[self.metric]

    def open(self) -> None:
        """Make an empty index where there is none. Raises IdentityError where the rows are of another metric."""
        self._files.open()

    def close(self) -> None:
        """End writing and let go of the files. What was put or dropped since the last `sync` is forgotten."""
        self._files.close()

    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What the rows depend on besides chunker and embedder: the metric. `ef` is of the query, the rest of the building."""
        return {"metric": self.metric}

    def card(self) -> Card:
        return self._files.card()

    def stamp(self, card: Card, /) -> None:
        """Save the card at once, without what was put or dropped since the last `sync`."""
        self._files.stamp(card)

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Take rows. One process writes, in order, so versions are not compared: the store is fenced by its lock.

        Raises IndexLocked while another process writes.
        """
        return self._files.put(rows)

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows; as in `put`, versions are not compared. Raises IndexLocked while another process writes."""
        self._files.drop(chunk_ids)

    def sync(self) -> None:
        """Commit what was put and dropped: all of it, or nothing where it raises; it may be called again then."""
        self._files.sync()

    def scan(self) -> Iterator[list[RowKey]]:
        return self._files.scan()

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        return self._files.fetch(chunk_ids, vectors=vectors)

    def count(self, where: Filter | None = None, /) -> int:
        return self._files.count(where)

    def verify(self) -> None:
        """Read every file and raise HookragError for the first whose content is not what was written."""
        self._files.verify()

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match for each query: cosines, inner products or negated squared distances."""
        view = self._files.view()
        if view.dim is None:
            return [[] for _ in range(len(vectors))]
        try:
            queries = queries_of(vectors, self.metric, dim=view.dim)
        except ValueError as error:
            raise HookragError(f"{self.path}: {error}") from error
        return view.search(queries, k, where, self.ef if self.index == "HNSW" else None)
