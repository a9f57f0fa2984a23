"""Filters for Milvus: metadata become typed facets, and a filter becomes an expression over them that means the same.

`hookrag_stores.facets` says what is asked. Here a facet's name says its kind and holds only letters, digits and underscores;
each condition first asks whether its facet exists; negation is pushed down to the conditions; prefixes are ranges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import assert_never

from hookrag.filters import And, Filter, Not, Operator, Or, Value
from hookrag_stores import facets as shared
from hookrag_stores.facets import (
    Begins,
    Condition,
    Has,
    HasElement,
    Kind,
    NoneOf,
    OneOf,
    Ordered,
    after,
    conditions,
)
from hookrag_stores.numbers import Part, parted, parted_order

Atom = tuple[str, str | None]
"""A facet that must exist and a condition on it; None where existing is enough."""

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_PLAIN = re.compile(r"[A-Za-z0-9]")
_NEVER, _ALWAYS = 'pk == ""', 'pk != ""'


def literal(value: Value) -> str:
    """A value as Milvus reads it: five characters are escaped, everything else is raw UTF-8.

    >>> print(literal('say "hi"'), literal(-2.5), literal(True))
    "say \\"hi\\"" -2.5 true
    """
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def one_of(field: str, values: Sequence[str]) -> str:
    """The expression that selects rows by a column of strings."""
    return f"{field} in [{', '.join(map(literal, values))}]"


def facets(metadata: Mapping[str, object]) -> dict[str, Value]:
    """What can be filtered on, as keys of Milvus's dynamic field; their names are made by `_name`.

    s_: a string; i_: a number that is a whole one of 64 bits; f_: any other finite number; b_: a bool; x_: something else that
    exists; c_: one for each string, number and bool in a list. Raises ValueError for an integer that neither 64 bits nor a
    float hold.

    >>> facets({"year": 2020.0, "lang": "en", "note": None, "tags": []})
    {'i_year': 2020, 's_lang': 'en'}
    """
    made: dict[str, Value] = {}
    for field, kind, value, element in shared.facets(metadata):
        if value is None:
            made[_name(kind, field)] = True
            continue
        stored, same = (kind, value) if kind != "n" else _stored(kind, value)
        if element:
            made[_element(field, stored, same)] = True
        else:
            made[_name(stored, field)] = same
    return made


def expression(tree: Filter) -> str:
    """The Milvus expression that is true for exactly the rows whose metadata `hookrag.filters.matches`."""
    return _expression(tree, negated=False)


def _expression(tree: Filter, *, negated: bool) -> str:
    match tree:
        case And(parts) | Or(parts):
            joint = "or" if isinstance(tree, Or) != negated else "and"
            return _joined(joint, [_expression(part, negated=negated) for part in parts])
        case Not(part):
            return _expression(part, negated=not negated)
        case _:
            atoms = [atom for one in conditions(tree) for atom in _atoms(one)]
    if not negated:
        return _joined("or", [_meets(*atom) for atom in atoms]) if atoms else _NEVER
    return _joined("and", [_fails(*atom) for atom in atoms]) if atoms else _ALWAYS


def _meets(facet: str, condition: str | None) -> str:
    there = f'(exists $meta["{facet}"])'
    return there if condition is None else f"({there} and {condition})"


def _fails(facet: str, condition: str | None) -> str:
    absent = f'not (exists $meta["{facet}"])'
    return absent if condition is None else f"({absent} or not {condition})"


def _joined(joint: str, parts: Sequence[str]) -> str:
    # Balanced: a chain of ten thousand alternatives would be as many levels deep where an engine's parser nests them.
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(joint, parts[:middle])} {joint} {_joined(joint, parts[middle:])})"


def _atoms(condition: Condition) -> list[Atom]:
    """The alternatives of which one must hold; each condition is in parentheses or a single comparison."""
    field = condition.field
    match condition:
        case Has(_, "n"):
            return [(_name(part, field), None) for part in ("i", "f")]
        case Has(_, kind):
            return [(_name(kind, field), None)]
        case OneOf(_, kind, values):
            return [(_name(own, field), _any_of(_name(own, field), found)) for own, found in _parts(kind, values)]
        case NoneOf(_, kind, values):
            found = dict(_parts(kind, values))
            own = ("i", "f") if kind == "n" else (kind,)
            names = [(_name(one, field), found.get(one)) for one in own]
            return [(name, None if members is None else f"(not {_any_of(name, members)})") for name, members in names]
        case Ordered(_, "n", op, value):
            assert not isinstance(value, str), "a number"
            return [
                (_name(part, field), None if sign is None else _compared(_name(part, field), sign, bound))
                for part, sign, bound in parted_order(op, value)
            ]
        case Ordered(_, kind, op, value):
            return [(_name(kind, field), _compared(_name(kind, field), op, value))]
        case Begins(_, prefix):
            return [(_name("s", field), _starts(_name("s", field), prefix))]
        case HasElement(_, kind, value):
            return [(_element(field, *_stored(kind, value)), None)]
        case _:
            assert_never(condition)


def _compared(name: str, op: Operator, value: Value) -> str:
    return f'($meta["{name}"] {op} {literal(value)})'


def _any_of(name: str, values: Sequence[Value]) -> str:
    # A JSON key takes no `in` on Milvus Lite.
    return "(" + _joined("or", [f'$meta["{name}"] == {literal(value)}' for value in values]) + ")"


def _starts(name: str, prefix: str) -> str:
    """The range of strings that start so: by code point, which is how strings are ordered on every engine."""
    bounds = f'$meta["{name}"] >= {literal(prefix)}'
    end = after(prefix)
    if end is not None:
        bounds += f' and $meta["{name}"] < {literal(end)}'
    return f"({bounds})"


def _parts(kind: Kind, values: Iterable[Value]) -> list[tuple[str, list[Value]]]:
    """The values by the kind of facet that they are stored in."""
    grouped: dict[str, list[Value]] = {}
    for value in values:
        stored, same = _stored(kind, value)
        grouped.setdefault(stored, []).append(same)
    return list(grouped.items())


def _stored(kind: Kind, value: Value) -> tuple[Kind | Part, Value]:
    """The kind of facet that a value is stored in, and its one form there; ints and floats are apart."""
    if kind != "n":
        return kind, value
    assert not isinstance(value, str), "a number"
    return parted(value)


@lru_cache(maxsize=10_000)
def _name(kind: str, field: str) -> str:
    """A facet's name: whatever is no ASCII letter or digit is its code point in hexadecimal between underscores.

    >>> _name("s", "first name")
    's_first_20_name'
    """
    return kind + "_" + "".join(char if _PLAIN.match(char) else f"_{ord(char):x}_" for char in field)


def _element(field: str, stored: str, item: Value) -> str:
    # A hash, because elements are of any length and number; ASCII JSON keeps the parts apart.
    return "c_" + blake2b(json.dumps([field, stored, item]).encode(), digest_size=16).hexdigest()
