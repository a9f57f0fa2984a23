"""What an option may be besides its type: limits and a description, written beside the type of a constructor's parameter.

    @checked
    def __init__(self, *, size: Annotated[int, AtLeast(1), "words of a chunk"] = 200) -> None: ...

The plain text is the description. The configuration, its schema, `hookrag plugins NAME` and the conformance kit read them, and
`checked` holds calls from Python to them. They may stand anywhere in a type: `list[Annotated[int, AtLeast(1)]]`. None is never
checked. A limit of one's own is an object with `check`, `schema` and a `str()` that ends "must be ...".
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Annotated, Any, Literal, ParamSpec, Protocol, TypeAlias, Union, get_args, get_origin

from hookrag import protocols
from hookrag.errors import PluginError

P = ParamSpec("P")
Check: TypeAlias = Callable[[Any], Sequence[str]]
"""What is wrong with a value, each as the text that follows its key: " must be at least 1, got 0", "[2] must be ..."."""


class Limit(Protocol):
    """What a value must be."""

    def check(self, value: Any, /) -> str | None:
        """The text after the key, "must be at least 1, got 0"; None where the value is as it must be."""
        ...

    def schema(self) -> dict[str, Any]:
        """The keywords of JSON Schema that say the same."""
        ...


def shown(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _compares(holds: Callable[[], bool]) -> bool:
    try:
        return bool(holds())
    except (TypeError, ValueError):  # text beside a number, an array
        return False


def _with(unit: str) -> str:
    return f" {unit}" if unit else ""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number from `least`; `unit` is for the error: "must be at least 0 sentences, got -1"."""

    least: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value >= self.least) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least}

    def outside(self) -> tuple[Any, ...]:
        return self.least - 1, math.nextafter(self.least, -math.inf), math.nan

    def __str__(self) -> str:
        return f"at least {self.least}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class Above:
    """A number above `limit`."""

    limit: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value > self.limit) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"exclusiveMinimum": self.limit}

    def outside(self) -> tuple[Any, ...]:
        return self.limit, float(self.limit), math.nan

    def __str__(self) -> str:
        return f"above {self.limit}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """A number up to `most`."""

    most: float
    unit: str = ""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: value <= self.most) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"maximum": self.most}

    def outside(self) -> tuple[Any, ...]:
        return self.most + 1, math.nextafter(self.most, math.inf), math.nan

    def __str__(self) -> str:
        return f"at most {self.most}{_with(self.unit)}"


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `least` to `most`, both allowed."""

    least: float
    most: float

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: self.least <= value <= self.most) else f"must be {self}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least, "maximum": self.most}

    def outside(self) -> tuple[Any, ...]:
        near = math.nextafter(self.least, -math.inf), math.nextafter(self.most, math.inf)
        return self.least - 1, self.most + 1, *near, math.nan

    def __str__(self) -> str:
        return f"in [{self.least}, {self.most}]"


@dataclass(frozen=True, slots=True)
class Finite:
    """A number that is neither infinite nor NaN, which TOML can write."""

    def check(self, value: Any, /) -> str | None:
        return None if _compares(lambda: math.isfinite(value)) else f"must be a finite number, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {}  # JSON has no others

    def outside(self) -> tuple[Any, ...]:
        return math.inf, -math.inf, math.nan

    def __str__(self) -> str:
        return "finite"


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """Text, a list or a table with something in it; `what` a list has is for the error: "must name at least one retriever"."""

    what: str = ""

    def check(self, value: Any, /) -> str | None:
        if _compares(lambda: len(value) > 0):
            return None
        return f"must name at least one {self.what}, got {shown(value)}" if self.what else "must not be empty"

    def schema(self) -> dict[str, Any]:
        return {"minLength": 1, "minItems": 1, "minProperties": 1}  # each holds for one type only

    def outside(self) -> tuple[Any, ...]:
        return "", [], {}

    def __str__(self) -> str:
        return "not empty"


@dataclass(frozen=True, slots=True)
class Matching:
    """Text that a regular expression matches as a whole; `words` say what that is: "one character or "tab""."""

    pattern: str
    words: str

    def check(self, value: Any, /) -> str | None:
        fits = isinstance(value, str) and re.fullmatch(self.pattern, value)
        return None if fits else f"must be {self.words}, got {shown(value)}"

    def schema(self) -> dict[str, Any]:
        return {"pattern": f"^(?:{self.pattern})$"}

    def __str__(self) -> str:
        return self.words


# --- read from types


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
    return _compares(lambda: isinstance(value, plain))


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


# --- in Python


def problems(constructor: Any, values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the values of a function's parameters: "size must be at least 1, got 0", in the function's order."""
    checks = _checks_of(constructor)
    return [f"{name}{wrong}" for name, check in checks.items() if name in values for wrong in check(values[name])]


def _checks_of(constructor: Any) -> dict[str, Check]:
    found = {name: check_of(declared) for name, declared in hints(constructor).items() if name != "return"}
    return {name: check for name, check in found.items() if check is not None}


def checked(constructor: Callable[P, None], /) -> Callable[P, None]:
    """Holds a constructor to the limits and choices of its parameters; ValueError tells all that are not kept at once.

    Only what is given is checked, not the defaults. Types are resolved at the first call.
    """
    checks: dict[str, Check] = {}
    names: list[str] = []

    @wraps(constructor)
    def made(*args: P.args, **kwargs: P.kwargs) -> None:
        if not names:
            checks.update(_checks_of(constructor))
            names.extend(inspect.signature(constructor).parameters)
        given: Mapping[str, Any] = kwargs if len(args) <= 1 else {**dict(zip(names, args, strict=False)), **kwargs}
        for name in given:
            if name in checks and checks[name](given[name]):
                raise ValueError("; ".join(problems(constructor, given)))
        constructor(*args, **kwargs)

    return made
