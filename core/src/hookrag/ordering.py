"""The one order of hits: score descending, then chunk id ascending."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookrag.values import Hit


def best(hits: Iterable[Hit], k: int) -> tuple[Hit, ...]:
    """The k first hits in order; k may exceed their number."""
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k])
