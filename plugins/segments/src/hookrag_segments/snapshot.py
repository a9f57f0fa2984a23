"""One committed state of the index, as searches see it: it never changes, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
from hookrag import Chunk, Filter, Hit, Row, RowKey
from hookrag.filters import matches
from numpy.typing import NDArray

from hookrag_segments.cache import Bounded
from hookrag_segments.chunks import Chunks, Numbers
from hookrag_segments.files import Arrays, File, damaged, open_arrays
from hookrag_segments.frozen import instances
from hookrag_segments.manifest import Manifest, Part
from hookrag_segments.segment import PAGE, Ints, Segment, offsets, open_segment
from hookrag_segments.select import Floats

MASK_BYTES = 16 << 20

Mask = NDArray[np.bool_]
WithVectors = Callable[[Segment, int, Row], Row]


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment with the rows of it that were deleted, None where none was, and its companion, None where it has none."""

    part: Part
    segment: Segment
    dead: Mask | None
    companion: Arrays | None = None

    @property
    def live(self) -> int:
        """How many rows are not deleted."""
        return len(self.segment) - (0 if self.dead is None else int(self.dead.sum()))


def open_part(folder: Path, part: Part, before: Opened | None = None) -> Opened:
    """Open a part, with what is open already of `before`, a part of the same segment.

    Raises FileNotFoundError, or HookragError where a file is damaged.
    """
    if before is not None and before.part == part:
        return before
    segment = open_segment(folder, part.segment) if before is None else before.segment
    companion = None if before is None or before.part.companion != part.companion else before.companion
    if companion is None and part.companion is not None:
        companion = open_arrays(folder, part.companion)
    dead = None if part.dead is None else _open_dead(folder, part.dead, len(segment))
    return Opened(part, segment, dead, companion)


def _open_dead(folder: Path, file: File, rows: int) -> Mask:
    opened = open_arrays(folder, file)
    listed = opened.arrays["rows"]
    if len(listed) and not 0 <= int(listed.min()) <= int(listed.max()) < rows:
        damaged(opened.path, f"row {int(listed.max())}", f"rows below {rows}")
    dead = np.zeros(rows, dtype=np.bool_)
    dead[listed] = True
    return dead


