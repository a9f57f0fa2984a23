"""What stands in a type beside it: limits, descriptions, and the check that they make together."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from hookrag import protocols
from hookrag.errors import PluginError
from hookrag.options.limits import Limit, shown

Check: TypeAlias = Callable[[Any], Sequence[str]]
"""What is wrong with a value, each as the text that follows its key: " must be at least 1, got 0", "[2] must be ..."."""


@lru_cache(maxsize=1024)
def hints(constructor: Any) -> Mapping[str, Any]:
    """The types of a function's parameters as they are declared, with what is annotated. Raises PluginError.

    Kept, because a configuration reads each several times, and resolving written types is slow.
    """
    whole = inspect.unwrap(constructor)
    # Third parties may import the protocols for type checkers only; their names are known here all the same.
    known = {**vars(protocols), **getattr(whole, "__globals__", {})}
    try:
        return typing.get_type_hints(whole, known, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        where = f"{whole.__module__}.{whole.__qualname__}".removesuffix(".__init__")
        raise PluginError(f"{where}: a type of its constructor cannot be resolved: {error}") from error


def bare(declared: Any) -> Any:
    """A type without what is annotated in it.

    >>> from hookrag.options import AtLeast
    >>> bare(list[Annotated[int, AtLeast(1)]])
    list[int]
    """
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return bare(inner[0])
    if origin in (Union, types.UnionType, list, tuple, Sequence, dict, Mapping):
        found = tuple(map(bare, inner))
        if found != inner:
            return Union[found] if origin in (Union, types.UnionType) else origin[found]  # noqa: UP007  # of a tuple
    return declared


def described(declared: Any) -> str:
    """The description that a type carries, "" where it has none."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Annotated:
        own = next((one for one in inner[1:] if isinstance(one, str)), "")
        return own or described(inner[0])
    return next(filter(None, map(described, inner)), "") if origin in (Union, types.UnionType) else ""


def limits(declared: Any) -> list[Limit]:
    """The limits of the value itself, not of what is in it."""
    if get_origin(declared) is not Annotated:
        return []
    inner, *told = get_args(declared)
    found = [one for one in told if hasattr(one, "check") and hasattr(one, "schema")]
    for one in found:
        if isinstance(one, type):
            raise PluginError(f"{declared} has the class {one.__name__}, expected an object: {one.__name__}(...)")
    return [*limits(inner), *found]


def limits_in_words(declared: Any) -> str:
    """All limits in a type: "at least 1", "not empty, each at least 1"; "" where there are none."""
    origin, inner = get_origin(declared), get_args(declared)
    own = [str(one) for one in limits(declared)]
    if origin is Annotated:
        below = limits_in_words(inner[0]) if get_origin(inner[0]) is not Annotated else ""
        return ", ".join(filter(None, [*own, below]))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(limits_in_words, inner))))
    if origin in (list, tuple, Sequence, dict, Mapping):
        each = limits_in_words(inner[-1 if origin in (dict, Mapping) else 0])
        return f"each {each}" if each else ""
    return ""


def check_of(declared: Any) -> Check | None:
    """The check of a type's limits and choices; None where it has none."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return _annotated(limits(declared), check_of(bare_once(declared)))
    if origin is Literal:
        return _literal(inner)
    if origin in (Union, types.UnionType):
        return _union([one for one in inner if one is not type(None)])
    if origin in (list, tuple, Sequence):
        return _listed(check_of(inner[0]))
    if origin in (dict, Mapping):
        return _table(check_of(inner[1]))
    return None


def bare_once(declared: Any) -> Any:
    """The type below its own annotations."""
    while get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    return declared


def _annotated(own: Sequence[Limit], below: Check | None) -> Check | None:
    if not own:
        return below

    def check(value: Any) -> Sequence[str]:
        if value is None:
            return ()
        for limit in own:
            wrong = limit.check(value)
            if wrong is not None:
                return (f" {wrong}",)
        return below(value) if below is not None else ()

    return check


def _literal(choices: tuple[Any, ...]) -> Check:
    listed = ", ".join(map(repr, choices))

    def check(value: Any) -> Sequence[str]:
        if value is None or value in choices:
            return ()
        return (f" must be one of {listed}, got {shown(value)} ({type(value).__name__})",)

    return check


def _union(choices: Sequence[Any]) -> Check | None:
    checks = [check_of(one) for one in choices]
    if len(checks) == 1 or not any(checks):
        return checks[0]

    def check(value: Any) -> Sequence[str]:
        found = next((i for i, one in enumerate(choices) if fits(value, one)), None)
        chosen = checks[found] if found is not None else None
        return chosen(value) if chosen is not None else ()

    return check


def _listed(each: Check | None) -> Check | None:
    if each is None:
        return None

    def check(value: Any) -> Sequence[str]:
        if not isinstance(value, list | tuple):
            return ()
        return [f"[{number}]{wrong}" for number, one in enumerate(value) for wrong in each(one)]

    return check


def _table(each: Check | None) -> Check | None:
    if each is None:
        return None

    def check(value: Any) -> Sequence[str]:
        if not isinstance(value, Mapping):
            return ()
        return [f".{key}{wrong}" for key, one in value.items() for wrong in each(one)]

    return check


def fits(value: Any, declared: Any) -> bool:
    """Whether a value is of a type, whatever its limits: which choice of a union it is meant as."""
    origin, inner = get_origin(bare_once(declared)), get_args(bare_once(declared))
    if origin is Literal:
        return value in inner
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    plain = bare_once(declared)
    if plain in (int, float):
        return isinstance(value, int if plain is int else int | float) and not isinstance(value, bool)
    return isinstance(plain, type) and isinstance(value, plain)


def outside(declared: Any) -> list[Any]:
    """Values of a type that its limits or choices refuse, just outside where there is such a place."""
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Annotated:
        below = bare_once(declared)
        own = [value for limit in limits(declared) for value in getattr(limit, "outside", tuple)()]
        return [value for value in own if fits(value, below)] + outside(below)
    if origin is Literal:
        return [f"not {inner[0]}"] if all(isinstance(one, str) for one in inner) else []
    if origin in (Union, types.UnionType):
        tried = [value for one in inner if get_origin(one) is not Literal or len(inner) == 2 for value in outside(one)]
        check = check_of(declared)
        return [value for value in tried if check is not None and check(value)]
    if origin in (list, tuple, Sequence):
        return [[value] for value in outside(inner[0])]
    if origin in (dict, Mapping):
        return [{"key": value} for value in outside(inner[1])]
    return []
