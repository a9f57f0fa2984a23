"""One committed state of the index, as searches see it: it never changes, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from hookrag import Chunk, Filter, Hit, Row, RowKey, SparseRows
from hookrag.filters import matches
from numpy.typing import NDArray

from hookrag_lexical.cache import Bounded
from hookrag_lexical.files import Array, damaged, open_arrays
from hookrag_lexical.manifest import Manifest, Part
from hookrag_lexical.scoring import Bm25, Floats, Ints, idf, select
from hookrag_lexical.segment import PAGE, Segment, hashed, offsets, open_segment

POSTING_BYTES = 64 << 20
MASK_BYTES = 16 << 20

Mask = NDArray[np.bool_]
Posting = tuple[NDArray[np.int32], Floats]


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment with the rows of it that were deleted, None where none was."""

    part: Part
    segment: Segment
    dead: Mask | None

    @property
    def live(self) -> int:
        """How many rows are not deleted."""
        return len(self.segment) - (0 if self.dead is None else int(self.dead.sum()))


def open_part(folder: Path, part: Part) -> Opened:
    """Open a segment and its deletions. Raises FileNotFoundError, or HookragError where a file is damaged."""
    segment = open_segment(folder, part.segment)
    return Opened(part, segment, open_dead(folder, part, len(segment)))


def open_dead(folder: Path, part: Part, rows: int) -> Mask | None:
    """The deleted rows of a segment."""
    if part.dead is None:
        return None
    opened = open_arrays(folder, part.dead)
    listed = opened.arrays["rows"]
    if len(listed) and not 0 <= int(listed.min()) <= int(listed.max()) < rows:
        damaged(opened.path, f"row {int(listed.max())}", f"rows below {rows}")
    dead = np.zeros(rows, dtype=np.bool_)
    dead[listed] = True
    return dead