class Snapshot:
    """Rows are numbered through all segments."""

    def __init__(
        self, manifest: Manifest, opened: Sequence[Opened], masks: Bounded[tuple[Filter, str], Mask], chunks: Chunks
    ) -> None:
        self.manifest = manifest
        self.opened = tuple(opened)
        self.starts = offsets([len(part.segment) for part in self.opened])
        self._masks = masks
        self._chunks = chunks
        bases = chunks.bases([(part.part.segment.name, len(part.segment)) for part in self.opened])
        self._shifts = np.array(bases, dtype=np.int64) - self.starts[:-1]

    @property
    def rows(self) -> int:
        """How many rows the segments have, deleted ones included."""
        return int(self.starts[-1])

    @cached_property
    def live(self) -> Mask:
        """Which rows are not deleted."""
        parts = [
            np.ones(len(part.segment), dtype=np.bool_) if part.dead is None else ~part.dead for part in self.opened
        ]
        return np.concatenate([np.empty(0, dtype=np.bool_), *parts])

    def part_mask(self, opened: Opened, where: Filter) -> Mask:
        """Which rows of a part match, deleted ones too; evaluated once for each different metadata, and kept."""
        key = (where, opened.segment.file.name)
        mask = self._masks.get(key)
        if mask is None:
            table = np.array([matches(where, metadata) for metadata in opened.segment.metadata()], dtype=np.bool_)
            mask = table[opened.segment["meta"]]
            self._masks.put(key, mask, len(mask) + 200)
        return mask

    def mask(self, where: Filter) -> Mask:
        """Which rows match, deleted ones too."""
        return np.concatenate([np.empty(0, dtype=np.bool_), *(self.part_mask(part, where) for part in self.opened)])

    def count(self, where: Filter | None) -> int:
        """How many live rows match."""
        return int((self.live if where is None else self.live & self.mask(where)).sum())

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

    def fetch(self, chunk_ids: Sequence[str], with_vectors: WithVectors | None = None) -> list[Row | None]:
        """The rows in the order asked for."""
        places = self.find(chunk_ids)
        result: list[Row | None] = [None] * len(places)
        for at, part in enumerate(self.opened):
            own = [(index, place[1]) for index, place in enumerate(places) if place is not None and place[0] == at]
            rows = part.segment.rows(np.array([number for _, number in own], dtype=np.intp))
            for (index, number), row in zip(own, rows, strict=True):
                result[index] = row if with_vectors is None else with_vectors(part.segment, number, row)
        return result

    def scan(self) -> Iterator[list[RowKey]]:
        """Every live row once; texts are not read."""
        for part in self.opened:
            rows = np.arange(len(part.segment)) if part.dead is None else np.flatnonzero(~part.dead)
            for start in range(0, len(rows), PAGE):
                yield part.segment.keys(rows[start : start + PAGE])

    def hits(self, found: Sequence[tuple[Ints, Floats]]) -> list[list[Hit]]:
        """The hits of each query, from its rows and their scores."""
        chunks = self.chunks(np.concatenate([np.empty(0, dtype=np.intp), *(rows for rows, _ in found)]))
        scores = np.concatenate([np.empty(0, dtype=np.float32), *(scores for _, scores in found)]).tolist()
        hits = instances(Hit, len(chunks), chunks, scores, repeat(()))
        bounds = offsets([len(rows) for rows, _ in found]).tolist()
        return [hits[at:end] for at, end in pairwise(bounds)]

    def chunks(self, rows: Ints) -> list[Chunk]:
        """The chunks of some rows."""
        return self._chunks.of(self._numbers(rows), self._read)

    def _numbers(self, rows: Ints) -> Numbers:
        """The numbers under which the chunks of some rows are kept: those of a segment stay when others come and go."""
        if not len(rows):
            return np.empty(0, dtype=np.int64)
        parts = 0 if len(self.opened) == 1 else np.searchsorted(self.starts, rows, side="right") - 1
        numbers: Numbers = rows + self._shifts[parts]
        return numbers

    def _read(self, numbers: Numbers) -> tuple[list[Chunk], Numbers]:
        """The chunks of some numbers, from the files, and about how many bytes each takes in memory."""
        chunks = np.empty(len(numbers), dtype=np.object_)
        costs = np.zeros(len(numbers), dtype=np.int64)
        for part, first in zip(self.opened, (self.starts[:-1] + self._shifts).tolist(), strict=True):
            own = np.flatnonzero((numbers >= first) & (numbers < first + len(part.segment)))
            if len(own):
                read = part.segment.chunks(numbers[own] - first)
                chunks[own], costs[own] = read, part.segment.costs(numbers[own] - first, read)
        return chunks.tolist(), costs

    def verify(self, folder: Path) -> None:
        """Read every file of this state and raise HookragError for the first that is damaged."""
        for opened in self.opened:
            opened.segment.data.verify()
            if opened.companion is not None:
                opened.companion.verify()
            if opened.part.dead is not None:
                open_arrays(folder, opened.part.dead).verify()

    def ids(self, rows: Ints) -> NDArray[np.bytes_]:
        """The chunk ids of some rows, which compare as their texts do."""
        if len(self.opened) == 1:
            ids: NDArray[np.bytes_] = self.opened[0].segment["ids"][rows]
            return ids
        width = max((part.segment["ids"].dtype.itemsize for part in self.opened), default=1)
        result = np.empty(len(rows), dtype=f"S{width}")
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        for at in np.unique(owners).tolist():
            own = owners == at
            result[own] = self.opened[at].segment["ids"][rows[own] - self.starts[at]]
        return result
