"""Searching one committed state by words and by sparse vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from hookrag import Filter, Hit, SparseRows
from hookrag_segments.cache import Bounded
from hookrag_segments.files import Array
from hookrag_segments.segment import Ints
from hookrag_segments.select import Floats, select
from hookrag_segments.snapshot import Snapshot
from numpy.typing import NDArray

from hookrag_lexical.columns import postings, sparse_postings, term_hashes
from hookrag_lexical.scoring import Bm25, idf

POSTING_BYTES = 64 << 20

Posting = tuple[NDArray[np.int32], Floats]


class Searches:
    """Statistics count live rows only, so that history leaves no trace in scores."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._postings: Bounded[tuple[Bm25 | None, str | int], Posting] = Bounded(POSTING_BYTES)

    @cached_property
    def _lengths(self) -> Array:
        return np.concatenate([np.empty(0, dtype=np.int32), *(part.segment["length"] for part in self.snapshot.opened)])

    @cached_property
    def _statistics(self) -> tuple[int, float]:
        """How many live rows have a term, and how many they have on average."""
        lengths = self._lengths[self.snapshot.live & (self._lengths > 0)]
        return len(lengths), float(lengths.mean(dtype=np.float64)) if len(lengths) else 1.0

    def search_text(
        self, queries: Sequence[Mapping[str, int]], bm25: Bm25, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """The best rows for each query, given as {term: how often}."""
        impacts = self._text_postings(sorted({term for query in queries for term in query}), bm25)
        weighted = [[(impacts[term], float(times)) for term, times in query.items()] for query in queries]
        return self._best(weighted, k, where)

    def search_sparse(self, vectors: SparseRows, k: int, where: Filter | None) -> list[list[Hit]]:
        """The rows with the highest inner products for each vector."""
        bounds = vectors.indptr.tolist()
        dims, values = vectors.indices.tolist(), vectors.values.astype(np.float64).tolist()
        weights = self._sparse_postings(sorted(set(dims)))
        weighted = [
            [(weights[dim], value) for dim, value in zip(dims[at:end], values[at:end], strict=True) if value]
            for at, end in pairwise(bounds)
        ]
        return self._best(weighted, k, where)

    def _best(
        self, queries: Sequence[Sequence[tuple[Posting, float]]], k: int, where: Filter | None
    ) -> list[list[Hit]]:
        mask = None if where is None else self.snapshot.mask(where)
        found: list[tuple[Ints, Floats]] = []
        for query in queries:
            rows, scores = self._scored(query)
            if mask is not None:
                kept = mask[rows]
                rows, scores = rows[kept], scores[kept]
            found.append(select(rows, scores, k, self.snapshot.ids))
        return self.snapshot.hits(found)

    def _scored(self, query: Sequence[tuple[Posting, float]]) -> tuple[Ints, Floats]:
        """The rows that share a term with the query, ascending, and their scores.

        Sums are float64 in the order of the query's terms, so that they do not depend on how rows lie in segments, and are
        rounded to float32, so that what is equal but for the last bits is a tie.
        """
        found = [(rows, values, weight) for (rows, values), weight in query if len(rows)]
        if not found:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32)
        rows = np.concatenate([rows for rows, _, _ in found])
        products = np.concatenate([np.multiply(values, weight, dtype=np.float64) for _, values, weight in found])
        sums = np.bincount(rows, weights=products, minlength=self.snapshot.rows)
        candidates = np.flatnonzero(sums) if (products > 0).all() else np.unique(rows).astype(np.intp)
        return candidates, sums[candidates].astype(np.float32)

    def _text_postings(self, terms: Sequence[str], bm25: Bm25) -> dict[str, Posting]:
        """For each term, the live rows that contain it and what it adds to their scores."""
        known = {term: held for term in terms if (held := self._postings.get((bm25, term))) is not None}
        missing = [term for term in terms if term not in known]
        if not missing:
            return known
        hashes = term_hashes(missing)
        found = self._joined([postings(part.segment, hashes) for part in self.snapshot.opened], len(missing))
        count, average = self._statistics
        for term, (rows, tf) in zip(missing, found, strict=True):
            penalties = bm25.penalties(self._lengths[rows], average)
            frequency = tf.astype(np.float64)
            impact = (idf(count, len(rows)) * frequency / (frequency + penalties)).astype(np.float32)
            known[term] = rows, impact
            self._postings.put((bm25, term), known[term], 8 * len(rows) + 200)
        return known

    def _sparse_postings(self, dims: Sequence[int]) -> dict[int, Posting]:
        known = {dim: held for dim in dims if (held := self._postings.get((None, dim))) is not None}
        missing = [dim for dim in dims if dim not in known]
        wanted = np.array(missing, dtype=np.int32)
        found = self._joined([sparse_postings(part.segment, wanted) for part in self.snapshot.opened], len(missing))
        for dim, (rows, values) in zip(missing, found, strict=True):
            known[dim] = rows, values.astype(np.float32)
            self._postings.put((None, dim), known[dim], 8 * len(rows) + 200)
        return known

    def _joined(
        self, segments: Sequence[Sequence[tuple[Array, Array]]], count: int
    ) -> list[tuple[NDArray[np.int32], Array]]:
        """The postings of each key through all segments, without deleted rows."""
        result: list[tuple[NDArray[np.int32], Array]] = []
        for key in range(count):
            rows_of = [np.empty(0, dtype=np.int32)]
            values_of: list[Array] = []
            for part, start, own in zip(self.snapshot.opened, self.snapshot.starts.tolist(), segments, strict=False):
                rows, values = own[key]
                if part.dead is not None:
                    live = ~part.dead[rows]
                    rows, values = rows[live], values[live]
                rows_of.append(rows + np.int32(start))
                values_of.append(values)
            result.append((np.concatenate(rows_of), np.concatenate(values_of) if values_of else np.empty(0)))
        return result

    def matching(self, terms: Sequence[str], chunk_ids: Sequence[str]) -> list[tuple[str, ...]]:
        """Which of the terms each row contains, in the order of the terms."""
        hashes = term_hashes(list(terms))
        found = [postings(part.segment, hashes) for part in self.snapshot.opened]
        result: list[tuple[str, ...]] = []
        for place in self.snapshot.find(chunk_ids):
            if place is None:
                result.append(())
                continue
            at, row = place
            result.append(tuple(t for t, (rows, _) in zip(terms, found[at], strict=True) if _contains(rows, row)))
        return result


def _contains(rows: Array, row: int) -> bool:
    at = int(np.searchsorted(rows, row))
    return at < len(rows) and int(rows[at]) == row
