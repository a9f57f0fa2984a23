"""The postings and vectors of a merged segment, in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hookrag_segments.content import Columns
from hookrag_segments.files import Array
from hookrag_segments.live import LiveSegment
from hookrag_segments.merge import column, ragged, total
from hookrag_segments.segment import offsets
from numpy.typing import NDArray

from hookrag_lexical.columns import layout, length_columns
from hookrag_lexical.fields import Field

POSTINGS = 1 << 18


@dataclass(frozen=True, slots=True)
class _Table:
    """Names of the arrays of one kind of postings."""

    keys: str
    bounds: str
    rows: str
    values: str


_TERMS = _Table("terms", "term_at", "term_rows", "tf")
_DIMS = _Table("dims", "dim_at", "dim_rows", "dim_values")


def merged(sources: Sequence[LiveSegment], fields: Sequence[Field]) -> Columns:
    """The columns of the live rows of the sources, in their order."""
    terms, term_sizes = _union(sources, _TERMS)
    dims, dim_sizes = _union(sources, _DIMS)
    sizes = {
        "n": sum(len(source.live) for source in sources), "q": total(sources, "vec_at"),
        "v": len(terms), "p": int(term_sizes.sum()), "d": len(dims), "r": int(dim_sizes.sum()),
    }  # fmt: skip
    tf = np.result_type(*(source.segment["tf"].dtype for source in sources)).str

    def pieces() -> Iterator[tuple[str, Array]]:
        for name in {"length", *length_columns(fields).values()}:
            yield from column(sources, name)
        yield from column(sources, "has")
        yield from ragged(sources, "vec_at", "vec_dims", "vec_values")
        for table, keys, counts in ((_TERMS, terms, term_sizes), (_DIMS, dims, dim_sizes)):
            yield table.keys, keys
            yield table.bounds, offsets(counts)
            for rows, values in _postings(sources, table, keys):
                yield table.rows, rows
                yield table.values, values

    return Columns(layout(sizes, tf=tf, fields=fields), pieces())


def _union(sources: Sequence[LiveSegment], table: _Table) -> tuple[Array, NDArray[np.int64]]:
    """The keys that live rows have, ascending, and how many live rows each has."""
    keys = np.unique(np.concatenate([source.segment[table.keys] for source in sources]))
    counts = np.zeros(len(keys), dtype=np.int64)
    for source in sources:
        at = np.searchsorted(keys, source.segment[table.keys])
        counts[at] += _live_counts(source, table)
    return keys[counts > 0], counts[counts > 0]


def _live_counts(source: LiveSegment, table: _Table) -> NDArray[np.int64]:
    bounds, rows = source.segment[table.bounds], source.segment[table.rows]
    if len(source.live) == len(source.segment):
        return np.diff(bounds)
    counts = np.empty(len(bounds) - 1, dtype=np.int64)
    for first, end in _blocks(bounds):
        alive = offsets(source.number[rows[bounds[first] : bounds[end]]] >= 0)
        counts[first:end] = np.diff(alive[bounds[first : end + 1] - bounds[first]])
    return counts


def _blocks(bounds: Array) -> Iterator[tuple[int, int]]:
    """Ranges of keys with about so many postings each, or a single key with more."""
    first, last = 0, len(bounds) - 1
    while first < last:
        end = int(np.searchsorted(bounds, bounds[first] + POSTINGS, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end


def _postings(sources: Sequence[LiveSegment], table: _Table, keys: Array) -> Iterator[tuple[Array, Array]]:
    """Rows and values of all keys, in order, in pieces."""
    totals = np.zeros(len(keys), dtype=np.int64)
    for source in sources:
        own = source.segment[table.keys]
        at = np.searchsorted(keys, own)
        kept = at < len(keys)
        kept[kept] = keys[at[kept]] == own[kept]
        totals[at[kept]] += np.diff(source.segment[table.bounds])[kept]
    for first, end in _blocks(offsets(totals)):
        if end == first + 1:
            yield from _of_one_key(sources, table, keys[first])
            continue
        parts: list[tuple[Array, Array, Array]] = []
        for source in sources:
            own, bounds = source.segment[table.keys], source.segment[table.bounds]
            begin = int(np.searchsorted(own, keys[first]))
            stop = int(np.searchsorted(own, keys[end - 1], side="right"))
            at, to = bounds[begin], bounds[stop]
            rows = source.number[source.segment[table.rows][at:to]]
            places = np.repeat(np.searchsorted(keys, own[begin:stop]), np.diff(bounds[begin : stop + 1]))
            alive = rows >= 0
            parts.append((places[alive], rows[alive], source.segment[table.values][at:to][alive]))
        places, rows, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        # Stable: the rows of each source ascend, and the sources follow one another, so the rows of each key ascend.
        order = np.argsort(places, kind="stable")
        yield rows[order], values[order]
        for source in sources:
            source.segment.data.forget()


def _of_one_key(sources: Sequence[LiveSegment], table: _Table, key: Any) -> Iterator[tuple[Array, Array]]:
    """Rows and values of one key, which may have very many: nothing has to be sorted."""
    for source in sources:
        segment = source.segment
        at = int(np.searchsorted(segment[table.keys], key))
        if at == len(segment[table.keys]) or segment[table.keys][at] != key:
            continue
        first, end = int(segment[table.bounds][at]), int(segment[table.bounds][at + 1])
        for start in range(first, end, POSTINGS):
            stop = min(start + POSTINGS, end)
            rows = source.number[segment[table.rows][start:stop]]
            yield rows[rows >= 0], segment[table.values][start:stop][rows >= 0]
        segment.data.forget()
