"""A cache with a limit on what it holds, safe from several threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Keeps the values that were used last, up to a sum of their costs; a value that costs more by itself is not kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._cost = 0
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """The value, or None where it is not held."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, cost: int) -> None:
        """Hold a value, and let go of those that were not used for longest."""
        with self._lock:
            before = self._held.pop(key, None)
            if before is not None:
                self._cost -= before[1]
            if cost > self._limit:
                return
            self._held[key] = (value, cost)
            self._cost += cost
            while self._cost > self._limit:
                _, (_, freed) = self._held.popitem(last=False)
                self._cost -= freed
