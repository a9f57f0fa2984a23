"""A segment and those of its rows that were not deleted: what a merge reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hookrag_segments.segment import Segment

ROWS = 1 << 15


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment that is merged, its live rows, and the new number of each row, -1 for a deleted one."""

    segment: Segment
    live: NDArray[np.int32]
    number: NDArray[np.int32]

    def blocks(self) -> Iterator[NDArray[np.int32]]:
        """The live rows in pieces."""
        for at in range(0, len(self.live), ROWS):
            yield self.live[at : at + ROWS]

    def runs(self) -> Iterator[tuple[int, int]]:
        """The live rows as ranges of neighbours: the first, and the one after the last."""
        starts = np.flatnonzero(np.diff(self.live, prepend=-2) != 1).tolist()
        for first, end in zip(starts, [*starts[1:], len(self.live)], strict=True):
            yield int(self.live[first]), int(self.live[end - 1]) + 1

    def lengths(self, bounds: str, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many elements some rows have between these bounds."""
        at = self.segment[bounds]
        lengths: NDArray[np.int64] = at[rows + 1] - at[rows]
        return lengths
