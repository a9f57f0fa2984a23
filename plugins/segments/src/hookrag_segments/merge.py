"""Making one segment out of several, in bounded pieces: rows in the order of their segments, without the deleted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hookrag_segments.content import Columns, Content
from hookrag_segments.files import BLOCK, Array, ArrayWriter, File
from hookrag_segments.live import ROWS, LiveSegment
from hookrag_segments.segment import Ints, Segment, offsets, row_layout

if TYPE_CHECKING:
    from hookrag_segments.snapshot import Mask

MAX_SEGMENTS = 8
MIN_MERGED = 4


def tiered(live: Sequence[int], dead: Sequence[int]) -> list[list[int]]:
    """Which segments to merge, as groups of their places, from their numbers of live and of deleted rows.

    More than 8 segments: the smallest 4, then each next one that is no larger than what was taken together, so that a row is
    copied about log(rows) times. Besides, a segment of which more than half is deleted is written anew by itself.

    >>> tiered([100, 10, 10, 10, 10, 10, 10, 10, 10], [0] * 9)
    [[1, 2, 3, 4, 5, 6, 7, 8]]
    >>> tiered([100, 10], [0, 11])
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


def merge(path: Path, segments: Sequence[Segment], dead: Sequence[Mask | None], content: Content[Any]) -> File:
    """Write the live rows of the segments to a new one, durable when this returns."""
    sources: list[LiveSegment] = []
    n = 0
    for segment, gone in zip(segments, dead, strict=True):
        kept = np.ones(len(segment), dtype=np.bool_) if gone is None else ~gone
        live = np.flatnonzero(kept).astype(np.int32)
        number = np.full(len(segment), -1, dtype=np.int32)
        number[live] = np.arange(n, n + len(live), dtype=np.int32)
        sources.append(LiveSegment(segment, live, number))
        n += len(live)
    rows, own = _row_columns(sources, n), content.merged(sources)
    with ArrayWriter(path, {**rows.layout, **own.layout}) as file:
        for name, piece in chain(rows.pieces, own.pieces):
            file.append(name, piece)
        return file.finish({**rows.facts, **own.facts})


def _row_columns(sources: Sequence[LiveSegment], n: int) -> Columns:
    owners = list(dict.fromkeys(owner for source in sources for owner in source.segment.owners))
    hashes, codes, picks = _metadata(sources)
    metas = sum(
        int(np.diff(source.segment["meta_at"])[pick].sum()) for source, pick in zip(sources, picks, strict=True)
    )
    sizes = {
        "n": n, "m": len(hashes), "metas": metas,
        "keys": total(sources, "key_at"), "bodies": total(sources, "body_at"), "extras": total(sources, "extra_at"),
    }  # fmt: skip

    def pieces() -> Iterator[tuple[str, Array]]:
        yield from column(sources, "ids")
        for piece in _order(sources):
            yield "order", piece
        for bounds, blob in (("key_at", "keys"), ("body_at", "bodies"), ("extra_at", "extras")):
            yield from ragged(sources, bounds, blob)
        for source, code in zip(sources, codes, strict=True):
            known = np.array([owners.index(owner) for owner in source.segment.owners], dtype=np.int32)
            for rows in source.blocks():
                yield "owner", known[source.segment["owner"][rows]]
                yield "meta", code[source.segment["meta"][rows]]
        for name in ("context", "start", "end"):
            yield from column(sources, name)
        yield "meta_hash", hashes
        yield from _gathered_metadata(sources, hashes, picks)

    width = max(source.segment["ids"].dtype.itemsize for source in sources)
    return Columns(row_layout(sizes, id_bytes=width), pieces(), {"owners": owners})


def column(sources: Sequence[LiveSegment], name: str) -> Iterator[tuple[str, Array]]:
    """The values of the live rows in a column that has one a row."""
    for source in sources:
        for rows in source.blocks():
            yield name, source.segment[name][rows]
        source.segment.data.forget()


def ragged(sources: Sequence[LiveSegment], bounds: str, *blobs: str) -> Iterator[tuple[str, Array]]:
    """The bounds of the live rows, one after the other, and what lies between them in each of the blobs."""
    yield bounds, np.zeros(1, dtype=np.int64)
    end = 0
    for source in sources:
        for rows in source.blocks():
            ends = end + np.cumsum(source.lengths(bounds, rows))
            end = int(ends[-1])
            yield bounds, ends
        source.segment.data.forget()
    for blob in blobs:
        for source in sources:
            at = source.segment[bounds]
            for first, stop in source.runs():
                for piece in pieces_of(source.segment, blob, int(at[first]), int(at[stop])):
                    yield blob, piece


def pieces_of(segment: Segment, name: str, begin: int, stop: int) -> Iterator[Array]:
    """A range of an array, a block at a time; the pages that were read are given back."""
    array = segment[name]
    block = max(BLOCK // array.dtype.itemsize, 1)
    for cut in range(begin, stop, block):
        yield array[cut : min(cut + block, stop)]
        if stop - begin > block:
            segment.data.forget()


def total(sources: Sequence[LiveSegment], bounds: str) -> int:
    """How many elements the live rows have between these bounds."""
    return sum(int(source.lengths(bounds, rows).sum()) for source in sources for rows in source.blocks())


def _order(sources: Sequence[LiveSegment]) -> Iterator[Array]:
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
        for source in sources:
            source.segment.data.forget()


def _metadata(sources: Sequence[LiveSegment]) -> tuple[Array, list[Array], list[Ints]]:
    """The digests of all metadata in use, the new code of each code of a source, and which entries each source gives."""
    used = [_used(source) for source in sources]
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


def _used(source: LiveSegment) -> Ints:
    """The codes of metadata that live rows have, ascending."""
    seen = np.zeros(len(source.segment["meta_hash"]), dtype=np.bool_)
    for rows in source.blocks():
        seen[source.segment["meta"][rows]] = True
    return np.flatnonzero(seen)


def _gathered_metadata(
    sources: Sequence[LiveSegment], hashes: Array, picks: Sequence[Ints]
) -> Iterator[tuple[str, Array]]:
    """Each metadata once, by ascending digest, and where each begins."""
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
            yield "metas", np.concatenate(pieces)
            pieces, held = [], 0
    for piece in pieces:
        yield "metas", piece
    yield "meta_at", offsets(lengths)
