"""Searching one committed state: every segment exactly or by its graph, then the best of all by their exact scores."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from hookrag import Filter, Hit
from hookrag_segments.files import File
from hookrag_segments.segment import Ints
from hookrag_segments.select import select
from hookrag_segments.snapshot import Mask, Opened, Snapshot
from hookrag_stores.vectors import Floats, Metric
from numpy.typing import NDArray

from hookrag_faiss.columns import dim_of, matrix
from hookrag_faiss.metric import exact, quick, slack

if TYPE_CHECKING:
    from hookrag_faiss.graph import Graph

BLOCK_BYTES = 16 << 20
SCANNED = 32
"""So many rows are compared in one block in the time that a graph takes for each row that it looks at (`ef`)."""


class Searches:
    """What was opened of one committed state."""

    def __init__(self, snapshot: Snapshot, metric: Metric, before: Searches | None) -> None:
        self.snapshot = snapshot
        self._metric: Metric = metric
        self._lock = Lock()
        held = {} if before is None else before.graphs
        needed = {part.part.companion for part in snapshot.opened}
        self.graphs: dict[File, Graph] = {file: graph for file, graph in held.items() if file in needed}

    @property
    def dim(self) -> int | None:
        """How many numbers a vector has, None where there are none."""
        return dim_of(self.snapshot.opened[0].segment) if self.snapshot.opened else None

    def search(self, queries: Floats, k: int, where: Filter | None, ef: int | None) -> list[list[Hit]]:
        """The best rows for each query of float32[q, d]; `ef` None searches exactly."""
        rows: list[list[Ints]] = [[np.empty(0, dtype=np.intp)] for _ in queries]
        scores: list[list[Floats]] = [[np.empty(0, dtype=np.float32)] for _ in queries]
        for part, start in zip(self.snapshot.opened, self.snapshot.starts.tolist(), strict=False):
            for number, (found, score) in enumerate(self._candidates(part, queries, k, where, ef)):
                rows[number].append(found + start)
                scores[number].append(score)
        return self.snapshot.hits(
            [
                select(np.concatenate(one), np.concatenate(two), k, self.snapshot.ids)
                for one, two in zip(rows, scores, strict=True)
            ]
        )

    def _candidates(
        self, part: Opened, queries: Floats, k: int, where: Filter | None, ef: int | None
    ) -> list[tuple[Ints, Floats]]:
        """Rows of a part for each query, the k best and some more, with their exact scores."""
        mask = None if part.dead is None else ~part.dead
        if where is not None:
            chosen = self.snapshot.part_mask(part, where)
            mask = chosen if mask is None else chosen & mask
        rows = len(part.segment)
        matching = rows if mask is None else int(mask.sum())
        k = min(k, matching)
        if k <= 0:
            return []
        if ef is None or part.companion is None:
            return self._scan(part, queries, k, mask)
        # Of the rows that a graph looks at, only those in the mask count: it looks at as many more as it takes.
        wide = -(-max(ef, 2 * k) * rows // matching)
        if wide * SCANNED >= matching:
            return self._scan(part, queries, k, mask)
        found = self._graph(part).search(queries, min(2 * k + 32, wide), wide, mask)
        result = self._scored(part, [row[row >= 0].astype(np.intp) for row in found], queries)
        lost = [number for number, (_, scores) in enumerate(result) if _incomplete(scores, k, matching)]
        if lost:
            for number, scanned in zip(lost, self._scan(part, queries[lost], k, mask), strict=True):
                result[number] = scanned
        return result

    def _scored(self, part: Opened, rows: Sequence[Ints], queries: Floats) -> list[tuple[Ints, Floats]]:
        vectors = matrix(part.segment)
        return [(own, exact(self._metric, vectors[own], query)) for own, query in zip(rows, queries, strict=True)]

    def _scan(self, part: Opened, queries: Floats, k: int, mask: Mask | None) -> list[tuple[Ints, Floats]]:
        """Every row that can be one of the k best of the mask, with its exact score."""
        vectors, norms = matrix(part.segment), part.segment["norms"]
        chosen = None if mask is None else np.flatnonzero(mask)
        count = len(vectors) if chosen is None else len(chosen)
        longest = float(norms.max())
        margin = slack(self._metric, longest, queries)
        # A block for one query stays in the cache of the one core that compares it; more queries pay for larger ones.
        block = BLOCK_BYTES if len(queries) > 1 else BLOCK_BYTES // 8
        size = max(block // (4 * max(vectors.shape[1], len(queries))), 1)
        best = [_Best(k, float(one)) for one in margin]
        for at in range(0, count, size):
            rows = slice(at, at + size) if chosen is None else chosen[at : at + size]
            numbers = np.arange(at, min(at + size, count)) if chosen is None else chosen[at : at + size]
            for own, scores in zip(best, quick(self._metric, vectors[rows], norms[rows], queries), strict=True):
                own.add(numbers, scores)
        return self._scored(part, [own.rows() for own in best], queries)

    def _graph(self, part: Opened) -> Graph:
        from hookrag_faiss.graph import Graph

        assert part.part.companion is not None
        assert part.companion is not None
        with self._lock:
            graph = self.graphs.get(part.part.companion)
            if graph is None:
                graph = Graph(part.segment, part.companion, self._metric)
                self.graphs[part.part.companion] = graph
            return graph


def _incomplete(scores: Floats, k: int, matching: int) -> bool:
    """Whether rows that belong to the k best may be missing: too few were found, or all from the k-th on tie with it."""
    if len(scores) < k:
        return True
    return len(scores) < matching and bool(np.partition(scores, len(scores) - k)[len(scores) - k] == scores.min())


class _Best:
    """The rows that can still be among the k best by their exact scores."""

    def __init__(self, k: int, margin: float) -> None:
        self._k = k
        self._margin = margin
        self._least = -np.inf
        self._rows: list[Ints] = []
        self._scores: list[Floats] = []
        self._held = 0

    def add(self, rows: Ints, scores: Floats) -> None:
        """Consider some rows."""
        kept: NDArray[np.intp] = np.flatnonzero(scores >= self._least)
        self._rows.append(rows[kept])
        self._scores.append(scores[kept])
        self._held += len(kept)
        if self._held > 2 * self._k + 1000:
            self._prune()

    def rows(self) -> Ints:
        """Those that are left, at least k if so many were considered."""
        self._prune()
        return self._rows[0]

    def _prune(self) -> None:
        rows, scores = np.concatenate(self._rows), np.concatenate(self._scores)
        if len(scores) > self._k:
            self._least = float(np.partition(scores, len(scores) - self._k)[len(scores) - self._k]) - self._margin
            kept = scores >= self._least
            rows, scores = rows[kept], scores[kept]
        self._rows, self._scores, self._held = [rows], [scores], len(rows)
