"""Values that several callers share: metadata that nobody can change, and frozen dataclasses made many at a time."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from itertools import repeat, starmap
from threading import RLock
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

MANY = 10_000

_UNCOLLECTED = RLock()
if hasattr(os, "register_at_fork"):
    # A fork waits until the collector is back on: in the child, nobody would switch it on again.
    os.register_at_fork(
        before=_UNCOLLECTED.acquire, after_in_parent=_UNCOLLECTED.release, after_in_child=_UNCOLLECTED.release
    )


def _refuse(self: object, *arguments: object, **named: object) -> NoReturn:
    what = "a list in the metadata" if isinstance(self, list) else "the metadata"
    raise TypeError(
        f"{what} that a store returns is shared and cannot be changed: change a copy.deepcopy(chunk.metadata)"
    )


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed by accident. It is equal to a plain one, and a deep copy or a pickled one is plain.

    `dict()` of it is plain by itself, and what lies in it is as it was.
    """

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed by accident; see FrozenDict."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return list, (list(self),)


def frozen(value: Any) -> Any:
    """A JSON value whose objects and arrays, at any depth, cannot be changed.

    >>> frozen({"tags": ["a", {"b": []}]}) == {"tags": ["a", {"b": []}]}
    True
    """
    if isinstance(value, dict):
        return FrozenDict({key: frozen(item) if isinstance(item, dict | list) else item for key, item in value.items()})
    if isinstance(value, list):
        return FrozenList([frozen(item) for item in value])
    return value


def instances(cls: type[T], count: int, *columns: Iterable[Any]) -> list[T]:
    """So many values of a dataclass with slots, from a column of values for each of its fields, in their order.

    The constructor of a frozen dataclass takes several times as long: it goes through a function in Python for each value.
    """
    with _uncollected() if count >= MANY else nullcontext():
        made: list[T] = list(starmap(cls.__new__, repeat((cls,), count)))
        for field, column in zip(fields(cls), columns, strict=True):  # type: ignore[arg-type]  # T is a dataclass
            deque(starmap(getattr(cls, field.name).__set__, zip(made, column, strict=False)), maxlen=0)
    return made


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector of cycles from looking through many values again and again while they are made.

    None of them can be part of a cycle yet. It has its turn right after; half a million hits take half of the time. It is
    off for the whole process meanwhile, and is switched on again where another thread has switched it off in between.
    """
    with _UNCOLLECTED:
        if not gc.isenabled():
            yield
            return
        try:
            gc.disable()
            yield
        finally:
            gc.enable()
