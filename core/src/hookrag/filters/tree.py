"""The typed tree that a filter is, and the one error of the filter language; `hookrag.filters` is its public face."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from hookrag.errors import HookragError

MAX_NESTING = 50
MAX_VALUES = 10_000
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

Value: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["text", "number", "bool"]
Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

ORDERINGS = frozenset({"<", "<=", ">", ">="})
OPERATORS = ORDERINGS | {"==", "!="}
KIND_NAMES: dict[Kind, str] = {"text": "string", "number": "number", "bool": "bool"}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class FilterError(HookragError, ValueError):
    """A filter, or a value of filterable metadata, was refused; `position` is the 0-based character, where known."""

    position: int | None = None


def problem(
    what: str, *, got: str, expected: str, hint: str = "", text: str | None = None, position: int | None = None
) -> FilterError:
    """A FilterError that says where, what, got, expected and what to do; with `text`, a caret marks `position`."""
    lines = [what]
    if text is not None and position is not None:
        before = text[:position]
        row = before.count("\n") + 1
        column = position - before.rfind("\n")
        place = f"line {row}, column {column}" if "\n" in text else f"column {column}"
        lines = [f"filter, {place}: {what}", *(_excerpt(text, position) if text.strip() else [])]
    lines += [f"  got: {got}", f"  expected: {expected}"]
    if hint:
        lines.append(f"  hint: {hint}")
    error = FilterError("\n".join(lines))
    error.position = position
    return error


def shown(text: str, limit: int = 60) -> str:
    """`text` on one line of a message: what does not print is replaced, what is too long is cut."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else "\ufffd" for char in cut)


def described(value: object) -> str:
    """A value and its type for a message, whatever the value is."""
    name = type(value).__name__
    if isinstance(value, str):
        return f"{shown(repr(value[:100]))} ({name})"
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        return "an int of more than 64 bits"  # Python refuses to print one of thousands of digits
    if isinstance(value, bool | int | float):
        return f"{value} ({name})"
    return f"a value of type {name}"


def _excerpt(text: str, position: int) -> list[str]:
    """The line of `text` around `position`, at most 120 characters of it, and a line with a caret below it."""
    import unicodedata

    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    first, last = max(start, position - 60), min(end, position + 60)
    before = ("..." if first > start else "") + shown(text[first:position])
    after = shown(text[position:last]) + ("..." if last < end else "")
    # Wide characters take two columns of a terminal and combining ones none: the caret has to stay below its character.
    width = sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in before)
    return [f"  {before}{after}".rstrip(), "  " + " " * width + "^"]


