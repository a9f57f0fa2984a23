"""Facets: what a store keeps of metadata, and what a filter asks of them, so that both mean what hookrag means.

Engines disagree about values of mixed types, about missing keys under `not` and `!=`, about arrays and about wildcards. So a
store keeps facets, each of which says its field and the kind of its value, and a condition of a filter becomes alternatives,
each of which asks of the facets of one field and one kind. What is left to the engine is what engines agree about:

    metadata                facets                             filter              alternatives
    lang = "en"             lang has a string, "en"            year >= 2020        year has a number of at least 2020
    tags = ["news", 1]      tags has something else,           lang in ["en", 1]   lang has the string "en", or the number 1
                            an element "news", an element 1    exists(lang)        lang has a string, a number, a bool, or else

Each alternative asks for a facet that is there. A row without it does not meet the alternative, and does meet its negation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from hookrag.filters import Compare, Contains, Exists, In, Operator, StartsWith, Value

Scalar = Literal["s", "n", "b"]
"""A string, a finite number, a bool. Values of two kinds are neither equal nor ordered."""
Kind = Literal["s", "n", "b", "x"]
"""A scalar, or x: something else that is there, as a list with elements or an object."""

SCALARS: tuple[Scalar, ...] = ("s", "n", "b")
KINDS: tuple[Kind, ...] = (*SCALARS, "x")


Facet = tuple[str, Kind, Value | None, bool]
"""A field, the kind and value of what is there (None for x), and whether that is an element of the list there.

A plain tuple: a row has dozens, and millions of rows are put.
"""


@dataclass(frozen=True, slots=True)
class Has:
    """There is something of this kind."""

    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class OneOf:
    """There is a scalar of this kind that is one of the values. They are different, and there is at least one."""

    field: str
    kind: Scalar
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """There is a scalar of this kind that is none of the values. They are different, and there is at least one."""

    field: str
    kind: Scalar
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Ordered:
    """There is a string (by code points) or number that is < <= > or >= the value."""

    field: str
    kind: Scalar
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Begins:
    """There is a string that begins so."""

    field: str
    prefix: str


@dataclass(frozen=True, slots=True)
class HasElement:
    """There is a list with an element of this kind that is equal to the value."""

    field: str
    kind: Scalar
    value: Value


Condition = Has | OneOf | NoneOf | Ordered | Begins | HasElement


def kind_of(value: object) -> Scalar | None:
    """The kind of a value that can be compared, None for any other: None, nan, an infinity, a list, an object.

    >>> [kind_of(one) for one in ("1", 1, 1.0, True, float("nan"), [1], None)]
    ['s', 'n', 'n', 'b', None, None, None]
    """
    if isinstance(value, str):
        return "s"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "n"
    return None


def facets(metadata: Mapping[str, object]) -> list[Facet]:
    """All facets of metadata, in their order. A field that is None or an empty list has none.

    >>> facets({"year": 2020, "note": None, "tags": ["news", None, True]})
    [('year', 'n', 2020, False), ('tags', 'x', None, False), ('tags', 's', 'news', True), ('tags', 'b', True, True)]
    """
    made: list[Facet] = []
    for field, value in metadata.items():
        kind = kind_of(value)
        if kind is not None:
            made.append((field, kind, value, False))  # type: ignore[arg-type]  # it has a kind
        elif isinstance(value, list | tuple):
            if value:
                made.append((field, "x", None, False))
                made += [(field, found, item, True) for item in value if (found := kind_of(item)) is not None]
        elif value is not None:
            made.append((field, "x", None, False))
    return made


def conditions(tree: Compare | In | Contains | StartsWith | Exists) -> list[Condition]:
    """The alternatives of which one must hold, so that there is no row that meets none of none.

    >>> from hookrag.filters import parse
    >>> conditions(parse("year != 2020"))
    [NoneOf(field='year', kind='n', values=(2020,))]
    >>> conditions(parse('lang in ["en", 1, "de"]'))
    [OneOf(field='lang', kind='s', values=('en', 'de')), OneOf(field='lang', kind='n', values=(1,))]
    >>> conditions(parse('lang not in ["en", 1]'))
    []
    """
    field = tree.field
    match tree:
        case Compare(_, op, value):
            if op == "==":
                return [OneOf(field, _kind(value), (value,))]
            if op == "!=":
                return [NoneOf(field, _kind(value), (value,))]
            return [Ordered(field, _kind(value), op, value)]
        case In(_, values, negated):
            by_kind = _by_kind(values)
            if not negated:
                return [OneOf(field, kind, found) for kind, found in by_kind.items()]
            if not by_kind:
                return [Has(field, kind) for kind in SCALARS]
            # != is false between kinds, so that nothing differs from both a string and a number.
            return [NoneOf(field, *one) for one in by_kind.items()] if len(by_kind) == 1 else []
        case Contains(_, value):
            return [HasElement(field, _kind(value), value)]
        case StartsWith(_, prefix):
            return [Begins(field, prefix)]
        case Exists():
            return [Has(field, kind) for kind in KINDS]
        case _:
            assert_never(tree)


def after(prefix: str) -> str | None:
    """The first string, by code points, after all those that begin with the prefix; None where there is none.

    A string begins with the prefix where prefix <= string < after(prefix), which engines that sort UTF-8 agree about.

    >>> after("en"), after("e\\U0010ffff"), after("")
    ('eo', 'f', None)
    """
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if last == 0xD800 else last)


def _kind(value: Value) -> Scalar:
    kind = kind_of(value)
    assert kind is not None, "literals of a filter are strings, finite numbers and bools"
    return kind


def _by_kind(values: Iterable[Value]) -> dict[Scalar, tuple[Value, ...]]:
    grouped: dict[Scalar, dict[Value, None]] = {}
    for value in values:
        grouped.setdefault(_kind(value), {})[value] = None
    return {kind: tuple(found) for kind, found in grouped.items()}
