"""Pieces of what is sent to a server: bounded in number and in bytes, and halved where one was too large after all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar


class Sliceable(Protocol):
    """A sequence or an array."""

    def __len__(self) -> int: ...
    def __getitem__(self, span: slice, /) -> Any: ...


T = TypeVar("T")
S = TypeVar("S", bound=Sliceable)


def batches(items: Iterable[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[list[T]]:
    """The items in order, at most `most` and `most_bytes` in a batch; one that is larger than that by itself goes alone.

    >>> list(batches(["aa", "bbb", "c", "dddddd"], len, most=2, most_bytes=5))
    [['aa', 'bbb'], ['c'], ['dddddd']]
    """
    batch: list[T] = []
    held = 0
    for one in items:
        needed = size(one)
        if batch and (len(batch) == most or held + needed > most_bytes):
            yield batch
            batch, held = [], 0
        batch.append(one)
        held += needed
    if batch:
        yield batch


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, `size` at a time.

    >>> list(parts([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


def halves(items: S) -> tuple[S, S]:
    """The first half and the rest.

    >>> halves([1, 2, 3])
    ([1], [2, 3])
    """
    middle = len(items) // 2
    return items[:middle], items[middle:]
