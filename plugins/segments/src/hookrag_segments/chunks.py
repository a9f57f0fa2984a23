"""Chunks that were read lately, kept in memory, so that what is found often is decoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import getsizeof
from threading import Lock

import numpy as np
from hookrag import Chunk
from numpy.typing import NDArray

CHUNK_BYTES = 600
"""About what a chunk takes in memory besides its text and context."""
SLOT_BYTES = 1024

Numbers = NDArray[np.int64]


class Chunks:
    """Keeps chunks under the numbers of their rows, about `limit` bytes of them; safe from several threads.

    A row has one slot, its number modulo the number of slots, and a chunk gives way to the next that comes there: thousands are
    looked up by a few operations on arrays. Where the bytes are used up before the slots, all is forgotten and kept anew.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._mask = (1 << max(limit // SLOT_BYTES, 1).bit_length() - 1) - 1
        self._owners = np.full(self._mask + 1, -1, dtype=np.int64)
        self._held = np.empty(self._mask + 1, dtype=np.object_)
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
            return list(self._bases.values())

    def of(self, numbers: Numbers, read: Callable[[Numbers], list[Chunk]]) -> list[Chunk]:
        """The chunks under some numbers; `read` is asked once for those that are not held, ascending and each one once."""
        slots = numbers & self._mask
        with self._lock:
            found = self._held[slots]
            lost = np.flatnonzero(self._owners[slots] != numbers)
        if len(lost):
            missing, places = np.unique(numbers[lost], return_inverse=True)
            fresh = np.empty(len(missing), dtype=np.object_)
            fresh[:] = read(missing)
            found[lost] = fresh[places]
            self._keep(missing, fresh)
        chunks: list[Chunk] = found.tolist()
        return chunks

    def _keep(self, numbers: Numbers, chunks: NDArray[np.object_]) -> None:
        with self._lock:
            for number, chunk in zip(numbers.tolist(), chunks.tolist(), strict=True):
                cost = _cost(chunk)
                if cost > self._limit:
                    continue
                if self._bytes + cost > self._limit:
                    self._owners[:] = -1
                    self._held[:] = None
                    self._bytes = 0
                slot = number & self._mask
                if self._owners[slot] >= 0:
                    self._bytes -= _cost(self._held[slot])
                self._owners[slot] = number
                self._held[slot] = chunk
                self._bytes += cost


def _cost(chunk: Chunk) -> int:
    return getsizeof(chunk.text) + getsizeof(chunk.context) + CHUNK_BYTES