def kind_of(value: object) -> Kind | None:
    """What a value compares with: "text", "number" (int and finite float), "bool", or None: with nothing."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "number"
    return None


def has_lone_surrogate(text: str) -> bool:
    """Whether `text` has a character that UTF-8, and so every store, cannot hold."""
    return _LONE_SURROGATE.search(text) is not None


def _check_field(name: str) -> None:
    if type(name) is not str or has_lone_surrogate(name):
        raise problem("filter field is not a name", got=described(name), expected="a str that UTF-8 can hold")


def _check_literal(field: str, value: object) -> None:
    # Exact types: a subclass may compare, hash and print otherwise than what `render` writes.
    kind = type(value)
    if (
        (kind is str and not has_lone_surrogate(str(value)))
        or kind is bool
        or (isinstance(value, int) and kind is int and INT_MIN <= value <= INT_MAX)
        or (isinstance(value, float) and kind is float and math.isfinite(value))
    ):
        return
    raise problem(
        f"filter value for field `{shown(field)}`",
        got=described(value),
        expected="a plain str that UTF-8 can hold, an int of 64 bits, a finite float, or a bool",
    )


@dataclass(frozen=True, slots=True)
class Compare:
    """True where the field has a value of the literal's kind and `value-of-field op value` holds.

    Equality of trees is strict about types: `a == 1`, `a == 1.0` and `a == true` are three filters, so that a cache
    keyed by a filter never answers for another one.
    """

    field: str
    op: Operator
    value: Value
    literal_type: type = dataclasses.field(init=False, repr=False)
    nesting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_field(self.field)
        _check_literal(self.field, self.value)
        if self.op not in OPERATORS:
            raise problem(
                f"filter operator for field `{shown(self.field)}`",
                got=described(self.op),
                expected="one of == != < <= > >=",
            )
        if self.op in ORDERINGS and isinstance(self.value, bool):
            raise problem(
                f"filter value for field `{shown(self.field)}`",
                got=f"{self.op} {str(self.value).lower()}",
                expected="a number or a string: true and false have no order",
                hint="use == or !=",
            )
        object.__setattr__(self, "literal_type", type(self.value))


@dataclass(frozen=True, slots=True)
class In:
    """True where the field is `==` one of `values`; negated, where the field is `!=` every one of them.

    So a missing field, or a value of another kind than a literal, is false both ways. `in []` is never true and
    `not in []` is true of every string, number and bool.
    """

    field: str
    values: tuple[Value, ...]
    negated: bool = False
    literal_types: tuple[type, ...] = dataclasses.field(init=False, repr=False)
    keys: frozenset[tuple[Kind | None, Value]] = dataclasses.field(init=False, repr=False, compare=False)
    kinds: frozenset[Kind | None] = dataclasses.field(init=False, repr=False, compare=False)
    nesting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_field(self.field)
        values = tuple(self.values)
        if len(values) > MAX_VALUES:
            raise problem(
                f"filter list for field `{shown(self.field)}`",
                got=f"{len(values):,} values",
                expected=f"at most {MAX_VALUES:,}",
            )
        for value in values:
            _check_literal(self.field, value)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "literal_types", tuple(map(type, values)))
        object.__setattr__(self, "keys", frozenset((kind_of(value), value) for value in values))
        object.__setattr__(self, "kinds", frozenset(map(kind_of, values)))


@dataclass(frozen=True, slots=True)
class Contains:
    """True where the field is a list and one of its elements equals `value`."""

    field: str
    value: Value
    literal_type: type = dataclasses.field(init=False, repr=False)
    nesting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_field(self.field)
        _check_literal(self.field, self.value)
        object.__setattr__(self, "literal_type", type(self.value))


@dataclass(frozen=True, slots=True)
class StartsWith:
    """True where the field is a string that starts with `prefix`, character for character."""

    field: str
    prefix: str
    nesting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_field(self.field)
        _check_literal(self.field, self.prefix)
        if not isinstance(self.prefix, str):
            raise problem(
                f"filter prefix for field `{shown(self.field)}`",
                got=described(self.prefix),
                expected="a string",
            )


@dataclass(frozen=True, slots=True)
class Exists:
    """True where the field is there and is neither None nor an empty list (no store can tell those from absent)."""

    field: str
    nesting: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_field(self.field)


@dataclass(frozen=True, slots=True)
class And:
    """True where every part is; an And among the parts is replaced by its own parts."""

    parts: tuple[Filter, ...]
    nesting: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts: list[Filter] = []
        for part in self.parts:
            parts += part.parts if isinstance(part, And) else [part]
        object.__setattr__(self, "parts", _two_or_more("And", parts))
        object.__setattr__(self, "nesting", _bounded(max(p.nesting + isinstance(p, Or) for p in parts)))


@dataclass(frozen=True, slots=True)
class Or:
    """True where at least one part is; an Or among the parts is replaced by its own parts."""

    parts: tuple[Filter, ...]
    nesting: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts: list[Filter] = []
        for part in self.parts:
            parts += part.parts if isinstance(part, Or) else [part]
        object.__setattr__(self, "parts", _two_or_more("Or", parts))
        object.__setattr__(self, "nesting", _bounded(max(p.nesting for p in parts)))


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is false, a missing field included."""

    part: Filter
    nesting: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nesting", _bounded(self.part.nesting + 1 + isinstance(self.part, And | Or)))


# `nesting` counts the `not` and the parentheses around the innermost condition as `render` writes them. Because it is
# bounded where a tree is made, every tree can be walked by recursion, and no rendered text is refused for its depth.
Filter: TypeAlias = Compare | In | Contains | StartsWith | Exists | And | Or | Not


def _bounded(nesting: int) -> int:
    if nesting > MAX_NESTING:
        raise problem(
            "filter is nested too deeply",
            got=f"{nesting} levels of not and parentheses",
            expected=f"at most {MAX_NESTING}",
            hint="in [...] replaces a long chain of alternatives",
        )
    return nesting


def _two_or_more(name: str, parts: list[Filter]) -> tuple[Filter, ...]:
    if len(parts) < 2:
        raise problem(
            f"filter {name}",
            got=f"{len(parts)} parts",
            expected="at least two",
            hint="one part needs no And or Or; no filter at all is None",
        )
    return tuple(parts)


def contains_any(field: str, values: Sequence[Value]) -> Filter:
    """`field contains any of [...]`: a list that has at least one of the values; with none of them it is never true.

    >>> contains_any("groups", ["a", "b"]) == Or((Contains("groups", "a"), Contains("groups", "b")))
    True
    """
    conditions: list[Filter] = [
        Contains(field, value) for _, value in dict.fromkeys((type(value), value) for value in values)
    ]
    if not conditions:
        return And((Exists(field), Not(Exists(field))))
    return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))
