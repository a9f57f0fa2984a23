"""The one order of hits: score descending, then chunk id ascending."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hookrag.values import Hit


def best(hits: Iterable[Hit], k: int) -> tuple[Hit, ...]:
    """The k first hits in order; k may exceed their number."""
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k])


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Indices of the k best scores, best first; ties by ascending index. k may exceed the length; NaN must not occur.

    >>> import numpy as np
    >>> top_k(np.array([1, 3, 2, 3], dtype=np.float32), 3).tolist()
    [1, 3, 2]
    """
    import numpy as np

    k = min(k, len(scores))
    if k <= 0:
        return np.empty(0, dtype=np.intp)
    threshold = np.partition(scores, -k)[-k]
    above = np.flatnonzero(scores > threshold)
    chosen = np.concatenate([above, np.flatnonzero(scores == threshold)[: k - len(above)]])
    return chosen[np.lexsort((chosen, -scores[chosen]))]
