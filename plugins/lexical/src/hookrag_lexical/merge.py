"""Making one segment out of several, in bounded pieces: rows in the order of their segments, without the deleted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hookrag_lexical.files import BLOCK, Array, ArrayWriter, File
from hookrag_lexical.scoring import Ints
from hookrag_lexical.segment import Segment, layout, offsets

MAX_SEGMENTS = 8
MIN_MERGED = 4
POSTINGS = 1 << 20
ROWS = 1 << 17

Dead = NDArray[np.bool_]


def plan(live: Sequence[int], dead: Sequence[int]) -> list[list[int]]:
    """Which segments to merge, as groups of their places, from their numbers of live and of deleted rows.

    More than 8 segments: the smallest 4, then each next one that is no larger than what was taken together, so that a row is
    copied about log(rows) times. Besides, a segment of which more than half is deleted is written anew by itself.

    >>> plan([100, 10, 10, 10, 10, 10, 10, 10, 10], [0] * 9)
    [[1, 2, 3, 4, 5, 6, 7, 8]]
    >>> plan([100, 10], [0, 11])
    [[1]]
    """
    groups: list[list[int]] = []
    if len(live) > MAX_SEGMENTS:
        by_size = sorted(range(len(live)), key=lambda at: (live[at], at))
        taken = by_size[:MIN_MERGED]
        for at in by_size[MIN_MERGED:]:
            if live[at] > sum(live[other] for other in taken):
                break
            taken.append(at)
        groups.append(sorted(taken))
    merged = {at for group in groups for at in group}
    return groups + [[at] for at in range(len(live)) if at not in merged and dead[at] > live[at]]


@dataclass(frozen=True, slots=True)
class _Source:
    """A segment that is merged, its live rows, and the new number of each row, -1 for a deleted one."""

    segment: Segment
    live: NDArray[np.int32]
    number: NDArray[np.int32]

    def blocks(self) -> Iterator[NDArray[np.int32]]:
        """The live rows in pieces."""
        for at in range(0, len(self.live), ROWS):
            yield self.live[at : at + ROWS]


@dataclass(frozen=True, slots=True)
class _Table:
    """Names of the arrays of one kind of postings."""

    keys: str
    bounds: str
    rows: str
    values: str


_TERMS = _Table("terms", "term_at", "term_rows", "tf")
_DIMS = _Table("dims", "dim_at", "dim_rows", "dim_values")


def merge(path: Path, segments: Sequence[Segment], dead: Sequence[Dead | None]) -> File:
    """Write the live rows of the segments to a new one, durable when this returns."""
    sources: list[_Source] = []
    n = 0
    for segment, gone in zip(segments, dead, strict=True):
        kept = np.ones(len(segment), dtype=np.bool_) if gone is None else ~gone
        live = np.flatnonzero(kept).astype(np.int32)
        number = np.full(len(segment), -1, dtype=np.int32)
        number[live] = np.arange(n, n + len(live), dtype=np.int32)
        sources.append(_Source(segment, live, number))
        n += len(live)
    owners = list(dict.fromkeys(owner for segment in segments for owner in segment.owners))
    hashes, codes, picks = _metadata(sources)
    terms, term_sizes = _union(sources, _TERMS)
    dims, dim_sizes = _union(sources, _DIMS)
    sizes = {
        "n": n, "m": len(hashes), "v": len(terms), "p": int(term_sizes.sum()), "d": len(dims), "r": int(dim_sizes.sum()),
        "keys": _bytes(sources, "key_at"), "bodies": _bytes(sources, "body_at"),
        "extras": _bytes(sources, "extra_at"), "q": _bytes(sources, "vec_at"),
        "metas": sum(int(np.diff(source.segment["meta_at"])[pick].sum()) for source, pick in zip(sources, picks, strict=True)),
    }  # fmt: skip
    width = max(segment["ids"].dtype.itemsize for segment in segments)
    tf = np.result_type(*(segment["tf"].dtype for segment in segments)).str
    with ArrayWriter(path, layout(sizes, id_bytes=width, tf=tf)) as file:
        for source in sources:
            for rows in source.blocks():
                file.append("ids", source.segment["ids"][rows])
        file.extend("order", _order(sources))
        for bounds, *blobs in (
            ("key_at", "keys"),
            ("body_at", "bodies"),
            ("extra_at", "extras"),
            ("vec_at", "vec_dims", "vec_values"),
        ):
            file.extend(bounds, _bounds(sources, bounds))
            for name in blobs:
                for source in sources:
                    file.extend(name, _slices(source.segment, name, bounds, source.live))
        for source, code in zip(sources, codes, strict=True):
            known = np.array([owners.index(owner) for owner in source.segment.owners], dtype=np.int32)
            file.extend("owner", (known[source.segment["owner"][rows]] for rows in source.blocks()))
            for rows in source.blocks():
                file.append("meta", code[source.segment["meta"][rows]])
                for name in ("context", "start", "end", "length", "has"):
                    file.append(name, source.segment[name][rows])
        file.append("meta_hash", hashes)
        file.append("meta_at", offsets(_gather_metadata(file, sources, hashes, picks)))
        for table, keys, counts in ((_TERMS, terms, term_sizes), (_DIMS, dims, dim_sizes)):
            file.append(table.keys, keys)
            file.append(table.bounds, offsets(counts))
            for rows, values in _postings(sources, table, keys):
                file.append(table.rows, rows)
                file.append(table.values, values)
        return file.finish({"owners": owners})


def _bytes(sources: Sequence[_Source], bounds: str) -> int:
    """How many elements the live rows have between these bounds."""
    return sum(int(_lengths(source, bounds, rows).sum()) for source in sources for rows in source.blocks())


def _lengths(source: _Source, bounds: str, rows: NDArray[np.int32]) -> NDArray[np.int64]:
    at = source.segment[bounds]
    lengths: NDArray[np.int64] = at[rows + 1] - at[rows]
    return lengths


def _bounds(sources: Sequence[_Source], bounds: str) -> Iterator[Array]:
    """The bounds of the live rows, one after the other."""
    yield np.zeros(1, dtype=np.int64)
    end = 0
    for source in sources:
        for rows in source.blocks():
            ends = end + np.cumsum(_lengths(source, bounds, rows))
            end = int(ends[-1])
            yield ends


def _order(sources: Sequence[_Source]) -> Iterator[Array]:
    """The new rows by ascending id: ranges of ids one after the other, each taken from the order of every source."""
    largest = max(sources, key=lambda source: len(source.segment)).segment
    pivots = largest["ids"][largest["order"][ROWS::ROWS]].tolist()
    begins = [0] * len(sources)
    for pivot in [*pivots, None]:
        ids, numbers = [], []
        for at, source in enumerate(sources):
            own, order = source.segment["ids"], source.segment["order"]
            end = len(own) if pivot is None else source.segment.below(pivot)
            rows = order[begins[at] : end]
            rows = rows[source.number[rows] >= 0]
            begins[at] = end
            ids.append(own[rows])
            numbers.append(source.number[rows])
        yield np.concatenate(numbers)[np.argsort(np.concatenate(ids), kind="stable")]


def _slices(segment: Segment, name: str, bounds: str, rows: NDArray[np.int32]) -> Iterator[Array]:
    """The pieces of a blob that belong to ascending rows, neighbours together."""
    blob, at = segment[name], segment[bounds]
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    copied = 0
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        begin, stop = int(at[rows[first]]), int(at[rows[end - 1] + 1])
        for cut in range(begin, stop, BLOCK):
            piece = blob[cut : min(cut + BLOCK, stop)]
            yield piece
            copied += len(piece)
            if copied >= BLOCK:
                segment.data.forget()
                copied = 0


def _metadata(sources: Sequence[_Source]) -> tuple[Array, list[Array], list[Ints]]:
    """The digests of all metadata in use, the new code of each code of a source, and which entries each source gives."""
    used = [np.unique(source.segment["meta"][source.live]) for source in sources]
    found = [source.segment["meta_hash"][codes] for source, codes in zip(sources, used, strict=True)]
    hashes, first = np.unique(np.concatenate(found), return_index=True)
    codes = [np.searchsorted(hashes, source.segment["meta_hash"]).astype(np.int32) for source in sources]
    starts = offsets([len(part) for part in used])
    given = np.sort(first)
    picks = [
        part[given[(given >= at) & (given < stop)] - at]
        for part, (at, stop) in zip(used, pairwise(starts), strict=True)
    ]
    return hashes, codes, picks


def _gather_metadata(file: ArrayWriter, sources: Sequence[_Source], hashes: Array, picks: Sequence[Ints]) -> Array:
    """Write each metadata once, by ascending digest, and return their lengths."""
    owner = np.concatenate([np.full(len(pick), at) for at, pick in enumerate(picks)])
    entry = np.concatenate(picks)
    found = np.concatenate([source.segment["meta_hash"][pick] for source, pick in zip(sources, picks, strict=True)])
    order = np.argsort(found)
    lengths = np.empty(len(hashes), dtype=np.int64)
    pieces: list[Array] = []
    held = 0
    for to, at in enumerate(order.tolist()):
        segment = sources[owner[at]].segment
        start, end = segment["meta_at"][entry[at] : entry[at] + 2]
        lengths[to] = end - start
        pieces.append(segment["metas"][start:end])
        held += int(lengths[to])
        if held > BLOCK:
            file.append("metas", np.concatenate(pieces))
            pieces, held = [], 0
    file.extend("metas", pieces)
    return lengths


def _union(sources: Sequence[_Source], table: _Table) -> tuple[Array, NDArray[np.int64]]:
    """The keys that live rows have, ascending, and how many live rows each has."""
    keys = np.unique(np.concatenate([source.segment[table.keys] for source in sources]))
    counts = np.zeros(len(keys), dtype=np.int64)
    for source in sources:
        at = np.searchsorted(keys, source.segment[table.keys])
        counts[at] += _live_counts(source, table)
    return keys[counts > 0], counts[counts > 0]


def _live_counts(source: _Source, table: _Table) -> NDArray[np.int64]:
    bounds, rows = source.segment[table.bounds], source.segment[table.rows]
    if len(source.live) == len(source.segment):
        return np.diff(bounds)
    counts = np.empty(len(bounds) - 1, dtype=np.int64)
    for first, end in _blocks(bounds):
        alive = offsets(source.number[rows[bounds[first] : bounds[end]]] >= 0)
        counts[first:end] = np.diff(alive[bounds[first : end + 1] - bounds[first]])
    return counts


def _blocks(bounds: Array) -> Iterator[tuple[int, int]]:
    """Ranges of keys with about a million postings each, or a single key with more."""
    first, last = 0, len(bounds) - 1
    while first < last:
        end = int(np.searchsorted(bounds, bounds[first] + POSTINGS, side="right")) - 1
        end = min(max(end, first + 1), last)
        yield first, end
        first = end


def _postings(sources: Sequence[_Source], table: _Table, keys: Array) -> Iterator[tuple[Array, Array]]:
    """Rows and values of all keys, in order, in pieces."""
    totals = np.zeros(len(keys), dtype=np.int64)
    for source in sources:
        own = source.segment[table.keys]
        at = np.searchsorted(keys, own)
        kept = at < len(keys)
        kept[kept] = keys[at[kept]] == own[kept]
        totals[at[kept]] += np.diff(source.segment[table.bounds])[kept]
    for first, end in _blocks(offsets(totals)):
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
