"""Chunks that were read lately, kept in memory, so that what is found often is decoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from hookrag import Chunk
from numpy.typing import NDArray

SLOT_BYTES = 1024

Numbers = NDArray[np.int64]
Read = Callable[[Numbers], tuple[list[Chunk], Numbers]]
"""Gives the chunks of some rows, and about how many bytes each takes in memory."""


class Chunks:
    """Keeps chunks under the numbers of their rows, about `limit` bytes of them; safe from several threads.

    A row has one slot, its number modulo the number of slots, and a chunk gives way to the next that comes there: thousands are
    looked up by a few operations on arrays. There is a slot for each `SLOT_BYTES`, but no more than the rows have use for.
    Where the bytes are used up before the slots, all is forgotten and kept anew.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._most = 1 << max(limit // SLOT_BYTES, 1).bit_length() - 1
        self._resize(1)
        self._bytes = 0
        self._bases: dict[str, int] = {}
        self._rows = 0
        self._lock = Lock()

    def bases(self, segments: Sequence[tuple[str, int]]) -> list[int]:
        """The number that stands for the first row of each segment, given by name and rows; those of its other rows follow.

        A segment has the same one as in the call before; those that are not named again are forgotten.
        """
        with self._lock:
            known, self._bases = self._bases, {}
            for name, rows in segments:
                self._bases[name] = known.get(name, self._rows)
                self._rows += 0 if name in known else rows
            slots = min(self._most, 1 << (2 * sum(rows for _, rows in segments)).bit_length())
            if slots > len(self._owners):
                owners, held, costs = self._owners, self._held, self._costs
                self._resize(slots)
                used = np.flatnonzero(owners >= 0)
                places = owners[used] & self._mask
                self._owners[places], self._held[places], self._costs[places] = owners[used], held[used], costs[used]
            return list(self._bases.values())

    def _resize(self, slots: int) -> None:
        self._mask = slots - 1
        self._owners = np.full(slots, -1, dtype=np.int64)
        self._held = np.empty(slots, dtype=np.object_)
        self._costs = np.zeros(slots, dtype=np.int64)

    def of(self, numbers: Numbers, read: Read) -> list[Chunk]:
        """The chunks under some numbers; `read` is asked once for those that are not held, ascending and each one once."""
        with self._lock:
            slots = numbers & self._mask
            found = self._held[slots]
            lost = np.flatnonzero(self._owners[slots] != numbers)
        if len(lost):
            missing, places = np.unique(numbers[lost], return_inverse=True)
            fresh = np.empty(len(missing), dtype=np.object_)
            fresh[:], costs = read(missing)
            found[lost] = fresh[places]
            self._keep(missing, fresh, costs)
        chunks: list[Chunk] = found.tolist()
        return chunks

    def _keep(self, numbers: Numbers, chunks: NDArray[np.object_], costs: Numbers) -> None:
        with self._lock:
            for number, chunk, cost in zip(numbers.tolist(), chunks.tolist(), costs.tolist(), strict=True):
                if cost > self._limit:
                    continue
                if self._bytes + cost > self._limit:
                    self._owners[:] = -1
                    self._held[:] = None
                    self._bytes = 0
                slot = number & self._mask
                if self._owners[slot] >= 0:
                    self._bytes -= int(self._costs[slot])
                self._owners[slot] = number
                self._held[slot] = chunk
                self._costs[slot] = cost
                self._bytes += cost