class Snapshot:
    """Rows are numbered through all segments. Statistics count live rows only, so that history leaves no trace in scores."""

    def __init__(self, manifest: Manifest, opened: Sequence[Opened], masks: Bounded[tuple[Filter, str], Mask]) -> None:
        self.manifest = manifest
        self.opened = tuple(opened)
        self._starts = offsets([len(part.segment) for part in self.opened])
        self._masks = masks
        self._postings: Bounded[tuple[Bm25 | None, str | int], Posting] = Bounded(POSTING_BYTES)

    @property
    def rows(self) -> int:
        """How many rows the segments have, deleted ones included."""
        return int(self._starts[-1])

    @cached_property
    def _lengths(self) -> Array:
        return np.concatenate([np.empty(0, dtype=np.int32), *(part.segment["length"] for part in self.opened)])

    @cached_property
    def _live(self) -> Mask:
        parts = [
            np.ones(len(part.segment), dtype=np.bool_) if part.dead is None else ~part.dead for part in self.opened
        ]
        return np.concatenate([np.empty(0, dtype=np.bool_), *parts])

    @cached_property
    def _statistics(self) -> tuple[int, float]:
        """How many live rows have a term, and how many they have on average."""
        lengths = self._lengths[self._live & (self._lengths > 0)]
        return len(lengths), float(lengths.mean(dtype=np.float64)) if len(lengths) else 1.0

    def search_text(
        self, queries: Sequence[Mapping[str, int]], bm25: Bm25, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """The best rows for each query, given as {term: how often}."""
        postings = self._text_postings(sorted({term for query in queries for term in query}), bm25)
        weighted = [[(postings[term], float(times)) for term, times in query.items()] for query in queries]
        return self._best(weighted, k, where)

    def search_sparse(self, vectors: SparseRows, k: int, where: Filter | None) -> list[list[Hit]]:
        """The rows with the highest inner products for each vector."""
        bounds = vectors.indptr.tolist()
        dims, values = vectors.indices.tolist(), vectors.values.astype(np.float64).tolist()
        postings = self._sparse_postings(sorted(set(dims)))
        weighted = [
            [(postings[dim], value) for dim, value in zip(dims[at:end], values[at:end], strict=True) if value]
            for at, end in pairwise(bounds)
        ]
        return self._best(weighted, k, where)

    def _best(
        self, queries: Sequence[Sequence[tuple[Posting, float]]], k: int, where: Filter | None
    ) -> list[list[Hit]]:
        mask = None if where is None else self.mask(where)
        found: list[tuple[Ints, Floats]] = []
        for query in queries:
            rows, scores = self._scored(query)
            if mask is not None:
                kept = mask[rows]
                rows, scores = rows[kept], scores[kept]
            found.append(select(rows, scores, k, self._ids))
        chunks = self._chunks(np.unique(np.concatenate([np.empty(0, dtype=np.intp), *(rows for rows, _ in found)])))
        return [
            [Hit(chunks[row], score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True)]
            for rows, scores in found
        ]

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
        sums = np.bincount(rows, weights=products, minlength=self.rows)
        candidates = np.flatnonzero(sums) if (products > 0).all() else np.unique(rows).astype(np.intp)
        return candidates, sums[candidates].astype(np.float32)

    def _text_postings(self, terms: Sequence[str], bm25: Bm25) -> dict[str, Posting]:
        """For each term, the live rows that contain it and what it adds to their scores."""
        known = {term: held for term in terms if (held := self._postings.get((bm25, term))) is not None}
        missing = [term for term in terms if term not in known]
        if not missing:
            return known
        hashes = np.array([hashed(term.encode("utf-8", "surrogatepass")) for term in missing], dtype="S16")
        found = self._joined([part.segment.postings(hashes) for part in self.opened], len(missing))
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
        found = self._joined([part.segment.sparse_postings(wanted) for part in self.opened], len(missing))
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
            for part, start, postings in zip(self.opened, self._starts.tolist(), segments, strict=False):
                rows, values = postings[key]
                if part.dead is not None:
                    live = ~part.dead[rows]
                    rows, values = rows[live], values[live]
                rows_of.append(rows + np.int32(start))
                values_of.append(values)
            result.append((np.concatenate(rows_of), np.concatenate(values_of) if values_of else np.empty(0)))
        return result

    def matching(self, terms: Sequence[str], chunk_ids: Sequence[str]) -> list[tuple[str, ...]]:
        """Which of the terms each row contains, in the order of the terms."""
        hashes = np.array([hashed(term.encode("utf-8", "surrogatepass")) for term in terms], dtype="S16")
        postings = [part.segment.postings(hashes) for part in self.opened]
        result: list[tuple[str, ...]] = []
        for place in self.find(chunk_ids):
            if place is None:
                result.append(())
                continue
            at, row = place
            result.append(tuple(t for t, (rows, _) in zip(terms, postings[at], strict=True) if _contains(rows, row)))
        return result

    def mask(self, where: Filter) -> Mask:
        """Which rows match; evaluated once for each different metadata of a segment, and kept."""
        parts: list[Mask] = [np.empty(0, dtype=np.bool_)]
        for opened in self.opened:
            key = (where, opened.segment.file.name)
            mask = self._masks.get(key)
            if mask is None:
                table = np.array([matches(where, metadata) for metadata in opened.segment.metadata()], dtype=np.bool_)
                mask = table[opened.segment["meta"]]
                self._masks.put(key, mask, len(mask) + 200)
            parts.append(mask)
        return np.concatenate(parts)

    def count(self, where: Filter | None) -> int:
        """How many live rows match."""
        return int((self._live if where is None else self._live & self.mask(where)).sum())

    def find(self, chunk_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        """The (segment, row) of each live row, None where there is none."""
        names = [name.encode("utf-8", "surrogatepass") for name in chunk_ids]
        # numpy takes NULs at the end for padding: an id that has any is in no segment, and must not find another.
        ids = np.array([b"" if b"\0" in name else name for name in names], dtype=np.bytes_)
        places: list[tuple[int, int] | None] = [None] * len(chunk_ids)
        for at, part in enumerate(self.opened):
            rows = part.segment.find(ids)
            if part.dead is not None:
                rows[(rows >= 0) & part.dead[rows]] = -1
            for index in np.flatnonzero(rows >= 0).tolist():
                places[index] = (at, int(rows[index]))
        return places

    def fetch(self, chunk_ids: Sequence[str], *, vectors: bool) -> list[Row | None]:
        """The rows in the order asked for."""
        places = self.find(chunk_ids)
        result: list[Row | None] = [None] * len(places)
        for at, part in enumerate(self.opened):
            own = [(index, place[1]) for index, place in enumerate(places) if place is not None and place[0] == at]
            rows = part.segment.rows(np.array([row for _, row in own], dtype=np.intp), vectors=vectors)
            for (index, _), row in zip(own, rows, strict=True):
                result[index] = row
        return result

    def scan(self) -> Iterator[list[RowKey]]:
        """Every live row once; texts are not read."""
        for part in self.opened:
            rows = np.arange(len(part.segment)) if part.dead is None else np.flatnonzero(~part.dead)
            for start in range(0, len(rows), PAGE):
                yield part.segment.keys(rows[start : start + PAGE])

    def verify(self, folder: Path) -> None:
        """Read every file of this state and raise HookragError for the first that is damaged."""
        for opened in self.opened:
            opened.segment.data.verify()
            if opened.part.dead is not None:
                open_arrays(folder, opened.part.dead).verify()

    def _chunks(self, rows: Ints) -> dict[int, Chunk]:
        """The chunks of ascending rows."""
        cuts = np.searchsorted(rows, self._starts)
        chunks: list[Chunk] = []
        for part, start, at, end in zip(self.opened, self._starts, cuts, cuts[1:], strict=False):
            chunks += part.segment.chunks(rows[at:end] - start)
        return dict(zip(rows.tolist(), chunks, strict=True))

    def _ids(self, rows: Ints) -> NDArray[np.bytes_]:
        """The chunk ids of some rows, which compare as their texts do."""
        if len(self.opened) == 1:
            ids: NDArray[np.bytes_] = self.opened[0].segment["ids"][rows]
            return ids
        width = max((part.segment["ids"].dtype.itemsize for part in self.opened), default=1)
        result = np.empty(len(rows), dtype=f"S{width}")
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for at in np.unique(owners).tolist():
            own = owners == at
            result[own] = self.opened[at].segment["ids"][rows[own] - self._starts[at]]
        return result


def _contains(rows: Array, row: int) -> bool:
    at = int(np.searchsorted(rows, row))
    return at < len(rows) and int(rows[at]) == row
