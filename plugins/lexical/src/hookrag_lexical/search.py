"""Searching one committed state by words and by sparse vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from hookrag import Chunk, Filter, Hit, SparseRows
from hookrag_segments.cache import Bounded
from hookrag_segments.files import Array
from hookrag_segments.segment import Ints
from hookrag_segments.select import Floats, select
from hookrag_segments.snapshot import Snapshot
from numpy.typing import NDArray

from hookrag_lexical.columns import length_columns, postings, sparse_postings, term_hashes
from hookrag_lexical.feedback import Query, Rm3
from hookrag_lexical.fields import Field
from hookrag_lexical.scoring import Formula, Numbers

POSTING_BYTES = 64 << 20
SPARSE = 20
"""Where a query has so many times fewer postings than there are rows, sorting them is quicker than a sum for each row."""

Posting = tuple[NDArray[np.int32], Floats]
Best = tuple[Ints, Floats]


class Searches:
    """Statistics count live rows only, so that history leaves no trace in scores."""

    def __init__(self, snapshot: Snapshot, formula: Formula) -> None:
        self.snapshot = snapshot
        self._formula = formula
        self._fields = [field for field in formula.fields if field.weight > 0]
        self._postings: Bounded[str | int, Posting] = Bounded(POSTING_BYTES)
        self._lengths: dict[str, tuple[Array, float]] = {}

    def search_text(self, queries: Sequence[Query], k: int, where: Filter | None) -> list[list[Hit]]:
        """The best rows for each query, given as {term: how much it counts}."""
        return self.snapshot.hits(self._ranked(queries, k, where))

    def search_with_feedback(
        self, queries: Sequence[Query], feedback: Rm3, terms_of: Callable[[Chunk], Query], k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """The same for the queries with the words of the rows that they find first, which match `where`, too."""
        found = self._ranked(queries, feedback.documents, where)
        expanded = [
            feedback.expanded(query, list(zip(scores.tolist(), map(terms_of, self.snapshot.chunks(rows)), strict=True)))
            for query, (rows, scores) in zip(queries, found, strict=True)
        ]
        return self.search_text(expanded, k, where)

    def search_sparse(self, vectors: SparseRows, k: int, where: Filter | None) -> list[list[Hit]]:
        """The rows with the highest inner products for each vector."""
        bounds = vectors.indptr.tolist()
        dims, values = vectors.indices.tolist(), vectors.values.astype(np.float64).tolist()
        weights = self._sparse_postings(sorted(set(dims)))
        weighted = [
            [(weights[dim], value) for dim, value in zip(dims[at:end], values[at:end], strict=True) if value]
            for at, end in pairwise(bounds)
        ]
        return self.snapshot.hits(self._best(weighted, k, where))

    def matching(self, terms: Sequence[str], chunk_ids: Sequence[str]) -> list[tuple[str, ...]]:
        """Which of the terms each row contains, in any field that counts, in the order of the terms."""
        hashes = _hashes(terms, self._fields)
        found = [postings(part.segment, hashes) for part in self.snapshot.opened]
        result: list[tuple[str, ...]] = []
        for place in self.snapshot.find(chunk_ids):
            if place is None:
                result.append(())
                continue
            at, row = place
            has = [_contains(rows, row) for rows, _ in found[at]]
            result.append(tuple(term for number, term in enumerate(terms) if any(has[number :: len(terms)])))
        return result

    def _ranked(self, queries: Sequence[Query], k: int, where: Filter | None) -> list[Best]:
        impacts = self._text_postings(sorted({term for query in queries for term in query}))
        weighted = [[(impacts[term], weight) for term, weight in query.items()] for query in queries]
        return self._best(weighted, k, where)

    def _best(self, queries: Sequence[Sequence[tuple[Posting, float]]], k: int, where: Filter | None) -> list[Best]:
        mask = None if where is None else self.snapshot.mask(where)
        found: list[Best] = []
        for query in queries:
            rows, scores = self._scored(query)
            if mask is not None:
                kept = mask[rows]
                rows, scores = rows[kept], scores[kept]
            found.append(select(rows, scores, k, self.snapshot.ids))
        return found

    def _scored(self, query: Sequence[tuple[Posting, float]]) -> tuple[Ints, Floats]:
        """The rows that share a term with the query, ascending, and their scores.

        Sums are float64 in the order of the query's terms, so that they do not depend on how rows lie in segments, and are
        rounded to float32, so that what is equal but for the last bits is a tie.
        """
        found = [(rows, values, weight) for (rows, values), weight in query if len(rows)]
        if not found:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32)
        rows = np.concatenate([rows for rows, _, _ in found], dtype=np.intp)
        products = np.concatenate(
            [values if weight == 1 else np.multiply(values, weight, dtype=np.float64) for _, values, weight in found],
            dtype=np.float64,
        )
        if SPARSE * len(rows) < self.snapshot.rows:
            candidates, places = np.unique(rows, return_inverse=True)
            return candidates, np.bincount(places, weights=products).astype(np.float32)
        sums = np.bincount(rows, weights=products, minlength=self.snapshot.rows)
        candidates = np.flatnonzero(sums > 0) if products.min() > 0 else np.unique(rows)
        return candidates, sums[candidates].astype(np.float32)

    def _text_postings(self, terms: Sequence[str]) -> dict[str, Posting]:
        """For each term, the live rows that contain it and what it adds to their scores."""
        known = {term: held for term in terms if (held := self._postings.get(term)) is not None}
        missing = [term for term in terms if term not in known]
        if not missing:
            return known
        hashes = _hashes(missing, self._fields)
        found = self._joined([postings(part.segment, hashes) for part in self.snapshot.opened], len(hashes))
        for at, term in enumerate(missing):
            known[term] = self._impacts(found[at :: len(missing)])
            self._postings.put(term, known[term], 8 * len(known[term][0]) + 200)
        return known

    def _impacts(self, by_field: Sequence[tuple[NDArray[np.int32], Array]]) -> Posting:
        """From rows and tf of a term in each field: the rows that have it in any, and what it adds to their scores."""
        normal: Numbers | float = 1.0
        if self._fields[0].name:
            parts = [
                field.weight * tf / self._normalised(field, rows)
                for field, (rows, tf) in zip(self._fields, by_field, strict=True)
            ]
            rows, places = np.unique(np.concatenate([rows for rows, _ in by_field]), return_inverse=True)
            frequency: Numbers = np.bincount(places, weights=np.concatenate(parts), minlength=len(rows)).astype(
                np.float64
            )
        else:
            [(rows, tf)] = by_field
            frequency = tf.astype(np.float64)
            normal = self._normalised(self._fields[0], rows)
        if not len(rows):
            return rows, np.empty(0, dtype=np.float32)
        weight = self._formula.idf(self._rows, len(rows))
        return rows, (weight * self._formula.saturation(frequency, normal)).astype(np.float32)

    def _normalised(self, field: Field, rows: NDArray[np.int32]) -> Numbers:
        lengths, average = self._lengths_in(length_columns(self._formula.fields)[field.name])
        return self._formula.normalised(lengths[rows], average, field.b)

    @cached_property
    def _rows(self) -> int:
        """How many live rows have a term."""
        lengths, _ = self._lengths_in("length")
        return int(np.count_nonzero(lengths[self.snapshot.live]))

    def _lengths_in(self, column: str) -> tuple[Array, float]:
        """How many terms each row has, all in all or in a field, and how many live rows that have any have on average."""
        held = self._lengths.get(column)
        if held is None:
            parts = [part.segment[column] for part in self.snapshot.opened]
            lengths = np.concatenate([np.empty(0, dtype=np.int32), *parts])
            counted = lengths[self.snapshot.live & (lengths > 0)]
            held = lengths, float(counted.mean(dtype=np.float64)) if len(counted) else 1.0
            self._lengths[column] = held
        return held

    def _sparse_postings(self, dims: Sequence[int]) -> dict[int, Posting]:
        known = {dim: held for dim in dims if (held := self._postings.get(dim)) is not None}
        missing = [dim for dim in dims if dim not in known]
        wanted = np.array(missing, dtype=np.int32)
        found = self._joined([sparse_postings(part.segment, wanted) for part in self.snapshot.opened], len(missing))
        for dim, (rows, values) in zip(missing, found, strict=True):
            known[dim] = rows, values.astype(np.float32)
            self._postings.put(dim, known[dim], 8 * len(rows) + 200)
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


def _hashes(terms: Sequence[str], fields: Sequence[Field]) -> NDArray[np.bytes_]:
    """The digests of the terms in the first field, then in the next."""
    return term_hashes(field.prefix + term for field in fields for term in terms)


def _contains(rows: Array, row: int) -> bool:
    at = int(np.searchsorted(rows, row))
    return at < len(rows) and int(rows[at]) == row
